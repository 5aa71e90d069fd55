#!/usr/bin/perl

# podman: import, push, pull, manifest lists, search.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(podman => sub {
    my ($c) = @_;

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my $layout = layout();

    my @podman = ('podman', '--root', "$dir/root", '--runroot', "$dir/run",
                  '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
                  '--events-backend', 'none');
    my @policy = ('--signature-policy', work() . '/policy.json');
    my @push = (@podman, 'push', '-q', '--tls-verify=false', @policy);
    my @pull = (@podman, 'pull', '-q', '--tls-verify=false', @policy);
    my $remove = sub {
        $c->runs('remove all', @podman, 'image', 'rm', '-a', '-f');
    };
    my $id = sub { id($c, @podman, $_[0]) };

    # an image of its own

    system('tar', '-C', $layout->{tree}, '-cf', "$dir/tree.tar", '.');
    $c->runs('import', @podman, 'import', '-q', "$dir/tree.tar",
             'local/image:1');
    my $image = $id->('local/image:1');

    $c->runs('push', @push, 'local/image:1', "docker://$at/image:1");
    $c->runs('push as Docker schema 2', @push, '--format', 'v2s2',
             'local/image:1', "docker://$at/image:v2s2");
    $c->runs('push with zstd', @push, '--compression-format', 'zstd',
             '--format', 'oci', 'local/image:1', "docker://$at/zstd:1");

    $remove->();
    for my $tag ("image:1", "zstd:1") {
        $c->runs("pull $tag", @pull, "$at/$tag");
        is($id->("$at/$tag"), $image, 'the same image');
    }

    # one that was made elsewhere

    $c->runs('pull from a layout', @pull, "oci:$layout->{dir}:image");
    my ($status, $output) = $c->run(@podman, 'images', '-q', '--no-trunc');
    my $config = $layout->manifest($layout->{image})->{config}{digest};
    like($output, qr/\Q$config\E/, 'it is there');
    $c->runs('push it', @push, '--digestfile', "$dir/digest", $config,
             "docker://$at/made:1");
    $remove->();
    $c->runs('pull it by its digest', @pull,
             "$at/made\@" . slurp("$dir/digest"));
    is('sha256:' . $id->("$at/made\@" . slurp("$dir/digest")), $config,
       'the same image');

    # a list of them

    my $list = "$at/list:latest";
    $c->runs('manifest create', @podman, 'manifest', 'create', $list);
    $c->runs('manifest add', @podman, 'manifest', 'add', '--tls-verify=false',
             $list, "docker://$at/image:1");
    $c->runs('manifest add', @podman, 'manifest', 'add', '--tls-verify=false',
             '--arch', 'arm64', $list, "docker://$at/made:1");
    $c->runs('manifest push --all', @podman, 'manifest', 'push', '-q', '--all',
             '--tls-verify=false', $list, "docker://$list");
    $output = $c->runs('inspect', 'skopeo', 'inspect', '--raw',
                       '--tls-verify=false', "docker://$list");
    is(eval { scalar(@{json($output)->{manifests}}) }, 2, 'it has both');
    $remove->();
    $c->runs('pull one of it', @pull, '--arch', 'arm64', $list);
    is('sha256:' . $id->($list), $config, 'the right one');

    # lists

    $output = $c->runs('search', @podman, 'search', '--tls-verify=false',
                       "$at/");
    like($output, qr/\Q$at\E\/image/, 'finds it in the catalogue');
    $output = $c->runs('search --list-tags', @podman, 'search', '--list-tags',
                       '--tls-verify=false', "$at/image");
    like($output, qr/ v2s2\s/, 'lists the tags');

    $output = $c->fails('pull of an unknown tag', @pull, "$at/image:unknown");
    like($output, qr/manifest unknown/, 'the reason is told');
});


sub id {
    my ($c, @podman) = @_;

    my $image = pop(@podman);
    my ($status, $output) = $c->run(@podman, 'image', 'inspect', '-f',
                                    '{{.Id}}', $image);
    return $output =~ s/\n//r;
}
