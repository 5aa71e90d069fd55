#!/usr/bin/perl

# buildah: images made by steps and from a Containerfile, its cache, lists.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(buildah => sub {
    my ($c) = @_;

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};
    my $tree = layout()->{tree};

    my @buildah = ('buildah', '--root', "$dir/root", '--runroot', "$dir/run",
                   '--storage-driver', 'vfs');
    my @plain = ('--tls-verify=false', '--signature-policy',
                 work() . '/policy.json');
    my $remove = sub { $c->runs('remove all', @buildah, 'rmi', '-a', '-f') };

    # by steps

    my $box = $c->runs('from scratch', @buildah, 'from', 'scratch') =~ s/\n//r;
    $c->runs('copy', @buildah, 'copy', '-q', $box, $tree, '/');
    $c->runs('config', @buildah, 'config', '--cmd', '/bin/sh', $box);
    $c->runs('commit', @buildah, 'commit', '-q', '--iidfile', "$dir/id",
             $box, "$at/steps:1");
    $c->runs('remove the container', @buildah, 'rm', $box);
    $c->runs('push', @buildah, 'push', '-q', @plain, "$at/steps:1");
    $remove->();

    my $id = $c->runs('pull', @buildah, 'pull', '-q', @plain, "$at/steps:1");
    is($id =~ s/\n//r, slurp("$dir/id") =~ s/^sha256://r, 'the same image');

    # from a Containerfile, on what was pushed

    my $context = "$dir/context";
    spew("$context/Containerfile", "FROM $at/steps:1\nCOPY a /a\nCOPY b /b\n");
    spew("$context/$_", $_ x 1000) for qw(a b);

    $c->runs('build', @buildah, 'build', '-q', @plain, '--layers',
             '--timestamp', 0, '-t', "$at/built:1", '--iidfile', "$dir/id",
             $context);
    $c->runs('push', @buildah, 'push', '-q', @plain, "$at/built:1");
    $remove->();
    $id = $c->runs('pull', @buildah, 'pull', '-q', @plain, "$at/built:1");
    is($id =~ s/\n//r, slurp("$dir/id") =~ s/^sha256://r, 'the same image');
    $remove->();

    # the cache of its steps in the registry

    my @cached = (@buildah, 'build', @plain, '--layers', '--cache-to',
                  "$at/cache", '--cache-from', "$at/cache", '-t', 'cached',
                  $context);
    my $output = $c->runs('build into the cache', @cached);
    like($output, qr/Pushing cache/, 'it is pushed');
    $remove->();
    $output = $c->runs('build from the cache', @cached);
    like($output, qr/Cache pulled from remote/, 'it is used');

    # a list

    my $list = "$at/list:1";
    $c->runs('manifest create', @buildah, 'manifest', 'create', $list);
    $c->runs('manifest add', @buildah, 'manifest', 'add', '--tls-verify=false',
             $list, "docker://$at/$_:1") for qw(steps built);
    $c->runs('manifest push', @buildah, 'manifest', 'push', '-q', '--all',
             @plain, $list, "docker://$list");
    $remove->();
    $c->runs('pull one of it', @buildah, 'pull', '-q', @plain, $list);
});
