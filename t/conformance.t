#!/usr/bin/perl

# What the OCI distribution specification demands and no other test shows, and
# that docs/conformance.md names tests that there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $document = "$FindBin::Bin/../docs/conformance.md";
my $errors = "$FindBin::Bin/../src/oci/acr_error.h";

# the limit is for "429 Too Many Requests" below
my $acr = start(
    http => 'limit_req_zone $arg_limited zone=limited:64k rate=1r/m;'
            . 'map $status $retry { 429 60; }',
    server => 'limit_req zone=limited; limit_req_status 429;'
              . 'add_header Retry-After $retry always;');
my $repo = 'lib/app';
my $none = 'sha256:' . '0' x 64;
my $unknown = '/v2/lib/app/blobs/uploads/0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11';
my @answers;


# --- Endpoints: each with its statuses of success and failure

my $bytes = bytes(3000, 'conformance');
my $digest = digest($bytes);
my $target = "/v2/$repo/blobs/uploads/";

answers(ask('GET', '/v2/'), 200, 'end-1: GET');

my $begun = ask('POST', $target, body => '');
answers($begun, 202, 'end-4a: POST');
is($begun->header('OCI-Chunk-Min-Length'), undef,
   'end-4a: no minimum length of chunks is announced');

my $location = $begun->location();
my $chunk = chunk('PATCH', $location, 0, 1);
answers($chunk, 202, 'end-5: PATCH of one byte');
is($chunk->header('Range'), '0-0', 'end-5: Range ends at the last byte');
isnt($chunk->location(), undef, 'end-5: PATCH has a Location');

my $next = chunk('PATCH', $chunk->location(), 1, 1999);
answers($next, 202, 'end-5: PATCH at the Location of the PATCH before');
is($next->header('Range'), '0-1999', 'end-5: Range is that of the whole blob');
answers(chunk('PATCH', $next->location(), 2500, 500), 416,
        'end-5: a chunk out of order');
answers(chunk('PATCH', $unknown, 0, 10), 404, 'end-5: an unknown session');

$location = $next->location();
my $status = ask('GET', $location);
answers($status, 204, 'end-13: GET after a 416');
is($status->header('Range'), '0-1999', 'end-13: Range has the valid offset');
isnt($status->location(), undef, 'end-13: GET has a Location');
answers(ask('GET', $unknown), 404, 'end-13: an unknown session');

my $close = with($status->location(), digest => $digest);
answers(chunk('PUT', $close, 2500, 500), 416,
        'end-6: a final chunk out of order');
answers(chunk('PUT', $location, 2000, 1000), 400, 'end-6: no digest');
my $made = chunk('PUT', $close, 2000, 1000);
answers($made, 201, 'end-6: PUT of the final chunk');
is(ask('GET', $made->location())->body(), $bytes,
   'end-6: Location is that of the blob');
answers(chunk('PUT', with($unknown, digest => $digest), 0, 10), 404,
        'end-6: an unknown session');

both('end-2', "/v2/$repo/blobs/$digest", "/v2/$repo/blobs/$none", $bytes,
     $digest);

my $single = ask('POST', with($target, digest => digest('x')), body => 'x');
answers($single, 201, 'end-4b: POST');
is(ask('GET', $single->location())->body(), 'x',
   'end-4b: Location is that of the blob');
answers(ask('POST', with($target, digest => $none), body => 'x'), 400,
        'end-4b: another digest');

my $cut = $acr->connect();
$cut->begin('POST', with($target, digest => digest('half')),
            headers => ['Content-Length' => 10]);
$cut->send('half');
$cut->close();
select(undef, undef, undef, 0.2);
answers(ask('GET', "/v2/$repo/blobs/" . digest('half')), 404,
        'end-4b: a body that ends early is not stored');

answers(ask('POST', "$target?digest-algorithm=sha512", body => ''), 202,
        'end-4c: POST');
answers(ask('POST', "$target?digest-algorithm=md5", body => ''), 400,
        'end-4c: an unknown algorithm');

my $mounted = ask('POST', with('/v2/lib/other/blobs/uploads/',
                               mount => $digest, from => $repo), body => '');
answers($mounted, 201, 'end-11: POST');
is(ask('GET', $mounted->location())->body(), $bytes,
   'end-11: Location is that of the blob');
answers(ask('POST', with($target, mount => $none, from => 'lib/other'),
            body => ''), 202, 'end-11: what cannot be mounted');

