#!/usr/bin/perl

# Blobs: pushed in one request, pulled whole and in ranges, deleted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

# Filters that must keep away from content are on for everything.
my $acr = start(http => <<'HTTP');
    gzip on;
    gzip_types *;
    gzip_min_length 0;
    gzip_proxied any;
    gzip_http_version 1.0;
    gzip_vary on;
    charset utf-8;
    charset_types *;
    max_ranges 100;
HTTP

my $none = 'sha256:' . '0' x 64;
my $UUID = qr/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;


# --- POST, then PUT

my $bytes = bytes(300_000, 'blob');
my $digest = digest($bytes);

my $begun = $acr->post('/v2/lib/a/blobs/uploads/', body => '');
answers($begun, 202, 'POST begins an upload');
like($begun->header('Location'), qr{^/v2/lib/a/blobs/uploads/$UUID(?:\?|$)},
     'at a location with a UUID');
like($begun->header('Docker-Upload-UUID'), qr/^$UUID$/, 'which a header has');
is($begun->header('Content-Length'), 0, 'without a body');

my $made = $acr->close_upload($begun->location(), $digest, $bytes);
answers($made, 201, 'PUT ends it');
is($made->location(), "/v2/lib/a/blobs/$digest", 'with the location of a blob');
is($made->header('Docker-Content-Digest'), $digest, 'and its digest');

pulled('lib/a', $digest, $bytes);

ok(-f $acr->blob_file($digest), 'its bytes are in blobs/');
is(slurp($acr->link_file('lib/a', 'layer', $digest)), $digest,
   'its link holds the digest and nothing else');
is_deeply([glob($acr->path('repositories/lib/a/_uploads/*'))], [],
          'nothing is left of the upload');


# --- a single POST

my $single = bytes(5000, 'single');
my $post = $acr->post(with('/v2/lib/a/blobs/uploads/',
                           digest => digest($single)), body => $single);
answers($post, 201, 'POST with a digest');
is($post->location(), '/v2/lib/a/blobs/' . digest($single), 'its location');
pulled('lib/a', digest($single), $single);

refused($acr->post(with('/v2/lib/a/blobs/uploads/', digest => $none),
                   body => $single), 400, 'DIGEST_INVALID',
        'a digest that is not that of the bytes', $none);
refused($acr->post('/v2/lib/a/blobs/uploads/?digest=sha256:x', body => 'x'),
        400, 'DIGEST_INVALID', 'no digest', 'sha256:x');
refused($acr->post('/v2/lib/a/blobs/uploads/?digest=md5:' . '0' x 32,
                   body => 'x'), 400, 'DIGEST_INVALID', 'no known algorithm');
answers($acr->get("/v2/lib/a/blobs/$none"), 404, 'stored nothing');

my $chunked = bytes(70_000, 'chunked');
answers($acr->post(with('/v2/lib/a/blobs/uploads/', digest => digest($chunked)),
                   body => [substr($chunked, 0, 1), substr($chunked, 1)],
                   chunked => 1), 201, 'a chunked POST');
pulled('lib/a', digest($chunked), $chunked);


# --- other algorithms, no bytes, many sizes

for my $text ('', 'sha512', bytes(100_000, 'sha512')) {
    my $sha512 = digest($text, 'sha512');
    my $location = $acr->upload('lib/a', 'digest-algorithm=sha512');
    answers($acr->close_upload($location, $sha512, $text), 201,
            'sha512 of ' . length($text) . ' bytes');
    pulled('lib/a', $sha512, $text);

    my $undeclared = "$text undeclared";
    $sha512 = $acr->push_blob('lib/a', $undeclared, 'sha512');
    pulled('lib/a', $sha512, $undeclared);

    my $both = "$text in one";
    $sha512 = digest($both, 'sha512');
    answers($acr->post(with('/v2/lib/a/blobs/uploads/', digest => $sha512),
                       body => $both), 201, 'in a single POST');
    pulled('lib/a', $sha512, $both);
}

refused($acr->post('/v2/lib/a/blobs/uploads/?digest-algorithm=md5', body => ''),
        400, undef, 'an unknown algorithm');

my $empty = digest('');
answers($acr->close_upload($acr->upload('empty/put'), $empty, ''), 201,
        'no bytes by PUT');
