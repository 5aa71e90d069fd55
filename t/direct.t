#!/usr/bin/perl

# Parts that are far ahead of a fill: they come directly, whatever the fill is
# waiting for, are exact, cost little memory, and are never whole if the origin
# breaks off.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::HTTP2;
use ACR::Origin;

my $MIB = 1048576;
my $SIZE = 96 * $MIB;
my $HOLD = 2 * $MIB;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();

my %rules = (http => "acr_remote up.test $url timeout=200s;\n",
             location => 'acr_cache_rule hub/* up.test/*;');
my $acr = start(workers => 2, fsync => 'off', http2 => 1, tls => 1, %rules);

$acr->allow(qr/acr: (?:a part|fetching|the rest)/);

# a fill that has come to 2 MiB, and waits
my $bytes = bytes($SIZE, 'direct');
my $digest = $origin->has_blob('lib/a', $bytes, hold => $HOLD,
                               part => { hold => undef });
my $blob = "/v2/lib/a/blobs/$digest";
my $target = "/v2/hub$blob" =~ s{/v2/hub/v2}{/v2/hub}r;
my $first = begun();
my (@waiting, $several);
my $ups = 0;

parts();
near();
conditions();
ways();
waits();
breaks();
leaves();
after();
slow();
many();
none();
reloaded();
whole();
finish();


# a client that has got what there is of it: the connection
sub begun {
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    die "no head\n" if $http->answer_head()->status() != 200;
    $http->bytes($HOLD, sub {});

    return $http;
}


sub part {
    my ($range, @headers) = @_;

    return $acr->get($target, headers => [Range => "bytes=$range", @headers]);
}


# asked(FROM, LAST): how often the origin was asked for that
sub asked {
    my ($from, $last) = @_;

    return scalar($origin->asked(qr{^GET \S+$digest $from-$last }));
}


sub parts {
    my $last = $SIZE - 1;

    for my $case (['50000000-50100000', 50_000_000, 50_100_000],
                  ['90000000-', 90_000_000, $last],
                  ['-1000', $SIZE - 1000, $last],
                  ["$last-$last", $last, $last],
                  ["60000000-999999999999", 60_000_000, $last])
    {
        my ($range, $from, $to) = @$case;
        my $answer = part($range);

        answers($answer, 206, "bytes=$range");
        is($answer->header('Content-Range'), "bytes $from-$to/$SIZE",
           'is that part');
        ok($answer->body() eq substr($bytes, $from, $to - $from + 1),
           'with its bytes');
        is(asked($from, $to), 1, 'that the origin was asked for');
    }

    my $answer = part('50000000-50000009');
    is($answer->header('Docker-Content-Digest'), $digest, 'it has a digest');
    is($answer->header('ETag'), "\"$digest\"", 'and an ETag');
    is($answer->header('Content-Type'), 'application/octet-stream',
       'and a type');
    is($answer->header('Content-Length'), 10, 'and a length');
    ok(!-e $acr->blob_file($digest), 'nothing of it is kept');
}


# what is near is waited for; what is there is sent
sub near {
    is(part('1000-1999')->body(), substr($bytes, 1000, 1000),
       'what is there is sent');
    is(asked(1000, 1999), 0, 'as it is');

    waiting('near', $HOLD + 8 * $MIB, 20);
    waiting('nearly far', $HOLD + 16 * $MIB - 1, 10);

    $several = $acr->connect();
    $several->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                   . "Range: bytes=50000000-50000001,60000000-60000001"
                   . "\r\n\r\n");
}


# a client that waits for the fill
sub waiting {
    my ($name, $from, $n) = @_;

    my $http = $acr->connect();
    my $last = $from + $n - 1;
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-$last\r\n\r\n");
    push(@waiting, [$name, $http, $from, $n]);
}


sub conditions {
    my $range = '70000000-70000099';
    my $part = substr($bytes, 70_000_000, 100);

    is(part($range, 'If-Range' => "\"$digest\"")->body(), $part, 'If-Range');
    is(part($range, 'If-Match' => "\"$digest\"")->body(), $part, 'If-Match');
    is(asked(70000000, 70000099), 2, 'come directly');

    answers(part($range, 'If-None-Match' => "\"$digest\""), 304,
            'If-None-Match');
    refused(part($range, 'If-Match' => '"other"'), 412, undef,
            'If-Match of something else');
    answers(part($SIZE . '-'), 416, 'a range that does not exist');

    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\nRange: bytes=$range\r\n"
                . "If-Range: \"other\"\r\n\r\n");
    my $head = $http->answer_head();
    is($head->status(), 200, 'If-Range of something else is all of it');
    is($head->header('Content-Length'), $SIZE, 'with its length');
    $http->close();

    my $answer = $acr->head($target, headers => [Range => "bytes=$range"]);
    is($answer->status(), 200, 'HEAD has no parts');
}


