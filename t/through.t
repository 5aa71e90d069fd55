#!/usr/bin/perl

# Repositories that fill themselves: what comes from elsewhere is what was
# there, stays, and is asked for once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $log = work_dir() . '/status.log';
my $ups = 0;

my $format = <<'CONF';
    log_format status '$acr_cache_status $status $request_method $uri';
CONF
my $acr = start(workers => 2, fsync => 'off',
    http => "acr_remote up.test $url timeout=60s;\n$format",
    server => "access_log $log status;",
    location => 'acr_cache_rule hub/* up.test/*;'
                . ' acr_cache_rule short/* up.test/* valid=0;'
                . ' acr_cache_rule gone/* up.test/* gone=404 valid=0;'
                . ' acr_cache_rule kept/* up.test/* gone=keep;'
                . ' acr_cache_rule up.test/* up.test/*;'
                . ' acr_cache_rule mine up.test/lib/m;');

first();
again();
blobs();
tags();
unstored();
locked();
errors();
gone();
names();
proof();
finish();


# what has become of the requests for a target: cache status and status
sub statuses {
    my ($target) = @_;

    return map { m{^(\S+ \d+) \S+ \Q$target\E$} ? $1 : () }
           split(/\n/, slurp($log));
}


# a line is written when its client may have gone on already
sub came {
    my ($target, @expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for(sub { statuses($target) >= @expected });
    is_deeply([statuses($target)], \@expected, "what the log has of $target");
}


# so many bytes of a body
sub take {
    my ($http, $n) = @_;

    my $bytes = '';
    $http->bytes($n, sub { $bytes .= $_[0] });

    return $bytes;
}


sub first {
    my $layer = bytes(3_000_000, 'layer');
    my $digest = $origin->has_image('lib/a', '1.0', $layer);

    my $answer = $acr->get('/v2/hub/lib/a/manifests/1.0');
    answers($answer, 200, 'an image comes by its tag');
    is($answer->header('Docker-Content-Digest'), $digest, 'with its digest');
    is(digest($answer->body()), $digest, 'byte for byte');

    $answer = $acr->get('/v2/hub/lib/a/blobs/' . digest($layer));
    answers($answer, 200, 'its layer');
    is(length($answer->body()), length($layer), 'has its size');
    is(digest($answer->body()), digest($layer), 'and its bytes');
    is(scalar($origin->asked(qr{/blobs/})), 1, 'which were fetched once');

    is_deeply([$acr->tags('hub/lib/a')], ['1.0'], 'it has a tag here');
    ok(wait_for(sub { -e $acr->link_file('hub/lib/a', 'layer',
                                         digest($layer)) }),
       'the layer is linked');
}


sub again {
    my @before = $origin->asked();

    $origin->stop();

    for my $target ('manifests/1.0', 'blobs/' . digest(bytes(3_000_000,
                                                             'layer')))
    {
        my $answer = $acr->get("/v2/hub/lib/a/$target");
        answers($answer, 200, "without the origin: $target");
        is($answer->header('Warning'), undef, 'without a warning');
    }

    $origin->run();
    is_deeply([$origin->asked()], \@before, 'nobody has asked it');

    # what its origin has said of a tag is good whatever changes here

    answers($acr->request('PATCH', '/acr/v1/hub/lib/a/_tags/1.0',
                          body => '{"listEnabled":false}'), 200,
            'attributes of the tag change');
    answers($acr->get('/v2/hub/lib/a/manifests/1.0'), 200, 'a pull of it');
    is_deeply([$origin->asked()], \@before, 'asks nobody');
}


sub blobs {
    my $bytes = bytes(2_000_000, 'blob');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 1_500_000);
    my $target = "/v2/hub/lib/a/blobs/$digest";

    # what is there is sent, the rest is waited for

    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    my $head = $http->answer_head();
    is($head->header('Content-Length'), 2_000_000, 'the size is known');
    is(take($http, 1_400_000), substr($bytes, 0, 1_400_000),
       'what has come is sent');

    my $second = $acr->connect();
    $second->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                  . "Range: bytes=1000000-1100000\r\n\r\n");
    my $part = $second->answer('GET');
    answers($part, 206, 'a part of it');
    ok($part->body() eq substr($bytes, 1_000_000, 100_001), 'is sent, too');

    is($acr->head($target)->header('Content-Length'), 2_000_000, 'HEAD');

    # clients that leave stop nobody

    my $third = $acr->connect();
    $third->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    $third->answer_head();
    $third->close();

    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
    ok(take($http, 600_000) eq substr($bytes, 1_400_000), 'the rest comes');
    is(scalar($origin->asked(qr{^GET .*$digest})), 1, 'of one request');

    ok(wait_for(sub { -e $acr->link_file('hub/lib/a', 'layer', $digest) }),
       'it stays');

    # several ranges of what is not there yet

    $bytes = bytes(2_000_000, 'ranges');
    $digest = $origin->has_blob('lib/a', $bytes, hold => 500_000);
    $target = "/v2/hub/lib/a/blobs/$digest";
    $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=0-99,1999000-1999999\r\n\r\n");
    $head = $http->answer_head();
    like($head->header('Content-Type'), qr/multipart/, 'several ranges');
    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
    my $all = take($http, $head->header('Content-Length'));
    ok(index($all, substr($bytes, 0, 100)) > 0
       && index($all, substr($bytes, 1_999_000)) > 0, 'are sent');
}


