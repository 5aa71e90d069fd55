#!/usr/bin/perl

# Garbage collection of many blobs and of a tenth of them: whether the time for
# one stays the same, and the memory of all workers.  BENCH_FILES is how many.

use strict;
use warnings;

use Bench;
use Volume;

my $FILES = $ENV{BENCH_FILES} || 1_000_000;

my %time;

begin();

for my $files ($FILES / 10, $FILES) {
    my $server = background();

    strays($files);

    for my $what (qw(orphans blobs)) {
        due() if $what eq 'blobs';

        push(@{ $time{$what} }, work('gc', $what));
    }

    stop($server);
    system('rm', '-rf', $server->{root});
}

# what was found, and what was removed
for my $what (qw(orphans blobs)) {
    my ($few, $many) = @{ $time{$what} };

    printf("%-22s %.2f of the time for a tenth of them, each\n", "gc, $what",
           $many / $few);
    goal("gc, $what of $FILES", 'a tenth', 'time', [$many / $few],
         [undef, 1.2]);
}