$location = $acr->upload($repo);
answers(ask('DELETE', $location), 204, 'end-14: DELETE');
answers(ask('DELETE', $location), 404, 'end-14: an unknown session');

$acr->push_blob($repo, '{}');
my $image = image('{}', []);
my $put = put_image('latest', $image);
answers($put, 201, 'end-7a: PUT');
is(ask('GET', $put->location())->body(), $image,
   'end-7a: Location is that of the manifest');
answers(put_image('large', $image . ' ' x (4 << 20)), 413,
        'end-7a: a manifest that is too large');
$acr->forget();

my $tagged = put_image(digest($image) . '?tag=1.2.3&tag=1.2', $image);
answers($tagged, 201, 'end-7b: PUT');
is_deeply([sort map { split(/,\s*/) } $tagged->headers('OCI-Tag')],
          ['1.2', '1.2.3'], 'end-7b: OCI-Tag has each tag');

both('end-3', "/v2/$repo/manifests/$_", "/v2/$repo/manifests/none", $image,
     digest($image)) for 'latest', digest($image);

answers(ask('GET', "/v2/$repo/tags/list"), 200, 'end-8a: GET');
answers(ask('GET', '/v2/none/tags/list'), 404, 'end-8a: no such repository');
is_deeply(ask('GET', "/v2/$repo/tags/list?n=1&last=1.2")->json(),
          { name => $repo, tags => ['1.2.3'] }, 'end-8b: GET');


# --- Listing Referrers

my $subject = digest($image);
my $list = "/v2/$repo/referrers/$subject";
my $referrer = index_of([], artifactType => '',
                        subject => descriptor($image, $IMAGE));
is(put_image(undef, $referrer, $INDEX)->header('OCI-Subject'), $subject,
   'an index with a subject is answered with OCI-Subject');
is(put_image('again', $referrer, $INDEX)->header('OCI-Subject'), $subject,
   'and so it is when it is pushed again');

my $listed = ask('GET', $list);
answers($listed, 200, 'end-12a: GET');
is_deeply($listed->json()->{manifests}, [descriptor($referrer, $INDEX)],
          'an index with an empty artifactType is listed without one');
is(ask('GET', "$list?artifactType=x")->header('OCI-Filters-Applied'),
   'artifactType', 'end-12b: GET');

answers(ask('GET', $_), 200, 'referrers are never 404')
    for "/v2/$repo/referrers/$none", "/v2/none/referrers/$none";
answers(ask('GET', $_), 400, 'a bad request for referrers is 400')
    for "/v2/$repo/referrers/x", "/v2/$repo/referrers/sha256:x",
        "/v2/UP/referrers/$none";


# --- Content Management

answers(ask('DELETE', "/v2/$repo/manifests/1.2"), 202, 'end-9: a tag');
answers(ask('GET', "/v2/$repo/manifests/1.2"), 404, 'end-9: the tag is gone');
answers(ask('DELETE', "/v2/$repo/manifests/$subject"), 202,
        'end-9: a manifest');
answers(ask('GET', "/v2/$repo/manifests/$_"), 404,
        'end-9: the manifest and its tags are gone') for $subject, 'latest';
answers(ask('GET', $list), 200, 'end-12a: of a subject that was deleted');
answers(ask('DELETE', "/v2/$repo/manifests/$subject"), 404,
        'end-9: an unknown manifest');
answers(ask('DELETE', "/v2/none/manifests/$subject"), 404,
        'end-9: no such repository');

answers(ask('DELETE', "/v2/$repo/blobs/$digest"), 202, 'end-10: DELETE');
answers(ask('GET', "/v2/$repo/blobs/$digest"), 404, 'end-10: the blob is gone');
answers(ask('DELETE', "/v2/$repo/blobs/$digest"), 404,
        'end-10: an unknown blob');


# --- Registry Proxying

my $proxied = ask('GET', "/v2/lib/other/blobs/$digest?ns=registry.example");
answers($proxied, 200, 'ns is ignored');
is($proxied->header('OCI-Namespace'), undef, 'and there is no OCI-Namespace');


# --- Error Codes

my %codes = map { $_ => 1 } qw(
    BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID
    MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID
    NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS);

ask('POST', '/v2/');
ask('GET', '/v2/UP/tags/list');
ask('GET', '/v2/x/nothing');
ask('GET', '/v2/x/tags/list?n=x');
ask('GET', "/v2/$repo/blobs/" . digest('x'), headers => [Range => 'bytes=9-']);
put_image('-bad', $image);
put_image('bad', 'bad');
put_image('bad', image('unknown', []));

