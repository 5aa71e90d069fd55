#!/usr/bin/perl

# Upload sessions: chunks, their order, status, cancel, resume, expiry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

# the worker that answers is told, to be able to choose another one
my $acr = start(workers => 3, server => 'add_header X-Worker $pid always;');
my $repo = 'lib/app';
my $bytes = bytes(400_000, 'upload');
my $digest = digest($bytes);
my $unknown = '0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11';


# --- status of a new session

my $begun = $acr->post("/v2/$repo/blobs/uploads/", body => '');
my $location = $begun->location();
is($begun->header('Range'), '0-0', 'POST: nothing is there');
status($location, 0, 'a new session');


# --- chunks with Content-Range

my $offset = 0;
for my $size (1, 99_999, 100_000, 65_536) {
    my $piece = substr($bytes, $offset, $size);
    my $answer = $acr->patch($location, $piece, $offset);
    $offset += $size;
    answers($answer, 202, "PATCH of $size bytes");
    is($answer->header('Range'), '0-' . ($offset - 1), 'Range');
    like($answer->location(), qr{^/v2/$repo/blobs/uploads/}, 'Location');
    is($answer->header('Content-Length'), 0, 'no body');
    $location = $answer->location();
    status($location, $offset, 'it');
}


# --- out of order

for my $start ($offset + 1, $offset + 1000, $offset - 1, 0) {
    for my $method (qw(PATCH PUT)) {
        my $piece = substr($bytes, 0, 5000);
        my $target = $method eq 'PUT' ? with($location, digest => $digest)
                     : $location;
        my $range = $start . '-' . ($start + 4999);
        my $answer = $acr->request($method, $target, body => $piece,
                                   headers => ['Content-Range' => $range]);
        refused($answer, 416, 'BLOB_UPLOAD_INVALID', "$method at $start");
        is($answer->header('Range'), '0-' . ($offset - 1), 'the real Range');
        is($answer->location(), $location, 'and the location');
        status($target, $offset, 'unchanged, it');
    }
}

for my $range ("$offset-" . ($offset + 98), "$offset-" . ($offset + 100),
               "$offset-" . ($offset - 1), "$offset-", "-$offset", 'x-y', '-',
               '99999999999999999999999-99999999999999999999999', "$offset",
               'bytes=0-99')
{
    my $answer = $acr->patch($location, 'x' x 100, undef,
                             headers => ['Content-Range' => $range]);
    like($answer->status(), qr/^(?:400|416)$/,
         "100 bytes as Content-Range: $range");
    refused($answer, $answer->status(), undef, 'are refused');
    status($location, $offset, 'unchanged, it');
}

# without a range, and in another form
my $answer = $acr->patch($location, substr($bytes, $offset, 10));
answers($answer, 202, 'PATCH without Content-Range');
$offset += 10;
is($answer->header('Range'), '0-' . ($offset - 1), 'goes on at the end');

my $range = "bytes $offset-" . ($offset + 9) . '/*';
$answer = $acr->patch($location, substr($bytes, $offset, 10), undef,
                      headers => ['Content-Range' => $range]);
answers($answer, 202, 'Content-Range as RFC 9110 has it');
$offset += 10;

answers($acr->patch($location, ''), 202, 'PATCH of nothing');
status($location, $offset, 'unchanged, it');

# in HTTP chunks of all sizes
my @pieces = map {
    my $piece = substr($bytes, $offset, $_);
    $offset += $_;
    $piece
} (1) x 50, 128, 129, 4096, 10_000, 50_000;
$answer = $acr->patch($location, \@pieces, undef, chunked => 1);
answers($answer, 202, 'PATCH in HTTP chunks');
is($answer->header('Range'), '0-' . ($offset - 1), 'all of them');

# a slow one
my $http = $acr->connect();
$http->begin('PATCH', $location, headers => ['Content-Length' => 30]);
$http->send(substr($bytes, $offset++, 1)) for 1 .. 30;
answers($http->answer('PATCH'), 202, 'PATCH byte by byte');
status($location, $offset, 'it');
$http->close();


# --- the end, with a last chunk

$answer = $acr->put(with($location, digest => $digest),
                    body => substr($bytes, $offset),
                    headers => ['Content-Range' => "$offset-399999"]);
