#!/usr/bin/perl

# umoci: makes an OCI layout by hand; skopeo carries it there and back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(umoci => sub {
    my ($c) = @_;

    plan(skip_all => 'no skopeo') if !$c->has('skopeo');

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};
    my @copy = ('skopeo', '--policy', work() . '/policy.json', 'copy', '-q',
                '--src-tls-verify=false', '--dest-tls-verify=false');

    $c->runs('init', 'umoci', 'init', '--layout', "$dir/layout");
    $c->runs('new', 'umoci', 'new', '--image', "$dir/layout:1");
    $c->runs('push an image without layers', @copy, "oci:$dir/layout:1",
             "docker://$at/empty:1");

    $c->runs('unpack', 'umoci', 'unpack', '--image', "$dir/layout:1",
             "$dir/bundle");
    system('cp', '-a', layout()->{tree} . '/.', "$dir/bundle/rootfs/");
    $c->runs('repack', 'umoci', 'repack', '--image', "$dir/layout:2",
             "$dir/bundle");
    $c->runs('config', 'umoci', 'config', '--image', "$dir/layout:2",
             '--config.cmd', '/bin/sh', '--author', 'nobody');

    my ($ref) = grep {
        $_->{annotations}{'org.opencontainers.image.ref.name'} eq '2'
    } @{json(slurp("$dir/layout/index.json"))->{manifests}};

    $c->runs('push', @copy, "oci:$dir/layout:2", "docker://$at/image:2");
    stored('it is there', "$c->{repo}/image", 2, $ref);

    $c->runs('pull', @copy, "docker://$at/image:2", "oci:$dir/back:2");
    $c->runs('unpack', 'umoci', 'unpack', '--image', "$dir/back:2",
             "$dir/again");
    is(archive("$dir/again/rootfs"), archive(layout()->{tree}),
       'the same files');
});


# The digest of a tree; diff stumbles over device files.
sub archive {
    my ($tree) = @_;

    my $tar = work() . '/tree.tar';

    system('tar', '--sort=name', '--mtime=@0', '--numeric-owner', '-C', $tree,
           '-cf', $tar, '.') == 0 or die "tar: $?";

    return Clients::Content::digest($tar);
}
