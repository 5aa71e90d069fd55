#!/usr/bin/perl

# A Redis that does not answer, is gone, and comes back: no wrong answer,
# nothing hangs, and all goes on by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use Time::HiRes qw(time);

# A question takes two seconds and two time-outs at most; the rest is for a
# machine that is busy.
my $DEADLINE = 2 + 2 * 0.3 + 4;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'always');
my $acr = start(workers => 2, redis => $redis,
                redis_options => 'timeout=300ms');

my $bytes = bytes(200_000, 'redis');
my $digest = $acr->push_blob('lib/a', $bytes);
my $image = image($bytes, []);
my $manifest = $acr->push_manifest('lib/a', 'latest', $image);


# --- it does not answer

my $location = $acr->upload('lib/a');
my $push = $acr->connect();
$push->begin('PUT', with($location, digest => $digest),
             headers => ['Content-Length' => 200_000]);
$push->send(substr($bytes, 0, 100_000));
wait_for(sub { session($acr, $location)->{held} });

my ($piece, $size, $large) = large(8, 'redis');
$acr->close_upload($acr->upload('lib/a'), $large,
                   [map { $piece->($_) } 0 .. 7]);
my ($pull, $answer, $rest) = throttled($acr, "/v2/lib/a/blobs/$large");

$redis->signal('STOP');

for my $round (1, 2) {
    unavailable('POST', '/v2/lib/a/blobs/uploads/', body => '');
    unavailable('PATCH', $location, body => 'x');
    unavailable('GET', $location);
    unavailable('PUT', '/v2/lib/a/manifests/latest', body => $image);
    unavailable('DELETE', "/v2/lib/none/blobs/$digest");
    unavailable('GET', '/v2/lib/a/tags/list');
    unavailable('GET', '/v2/_catalog');
    unavailable('GET', "/v2/lib/a/referrers/$manifest");
    pulls();
}

my $begun = time();
my @together = parallel(map { sub {
    return $acr->post('/v2/lib/a/blobs/uploads/', body => '')->status();
} } 1 .. 20);
is_deeply([grep { $_ != 503 } @together], [], 'twenty at once are told');
cmp_ok(time() - $begun, '<', $DEADLINE, 'and none waits for another');

answers(fresh($acr, 'GET', '/v2/'), 200, 'the workers are alive');
is_deeply([$rest->()], [$large, $size], 'a pull under way is completed');

$push->send(substr($bytes, 100_000));
$answer = $push->answer('PUT');
refused($answer, 503, 'UNAVAILABLE', 'a push under way is told');
$push->close();

$redis->signal('CONT');

works('when it answers again');


# --- it is killed

$redis->kill();

unavailable('POST', '/v2/lib/a/blobs/uploads/', body => '');
unavailable('GET', '/v2/lib/a/tags/list');
pulls();

$redis->run();
works('when it is started again');
is_deeply([$acr->tags('lib/a')], ['latest'], 'with what it had');

# it goes and comes while many ask
my $stop = "$acr->{dir}/stop";
my @asked = parallel(
    sub {
        for (1 .. 3) {
            # longer than the time-out, and shorter
            kill('STOP', $redis->{process}->pid());
            select(undef, undef, undef, $_ == 2 ? 0.1 : 0.5);
            kill('CONT', $redis->{process}->pid());
            select(undef, undef, undef, 0.1);
        }
        open(my $fh, '>', $stop) or die "$stop: $!\n";
        return [];
    },
    map { sub {
        my @wrong;
        until (-e $stop) {
            my $got = $acr->get('/v2/lib/a/manifests/latest');
            push(@wrong, $got->text())
                if $got->status() != 503
                   && ($got->status() != 200 || $got->body() ne $image);
        }
        return \@wrong;
    } } 1 .. 3);
is_deeply([map { @$_ } @asked], [], 'whoever asks meanwhile is told no lie');
works('after that');


# --- scripts

$redis->command('SCRIPT', 'FLUSH');
answers($acr->get('/v2/lib/a/manifests/latest'), 200,
        'scripts that are gone are loaded again');
my $other = $acr->push_image('lib/b', 'new', 'script flush');
is($acr->resolve('lib/b', 'new'), $other, 'all that a push needs');


# --- large answers

my @tags = map { sprintf('t%03d-', $_) . 'x' x 120 } 0 .. 999;
$redis->command('ZADD', key('tags:lib/many'), map { (0, $_) } @tags);
$redis->command('HSET', key('tag:lib/many'), map { ($_, "$manifest 1") } @tags);
$redis->command('ZADD', key('repos'), 0, 'lib/many');

for my $n (100, 130, 131, 132, 500, 999) {
    is_deeply($acr->get("/v2/lib/many/tags/list?n=$n")->json()->{tags},
              [@tags[0 .. $n - 1]], "$n tags");
}
is_deeply([sort(ACR::Client::tags($acr, 'lib/many'))], \@tags, 'all tags');

my @many = map { sprintf('sha256:%064x', $_) } 1 .. 900;
$redis->command('HSET', key('manifests:lib/a'),
                map { ($_, "10 $IMAGE") } @many);
answers($acr->put_manifest('lib/a', 'large', index_of(
            [map { { mediaType => $IMAGE, digest => $_, size => 10 } }
             @many])),
        201, 'an index of 900 manifests');


finish();


# a request that cannot be answered without Redis
sub unavailable {
    my ($method, $target, %option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $begun = time();
    my $answer = $acr->request($method, $target, %option);

    refused($answer, 503, 'UNAVAILABLE',
            "$method " . ($target =~ s/[0-9a-f]{20,}/.../gr) . ' gets 503');
    like($answer->header('Retry-After'), qr/^[1-9]\d*$/, 'with Retry-After');
    cmp_ok(time() - $begun, '<', $DEADLINE, 'in time');
}


# pulls may be answered without it, but only rightly
sub pulls {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $target ('/v2/lib/a/manifests/latest',
                    "/v2/lib/a/manifests/$manifest",
                    "/v2/lib/a/blobs/$digest")
    {
        my $begun = time();
        my $answer = $acr->get($target);
        my $wanted = $target =~ /blobs/ ? $bytes : $image;

        ok($answer->status() == 503 && $answer->header('Retry-After')
           || $answer->status() == 200 && $answer->body() eq $wanted,
           'a pull gets what is there, or 503') or diag($answer->text());
        cmp_ok(time() - $begun, '<', $DEADLINE, 'in time');
    }
}


# both workers go on by themselves
sub works {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $in_a_row = 0;
    ok(wait_for(sub {
           my $answer = fresh($acr, 'GET', '/v2/lib/a/tags/list');
           $in_a_row = $answer->status() == 200 ? $in_a_row + 1 : 0;
           $in_a_row == 20
       }), "it goes on $name");
    is($acr->push_image('lib/b', 'works', $name),
       $acr->resolve('lib/b', 'works'), 'with pushes');
    is($acr->get("/v2/lib/a/blobs/$digest")->body(), $bytes, 'and pulls');
}
