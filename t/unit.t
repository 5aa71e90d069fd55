#!/usr/bin/perl

# The unit tests of src/oci: each program of t/unit is one test here.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

my $unit = dirname(__FILE__) . '/unit';

open(my $make, '-|', "make -s --no-print-directory -C $unit run 2>&1")
    or die "make: $!";
my @lines = <$make>;
close($make);
my $status = $?;

for my $line (@lines) {
    chomp($line);

    if ($line =~ m{([^/ ]+) (?:ok, ([1-9]\d*) tests|FAILED)$}) {
        ok(defined $2, defined $2 ? "$1: $2 tests" : $1);

    } elsif ($status != 0) {
        diag($line);
    }
}

is($status, 0, 'make run');

done_testing();
