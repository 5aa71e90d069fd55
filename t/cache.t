#!/usr/bin/perl

# Lookups that shared memory answers: which ones, that a change is seen at once
# on its node and soon on others, and that nothing is answered from there once
# changes may have been missed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use ACR::Index;
use ACR::Metrics;
use ACR::Relay;
use Time::HiRes qw(time sleep);

my $server = 'acr_zone acr:4m; location = /metrics { acr_metrics; }'
             . ' location /acr/admin/ { acr_admin; }';
my $redis = redis();
my $acr = start(workers => 2, redis => $redis, fsync => 'off',
                server => $server, redis_options => 'timeout=500ms');
my $two = node($acr, server => $server, redis_options => 'timeout=500ms');

my %image = map { $_ => image('{"os":"linux"}', ['a layer'],
                              annotations => { name => $_ }) } qw(a b c);
my $blob = bytes(100_000, 'cache');


hears($_) for $acr, $two;
$acr->push_blob('lib/a', $_) for '{"os":"linux"}', 'a layer', $blob;
$acr->push_manifest('lib/a', 't', $image{a});


# --- which ones

my $tag = '/v2/lib/a/manifests/t';
my $by_digest = '/v2/lib/a/manifests/' . digest($image{a});
my $content = '/v2/lib/a/blobs/' . digest($blob);
my $small = '/v2/lib/a/blobs/' . digest('a layer');

remembered('GET', $tag, 'a tag');
remembered('HEAD', $tag, 'HEAD of it');
remembered('GET', $by_digest, 'a manifest by digest');
remembered('HEAD', $by_digest, 'HEAD of it');
remembered('GET', $content, 'a blob');
remembered('GET', $small, 'a small blob');

my @asked = asked(sub { fresh($acr, 'HEAD', $content) for 1 .. 5 });
is_deeply(\@asked, [0, 5], 'Redis hears who asks whether a blob is there');

@asked = asked(sub {
    fresh($acr, 'GET', '/v2/lib/a/manifests/none') for 1 .. 5;
});
is_deeply(\@asked, [0, 5], 'what is not there is not remembered');

my $answer = $acr->get($tag, headers => ['Range' => 'bytes=1-3']);
answers($answer, 206, 'a range of what is remembered');
is($answer->body(), substr($image{a}, 1, 3), 'has its bytes');
$answer = $acr->get($tag, headers => ['If-None-Match'
                                      => '"' . digest($image{a}) . '"']);
answers($answer, 304, 'a condition on it');
answers($acr->get($tag, headers => ['If-Match' => '"x"']), 412, 'and another');


# --- a change by the same node is seen at once, by each of its workers

my $wrong = 0;
for my $n (1 .. 50) {
    my $name = (sort keys %image)[$n % 3];
    $acr->put_manifest('lib/a', 't', $image{$name});
    $wrong += grep { fresh($acr, 'GET', $tag)->body() ne $image{$name} } 1 .. 4;
}
is($wrong, 0, 'a tag that moves');

for my $case (['a tag that goes', 'manifests/t', 'manifests/t'],
              ['a manifest that goes', 'manifests/' . digest($image{c}),
               'manifests/t'],
              ['a blob that goes', 'blobs/' . digest($blob),
               'blobs/' . digest($blob)])
{
    my ($name, $deleted, $target) = map { s{^(?=manifests|blobs)}{/v2/lib/a/}r }
                                    @$case;

    $acr->put_manifest('lib/a', 't', $image{c});
    fresh($_, 'GET', $target) for ($acr) x 4, ($two) x 2;
    answers($acr->delete($deleted), 202, $name);
    is_deeply([map { fresh($acr, 'GET', $target)->status() } 1 .. 4],
              [(404) x 4], 'is gone at once');
    ok(wait_for(sub { $two->get($target)->status() == 404 }),
       'and at the other node');
}

$acr->push_blob('lib/a', $blob);
$acr->put_manifest('lib/a', 't', $image{a});

