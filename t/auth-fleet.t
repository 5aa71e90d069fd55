#!/usr/bin/perl

# Nodes count together how many passwords and tokens were wrong; without Redis
# each counts for itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use MIME::Base64 qw(encode_base64);

my ($one, $two);
my $redis = redis();
$one = start(redis => $redis, http => conf(1000));
$two = node($one, http => conf(1000));


# --- Redis counts for both

answers(asks($one, 'alice', '192.0.2.1'), 401, 'wrong') for 1 .. 3;
counted(3, 3);
answers(asks($two, 'alice', '192.0.2.1'), 401, 'wrong at another node');
counted(4, 4);
answers(asks($two, 'bob', '192.0.2.1'), 401, 'another name');
counted(1, 4, 5);
answers(fresh($one, 'GET', '/v2/', headers => [
            Authorization => 'Bearer no.token.really',
            'X-From' => '192.0.2.1']), 401, 'a token');
counted(1, 4, 6);
answers(asks($one, 'alice', '192.0.2.2'), 401, 'another address');
counted(1, 1, 1, 4, 6);


# --- what Redis has

my @keys = failures();
is(scalar(grep { !/:failures:[0-9a-f]{64}\z/ } @keys), 0,
   'the keys are hashes');
is(scalar(grep { my $ttl = $redis->command('TTL', $_);
                 $ttl == -1 || $ttl > 60 } @keys), 0, 'that go in a minute');


# --- as if there had been many at a third node

for my $case ([2000, 'alice', 429, 'bob', 401, 'a name'],
              [20_000, 'bob', 429, 'dave', 429, 'an address'])
{
    my ($n, $name, $status, $other, $others, $what) = @$case;

    my ($key) = $n == 2000
        ? grep { $redis->command('GET', $_) == 4 } failures()
        : grep { $redis->command('GET', $_) > 4
                 && $redis->command('GET', $_) < 2000 } failures();
    $redis->command('INCRBY', $key, $n);

    for my $node ($one, $two) {
        my ($got, $tries) = (0, 0);

        # what is asked before Redis has answered counts here as well
        ok(wait_for(sub {
            $got = asks($node, $name, '192.0.2.1')->status();
            return $got != 401 || ++$tries > 500;
        }), "too many of $what");
        is($got, $status, 'at both nodes');
        answers(asks($node, $other, '192.0.2.1'), $others, 'another name');
    }
}

answers(asks($_, 'bob', '192.0.2.2'), 401, 'but not from another address')
    for $one, $two;


# --- without Redis

$_->allow(qr/Redis/) for $one, $two;
$_->reload(http => conf(5)) for $one, $two;
$redis->kill();
for my $node ($one, $two) {
    answers(asks($node, 'carol', '192.0.2.4'), 401, 'wrong') for 1 .. 5;
    answers(asks($node, 'carol', '192.0.2.4'), 429, 'too many at this node');
}

finish();


sub conf {
    my ($failures) = @_;

    return "acr_auth on; acr_auth_failures $failures;
            set_real_ip_from 127.0.0.1; real_ip_header X-From;";
}


sub asks {
    my ($node, $name, $from) = @_;

    return fresh($node, 'GET', '/v2/', headers => [
        Authorization => 'Basic ' . encode_base64("$name:wrong", ''),
        'X-From' => $from]);
}


# these are all that Redis has counted, in some order
sub counted {
    my (@n) = @_;
    my @has;

    ok(wait_for(sub {
        @has = sort { $a <=> $b } map { $redis->command('GET', $_) // 0 }
                                      failures();
        return "@has" eq "@n";
    }), "Redis has counted @n") || diag("@has");
}


sub failures {
    return @{$redis->command('KEYS', 'acr:*:failures:*')};
}
