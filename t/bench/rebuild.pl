#!/usr/bin/perl

# The index of a big volume made again from the directory: manifests a minute,
# CPU, and the memory of all workers meanwhile, in KiB.
#
# BENCH_MANIFESTS is how many there are.  A repository has 100
# manifests; each has a tag, a config of its own, and three layers that others
# have, too.

use strict;
use warnings;

use ACR::Content;
use Bench;
use Volume;

my $MANIFESTS = $ENV{BENCH_MANIFESTS} || 200_000;
my $EACH = 100;

my $server = background();
my $root = "$server->{root}/docker/registry/v2";

begin();
volume();
work('rebuild', 'manifests');
printf("%-22s %9d\n", 'memory of Redis, MiB',
       $server->{node}{redis}->command('INFO', 'memory')
       =~ /^used_memory:(\d+)/m ? $1 / 1048576 : 0);


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
