#!/usr/bin/perl

# Pulls of blobs, which are in memory and are discarded at the client: bytes a
# second and CPU a byte, for small ones requests; plain and over TLS, and a
# MiB of a large one.  For large ones the spread of bytes a second is wide, so
# that they are judged by CPU, too.

use strict;
use warnings;

use ACR::Content;
use Bench;

# name, size, connections, what is counted, range, with docker-registry
my @CASES = (
    ['256 MiB', 256 << 20, 4, 'bytes', undef, 1],
    ['1 MiB', 1 << 20, 8, 'bytes', undef, 1],
    ['4 KiB', 4 << 10, 32, 'requests', undef, 1],
    ['1 MiB of 256', 256 << 20, 8, 'bytes', 'bytes=77777777-78826352', 1],
    ['256 MiB, TLS', 256 << 20, 4, 'bytes'],
    ['1 MiB, TLS', 1 << 20, 8, 'bytes'],
    ['4 KiB, TLS', 4 << 10, 32, 'requests'],
);

my @wanted = grep { wanted($_->[0]) } @CASES or exit(0);
my (%digest, %files);

my $ours = ours('ours', tls => 1);
my $docker = docker();

for my $size (4 << 10, 1 << 20, 256 << 20) {
    my $bytes = bytes($size);

    $digest{$size} = $_->{client}->push_blob('team/app', $bytes)
        for $ours, $docker;
    $files{"v2/team/app/blobs/$digest{$size}"} = $bytes;
}

my $static = static('file', \%files, 'sendfile on;', tls => 1);
%files = ();

title('blob GET', 'throughput', 'CPU a byte [and Redis]');

for my $case (@wanted) {
    my ($name, $size, $connections, $what, $range, $with) = @$case;

    local $ENV{LOAD_RANGE} = $range || '';
    delete $ENV{LOAD_RANGE} if !$range;
    local $ENV{LOAD_TLS} = 1;
    delete $ENV{LOAD_TLS} if $with;

    my $results = rounds({ map {
        my $server = $_;
        ($server->{name} => sub {
            load($server, 'GET', "/v2/team/app/blobs/$digest{$size}",
                 $connections, $what)
        })
    } $ours, $static, $with ? $docker : () });

    row($name, 'ours', 'file', $results,
        rate => [$what eq 'bytes' ? 0.97 : 0.95, undef],
        $what eq 'bytes' ? (cpu => [undef, 1.05]) : ());
    row($name, 'ours', 'docker', $results) if $with;
}
