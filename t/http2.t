#!/usr/bin/perl

# HTTP/2: bodies with and without a length, of sizes around those of buffers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(http2 => 1, tls => 1);
my @plain = ('--http2-prior-knowledge');
my $plain = "http://127.0.0.1:$acr->{http2_port}";
my $tls = "https://127.0.0.1:$acr->{tls_port}";
my $repo = 'lib/app';
my $file = work_dir() . '/body';

my @sizes = (0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 524_288,
             1_048_575, 1_048_576, 1_048_577, 20_000_000);

for my $size (@sizes) {
    push_all("$size bytes", $plain, bytes($size, "plain $size"), @plain);
}

for my $size (0, 1, 262_145, 20_000_000) {
    push_all("$size bytes over TLS", $tls, bytes($size, "tls $size"),
             '--http2');
}


# --- manifests

my $image = image('{}', []);
$acr->push_blob($repo, '{}');
spew($file, $image);
answers(curl_from($file, @plain, '-T', '-', '-H', "Content-Type: $IMAGE",
                  "$plain/v2/$repo/manifests/streamed"), 201,
        'a manifest without a length');
answers(curl(@plain, '-T', $file, '-H', "Content-Type: $IMAGE",
             "$plain/v2/$repo/manifests/sized"), 201, 'a manifest');
my $answer = curl(@plain, "$plain/v2/$repo/manifests/streamed");
is($answer->body(), $image, 'has its exact bytes');
is($answer->header('Docker-Content-Digest'), digest($image), 'and its digest');

spew($file, 'x' x (4 * 1024 * 1024 + 1));
for my $from ('-', $file) {
    refused(curl_from($file, @plain, '-T', $from, '-H', "Content-Type: $IMAGE",
                      "$plain/v2/$repo/manifests/over"), 413,
            'SIZE_INVALID|MANIFEST_INVALID', 'one that is too large');
}


# --- refusals with a body

spew($file, bytes(3_000_000, 'refused'));
my $unknown = "$plain/v2/$repo/blobs/uploads/"
              . '0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11';

for my $from ('-', $file) {
    my $how = $from eq '-' ? 'without a length' : 'with a length';
    refused(curl_from($file, @plain, '-X', 'PATCH', '-T', $from, $unknown),
            404, 'BLOB_UPLOAD_UNKNOWN', "an unknown session, $how");
    my $location = $acr->upload($repo);
    $answer = curl_from($file, @plain, '-X', 'PATCH', '-T', $from,
                        '-H', 'Content-Range: 5-3000004', "$plain$location");
    refused($answer, 416, undef, "out of order, $how");
    is($answer->header('Range'), '0-0', 'with the real Range');
    refused(curl_from($file, @plain, '-T', $from,
                      $plain . with($location, digest => digest('x'))), 400,
            'DIGEST_INVALID', "another digest, $how");
}

$acr->reload(location => 'acr_max_blob_size 1m;');
for my $from ('-', $file) {
    refused(curl_from($file, @plain, '-T', $from,
                      $plain . with($acr->upload($repo),
                                    digest => digest('x'))), 413,
            'SIZE_INVALID', 'too large');
}


# --- other buffers

for my $location ('acr_upload_buffers 1 64k;', 'acr_upload_buffers 2 1m;',
                  'client_body_buffer_size 64k;', 'acr_upload_pool 1;')
{
    $acr->reload(location => $location);
    for my $size (65_537, 3_000_001) {
        push_all("$size bytes, $location", $plain,
                 bytes($size, "$location $size"), @plain);
    }
}

$acr->reload(location => '', http => 'http2_body_preread_size 1k;');
push_all('a small window at first', $plain, bytes(3_000_003, 'small'), @plain);


# --- several streams of one connection

my @blobs = map { bytes(1_000_000 + $_, "stream $_") } 1 .. 6;
my @digests = map { $acr->push_blob($repo, $_) } @blobs;
my @out = map { work_dir() . "/out$_" } 0 .. $#blobs;
my $pull = ACR::Process->spawn(
    work_dir() . '/pull.log', 'curl', '-sS', '-Z', @plain, map {
        ("$plain/v2/$repo/blobs/$digests[$_]", '-o', $out[$_]) } 0 .. $#blobs);
ok($pull->ended(60), 'six pulls at once');
is_deeply([map { digest(slurp($_)) } @out], \@digests, 'have the right bytes');

my @new = map { bytes(2_000_000 + $_, "push $_") } 1 .. 4;
my @in = map { work_dir() . "/in$_" } 0 .. $#new;
spew($in[$_], $new[$_]) for 0 .. $#new;
my $push = ACR::Process->spawn(
    work_dir() . '/push.log', 'curl', '-sS', '-Z', @plain, map {
        ('-T', $in[$_], $plain . with($acr->upload($repo),
                                      digest => digest($new[$_]))) } 0 .. $#new);
ok($push->ended(60), 'four pushes at once');
is_deeply([map { digest($acr->get("/v2/$repo/blobs/" . digest($_))->body()) }
           @new], [map { digest($_) } @new], 'have the right bytes');

finish();


# pushes the bytes in every way, and pulls them
sub push_all {
    my ($name, $base, $bytes, @option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $digest = digest($bytes);
    my $target = "$base/v2/$repo/blobs/$digest";
    my @pushed;

    spew($file, $bytes);

    # with a length
    push(@pushed, curl(@option, '-T', $file, $base . with($acr->upload($repo),
                                                    digest => $digest)));
    answers($pushed[-1], 201, "$name: PUT");
    is(digest(curl(@option, $target)->body()), $digest, 'pulled');
    $acr->delete("/v2/$repo/blobs/$digest");

    # without
    answers(curl_from($file, @option, '-T', '-',
                      $base . with($acr->upload($repo), digest => $digest)),
            201, 'PUT without a length');

    my $location = $acr->upload($repo);
    my $patched = curl_from($file, @option, '-X', 'PATCH', '-T', '-',
                            "$base$location");
    answers($patched, 202, 'PATCH without a length');
    is($patched->header('Range'), '0-' . (length($bytes) - 1), 'Range')
        if length($bytes);
    answers($acr->close_upload($location, $digest), 201,
            'closed with the right digest');

    answers(curl_from($file, @option, '-X', 'POST', '-T', '-', "$base/v2/$repo"
                      . "/blobs/uploads/?digest=$digest"), 201, 'POST');
    is(digest(curl(@option, $target)->body()), $digest, 'pulled again');
}
