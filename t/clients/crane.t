#!/usr/bin/perl

# crane: push, pull, copy, changes on the registry, validation.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(crane => sub {
    my ($c) = @_;

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my $layout = layout();
    my @crane = ('crane', '--insecure');
    my $output;

    # It pushes what a layout's index has: one with a single entry each.

    for my $kind (qw(image index)) {
        my $descriptor = $layout->{$kind};
        my $to = "$at/$kind:1";

        $layout->only("$dir/$kind", $kind);
        $c->runs("push the $kind", @crane, 'push', "$dir/$kind", $to);
        stored('it is there', "$name/$kind", 1, $descriptor);
        $output = $c->runs('digest', @crane, 'digest', $to);
        is($output, "$descriptor->{digest}\n", 'is what it should be');
        $c->runs('validate', @crane, 'validate', '--remote', $to);
        $c->runs('pull', @crane, 'pull', '--format', 'oci', $to,
                 "$dir/back-$kind");
        is_deeply(digests("$dir/back-$kind/blobs/sha256"),
                  $layout->digests($descriptor), 'the same bytes');
    }

    $c->runs('pull as an archive', @crane, 'pull', "$at/image:1",
             "$dir/image.tar");
    $c->runs('push it', @crane, 'push', "$dir/image.tar", "$at/archive:1");
    $c->runs('export', @crane, 'export', "$at/archive:1", "$dir/files.tar");
    like(qx(tar -tf $dir/files.tar), qr{^(?:\./)?etc/passwd$}m,
         'has the files');

    # in the registry

    $c->runs('copy', @crane, 'copy', "$at/index:1", "$at/copied/index:2");
    stored('it is there', "$name/copied/index", 2, $layout->{index});
    $c->runs('tag', @crane, 'tag', "$at/index:1", 'a-tag');
    $output = $c->runs('ls', @crane, 'ls', "$at/index");
    is($output, "1\na-tag\n", 'has both tags');
    $output = $c->runs('catalog', @crane, 'catalog', registry());
    like($output, qr{^$name/copied/index$}m, 'has the repository');

    system('tar', '-C', "$layout->{dir}.chart", '-cf', "$dir/chart.tar", '.');
    $c->runs('append a layer', @crane, 'append', '-b', "$at/image:1", '-f',
             "$dir/chart.tar", '-t', "$at/image:more");
    $c->runs('mutate', @crane, 'mutate', '--label', 'a=b', '--annotation',
             'c=d', '-t', "$at/image:changed", "$at/image:more");
    $c->runs('flatten', @crane, 'flatten', '-t', "$at/image:flat",
             "$at/image:changed");
    $c->runs("validate $_", @crane, 'validate', '--remote', "$at/image:$_")
        for qw(more changed flat);

    $c->runs('delete', @crane, 'delete',
             "$at/copied/index\@$layout->{index}{digest}");
    absent('it is gone', "$name/copied/index", 2);
    $output = $c->fails('digest after that fails', @crane, 'digest',
                        "$at/copied/index:2");
    like($output, qr/MANIFEST_UNKNOWN|404/, 'since it is unknown');
});
