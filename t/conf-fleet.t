#!/usr/bin/perl

# conf/fleet: three nodes of node.conf, which share a directory and the Redis of
# redis.conf, behind balancer.conf.  Clients come by TLS, and notice nothing of
# a node that ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Conf;
use ACR::Fleet;

my $HOST = 'registry.example.com';

my ($redis, $balancer, @nodes) = fleet(qw(one two three));
my ($one, $two, $three) = @nodes;
my %name = map { ("127.0.0.1:$_->{port}" => $_->{name}) } @nodes;

accepted($_, "node.conf is accepted ($_->{name})") for @nodes;
accepted($balancer, 'balancer.conf is accepted');

my $password = admin($one);
$_->run() for $two, $three, $balancer;


# --- any request may go to any node

is_deeply({ challenge($balancer->get('/v2/')) },
          { realm => "https://$HOST/oauth2/token", service => $HOST },
          'clients are told one address for all nodes');

log_in($balancer, $password, 'repository:lib/a:pull,push');
my $digest = $balancer->push_image('lib/a', 'latest', 'fleet');
pulled('an image is pushed and pulled') for @nodes;

my $bytes = bytes(1_000_000, 'fleet');
my $location = $balancer->upload('lib/a');
append($location, 100_000 * $_, 100_000, 'a piece') for 0 .. 4;
answers($balancer->close_upload($location, digest($bytes),
                                substr($bytes, 500_000)), 201,
        'the end of the upload');
is($balancer->get('/v2/lib/a/blobs/' . digest($bytes))->body(), $bytes,
   'is what was sent');

my @turns = turns($location, 6);
is_deeply([sort(keys(%{ { map { $_ => 1 } @turns } }))],
          [qw(one three two)], 'all nodes had a part in that');
