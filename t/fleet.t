#!/usr/bin/perl

# Three nodes on one directory and one Redis: each request of an upload at
# another of them, all at the same tag, all at the same content, and nodes that
# die in the middle of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Client;
use ACR::Fault;
use ACR::Load;
use ACR::Shim;
use Time::HiRes qw(sleep time);

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $seconds = $ARGV[0] || $ENV{ACR_FLEET_SECONDS} || 5;
my $seed = $ENV{ACR_SEED} || time() % 1_000_000 | 0;

alarm($seconds + ($ENV{ACR_TIMEOUT} || 300));

my $shim = ACR::Shim->new();
my $redis = redis('--appendonly', 'yes', '--appendfsync', 'everysec');
my $one = start(redis => $redis, env => $shim->env());
my @nodes = ($one, map { node($one, node => $_, env => $shim->env()) }
                   qw(two three));

$_->allow(qr/worker process \d+ exited on signal 9/) for @nodes;

my $config = '{"seed":"fleet"}';
$one->push_blob('lib/a', $config);
my @images = map { image($config, [], annotations => { n => "$_" }) } 0 .. 7;


# --- each request at another node

my $turn = 0;

for my $algorithm (qw(sha256 sha512)) {
    my $bytes = bytes(1_200_000, "fleet $algorithm");
    my $digest = digest($bytes, $algorithm);
    my $location = another()->upload('lib/a', "digest-algorithm=$algorithm");
    my $offset = 0;

    for my $size (1, 100_000, 65_536, 500_000, 3) {
        answers(another()->patch($location, substr($bytes, $offset, $size),
                                 $offset),
                202, "a chunk of $size bytes");
        $offset += $size;
        my $answer = another()->get($location);
        is($answer->header('Range'), '0-' . ($offset - 1),
           'is known at another node');
    }

    answers(another()->close_upload($location, $digest,
                                    substr($bytes, $offset)),
            201, "an upload of many nodes ($algorithm)");
    is_deeply([map { digest($_->get("/v2/lib/a/blobs/$digest")->body(),
                            $algorithm) } @nodes],
              [($digest) x 3], 'is at all of them');
}

answers(another()->put_manifest('lib/a', 'turns', $images[0]), 201,
        'a manifest at one node');
is_deeply([map { $_->resolve('lib/a', 'turns') } @nodes],
          [(digest($images[0])) x 3], 'is at all of them at once');
answers(another()->put_manifest('lib/a', 'turns', $images[1]), 201,
        'it moves at another');
is_deeply([map { $_->resolve('lib/a', 'turns') } @nodes],
          [(digest($images[1])) x 3], 'and so it does at all');
answers(another()->delete('/v2/lib/a/manifests/turns'), 202,
        'it is deleted at another');
is_deeply([map { $_->resolve('lib/a', 'turns') } @nodes], [(undef) x 3],
          'and so it is at all');


# --- two nodes write one tag

my @status = map { @$_ } parallel(map {
    my $n = $_;
    sub {
        return [map {
            $nodes[$n]->put_manifest('lib/a', 'both', $images[rand(@images)])
                ->status()
        } 1 .. 40];
    }
} 0, 1);

is_deeply([grep { $_ != 201 } @status], [], 'two nodes write one tag');
my $now = $nodes[2]->resolve('lib/a', 'both');
is($one->tag_on_disk('lib/a', 'both'), $now,
   'Redis and the disk have the same');
nothing('and nothing else differs', differences($one));


# one of them is about to make the link of what the other has overtaken
for my $step ('rename /tags/slow/current/link STOP',
              'rename /tags/slow/current/link STOP_AFTER')
{
    put('slow', $images[0]);
    $shim->rules("$step count=1");
    my $slow = begun($one, 'PUT', 'slow', $images[5]);
    my $pid = $shim->stopped();
    ok($pid, "a node stops at $step");
    $shim->clear();

    my $quick = begun($nodes[1], 'PUT', 'slow', $images[6]);
    ok(wait_for(sub {
        ($nodes[2]->resolve('lib/a', 'slow') || '') eq digest($images[6])
    }), 'another one overtakes it');

    # it has to wait for the lock; without one it would be done by then
    eval { $quick->fill(0.3) };
    kill('CONT', $pid);

    answers($_->answer('PUT'), 201, 'both are answered') for $slow, $quick;
    $_->close() for $slow, $quick;
    is($one->tag_on_disk('lib/a', 'slow'), digest($images[6]),
       'and the disk has what Redis has');
}


# --- identical content at once

my $bytes = bytes(900_000, 'identical');
my $digest = digest($bytes);

@status = parallel(map {
    my $n = $_;
    sub {
        my $node = $nodes[$n % 3];
        my $repository = 'lib/same' . $n % 2;
        return $n % 4
            ? $node->close_upload($node->upload($repository), $digest,
                                  $bytes)->status()
            : $node->post(with("/v2/$repository/blobs/uploads/",
                               digest => $digest), body => $bytes)->status();
    }
} 0 .. 11);

is_deeply(\@status, [(201) x 12], 'twelve clients push the same');
is((stat($one->blob_file($digest)))[3], 1, 'it is stored once');
is_deeply([glob($one->path('repositories/lib/same*/_uploads/*')),
           glob("$one->{root}/acr/tmp/*")], [], 'and nothing else is left');
is(digest($_->get("/v2/lib/same0/blobs/$digest")->body()), $digest,
   'it is right at each node') for @nodes;
