#!/usr/bin/perl

# Garbage collection while serving: what nothing refers to goes after its delay,
# all else stays.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $DELAY = 600;

my $acr = start(workers => 2, http => "acr_gc_delay ${DELAY}s;
                                       acr_gc_interval off;
                                       acr_gc_untagged ${DELAY}s;",
                server => 'location /acr/admin/ { acr_admin; }');
my $redis = $acr->{redis};


# --- what is needed, and what is not

my $kept = $acr->push_image('lib/a', 'kept', 'kept');
my $config = '{"seed":"gc"}';
$acr->push_blob('lib/a', $config);
my $child = image($config, []);
my $child_digest = $acr->push_manifest('lib/a', undef, $child);
$acr->push_manifest('lib/a', 'index', index_of([$child]));
my $signature = $acr->push_manifest('lib/a', undef, encode({
    schemaVersion => 2, mediaType => $IMAGE,
    config => descriptor($config, $CONFIG), layers => [],
    subject => { mediaType => $IMAGE, digest => $kept, size => 100 } }));

my $lonely = $acr->push_blob('lib/a', bytes(10_000, 'lonely'));
$acr->push_blob('lib/b', bytes(10_000, 'lonely'));
my $deleted = $acr->push_image('lib/a', 'deleted', 'deleted');
my @deleted = ($deleted, map { digest($_) } '{"seed":"deleted"}',
               'layer of deleted');
$acr->delete("/v2/lib/a/manifests/$deleted");
my $untagged = $acr->push_manifest('lib/a', undef,
                                   image($config, [], annotations =>
                                         { is => 'not tagged' }));
my $shared = $acr->push_blob('lib/a', 'shared by two');
answers($acr->post("/v2/lib/b/blobs/uploads/?mount=$shared&from=lib/a",
                   body => ''), 201, 'a blob of two repositories');
$acr->push_blob('lib/b', $config);
$acr->push_manifest('lib/b', 'b', image($config, ['shared by two']));

# a file that nobody knows: a crash between the file and its link
my $orphan = digest('an orphan');
my $file = $acr->blob_file($orphan);
system('mkdir', '-p', $file =~ s{/data$}{}r) == 0 or die;
spew($file, 'an orphan');
system('chown', '-R', ACR::Node::worker_user(), $acr->path('blobs')) == 0
    or die if $> == 0;


# --- nothing is due yet

my $gc = collect();
is($gc->{blobs} || 0, 0, 'nothing goes before its delay');
is($gc->{orphans}, 1, 'a file that nobody knows is found');


# --- it is due

due();

my $dry = collect('?dry_run=true');
ok($dry->{dry_run}, 'a dry run');
cmp_ok($dry->{bytes}, '>=', 10_000, 'tells how many bytes');
cmp_ok($dry->{links}, '>=', 3, 'of how many links');
cmp_ok($dry->{blobs}, '>=', 1, 'and files');
ok(-e $acr->blob_file($lonely), 'and removes nothing');

collected();

ok(!-e $acr->blob_file($_), "$_ is gone") for $lonely, @deleted, $orphan;
refused($acr->get("/v2/lib/$_/blobs/$lonely"), 404, 'BLOB_UNKNOWN',
        "from lib/$_ too") for qw(a b);
is($acr->resolve('lib/a', $untagged), undef, 'an untagged manifest is gone');
is($acr->resolve('lib/a', 'kept'), $kept, 'a tagged one stays');
is($acr->resolve('lib/a', $child_digest), $child_digest,
   'so does one that an index names');
is($acr->resolve('lib/a', $signature), $signature,
   'and one whose subject is there');
answers($acr->get("/v2/lib/b/blobs/$shared"), 200,
        'a blob that another repository needs stays');
refused($acr->get("/v2/lib/a/blobs/$shared"), 404, 'BLOB_UNKNOWN',
        'though not where nobody needs it');
is_deeply([half_written($acr)], [], 'all that is there is whole');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');
is($redis->command('ZCARD', key('collecting')), 0, 'nothing is left of it');


# --- a touch postpones it

