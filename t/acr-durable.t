#!/usr/bin/perl

# Attributes are on the disk: they survive the loss of Redis and the death of
# everything, and read locks hold without Redis.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use Time::Local qw(timegm);
use ACR::Api;
use ACR::Fault;
use ACR::Index;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'always');
my $acr = start(workers => 2, redis => $redis,
                redis_options => 'timeout=1s',
                server => 'location /acr/admin/ { acr_admin; }');
my $ask = sub { return $redis->command(@_) };

$acr->allow(qr/\[alert\].*has lost changes/);


# --- something of everything

my ($config, $layer) = ('{"os":"linux","architecture":"arm64"}', 'a layer');
my $image = image($config, [$layer]);
my $digest = digest($image);
for my $repository (qw(free locked unread hidden)) {
    $acr->push_blob($repository, $_) for $config, $layer;
    tick(), $acr->push_manifest($repository, $_, $image)
        for qw(b a unread hidden kept a);
}
my $secret = $acr->push_manifest('free', 'secret',
                                 image($config, [], annotations =>
                                       { n => 'x' }));
$acr->push_manifest('free', 'index', index_of([$image]));

my %set = (
    'free/_tags/unread' => { readEnabled => 0 },
    'free/_tags/hidden' => { listEnabled => 0 },
    'free/_tags/kept' => { writeEnabled => 0, deleteEnabled => 0 },
    "free/_manifests/$secret" => { readEnabled => 0, writeEnabled => 0,
                                   quarantineState => 'Failed',
                                   quarantineDetails => '{"a":"\"b\""}' },
    "hidden/_manifests/$digest" => { listEnabled => 0, deleteEnabled => 0 },
    locked => { writeEnabled => 0 },
    unread => { readEnabled => 0, deleteEnabled => 0 },
    hidden => { listEnabled => 0 });
change($acr, $_, %{ $set{$_} }) for sort keys %set;
# what was set and is as it was again
change($acr, 'free', writeEnabled => 0, listEnabled => 0);
change($acr, 'free', writeEnabled => 1, listEnabled => 1);

# what went with its attributes, and is new
for my $what ('gone/_tags/one', 'gone') {
    $acr->push_image('gone', 'one', 'gone');
    my ($one) = map { $_->{digest} }
                @{ api($acr, 'GET', 'gone/_tags')->json()->{tags} };
    change($acr, $_, listEnabled => 0, readEnabled => 0)
        for 'gone/_tags/one', "gone/_manifests/$one", 'gone';
    if ($what ne 'gone') {
        change($acr, 'gone', readEnabled => 1);
        answers($acr->delete("/v2/gone/manifests/$one"), 202, 'an image goes');
    } else {
        answers(api($acr, 'DELETE', 'gone'), 202, 'a repository goes');
    }
}
my $new = $acr->push_image('gone', 'one', 'gone');
my %all = map { ("${_}Enabled" => 1) } qw(delete write read list);

settled();
my @objects = (map { my $r = $_; ($r, map { "$r/$_" } "_manifests/$digest",
                                  map { "_tags/$_" } qw(a b unread hidden kept))
                   } qw(free locked unread hidden));
push(@objects, "free/_manifests/$secret", 'free/_tags/index', 'gone',
     'gone/_tags/one', "gone/_manifests/$new");
my %before = map { $_ => object($_) } @objects;
my $index = index_of_redis($acr);
enforced('at first');


# --- Redis is emptied while everybody is connected

$ask->('FLUSHALL');
enforced('at once after the loss of Redis', 'reads');
$ask->('FLUSHALL');
disallowed($acr->put_manifest('locked', 'new', $image), 'no push');
$ask->('FLUSHALL');
disallowed($acr->delete('/v2/free/manifests/kept'), 'no deletion');
$ask->('FLUSHALL');
disallowed(api($acr, 'DELETE', 'unread'), 'of a repository');
$ask->('FLUSHALL');
is_deeply(locks($acr, 'free/_tags/kept'), of('free/_tags/kept'),
          'attributes are told');
$ask->('FLUSHALL');
is_deeply([sort $acr->tags('free')], [qw(a b index kept secret unread)],
          'what is not listed is not');
$ask->('FLUSHALL');
change($acr, 'free/_tags/b', readEnabled => 0);
change($acr, 'free/_tags/b', readEnabled => 1);
same('after all that');
is_deeply(index_of_redis($acr), $index, 'the index equals the one before');
is_deeply([differences($acr)], [], 'and the disk');


# --- an older Redis

