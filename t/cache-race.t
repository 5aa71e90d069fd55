#!/usr/bin/perl

# Three nodes, writers and readers, and a feed that is late, silent or cut at
# random: nobody is told what was before the last acknowledged change, on its
# node at once, on others not after the time that a beat is good for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use ACR::Metrics;
use ACR::Relay;
use List::Util qw(sum);
use Time::HiRes qw(sleep time);

my $seconds = $ARGV[0] || $ENV{ACR_CACHE_SECONDS} || 6;
my $seed = $ENV{ACR_SEED} || time() % 1_000_000 | 0;

# a second after its beat nobody relies on the feed; the rest is for a machine
# that is busy with something else in the middle of a request
my $LATE = 2;

alarm($seconds + ($ENV{ACR_TIMEOUT} || 300));
srand($seed);

my $server = 'acr_zone acr:2m; location = /metrics { acr_metrics; }';
my $redis = redis();
my @relays = map { ACR::Relay->start(redis => $redis, dir => work_dir()) }
             1 .. 3;
my $root = work_dir() . '/data';
my @nodes = map {
    start(workers => 2, redis => $redis, root => $root, node => "n$_",
          fsync => 'off', server => $server,
          lines => { redis => 'acr_redis ' . $relays[$_]->address() . ';' })
} 0 .. 2;
$_->allow(qr/exited on signal 9|has lost changes/) for @nodes;

my ($config, $layer) = ('{"os":"linux"}', 'a layer');
my @images = map { image($config, [], annotations => { n => "$_" }) } 0 .. 9;
my @digests = map { digest($_) } @images;

wait_for(sub { !grep { !eval { value($_, 'acr_feed_up') } } @nodes })
    or die "no feed\n";
$nodes[0]->push_blob('lib/a', $config);

my $end = time() + $seconds;
my @results = parallel((map { my $n = $_; sub { writer($n) } } 1 .. 6),
                       (\&reader) x 2, \&locker, \&spoiler);

my @wrong = map { ref($_->{wrong}) ? @{ $_->{wrong} } : ($_->{died}) }
            @results;
my @delays = sort { $a <=> $b } map { @{ $_->{delays} || [] } } @results;
my ($changes, $again) = map { my $key = $_;
                              sum(map { $_->{$key} || 0 } @results) }
                        qw(changes again);

is_deeply(\@wrong, [], 'nobody is told what was before');
cmp_ok($changes, '>', $seconds, "of $changes changes");
cmp_ok($again, '>', $changes, "which were looked up $again times more");

my $memory = sum(map { value($_, 'acr_lookups_total', source => 'memory') }
                 @nodes);
cmp_ok($memory, '>', 0, "memory has answered $memory lookups");

diag("ACR_SEED=$seed");
diag(sprintf('another node was late %d times, by %.0f ms at most',
             scalar(@delays), 1000 * ($delays[-1] || 0)));

finish();


# A tag of its own, which it moves and deletes; the version is what it last was
# told.
sub writer {
    my ($n) = @_;

    my ($tag, @wrong, @delays) = ("t$n");
    my ($changes, $again) = (0, 0);

    srand($seed + $n);
    while (time() < $end) {
        my $node = $nodes[rand(@nodes)];
        my $i = int(rand(@images));
        my $gone = rand() < 0.2;
        my $answer = eval {
            $gone ? $node->delete("/v2/lib/a/manifests/$tag")
                  : $node->put_manifest('lib/a', $tag, $images[$i]);
        };

        # a killed worker answers nobody; a second delete finds nothing
        if (!$answer || $answer->status() !~ /^20[12]$/) {
            settle($tag);
            next;
        }

        my $acknowledged = time();
        my $wanted = $gone ? '' : $digests[$i];
        $changes++;

        # its node at once, by any worker
        for (1 .. 3) {
            my $got = told($node, $tag);
            push(@wrong, "$tag at its node: $got, not $wanted")
                if defined $got && $got ne $wanted;
        }

        # the others
        for my $other (grep { $_ != $node } @nodes) {
            while (1) {
                my $late = time() - $acknowledged;
                my $got = told($other, $tag);
                last if defined $got && $got eq $wanted;
                push(@delays, $late) if defined $got;
                if (defined $got && $late > $LATE) {
                    push(@wrong, "$tag at another node: $got, not $wanted");
                    last;
                }
            }
        }

        # and for a while
        my $until = time() + (rand() < 0.3 ? rand(2 * $LATE) : 0);
        do {
            my $late = time() - $acknowledged;
            my $got = told($nodes[rand(@nodes)], $tag);
            push(@wrong, "$tag later: $got, not $wanted")
                if defined $got && $got ne $wanted && $late > $LATE;
            $again++;
        } while (time() < $until && !@wrong);
    }

    return { wrong => \@wrong, delays => \@delays, changes => $changes,
             again => $again };
}


# after a change whose answer was lost: one that has an answer
sub settle {
    my ($tag) = @_;

    wait_for(sub {
        my $answer = eval {
            $nodes[rand(@nodes)]->put_manifest('lib/a', $tag, $images[0]);
        };
        return $answer && $answer->status() == 201;
    });
}


# the digest, '' if there is none, undef: no answer
sub told {
    my ($node, $tag) = @_;

    my $answer = eval {
        fresh($node, 'HEAD', "/v2/lib/a/manifests/$tag");
    };
    return if !$answer;

    return $answer->status() == 200 ? $answer->header('Docker-Content-Digest')
         : $answer->status() == 404 ? ''
         : undef;
}


# has lookups under way at any time
sub reader {
    my $again = 0;

    while (time() < $end) {
        told($nodes[rand(@nodes)], 't' . int(1 + rand(6)));
        $again++;
    }

    return { wrong => [], again => $again };
}


# a repository that is locked against reading, and unlocked
sub locker {
    my @wrong;
    my $changes = 0;

    srand($seed + 10);
    $nodes[0]->push_blob('lib/b', $config);
    $nodes[0]->push_manifest('lib/b', 't', $images[0]);

    while (time() < $end) {
        my $node = $nodes[rand(@nodes)];
        my $open = rand() < 0.5;

        my $answer = eval { set($node, 'lib/b', readEnabled => $open) };
        next if !$answer || $answer->status() != 200;
        $changes++;

        for (1 .. 3) {
            my $got = eval { fresh($node, 'GET', '/v2/lib/b/manifests/t') };
            push(@wrong, 'a lock: ' . $got->status())
                if $got && $got->status() != ($open ? 200 : 405);
        }
    }

    return { wrong => \@wrong, changes => $changes };
}


sub spoiler {
    srand($seed + 20);

    # so that a feed that says nothing is met in every run
    $relays[0]->set(hold => 1);
    sleep(1.5 * $LATE);

    while (time() < $end) {
        my $relay = $relays[rand(@relays)];
        my $what = rand();

        if ($what < 0.1) {
            my @pids = $nodes[rand(@nodes)]->workers();
            kill('KILL', $pids[rand(@pids)]);
        }
        elsif ($what < 0.4) {
            $relay->set(hold => 1);
            sleep(rand() < 0.2 ? 1.5 * $LATE : rand(0.9));
            $relay->set();
        }
        else {
            $relay->set(delay => rand(0.005), cut => rand() < 0.4);
        }

        sleep(rand(0.3));
    }

    $_->set() for @relays;

    return { wrong => [] };
}
