#!/usr/bin/perl

# Clients that leave in the middle, with a FIN and with a reset: sessions go on
# where they were, nothing is half-written, nothing leaks.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $acr = start();

my $bytes = bytes(600_000, 'abort');
my $digest = digest($bytes);
my $config = '{"seed":"abort"}';
$acr->push_blob('lib/a', $config);

my $old = image($config, [], annotations => { n => 'old' });
my $new = image($config, [], annotations => { n => 'new' });
$acr->push_manifest('lib/a', 'latest', $old);

my ($piece, $size, $large) = large(12, 'abort');
answers($acr->post(with('/v2/lib/a/blobs/uploads/', digest => $large),
                   body => [map { $piece->($_) } 0 .. 11]), 201,
        'something to push and pull');

my $before = leaves_nothing($acr);

for my $how ('FIN', 'reset') {

    # --- POST

    for my $part ('POST /v2/lib/p/blobs/uploads/ HT',
                  "POST /v2/lib/p/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nX: ")
    {
        my $http = $acr->connect();
        $http->send($part);
        leave($http, $how);
    }

    my $http = $acr->connect();
    $http->begin('POST', '/v2/lib/p/blobs/uploads/',
                 headers => ['Content-Length' => 0]);
    leave($http, $how);

    for my $sent (0, 300_000) {
        $http = $acr->connect();
        $http->begin('POST', with('/v2/lib/p/blobs/uploads/',
                                  digest => $digest),
                     headers => ['Content-Length' => length($bytes)]);
        $http->send(substr($bytes, 0, $sent));
        wait_for(sub { uploads('lib/p') }) if $sent;
        leave($http, $how);
    }

    leaves_nothing($acr, $before, "$how during POST leaves no descriptor");
    is_deeply([wait_for(sub { !uploads('lib/p') })], [1], 'and no file');
    refused($acr->get("/v2/lib/p/blobs/$digest"), 404, undef,
            'and stores nothing');


    # --- PATCH

    for my $form (qw(length chunked range)) {
        my $location = $acr->upload('lib/a');
        answers($acr->patch($location, substr($bytes, 0, 100_000)), 202,
                "$how during PATCH ($form): a session with data");

        my $http = $acr->connect();
        $http->begin('PATCH', $location, chunked => $form eq 'chunked',
                     headers => $form eq 'chunked' ? []
                         : $form eq 'length' ? ['Content-Length' => 500_000]
                         : ['Content-Length' => 500_000,
                            'Content-Range' => '100000-599999']);
        my $some = substr($bytes, 100_000, 200_000);
        $some = sprintf("%x\r\n", 500_000) . $some if $form eq 'chunked';
        $http->send($some);
        wait_for(sub { session($acr, $location)->{held} });
        leave($http, $how);

        my $offset = goes_on($location);
        cmp_ok($offset, '>=', $how eq 'FIN' ? 200_000 : 100_000,
               'what it had is not lost');

        answers($acr->patch($location, substr($bytes, $offset), $offset), 202,
                'it goes on where it was');
        answers($acr->close_upload($location, $digest), 201, 'to its end');
        is(digest($acr->get("/v2/lib/a/blobs/$digest")->body()), $digest,
           'with the right bytes');
        answers($acr->delete("/v2/lib/a/blobs/$digest"), 202, 'deleted');
    }

    # nothing of the body has come
    my $location = $acr->upload('lib/a');
    $http = $acr->connect();
    $http->begin('PATCH', $location, headers => ['Content-Length' => 1000,
                                                 Expect => '100-continue']);
    is($http->answer('PATCH', interim => 1)->status(), 100, 'before a body');
    leave($http, $how);
    is(goes_on($location), 0, 'it is where it was');
    answers($acr->delete($location), 204, 'cancelled');

    leaves_nothing($acr, $before, "$how during PATCH leaves no descriptor");


    # --- PUT

    $location = $acr->upload('lib/a');
    answers($acr->patch($location, substr($bytes, 0, 100_000)), 202,
            "$how during PUT: a session with data");
    $http = $acr->connect();
    $http->begin('PUT', with($location, digest => $digest),
                 headers => ['Content-Length' => 500_000]);
    $http->send(substr($bytes, 100_000, 200_000));
    wait_for(sub { session($acr, $location)->{held} });
    leave($http, $how);

    my $offset = goes_on($location);
    cmp_ok($offset, '>=', 100_000, 'what it had is not lost');
    refused($acr->get("/v2/lib/a/blobs/$digest"), 404, 'BLOB_UNKNOWN',
            'nothing is stored');
    answers($acr->close_upload($location, $digest, substr($bytes, $offset)),
            201, 'it goes on where it was');
    is(digest($acr->get("/v2/lib/a/blobs/$digest")->body()), $digest,
       'with the right bytes');
    answers($acr->delete("/v2/lib/a/blobs/$digest"), 202, 'deleted');

    # the client has said everything and does not wait for the answer
    $location = $acr->upload('lib/a');
    $http = $acr->connect();
    $http->begin('PUT', with($location, digest => $digest),
                 headers => ['Content-Length' => length($bytes)]);
    $http->send($bytes);
    wait_for(sub { my %is = %{ session($acr, $location) };
                   return !%is || $is{owner} });
    leave($http, $how);

    my $ended = wait_for(sub {
        my $held = session($acr, $location)->{held};
        return !defined $held || !$held;
    });
    ok($ended, 'a PUT that nobody waits for ends');

    if (%{ session($acr, $location) }) {
        $offset = goes_on($location);
        answers($acr->close_upload($location, $digest,
                                   substr($bytes, $offset)), 201,
                'or goes on');
    }
    is(digest($acr->get("/v2/lib/a/blobs/$digest")->body()), $digest,
       'with the right bytes');
    answers($acr->delete("/v2/lib/a/blobs/$digest"), 202, 'deleted');

    leaves_nothing($acr, $before, "$how during PUT leaves no descriptor");


    # --- manifests

    for my $sent (0, length($new) - 1, length($new)) {
        my $http = $acr->connect();
        $http->begin('PUT', '/v2/lib/a/manifests/latest',
                     headers => ['Content-Length' => length($new),
                                 'Content-Type' => $IMAGE]);
        $http->send(substr($new, 0, $sent));
        leave($http, $how);
        leaves_nothing($acr, $before,
                       "$how after $sent bytes of a manifest");

        my $is = $acr->get('/v2/lib/a/manifests/latest')->body();
        ok($is eq $old || $is eq $new && $sent == length($new),
           'the tag is the old or the new');
    }

    $acr->push_manifest('lib/a', 'latest', $old);

    for my $method (qw(GET DELETE)) {
        $acr->push_manifest('lib/a', 'gone', $new);
        $http = $acr->connect();
        $http->begin($method, '/v2/lib/a/manifests/gone');
        leave($http, $how);
    }


    # --- GET

    for my $range ('', 'bytes=100-', 'bytes=0-', 'bytes=5000000-',
                   'bytes=0-9,100-8000000,9000000-')
    {
        for my $some (0, 1, 3_000_000) {
            my $http = $acr->connect(receive_buffer => 16384);
            $http->begin('GET', "/v2/lib/a/blobs/$large",
                         headers => $range ? [Range => $range] : []);
            if ($some) {
                my $answer = $http->answer('GET', head => 1);
                answers($answer, $range ? 206 : 200, "GET $range")
                    if $some == 1;
                $http->bytes($some, sub { });
            }
            leave($http, $how);
        }
    }

    leaves_nothing($acr, $before, "$how during GET leaves no descriptor");
}