answers($answer, 201, 'PUT of the last chunk');
is($answer->location(), "/v2/$repo/blobs/$digest", 'the location of the blob');
is(digest($acr->get($answer->location())->body()), $digest, 'its bytes');
is_deeply([staged()], [], 'nothing is left on the disk');

gone($location, 'a session that was closed');


# --- other ends

$location = $acr->upload($repo);
$acr->patch($location, 'without a last chunk', 0);
answers($acr->close_upload($location, digest('without a last chunk')), 201,
        'PUT without a body');

$location = $acr->upload($repo);
$acr->patch($location, 'first ', undef, chunked => 1);
answers($acr->put(with($location, digest => digest('first last')), chunked => 1,
                  body => ['la', 'st']), 201, 'PUT in HTTP chunks');

for my $case (['sha256', 'sha512'], ['sha512', 'sha256']) {
    my ($said, $meant) = @$case;
    $location = $acr->upload($repo, "digest-algorithm=$said");
    $acr->patch($location, substr($bytes, 0, 150_000), 0);
    answers($acr->close_upload($location, digest("$bytes$said", $meant),
                               substr($bytes, 150_000) . $said), 201,
            "begun as $said, closed as $meant");
    is(digest($acr->get("/v2/$repo/blobs/" . digest("$bytes$said", $meant))
              ->body()), digest("$bytes$said"), 'can be pulled');
}


# --- wrong ends

for my $case (['another digest', digest('x')], ['no digest', 'sha256:x'],
              ['no known algorithm', 'md5:' . '0' x 32])
{
    my ($name, $wrong) = @$case;
    $location = $acr->upload($repo);
    $acr->patch($location, 'wrong', 0);
    refused($acr->close_upload($location, $wrong), 400, 'DIGEST_INVALID',
            "PUT with $name");
    answers($acr->get("/v2/$repo/blobs/" . digest('wrong')), 404,
            'stores nothing');
}

$location = $acr->upload($repo);
refused($acr->put($location, body => 'x'), 400, 'DIGEST_INVALID',
        'PUT without a digest');
status($location, 0, 'the session goes on: it');
answers($acr->close_upload($location, digest('y'), 'y'), 201,
        'and can be used');


# --- unknown sessions

for my $id ($unknown, 'nonsense', uc($unknown), "$unknown$unknown") {
    gone("/v2/$repo/blobs/uploads/$id", "upload $id");
}

$location = $acr->upload($repo);
gone($location =~ s{lib/app}{lib/other}r, 'an upload of another repository');


# --- cancel

$acr->patch($location, substr($bytes, 0, 100_000), 0);
answers($acr->delete($location), 204, 'DELETE');
gone($location, 'what was cancelled');
ok(wait_for(sub { !staged() }), 'its file is gone');
answers($acr->delete($acr->upload($repo)), 204, 'DELETE before any byte');


# --- resume after the connection was lost

for my $case (['with a length', 0, 'close'], ['in chunks', 1, 'close'],
              ['with a reset', 0, 'abort'])
{
    my ($name, $chunked, $leave) = @$case;
    $location = $acr->upload($repo);
    $acr->patch($location, substr($bytes, 0, 1000), 0);

    $http = $acr->connect();
    $http->begin('PATCH', $location, $chunked ? (chunked => 1)
                 : (headers => ['Content-Length' => 399_000]));
    $chunked ? $http->chunk(substr($bytes, 1000, 150_000))
             : $http->send(substr($bytes, 1000, 150_000));
    # to be sure that it has begun
    wait_for(sub { $acr->fds(qr{_uploads}) }) if $leave eq 'abort';
    $http->$leave();

    my $there = 0;
    if ($leave eq 'close') {
        ok(wait_for(sub { ($there = offset($location)) == 151_000 }),
           "dropped $name: what was sent is there")
            or diag("$there bytes");
    } else {
        wait_for(sub { ($there = offset($location)) > 1000 }, 3);
        cmp_ok($there, '>=', 1000, "dropped $name: the first chunk is there");
    }

    $answer = $acr->patch($location, substr($bytes, $there, 200_000), $there);
    answers($answer, 202, 'it goes on there') or next;
    $there += length(substr($bytes, $there, 200_000));
    answers($acr->close_upload($location, $digest, substr($bytes, $there)), 201,
            'and ends with the right digest');
}


