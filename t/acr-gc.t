#!/usr/bin/perl

# The collector and locks: a manifest with a lock stays although no tag has it,
# with all that it needs, until the lock is taken off.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use ACR::Index;

my $acr = start(workers => 2, http => 'acr_gc_delay 1s; acr_gc_interval off;
                                       acr_gc_untagged 1s;',
                server => 'location /acr/admin/ { acr_admin; }');
my $redis = $acr->{redis};

my $config = '{}';
my (%json, %digest);
for my $name (qw(free write delete read list child loose)) {
    $acr->push_blob('lib/a', $_) for $config, "layer of $name";
    $json{$name} = image($config, ["layer of $name"]);
    $digest{$name} = $acr->push_manifest('lib/a', undef, $json{$name});
}
$digest{index} = $acr->push_manifest('lib/a', undef, index_of([$json{child}]));
$digest{unlocked} = $acr->push_manifest('lib/a', undef,
                                        index_of([$json{loose}]));
my $subject = $acr->push_image('lib/a', 'subject', 'subject');
for my $name (qw(signature note)) {
    $digest{$name} = $acr->push_manifest('lib/a', undef, encode({
        schemaVersion => 2, mediaType => $IMAGE,
        artifactType => "application/vnd.test.$name",
        config => descriptor($config, $CONFIG), layers => [],
        subject => { mediaType => $IMAGE, digest => $subject, size => 1 } }));
}
change($acr, "lib/a/_manifests/$digest{$_}", writeEnabled => 0)
    for qw(write index signature);
change($acr, "lib/a/_manifests/$digest{delete}", deleteEnabled => 0);
change($acr, "lib/a/_manifests/$digest{list}", listEnabled => 0);

# a lock that was put on what had one already, and one that was taken off
change($acr, "lib/a/_manifests/$digest{write}", deleteEnabled => 0);
change($acr, "lib/a/_manifests/$digest{write}", deleteEnabled => 1);
change($acr, "lib/a/_manifests/$digest{free}", deleteEnabled => 0);
change($acr, "lib/a/_manifests/$digest{free}", deleteEnabled => 1);

# an untagged one in a repository with a lock
$acr->push_blob('lib/b', $_) for $config, 'layer of free', 'a lonely blob';
$acr->push_manifest('lib/b', undef, $json{free});
change($acr, 'lib/b', writeEnabled => 0);

answers($acr->delete("/v2/lib/a/manifests/$subject"), 202,
        'a subject is deleted');

collected();
for my $name (qw(write delete index child signature)) {
    is($acr->resolve('lib/a', $digest{$name}), $digest{$name},
       "$name stays");
}
for my $name (qw(write delete child)) {
    answers($acr->get('/v2/lib/a/blobs/' . digest("layer of $name")), 200,
            "with the layer of $name");
}
answers($acr->get('/v2/lib/a/blobs/' . digest($config)), 200,
        'and the config');
for my $name (qw(free list loose unlocked note)) {
    is($acr->resolve('lib/a', $digest{$name}), undef, "$name goes");
}
refused($acr->get('/v2/lib/a/blobs/' . digest("layer of $_")), 404,
        'BLOB_UNKNOWN', "with the layer of $_") for qw(free list loose);
is($acr->resolve('lib/b', $digest{free}), $digest{free},
   'nothing goes from a repository with a lock');
answers($acr->get('/v2/lib/b/blobs/' . digest($_)), 200, 'nor a blob of it')
    for 'layer of free', 'a lonely blob';

# and once more, after all was forgotten
$acr->allow(qr/\[alert\].*has lost changes/);
$redis->command('FLUSHALL');
answers(admin($acr, 'POST', 'gc'), 202, 'a run is asked for');
ok(complete($acr), 'the index is made again');
collected();
for my $name (qw(write delete index child signature)) {
    is($acr->resolve('lib/a', $digest{$name}), $digest{$name},
       "$name stays");
}
is($acr->resolve('lib/b', $digest{free}), $digest{free}, 'in lib/b too');

# the lock is taken off
change($acr, "lib/a/_manifests/$digest{$_}", writeEnabled => 1)
    for qw(write index signature);
change($acr, "lib/a/_manifests/$digest{delete}", deleteEnabled => 1);
change($acr, 'lib/b', writeEnabled => 1);
collected();
is($acr->resolve('lib/a', $digest{$_}), undef, "without the lock $_ goes")
    for qw(write delete index child signature);
is($acr->resolve('lib/b', $digest{free}), undef, 'from lib/b too');
is_deeply([half_written($acr)], [], 'all that is there is whole');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');

same_headers();
finish();


# all candidates are older than the delay
sub due {
    wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30)
        or die "something stays pending\n";

    for my $set ('candidates', 'untagged') {
        my @all = @{ $redis->command('ZRANGE', key($set), 0, -1) };
        $redis->command('ZADD', key($set), 'XX', map { (1, $_) } @all) if @all;
    }
}


# An index that goes leaves manifests, these leave blobs, and each has a delay
# of its own.
sub collected {
    for (1 .. 5) {
        due();

        my $answer = admin($acr, 'POST', 'gc');
        die $answer->text() if $answer->status() != 202;

        wait_for(sub {
            my $now = admin($acr, 'GET', 'gc')->json();
            !$now->{running} && !$now->{requested} && defined $now->{finished};
        }) or die 'the collector does not end';
    }
}
