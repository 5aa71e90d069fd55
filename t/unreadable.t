#!/usr/bin/perl

# A directory of the walk that cannot be read: what can be read is rebuilt, and
# the index is not complete without the rest.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $shim = ACR::Shim->new();
my $redis = redis();
my $acr = start(redis => $redis, env => $shim->env());
my $ask = sub { return $redis->command(@_) };

$acr->allow(qr/\[alert\].*has lost changes/);

# so often a log line is there
my $lines = sub {
    my ($line) = @_;
    return scalar(() = $acr->log_text() =~ /$line/g);
};
my $work = sub { return { @{ $ask->('HGETALL', key('work:rebuild')) } } };
my $current = sub { return $ask->('SISMEMBER', key('current'), $_[0]) };

my %digest = map { $_ => $acr->push_image($_, 'x', $_) }
             qw(a lib/a lib/x shut shut/a shut/b/c z);

ok(wait_for(sub { !@{ $ask->('ZRANGE', key('pending'), 0, -1) } }),
   'all is settled');
my $before = index_of_redis($acr);


# --- a directory above repositories, which is one itself

my $shut = qr{openat\(\) "[^"]*/repositories/shut" failed \(5: };
my $begins = qr/rebuild of "[^"]*" begins/;

$acr->allow($shut);
$shim->rules('read_open /repositories/shut$ EIO');
$ask->('FLUSHALL');

ok(wait_for(sub { 4 == grep { $current->($_) } qw(a lib/a lib/x z) }, 30),
   'what can be read is rebuilt');
ok(wait_for(sub { $shim->fired() >= 3 }, 30), 'the rest is tried again');
like(state($acr), qr/:behind$/, 'Redis is behind');

is($lines->($begins), 1, 'by the same rebuild');
ok(wait_for(sub { ($work->()->{skipped} || 0) == 1 }, 30),
   'it is counted once');
ok(wait_for(sub { $work->()->{repositories} == 4 }, 30),
   'and so is each of the others');
ok(wait_for(sub { $lines->($shut) == $shim->fired() }),
   'each walk has a line in the log');

is($acr->resolve($_, 'x'), $digest{$_}, "$_ is pulled") for sort keys %digest;
ok($acr->push_image('lib/a', 'y', 'while it is behind'), 'a push goes on');
is_deeply([$acr->tags('z')], ['x'], 'a list as well');
is($acr->get('/v2/_catalog')->status(), 503, 'the catalogue waits');
answers($acr->delete('/v2/lib/a/manifests/y'), 202, 'a delete goes on');

$shim->clear();

ok(complete($acr, 90), 'it is complete when all can be read');
is($acr->resolve($_, 'x'), $digest{$_}, "with $_") for sort keys %digest;
is($lines->($begins), 1, 'by the same rebuild still');
is($work->()->{repositories}, 7, 'which has counted each once');


# --- the directory of all

my $root = $acr->path('repositories');
my $gone = qr{opendir\(\) "[^"]*/repositories" failed \(2: };

$acr->allow($gone);
rename($root, "$root.away") or die "rename: $!\n";
$ask->('FLUSHALL');

ok(wait_for(sub { $lines->($gone) >= 3 }, 30),
   'without the directory of all it is tried again');
like(state($acr), qr/:behind$/, 'Redis is behind');
is($lines->($begins), 2, 'by one rebuild');

rename("$root.away", $root) or die "rename: $!\n";

ok(complete($acr, 90), 'it is complete when that is back');
is($acr->resolve($_, 'x'), $digest{$_}, "with $_") for sort keys %digest;
is($lines->($begins), 2, 'by the same rebuild');
ok($before->{repos} eq index_of_redis($acr)->{repos},
   'the repositories are those that were');

finish($acr);