my @bodies = grep { $_->status() =~ /^4/ && length($_->body()) } @answers;
my @bad = grep { !well_formed($_) } @bodies;
cmp_ok(scalar(@bodies), '>', 20, 'there were errors');
is_deeply([map { $_->text() } @bad], [],
          'every error of 4xx has the form and a code of the specification');

my %own = slurp($errors) =~ /^\s*X\((\w+), (\d+),/mg;
cmp_ok(scalar(keys %own), '>', keys %codes, 'the table of codes is found');
my %acr = map { $_ => 1 } qw(PAGINATION_NUMBER_INVALID
                             REGISTRY_DISALLOWED_OPERATION TAG_UNKNOWN);
is_deeply([grep { $own{$_} < 500 && !$codes{$_} && !$acr{$_} }
           sort keys %own], [],
          'no other code is known to the module for 4xx');

ask('GET', '/v2/?limited=1');
my $limited = ask('GET', '/v2/?limited=1');
answers($limited, 429, 'limit_req refuses');
is($limited->header('Retry-After'), 60,
   'a 429 has Retry-After if add_header says so');


# --- Warnings

is_deeply([grep { $_->headers('Warning') } @answers], [],
          'no answer has a Warning');


# --- docs/conformance.md

my (@rows, @wrong, %file);

# the tables whose first column is the duty
for (map { split(/\n/) }
     slurp($document) =~ /^\| duty [^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)/mg)
{
    my (undef, $duty, $level, $here, $tests) = split(/\s*\|\s*/);
    push(@rows, $duty);

    my @named = $tests =~ m{`(t/[^`:]+\.t: [^`]+)`}g;
    push(@wrong, "\"$duty\": level $level")
        if $level !~ /^(?:MUST|SHOULD)(?: NOT)?$|^MAY$/;
    push(@wrong, "\"$duty\": no test") if !@named;

    for (@named) {
        my ($name, $test) = split(/: /, $_, 2);
        $file{$name} = eval { slurp("$FindBin::Bin/../$name") } || ''
            if !defined $file{$name};

        # it stands in one literal
        push(@wrong, "\"$duty\": no $_")
            if $file{$name} !~ /(['"])(?:(?!\1).)*\Q$test\E(?:(?!\1).)*\1/;
    }
}

cmp_ok(scalar(@rows), '>', 80, 'docs/conformance.md has the duties');
is_deeply(\@wrong, [], 'and every test that it names is there');

finish();


# ask(as ACR::Client::request): the answer, which is kept for the ends
sub ask {
    my $answer = $acr->request(@_);

    push(@answers, $answer);

    return $answer;
}


# some of our bytes, with their range
sub chunk {
    my ($method, $location, $offset, $size) = @_;

    return ask($method, $location, body => substr($bytes, $offset, $size),
               headers => ['Content-Type' => 'application/octet-stream',
                           'Content-Range' => "$offset-"
                                              . ($offset + $size - 1)]);
}


sub put_image {
    my ($reference, $json, $type) = @_;

    $reference = digest($json) if !defined $reference;

    return ask('PUT', "/v2/$repo/manifests/$reference", body => $json,
               headers => ['Content-Type' => $type || $IMAGE]);
}


# GET and HEAD of something and of nothing
sub both {
    my ($end, $there, $missing, $content, $digest) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($get, $head) = map { ask($_, $there) } qw(GET HEAD);

    answers($get, 200, "$end: GET");
    is($get->body(), $content, "$end: GET has the content");
    answers($head, 200, "$end: HEAD");
    is($head->header('Content-Length'), length($content),
       "$end: HEAD has Content-Length");

    for my $answer ($get, $head) {
        is($answer->header('Docker-Content-Digest'), $digest,
           "$end: Docker-Content-Digest");
    }

    answers(ask($_, $missing), 404, "$end: $_ of what is not there")
        for qw(GET HEAD);
}


# whether an error has the form that the specification gives
sub well_formed {
    my ($answer) = @_;

    my $json = eval { $answer->json() };

    return ref($json) eq 'HASH' && join(' ', keys %$json) eq 'errors'
        && ref($json->{errors}) eq 'ARRAY' && @{ $json->{errors} }
        && !grep { !$codes{$_->{code}} || $_->{message} !~ /^\w+ /
                   || grep { !/^(?:code|message|detail)$/ } keys %$_ }
           @{ $json->{errors} };
}
