#!/usr/bin/perl

# A manifest that cannot be read when the index is rebuilt: what it needs is
# kept, so that it is whole again when it can be read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $shim = ACR::Shim->new();
my $acr = start(env => $shim->env(), http => 'acr_gc_delay 1s;
                                              acr_gc_interval off;
                                              acr_gc_untagged 1s;',
                server => 'location /acr/admin/ { acr_admin; }');
$acr->allow(qr/\[alert\].*has lost changes/,
            qr/\[crit\].*failed \(5: Input\/output error\)/);
my $redis = $acr->{redis};

my $config = '{"seed":"child"}';
$acr->push_blob('lib/a', $config);
my $child = image($config, []);
$acr->push_manifest('lib/a', undef, $child);
my $index = $acr->push_manifest('lib/a', 'index', index_of([$child]));
my $image = $acr->push_image('lib/a', 'image', 'image');
my $other = $acr->push_image('lib/b', 'other', 'other');
my $unneeded = $acr->push_blob('lib/b', 'unneeded');

ok(settled(), 'all is settled');
my $before = index_of_redis($acr);
my @files = sort(ACR::Fault::files($acr->path('blobs')));

$shim->rules(map { "read_open " . $acr->blob_file($_) . ' EIO' }
                 $index, $image);
is(rebuild()->{skipped}, 4, 'two manifests and their tags are passed over');
is($acr->resolve('lib/b', 'other'), $other, 'what can be read is there');
is(stats()->{unread}, 3, 'the operator sees that something could not');
refused($acr->get('/v2/lib/a/manifests/image'), 500, 'UNKNOWN',
        'a pull of that is not answered by "unknown"');
refused($acr->get('/v2/lib/a/manifests/none'), 404, 'MANIFEST_UNKNOWN',
        'but one of what never was');

collected();
ok(!-e $acr->blob_file($unneeded), 'garbage is collected');
is_deeply([sort(ACR::Fault::files($acr->path('blobs')))],
          [grep { $_ ne $acr->blob_file($unneeded) } @files],
          'but nothing that may be needed');

$shim->clear();
is($acr->resolve('lib/a', 'image'), $image, 'once it can be read, it is');
is(rebuild()->{skipped} || 0, 0, 'and a rebuild is whole');
is($acr->resolve('lib/a', 'index'), $index, 'an index is back');
is($acr->resolve('lib/a', 'image'), $image, 'an image too');
answers($acr->get("/v2/lib/a/blobs/$_"), 200, 'with all it needs')
    for digest($config), digest('layer of image');
is_deeply(trimmed(index_of_redis($acr)), trimmed($before),
          'the index is what it was');
is(stats()->{unread}, 0, 'nothing is left of it');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');

my $lonely = $acr->push_blob('lib/a', 'lonely');
collected();
ok(!-e $acr->blob_file($lonely), 'and garbage goes there as well');

finish();


sub settled {
    return wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30);
}


sub stats { return admin($acr, 'GET', 'stats')->json() }


# a rebuild, and what it tells
sub rebuild {
    answers(admin($acr, 'POST', 'rebuild'), 202, 'a rebuild is asked for');

    my $now;
    ok(wait_for(sub {
        $now = admin($acr, 'GET', 'rebuild')->json();
        !$now->{running} && !$now->{requested} && defined $now->{finished};
    }, 30), 'a rebuild');

    return $now;
}


# the collector finds nothing more, though all is old enough
sub collected {
    settled();

    for my $turn (1 .. 3) {
        for my $set ('candidates', 'untagged') {
            my @all = @{ $redis->command('ZRANGE', key($set), 0, -1) };
            $redis->command('ZADD', key($set), 'XX', map { (1, $_) } @all)
                if @all;
        }

        my $last = admin($acr, 'GET', 'gc')->json()->{finished} || 0;
        answers(admin($acr, 'POST', 'gc'), 202, 'a collection');
        ok(wait_for(sub {
            my $now = admin($acr, 'GET', 'gc')->json();
            !$now->{running} && !$now->{requested} && defined $now->{finished};
        }, 30), 'which ends');
        settled();
    }
}


# without what was collected meanwhile
sub trimmed {
    my ($index) = @_;

    my %left = map { $_ => $index->{$_} }
               grep { !/^(?:blobs:lib\/b|candidates|in:\Q$unneeded\E)$/ }
               keys %$index;

    return \%left;
}