my $touched = $acr->push_blob('lib/a', 'touched');
my $mounted = $acr->push_blob('lib/a', 'mounted');
my $named = $acr->push_blob('lib/a', 'named');
due();
answers($acr->head("/v2/lib/a/blobs/$touched"), 200, 'HEAD');
answers($acr->post("/v2/lib/c/blobs/uploads/?mount=$mounted&from=lib/a",
                   body => ''), 201, 'a mount');
$acr->push_manifest('lib/a', 'named', image($config, ['named']));
collect();
answers($acr->get("/v2/lib/a/blobs/$_"), 200, 'it stays')
    for $touched, $mounted, $named;
due();
collected();
refused($acr->get("/v2/lib/a/blobs/$_"), 404, 'BLOB_UNKNOWN',
        'but not for ever') for $touched, $mounted;
answers($acr->get("/v2/lib/a/blobs/$named"), 200, 'a manifest needs this one');


# --- a subject that goes takes its referrers with it, a little later

answers($acr->delete("/v2/lib/a/manifests/$kept"), 202, 'a subject is deleted');
due();
collected();
is($acr->resolve('lib/a', $signature), undef, 'its referrers follow');


# --- a push of what was collected

is($acr->push_blob('lib/a', bytes(10_000, 'lonely')), $lonely,
   'it can be pushed again');
answers($acr->get("/v2/lib/a/blobs/$lonely"), 200, 'and is there');

# a collector that died after its first step is taken over
my $again = $acr->push_blob('lib/a', 'again');
answers($acr->delete("/v2/lib/a/blobs/$again"), 202, 'a blob is deleted');
$redis->command('ZADD', key('collecting'), 1, $again);
ok(wait_for(sub { !-e $acr->blob_file($again) }, 30),
   'a collection that was cut short goes on');
ok(wait_for(sub { !$redis->command('ZCARD', key('collecting')) }),
   'to its end');
is($acr->push_blob('lib/a', 'again'), $again, 'a push waits for that');
answers($acr->get("/v2/lib/a/blobs/$again"), 200, 'and is kept');


# --- a directory that cannot be read is no reason not to go on

my ($unread) = grep { !-e } map { sprintf('%s/%02x', $acr->path('blobs/sha256'),
                                          $_) } 0 .. 255;
mkdir($unread, 0) or die "mkdir: $!\n";
$acr->allow(qr/\[crit\].*opendir\(\) "\Q$unread\E" failed/);
my $unneeded = $acr->push_blob('lib/a', 'unneeded');
answers($acr->delete("/v2/lib/a/blobs/$unneeded"), 202, 'a blob is deleted');
due();
cmp_ok(collect()->{failed}, '>=', 1, 'a run tells that something failed');
ok(!-e $acr->blob_file($unneeded), 'and removes what it can');
rmdir($unread) or die "rmdir: $!\n";


# --- not while the index is behind

my $last = $acr->push_blob('lib/a', 'last');
due();
$acr->allow(qr/has lost changes/);
$redis->command('FLUSHALL');
answers(admin($acr, 'POST', 'gc'), 202, 'a run is asked for');
ok(complete($acr), 'the index is rebuilt');
answers($acr->get("/v2/lib/a/blobs/$last"), 200,
        'and what was due has a fresh delay');

finish();


# all candidates are older than the delay
sub due {
    ok(wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30),
       'all is settled');
    for my $set ('candidates', 'untagged') {
        my @all = @{ $redis->command('ZRANGE', key($set), 0, -1) };
        $redis->command('ZADD', key($set), 'XX', map { (1, $_) } @all) if @all;
    }
}


# runs the collector once, and returns what it tells
sub collect {
    my ($query) = @_;

    my $before = admin($acr, 'GET', 'gc')->json();
    my $answer = admin($acr, 'POST', 'gc' . ($query || ''));
    die $answer->text() if $answer->status() != 202;

    my $now;
    wait_for(sub {
        $now = admin($acr, 'GET', 'gc')->json();
        !$now->{running} && !$now->{requested} && defined $now->{finished};
    }) or die 'the collector does not end: '
        . admin($acr, 'GET', 'gc')->text();

    return $now;
}


# A link that goes leaves a file to be collected, and a manifest leaves blobs:
# each has a delay of its own.
sub collected {
    for (1 .. 3) {
        collect();
        due();
    }
    return collect();
}
