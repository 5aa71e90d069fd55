#!/usr/bin/perl

# skopeo: copies in every form, sync, lists, deletes.

use strict;
use warnings;

use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

my $OCI = 'oci:' . layout()->{dir};

clients(skopeo => sub {
    my ($c) = @_;

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my $layout = layout();

    my @skopeo = ('skopeo', '--policy', work() . '/policy.json');
    my @plain = ('--src-tls-verify=false', '--dest-tls-verify=false');
    my @copy = (@skopeo, 'copy', '-q', @plain);

    # an image

    $c->runs('push an image', @copy, "$OCI:image", "docker://$at/image:1");
    stored('it is there', "$name/image", 1, $layout->{image});

    $c->runs('pull it', @copy, "docker://$at/image:1", "dir:$dir/image");
    is_deeply(digests("$dir/image"), $layout->digests($layout->{image}),
              'and get the same bytes');

    $c->runs('pull it by digest', @copy,
           "docker://$at/image\@$layout->{image}{digest}", "oci:$dir/oci:x");

    my $about = $c->runs('inspect', @skopeo, 'inspect', '--tls-verify=false',
                       "docker://$at/image:1");
    is(eval { json($about)->{Digest} }, $layout->{image}{digest},
       'tells its digest');

    # the same image of other tools

    $c->runs('make a docker-archive', @copy, "$OCI:image",
           "docker-archive:$dir/image.tar:local/image:1");
    $c->runs('push it', @copy, "docker-archive:$dir/image.tar",
           "docker://$at/archive:1");
    $c->runs('pull it', @copy, "docker://$at/archive:1",
           "docker-archive:$dir/back.tar:local/image:1");
    is(id_of("$dir/back.tar"), id_of("$dir/image.tar"), 'the same image id');

    $c->runs('push as Docker schema 2', @copy, '--format', 'v2s2',
           "$OCI:image", "docker://$at/v2s2:1");
    like(raw($c, "$at/v2s2:1")->{mediaType},
         qr/docker\.distribution\.manifest\.v2/, 'it is one');

    # to another repository

    $c->runs('copy within the registry', @copy, "docker://$at/image:1",
           "docker://$at/other/image:2");
    stored('all of it is there', "$name/other/image", 2, $layout->{image});

    # more than one platform

    $c->runs('copy --all of an index', @copy, '--all', "$OCI:index",
           "docker://$at/index:latest");
    stored('every platform is there', "$name/index", 'latest',
           $layout->{index});
    $c->runs('copy --all back', @copy, '--all', "docker://$at/index:latest",
           "oci:$dir/all:index");
    is_deeply(digests("$dir/all/blobs/sha256"),
              $layout->digests($layout->{index}), 'the same blobs');
    $c->runs('copy one platform', @copy, '--override-arch', 'arm64',
           "docker://$at/index:latest", "dir:$dir/arm64");

    # a Helm chart

    $c->runs('push a chart', @copy, "$OCI:chart",
             "docker://$at/charts/web:0.1");
    stored('it is there', "$name/charts/web", '0.1', $layout->{chart});

    # Other compression: the layers of a docker-archive have none, and the
    # cache that knows them in another form must not be there.

    for my $format (qw(zstd zstd:chunked)) {
        remove_tree(work() . '/containers/cache');
        my $to = "$at/compressed-" . ($format =~ tr/:/-/r) . ':1';

        $c->runs("push with $format", @copy, '--format', 'oci',
               '--dest-compress-format', $format,
               "docker-archive:$dir/image.tar", "docker://$to");
        my $manifest = raw($c, $to);
        like($manifest->{layers}[0]{mediaType}, qr/zstd/, 'its layers are');
        $c->runs("pull it", @copy, "docker://$to", "dir:$dir/zstd");
    }

    # many

    $c->runs("push tag $_", @copy, "$OCI:image", "docker://$at/many:$_")
        for qw(b a);
    my $tags = $c->runs('list-tags', @skopeo, 'list-tags', '--tls-verify=false',
                      "docker://$at/many");
    is_deeply(eval { json($tags)->{Tags} }, [qw(a b)], 'has them in order');

    $c->runs('sync to a directory', @skopeo, 'sync', @plain, '--src', 'docker',
           '--dest', 'dir', "$at/many", "$dir/sync");
    $c->runs('sync from it', @skopeo, 'sync', @plain, '--src', 'dir',
           '--dest', 'docker', "$dir/sync", "$at/synced");
    stored('all is there', "$name/synced/many", $_, $layout->{image})
        for qw(a b);

    # deletes

    $c->runs('delete', @skopeo, 'delete', '--tls-verify=false',
           "docker://$at/many:a");
    absent('the tag is gone', "$name/many", 'a');
    my $output = $c->fails('inspect after that fails', @skopeo, 'inspect',
                           '--tls-verify=false', "docker://$at/many:a");
    like($output, qr/manifest unknown/, 'since it is unknown');
});


sub raw {
    my ($c, $reference) = @_;

    my ($status, $output) = $c->run('skopeo', 'inspect', '--raw',
        '--tls-verify=false', "docker://$reference");

    return $status == 0 ? json($output) : { error => $output };
}


# The image id in a docker-archive.
sub id_of {
    my ($archive) = @_;

    my $manifest = qx(tar -xOf $archive manifest.json);
    return eval { json($manifest)->[0]{Config} };
}