sub tags {
    my $old = $origin->has_image('lib/t', 'latest', 'old layer');

    is($acr->resolve('short/lib/t', 'latest'), $old, 'a tag');
    is($acr->resolve('short/lib/t', 'latest'), $old, 'that is the same');
    is(scalar($origin->asked(qr{^GET /v2/lib/t/manifests})), 1,
       'is got once');
    is(scalar($origin->asked(qr{^HEAD /v2/lib/t/manifests/latest})), 1,
       'and looked at');

    my $new = $origin->has_image('lib/t', 'latest', 'new layer');
    is($acr->resolve('short/lib/t', 'latest'), $new, 'it moves');
    is($acr->resolve('hub/lib/t', 'latest'), $new, 'another rule');
    $origin->has_image('lib/t', 'latest', 'third layer');
    is($acr->resolve('hub/lib/t', 'latest'), $new, 'with a time to live');

    $origin->stop();
    my $answer = $acr->get('/v2/short/lib/t/manifests/latest');
    answers($answer, 200, 'without the origin there is the last one');
    is($answer->header('Docker-Content-Digest'), $new, 'that is known');
    like($answer->header('Warning'), qr/^299 - /, 'with a warning');
    came('/v2/short/lib/t/manifests/latest', 'MISS 200', 'REVALIDATED 200',
         'EXPIRED 200', 'STALE 200');
    $origin->run();
    is_up();

    $acr->allow(qr/acr: (?:manifest|fetching|remote)/);
}


# an index that takes no writes
sub unstored {
    my $old = $origin->has_image('lib/o', 'latest', 'old layer of o');

    $acr->allow(qr/acr: (?:manifest|Redis)/);
    is($acr->resolve('short/lib/o', 'latest'), $old, 'a tag');
    my $new = $origin->has_image('lib/o', 'latest', 'new layer of o');
    $origin->has_image('lib/o', 'other', 'other layer of o');

    $acr->{redis}->command('CONFIG', 'SET', 'maxmemory', '1');

    for (1 .. 2) {
        my $answer = $acr->get('/v2/short/lib/o/manifests/latest');
        answers($answer, 200, 'it moves, but that cannot be noted');
        is($answer->header('Docker-Content-Digest'), $old, 'the last is sent');
        like($answer->header('Warning'), qr/^299 - /, 'with a warning');
    }

    refused($acr->get('/v2/short/lib/o/manifests/other'), 503, 'UNAVAILABLE',
            'what is not here cannot be sent');

    $acr->{redis}->command('CONFIG', 'SET', 'maxmemory', '0');
    is($acr->resolve('short/lib/o', 'latest'), $new, 'when it can be');
    answers($acr->get('/v2/short/lib/o/manifests/other'), 200, 'both come');
}


sub locked {
    $origin->has_image('lib/l', '1', 'first layer of l');
    answers($acr->get('/v2/hub/lib/l/manifests/1'), 200, 'a repository');
    answers($acr->request('PATCH', '/acr/v1/hub/lib/l',
                          body => '{"readEnabled":false}'), 200, 'is locked');
    my $manifest = $origin->has_image('lib/l', '2', 'second layer of l');
    my $layer = digest('second layer of l');

    for my $target ('manifests/2', "manifests/$manifest", "blobs/$layer") {
        refused($acr->get("/v2/hub/lib/l/$target"), 405,
                'REGISTRY_DISALLOWED_OPERATION', "nothing comes: $target");
        is($acr->head("/v2/hub/lib/l/$target")->status(), 405, 'HEAD');
        is(scalar($origin->asked(qr{/v2/lib/l/$target})), 0,
           'nobody is asked for it');
    }

    is_deeply([$acr->tags('hub/lib/l')], ['1'], 'and it stays as it is');
}


