#!/usr/bin/perl

# What one object takes: of Redis's memory, of the disk in bytes and inodes, and
# of acr_zone.  Everything is pushed through the API.
#
# BENCH_OBJECTS is how many there are of each kind.  Redis is what used_memory
# says, without the log of changes, which has a length of its own; the disk is
# what "du" says of the file system below TMPDIR.  Contents are of a few bytes,
# so what they take themselves is a block each.

use strict;
use warnings;

use ACR::Content;
use Bench;

my $N = $ENV{BENCH_OBJECTS} || 2000;
my $ZONE_MIB = 8;

my $server = ours('size', fsync => 'off',
                  lines => { zone => "acr_zone acr:${ZONE_MIB}m;" },
                  http => 'acr_gc_interval off; acr_gc_delay 10d;',
                  server => 'location = /metrics { acr_metrics; }');
my $client = $server->{client};
my $redis = $server->{node}{redis};
my $prefix = 'acr:{default}:';

my @layers = map { "layer $_" } 1 .. 5;
my $config = '{"config":1}';
my $manifest = image($config, \@layers);

printf("\n%-38s %9s %9s %9s %9s\n", 'size', 'number', 'of Redis', 'of disk',
       'inodes');

push_to('team/app', 'latest', $manifest);

line('tags of one manifest', sub {
    put('team/app', "v$_", $manifest) for 1 .. $N;
});
line('manifests without a tag', sub {
    put('team/app', digest($_), $_) for manifests('none');
});
line('manifests with a tag', sub {
    my $n = 0;
    put('team/app', 'w' . $n++, $_) for manifests('tag');
});
line('blobs', sub {
    $client->push_blob('team/app', "blob $_") for 1 .. $N;
});
line('blobs, mounted from there', sub {
    mount('team/other', digest("blob $_"), 'team/app') for 1 .. $N;
});
line('repositories, one tag, 6 shared blobs', sub {
    for my $repository (map { "team/app$_" } 1 .. $N) {
        mount($repository, digest($_), 'team/app') for @layers, $config;
        put($repository, 'latest', $manifest);
    }
});
line('open upload sessions, begun', sub {
    $client->upload('team/app') for 1 .. $N;
});
line('open upload sessions, 1 KiB sent', sub {
    $client->patch($client->upload('team/app'), 'x' x 1024) for 1 .. $N;
});

events();
zone(1);
zone(5);


# manifests that differ in an annotation, with blobs that are there
sub manifests {
    my ($seed) = @_;

    return map { image($config, \@layers,
                       annotations => { number => "$seed $_" }) } 1 .. $N;
}


sub push_to {
    my ($repository, $tag, $manifest) = @_;

    $client->push_blob($repository, $_) for @layers, $config;
    put($repository, $tag, $manifest);
}


sub put {
    my ($repository, $reference, $manifest) = @_;

    my $answer = $client->put_manifest($repository, $reference, $manifest);
    die $answer->text() . "\n" if $answer->status() != 201;
}


sub mount {
    my ($repository, $digest, $from) = @_;

    my $answer = $client->post(with("/v2/$repository/blobs/uploads/",
                                    mount => $digest, from => $from),
                               body => '');
    die $answer->text() . "\n" if $answer->status() != 201;
}


# how much more there is of each after the function, for one
sub line {
    my ($name, $function) = @_;

    my @before = used();
    $function->();
    my @after = used();

    printf("%-38s %9d %9d %9d %9.1f\n", $name, $N,
           map { ($after[$_] - $before[$_]) / $N } 0 .. $#after);
}


# bytes of Redis without the log, bytes and inodes of the disk
sub used {
    my $pending;

    do {
        select(undef, undef, undef, 0.1);
        $pending = $redis->command('ZCARD', "${prefix}pending");
    } while ($pending);

    my ($bytes) = map { split(' ') } `du -s -B 1 $server->{root}`;
    my ($inodes) = map { split(' ') } `du -s --inodes $server->{root}`;

    return (memory_of_redis() - log_size(), $bytes, $inodes);
}


sub memory_of_redis {
    return $redis->command('INFO', 'memory') =~ /^used_memory:(\d+)/m ? $1 : 0;
}


sub log_size {
    return $redis->command('MEMORY', 'USAGE', "${prefix}events", 'SAMPLES', 0)
           || 0;
}


sub events {
    my $n = $redis->command('XLEN', "${prefix}events");

    printf("%-38s %9d %9d %9s %9s\n", 'entries of the log of changes', $n,
           log_size() / $n, '', '');
}


# How many tags with their manifests acr_zone has room for: they are pulled one
# after the other, and then back; those that are there came last.
sub zone {
    my ($layers) = @_;

    my $room = 0.75 * ($ZONE_MIB - 1) * 1048576;
    my $repository = "zone/app$layers";
    my $tags = int($room / 1024);
    my $manifest = image($config, [@layers[0 .. $layers - 1]]);

    push_to($repository, 'first', $manifest);

    for (1 .. $tags) {
        put($repository, "z$_", image($config, [@layers[0 .. $layers - 1]],
                                      annotations => { number => "$_" }));
    }

    $client->get("/v2/$repository/manifests/z$_") for 1 .. $tags;

    my $before = from_memory();
    $client->get("/v2/$repository/manifests/z$_") for reverse(1 .. $tags);
    my $fits = from_memory() - $before;

    die "acr_zone has room for all\n" if $fits == $tags;

    printf("acr_zone: a tag with a manifest of %d bytes: %d bytes\n",
           length($manifest), $room / ($fits || 1));
}


sub from_memory {
    return $client->get('/metrics')->body()
        =~ /^acr_lookups_total\{.*source="memory"\} (\d+)/m ? $1 : 0;
}
