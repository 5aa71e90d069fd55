#!/usr/bin/perl

# Background work over a big volume: the index made again from the directory,
# and files that nobody needs collected; manifests and files a minute, CPU, and
# the memory of all workers meanwhile, in KiB.
#
# BENCH_MANIFESTS and BENCH_FILES are how many there are.  A repository has 100
# manifests; each has a tag, a config of its own, and three layers that others
# have, too.

use strict;
use warnings;

use ACR::Content;
use Bench;
use File::Path qw(make_path);
use List::Util qw(max);
use Time::HiRes qw(time sleep);

my $MANIFESTS = $ENV{BENCH_MANIFESTS} || 20_000;
my $FILES = $ENV{BENCH_FILES} || 20_000;
my $EACH = 100;
my $CANDIDATES = 'acr:{default}:candidates';

my $server = ours('ours', http => 'acr_gc_delay 1h; acr_gc_interval off;',
                  server => 'location /acr/admin/ { acr_admin; }');
my $root = "$server->{root}/docker/registry/v2";
my $redis = $server->{node}{redis};

printf("\n%-22s %9s %9s %9s %9s %9s %9s\n", 'background work', 'number',
       'a minute', 'CPU, s', 'Redis, s', '+RssAnon', '+Rss');

volume();
work('rebuild', 'manifests');
printf("%-22s %9d\n", 'memory of Redis, MiB',
       $redis->command('INFO', 'memory') =~ /^used_memory:(\d+)/m
       ? $1 / 1048576 : 0);

strays();

work('gc', 'orphans');
due();
work('gc', 'blobs');


# asks for the work, and waits for its end
sub work {
    my ($kind, $what) = @_;

    my @before = memory($server);
    my @most = @before;
    my ($cpu, $redis_cpu) = (cpu($server), redis_cpu($server));
    my $began = time();

    my $answer = $server->{client}->post("/acr/admin/$kind", body => '');
    die $answer->text() if $answer->status() != 202;

    my $now;
    do {
        sleep(0.2);
        my @memory = memory($server);
        @most = map { max($most[$_], $memory[$_]) } 0 .. $#most;
        $now = $server->{client}->get("/acr/admin/$kind")->json();
    } while ($now->{running} || $now->{requested});

    my $passed = time() - $began;

    printf("%-22s %9d %9d %9.1f %9.1f %9d %9d\n", "$kind, $what", $now->{$what},
           $now->{$what} * 60 / $passed, cpu($server) - $cpu,
           redis_cpu($server) - $redis_cpu,
           map { $most[$_] - $before[$_] } 0 .. $#most);
}


sub volume {
    for my $n (1 .. $MANIFESTS / $EACH) {
        my $repository = "$root/repositories/team" . $n % 100 . "/app$n";
        my @layers = map { "layer $_ of $n" } 1 .. 10;
        link_to("$repository/_layers", file($_)) for @layers;

        for my $i (1 .. $EACH) {
            my $config = qq({"seed":"$n/$i"});
            my $digest = file(image($config, [@layers[map { ($i + $_) % 10 }
                                                      0 .. 2]]));

            link_to("$repository/_layers", file($config));
            link_to("$repository/_manifests/revisions", $digest);
            put("$repository/_manifests/tags/v$i/current", 'link', $digest);
        }
    }

    owned();
}


sub strays {
    file("stray $_") for 1 .. $FILES;
    owned();
}


# makes all candidates older than their delay
sub due {
    my @all = @{ $redis->command('ZRANGE', $CANDIDATES, 0, -1) };

    while (my @some = splice(@all, 0, 1000)) {
        $redis->command('ZADD', $CANDIDATES, 'XX',
                        map { (1, $_) } @some);
    }
}


# a blob's file; its digest
sub file {
    my ($bytes) = @_;

    my $digest = digest($bytes);
    my $hex = substr($digest, 7);
    put("$root/blobs/sha256/" . substr($hex, 0, 2) . "/$hex", 'data', $bytes);

    return $digest;
}


sub link_to {
    my ($above, $digest) = @_;

    put("$above/sha256/" . substr($digest, 7), 'link', $digest);
}


sub put {
    my ($path, $name, $bytes) = @_;

    mkdir($path) or make_path($path);
    write_file("$path/$name", $bytes);
}


# the workers have to be able to remove it
sub owned {
    return if $> != 0;

    system('chown', '-R', ACR::Node::worker_user(), $root) == 0
        or die "chown has failed\n";
}