$redis->shutdown();
system("cp -a $redis->{dir} $redis->{dir}.old") == 0 or die;
$redis->run();
ok(back('/v2/_catalog'), 'Redis is back');
change($acr, 'free/_tags/a', readEnabled => 0, writeEnabled => 0);
change($acr, 'unread', readEnabled => 1);
$redis->kill();
system("rm -rf $redis->{dir}/* && cp -a $redis->{dir}.old/. $redis->{dir}")
    == 0 or die;
$redis->run();
ok(wait_for(sub {
       fresh($acr, 'GET', '/v2/free/manifests/a')->status() == 405
   }), 'a lock that it does not know holds');
ok(wait_for(sub {
       fresh($acr, 'GET', '/v2/unread/manifests/a')->status() == 200
   }), 'and one that it knows and is no more does not');
ok(complete($acr), 'it is complete');
ok(back('/v2/_catalog'), 'and is back');
disallowed($acr->get('/v2/free/manifests/a'), 'the lock stays');
disallowed($acr->put_manifest('free', 'a', $image), 'all of it');
answers($acr->get('/v2/unread/manifests/a'), 200, 'the other stays away');
change($acr, 'free/_tags/a', readEnabled => 1, writeEnabled => 1);
change($acr, 'unread', readEnabled => 0);
same('as before');


# --- everything dies right after the answer

$acr->allow(qr/exited on signal 9/);

for my $what ('free/_tags/b', "free/_manifests/$digest", 'free') {
    for my $value (0, 1) {
        my $answer = set($acr, $what, readEnabled => $value,
                         writeEnabled => $value);
        $acr->kill_all();
        $ask->('FLUSHALL');
        answers($answer, 200, "readEnabled of $what is $value");
        $acr->run();
        is(fresh($acr, 'GET', '/v2/free/manifests/b')->status(),
           $value ? 200 : 405, 'and stays so after kill -9 and without Redis');
    }
}
for my $answer (set($acr, 'free/_tags/b', listEnabled => 0)) {
    $redis->kill();
    $acr->kill_all();
    $redis->run();
    $acr->run();
    answers($answer, 200, 'an attribute is set');
    ok(wait_for(sub { fresh($acr, 'GET', '/acr/v1/free')->status() == 200 }),
       'all has died and is back');
    is(locks($acr, 'free/_tags/b')->{listEnabled}, 0, 'it is set');
    change($acr, 'free/_tags/b', listEnabled => 1);
}
same('after all that');

# a repository that was deleted does not come back, nor part of it
$acr->reload(fsync => 'off');
my @tags = map { "t$_" } 1 .. 1100;
my $n = 0;
while (my @some = @tags[$n .. $n + 99]) {
    $acr->push_blob('large', $config) if !$n;
    my $small = image($config, [], annotations => { n => "$n" });
    $acr->put_manifest('large', digest($small) . '?'
                       . join('&', map { "tag=$_" } @some), $small);
    last if ($n += 100) >= @tags;
}
is(api($acr, 'GET', 'large')->json()->{tagCount}, 1100, 'a large repository');
my $answer = api($acr, 'DELETE', 'large');
$acr->kill_all();
$ask->('FLUSHALL');
answers($answer, 202, 'is deleted');
$acr->run();
ok(complete($acr), 'all has died, and it is complete');
refused(fresh($acr, 'GET', '/acr/v1/large'), 404, 'NAME_UNKNOWN', 'it is gone');
is_deeply([grep { fresh($acr, 'GET', "/v2/large/manifests/$_")->status()
                  != 404 } @tags[0, 99, 600, 1099]], [], 'with its tags');
ok(!(grep { $_ eq 'large' } @{ $acr->get('/v2/_catalog')->json()
                                   ->{repositories} }), 'and is in no list');
settled();
is_deeply([differences($acr)], [], 'Redis and the disk are equal');


# --- without Redis

$redis->kill();
enforced('without Redis', 'reads');
for my $case (['GET', '_catalog'], ['GET', 'free'], ['PATCH', 'free'],
              ['DELETE', 'free'], ['GET', 'free/_tags'],
              ['GET', 'free/_tags/a'], ['PATCH', 'free/_tags/a'],
              ['DELETE', 'free/_tags/a'], ['GET', 'free/_manifests'],
              ['GET', "free/_manifests/$digest"],
              ['PATCH', "free/_manifests/$digest"], ['GET', 'none/_tags'])
{
    my ($method, $what) = @$case;
    my $answer = fresh($acr, $method, "/acr/v1/$what",
                       body => $method eq 'PATCH' ? '{"readEnabled":false}'
                                                  : undef);
    refused($answer, 503, 'UNAVAILABLE', "$method $what");
    like($answer->header('Retry-After'), qr/^[1-9]\d*$/, 'to be tried again');
}
$acr->reload();
enforced('without Redis, after a reload', 'reads');
$acr->kill_all();
$acr->run();
enforced('without Redis, after kill -9', 'reads');
$redis->run();
ok(back('/acr/v1/free'), 'it is back');
ok(complete($acr), 'and complete');
same('with Redis');
enforced('in the end');



