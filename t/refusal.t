#!/usr/bin/perl

# Requests that are refused although they have a body: the answer reaches the
# client, the connection goes on where it can, and the body is never run as the
# next request.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(location => 'acr_max_blob_size 100000;');
my $repo = 'lib/app';
my $uploads = "/v2/$repo/blobs/uploads/";
my $unknown = $uploads . '0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11';
my $smuggled = "GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n" x 20;
my $location = $acr->upload($repo);

$acr->patch($location, 'ten bytes!', 0);


# --- every refusal

my @refused = (
    [404, 'PATCH', $unknown],
    [404, 'PUT', "$unknown?digest=" . digest('x')],
    [404, 'DELETE', $unknown],
    [404, 'GET', $unknown],
    [404, 'PUT', '/v2/nothing/of/ours'],
    [400, 'PUT', "$location?digest=sha256:x"],
    [400, 'PUT', $location],
    [400, 'POST', "$uploads?digest=sha256:x"],
    [400, 'POST', '/v2/UP/blobs/uploads/'],
    [416, 'PATCH', $location, 'Content-Range' => '77-'
     . (76 + length($smuggled))],
    [400, 'PATCH', $location, 'Content-Range' => 'x'],
    [405, 'POST', '/v2/'],
    [405, 'PATCH', "/v2/$repo/manifests/x"],
    [400, 'PUT', "/v2/$repo/manifests/x"],
    [400, 'PUT', "/v2/$repo/manifests/-x"],
    [404, 'GET', "/v2/$repo/tags/list"],
    [202, 'POST', $uploads],
    [202, 'POST', "$uploads?mount=" . digest('none')],
);

for my $case (@refused) {
    my ($status, $method, $target, @headers) = @$case;

    for my $chunked (0, 1) {
        my $name = "$method $target" . ($chunked ? ' in chunks' : '');
        $name =~ s/sha256:\w{60,}/sha256:.../;
        my $http = $acr->connect();

        # the next request comes in the same packet
        $http->send($chunked
            ? $http->head($method, $target, chunked => 1, headers => \@headers)
              . sprintf("%x\r\n", length($smuggled)) . $smuggled
              . "\r\n0\r\n\r\n" . $http->head('GET', '/v2/')
            : $http->head($method, $target, headers => [
                @headers, 'Content-Length' => length($smuggled)])
              . $smuggled . $http->head('GET', '/v2/'));

        answers($http->answer($method), $status, $name);
        answers($http->answer('GET'), 200, 'the connection goes on');
        ok($http->usable(), 'with nothing more than that');
        $http->close();
    }
}

is($acr->get($location)->header('Range'), '0-9', 'the session is unchanged');


# --- 4 MiB chunks, as clients repeat them

for my $chunked (0, 1) {
    my $http = $acr->connect();
    my $chunk = bytes(4 * 1024 * 1024, 'chunk');
    my $answer = $http->request('PATCH', $unknown, chunked => $chunked,
                                body => [$chunk]);
    answers($answer, 404, '4 MiB to an unknown session');
    SKIP: {
        skip('the connection was closed', 1)
            if join('', $answer->headers('Connection')) =~ /close/;
        answers($http->request('GET', '/v2/'), 200, 'the connection goes on');
    }
    $http->close();
}


# --- 1 GiB is announced: it is not awaited

my $http = $acr->connect();
$http->begin('PATCH', $unknown, headers => ['Content-Length' => 1 << 30]);
my $answer = $http->answer('PATCH');
answers($answer, 404, '1 GiB to an unknown session is refused at once');
$http->close();


# --- too large