sub errors {
    refused($acr->get('/v2/hub/lib/a/manifests/none'), 404,
            'MANIFEST_UNKNOWN', 'a tag that is nowhere');
    refused($acr->get('/v2/hub/lib/a/manifests/none'), 404,
            'MANIFEST_UNKNOWN', 'once more');
    is(scalar($origin->asked(qr{/manifests/none})), 1, 'was asked for once');
    came('/v2/hub/lib/a/manifests/none', 'MISS 404', 'HIT 404');

    refused($acr->get('/v2/hub/lib/a/blobs/' . digest('none')), 404,
            'BLOB_UNKNOWN', 'a blob that is nowhere');

    # what it sends is not what was asked for

    my $bytes = bytes(1_000_000, 'right');
    my $digest = $origin->has_blob('lib/a', $bytes);
    $origin->put("/v2/lib/a/blobs/$digest", bytes(1_000_000, 'wrong'));

    my $http = $acr->connect();
    $http->send("GET /v2/hub/lib/a/blobs/$digest HTTP/1.1\r\nHost: x\r\n\r\n");
    my $head = $http->answer_head();
    ok($head->status() != 200
       || !defined eval { take($http, 1_000_000) },
       'a wrong content is never whole');
    ok(!-e $acr->blob_file($digest), 'nor kept');
    $origin->has_blob('lib/a', $bytes);
    is(digest($acr->get("/v2/hub/lib/a/blobs/$digest")->body()), $digest,
       'the right one is');

    # it breaks off, and goes on

    $bytes = bytes(1_000_000, 'broken');
    $digest = $origin->has_blob('lib/a', $bytes, cut => 400_000, cuts => 2);
    is(digest($acr->get("/v2/hub/lib/a/blobs/$digest")->body()), $digest,
       'an origin that breaks off');
    is_up();
    my @asked = $origin->asked(qr{^GET \S+$digest});
    is(scalar(@asked), 3, 'is asked for the rest');
    like($asked[1], qr{ 400000 "$digest" }, 'of the same content');

    for my $case ([401, 403, 'DENIED'], [403, 403, 'DENIED'],
                  [429, 429, 'TOOMANYREQUESTS'], [500, 502, undef])
    {
        my ($status, $here, $code) = @$case;

        $origin->rule("/v2/lib/a/manifests/s$status", status => $status,
                      file => 'none');
        refused($acr->get("/v2/hub/lib/a/manifests/s$status"), $here, $code,
                "the origin says $status");
    }

    is_up();
}


# who was down for a moment is asked again, after some time
sub is_up {
    my $tag = 'up' . ++$ups;

    $origin->has_image('lib/up', $tag, $tag);
    ok(wait_for(sub { $acr->get("/v2/hub/lib/up/manifests/$tag")->status()
                      == 200 }), 'the origin is asked again');
}


# a tag that the origin has no more
sub gone {
    my $digest = $origin->has_image('lib/g', 'old', 'gone layer');
    my $layer = digest('gone layer');

    for my $name (qw(gone kept short)) {
        is($acr->resolve("$name/lib/g", 'old'), $digest, "$name: a tag");
        is($acr->get("/v2/$name/lib/g/blobs/$layer")->body(), 'gone layer',
           'its layer');
        ok(wait_for(sub { -e $acr->link_file("$name/lib/g", 'layer',
                                             $layer) }), 'is kept');
    }

    $origin->gone('/v2/lib/g/manifests/old');
    refused($acr->get('/v2/gone/lib/g/manifests/old'), 404,
            'MANIFEST_UNKNOWN', 'it is gone here, too');
    answers($acr->get("/v2/gone/lib/g/manifests/$digest"), 200,
            'but nothing is deleted');
    is_deeply([$acr->tags('gone/lib/g')], ['old'], 'nor its tag');

    my $answer = $acr->get('/v2/short/lib/g/manifests/old');
    answers($answer, 200, 'or it is kept');
    like($answer->header('Warning'), qr/^299 - .*not have/, 'with a warning');
    is($acr->get('/v2/kept/lib/g/manifests/old')->header('Warning'), undef,
       'as soon as it is looked at');

    # that it is gone is remembered, too

    $acr->reload(http => "acr_remote up.test $url timeout=5s;\n$format",
                 location => 'acr_cache_rule hub/* up.test/*;'
                             . ' acr_cache_rule short/* up.test/*;'
                             . ' acr_cache_rule gone/* up.test/* gone=404;'
                             . ' acr_cache_rule up.test/* up.test/*;'
                             . ' acr_cache_rule mine up.test/lib/m;');

    for (1 .. 2) {
        like($acr->get('/v2/short/lib/g/manifests/old')->header('Warning'),
             qr/^299 - .*not have/, 'there is a warning each time');
        refused($acr->get('/v2/gone/lib/g/manifests/old'), 404,
                'MANIFEST_UNKNOWN', 'or 404');
    }

    $origin->has_image('lib/g', 'old', 'gone layer');
    ok(wait_for(sub { !$acr->get('/v2/short/lib/g/manifests/old')
                           ->header('Warning') }), 'until it is back');
    ok(wait_for(sub { $acr->get('/v2/gone/lib/g/manifests/old')->status()
                      == 200 }), 'in both');
}


