#!/usr/bin/perl

# docker buildx, with the BuildKit in dockerd: builds for two platforms right
# into the registry, and caches in it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(dockerd => sub {
    my ($c) = @_;

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};

    plan(skip_all => 'no buildx of Debian')
        if ($c->run('docker', 'buildx', 'version'))[0] != 0;

    my @docker = dockerd($c) or return;
    my $context = "$dir/context";
    spew("$context/Dockerfile", "FROM scratch AS a\nCOPY a /a\n"
         . "FROM scratch\nARG TARGETARCH\nCOPY --from=a /a /a\n"
         . "COPY b.\$TARGETARCH /b\n");
    spew("$context/a", join("\n", 1 .. 100_000));
    spew("$context/b.$_", $_) for qw(amd64 arm64);

    my @build = (@docker, 'buildx', 'build', '--progress=plain');
    my $output;

    # two platforms

    $c->runs('build and push for two platforms', @build, '--platform',
             'linux/amd64,linux/arm64', '--push', '-t', "$at/image:1",
             '--metadata-file', "$dir/meta.json", $context);
    $output = $c->runs('imagetools inspect', @docker, 'buildx', 'imagetools',
                       'inspect', '--raw', "$at/image:1");
    my $index = eval { json($output) } // {};
    my @platforms = sort map { $_->{platform}{architecture} }
                    @{$index->{manifests} // []};
    is("@platforms", 'amd64 arm64 unknown unknown',
       'both are there, each with its provenance');

    # the cache in its two forms

    for my $form ('', ',image-manifest=true,oci-mediatypes=true',
                  ',image-manifest=false', ',mode=max,compression=zstd')
    {
        my $ref = "type=registry,ref=$at/cache:" . length($form);

        $c->runs("build with --cache-to $form", @build, '--cache-to',
                 $ref . $form, '-o', "type=cacheonly", $context);
        $c->runs('forget everything', @docker, 'buildx', 'prune', '-af');
        $output = $c->runs('build with --cache-from', @build, '--cache-from',
                           $ref, '-t', "$at/cached:1", '--push', $context);
        like($output, qr/CACHED/, 'it is used');
    }

    $c->runs('build with an inline cache', @build, '--cache-to', 'type=inline',
             '-t', "$at/inline:1", '--push', $context);
    $c->runs('forget everything', @docker, 'buildx', 'prune', '-af');
    $output = $c->runs('build with --cache-from', @build, '--cache-from',
                       "type=registry,ref=$at/inline:1", $context);
    like($output, qr/CACHED/, 'it is used');

    # an index made of what is there

    $c->runs('imagetools create', @docker, 'buildx', 'imagetools', 'create',
             '-t', "$at/image:2", "$at/image:1");
    $c->runs('pull that', @docker, 'pull', '-q', "$at/image:2");
});


# Starts one that keeps its images in containerd's store: only that has
# indexes, and exports caches.
sub dockerd {
    my ($c) = @_;

    my $dir = $c->{dir};
    my @docker = ('docker', '-H', "unix://$dir/docker.sock");

    spew("$dir/daemon.json",
         '{"features":{"containerd-snapshotter":true}}');

    my $log = $c->daemon('dockerd', '--config-file', "$dir/daemon.json",
        '-H', "unix://$dir/docker.sock",
        '--data-root', "$dir/docker", '--exec-root', "$dir/exec",
        '--pidfile', "$dir/docker.pid", '--storage-driver', 'native',
        '--bridge=none', '--iptables=false', '--ip6tables=false',
        '--ip-forward=false', '--ip-masq=false');

    my $up = wait_for(sub {
        return -S "$dir/docker.sock" && ($c->run(@docker, 'version'))[0] == 0;
    }, 60);
    ok($up, 'dockerd runs') or diag(slurp($log));

    return $up ? @docker : ();
}
