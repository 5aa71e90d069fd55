#!/usr/bin/perl

# Sentinels that are of no use: those that are not there, do not answer, tell
# what cannot be used, or tell a Redis that is not the master.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fake;
use ACR::Sentinel;

my $reserved = {};
my ($master, $replica, $alone) = map {
    my $port = ACR::Node::free_port($reserved);
    my $redis = redis('--port', $port, '--bind', '127.0.0.1');
    $redis->{port} = $port;
    $redis;
} 1 .. 3;
$replica->command('REPLICAOF', '127.0.0.1', $master->{port});

my @fakes = map { ACR::Fake->start(dir => work_dir()) } 1, 2;
my $closed = ACR::Node::free_port($reserved);
my $good = told('127.0.0.1', $master->{port});

my $acr = prepare(redis => $master, workers => 2, fsync => 'off');
$acr->{redis} = $master;


# --- they are passed over

says(0, '');
says(1, $good);
begins($acr, join(',', "127.0.0.1:$closed", "127.0.0.1:$master->{port}",
                  map { $_->address() } @fakes));
ok(wait_for(sub { begun($acr) == 202 }), 'the last of four sentinels is asked');
first_image($acr);
goes_on($acr, 'with it');
logged($acr, qr/sentinel $_ of Redis .* is passed over/, "that $_ is none")
    for "127.0.0.1:$closed", "127.0.0.1:$master->{port}", $fakes[0]->address();
unlike(news($acr), qr/no sentinel of/, 'and nothing of all of them');


# --- what one may say

my @cases = (
    ['a host name', told('redis.example', 6379),
     qr/resolve-hostnames and announce-hostnames to "no"/],
    ['no master', "*-1\r\n", qr/it has no master of this name/],
    ['port 0', told('127.0.0.1', 0), qr/it tells an invalid port/],

    ['no address', told('', 6379), qr/resolve-hostnames/],
    ['port 65536', told('127.0.0.1', 65536), qr/it tells an invalid port/],
    ['nil', "\$-1\r\n", qr/it has no master of this name/],

    ['a long address', told('1' x 5000, 6379), qr/resolve-hostnames/],
    ['an error', "-IDONTKNOW who\r\n", qr/IDONTKNOW/],
    ['something else', "+OK\r\n", qr/its answer is not known/],

    ['no protocol', "HTTP/1.1 400\r\n\r\n", qr/Protocol error/],
    ['a list', "*2\r\n:1\r\n*0\r\n", qr/its answer is not known/],
    ['nothing', '', qr/no answer within the time-out/],
);

says(0, $good);
begins($acr, $fakes[0]->address());
goes_on($acr, 'with a sentinel that tells the master');

# there are no more than three lines about a loss
while (my @three = splice(@cases, 0, 3)) {
    news($acr);

    for my $case (@three) {
        my ($name, $answer, $reason) = @$case;
        says(0, $answer);
        logged($acr, qr/no sentinel .*: .*$reason/, "why $name is refused",
               lines => 2);
    }

    is(begun($acr), 202, 'the connection is kept meanwhile');
    says(0, $good);
    logged($acr, qr/tells its master again/, 'that it is right again',
           lines => 2);
}


# --- not the master

says(0, told('127.0.0.1', $replica->{port}));
logged($acr, qr/it is a replica: acr_redis needs the master/, 'what it is',
       lines => 2);
unavailable($acr, 'a sentinel that tells a replica');
says(0, $good);
goes_on($acr, 'when it tells the master');

says(0, told('127.0.0.1', $closed));
logged($acr, qr/master 127\.0\.0\.1:$closed is not usable/, 'what it is',
       lines => 2);
unavailable($acr, 'a sentinel that tells a port that is closed');
says(0, $good);
goes_on($acr, 'when it tells the master');

says(0, told('127.0.0.1', $replica->{port}));
begins($acr, join(',', map { $_->address() } @fakes));
goes_on($acr, 'if one of two sentinels is behind the times');


# --- a master that is cut off from its replicas, with its sentinel

$acr->allow(qr/\[alert\].*has lost changes/);
says(0, told('127.0.0.1', $alone->{port}));
says(1, "-LOADING\r\n");
begins($acr, join(',', map { $_->address() } @fakes));
ok(wait_for(sub { begun($acr) == 202 }), 'it is used at first');
$alone->command('CONFIG', 'SET', 'min-replicas-to-write', 1);
says(1, $good);
goes_on($acr, 'with the other one');

finish();


sub says {
    my ($n, $answer) = @_;

    $fakes[$n]->answers([qr/^PING/ => "+PONG\r\n"],
                        [qr/^SENTINEL get-master-addr-by-name acr$/
                         => $answer]);
}
