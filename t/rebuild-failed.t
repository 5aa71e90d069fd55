#!/usr/bin/perl

# A repository that could not be taken for its rebuild, and that Redis knows
# nothing of: the index is not complete without it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fake;
use ACR::Fault;
use ACR::Index;

my $redis = redis();
my $fake = ACR::Fake->start(dir => work_dir(), redis => $redis);
my $acr = start(redis => undef, lines => {
    redis => 'acr_redis ' . $fake->address() . ' timeout=5s;' });
$acr->{redis} = $redis;
wait_for(sub { $acr->get('/v2/_catalog')->status() == 200 });

my $digest = $acr->push_image("lib/$_", 'x', $_) for qw(a b c);
$digest = $acr->resolve('lib/b', 'x');

ok(wait_for(sub { !@{ $redis->command('ZRANGE', key('pending'), 0, -1) } }),
   'all is settled');
my $before = index_of_redis($acr);

# rebuild_begin is the only script that ends with a repository and a token
$fake->answers([qr/ \S+:behind lib\/b \S+$/ => "-ERR not now\r\n"]);
$acr->allow(qr/not now/);
$acr->allow(qr/\[alert\].*has lost changes/);
$redis->command('FLUSHALL');
$acr->get('/v2/_catalog');

ok(wait_for(sub {
       my %work = @{ $redis->command('HGETALL', key('work:rebuild')) };
       return $work{failed} || state($acr) !~ /:behind$/;
   }, 30), 'a repository could not be rebuilt');
like(state($acr), qr/:behind$/, 'so Redis is behind');

$fake->answers();

ok(complete($acr), 'it is complete when that was made good');
is($acr->resolve('lib/b', 'x'), $digest, 'with this repository');
is_deeply(index_of_redis($acr), $before, 'equal to what it was');

finish($acr);