sub ways {
    my $from = 40_000_000;
    my $last = $SIZE - 1;

    for my $way (['HTTP/2', '--http2-prior-knowledge',
                  "http://127.0.0.1:$acr->{http2_port}"],
                 ['TLS', '-k', '--http1.1',
                  "https://127.0.0.1:$acr->{tls_port}"],
                 ['HTTP/2 over TLS', '-k', '--http2',
                  "https://127.0.0.1:$acr->{tls_port}"])
    {
        my ($name, @way) = @$way;
        my $to = pop(@way) . $target;
        my $answer = curl(@way, '-r', "$from-", $to);

        is($answer->status(), 206, $name);
        is($answer->header('Content-Range'), "bytes $from-$last/$SIZE",
           'a part');
        ok($answer->body() eq substr($bytes, $from), 'with its bytes');
    }
}


# the origin has sent some, and says nothing: the client gets that
sub waits {
    $origin->rule($blob, part => { hold => 50 * $MIB });

    my $from = 50 * $MIB - 100_000;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-\r\n\r\n");
    is($http->answer_head()->status(), 206, 'an origin that is silent');

    my $got = '';
    $http->bytes(100_000, sub { $got .= $_[0] });
    ok($got eq substr($bytes, $from, 100_000), 'what it has sent is here');

    $origin->rule($blob, part => { hold => undef });
    $http->bytes(100_000, sub { $got .= $_[0] });
    ok($got eq substr($bytes, $from, 200_000), 'and then the next');
    $http->close();
}


sub breaks {
    $origin->rule($blob, part => { cut => 60 * $MIB });

    my $from = 55 * $MIB;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-\r\n\r\n");
    is($http->answer_head()->status(), 206, 'an origin that breaks off');
    my $got = '';
    ok(!eval { $http->bytes($SIZE - $from, sub { $got .= $_[0] }); 1 },
       'is no whole part');
    ok(length($got) <= 5 * $MIB
       && $got eq substr($bytes, $from, length($got)),
       'but what it has sent');

    is_up();

    my $answer = curl('--http2-prior-knowledge', '-r', "$from-",
                      "http://127.0.0.1:$acr->{http2_port}$target");
    is($answer->status(), 206, 'over HTTP/2');
    is($answer->{exit}, 92, 'the stream breaks');

    $origin->rule($blob, part => { hold => undef });
    is_up();
}


# the origin's request ends with its client
sub leaves {
    my $sent = $origin->sent();
    $origin->rule($blob, part => { hold => 80 * $MIB });

    my $from = 80 * $MIB - 1000;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-\r\n\r\n");
    is($http->answer_head()->status(), 206, 'a client');
    $http->bytes(1000, sub {});
    $http->close();
    ok(wait_for(sub { $origin->sent() - $sent == 1000 }),
       'that leaves takes the request with it');

    # before there is an answer

    $origin->rule($blob, part => { hold => 70 * $MIB, wait => 1 });
    $from = 70 * $MIB;
    $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-\r\n\r\n");
    ok(wait_for(sub { asked($from, $SIZE - 1) }), 'one that has no answer');
    $http->close();
    ok(wait_for(sub { -e "$origin->{dir}/left" }), 'too');

    # a stream

    unlink("$origin->{dir}/left");
    my $h2 = ACR::HTTP2->new($acr->{http2_port});
    my $id = $h2->begin('GET', $target, range => 'bytes=' . ++$from . '-',
                        END => 1);
    ok(wait_for(sub { asked($from, $SIZE - 1) }), 'one of HTTP/2');
    $h2->reset($id);
    ok(wait_for(sub { -e "$origin->{dir}/left" }), 'too');
    $h2->close();

    $origin->rule($blob, part => { hold => undef });
}


# one whose client has left, and which nginx uses for something else
sub after {
    my $node = start(fsync => 'off', http => "acr_remote up.test $url"
                                             . ' timeout=1s;',
        server => 'location = /after { internal;'
                  . " proxy_pass $url/after; }",
        location => "$rules{location} post_action /after;");
    my $bytes = bytes(24 * $MIB, 'after');
    my $digest = $origin->has_blob('lib/b', $bytes, hold => 1000,
                                   part => { hold => 20 * $MIB, wait => 1 });
    my $target = "/v2/hub/lib/b/blobs/$digest";

    $node->allow(qr/acr: (?:a part|fetching|the rest)/);
    $origin->rule('/after', wait => 1);

    my @http = map { $node->connect() } 1, 2;
    $http[0]->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    is($http[0]->answer_head()->status(), 200, 'a fill');
    my $from = 20 * $MIB;
    $http[1]->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                   . "Range: bytes=$from-\r\n\r\n");
    ok(wait_for(sub { $origin->asked(qr{$digest $from-}) }), 'a part of it');
    $http[1]->close();
    ok(wait_for(sub { $origin->asked(qr{/after }) }),
       'whose client leaves, and which goes on as "post_action"');
    ok(wait_for(sub { $node->log_text() =~ /a part of "$digest".* failed/ }),
       'is told of as it was');

    $http[0]->close();
    $origin->rule('/after', wait => undef, status => 200);
    $node->stop();
}


