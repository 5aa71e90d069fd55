#!/usr/bin/perl

# Manifests: what is accepted, refused and given back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my ($config, $layer) = ('{"architecture":"amd64"}', 'a layer');
my $repo = 'lib/app';
my $none = 'sha256:' . '0' x 64;

$acr->push_blob($repo, $_) for $config, $layer;

my $DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
my $LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';


# --- an image

my $image = image($config, [$layer]);
my $digest = digest($image);

my $made = $acr->put_manifest($repo, '1.0', $image);
answers($made, 201, 'PUT by tag');
like($made->location(), qr{^/v2/$repo/manifests/(?:1\.0|\Q$digest\E)$},
     'has the location of the manifest');
is($made->header('Docker-Content-Digest'), $digest, 'and its digest');
is($made->header('OCI-Subject'), undef, 'no subject was processed');
kept($image, $IMAGE, '1.0', $digest, $made->location());

is(slurp($acr->link_file($repo, 'revision', $digest)), $digest,
   'the revision is on the disk');
is($acr->tag_on_disk($repo, '1.0'), $digest, 'so is the tag');
is(slurp($acr->path("repositories/$repo/_manifests/tags/1.0/index/"
                    . ($digest =~ s{:}{/}r) . '/link')), $digest,
   'and its history');
is(slurp($acr->blob_file($digest)), $image, 'and the bytes');

answers($acr->put_manifest($repo, '1.0', $image), 201, 'PUT again');
answers($acr->put_manifest($repo, $digest, $image), 201, 'PUT by digest');
is($acr->resolve($repo, '1.0'), $digest, 'changes nothing');


# --- all types

my $docker = encode({
    schemaVersion => 2, mediaType => $DOCKER,
    config => descriptor($config,
                         'application/vnd.docker.container.image.v1+json'),
    layers => [descriptor($layer, 'application/vnd.docker.image.rootfs.diff.'
                                  . 'tar.gzip')] });
my $list = encode({
    schemaVersion => 2, mediaType => $LIST,
    manifests => [descriptor($docker, $DOCKER, platform => {
        architecture => 'amd64', os => 'linux' })] });
my $artifact = image('{}', [], artifactType => 'application/x-thing',
                     config => descriptor('{}', 'application/vnd.oci.empty.v1'
                                          . '+json', data => 'e30='));
my $index = index_of([$image], annotations => { a => 'b' });
my $nested = index_of([descriptor($index, $INDEX)]);
my $other = '{"anything":[1,2,{"x":null}],"goes":true}';

$acr->push_blob($repo, '{}');

for my $case (['docker', $docker, $DOCKER], ['list', $list, $LIST],
              ['artifact', $artifact, $IMAGE], ['index', $index, $INDEX],
              ['nested', $nested, $INDEX],
              ['other', $other, 'application/vnd.example.thing.v1+json'])
{
    my ($tag, $json, $type) = @$case;
    answers($acr->put_manifest($repo, $tag, $json, $type), 201, "$tag: PUT");
    kept($json, $type, $tag, digest($json));
}

for my $accept ('text/plain', $DOCKER, "$LIST, $DOCKER;q=0.1", '*/*') {
    my $answer = $acr->get("/v2/$repo/manifests/1.0", headers => [
        Accept => $accept]);
    answers($answer, 200, "Accept: $accept refuses nothing");
    is($answer->header('Content-Type'), $IMAGE, 'and converts nothing');
}


# --- exact bytes

for my $json ("$image\n", " \n\t$image  ", $image =~ s/,/ , /gr,
              image($config, [$layer], custom => { deep => [[[1]]] }),
              image($config, [$layer], annotations => {
                  text => "\x{e4}\x{20ac}\x{1f433}\"\\/\n\1" }),
              $image =~ s/"config"/"\\u0063onfig"/r,
              $image =~ s/\}$/,"n":[-9223372036854775808,1.5e-300,-0]}/r)
{
    answers($acr->put_manifest($repo, 'exact', $json, $IMAGE), 201,
            'an unusual form');
    kept($json, $IMAGE, 'exact', digest($json));
}

answers($acr->put_manifest($repo, 'type', $image, "$IMAGE; charset=utf-8"), 201,
        'a type with parameters');
kept($image, $IMAGE, 'type', $digest);

answers($acr->put_manifest($repo, 'untyped', $image, ''), 201,
        'no type in the header');
kept($image, $IMAGE, 'untyped', $digest);

my $untyped = image($config, [$layer], mediaType => undef);
answers($acr->put_manifest($repo, 'header', $untyped, $IMAGE), 201,
        'a type in the header only');
kept($untyped, $IMAGE, 'header', digest($untyped));


# --- bodies