# --- the first loss that an nginx sees: a tag and its manifest, both with
# --- attributes, asked for before all is rebuilt

my $young = start();
$young->allow(qr/\[alert\].*has lost changes/);
$digest = $young->push_image('lib/a', 't', 'young');
@objects = ('lib/a', 'lib/a/_tags/t', "lib/a/_manifests/$digest");
change($young, $_, writeEnabled => 0, listEnabled => 0) for @objects;
$young->{redis}->command('FLUSHALL');
for my $when ('at once', 'when it is complete') {
    is_deeply(locks($young, $_), { %all, writeEnabled => 0, listEnabled => 0 },
              "attributes of $_, $when") for reverse(@objects);
    disallowed($young->delete('/v2/lib/a/manifests/t'), 'which hold');
    ok(complete($young), 'it becomes complete');
}

same_headers();
finish();


sub settled {
    ok(wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30),
       'all is settled');
}


# for the worker that has this test's connection, which is asked from here on:
# each comes back to Redis in its own time
sub back {
    my ($target) = @_;

    return wait_for(sub { $acr->get($target)->status() == 200 });
}


sub object { return api($acr, 'GET', $_[0])->json() }


# of(WHAT): the attributes that it was given here
sub of { return { %all, %{ $set{$_[0]} || {} } } }


# all that is told is as it was before
sub same {
    my ($when) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(complete($acr), "$when: the index is complete");

    my $json = JSON::PP->new()->canonical();
    my (@other, @times);

    for my $what (@objects) {
        my ($was, $is) = map { $json->encode($_) } $before{$what},
                                                   object($what);
        my ($old, $new) = map { s/"(\w+Time)":"[^"]*"/"$1"/gr } $was, $is;

        push(@other, "$what: $is was $was") if $old ne $new;
        # which are those of links and directories then
        push(@times, "$what: $is was $was") if !near($was, $is);
    }

    is_deeply(\@other, [], "$when: attributes and all else are the same");
    is_deeply(\@times, [], "$when: and the times");
}


# all times are the same within a second
sub near {
    my @times = map {
        my @found;
        push(@found, timegm($6, $5, $4, $3, $2 - 1, $1))
            while /Time":"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/g;
        \@found;
    } @_;

    return !grep { abs($times[0][$_] - $times[1][$_]) > 1 }
            0 .. $#{ $times[0] };
}


# enforced(WHEN, 'reads'): what the locks say holds; with 'reads' only those of
# pulls are tried
sub enforced {
    my ($when, $reads) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @wrong;
    my %pull = ((map { $_ => 200 } 'free/manifests/a', 'free/manifests/hidden',
                 'free/manifests/index', "free/manifests/$digest",
                 'locked/manifests/a', 'hidden/manifests/a',
                 "hidden/manifests/$digest", 'gone/manifests/one'),
                (map { $_ => 405 } 'free/manifests/unread',
                 'free/manifests/secret', "free/manifests/$secret",
                 'unread/manifests/a', "unread/manifests/$digest",
                 'unread/blobs/' . digest($layer)));

    for my $what (sort keys %pull) {
        for my $method (qw(GET HEAD GET)) {
            my $status = fresh($acr, $method, "/v2/$what")->status();
            push(@wrong, "$method $what: $status") if $status != $pull{$what};
        }
    }
    is_deeply(\@wrong, [], "$when: pulls, and what may not be pulled");
    return if $reads;

    disallowed($acr->put_manifest('locked', 'new', $image), "$when: no push");
    disallowed($acr->put_manifest('free', 'kept', $image), 'to that tag');
    disallowed(api($acr, 'DELETE', $_), "no deletion of $_")
        for 'locked', 'unread', 'hidden', 'free', 'free/_tags/kept',
            'locked/_tags/a';
    disallowed($acr->delete("/v2/$_"), "no deletion of $_")
        for "free/manifests/$secret", "hidden/manifests/$digest",
            "locked/blobs/" . digest($layer);
    is_deeply($acr->get('/v2/_catalog')->json()->{repositories},
              [qw(free gone locked unread)], 'not in the catalogue');
    is_deeply([sort $acr->tags('free')], [qw(a b index kept secret unread)],
              'no tag that is not listed');
    is_deeply(api($acr, 'GET', 'hidden/_manifests')->json()->{manifests}, [],
              'no manifest');
    is_deeply(locks($acr, $_), of($_), "attributes of $_") for @objects;
}