sub names {
    $origin->has_image('lib/n', '1', 'named');

    my $answer = $acr->get('/v2/lib/n/manifests/1?ns=up.test');
    answers($answer, 200, 'by its name at the origin');
    is($answer->header('OCI-Namespace'), 'up.test', 'which is told');

    # containerd with "override_path" says so, too

    $answer = $acr->get('/v2/up.test/lib/n/manifests/1?ns=up.test');
    answers($answer, 200, 'by its name here, of which the host is a part');
    is($answer->header('OCI-Namespace'), 'up.test', 'which is told');
    is_deeply([$acr->tags('up.test/lib/n')], ['1'], 'it is that repository');

    # a rule of one repository is better, wherever it stands

    $origin->has_image('lib/m', '1', 'mine');
    answers($acr->get('/v2/lib/m/manifests/1?ns=up.test'), 200,
            'by a rule of its own');
    is_deeply([$acr->tags('mine')], ['1'], 'it is that one\'s repository');

    refused($acr->get('/v2/up.test/lib/n/manifests/1?ns=other.test'), 404,
            'NAME_UNKNOWN', 'another host than its own');
    refused($acr->get('/v2/lib/n/manifests/1?ns=other.test'), 404,
            'NAME_UNKNOWN', 'an origin that there is no rule for');
    refused($acr->get('/v2/lib/n/manifests/1'), 404, 'MANIFEST_UNKNOWN',
            'a repository that there is no rule for');
}


# A digest is no right: of what is here already, or comes for somebody else, a
# repository has what its origin says that it has.
sub proof {
    my $bytes = bytes(100_000, 'secret');
    my $digest = $acr->push_blob('team/secret', $bytes);
    my $target = "/v2/hub/lib/p/blobs/$digest";

    refused($acr->get($target), 404, 'BLOB_UNKNOWN',
            'a blob of another repository here');
    is(scalar($origin->asked(qr{^HEAD /v2/lib/p/blobs/$digest})), 1,
       'its origin was asked');
    ok(!-e $acr->link_file('hub/lib/p', 'layer', $digest), 'it is not linked');

    $origin->has_blob('lib/p', $bytes);
    is(digest($acr->get($target)->body()), $digest, 'if the origin has it');
    is(scalar($origin->asked(qr{^GET /v2/lib/p/blobs/$digest})), 0,
       'it is not fetched');
    ok(wait_for(sub { -e $acr->link_file('hub/lib/p', 'layer', $digest) }),
       'but linked');

    # one that comes

    $bytes = bytes(1_000_000, 'comes');
    $digest = $origin->has_blob('lib/p', $bytes, hold => 500_000);

    my @clients = map {
        my $http = $acr->connect();
        $http->send("GET /v2/hub/lib/$_/blobs/$digest HTTP/1.1\r\n"
                    . "Host: x\r\n\r\n");
        [$http, $http->answer_head()];
    } qw(p q);

    is($clients[0][1]->status(), 200, 'it comes for one');
    is($clients[1][1]->status(), 404, 'and not for another');

    $origin->put("/v2/lib/r/blobs/$digest", $bytes);
    my $http = $acr->connect();
    $http->send("GET /v2/hub/lib/r/blobs/$digest HTTP/1.1\r\n"
                . "Host: x\r\n\r\n");
    is($http->answer_head()->status(), 200, 'for one whose origin has it');
    ok(take($http, 400_000) eq substr($bytes, 0, 400_000), 'it comes, too');

    $origin->rule("/v2/lib/p/blobs/$digest", hold => undef);
    ok(take($http, 600_000) eq substr($bytes, 400_000), 'to its end');
    is(scalar($origin->asked(qr{^GET \S+$digest})), 1, 'of one request');
    ok(wait_for(sub { -e $acr->link_file("hub/lib/$_", 'layer', $digest) }),
       "it is linked: $_") for qw(p r);
    ok(!-e $acr->link_file('hub/lib/q', 'layer', $digest), 'but not there');

    # what is there of one that was not finished

    $bytes = bytes(1_000_000, 'part');
    $digest = $origin->has_blob('lib/p', $bytes, cut => 500_000,
                                no_range => 1);
    $http = $acr->connect();
    $http->send("GET /v2/hub/lib/p/blobs/$digest HTTP/1.1\r\n"
                . "Host: x\r\n\r\n");
    ok($http->answer_head()->status() != 200
       || !defined eval { take($http, 1_000_000) }, 'it breaks off');
    is_up();
    refused($acr->get("/v2/hub/lib/q/blobs/$digest"), 404, 'BLOB_UNKNOWN',
            'nobody gets a part of it elsewhere');
}
