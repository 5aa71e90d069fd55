#!/usr/bin/perl

# A repository that cannot be rebuilt: who waits for it is told so, and it can
# be begun anew at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fake;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $shim = ACR::Shim->new();
my $redis = redis();
my $fake = ACR::Fake->start(dir => work_dir(), redis => $redis);
my $acr = start(redis => undef, env => $shim->env(), lines => {
    redis => 'acr_redis ' . $fake->address() . ' timeout=5s;' });
$acr->{redis} = $redis;
wait_for(sub { $acr->get('/v2/_catalog')->status() == 200 });

my $token = sub { return $redis->command('HGET', key('rebuilding'), 'lib/b') };
my $digest = $acr->push_image('lib/b', 'x', 'b');

ok(wait_for(sub { !@{ $redis->command('ZRANGE', key('pending'), 0, -1) } }),
   'all is settled');

# somebody else has the rebuild of all, so that only requests have this one
# rebuilt: the last words are those of work_take
$fake->answers([qr/ \S+:behind rebuild \S+ 0$/ => "*1\r\n\$4\r\nbusy\r\n"]);

$acr->allow(qr/\[alert\].*has lost changes/, qr{/lib/b/_manifests/tags/x/});
$shim->rules('read_open /lib/b/_manifests/tags/x/current/link$ EACCES');
$redis->command('FLUSHALL');
ok(wait_for(sub { state($acr) =~ /:behind$/ }), 'Redis is behind');

is($acr->get('/v2/lib/b/tags/list')->status(), 503, 'a list gets 503');
is($shim->fired(), 2, 'after a second try, and no more');
is($token->(), '0 -', 'the rebuild is nobody\'s any more');

$shim->rules('read_open /lib/b/_manifests/tags/x/current/link$ EACCES count=1');

is_deeply([$acr->tags('lib/b')], ['x'], 'one that fails once is made good');
is($token->(), undef, 'it has ended');
is($acr->resolve('lib/b', 'x'), $digest, 'the tag is there');

$shim->clear();
$fake->answers();

ok(complete($acr), 'all is complete');

finish($acr);