ok(!grep({ $turns[$_] eq $turns[$_ - 1] } 1 .. $#turns), 'in turn');


# --- a node ends

$location = $balancer->upload('lib/a');
append($location, 0, 100_000, 'an upload begins');
$two->stop();

# twice around, so that it would be its turn, by a connection that was kept and
# by a new one
append($location, 100_000 * $_, 100_000, 'a node ends: it goes on')
    for 1 .. 6;
pulled('so do pulls') for 1 .. 6;
answers($balancer->close_upload($location, digest($bytes),
                                substr($bytes, 700_000)), 201,
        'and the upload is complete');
@turns = turns($location, 8);
ok(!grep({ /two$/ } @turns[1 .. 7]), 'without that node');
like(log_of(), qr/\[\Q127.0.0.1:$two->{port}\E, /, 'which was tried first');
log_in($balancer, $password, 'repository:lib/a:pull,push');


# --- a node dies in the middle of a push

$location = $balancer->upload('lib/a');
append($location, 0, 100_000, 'an upload begins');

my $http;
for (1 .. 3) {
    $http = $balancer->connect();
    $http->begin('PATCH', $location, chunked => 1, headers => [
        Host => $HOST, Authorization => $balancer->{authorization},
        'Content-Type' => 'application/octet-stream']);
    $http->chunk(substr($bytes, 100_000, 500_000));
    my $here = wait_for(sub {
        (grep { $_->fds(qr{/_uploads/}) } $one, $three)[0];
    });
    last if $here == $three;
    $http->finish();
    answers($http->answer('PATCH'), 202, 'a piece at the other node');
    $http->close();
    $location = $balancer->upload('lib/a');
    append($location, 0, 100_000, 'another one begins');
}

$three->kill_all();
refused($http->answer('PATCH'), 502, 'UNAVAILABLE',
        'a node dies: what was under way there fails');
$http->close();
my ($torn) = grep { / 502 / } split(/\n/, log_of());
like($torn, qr/"PATCH .*\[127\.0\.0\.1:$three->{port}\]/,
     'and is not sent to another');

my $answer = $balancer->get($location);
answers($answer, 204, 'another node knows the upload');
is($answer->header('Range'), '0-99999', 'as far as it was acknowledged');
append($location, 100_000, 500_000, 'it goes on there');
answers($balancer->close_upload($location, digest($bytes),
                                substr($bytes, 600_000)), 201,
        'and is complete');
pulled('pulls go on') for 1 .. 3;
$balancer->push_image('lib/a', 'one', 'one node');
pass('an image is pushed to the one that is left');


# --- nodes are restarted one after another, each when the one before answers

$_->run() for $two, $three;

for my $node (@nodes) {
    $node->stop();

    # so many that the balancer takes the node for gone
    $location = $balancer->upload('lib/a');
    for (0 .. 9) {
        append($location, 100_000 * $_, 100_000,
               "a push without $node->{name}");
        pulled('and a pull');
    }

    $node->run();
}


# --- Redis goes

$redis->kill_now();

for (1 .. 9) {
    answers($balancer->get('/v2/lib/a/tags/list'), 503,
            'without Redis nobody gets a list');
    $answer = $balancer->post('/v2/lib/a/blobs/uploads/', body => '');
    refused($answer, 503, 'UNAVAILABLE', 'and nobody pushes');
    ok($answer->header('Retry-After'), 'until later');
    pulled('pulls go on all the same');
}


# --- what is not for clients

answers(curl('--interface', '127.0.0.9', "http://127.0.0.1:$one->{port}/v2/"),
        403, 'past the balancer nobody gets to a node');
answers(curl('--interface', '127.0.0.9', '-H', 'X-Forwarded-For: 192.0.2.1',
             '--resolve', "$HOST:$balancer->{tls_port}:127.0.0.1",
             "https://$HOST:$balancer->{tls_port}/v2/_catalog"), 401,
        'a client of another address');
ok(wait_for(sub {
    grep { slurp("$_->{dir}/access.log")
               =~ m{^127\.0\.0\.9 .*/v2/_catalog.* 127\.0\.0\.1 }m } @nodes
}), 'is known to the node by that');
answers(curl('--interface', '127.0.0.8', '-H', 'X-Forwarded-For: 127.0.0.1',
             'http://127.0.0.1:' . $one->{ops}->port() . '/acr/admin/stats'),
        403, 'a balancer does not say who the operator is');
answers($balancer->get($_), 404, "$_ is not for clients")
    for '/acr/admin/stats', '/metrics';
answers($two->{ops}->get('/metrics'), 200, 'but for the operator');
answers($balancer->get('/v2/', headers => [Host => 'other.example.com']), 421,
        'another name is not served');

$_->stop() for @nodes;
refused($balancer->get('/v2/lib/a/manifests/latest'), 502, 'UNAVAILABLE',
        'without nodes there is an error as registries have them');

$_->allow(qr/worker process \d+ exited on signal 9/) for @nodes;
finish();


# the next bytes of an upload
sub append {
    my ($location, $offset, $size, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answers($balancer->patch($location, substr($bytes, $offset, $size),
                             $offset), 202, $name);
}


sub pulled {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = $balancer->get('/v2/lib/a/manifests/latest');
    is(digest($answer->body()), $digest, $name)
        or diag($answer->text());
}


sub log_of {
    return slurp("$balancer->{dir}/access.log");
}


# turns(LOCATION, N): which nodes were asked for an upload, by the N last
# requests of it; several by one request stand together
sub turns {
    my ($location, $n) = @_;

    my ($upload) = $location =~ m{/uploads/([\w-]+)};

    # the one that began it does not name it
    my @lines = @{ wait_for(sub {
        my @found = grep { m{"(?:PATCH|PUT|GET) \S*\Q$upload\E} }
                    split(/\n/, log_of());
        return @found >= $n ? \@found : undef;
    }) || [] };

    is(scalar(@lines), $n, 'each request is in the log');

    return map { my ($where) = / \[(127[^\]]*)\]/;
                 join(', ', map { $name{$_} } split(/, /, $where)) } @lines;
}