for my $case (['the tag', '/acr/v1/lib/a/_tags/t'],
              ['the manifest', '/acr/v1/lib/a/_manifests/'
                               . digest($image{a})],
              ['the repository', '/acr/v1/lib/a'])
{
    my ($name, $target) = @$case;

    fresh($_, 'GET', $tag) for ($acr) x 4, ($two) x 2;
    answers(set($acr, $target, readEnabled => 0), 200, "a lock of $name");
    is_deeply([map { fresh($acr, 'GET', $tag)->status() } 1 .. 4], [(405) x 4],
              'holds at once');
    ok(wait_for(sub { $two->get($tag)->status() == 405 }),
       'and at the other node');
    answers(set($acr, $target, readEnabled => 1), 200, 'it is taken off');
    answers(fresh($acr, 'GET', $tag), 200, 'which is seen at once');
    ok(wait_for(sub { $two->get($tag)->status() == 200 }),
       'and at the other node');
}


# --- what a scrub finds

remembered('GET', $small, 'before a scrub');
spew($acr->blob_file(digest('a layer')), 'another');
admin($acr, 'POST', 'scrub');
ok(wait_for(sub { $acr->get($small)->status() == 404 }),
   'a blob that it finds broken is there no more');
ok(wait_for(sub { $two->get($small)->status() == 404 }),
   'at the other node either');
$_->allow(qr/does not match its digest|is broken/) for $acr, $two;
$acr->push_blob('lib/a', 'a layer');
is($acr->get($small)->body(), 'a layer', 'until it is pushed again');


# --- another node: how late it is

$two->get($tag);
my @delays;
for my $n (1 .. 100) {
    my $name = (sort keys %image)[$n % 2];
    $acr->put_manifest('lib/a', 't', $image{$name});
    my $begun = time();
    wait_for(sub { $two->get($tag)->body() eq $image{$name} }) or last;
    push(@delays, time() - $begun);
}
@delays = sort { $a <=> $b } @delays;
is(scalar(@delays), 100, 'changes of another node are seen');
diag(sprintf('another node: %.1f ms later, %.1f at most (with the request)',
             1000 * $delays[50], 1000 * $delays[-1]));


# --- missed changes

$redis->command('CLIENT', 'KILL', 'TYPE', 'pubsub');
$acr->put_manifest('lib/a', 't', $image{c});
ok(wait_for(sub { $two->get($tag)->body() eq $image{c} }),
   'a feed that was cut');
ok(wait_for(sub { $two->log_text() =~ /the feed of Redis ".*" is lost/ }),
   'the log tells');
ok(wait_for(sub { $two->log_text() =~ /the feed of Redis ".*" is back/ }),
   'until it is back');
hears($_) for $acr, $two;
is_deeply([map { fresh($two, 'GET', $tag)->body() } 1 .. 4],
          [($image{c}) x 4], 'what was missed is not told then either');
remembered('GET', $tag, 'and it is relied on again');

# nobody asks, but for the beats
$redis->command('FLUSHALL');
ok(wait_for(sub { state($acr) ne '' }), 'an emptied Redis is noticed');
ok(complete($acr), 'and filled');
$_->allow(qr/has lost changes|knows nothing|is complete/) for $acr, $two;
hears($_) for $acr, $two;
is($two->get($tag)->body(), $image{c}, 'the tag is what it was');

# a Redis that hangs
$_->allow(qr/Redis ".*" is (?:lost|back)/) for $acr, $two;
fresh($acr, 'GET', $tag) for 1 .. 4;
$redis->signal('STOP');
ok(wait_for(sub { value($acr, 'acr_redis_up') == 0 }), 'Redis hangs');
is(fresh($acr, 'GET', $tag)->body(), $image{c}, 'the tag is there');
ok(wait_for(sub {
       my ($memory) = asked(sub { fresh($acr, 'GET', $tag) for 1 .. 8 });
       return $memory == 0;
   }), 'which the disk has, once memory is not relied on');
$redis->signal('CONT');
hears($_) for $acr, $two;
remembered('GET', $tag, 'but when Redis goes on');


# --- a Redis that grants no channels

$redis->command('ACL', 'SETUSER', 'mute', 'on', '>mute', 'allkeys',
                'resetchannels', '&acr:{default}:feed', 'allcommands');
