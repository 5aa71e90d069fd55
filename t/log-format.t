#!/usr/bin/perl

# conf/log-format.conf: each line can be parsed, whatever a client sends, and
# what docs/operations.md asks of such logs is answered.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use JSON::PP ();

my $TREE = $ACR::Node::TREE;
my $dir = work_dir();
my ($log, $plain) = map { "$dir/access.$_" } qw(json log);

my $acr = start(http => "include $TREE/conf/log-format.conf;"
                        . " access_log $log acr_json;"
                        . " access_log $plain acr_plain;",
                server => 'location /acr/admin/ { acr_admin; }',
                location => 'acr_auth on; acr_anonymous_pull lib/*;');

# --- what is logged

my $made = ask_access($acr, 'PUT', 'admin', { enabled => JSON::PP::true });
my $admin = $acr->as('admin', $made->json()->{passwords}[0]{value});
ok(wait_for(sub { $admin->get('/v2/')->status() == 200 }), 'there is a user');

my $image = $admin->push_image('lib/app', 'latest', 'log');
$acr->get('/v2/lib/app/manifests/latest') for 1 .. 3;
$acr->get('/v2/lib/app/manifests/none');
$acr->get("/v2/lib/app/blobs/$_") for map { $_->{digest} }
    @{ JSON::PP::decode_json($acr->get('/v2/lib/app/manifests/latest')->body())
       ->{layers} };
$acr->get('/v2/closed/app/tags/list');

# --- what clients send to spoil it

my @agents = ("\"}\n{\"status\":200}", "a\\", "\"", "\t\x01\x7f", 'a b  c',
              "\xc3\xa9", 'x' x 2000);
my @targets = ('/v2/a%20b/tags/list', '/v2/lib/app/manifests/a%22%20b',
               '/v2/%0a%22%5c/tags/list', '/v2/lib/app/blobs/sha256:%20x',
               '/%e9%ff', '/v2/lib/app/tags/list?x=%22%20', '/v2/%00');

for my $target (@targets) {
    for my $agent (@agents) {
        my $http = $acr->connect();
        $http->send("GET $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    . 'User-Agent: ' . $agent =~ s/\n/ /gr . "\r\n\r\n");
        1 while $http->fill();
        $http->close();
    }
}

# no request at all, and one that is cut short
for my $bytes ("\x16\x03\x01 nonsense\r\n\r\n", "GET  /v2/ \"\\ x\r\n\r\n") {
    my $http = $acr->connect();
    $http->send($bytes);
    1 while $http->fill();
    $http->close();
}

# of those whose headers nginx has not read there is nothing to say who it was:
# the two, and the ones with %00
my $sent = @targets * @agents;
my $headless = 2 + @agents;
my (@plain, @json);
ok(wait_for(sub {
       @plain = lines_of($plain);
       @json = lines_of($log);
       return @plain == @json && @json > $sent + 10
           && $headless == grep { /"status":400/ && /"agent":""/ } @json
   }), 'all is logged');


# --- JSON

my $parser = JSON::PP->new();
my @parsed = map { scalar(eval { $parser->decode($_) }) } @json;

is_deeply([map { $json[$_] } grep { ref($parsed[$_]) ne 'HASH' } 0 .. $#json],
          [], 'each line of the JSON log is an object');

my @names = sort(keys(%{ $parsed[0] }));
is_deeply([grep { join(' ', sort(keys(%$_))) ne "@names" } @parsed], [],
          'with the same members');
is_deeply([grep { /"(?:status|received|sent|seconds)":"/ } @json], [],
          'numbers are numbers');

my ($put) = grep { $_->{operation} eq 'manifest_put' } @parsed;
is_deeply({ map { $_ => $put->{$_} } qw(user status repository reference
                                        digest registry error completed) },
          { user => 'admin', status => 201, repository => 'lib/app',
            reference => 'latest', digest => $image, registry => 'default',
            error => '', completed => 'OK' }, 'a push says who, what, where');
is_deeply([map { $_->{error} } grep { $_->{reference} eq 'none' } @parsed],
          ['MANIFEST_UNKNOWN'], 'an error has its code');
is_deeply([grep { $_->{path} =~ /\?/ } @parsed], [], 'no path has arguments');

# nginx refuses %00 before it reads a header
is(scalar(grep { $_->{agent} eq $agents[0] =~ s/\n/ /r } @parsed),
   scalar(@targets) - 1, 'what a client says of itself stays in its place');


# --- plain

is_deeply([grep { tr/\t// != 16 || /[^\t -~]/ } @plain], [],
          'each line of the plain log has its fields');
is_deeply([map { (split(/\t/))[3] } @plain], [map { $_->{status} } @parsed],
          'and says the same');


# --- the questions of the documentation

SKIP: {
    my $text = eval { slurp("$TREE/docs/operations.md") } || '';
    my @commands = $text =~ /^    ((?:jq|awk) .*\n(?: {8}.*\n)*)/mg;

    cmp_ok(scalar(@commands), '>=', 8, 'the documentation asks');
    skip('no jq', 1) if system('jq --version > /dev/null 2>&1');

    for my $command (@commands) {
        my ($name) = $command =~ /^(.{0,60})/;
        $command =~ s{/var/log/nginx/acr\.json\.log}{$log}
            || $command =~ s{/var/log/nginx/acr\.log}{$plain}
            || fail("$name: of which log?");
        spew("$dir/command.sh", "set -e -o pipefail\n$command\n");
        my $said = `bash $dir/command.sh 2>&1`;
        ok($? == 0 && $said ne '', $name) or diag($said);
        unlike($said, qr/jq: error|awk: /, 'without an error');
    }
}

finish();


sub lines_of { return split(/\n/, eval { slurp($_[0]) } || '') }
