#!/usr/bin/perl

# conf/pull-through.conf, with places of this test: it is accepted as it is, and
# fills itself from a registry that stands in for Docker Hub.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $dir = work_dir();
my $shipped = slurp("$ACR::Node::TREE/conf/pull-through.conf");

my $hub = start(fsync => 'off');
my $redis = redis();

# its client, and that of its second server
my $acr = prepare(redis => undef);
my $mirror = ACR::Client->new($acr->free_port());

mkdir("$dir/$_") or die "$_: $!\n" for qw(logs tmp);
spew("$dir/hub.password", "any\n");

my @places = (
    [qr{modules/ngx_http_acr_module\.so}, ACR::Node::module()],
    [qr{^}, 'daemon off; '],
    [qr{^user .*?;}m, $> == 0 ? 'user ' . ACR::Node::worker_user() . ';' : ''],
    [qr{worker_processes auto}, 'worker_processes 2'],
    [qr{unix:/run/redis-acr/redis-server\.sock}, $redis->address()],
    [qr{acr_root /var/lib/acr}, "acr_root $acr->{root}"],
    [qr{/run/nginx\.pid}, "$acr->{dir}/nginx.pid"],
    [qr{/var/log/nginx}, "$dir/logs"],
    [qr{/etc/acr}, $dir],
    [qr/^http \{\n/m, "http {\n" . join('', map {
        "    ${_}_temp_path $dir/tmp/$_;\n"
    } qw(client_body proxy fastcgi uwsgi scgi))],
    [qr{127\.0\.0\.1:5000}, "127.0.0.1:$acr->{port}"],
    [qr{127\.0\.0\.1:5001}, "127.0.0.1:$mirror->{port}"],
    [qr{^ +listen \[::1\].*\n}m, ''],
);

for my $place (@places) {
    my ($from, $to) = @$place;
    $shipped =~ s/$from/$to/g or die "no $from in pull-through.conf\n";
}

accepted($shipped, 'it is accepted');
accepted($shipped =~ s/^( *)# (acr_(?:cred|rem|fetch|fill)\w+ )/$1$2/gmr,
         'and so it is with the directives in its comments');

# without any way out of this machine
my $up = "127.0.0.1:$hub->{port}";
accepted($shipped =~ s{(acr_cache_rule)}{acr_remote docker.io http://$up;
                                         $1}r, 'with an upstream of ours');
$acr->run();
ok(wait_for(sub { $acr->get('/health')->status() == 200 }), 'it works');

my $blob = digest('layer of debian');
my $digest = $hub->push_image('library/debian', 'trixie', 'debian');

is(pulled($acr, 'docker.io/library/debian'), $digest, 'a pull by the name');
is(pulled($acr, 'docker.io/debian'), $digest, 'without library/');
is(pulled($acr, 'library/debian', '?ns=docker.io'), $digest,
   'by the name there, with ns');

$hub->stop();
is(pulled($mirror, 'library/debian'), $digest,
   'and through the server for mirrors, without the upstream');
is($mirror->get('/v2/library/debian/manifests/trixie')
   ->header('OCI-Namespace'), 'docker.io', 'which says whose it is');
answers($mirror->post('/v2/library/debian/blobs/uploads/'), 403,
        'nobody pushes there');
refused($acr->get('/v2/library/debian/manifests/trixie?ns=example.com'), 404,
        'NAME_UNKNOWN', 'a host that no rule is for');

my $log = slurp("$dir/logs/access.log");
like($log, qr{ docker\.io/library/debian MISS -$}m, 'the log tells what came');
like($log, qr{ docker\.io/library/debian HIT -$}m, 'and what was here');

$acr->stop();
unlike(slurp("$dir/logs/error.log"), qr/\[(?:alert|crit|emerg)\]|acr: /,
       'there is nothing bad in the other one');
finish();


sub accepted {
    my ($conf, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    spew("$acr->{dir}/nginx.conf", $conf);
    my ($said, $fine) = $acr->test();

    return ok($fine, $name) || diag($said);
}


# the digest of the tag and its layer, if the layer is what it was
sub pulled {
    my ($client, $repository, $more) = @_;

    $more = '' if !defined $more;

    my $manifest = $client->get("/v2/$repository/manifests/trixie$more");
    return $manifest->text() if $manifest->status() != 200;

    my $answer = $client->get("/v2/$repository/blobs/$blob$more");
    return $answer->text() if digest($answer->body()) ne $blob;

    return $manifest->header('Docker-Content-Digest');
}