# what was begun and not cancelled
is_deeply([wait_for(sub { !differences($acr) })], [1],
          'Redis and the disk have the same');
is_deeply([half_written($acr)], [], 'nothing is half-written');


# --- memory

# a hundred rounds have shown what a worker needs
storm(100);
leaves_nothing($acr, $before, 'no descriptor is left of hundreds that leave');
my $memory = memory($acr);
storm(300);
leaves_nothing($acr, $before, 'nor of more');

SKIP: {
    skip('a tool looks at the memory', 1) if instrumented($acr);
    cmp_ok(memory($acr) - $memory, '<', 2 * 1048576, 'nor memory');
}

is_deeply([half_written($acr)], [], 'nor a file');

finish();


sub leave {
    my ($http, $how) = @_;

    return $how eq 'FIN' ? $http->close() : $http->abort();
}


sub uploads {
    my ($repository) = @_;

    return scalar(glob($acr->path("repositories/$repository/_uploads/*")));
}


# goes_on(LOCATION): the offset of a session that its owner has let go, as its
# status tells
sub goes_on {
    my ($location) = @_;

    ok(wait_for(sub { session($acr, $location)->{held} eq '0' }),
       'the session is let go');

    my $answer = $acr->get($location);
    answers($answer, 204, 'it can be asked');
    my ($last) = $answer->header('Range') =~ /^0-(\d+)$/;

    is($last ? $last + 1 : 0, session($acr, $location)->{offset},
       'and tells its offset');

    return $last ? $last + 1 : 0;
}


# many clients that leave in every way, ten at a time
sub storm {
    my ($rounds) = @_;

    my $location = $acr->upload('lib/s');

    for my $round (1 .. $rounds) {
        my @http;

        for my $n (0 .. 3) {
            my $http = $acr->connect(receive_buffer => 16384);

            if ($n == 0) {
                $http->begin('GET', "/v2/lib/a/blobs/$large");
                $http->answer('GET', head => 1) if $round % 2;
            } elsif ($n == 1) {
                $http->begin('POST', with('/v2/lib/s/blobs/uploads/',
                                          digest => $digest),
                             headers => ['Content-Length' => 600_000]);
                $http->send(substr($bytes, 0, 1000 * ($round % 100)));
            } elsif ($n == 2) {
                $http->begin('PATCH', $location, chunked => 1);
                $http->chunk(substr($bytes, 0, 1000));
            } else {
                $http->begin('PUT', '/v2/lib/a/manifests/latest',
                             headers => ['Content-Length' => length($new),
                                         'Content-Type' => $IMAGE]);
                $http->send(substr($new, 0, $round));
            }
            push(@http, $http);
        }

        leave($_, $round % 3 ? 'FIN' : 'reset') for @http;
    }

    $acr->delete($location);
}