for my $case (['PUT', sub { with($acr->upload($repo), digest => $_[0]) }],
              ['POST', sub { with($uploads, digest => $_[0]) }],
              ['PATCH', sub { $acr->upload($repo) }])
{
    my ($method, $target) = @$case;

    for my $chunked (0, 1) {
        my $fits = bytes(100_000, "$method $chunked");
        my $name = $method . ($chunked ? ' in chunks' : '');
        $answer = $acr->request($method, $target->(digest($fits)),
                                chunked => $chunked, body => [$fits]);
        answers($answer, $method eq 'PATCH' ? 202 : 201, "$name of the limit");

        my $large = bytes(100_001, "$method $chunked");
        $http = $acr->connect();
        $answer = $http->request($method, $target->(digest($large)),
                                 chunked => $chunked, body => [$large]);
        refused($answer, 413, 'SIZE_INVALID', "$name of one byte more");
        $http->close();
        answers($acr->get("/v2/$repo/blobs/" . digest($large)), 404,
                'was not stored');
    }
}

$location = $acr->upload($repo);
answers($acr->patch($location, 'x' x 60_000, 0), 202, 'first PATCH');
refused($acr->patch($location, 'x' x 60_000, 60_000), 413, 'SIZE_INVALID',
        'a second one that goes beyond the limit');
answers($acr->patch($location, 'x' x 40_000, 60_000), 202,
        'one that does not');
refused($acr->close_upload($location, digest('x' x 100_001), 'x'), 413,
        'SIZE_INVALID', 'a PUT that goes beyond the limit');
answers($acr->close_upload($location, digest('x' x 100_000), ''), 201,
        'one that does not');

# endless
$location = $acr->upload($repo);
$http = $acr->connect();
$http->begin('PATCH', $location, chunked => 1);
my $sent = 0;
while ($sent < 64 * 1024 * 1024 && $http->usable()) {
    last if !$http->chunk('x' x 65_536);
    $sent += 65_536;
}
cmp_ok($sent, '<', 64 * 1024 * 1024, 'an endless body is stopped');
refused($http->answer('PATCH'), 413, 'SIZE_INVALID', 'with 413');
$http->close();


# --- Expect: 100-continue

$location = $acr->upload($repo);
for my $case (['PATCH', $location, 202],
              ['PUT', with($location, digest => digest('hellohello')), 201],
              ['POST', with($uploads, digest => digest('hello')), 201])
{
    my ($method, $target, $status) = @$case;
    $http = $acr->connect();
    $http->begin($method, $target, headers => [
        'Content-Length' => 5, Expect => '100-continue']);
    my $first = $http->answer($method, interim => 1);
    is($first->status(), 100, "$method: 100 Continue");
    $http->send('hello');
    answers($http->answer($method), $status, "then the body, then $status");
    answers($http->request('GET', '/v2/'), 200, 'the connection goes on');
    $http->close();
}

for my $case ([404, 'PATCH', $unknown], [400, 'POST', "$uploads?digest=x"],
              [405, 'POST', '/v2/'], [404, 'PUT', '/v2/nothing/of/ours'],
              [404, 'PUT', "$unknown?digest=" . digest('x')])
{
    my ($status, $method, $target) = @$case;
    $http = $acr->connect();
    $http->begin($method, $target, headers => [
        'Content-Length' => length($smuggled), Expect => '100-continue']);
    my $first = $http->answer($method, interim => 1);
    answers($first, $status, "$method $target: $status instead of 100");

    # This client sends its body all the same.
    $http->send($smuggled . $http->head('GET', '/v2/'));
    my $next = $http->answer('GET');
    ok(!$next || $next->status() == 200,
       'the body is not run, the connection ends or goes on');
    $http->close();
}

$http = $acr->connect();
$http->begin('PATCH', $uploads . 'x', headers => [
    'Content-Length' => 100_000_000, Expect => '100-continue']);
answers($http->answer('PATCH', interim => 1), 404,
        'a body that nobody wants is not asked for');
$http->close();

refused($acr->put(with($acr->upload($repo), digest => digest('x')),
                  headers => [Expect => '100-continue',
                              'Content-Length' => 100_001]), 413,
        'SIZE_INVALID', 'nor one that is too large');
$acr->forget();

my $log = slurp("$acr->{dir}/access.log");
unlike($log, qr{/v2/smuggled}, 'no body was run as a request');

finish();