answers($acr->put(with($acr->upload('empty/none'), digest => $empty)), 201,
        'no bytes by PUT without a length');
answers($acr->post(with('/v2/empty/post/blobs/uploads/', digest => $empty),
                   body => ''), 201, 'no bytes by POST');
answers($acr->request('PUT', with($acr->upload('empty/chunked'),
                                  digest => $empty), chunked => 1), 201,
        'no bytes by chunks');
pulled("empty/$_", $empty, '') for qw(put none post chunked);

for my $size (1, 4095, 4096, 65_535, 65_536, 65_537, 262_143, 262_144,
              262_145, 1_048_577)
{
    my $content = bytes($size, "size $size");
    $acr->push_blob('sizes', $content);
    is(digest($acr->get('/v2/sizes/blobs/' . digest($content))->body()),
       digest($content), "$size bytes");
}


# --- what is not there

refused($acr->get("/v2/lib/a/blobs/$none"), 404, 'BLOB_UNKNOWN',
        'an unknown blob', $none);
answers($acr->head("/v2/lib/a/blobs/$none"), 404, 'by HEAD too');
refused($acr->get("/v2/lib/b/blobs/$digest"), 404, 'BLOB_UNKNOWN|NAME_UNKNOWN',
        'a blob of another repository is not in this one');
answers($acr->head("/v2/lib/b/blobs/$digest"), 404, 'nor by HEAD');


# --- filters

my $json = '{"text":"' . 'compressible ' x 500 . "\xff\"}";
$acr->push_blob('lib/a', $json);
for my $target ('/v2/lib/a/blobs/' . digest($json)) {
    my $answer = $acr->get($target, headers => [
        'Accept-Encoding' => 'gzip, deflate, br']);
    is($answer->body(), $json, 'content is not compressed');
    is($answer->header('Content-Encoding'), undef, 'nor said to be');
    is($answer->header('Content-Type'), 'application/octet-stream',
       'and has no charset');
    unlike($answer->header('ETag'), qr/^W/, 'its ETag is strong');
}

my $image = image('{}', []);
$acr->push_blob('lib/a', '{}');
$acr->push_manifest('lib/a', 'plain', $image);
my $plain = $acr->get('/v2/lib/a/manifests/plain', headers => [
    'Accept-Encoding' => 'gzip']);
is($plain->body(), $image, 'nor is a manifest');
is($plain->header('Content-Type'), $IMAGE, 'and its type is exact');
is($acr->get('/v2/lib/a/referrers/' . digest($image))->header('Content-Type'),
   $INDEX, 'the type of referrers is exact');


# --- conditions

my $target = "/v2/lib/a/blobs/$digest";
my $whole = $acr->get($target);
is($whole->header('ETag'), "\"$digest\"", 'the ETag is the digest');
like($whole->header('Cache-Control'), qr/max-age=31536000, immutable/,
     'content that never changes may be kept');

for my $etag ("\"$digest\"", "W/\"$digest\"", "\"x\", \"$digest\"", '*') {
    my $answer = $acr->get($target, headers => ['If-None-Match' => $etag]);
    answers($answer, 304, "If-None-Match: $etag");
    is($answer->header('ETag'), "\"$digest\"", 'has the ETag');
    is($answer->header('Docker-Content-Digest'), $digest, 'and the digest');
    answers($acr->head($target, headers => ['If-None-Match' => $etag]), 304,
            'HEAD too');
}

answers($acr->get($target, headers => ['If-None-Match' => "\"$none\""]), 200,
        'another ETag');
answers($acr->get($target, headers => ['If-Match' => "\"$none\""]), 412,
        'If-Match that does not');
answers($acr->get($target, headers => ['If-Match' => "\"$digest\""]), 200,
        'If-Match that does');


# --- ranges

my $small = bytes(5000, 'ranges');
$acr->push_blob('lib/a', $small);
$target = '/v2/lib/a/blobs/' . digest($small);

my %ranges = ('500-1499' => [500, 1499], '500-' => [500, 4999],
              '0-' => [0, 4999], '-500' => [4500, 4999], '0-0' => [0, 0],
              '4999-4999' => [4999, 4999], '2000-9000' => [2000, 4999],
              '-9000' => [0, 4999], '4999-' => [4999, 4999]);