my $http = $acr->connect();
answers($http->request('PUT', "/v2/$repo/manifests/chunks", chunked => 1,
                       body => [$image],
                       headers => ['Content-Type' => $IMAGE]), 201,
        'a chunked body without a length');
answers($http->request('PUT', "/v2/$repo/manifests/chunks2", chunked => 1,
                       body => [$image =~ /(.{1,7})/gs],
                       headers => ['Content-Type' => $IMAGE]), 201,
        'in many chunks');
answers($http->request('PUT', "/v2/$repo/manifests/pieces",
                       body => [$image =~ /(.{1,100})/gs],
                       headers => ['Content-Type' => $IMAGE]), 201,
        'a body in many pieces');
kept($image, $IMAGE, 'chunks', 'chunks2', 'pieces');

$http->begin('PUT', "/v2/$repo/manifests/expect", headers => [
    'Content-Type' => $IMAGE, 'Content-Length' => length($image),
    Expect => '100-continue']);
is($http->answer('PUT', interim => 1)->status(), 100, 'Expect: 100-continue');
$http->send($image);
answers($http->answer('PUT'), 201, 'and then the body');
$http->close();


# --- refused forms

my $ref = { mediaType => $LAYER, digest => digest($layer),
            size => length($layer) };

my %invalid = (
    'no JSON' => 'hello',
    'nothing' => '',
    'half' => substr($image, 0, -10),
    'more after it' => "$image {}",
    'an array' => '[]',
    'a string' => '"x"',
    'null' => 'null',
    'a comment' => "/* x */$image",
    'no UTF-8' => $image =~ s/\}$/,"x":"\xff"}/r,
    'NUL' => "$image\0",
    'a zero byte in a string' => $image =~ s/\}$/,"x":"\\u0000"}/r,
    'half a character' => $image =~ s/\}$/,"x":"\\ud83d"}/r,
    'a number that is none' => $image =~ s/\}$/,"x":1e400}/r,
    'a duplicate key' => $image =~ s/"layers"/"config":null,"layers"/r,
    'a duplicate key far down' => $image =~ s/\}$/,"x":[{"a":1,"a":1}]}/r,
    'deep nesting' => $image =~ s/\}$/',"x":' . '[' x 20000 . ']' x 20000
                                      . '}'/er,
    'deep and open' => '{"a":' x 100_000,
    'schemaVersion 1' => image($config, [$layer], schemaVersion => 1),
    'no schemaVersion' => image($config, [$layer], schemaVersion => undef),
    'schemaVersion as text' => image($config, [$layer],
                                     schemaVersion => '2x'),
    'no config' => image($config, [$layer], config => undef),
    'config as text' => image($config, [$layer], config => 'x'),
    'layers as an object' => image($config, [$layer], layers => {}),
    'a layer as text' => image($config, [$layer], layers => ['x']),
    'a layer without digest' => image($config, [], layers => [
        { mediaType => $LAYER, size => 1 }]),
    'a layer without size' => image($config, [], layers => [
        { mediaType => $LAYER, digest => digest($layer) }]),
    'a negative size' => image($config, [], layers => [{ %$ref, size => -1 }]),
    'a size as text' => image($config, [], layers => [{ %$ref, size => 'x' }]),
    'a size with a fraction' => image($config, [], layers => [
        { %$ref, size => 7.5 }]),
    'a bad digest' => image($config, [], layers => [
        { %$ref, digest => 'sha256:x' }]),
    'a digest that is a path' => image($config, [], layers => [
        { %$ref, digest => 'sha256:../../../../etc/passwd' }]),
    'mediaType as a number' => image($config, [$layer], mediaType => 5),
    'annotations as text' => image($config, [$layer], annotations => 'x'),
    'a subject as text' => image($config, [$layer], subject => 'x'),
    'a subject without digest' => image($config, [$layer], subject => {
        mediaType => $IMAGE, size => 1 }),
    'an image with manifests' => image($config, [$layer], manifests => []),
);

for my $name (sort keys %invalid) {
    my $answer = $acr->put_manifest($repo, 'bad', $invalid{$name}, $IMAGE);
    refused($answer, 400, 'MANIFEST_INVALID', $name);
}

refused($acr->put_manifest($repo, 'bad', $image, $INDEX), 400,
        'MANIFEST_INVALID', 'another type in the header');
refused($acr->put_manifest($repo, 'bad', index_of([], manifests => undef)),
        400, 'MANIFEST_INVALID', 'an index without manifests');
refused($acr->put_manifest($repo, 'bad', index_of([], layers => [])), 400,
        'MANIFEST_INVALID', 'an index with layers');
refused($acr->put_manifest($repo, 'bad', encode({
    schemaVersion => 1, name => $repo, tag => 'bad', fsLayers => [] }),
    'application/vnd.docker.distribution.manifest.v1+prettyjws'), 400,
    'MANIFEST_INVALID|UNSUPPORTED', 'Docker schema 1');

