#!/usr/bin/perl

# oras: artifacts and what is attached to them, copies with their referrers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(oras => sub {
    my ($c) = @_;

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my $layout = layout();
    my $http = '--plain-http';
    my $output;

    # files as an artifact

    spew("$dir/in/a.txt", "a\n");
    spew("$dir/in/b.bin", join('', map { chr } 0 .. 255) x 5000);
    spew("$dir/in/empty", '');

    $c->runs('push', 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh',
             "$dir/in", 'oras', 'push', $http, '--artifact-type',
             'application/vnd.example.files', "$at/files:1,latest",
             'a.txt:text/plain', 'b.bin', 'empty');
    $c->runs('pull', 'oras', 'pull', $http, '-o', "$dir/out", "$at/files:1");
    is(system('diff', '-r', "$dir/in", "$dir/out"), 0, 'the same files');

    # an image, an index and a chart that were made elsewhere

    for my $kind (qw(image index chart)) {
        my $descriptor = $layout->{$kind};
        my $to = "$at/$kind:1";

        $c->runs("copy the $kind", 'oras', 'cp', '--from-oci-layout',
                 '--to-plain-http', "$layout->{dir}:$kind", $to);
        stored('it is there', "$name/$kind", 1, $descriptor);
        $c->runs('copy it back', 'oras', 'cp', '--from-plain-http',
                 '--to-oci-layout', $to, "$dir/$kind:1");
        is_deeply(digests("$dir/$kind/blobs/sha256"),
                  $layout->digests($descriptor), 'the same bytes');
    }

    # referrers

    spew("$dir/sbom.json", '{"bomFormat":"CycloneDX"}');
    spew("$dir/note.txt", 'a note');
    my $attach = sub {
        my ($type, $file, $to) = @_;
        return $c->runs("attach $type", 'oras', 'attach', $http,
                        '--disable-path-validation', '--artifact-type', $type,
                        '--annotation', 'org.example.key=value',
                        $to, "$dir/$file");
    };

    $attach->('application/vnd.example.sbom', 'sbom.json', "$at/image:1");
    my ($sbom) = $attach->('application/vnd.example.note', 'note.txt',
                           "$at/image:1") =~ /Digest: (sha256:\w+)/;
    $attach->('application/vnd.example.note', 'note.txt', "$at/image\@$sbom");

    my $found = discover($c, "$at/image:1");
    is_deeply([sort map { $_->{artifactType} } @$found],
              ['application/vnd.example.note', 'application/vnd.example.sbom'],
              'discover finds both');
    is($found->[0]{annotations}{'org.example.key'}, 'value',
       'with their annotations');
    $found = discover($c, '--artifact-type', 'application/vnd.example.sbom',
                      "$at/image:1");
    is(scalar(@$found), 1, 'discover of one type');

    $c->runs('copy all that refers to it', 'oras', 'cp', '-r',
             '--from-plain-http', '--to-plain-http', "$at/image:1",
             "$at/copied/image:1");
    is(scalar(@{discover($c, "$at/copied/image:1")}), 2, 'both came along');

    # parts

    $output = $c->runs('manifest fetch', 'oras', 'manifest', 'fetch', $http,
                       '--descriptor', "$at/index:1");
    is(eval { json($output)->{digest} }, $layout->{index}{digest},
       'its descriptor');
    $output = $c->runs('blob push', 'oras', 'blob', 'push', $http,
                       "$at/parts", "$dir/note.txt");
    my ($blob) = $output =~ /Digest: (sha256:\w+)/;
    $output = $c->runs('blob fetch', 'oras', 'blob', 'fetch', $http, '-o', '-',
                       "$at/parts\@$blob");
    is($output, 'a note', 'it is there');
    $c->runs('blob delete', 'oras', 'blob', 'delete', $http, '-f',
             "$at/parts\@$blob");
    $c->fails('then it is not', 'oras', 'blob', 'fetch', $http, '-o', '-',
              "$at/parts\@$blob");

    # lists, tags, deletes

    $c->runs('tag', 'oras', 'tag', $http, "$at/files:1", 'b', 'a');
    $output = $c->runs('repo tags', 'oras', 'repo', 'tags', $http,
                       "$at/files");
    is($output, "1\na\nb\nlatest\n", 'has all of them');
    $output = $c->runs('repo ls', 'oras', 'repo', 'ls', $http,
                       registry() . "/$name/");
    like($output, qr{^(?:$name/)?copied/image$}m, 'has the repositories');
    $c->runs('manifest delete', 'oras', 'manifest', 'delete', $http, '-f',
             "$at/image:1");
    absent('it is gone', "$name/image", $layout->{image}{digest});
});


sub discover {
    my ($c, @arguments) = @_;

    my $output = $c->runs('discover', 'oras', 'discover', '--plain-http',
                          '--format', 'json', @arguments);
    my $found = eval { json($output) } // {};

    return $found->{referrers} // $found->{manifests} // [];
}
