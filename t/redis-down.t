#!/usr/bin/perl

# Without Redis pulls go on from the directory, by tag and by digest; all else
# answers 503 within its time, and goes on by itself when Redis is back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $redis = redis('--appendonly', 'yes');
my $acr = start(workers => 2, redis => $redis, http2 => 1,
                redis_options => 'timeout=1s');

my $bytes = bytes(300_000, 'down');
my $blob = $acr->push_blob('lib/a', $bytes);
my $config = '{"seed":"down"}';
$acr->push_blob('lib/a', $config);
my $image = image($config, [$bytes]);
my $manifest = $acr->push_manifest('lib/a', 'latest', $image);
my $odd = '{"schemaVersion":2,"odd":1}';
$acr->push_manifest('lib/a', 'odd', $odd, 'application/vnd.test.odd+json');
my $session = $acr->upload('lib/a');

my @pulls = (['/v2/lib/a/manifests/latest', $image, $IMAGE],
             ["/v2/lib/a/manifests/$manifest", $image, $IMAGE],
             ['/v2/lib/a/manifests/odd', $odd, 'application/vnd.test.odd+json'],
             ["/v2/lib/a/blobs/$blob", $bytes, 'application/octet-stream']);


# --- killed

$redis->kill();
pulls('killed');
writes('killed');

# nginx does all that it does without Redis
my ($text, $ok) = $acr->test();
ok($ok, 'nginx -t is content') or diag($text);
$acr->reload();
pulls('killed, after a reload');
$acr->stop();
$acr->run();
pulls('killed, after a start');
writes('killed, after a start');

$redis->run();
comes_back('killed');


# --- it takes connections and says nothing

$redis->signal('STOP');
pulls('stopped');
writes('stopped');
$redis->signal('CONT');
comes_back('stopped');


# --- a pull that is under way when it goes

my $http = $acr->connect(receive_buffer => 16384);
$http->begin('GET', "/v2/lib/a/blobs/$blob");
my $answer = $http->answer('GET', head => 1);
$redis->kill();
$http->body($answer, 'GET');
ok($answer->body() eq $bytes, 'a pull that is under way goes on');
$redis->run();
comes_back('killed once more');

finish();


sub pulls {
    my ($how) = @_;

    for my $pull (@pulls) {
        my ($target, $content, $type) = @$pull;

        my $answer = fresh($acr, 'GET', $target);
        answers($answer, 200, "$how: $target");
        ok($answer->body() eq $content, 'has its bytes');
        is($answer->header('Content-Type'), $type, 'and its type');
        is($answer->header('Docker-Content-Digest'), digest($content),
           'and its digest');
        $answer = fresh($acr, 'HEAD', $target);
        answers($answer, 200, 'HEAD too');
        is($answer->header('Content-Length'), length($content),
           'with its length');
    }

    my $answer = fresh($acr, 'GET', "/v2/lib/a/blobs/$blob",
                       headers => [Range => 'bytes=1000-1999']);
    answers($answer, 206, "$how: a range");
    ok($answer->body() eq substr($bytes, 1000, 1000), 'is that part');
    answers(fresh($acr, 'GET', '/v2/lib/a/manifests/latest',
                  headers => ['If-None-Match' => "\"$manifest\""]), 304,
            "$how: a condition");
    answers(fresh($acr, 'GET', '/v2/'), 200, "$how: /v2/");

    refused(fresh($acr, 'GET', '/v2/lib/a/manifests/none'), 404,
            'MANIFEST_UNKNOWN', "$how: a tag that is not there");
    refused(fresh($acr, 'GET', '/v2/lib/b/manifests/latest'), 404,
            'MANIFEST_UNKNOWN', 'nor in a repository that is not');
    refused(fresh($acr, 'GET', "/v2/lib/b/blobs/$blob"), 404,
            'BLOB_UNKNOWN', 'a blob of another repository is not given');
    refused(fresh($acr, 'GET', "/v2/lib/a/blobs/$manifest"), 404,
            'BLOB_UNKNOWN', 'nor a manifest as a blob');
}


sub writes {
    my ($how) = @_;

    my @requests = (
        ['POST', '/v2/lib/a/blobs/uploads/', ''],
        ['POST', "/v2/lib/b/blobs/uploads/?mount=$blob&from=lib/a", ''],
        ['PATCH', $session, 'x'], ['GET', $session],
        ['PUT', with($session, digest => digest('x')), 'x'],
        ['DELETE', $session], ['PUT', '/v2/lib/a/manifests/new', $image],
        ['DELETE', '/v2/lib/a/manifests/latest'],
        ['DELETE', "/v2/lib/a/blobs/$blob"],
        ['GET', '/v2/lib/a/tags/list'], ['GET', '/v2/_catalog'],
        ['GET', "/v2/lib/a/referrers/$manifest"]);

    my @answers = parallel(map {
        my ($method, $target, $body) = @$_;
        sub {
            my $answer = fresh($acr, $method, $target, body => $body);
            return { status => $answer->status(), code => $answer->code(),
                     retry => $answer->header('Retry-After') };
        }
    } @requests);

    for my $i (0 .. $#requests) {
        my $answer = $answers[$i];
        is($answer->{status}, 503, "$how: $requests[$i][0] $requests[$i][1]");
        is($answer->{code}, 'UNAVAILABLE', 'as an error of the registry');
        like($answer->{retry}, qr/^\d+$/, 'that tells to try again');
    }
}


sub comes_back {
    my ($how) = @_;

    ok(wait_for(sub {
           eval { $acr->push_image('lib/a', 'back', $how); 1 }
       }), "$how: pushes work again, without a restart");
    ok(complete($acr), 'nothing was lost');
    # each worker connects for itself
    ok(wait_for(sub {
           !grep { fresh($acr, 'GET', '/v2/lib/a/tags/list')->status() != 200 }
               1 .. 8
       }), 'lists do');
    answers(fresh($acr, 'GET', $_->[0]), 200, $_->[0]) for @pulls;
    is_deeply([differences($acr)], [], 'Redis and the disk are equal');
}