sub slow {
    my $before = anonymous();
    my @clients = map {
        [throttled($acr, $target,
                   headers => [Range => "bytes=" . 84 * $MIB . '-'])]
    } 1 .. 8;

    my $most = 0;

    for (1 .. 20) {
        my $now = anonymous();
        $most = $now if $now > $most;
        select(undef, undef, undef, 0.05);
    }

    SKIP: {
        skip('what is freed is kept for a while', 1) if $ENV{ACR_NGINX};

        cmp_ok($most - $before, '<', 12 * $MIB,
               'eight clients that read nothing cost little');
    }

    my ($http, $head, $rest) = @{ shift(@clients) };
    my ($got, $size) = $rest->();
    is($got, digest(substr($bytes, 84 * $MIB)), 'and get all in the end');
    is($size, $SIZE - 84 * $MIB, 'of it');
    $_->[0]->close() for @clients;
}


# bytes of all workers
sub anonymous {
    my $sum = 0;

    for my $pid ($acr->workers()) {
        slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m
            and $sum += $1 * 1024;
    }

    return $sum;
}


# not more than fills, and one after the other
sub many {
    $acr->reload(%rules, location => "$rules{location} acr_fill_max 1;");
    $origin->rule($blob, part => { hold => 80 * $MIB });

    my @clients = map { $acr->connect() } 1 .. 6;
    my $from = 80 * $MIB - 10;
    my $asked = asked($from, $SIZE - 1);

    $_->send("GET $target HTTP/1.1\r\nHost: x\r\n"
             . "Range: bytes=$from-\r\n\r\n") for @clients;
    ok(wait_for(sub { asked($from, $SIZE - 1) > $asked }), 'one comes');
    is(part('1000-1999')->body(), substr($bytes, 1000, 1000),
       'while others wait') for 1 .. 6;
    cmp_ok(asked($from, $SIZE - 1) - $asked, '<=', 2, 'of each worker one');
    $_->close() for @clients;

    $origin->rule($blob, part => { hold => undef });
    ok(wait_for(sub {
        my $n = asked(50000000, 50000000);
        part('50000000-50000000')->body() eq substr($bytes, 50_000_000, 1)
            && asked(50000000, 50000000) > $n;
    }), 'and then others');

    $acr->reload(%rules, location => "$rules{location} limit_rate 4m;");
    ok(part('-5000000')->body() eq substr($bytes, -5_000_000),
       'to a client with a limit');

    $acr->reload(%rules, location => "$rules{location} acr_fill_rate 16m;");
    is(part('50000000-52000000')->body(), substr($bytes, 50_000_000,
                                                 2_000_001), 'at a rate');
    $acr->reload(%rules);
}


# an origin that knows no ranges, or does not answer: the fill is followed
sub none {
    for my $case ([no_range => 1], [status => 404], [shift => 1],
                  [status => 500])
    {
        $origin->rule($blob, part => { @$case });

        my $from = 51_000_000 + @waiting;
        waiting("@$case", $from, 100);
        ok(wait_for(sub { asked($from, $from + 99) }), "@$case");
    }

    $origin->rule($blob, part => { hold => undef });
    is_up();
}


# who was down for a moment is asked again, after some time
sub is_up {
    my $tag = 'up' . ++$ups;

    $origin->has_image('lib/up', $tag, $tag);
    ok(wait_for(sub { $acr->get("/v2/hub/lib/up/manifests/$tag")->status()
                      == 200 }), 'the origin is asked again');
}


sub reloaded {
    $origin->rule($blob, part => { hold => 80 * $MIB });

    my $from = 80 * $MIB - 1000;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n"
                . "Range: bytes=$from-\r\n\r\n");
    is($http->answer_head()->status(), 206, 'a part');
    my $got = '';
    $http->bytes(1000, sub { $got .= $_[0] });

    $acr->reload(%rules);
    $origin->rule($blob, part => { hold => undef });
    $http->bytes(16 * $MIB, sub { $got .= $_[0] });
    ok($got eq substr($bytes, $from), 'that began before a reload is whole');
    is(part('85000000-85000009')->body(), substr($bytes, 85_000_000, 10),
       'after it there are others');
}


# and the fill has not been disturbed by any of that
sub whole {
    $origin->rule($blob, hold => undef, part => undef);

    my $left = $SIZE - $HOLD;
    my $got = '';
    $first->bytes($left, sub { $got .= $_[0] });
    ok($got eq substr($bytes, $HOLD), 'the fill goes on beside all that');

    for (@waiting) {
        my ($name, $http, $from, $n) = @$_;
        my $answer = $http->answer('GET');
        is($answer->header('Content-Range'),
           "bytes $from-" . ($from + $n - 1) . "/$SIZE", "$name: its part");
        is($answer->body(), substr($bytes, $from, $n), 'is waited for');
    }

    like($several->answer('GET')->header('Content-Type'), qr/multipart/,
         'and so are several');
    is(scalar($origin->asked(qr{ (?:$_)-})), 0, 'which nobody has asked for')
        for join('|', $HOLD + 8 * $MIB, $HOLD + 16 * $MIB - 1, 60_000_001);

    ok(wait_for(sub { -e $acr->link_file('hub/lib/a', 'layer', $digest) }),
       'and is kept');
    is(digest_of($acr->blob_file($digest), 'sha256'), $digest, 'as it was');
}
