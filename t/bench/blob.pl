#!/usr/bin/perl

# Pulls of blobs, which are in memory and are discarded at the client: bytes a
# second and CPU a byte, for small ones requests.

use strict;
use warnings;

use ACR::Content;
use Bench;

# name, size, connections, what is counted
my @CASES = (['256 MiB', 256 << 20, 4, 'bytes'],
             ['1 MiB', 1 << 20, 8, 'bytes'],
             ['4 KiB', 4 << 10, 32, 'requests']);

my (%digest, %files);

my $ours = ours('ours');
my $docker = docker();

for my $case (@CASES) {
    my ($name, $size) = @$case;
    my $bytes = bytes($size);

    $digest{$name} = $_->{client}->push_blob('team/app', $bytes)
        for $ours, $docker;
    $files{"v2/team/app/blobs/$digest{$name}"} = $bytes;
}

my $static = static('file', \%files, 'sendfile on;');
%files = ();

title('blob GET', 'throughput', 'CPU a byte [and Redis]');

for my $case (@CASES) {
    my ($name, undef, $connections, $what) = @$case;

    my $results = rounds({ map {
        my $server = $_;
        ($server->{name} => sub {
            load($server, 'GET', "/v2/team/app/blobs/$digest{$name}",
                 $connections, $what)
        })
    } $ours, $static, $docker });

    row($name, 'ours', $_, $results) for 'file', 'docker';
}
