#!/usr/bin/perl

# Pre-warm: what is named is fetched before somebody asks for it, with progress,
# and nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;
use JSON::PP qw(decode_json);

my $MIB = 1048576;
my $PATH = '/acr/admin/prewarm';

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();

my %rules = (http => "acr_remote up.test $url timeout=60s;\n",
             server => 'acr_cache_rule hub/* up.test/*;'
                       . ' location /acr/admin/ { acr_admin; }');
my $acr = start(workers => 2, fsync => 'off', redis => redis(), %rules);

$acr->allow(qr/acr: (?:pre-warming|fetching|manifest|remote)/);

# three platforms, with a layer that they share and one of their own
my $shared = bytes(300_000, 'shared');
my %platform;
my @layers;

index_there('lib/a', '1.0');
platforms();
again();
moved();
named();
errors();
progress();
leaves();
leaves_early();
reloaded();
refusals();
away();
finish();


sub image_there {
    my ($repository, $name) = @_;

    my $config = "{\"name\":\"$name\"}";
    my $layer = bytes(200_000, "layer $name");

    $origin->has_blob($repository, $_) for $config, $shared, $layer;

    my $image = image($config, [$shared, $layer]);
    $origin->has_manifest($repository, $image);

    return ($image, $config, $layer);
}


sub index_there {
    my ($repository, $tag, $more) = @_;

    $more = '' if !defined $more;

    for my $case (['linux', 'amd64'], ['linux', 'arm64'],
                  ['linux', 'arm', 'v6'])
    {
        my ($os, $architecture, $variant) = @$case;
        my $name = "$architecture$more";
        my ($image, $config, $layer) = image_there($repository, $name);

        $platform{$name} = { image => $image, config => $config,
                             layer => $layer };
        push(@layers, { %{ descriptor($image, $IMAGE) },
                        platform => { os => $os, architecture => $architecture,
                                      $variant ? (variant => $variant)
                                               : () } });
    }

    my $index = index_of([splice(@layers)]);

    return $origin->has_manifest($repository, $index, $tag);
}


# prewarm([REFERENCE, ...], [PLATFORM, ...]): the lines
sub prewarm {
    my ($references, $platforms) = @_;

    my $answer = $acr->post($PATH, body => body($references, $platforms));

    answers($answer, 200, "@$references");
    is($answer->header('Content-Type'), 'application/x-ndjson', 'is lines');

    return map { decode_json($_) } split(/\n/, $answer->body());
}


sub body {
    my ($references, $platforms) = @_;

    return encode({ references => $references, platforms => $platforms });
}


# as a client that has connected: the connection
sub begin {
    my (@what) = @_;

    my $http = $acr->connect();
    my $body = body(@what);
    $http->begin('POST', $PATH, headers => ['Content-Length', length($body)]);
    $http->send($body);

    return $http;
}


# the next line of a connection, or undef: the end
sub next_line {
    my ($http) = @_;

    my $size = eval { hex($http->line()) };
    return if !defined $size;

    my $text = '';
    $http->bytes($size, sub { $text .= $_[0] }) if $size;
    $http->line();

    return $size ? decode_json($text) : undef;
}


sub asked { return scalar($origin->asked(qr{^GET \S*$_[0]})) }