is($acr->resolve($repo, 'bad'), undef, 'none was stored');
answers($acr->put_manifest($repo, 'empty', index_of([])), 201,
        'an index of nothing');
answers($acr->put_manifest($repo, 'bare', image($config, [])), 201,
        'an image without layers');


# --- references

refused($acr->put_manifest($repo, 'bad', image($config, ['unknown'])),
        404, 'MANIFEST_BLOB_UNKNOWN', 'a layer that is not there',
        digest('unknown'));
refused($acr->put_manifest($repo, 'bad', image('unknown', [$layer])),
        404, 'MANIFEST_BLOB_UNKNOWN', 'a config that is not there',
        digest('unknown'));
refused($acr->put_manifest('lib/other', 'bad', $image), 404,
        'MANIFEST_BLOB_UNKNOWN', 'blobs that another repository has');
refused($acr->put_manifest($repo, 'bad', index_of([$image, image('x', [])])),
        404, 'MANIFEST_BLOB_UNKNOWN', 'an entry that is not there',
        digest(image('x', [])));
is($acr->resolve($repo, 'bad'), undef, 'none was stored');

answers($acr->put_manifest($repo, 'foreign', image($config, [$layer],
    layers => [map {
        { mediaType => $_, digest => digest($_), size => 5,
          urls => ['https://example.test/layer'] }
    } 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'])), 201,
    'non-distributable layers need not be there');

answers($acr->put_manifest($repo, 'cache', index_of([
    descriptor($config, 'application/vnd.buildkit.cacheconfig.v0'),
    descriptor($layer, $LAYER)])), 201, 'entries of an index that are blobs');

answers($acr->put_manifest($repo, 'twice', image($config, [$layer, $layer])),
        201, 'the same layer twice');

my $sha512 = $acr->push_blob($repo, 'config by sha512', 'sha512');
answers($acr->put_manifest($repo, 'mixed', image($config, [$layer],
    config => { mediaType => $CONFIG, digest => $sha512, size => 16 })), 201,
    'a config by sha512');

my $orphan = image($config, [$layer], subject => {
    mediaType => $IMAGE, digest => $none, size => 1 });
my $answer = $acr->put_manifest($repo, undef, $orphan);
answers($answer, 201, 'a subject need not be there');
is($answer->header('OCI-Subject'), $none, 'OCI-Subject names it');
$answer = $acr->put_manifest($repo, undef, index_of([$image], subject =>
    descriptor($image, $IMAGE)));
answers($answer, 201, 'an index with a subject');
is($answer->header('OCI-Subject'), $digest, 'OCI-Subject names it');


# --- by digest

refused($acr->put_manifest($repo, $digest, "$image "), 400, 'DIGEST_INVALID',
        'another digest than that of the bytes');
refused($acr->put_manifest($repo, 'sha256:baddigeststring', $image), 400,
        'DIGEST_INVALID', 'no digest', 'sha256:baddigeststring');
refused($acr->put_manifest($repo, 'md5:' . '0' x 32, $image), 400,
        'DIGEST_INVALID', 'no known algorithm');
refused($acr->put_manifest($repo, '-bad', $image), 400,
        'TAG_INVALID|MANIFEST_INVALID', 'no tag', '-bad');
refused($acr->put_manifest($repo, 'x' x 129, $image), 400,
        'TAG_INVALID|MANIFEST_INVALID', 'a tag that is too long');
answers($acr->put_manifest($repo, 'x' x 128, $image), 201,
        'the longest tag');

my $long = image($config, [$layer], annotations => { by => 'sha512' });
my $digest512 = digest($long, 'sha512');
$answer = $acr->put_manifest($repo, "$digest512?tag=by512", $long);
answers($answer, 201, 'PUT by sha512');
is($answer->header('Docker-Content-Digest'), $digest512, 'has that digest');
kept_as($long, $IMAGE, $digest512, 'by512', $digest512);


# --- several tags

my @tags = map { "v1.$_" } 1 .. 20;
$answer = $acr->put_manifest($repo,
    "$digest?" . join('&', map { "tag=$_" } @tags), $image);
answers($answer, 201, 'PUT by digest with twenty tags');
is_deeply([sort map { split(/,\s*/) } $answer->headers('OCI-Tag')],
          [sort @tags], 'OCI-Tag names each');
is_deeply([grep { ($acr->resolve($repo, $_) || '') ne $digest } @tags], [],
          'each is there');
is_deeply([grep { ($acr->tag_on_disk($repo, $_) || '') ne $digest } @tags], [],
          'on the disk too');

refused($acr->put_manifest($repo, "$digest?tag=good&tag=-bad", $image), 400,
        'TAG_INVALID|MANIFEST_INVALID', 'a bad tag among them', '-bad');
is($acr->resolve($repo, 'good'), undef, 'no tag was made');

$answer = $acr->put_manifest($repo, $digest . '?' . join('&', map {
    "tag=many$_" } 1 .. 1000), $image);
like($answer->status(), qr/^(?:400|414)$/, 'a thousand tags are too many');
is($acr->resolve($repo, 'many1'), undef, 'no tag was made');

$answer = $acr->put_manifest($repo, "$digest?tag=%31.%32", $image);
answers($answer, 201, 'an encoded tag');
is($acr->resolve($repo, '1.2'), $digest, 'is decoded');


# --- a tag that moves

my $second = image($config, [$layer], annotations => { second => 'one' });
$acr->push_manifest($repo, '1.0', $second);
kept($second, $IMAGE, '1.0');
is($acr->tag_on_disk($repo, '1.0'), digest($second), 'on the disk too');
kept($image, $IMAGE, $digest);


# --- limits

my $large = image($config, [$layer], annotations => { map {
    ("key$_" => 'x' x 10_000) } 1 .. 390 });
answers($acr->put_manifest($repo, 'large', $large), 201,
        length($large) . ' bytes');
kept($large, $IMAGE, 'large');

my $limit = 4 * 1024 * 1024;
my $full = image($config, [$layer], annotations => { x => '' });
$full =~ s/"x":""/'"x":"' . 'y' x ($limit - length($full)) . '"'/e;
answers($acr->put_manifest($repo, 'full', $full), 201, '4 MiB');

$full =~ s/y/yy/;
$http->close();
$http = $acr->connect();
refused($http->request('PUT', "/v2/$repo/manifests/over", body => $full,
                       headers => ['Content-Type' => $IMAGE]), 413,
        'SIZE_INVALID|MANIFEST_INVALID', 'one byte more');
$http->close();
$http = $acr->connect();
refused($http->request('PUT', "/v2/$repo/manifests/over", chunked => 1,
                       body => [$full =~ /(.{1,32000})/gs],
                       headers => ['Content-Type' => $IMAGE]), 413,
        'SIZE_INVALID|MANIFEST_INVALID', 'in chunks, without a length');
$http->close();
is($acr->resolve($repo, 'over'), undef, 'it was not stored');

my $layers = image($config, [], layers => [map { { %$ref } } 1 .. 1001]);
refused($acr->put_manifest($repo, 'over', $layers), 400, 'MANIFEST_INVALID',
        '1001 layers');


# --- other settings

my $sparse = start(location => 'acr_sparse_index on;'
                               . 'acr_max_manifest_size 2k;');
$sparse->push_blob($repo, $_) for $config, $layer;
answers($sparse->put_manifest($repo, 'sparse', index_of([$image])), 201,
        'acr_sparse_index: entries need not be there');
answers($sparse->get("/v2/$repo/manifests/$digest"), 404,
        'they are not there');
refused($sparse->put_manifest($repo, 'bad', image($config, ['unknown'])),
        404, 'MANIFEST_BLOB_UNKNOWN', 'the layers of an image need to be');
$sparse->push_manifest($repo, undef, $image);
answers($sparse->get("/v2/$repo/manifests/$digest"), 200,
        'an entry can come later');
refused($sparse->put_manifest($repo, 'bad', $image . ' ' x 2048), 413,
        'SIZE_INVALID|MANIFEST_INVALID', 'acr_max_manifest_size');

finish();


# kept(JSON, TYPE, REFERENCE or path, ...): what GET and HEAD say
sub kept {
    my ($json, @more) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    kept_as($json, $more[0], digest($json), @more[1 .. $#more]);
}


sub kept_as {
    my ($json, $type, $digest, @references) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $reference (@references) {
        my $target = $reference =~ m{^/} ? $reference
                     : "/v2/$repo/manifests/$reference";
        my $name = substr($reference, 0, 30);
        my $get = $acr->get($target);
        my $head = $acr->head($target);

        answers($get, 200, "GET $name") or next;
        ok($get->body() eq $json, 'has the exact bytes');
        answers($head, 200, 'HEAD');

        for my $answer ($get, $head) {
            is($answer->header('Content-Type'), $type, 'the type');
            is($answer->header('Content-Length'), length($json), 'the length');
            is($answer->header('Docker-Content-Digest'), $digest, 'the digest');
            is($answer->header('ETag'), "\"$digest\"", 'the ETag');
            like($answer->header('Cache-Control'),
                 $reference =~ /sha\d+:/ ? qr/immutable/ : qr/no-cache/,
                 'Cache-Control');
        }

        answers($acr->get($target, headers => [
            'If-None-Match' => "\"$digest\""]), 304, 'If-None-Match');
    }
}