my $mute = node($acr, node => 'three', server => $server, workers => 1,
                redis_options => 'user=mute password=mute');
ok(wait_for(sub {
       $mute->log_text() =~ /the feed of Redis ".*" is lost.*NOPERM/
   }), 'a user without the channel');
is($mute->get($tag)->body(), $image{c}, 'it works');
is_deeply([asked(sub { $mute->get($tag) for 1 .. 5 }, $mute)], [0, 5],
          'by asking');
is(value($mute, 'acr_feed_up'), 0, 'metrics tell');
$mute->stop();


# --- a feed that says nothing any more

my $relay = ACR::Relay->start(redis => $redis, dir => work_dir());
my $deaf = node($acr, node => 'four', server => $server, workers => 1,
                lines => { redis => 'acr_redis ' . $relay->address()
                                    . ' timeout=500ms;' });
hears($deaf);
$relay->set(hold => 1);
ok(wait_for(sub {
       $deaf->log_text() =~ /the feed of Redis ".*" is lost.*do not come back/
   }), 'a feed that says nothing is given up');
is(value($deaf, 'acr_feed_up'), 0, 'metrics tell');
is($deaf->get($tag)->body(), $image{c}, 'it works');
$relay->set();
hears($deaf);
ok(1, 'and is heard again');
$deaf->stop();


# --- another registry, that takes over the zone

my $other = redis();
fresh($acr, 'GET', $_) for ($tag, $content) x 4;
$acr->reload(server => "$server acr_root $acr->{dir}/other;",
             lines => { redis => 'acr_redis ' . $other->address() . ';',
                        root => '' });
ok(wait_for(sub { @{ $other->command('KEYS', 'acr:{*}:state') } }),
   'a reload with another root and Redis');
hears($acr);
is_deeply([map { fresh($acr, 'GET', $_)->status() } ($tag, $content) x 2],
          [(404) x 4], 'which has nothing');
$acr->reload(server => $server, lines => {});
hears($acr);
is(fresh($acr, 'GET', $tag)->body(), $image{c}, 'and back');


# --- strict, and without memory

$acr->reload(location => 'acr_tag_consistency strict;');
hears($acr);
fresh($acr, 'GET', $_) for ($tag, $by_digest, $content) x 4;
@asked = asked(sub { fresh($acr, 'GET', $_) for ($tag, $by_digest, $content) });
is_deeply(\@asked, [0, 3], 'acr_tag_consistency strict');
is(fresh($acr, 'GET', $tag)->body(), $image{c}, 'has the tag');

my $small_zone = $server =~ s/acr:4m/acr:1m/r;
$two->stop();
my $little = node($acr, server => $small_zone);
is_deeply([asked(sub { $little->get($tag) for 1 .. 5 }, $little)], [0, 5],
          'a zone that is too small for lookups');
is($little->get($tag)->body(), $image{c}, 'it works');

finish();


# every worker hears the feed
sub hears {
    my ($node) = @_;

    wait_for(sub { eval { value($node, 'acr_feed_up') } })
        or die "a worker does not hear the feed\n" . $node->tail();
}


# asked(FUNCTION, NODE): how many lookups memory and Redis have answered then
sub asked {
    my ($function, $node) = @_;

    $node ||= $acr;
    my @sources = qw(memory redis);
    my $was = metrics($node);
    $function->();
    my $now = metrics($node);

    return map { ($now->{$_} || 0) - ($was->{$_} || 0) }
           map { series('acr_lookups_total', source => $_) } @sources;
}


# the third time, at the latest, memory has it for all workers
sub remembered {
    my ($method, $target, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $first = fresh($acr, $method, $target);
    my @asked = asked(sub {
        my @answers = map { fresh($acr, $method, $target) } 1 .. 6;
        is_deeply([map { whole($_) } @answers], [(whole($first)) x 6],
                  "$name: the same answers");
    });

    is_deeply(\@asked, [6, 0], "$name: from memory");
}


sub whole {
    my ($answer) = @_;

    return join("\n", $answer->status(), $answer->body(),
                map { "@$_" } grep { $_->[0] ne 'date' }
                @{ $answer->{headers} });
}
