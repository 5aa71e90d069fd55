#!/usr/bin/perl

# docker: a real dockerd, in a directory of its own and without a bridge.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(dockerd => sub {
    my ($c) = @_;

    plan(skip_all => 'no docker') if !$c->has('docker');

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my @docker = $c->dockerd() or return;

    # Two layers: a tree, and a file on it.

    system('tar', '-C', layout()->{tree}, '-cf', "$dir/tree.tar", '.');
    spew("$dir/build/Dockerfile", "FROM local/base\nCOPY data /var/data\n"
         . "CMD [\"/bin/sh\"]\n");
    spew("$dir/build/data", join("\n", 1 .. 100_000));

    $c->runs('import a tree', @docker, 'import', "$dir/tree.tar",
             'local/base');
    $c->runs('build on it', 'env', 'DOCKER_BUILDKIT=0', @docker, 'build', '-q',
             '-t', 'local/image', "$dir/build");
    my $id = id($c, @docker, 'local/image');

    # push, pull

    $c->runs('tag', @docker, 'tag', 'local/image', "$at/image:1");
    my $output = $c->runs('push', @docker, 'push', "$at/image:1");
    my ($digest) = $output =~ /digest: (sha256:\w+)/;
    ok($digest, 'it tells the digest') or diag($output);

    $output = $c->runs('push again', @docker, 'push', "$at/image:1");
    like($output, qr/Layer already exists/, 'every layer is known');

    $c->runs('tag for another repository', @docker, 'tag', 'local/image',
             "$at/other:1");
    $output = $c->runs('push there', @docker, 'push', "$at/other:1");
    like($output, qr/Mounted from $name\/image/, 'layers are mounted');

    remove($c, @docker);
    $c->runs('pull', @docker, 'pull', '-q', "$at/image:1");
    is(id($c, @docker, "$at/image:1"), $id, 'the same image');

    remove($c, @docker);
    $c->runs('pull by digest', @docker, 'pull', '-q', "$at/image\@$digest");
    is(id($c, @docker, "$at/image\@$digest"), $id, 'the same image');

    # many tags

    $c->runs("tag $_", @docker, 'tag', "$at/image\@$digest", "$at/many:$_")
        for 1 .. 3;
    $c->runs('push all tags', @docker, 'push', '-q', '-a', "$at/many");
    remove($c, @docker);
    $c->runs('pull all tags', @docker, 'pull', '-q', '-a', "$at/many");
    is(id($c, @docker, "$at/many:$_"), $id, "tag $_") for 1 .. 3;

    # what skopeo would have pushed: an OCI index

    manifests($c, @docker);

    $output = $c->fails('pull of an unknown tag', @docker, 'pull',
                        "$at/image:unknown");
    like($output, qr/manifest unknown|not found/, 'the reason is told');
});


sub id {
    my ($c, @docker) = @_;

    my $image = pop(@docker);
    my ($status, $output) = $c->run(@docker, 'image', 'inspect', '-f',
                                    '{{.Id}}', $image);
    return $output =~ s/\n//r;
}


# An image that another is made of goes with it, or with the second try.
sub remove {
    my ($c, @docker) = @_;
    my @ids;

    for (1 .. 3) {
        my ($status, $output) = $c->run(@docker, 'image', 'ls', '-aq');
        @ids = split(' ', $output) or last;
        $c->run(@docker, 'image', 'rm', '-f', @ids);
    }
    ok(!@ids, 'all images are removed');
}


# A manifest list of docker's own, from two images for two platforms.
sub manifests {
    my ($c, @docker) = @_;

    my $at = registry() . "/$c->{repo}/list";
    my @manifest = ('env', 'DOCKER_CLI_EXPERIMENTAL=enabled', @docker,
                    'manifest');
    my $image = registry() . "/$c->{repo}/many:1";

    for my $arch (qw(amd64 arm64)) {
        $c->runs("tag $arch", @docker, 'tag', $image, "$at:$arch");
        $c->runs("push $arch", @docker, 'push', '-q', "$at:$arch");
    }

    $c->runs('manifest create', @manifest, 'create', '--insecure', "$at:all",
             "$at:amd64");
    $c->runs('manifest annotate', @manifest, 'annotate', '--os', 'linux',
             '--arch', 'amd64', "$at:all", "$at:amd64");
    $c->runs('manifest push', @manifest, 'push', '--insecure', "$at:all");
    my $output = $c->runs('manifest inspect', @manifest, 'inspect',
                          '--insecure', "$at:all");
    is(eval { scalar(@{json($output)->{manifests}}) }, 1, 'has its entry');
}