nothing('Redis and the disk have the same', differences($one));


# --- a node dies between two steps of a put (DESIGN "Push", 4)

# before (a), with a part of it, after all of it: nobody has seen anything
my @part = ('open /acr/tmp/ STOP', 'rename /blobs/ STOP',
            'rename /revisions/ STOP_AFTER', 'write /current/link. STOP',
            'fsync /tags/step/current$ STOP_AFTER',
            'lock /acr/locks/ STOP skip=1');

for my $n (0 .. $#part) {
    my $before = put('step', $images[0]);
    my $new = image($config, [], annotations => { n => "part $n" });

    dies($part[$n], 'PUT', 'step', $new);
    is($nodes[1]->resolve('lib/a', 'step'), $before, 'the tag is the old');
    is($one->tag_on_disk('lib/a', 'step'), $before, 'on the disk too');
    answers($nodes[2]->put_manifest('lib/a', 'step', $new), 201,
            'another node can put it');
    is($one->tag_on_disk('lib/a', 'step'), digest($new),
       'and its link is made');
}

# between (b) and (c): it is committed, and somebody else makes the links; the
# names are locked before (b), or after it if somebody has one of the locks
my $busy = 'lock /acr/locks/ EAGAIN skip=1';
my @late = (['rename /current/link STOP'],
            ['rename /current/link STOP_AFTER'],
            ['pwrite /acr/nodes/ STOP'],
            ['lock /acr/locks/ STOP skip=2', $busy],
            ['rename /current/link STOP', $busy]);
my %late;

for my $n (0 .. $#late) {
    my $new = image($config, [], annotations => { n => "late $n" });
    put("late$n", $images[0]);

    dies(join(', ', @{ $late[$n] }), 'PUT', "late$n", $new);
    $late{"late$n"} = digest($new);
    is($nodes[1]->resolve('lib/a', "late$n"), digest($new),
       'the tag is the new');
}

# and of a deletion
for my $when (qw(STOP STOP_AFTER)) {
    put("gone-$when", $images[1]);

    dies("unlink /current/link $when", 'DELETE', "gone-$when");
    $late{"gone-$when"} = undef;
    is($nodes[1]->resolve('lib/a', "gone-$when"), undef, 'the tag is gone');
}

# what this node would do itself
$one->kill_all() if $one->{process}->alive();


# --- the others settle that while clients push, and nodes die

diag("ACR_SEED=$seed");
srand($seed);

my $load = ACR::Load->new([@nodes[1, 2], $one], seed => $seed);
my $begun = time();
my $kills = 0;

$load->begin(5);
wait_for(sub { $load->acknowledged() > 20 }, 20);
$one->run();

while (time() < $begun + $seconds) {
    my $node = $nodes[rand(@nodes)];
    my $more = $load->acknowledged() + 10;

    sleep(rand(0.5));
    $node->kill_all();
    sleep(rand(0.3));
    $node->run();
    $kills++;

    wait_for(sub { $load->acknowledged() >= $more }, 20);
}

my $more = $load->acknowledged() + 10;
ok(wait_for(sub { $load->acknowledged() >= $more }, 20), 'pushes go on');
$load->end();
nothing('all that was acknowledged is there', $load->check($nodes[1]));

is_deeply({ map { $_ => $nodes[2]->resolve('lib/a', $_) } keys %late },
          \%late, 'what was committed stays');
ok(wait_for(sub {
    !grep { ($one->tag_on_disk('lib/a', $_) || '') ne ($late{$_} || '') }
          keys %late
}, 30), 'and its links are made by others');

ok(wait_for(sub {
    !@{ $redis->command('ZRANGE', key('pending'), 0, -1) }
}, 30), 'nothing stays pending');
nothing('Redis and the disk have the same', $load->apart($one));
nothing('nothing is half-written',
        grep { !m{/_uploads/|/acr/tmp/|/current/link\.[0-9a-f-]{36} } }
        half_written($one));

diag("$kills kills, $load->{checked} objects checked, $load->{resumed} "
     . 'uploads resumed');

finish();


sub another {
    return $nodes[$turn++ % @nodes];
}


sub nothing {
    my ($name, @complaints) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@complaints, $name)
        or diag(join("\n", @complaints[0 .. ($#complaints > 9 ? 9
                                             : $#complaints)]));
}


sub put {
    my ($tag, $image) = @_;

    return $nodes[1]->push_manifest('lib/a', $tag, $image);
}


# dies(RULES, METHOD, TAG, MANIFEST): the first node is stopped in the middle of
# the request, by the first of the rules, and killed there
sub dies {
    my ($rules, $method, $tag, $manifest) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $one->run() if !$one->{process}->alive();
    $shim->rules(map { "$_ count=1" } split(/, /, $rules));

    my $http = begun($one, $method, $tag, $manifest);

    ok($shim->stopped(), "$method: a node dies at $rules");
    $one->kill_all();
    $shim->clear();

    is(eval { $http->answer($method) }, undef, 'nobody was told');
    $http->close();
}


# a request whose answer is still to come
sub begun {
    my ($node, $method, $tag, $manifest) = @_;

    my $http = $node->connect();
    $http->begin($method, "/v2/lib/a/manifests/$tag", headers => [
        'Content-Type' => $IMAGE,
        'Content-Length' => defined $manifest ? length($manifest) : 0]);
    $http->send($manifest) if defined $manifest;

    return $http;
}