sub platforms {
    my @lines = prewarm(['hub/lib/a:1.0'], ['linux/amd64', 'linux/arm64/v8']);
    my $last = $lines[-1];
    my $bytes = 300_000 + 2 * 200_000
                + length($platform{amd64}{config})
                + length($platform{arm64}{config});

    is($last->{result}, 'ok', 'two platforms of three');
    is_deeply($last->{errors}, [], 'without errors');
    is_deeply($last->{manifests}, { done => 3, total => 3 },
              'the index, and two images');
    is_deeply($last->{blobs}, { done => 5, total => 5 },
              'what both have once');
    is_deeply($last->{bytes}, { done => $bytes, total => $bytes }, 'all of it');
    is_deeply($last->{fetched}, { blobs => 5, bytes => $bytes },
              'which was fetched');
    ok(!(grep { exists $_->{result} } @lines[0 .. $#lines - 1]),
       'there is one result');

    for my $name (qw(amd64 arm64)) {
        my $one = $platform{$name};
        is(asked(digest($one->{image}) . ' '), 1, "$name: its image is here");
        is(asked(digest($one->{layer}) . ' '), 1, 'and its layer');
        ok(-e $acr->link_file('hub/lib/a', 'layer', digest($one->{$_})),
           "its $_ is linked") for qw(layer config);
    }

    my $other = $platform{arm};
    is(scalar($origin->asked(digest($other->{$_}))), 0,
       "the $_ of another platform is left alone") for qw(image layer config);
    is(asked(digest($shared) . ' '), 1, 'what is shared was fetched once');

    # and now the origin is not needed

    $origin->stop();
    is(digest($acr->get('/v2/hub/lib/a/blobs/'
                        . digest($platform{arm64}{layer}))->body()),
       digest($platform{arm64}{layer}), 'a pull without the origin');
    $origin->run();
    is_up();
}


my $ups = 0;

sub is_up {
    my $tag = 'up' . ++$ups;

    $origin->has_image('lib/up', $tag, $tag);
    ok(wait_for(sub { $acr->get("/v2/hub/lib/up/manifests/$tag")->status()
                      == 200 }), 'the origin is asked again');
}


sub again {
    my $before = $origin->asked(qr{^GET .*(?:lib/a)});

    my ($last) = reverse(prewarm(['hub/lib/a:1.0'],
                                 ['linux/amd64', 'linux/arm64']));
    is($last->{result}, 'ok', 'a second time');
    is_deeply($last->{blobs}, { done => 5, total => 5 }, 'all is here');
    is_deeply($last->{fetched}, { blobs => 0, bytes => 0 },
              'nothing is fetched');
    is(scalar($origin->asked(qr{^GET .*(?:lib/a)})), $before,
       'the origin says so, too');
}


sub moved {
    index_there('lib/a', '1.0', ' new');

    my ($last) = reverse(prewarm(['hub/lib/a:1.0'], ['linux/arm/v6']));
    is($last->{result}, 'ok', 'a tag that has moved');
    is($last->{fetched}{blobs}, 2, 'what is new is fetched');
    is(asked(digest($platform{'arm new'}{layer}) . ' '), 1, 'its layer');
}


sub named {
    my $index = index_there('lib/b', '1.0', ' b');
    my $image = $platform{'amd64 b'};

    my ($last) = reverse(prewarm(
        ['hub/lib/b@' . digest($image->{image}), 'hub/lib/b@' . $index,
         'hub/lib/a:1.0'], ['linux/arm64', 'linux/amd64']));
    is($last->{result}, 'ok', 'several, by digest');
    is(asked(digest($image->{image}) . ' '), 1, 'each manifest once');

    # what is here by another repository is not fetched, but asked for

    is(asked('/v2/lib/b/blobs/' . digest($shared)), 0, 'what is here is not');
    is(scalar($origin->asked(qr{^HEAD /v2/lib/b/blobs/${\ digest($shared)}})),
       1, 'but whether it is there is asked');

    my ($other) = image_there('lib/f', 'plain f');
    $origin->gone('/v2/lib/f/blobs/' . digest($shared));
    my ($end) = reverse(prewarm(['hub/lib/f@' . digest($other)], undef));
    is_deeply([map { "$_->{digest} $_->{error}" } @{ $end->{errors} }],
              [digest($shared) . ' the origin does not have it'],
              'of what is here none has what its origin does not have');

    ($last) = reverse(prewarm(["hub/lib/b\@$index"], ['*']));
    is($last->{result}, 'ok', 'all platforms');
    is_deeply($last->{manifests}, { done => 4, total => 4 }, 'of an index');

    my ($plain) = image_there('lib/c', 'plain');
    ($last) = reverse(prewarm(['hub/lib/c@' . digest($plain)], undef));
    is($last->{result}, 'ok', 'an image needs no platforms');
    is_deeply($last->{blobs}, { done => 3, total => 3 }, 'to be fetched');
}


sub errors {
    my $index = index_there('lib/e', '1.0', ' e');
    my $bad = $platform{'amd64 e'};

    $origin->gone('/v2/lib/e/blobs/' . digest($bad->{layer}));
    $origin->put('/v2/lib/e/blobs/' . digest($bad->{config}), 'wrong');

    my ($last) = reverse(prewarm(
        ['hub/lib/none:1', 'hub/lib/e:1.0', 'hub/lib/a:1.0'],
        ['linux/arm64', 'linux/amd64']));

    is($last->{result}, 'incomplete', 'errors in the middle');
    is_deeply([sort map { "$_->{reference} " . ($_->{digest} || '-') }
               @{ $last->{errors} }],
              [sort 'hub/lib/none:1 -',
               map { 'hub/lib/e:1.0 ' . digest($bad->{$_}) } qw(config layer)],
              'are told');
    ok(!(grep { !length($_->{error}) } @{ $last->{errors} }), 'each with why');
    is($last->{blobs}{total} - $last->{blobs}{done}, 2, 'the others are here');
    ok(-e $acr->link_file('hub/lib/e', 'layer',
                          digest($platform{'arm64 e'}{layer})), 'all of them');

    is_up();
    ($last) = reverse(prewarm(["hub/lib/e\@$index"], undef));
    is_deeply([map { $_->{error} } @{ $last->{errors} }],
              ['it is an index, and no platforms are named'],
              'an index without platforms');
    ($last) = reverse(prewarm(["hub/lib/e\@$index"], ['plan9/amd64']));
    is_deeply([map { $_->{error} } @{ $last->{errors} }],
              ['it is an index that has none of the platforms'],
              'an index without these platforms');
}


# an image with a layer that waits: its target
sub waiting {
    my ($name) = @_;

    my $layer = bytes(3 * $MIB, $name);
    my $config = "{\"name\":\"$name\"}";
    my $digest = $origin->has_blob('lib/p', $layer, hold => $MIB);
    $origin->has_blob('lib/p', $config);
    $origin->has_manifest('lib/p', image($config, [$layer]), $name);

    return ($digest, "/v2/lib/p/blobs/$digest");
}


sub progress {
    my ($digest, $blob) = waiting('progress');
    my $http = begin(['hub/lib/p:progress'], undef);

    is($http->answer_head()->status(), 200, 'it begins');

    my ($line, @lines);
    while ($line = next_line($http)) {
        push(@lines, $line);
        last if $line->{bytes}{done} >= $MIB;
    }

    ok($line && !exists $line->{result}, 'progress while it comes');
    is($line->{bytes}{total}, 3 * $MIB + length('{"name":"progress"}'),
       'of so many bytes');
    is($lines[0]{reference}, 'hub/lib/p:progress', 'and of what');
    is_deeply($line->{manifests}, { done => 1, total => 1 }, 'manifests');

    $origin->rule($blob, hold => undef);
    while (my $next = next_line($http)) {
        $line = $next;
    }

    is($line->{result}, 'ok', 'and then the result');
    is_deeply($line->{blobs}, { done => 2, total => 2 }, 'of all');
    ok($http->usable(), 'the connection stays');
}


# how many clients have left so far
sub left {
    my $n = () = $acr->log_text() =~ /client prematurely closed/g;

    return $n;
}


sub leaves {
    my @layers = map { bytes(100_000, "leaves $_") } 1 .. 8;
    my @digests = map { $origin->has_blob('lib/l', $_, hold => 1000) } @layers;
    my $config = $origin->has_blob('lib/l', '{}');
    $origin->has_manifest('lib/l', image('{}', \@layers), '1');

    my $begun = sub { grep { asked("$_ ") } @digests };
    my $before = left();
    my $http = begin(['hub/lib/l:1'], undef);
    is($http->answer_head()->status(), 200, 'a client');
    ok(wait_for(sub { $begun->() == 4 }), 'with four blobs at once');
    $http->close();
    ok(wait_for(sub { left() > $before }), 'leaves');

    $origin->rule("/v2/lib/l/blobs/$_", hold => undef) for @digests;
    my @four = $begun->();
    ok(wait_for(sub { -e $acr->link_file('hub/lib/l', 'layer', $_) }),
       'what was begun is here') for @four;
    is(scalar($begun->()), 4, 'and nothing else was');

    my ($last) = reverse(prewarm(['hub/lib/l:1'], ['*']));
    is($last->{result}, 'ok', 'the next one has all');
    is(scalar(grep { asked("$_ ") == 1 } @digests), 8,
       'and fetches the rest');
}


# while a manifest comes: it is stored all the same
sub leaves_early {
    my ($image) = image_there('lib/m', 'early');
    $origin->has_manifest('lib/m', $image, 'early');
    my $there = '/v2/lib/m/manifests/early';

    $origin->rule($there, wait => 1);

    my $http = begin(['hub/lib/m:early'], undef);
    is($http->answer_head()->status(), 200, 'a client');
    ok(wait_for(sub { asked('lib/m/manifests/early ') }), 'asks for a tag');
    my $before = left();
    $http->close();
    ok(wait_for(sub { left() > $before }), 'is gone before it comes');
    $origin->rule($there, wait => undef);
    ok(wait_for(sub { eval { $acr->tags('hub/lib/m') } }),
       'it is here all the same');
    is(scalar($origin->asked(qr{/lib/m/blobs/})), 0, 'and nothing else is');
}


sub reloaded {
    my ($digest, $blob) = waiting('reloaded');
    my $http = begin(['hub/lib/p:reloaded'], undef);
    $http->answer_head();
    while (my $line = next_line($http)) {
        last if $line->{bytes}{done} >= $MIB;
    }

    $acr->reload(%rules);
    $origin->rule($blob, hold => undef);

    my $line;
    while (my $next = next_line($http)) {
        $line = $next;
    }
    is($line->{result}, 'ok', 'a reload in the middle');
}


sub refusals {
    for my $case (['', 'nothing'], ['[]', 'no object'], ['{}', 'no references'],
                  ['{"references":[]}', 'an empty list'],
                  ['{"references":"hub/a:1"}', 'no list'],
                  ['{"references":[1]}', 'a number'],
                  ['{"references":["hub/a"]}', 'no tag'],
                  ['{"references":["hub/A:1"]}', 'no name'],
                  ['{"references":["hub/a:' . '1' x 200 . '"]}', 'no such tag'],
                  ['{"references":["hub/a@sha256:1"]}', 'no digest'],
                  ['{"references":["other/a:1"]}', 'no rule'],
                  ['{"references":["hub/a:1"],"platforms":"x"}',
                   'platforms that are no list'],
                  ['{"references":["hub/a:1"],"platforms":["linux"]}',
                   'half a platform'],
                  ['{"references":["hub/a:1"],"platforms":["a/b/c/d"]}',
                   'more than a platform'],
                  ['{"references":["hub/a:1"],"platforms":["a//c"]}',
                   'an empty part'])
    {
        my ($body, $name) = @$case;
        refused($acr->post($PATH, body => $body), 400, 'UNSUPPORTED', $name);
    }

    refused($acr->get($PATH), 405, 'UNSUPPORTED', 'GET');
    refused($acr->post($PATH, body => 'x' x 300_000), 413, undef,
            'a body that is too large');
}


# without the index there is no result that is good
sub away {
    $acr->{redis}->kill();

    my $answer = eval { $acr->post($PATH, body => body(['hub/lib/a:1.0'],
                                                       ['*'])) };
    ok(!$answer || $answer->body() !~ /"result":"ok"/, 'without Redis');
    $acr->forget();
    $acr->{redis}->run();
    ok(wait_for(sub {
        my $again = eval { $acr->post($PATH, body => body(['hub/lib/a:1.0'],
                                                          ['linux/amd64'])) };
        $again && $again->body() =~ /"result":"ok"/
    }), 'with it, there is one');
    $acr->allow(qr/acr: redis/i);
}
