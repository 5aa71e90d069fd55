#!/usr/bin/perl

# Manifests: requests a second and CPU a request over 32 connections.  The
# file that it is compared with is served in nginx's faster way for so small a
# one: without sendfile, from the cache of open files.  With a token: the same
# by a client that sends one, which nginx has to read for the file, too.
# Strict: every lookup asks Redis, beside a GET that redis-benchmark asks of the
# same Redis.

use strict;
use warnings;

use ACR::Content;
use Bench;
use JSON::PP qw(decode_json);

my $CONNECTIONS = 32;
my %GOAL = (tag => { rate => [1.15, undef], cpu => [undef, 0.85] },
            digest => { rate => [1, undef] });

my @contents = ('{"os":"linux"}', map { "layer $_" } 1 .. 3);
my $manifest = image($contents[0], [@contents[1 .. 3]]);
my %reference = (tag => 'latest', digest => digest($manifest));

my $ours = ours('ours');
my $token = ours('token', http => 'acr_auth on; acr_service bench;
                                   acr_token_lifetime 1h;',
                 server => 'location /acr/admin/ { acr_admin; }');
my $strict = ours('strict', server => 'acr_tag_consistency strict;');
my @others = others();
my $static = static('file',
                    { map { ("v2/team/app/manifests/$_" => $manifest) }
                      values %reference },
                    'sendfile off;');

my $admin = admin($token);

for my $client ($admin, map { $_->{client} } $ours, $strict, @others) {
    $client->push_blob('team/app', $_) for @contents;
    $client->push_manifest('team/app', 'latest', $manifest);
}

my $bearer = decode_json($admin->get(
    '/oauth2/token?service=bench&scope=repository:team/app:pull')->body())
    ->{token};

title('manifest', 'requests a second', 'CPU a request [and Redis]');

for my $kind (qw(tag digest)) {
    for my $method (qw(GET HEAD)) {
        my $case = "$method by $kind";
        next if !wanted($case);

        my $results = compared($method, $kind, $ours, $static, @others);

        row($case, 'ours', 'file', $results, %{ $GOAL{$kind} });
        row($case, 'ours', $_->{name}, $results) for @others;
    }
}

if (wanted('GET with a token')) {
    local $ENV{LOAD_AUTHORIZATION} = "Bearer $bearer";
    my $results = compared('GET', 'tag', $token, $static);

    row('GET with a token', 'token', 'file', $results, rate => [1, undef]);
}

if (wanted('GET, strict')) {
    my $results = rounds({
        strict => sub { load_of($strict, 'GET', 'tag') },
        redis => sub { redis_get($strict) },
    });

    row('GET, strict', 'strict', 'redis', $results, rate => [0.7, undef]);
}


sub compared {
    my ($method, $kind, @servers) = @_;

    return rounds({ map {
        my $server = $_;
        ($server->{name} => sub { load_of($server, $method, $kind) })
    } @servers });
}


sub load_of {
    my ($server, $method, $kind) = @_;

    return load($server, $method, "/v2/team/app/manifests/$reference{$kind}",
                $CONNECTIONS, 'requests');
}


# the same connections, for about as long
sub redis_get {
    my ($server) = @_;

    my $socket = $server->{redis_socket};
    my ($rate) = `redis-benchmark -s $socket -c $CONNECTIONS -n 100000 --csv \\
                  GET a` =~ /^"GET a","([\d.]+)"/m;
    die "redis-benchmark has failed\n" if !$rate;

    return { rate => $rate, cpu => 1, all => 1 };
}
