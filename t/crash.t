#!/usr/bin/perl

# Clients push, move and delete while something kills workers, the master,
# Redis, and what Redis knows.  After each round all that was acknowledged is
# there, byte for byte.
#
#   perl t/crash.t [SECONDS]    or ACR_CRASH_SECONDS; ACR_SEED repeats a run as
#                               far as that is possible

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Load;
use Time::HiRes qw(sleep time);

my $seconds = $ARGV[0] || $ENV{ACR_CRASH_SECONDS} || 10;
my $seed = $ENV{ACR_SEED} || time() % 1_000_000 | 0;

alarm($seconds + ($ENV{ACR_TIMEOUT} || 300));

# what came with the rebuild
my $rebuilds = slurp(ACR::Node::module()) =~ /acr_admin/;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'everysec');
my $acr = start(workers => 2, redis => $redis,
                $rebuilds ? (server => 'location /acr/admin/ { acr_admin; }')
                          : ());

$acr->allow(qr/worker process \d+ exited on signal 9/,
            qr/\[alert\].*has lost changes/,
            qr/\[crit\].*connect\(\).*redis\.sock/);

diag("ACR_SEED=$seed");
srand($seed);

my $load = ACR::Load->new([$acr], seed => $seed);
my $deadline = time() + $seconds;
my ($rounds, %kills) = (0);

# each of these at least once, if the time allows it
my @due = qw(worker master redis);
push(@due, 'wipe', 'empty', 'older') if $rebuilds;

while ($rounds < 2 || time() < $deadline) {
    $rounds++;

    # a Redis that was emptied is rebuilt meanwhile; that is a round of its own
    my @kinds = $rounds % 2 || !$rebuilds
        ? qw(worker worker master redis) : qw(wipe empty older worker);

    $load->begin(4);
    my $before = $load->acknowledged();

    for (1 .. 3) {
        my $more = $load->acknowledged() + 5 + int(rand(20));
        wait_for(sub { $load->acknowledged() >= $more }, 20);
        sleep(rand(0.3));

        my ($kind) = grep { my $due = $_; grep { $_ eq $due } @kinds } @due;
        $kind ||= $kinds[rand(@kinds)];
        @due = grep { $_ ne $kind } @due;
        $kills{$kind}++;
        main->can("kill_$kind")->();
    }

    my $more = $load->acknowledged() + 10;
    ok(wait_for(sub { $load->acknowledged() >= $more }, 30),
       "round $rounds: pushes go on");
    $load->end();
    ok(ready(), 'the registry is complete')
        or diag(join("\n", map { eval { fresh($acr, 'GET', $_)->text() } || $@ }
                '/acr/admin/stats', '/acr/admin/rebuild', '/v2/_catalog'));

    nothing('all that was acknowledged is there', $load->check($acr));
    nothing('Redis and the disk have the same', $load->apart($acr));
}


# --- in the end

ok(wait_for(sub {
    !@{ $redis->command('ZRANGE', key('pending'), 0, -1) }
}, 30), 'nothing stays pending');
nothing('Redis and the disk have the same', $load->apart($acr));

# what was under way may have left files of its own
nothing('nothing is half-written',
        grep { !m{/_uploads/|/acr/tmp/|/current/link\.[0-9a-f-]{36} } }
        half_written($acr));

diag(sprintf('%d rounds, %d kills (%s), %d objects checked, %d uploads '
             . 'resumed', $rounds, eval { my $n = 0; $n += $_ for %kills ?
             values(%kills) : (); $n },
             join(', ', map { "$_ $kills{$_}" } sort keys %kills),
             $load->{checked}, $load->{resumed}));

finish();


sub nothing {
    my ($name, @complaints) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@complaints, $name)
        or diag(join("\n", @complaints[0 .. ($#complaints > 9 ? 9
                                             : $#complaints)]));
}


# --- what happens

sub kill_worker {
    my @workers = $acr->workers();

    kill('KILL', $workers[rand(@workers)]) if @workers;
}


sub kill_master {
    $acr->kill_all();
    sleep(rand(0.2));
    $acr->run();
}


sub kill_redis {
    $redis->kill();
    sleep(rand(0.5));
    $redis->run();
}


# everything is forgotten while all are connected
sub kill_wipe {
    $load->lossy();
    $redis->command('FLUSHALL');
}


# another one, which knows nothing
sub kill_empty {
    $load->lossy();
    $redis->kill();
    system('rm', '-rf', "$redis->{dir}/appendonlydir",
           "$redis->{dir}/appendonly.aof");
    $redis->run();
}


# one that has lost the last second
sub kill_older {
    $load->lossy();

    my $copy = "$redis->{dir}/copy";
    my @files = grep { -e } map { "$redis->{dir}/$_" }
                qw(appendonlydir appendonly.aof);
    return kill_redis() if !@files;

    mkdir($copy) or die "$copy: $!\n";
    system('cp', '-a', @files, $copy) == 0 or die "cp has failed\n";
    sleep(1);

    $redis->kill();
    system('rm', '-rf', @files);
    system("mv $copy/* $redis->{dir}/ && rmdir $copy") == 0
        or die "mv has failed\n";
    $redis->run();
}


sub ready {
    return wait_for(sub {
        my $answer = eval { fresh($acr, 'GET', '/acr/admin/stats') };
        return 0 if !$answer || $answer->status() != 200;
        return $answer->json()->{state} eq 'complete';
    }, 30) if $rebuilds;

    return wait_for(sub {
        my $answer = eval { fresh($acr, 'GET', '/v2/_catalog') };
        return $answer && $answer->status() == 200;
    }, 30);
}