# --- on other workers

my %worker = connections();
cmp_ok(scalar(keys %worker), '>', 1, 'there are connections to two workers');
my @http = values(%worker);

$location = $acr->upload($repo);
$offset = 0;
for my $i (0 .. 15) {
    my $size = 20_000 + $i;
    $answer = $http[$i % @http]->request('PATCH', $location,
                                         body => substr($bytes, $offset,
                                                        $size));
    $offset += $size;
    last if !answers($answer, 202, 'PATCH at the next worker');
    is($answer->header('Range'), '0-' . ($offset - 1), 'Range');
}
answers($acr->close_upload($location, $digest, substr($bytes, $offset)), 201,
        'a session that went from worker to worker');
$_->close() for @http;


# --- at another node

my $second = node($acr);
$location = $acr->upload($repo);
$acr->patch($location, substr($bytes, 0, 100_000), 0);
$answer = $second->patch($location, substr($bytes, 100_000, 100_000), 100_000);
answers($answer, 202, 'PATCH at another node');
is($answer->header('Range'), '0-199999', 'goes on there');
$answer = $acr->patch($location, substr($bytes, 200_000, 1000), 200_000);
answers($answer, 202, 'and back');
answers($second->close_upload($location, $digest, substr($bytes, 201_000)), 201,
        'and ends there');
is(digest($acr->get("/v2/$repo/blobs/$digest")->body()), $digest,
   'pulled from the first');


# --- a worker dies

$location = $acr->upload($repo);
$acr->patch($location, substr($bytes, 0, 100_000), 0);
$http = $acr->connect();
$http->begin('PATCH', $location, headers => ['Content-Length' => 200_000]);
$http->send(substr($bytes, 100_000, 150_000));
ok(wait_for(sub { $acr->fds(qr{_uploads}) }), 'a worker has the file open');
$acr->allow(qr/exited on signal 9/);
my @old = $acr->workers();
kill('KILL', @old);
ok(wait_for(sub {
    my %now = map { $_ => 1 } $acr->workers();
    return keys(%now) == 3 && !grep { $now{$_} } @old;
}), 'the workers are killed, and there are new ones');
$http->close();
$acr->forget();
cmp_ok(offset($location), '>=', 100_000, 'what was acknowledged is there');
$offset = offset($location);
answers($acr->patch($location, substr($bytes, $offset, 1000), $offset), 202,
        'the session goes on');
answers($acr->close_upload($location, $digest,
                           substr($bytes, $offset + 1000)), 201,
        'and ends with the right digest');

finish();


sub staged {
    return glob($acr->path("repositories/$repo/_uploads/*"));
}


sub offset {
    my ($location) = @_;

    my $range = $acr->get($location)->header('Range');

    # 0-0 is said of nothing and of one byte
    return $range =~ /^0-([1-9]\d*)$/ ? $1 + 1 : 0;
}


# status(LOCATION, OFFSET, NAME)
sub status {
    my ($location, $offset, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = $acr->get($location);
    my $wanted = '0-' . ($offset ? $offset - 1 : 0);

    answers($answer, 204, "$name: GET");
    is($answer->header('Range'), $wanted, "has $offset bytes");
    like($answer->location(), qr{^/v2/$repo/blobs/uploads/}, 'and a location');
}


sub gone {
    my ($location, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    refused($acr->get($location), 404, 'BLOB_UPLOAD_UNKNOWN', "$name: GET");
    refused($acr->delete($location), 404, 'BLOB_UPLOAD_UNKNOWN', 'DELETE');
    refused($acr->patch($location, 'x', 0), 404, 'BLOB_UPLOAD_UNKNOWN',
            'PATCH');
    refused($acr->close_upload($location, digest('x'), 'x'), 404,
            'BLOB_UPLOAD_UNKNOWN', 'PUT');
}


# a kept connection to each worker that can be had
sub connections {
    my %worker;

    for (1 .. 20) {
        my @some = map { $acr->connect() } 1 .. 20;
        $_->begin('GET', '/v2/') for @some;
        for my $http (@some) {
            my $worker = $http->answer('GET')->header('X-Worker');
            $worker{$worker} ? $http->close() : ($worker{$worker} = $http);
        }
        last if keys(%worker) == 3;
    }

    return %worker;
}