for my $range (sort keys %ranges) {
    my ($first, $last) = @{ $ranges{$range} };
    my $answer = $acr->get($target, headers => [Range => "bytes=$range"]);

    answers($answer, 206, "bytes=$range");
    is($answer->body(), substr($small, $first, $last - $first + 1),
       'the right bytes');
    is($answer->header('Content-Range'), "bytes $first-$last/5000",
       'Content-Range');
    is($answer->header('Docker-Content-Digest'), digest($small),
       'the digest of the whole');
}

for my $range ('500-0', '5000-10000', '5000-', '-0', 'x-y') {
    my $answer = $acr->get($target, headers => [Range => "bytes=$range"]);
    refused($answer, 416, undef, "bytes=$range");
    is($answer->header('Content-Range'), 'bytes */5000', 'the real size');
}

answers($acr->get($target, headers => [Range => 'items=0-1']), 200,
        'other units are ignored');
is($acr->head($target, headers => [Range => 'bytes=0-9'])
   ->header('Content-Length'), 5000, 'HEAD knows no ranges');
answers($acr->get($target, headers => [
    Range => 'bytes=0-9', 'If-Range' => '"' . digest($small) . '"']), 206,
    'If-Range that holds');
answers($acr->get($target, headers => [Range => 'bytes=0-9',
                                       'If-Range' => "\"$none\""]), 200,
        'If-Range that does not');

my @wanted = map { [$_ * 100, $_ * 100 + 49] } 0 .. 49;
my $multi = $acr->get($target, headers => [
    Range => 'bytes=' . join(',', map { "$_->[0]-$_->[1]" } @wanted)]);
answers($multi, 206, 'fifty ranges at once');
like($multi->header('Content-Type'), qr{^multipart/byteranges; boundary=\S+$},
     'come as multipart');
my $parts = join('', $multi->body() =~ /Content-Range:\ bytes\ (\d+-\d+)
                                        \/5000\r\n/gx);
is($parts, join('', map { "$_->[0]-$_->[1]" } @wanted), 'in order');
my ($missing) = grep {
    index($multi->body(), "\r\n\r\n" . substr($small, $_->[0], 50) . "\r\n") < 0
} @wanted;
is($missing, undef, 'each with its bytes');

like($acr->get("/v2/empty/put/blobs/$empty", headers => [Range => 'bytes=0-'])
     ->status(), qr/^(?:200|416)$/, 'an empty blob has no range');


# --- delete

$acr->push_blob('gone', $small);
$acr->push_blob('kept', $small);
answers($acr->delete('/v2/gone/blobs/' . digest($small)), 202, 'DELETE');

for my $method (qw(GET HEAD DELETE)) {
    answers($acr->request($method, '/v2/gone/blobs/' . digest($small)), 404,
            "$method at once after it");
}
pulled('kept', digest($small), $small);
ok(!-e $acr->link_file('gone', 'layer', digest($small)),
   'the link on the disk is gone');

$acr->push_blob('gone', $small);
pulled('gone', digest($small), $small);
ok(-e $acr->link_file('gone', 'layer', digest($small)), 'pushed again');

refused($acr->delete("/v2/gone/blobs/$none"), 404, 'BLOB_UNKNOWN',
        'DELETE of what is unknown', $none);
refused($acr->delete('/v2/gone/blobs/sha256:x'), 400, 'DIGEST_INVALID',
        'DELETE of what is no digest', 'sha256:x');

finish();


# GET and HEAD of a blob
sub pulled {
    my ($repository, $digest, $bytes) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $target = "/v2/$repository/blobs/$digest";
    my $get = $acr->get($target);
    my $head = $acr->head($target);

    my $short = substr($digest, 0, 14);
    answers($get, 200, "GET $repository $short");
    ok($get->body() eq $bytes, 'has the bytes');
    answers($head, 200, 'HEAD');

    for my $answer ($get, $head) {
        is($answer->header('Docker-Content-Digest'), $digest, 'the digest');
        is($answer->header('Content-Length'), length($bytes), 'the length');
        is($answer->header('Accept-Ranges'), 'bytes', 'ranges are served')
            if length($bytes);
    }
}
