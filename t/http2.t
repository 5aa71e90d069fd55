#!/usr/bin/perl

# HTTP/2: bodies with and without a length, of sizes around those of buffers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::HTTP2;

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


# --- refusals with a body

my $h2 = ACR::HTTP2->new($acr->{http2_port});
my $large = bytes(4_194_305, 'refused');
my $unknown = "/v2/$repo/blobs/uploads/0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11";
my $location = $acr->upload($repo);

for my $case ([404, 'BLOB_UPLOAD_UNKNOWN', 'PATCH', $unknown],
              [404, 'BLOB_UPLOAD_UNKNOWN', 'PUT', "$unknown?digest="
               . digest('x')],
              [416, 'BLOB_UPLOAD_INVALID', 'PATCH', $location,
               'content-range' => '5-4194309'],
              [400, 'DIGEST_INVALID', 'PUT', "$location?digest=sha256:x"],
              [413, 'SIZE_INVALID', 'PUT', "/v2/$repo/manifests/over"],
              [405, 'UNSUPPORTED', 'POST', '/v2/'],
              [400, 'NAME_INVALID', 'POST', '/v2/UP/blobs/uploads/'])
{
    my ($status, $code, $method, $target, @headers) = @$case;

    for my $length (0, 1) {
        my $id = $h2->begin($method, $target, @headers, $length
                            ? ('content-length' => length($large)) : ());
        $h2->data($id, $large, 1);
        my $answer = $h2->answer($id);
        is($answer->{status}, $status, "$method " . substr($target, 0, 60)
           . ($length ? ' with a length' : ''));
        like($answer->{body}, qr/"$code"/, 'with the whole answer');
        is(h2_get($h2, '/v2/'), 200, 'the connection goes on');
    }
}

is($acr->get($location)->header('Range'), '0-0', 'the session is unchanged');

my $wrong = $h2->begin('PUT', with($location, digest => digest('x')));
$h2->data($wrong, $large, 1);
is($h2->answer($wrong)->{status}, 400, 'another digest');

$acr->reload(location => 'acr_max_blob_size 1m;');
$h2->close();
$h2 = ACR::HTTP2->new($acr->{http2_port});
for my $length (0, 1) {
    my $id = $h2->begin('PUT', with($acr->upload($repo), digest => digest('x')),
                        $length ? ('content-length' => length($large)) : ());
    $h2->data($id, $large, 1);
    my $answer = $h2->answer($id);
    is($answer->{status}, 413,
       'too large' . ($length ? ', with a length' : ''));
    like($answer->{body}, qr/"SIZE_INVALID"/, 'with the whole answer');
    is(h2_get($h2, '/v2/'), 200, 'the connection goes on');
}
$h2->close();


# --- streams that stop and go on

$acr->reload(location => '');
$h2 = ACR::HTTP2->new($acr->{http2_port});
my $data = bytes(500_000, 'stops');

my %id = map { $_ => $h2->begin('PATCH', $acr->upload($repo)) } 'a' .. 'e';
my $place = 0;
for my $size (1, 2, 16_384, 16_383, 100, 65_536, 5, 32_768) {
    $h2->data($id{$_}, substr($data, $place, $size)) for sort keys %id;
    $place += $size;
}
is(h2_get($h2, '/v2/'), 200, 'another request between those of five streams');
$h2->data($id{$_}, substr($data, $place), 1) for sort keys %id;
is(join(' ', map { $h2->answer($id{$_})->{status} } sort keys %id),
   '202 202 202 202 202', 'five streams by turns');

my $half = $acr->upload($repo);
my $stream = $h2->begin('PATCH', $half);
$h2->data($stream, substr($data, 0, 300_000));
ok(wait_for(sub {
    my ($staged) = glob($acr->path("repositories/$repo/_uploads/"
                                   . ($half =~ s{.*/}{}r) . '/*'));
    return $staged && -s $staged > 100_000;
}), 'half a body is written');
$h2->reset($stream);
my $there = 0;
ok(wait_for(sub {
    ($there) = $acr->get($half)->header('Range') =~ /-(\d+)/;
    return $there > 100_000;
}), 'a stream that was reset: what was sent is there');
$there++;
$stream = $h2->begin('PATCH', $half,
                     'content-range' => "$there-499999",
                     'content-length' => 500_000 - $there);
$h2->data($stream, substr($data, $there), 1);
is($h2->answer($stream)->{status}, 202, 'it goes on in another stream');
answers($acr->close_upload($half, digest($data)), 201,
        'with the right digest');

# more than was said, and less
for my $length (400_000, 600_000) {
    $half = $acr->upload($repo);
    $stream = $h2->begin('PUT', with($half, digest => digest($data)),
                         'content-length' => $length);
    $h2->data($stream, $data, 1);
    my $answer = $h2->answer($stream);
    isnt($answer->{status}, 201, "500000 bytes announced as $length");
}
$h2->close();


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

$acr->reload(location => '', http => 'http2_body_preread_size 256k;');
push_all('a large window at first', $plain, bytes(3_000_003, 'large'), @plain);


# --- several streams of one connection

my @blobs = map { bytes(1_000_000 + $_, "stream $_") } 1 .. 6;
my @digests = map { $acr->push_blob($repo, $_) } @blobs;
$h2 = ACR::HTTP2->new($acr->{http2_port});
my @pulls = map { $h2->begin('GET', "/v2/$repo/blobs/$_", END => 1) } @digests;
is_deeply([map { digest($h2->answer($_)->{body}) } @pulls], \@digests,
          'six pulls at once');

my @new = map { bytes(2_000_000 + $_, "push $_") } 1 .. 4;
my @pushes = map {
    $h2->begin('PUT', with($acr->upload($repo), digest => digest($_)))
} @new;
for (my $at = 0; $at < 2_000_000; $at += 50_000) {
    $h2->data($pushes[$_], substr($new[$_], $at, 50_000)) for 0 .. $#new;
}
$h2->data($pushes[$_], substr($new[$_], 2_000_000), 1) for 0 .. $#new;
is(join(' ', map { $h2->answer($_)->{status} } @pushes), '201 201 201 201',
   'four pushes by turns');
is_deeply([map { digest($acr->get("/v2/$repo/blobs/" . digest($_))->body()) }
           @new], [map { digest($_) } @new], 'have the right bytes');
$h2->close();

finish();


sub h2_get {
    my ($h2, $target) = @_;

    return $h2->answer($h2->begin('GET', $target, END => 1))->{status};
}


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

    my $begun = $acr->upload($repo);
    my $patched = curl_from($file, @option, '-X', 'PATCH', '-T', '-',
                            "$base$begun");
    answers($patched, 202, 'PATCH without a length');
    is($patched->header('Range'), '0-' . (length($bytes) - 1), 'Range')
        if length($bytes);
    answers($acr->close_upload($begun, $digest), 201,
            'closed with the right digest');

    answers(curl_from($file, @option, '-X', 'POST', '-T', '-', "$base/v2/$repo"
                      . "/blobs/uploads/?digest=$digest"), 201, 'POST');
    is(digest(curl(@option, $target)->body()), $digest, 'pulled again');
}
