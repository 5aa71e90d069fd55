#!/usr/bin/perl

# zstd:chunked: podman asks for those parts of a layer that it does not have,
# as many ranges in one request.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

my $FILES = 300;

clients(podman => sub {
    my ($c) = @_;

    my $at = registry() . "/$c->{repo}/chunked";
    my $dir = $c->{dir};

    plan(skip_all => 'podman is too old')
        if (version($c))[0] < 5 || !$c->has('skopeo');

    spew("$dir/storage.conf", <<"CONF");
[storage]
driver = "overlay"
graphroot = "$dir/graph"
runroot = "$dir/run"
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false"}
CONF
    my @podman = ('env', "CONTAINERS_STORAGE_CONF=$dir/storage.conf",
                  'podman', '--cgroup-manager', 'cgroupfs');
    my @policy = ('--signature-policy', work() . '/policy.json');

    # Of the second image two in three files are those of the first.

    for my $version (1, 2) {
        for (1 .. $FILES) {
            next if $version == 2 && $_ % 3;
            spew("$dir/tree/$_", random(5_000 + 7 * $_));
        }
        push_tree($c, "$dir/tree", "$at:$version");

        my $output = $c->runs("pull image $version", @podman, '--log-level',
                              'debug', 'pull', '--tls-verify=false', @policy,
                              "$at:$version");
        like($output, qr/Retrieved partial blob/, 'by its parts');
        same_files($c, "$at:$version", "$dir/tree", @podman);
    }
});


sub version {
    my ($c) = @_;

    my ($status, $output) = $c->run('podman', '--version');
    return $output =~ /(\d+)\.(\d+)/;
}


sub random {
    my ($size) = @_;

    open(my $fh, '<:raw', '/dev/urandom') or die "/dev/urandom: $!";
    read($fh, my $data, $size) == $size or die "/dev/urandom: $!";
    return $data;
}


# As one layer, by way of an archive that podman makes.
sub push_tree {
    my ($c, $tree, $to) = @_;

    my $store = "$c->{dir}/vfs";
    my @podman = ('podman', '--root', $store, '--runroot', "$store.run",
                  '--storage-driver', 'vfs');

    system('tar', '-C', $tree, '-cf', "$c->{dir}/tree.tar", '.');
    $c->runs('import', @podman, 'import', '-q', "$c->{dir}/tree.tar", $to);
    $c->runs('push', @podman, 'push', '-q', '--tls-verify=false', '--format',
             'oci', '--compression-format', 'zstd:chunked',
             '--force-compression', $to);
}


sub same_files {
    my ($c, $image, $tree, @podman) = @_;

    $c->runs('the files are right', 'sh', '-c',
             'tree=$1 image=$2; shift 2'
             . ' && dir=$("$@" image mount "$image") && diff -r "$tree" "$dir"',
             'sh', $tree, $image, @podman);
}
