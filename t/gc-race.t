#!/usr/bin/perl

# The collector against clients that push, mount, put and delete the same
# content over and over, while it is stopped between each two of its steps.
#
# A 201 of a manifest means that it and all its blobs are there from then on,
# until it is deleted.  A blob that was pushed, mounted or found by HEAD stays
# for acr_gc_delay.  In the end all that nobody needs is gone.
#
#   perl t/gc-race.t [SECONDS]    or ACR_RACE_SECONDS; ACR_SEED

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;
use Time::HiRes qw(sleep time);

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $seconds = $ARGV[0] || $ENV{ACR_RACE_SECONDS} || 8;
my $seed = $ENV{ACR_SEED} || time() % 1_000_000 | 0;

alarm($seconds + ($ENV{ACR_TIMEOUT} || 300));

# Redis counts whole seconds, so of two at least one passes.
my $KEPT = 0.9;
my $GC = 'acr_gc_delay 2s; acr_gc_interval';

my $shim = ACR::Shim->new();
my $acr = start(workers => 2, server => "$GC off;");
my $redis = $acr->{redis};

# one that stops while it pushes
my $pushing = ACR::Shim->new(name => 'pushing');
my $pusher = node($acr, node => 'pusher', server => "$GC off;",
                  env => $pushing->env());

# these collect, and stop
my @collectors = map {
    node($acr, node => $_, server => "$GC 1s;", env => $shim->env())
} qw(two three);

stored_after_it_was_locked();
stored_before_all_of_it();
put_before_all_of_it();
mounted_while_its_source_goes();
collected_by_two();
linked_while_its_link_goes();
rebuilt_while_it_goes();


# --- clients at work, and stops between each two steps of the collector
# (src/work/ngx_http_acr_collect_one.c) and around the removal of a link

my @steps = ('lock /acr/locks/ STOP', 'lock /acr/locks/ STOP_AFTER',
             'unlink /blobs/*/data$ STOP', 'unlink /blobs/*/data$ STOP_AFTER',
             'fsync /blobs/ STOP', 'rmdir /blobs/ STOP',
             'rmdir /blobs/ STOP_AFTER', 'close /acr/locks/ STOP',
             'close /acr/locks/ STOP_AFTER', 'unlink /_layers/ STOP',
             'unlink /_layers/ STOP_AFTER');

# what clients push: few enough to meet what is collected, and mostly not what
# others push, so that there is something to collect
my $CLIENTS = 4;
my $IMAGES = 40;
my @content = map { "$_ " . bytes(100 + 37 * $_, "race $_") }
              0 .. 3 * $IMAGES - 1;
my %content = map { digest($_) => $_ } @content;
my @images = map {
    image($content[$_], [@content[$_ + $IMAGES, $_ + 2 * $IMAGES]])
} 0 .. $IMAGES - 1;
my @needs = map {
    [map { digest($_) } @content[$_, $_ + $IMAGES, $_ + 2 * $IMAGES]]
} 0 .. $IMAGES - 1;

my ($stop, $notes) = map { work_dir() . "/race.$_" } qw(stop notes);
spew($notes, '');

diag("ACR_SEED=$seed");
srand($seed);

my @pids = map { client($_) } 1 .. $CLIENTS;
my ($tries, $stops, $kills, %stopped) = (0, 0, 0);
my $deadline = time() + $seconds;

while (time() < $deadline) {
    my $step = $steps[$tries++ % @steps];
    $shim->rules("$step count=1");

    # with nothing to collect some steps do not happen
    my $pid = $shim->stopped(0, 3) or next;
    $shim->clear();
    $stopped{$step}++;
    $stops++;

    # somebody else takes over, as after 15 seconds
    $redis->command('HSET', key('work:gc'), 'until', 0) if rand() < 0.3;
    sleep(rand() < 0.2 ? 1 + rand(1.5) : rand(0.4));

    # in a longer run it may die there
    if ($seconds > 30 && rand() < 0.05) {
        $kills++;
        my ($node) = grep { my $of = $_;
                            grep { $_ == $pid } $of->workers() } @collectors;
        $node->allow(qr/worker process \d+ exited on signal 9/);
        kill('KILL', $pid);
        next;
    }

    kill('CONT', $pid);
}

$shim->clear();
kill('CONT', map { $_->workers() } @collectors);
spew($stop, '');
waitpid($_, 0) for @pids;


# --- what clients say

my ($iterations, %live, @complaints, %count) = (0);

for (split(/\n/, slurp($notes))) {
    my ($what, @words) = split(/ /);

    $count{$what}++;

    if ($what eq 'live') {
        $live{"$words[0] $words[1]"} = 1;
    } elsif ($what eq 'bad') {
        push(@complaints, join(' ', @words));
    } elsif ($what eq 'iterations') {
        $iterations += $words[0];
    }
}

nothing('nothing that is promised goes', @complaints);
cmp_ok($stops, '>', 3, "$stops stops of the collector");
cmp_ok($count{created} || 0, '>', 10, 'manifests were put');
cmp_ok($count{deleted} || 0, '>', 5, 'and deleted');
cmp_ok($count{gone} || 0, '>', 0, 'what nobody needed was gone meanwhile');

nothing('what was not deleted is there', map {
    my ($repository, $n) = split(/ /);
    pulls($acr, $repository, $n);
} sort keys %live);

ok(wait_for(sub {
    !@{ $redis->command('ZRANGE', key('pending'), 0, -1) }
}, 30), 'nothing stays pending');
nothing('Redis and the disk have the same', differences($acr));
nothing('nothing is half-written', half_written($acr));


# --- in the end nobody needs anything

for (sort keys %live) {
    my ($repository, $n) = split(/ /);
    my $digest = digest($images[$n]);
    my $status = $acr->delete("/v2/$repository/manifests/$digest")->status();
    diag("DELETE: $status") if $status != 202;
}

ok(wait_for(sub {
    !ACR::Fault::files("$acr->{root}/docker/registry/v2/blobs")
        && !@{ $redis->command('ZRANGE', key('pending'), 0, -1) }
}, 30), 'and all of it is collected')
    or diag(join("\n", ACR::Fault::files(
        "$acr->{root}/docker/registry/v2/blobs")));
nothing('Redis and the disk have the same', differences($acr));

diag("$iterations iterations, $stops stops, $kills kills; " . join(', ', map {
    "$_ " . ($count{$_} || 0) } qw(created deleted pushed mounted found gone)));
diag(join(', ', map { "$_: $stopped{$_}" } sort keys %stopped));

finish();


sub nothing {
    my ($name, @complaints) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@complaints, $name)
        or diag(join("\n", @complaints[0 .. ($#complaints > 9 ? 9
                                             : $#complaints)]));
}


# --- races that are to be met, one by one

# a push that comes while the collector, with the lock, is about to remove
sub stored_after_it_was_locked {
    my ($bytes, $digest) = unheld('lib/stored', 'stored');

    $shim->rules('unlink /blobs/*/data$ STOP count=1');
    my $collector = $shim->stopped(0, 20);
    ok($collector, 'a collector is about to remove it');

    my $lock = ACR::Shim::lock_path('blob', $digest);
    $pushing->rules("lock $lock DELAY=0");
    my $http = begun($pusher, 'lib/stored', $digest, $bytes);
    ok(wait_for(sub { $pushing->hits() }), 'a push wants to store it');

    kill('CONT', $collector);
    $shim->clear();
    $pushing->clear();

    answers($http->answer('POST'), 201, 'the push ends well');
    $http->close();
    is($acr->get("/v2/lib/stored/blobs/$digest")->body(), $bytes,
       'and its blob is there');
}


# the collector comes while the push has stored its file and nothing else, not
# even its link: it has to wait
sub stored_before_all_of_it {
    my ($bytes, $digest) = unheld('lib/all', 'all');

    $pushing->rules('open /acr/tmp/ STOP count=1');
    my $http = begun($pusher, 'lib/all', $digest, $bytes);
    my $pid = $pushing->stopped();
    ok($pid, 'a push has stored its file');
    not_collected($digest);

    kill('CONT', $pid);
    $pushing->clear();
    answers($http->answer('POST'), 201, 'the push ends well');
    $http->close();
    is($acr->get("/v2/lib/all/blobs/$digest")->body(), $bytes,
       'and its blob is there');
}


# the same of a manifest
sub put_before_all_of_it {
    my $config = "config $seed";
    my $image = image($config, []);
    my $digest = digest($image);

    $acr->push_blob('lib/put', $config);
    $acr->push_manifest('lib/put', undef, $image);
    answers($acr->delete("/v2/lib/put/manifests/$digest"), 202,
            'a manifest is deleted');
    $acr->push_manifest('lib/put', 'keeps', image($config, [],
                                                  annotations => { a => 'b' }));

    $pushing->rules('open /acr/tmp/ STOP skip=1 count=1');
    my $http = $pusher->connect();
    $http->begin('PUT', "/v2/lib/put/manifests/$digest", headers => [
        'Content-Type' => $IMAGE, 'Content-Length' => length($image)]);
    $http->send($image);
    my $pid = $pushing->stopped();
    ok($pid, 'a put has stored its file');
    not_collected($digest);

    kill('CONT', $pid);
    $pushing->clear();
    answers($http->answer('PUT'), 201, 'the put ends well');
    $http->close();
    is($acr->get("/v2/lib/put/manifests/$digest")->body(), $image,
       'and its manifest is there');
}


# what a mount has found goes before it is committed
sub mounted_while_its_source_goes {
    my $bytes = "mount $seed";
    my $digest = $acr->push_blob('lib/source', $bytes);

    $pushing->rules('open /acr/tmp/ STOP count=1');
    my $http = $pusher->connect();
    $http->begin('POST', with('/v2/lib/mount/blobs/uploads/',
                              mount => $digest, from => 'lib/source'),
                 headers => ['Content-Length' => 0]);
    my $pid = $pushing->stopped();
    ok($pid, 'a mount has found its blob');
    answers($acr->delete("/v2/lib/source/blobs/$digest"), 202,
            'which is deleted');
    collected_now($digest);

    kill('CONT', $pid);
    $pushing->clear();
    my $answer = $http->answer('POST');
    $http->close();
    my $status = $acr->get("/v2/lib/mount/blobs/$digest")->status();
    ok($answer->status() == 201 && $status == 200
       || $answer->status() == 202 && $status == 404,
       'it mounts what is there, or begins an upload')
        or diag("GET: $status, POST: " . $answer->text());
}


# somebody wants to collect the digest, and cannot
sub not_collected {
    my ($digest) = @_;

    ok(wait_for(sub {
        grep { $_ eq $digest }
            @{ $redis->command('ZRANGE', key('collecting'), 0, -1) }
    }, 20), 'somebody is about to collect it');
    ok(!wait_for(sub { !-e $acr->blob_file($digest) }, 0.5),
       'but waits for the push');
}


# waits until nobody collects the digest any more, and its file was removed
sub collected_now {
    my ($digest) = @_;

    ok(wait_for(sub {
        !-e $acr->blob_file($digest) && !grep { $_ eq $digest }
            @{ $redis->command('ZRANGE', key('collecting'), 0, -1) }
    }, 20), 'which is collected before it goes on');
}


# a collector that was away while another one did its work, and a push came
sub collected_by_two {
    my ($bytes, $digest) = unheld('lib/two', 'two');

    my $lock = ACR::Shim::lock_path('blob', $digest);
    $shim->rules("lock $lock STOP count=1");
    my $collector = $shim->stopped(0, 20);
    ok($collector, 'a collector is about to lock a digest');

    # its time is over
    $redis->command('HSET', key('work:gc'), 'until', 0);
    ok(wait_for(sub { !-e $acr->blob_file($digest) }, 20),
       'another one collects it');
    is($acr->push_blob('lib/two', $bytes), $digest, 'it is pushed again');

    $shim->rules("close $lock DELAY=0");
    kill('CONT', $collector);
    ok(wait_for(sub { grep { $_->[1] == $collector && $_->[2] eq 'close' }
                      $shim->events() }),
       'the first one goes on');
    $shim->clear();

    is($acr->get("/v2/lib/two/blobs/$digest")->body(), $bytes,
       'the blob is there');
}


# a link that is made again while the collector removes it
sub linked_while_its_link_goes {
    my $bytes = "link $seed";
    my $digest = $acr->push_blob('lib/link', $bytes);
    my $link = $acr->link_file('lib/link', 'layer', $digest);

    for my $when (qw(STOP STOP_AFTER)) {
        $shim->rules("unlink /lib/link/_layers/ $when count=1");
        my $collector = $shim->stopped(0, 20);
        ok($collector, 'a collector removes a link');

        my $http = begun($acr, 'lib/link', $digest, $bytes);
        wait_for(sub {
            $redis->command('HEXISTS', key('blobs:lib/link'), $digest)
        });
        kill('CONT', $collector);
        $shim->clear();

        answers($http->answer('POST'), 201, 'which is made again meanwhile');
        $http->close();
        ok(-e $link, 'it is there');
        is($acr->get("/v2/lib/link/blobs/$digest")->body(), $bytes,
           'and so is the blob');
    }
}


# the index is made again while the collector, which has asked, is about to
# remove what a push has linked and not committed yet
sub rebuilt_while_it_goes {
    my ($bytes, $digest) = unheld('lib/rebuilt', 'rebuilt');
    $acr->push_blob('lib/rebuilt', "other $seed");

    $shim->rules('unlink ' . $acr->blob_file($digest) . ' STOP count=1');
    my $collector = $shim->stopped(0, 20);
    ok($collector, 'a collector is about to remove a file');

    my $link = $acr->link_file('lib/rebuilt', 'layer', $digest);
    my $user = $> ? '' : ACR::Node::worker_user();
    mkdir($link =~ s{/link$}{}r) or die "mkdir: $!\n";
    spew($link, $digest);
    system('chown', '-R', $user, $link =~ s{/link$}{}r) if $user;

    $_->allow(qr/has lost changes/) for $acr, $pusher, @collectors;
    $redis->command('FLUSHALL');
    ok(wait_for(sub {
           $redis->command('HEXISTS', key('rebuilding'), 'lib/rebuilt')
       }, 30), 'the repository is being rebuilt');
    sleep(0.5);
    kill('CONT', $collector);
    $shim->clear();

    ok(complete($acr), 'the index is complete');
    ok(!-e $acr->blob_file($digest), 'the file is gone');
    is($redis->command('HEXISTS', key('blobs:lib/rebuilt'), $digest), 0,
       'and the index knows it');

    is($acr->push_blob('lib/rebuilt', $bytes), $digest, 'the push goes on');
    is($acr->get("/v2/lib/rebuilt/blobs/$digest")->body(), $bytes,
       'and its blob is there');
}


# content that no repository holds
sub unheld {
    my ($repository, $name) = @_;

    my $bytes = "$name $seed";
    my $digest = $acr->push_blob($repository, $bytes);

    answers($acr->delete("/v2/$repository/blobs/$digest"), 202,
            'a blob is not needed any more');

    return ($bytes, $digest);
}


# a push in one request, whose answer is still to come
sub begun {
    my ($node, $repository, $digest, $bytes) = @_;

    my $http = $node->connect();
    my $target = with("/v2/$repository/blobs/uploads/", digest => $digest);
    $http->begin('POST', $target,
                 headers => ['Content-Length' => length($bytes)]);
    $http->send($bytes);

    return $http;
}


# --- clients

sub client {
    my ($n) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    srand($seed + $n);

    my $self = { n => $n, repository => "race/c$n", live => {} };
    open($self->{notes}, '>>', $notes) or POSIX::_exit(1);

    my $iterations = 0;
    my @things = (\&push_one, \&find_one, \&mount_one, \&create, \&create,
                  \&look, \&remove);

    eval {
        while (!-e $stop) {
            $things[rand(@things)]->($self);
            $iterations++;

            # the collector gets something to do
            sleep(rand(0.05));
        }
        1;
    } or jot($self, 'bad', "the client has died: $@" =~ s/\s+/ /gr);

    jot($self, 'live', $self->{repository}, $_) for keys %{ $self->{live} };
    jot($self, 'iterations', $iterations);
    POSIX::_exit(0);
}


sub jot {
    my ($self, @words) = @_;

    syswrite($self->{notes}, join(' ', @words) . "\n");
}


# a number below the limit, mostly of this client alone
sub number {
    my ($self, $limit) = @_;

    my $n = int(rand($limit));

    return rand() < 0.8 ? $n - $n % $CLIENTS + $self->{n} - 1 : $n;
}


# a digest; one that is being collected if there is any
sub some {
    my ($self) = @_;

    if (rand() < 0.6) {
        my @now = grep { $content{$_} }
                  @{ $redis->command('ZRANGE', key('collecting'), 0, -1) };
        return $now[rand(@now)] if @now;
    }

    return digest($content[number($self, 3 * $IMAGES)]);
}


# stays(REPOSITORY, DIGEST, SINCE): it was there at that time, and still is
sub stays {
    my ($self, $digest, $since, $what) = @_;

    my $answer = $acr->get("/v2/$self->{repository}/blobs/$digest");

    return if $answer->status() == 200
              && $answer->body() eq $content{$digest};
    return if time() - $since > $KEPT;

    jot($self, 'bad', "$what, then GET of $digest:", $answer->text());
}


# waited(ANSWER, SINCE): a 503 is right if a collector does not come back
sub waited {
    my ($answer, $since) = @_;

    return $answer->status() == 503 && time() - $since > 9;
}


sub push_one {
    my ($self, $digest) = @_;

    $digest ||= some($self);
    my $since = time();
    my $target = "/v2/$self->{repository}/blobs/uploads/";
    my $answer = rand() < 0.5
        ? $acr->post(with($target, digest => $digest),
                     body => $content{$digest})
        : $acr->close_upload($acr->upload($self->{repository}), $digest,
                             $content{$digest});

    return 0 if waited($answer, $since);

    if ($answer->status() != 201) {
        jot($self, 'bad', "push of $digest:", $answer->text());
        return 0;
    }

    jot($self, 'pushed');

    # it counts from the commit, which was not before that of the answer
    stays($self, $digest, $since, '201');

    return 1;
}


sub find_one {
    my ($self, $digest) = @_;

    $digest ||= some($self);
    my $since = time();
    my $answer = $acr->head("/v2/$self->{repository}/blobs/$digest");

    if ($answer->status() == 200) {
        jot($self, 'found');
        stays($self, $digest, $since, 'HEAD');
        return 1;
    }

    jot($self, 'gone');
    jot($self, 'bad', "HEAD of $digest:", $answer->text())
        if $answer->status() != 404;

    return 0;
}


sub mount_one {
    my ($self) = @_;

    my $digest = some($self);
    my $since = time();
    my $answer = $acr->post(
        with("/v2/$self->{repository}/blobs/uploads/", mount => $digest,
             from => 'race/c' . (1 + int(rand($CLIENTS)))), body => '');

    if ($answer->status() == 201) {
        jot($self, 'mounted');
        stays($self, $digest, $since, 'a mount');
        return;
    }

    if ($answer->status() == 202) {
        $acr->delete($answer->location());
        return;
    }

    jot($self, 'bad', "mount of $digest:", $answer->text())
        if !waited($answer, $since);
}


# an image: what is there is not pushed again
sub create {
    my ($self) = @_;

    my $n = number($self, $IMAGES);
    my $since = time();

    for my $digest (@{ $needs[$n] }) {
        find_one($self, $digest) || push_one($self, $digest) || return;
    }

    my $digest = digest($images[$n]);
    my $begun = time();
    my $answer = $acr->put_manifest($self->{repository},
                                    rand() < 0.5 ? $digest : "t$n",
                                    $images[$n]);

    return if waited($answer, $begun);

    # the blobs may be gone if that took too long, as it waits for a collector
    return if $answer->status() == 404 && time() - $since > $KEPT;

    if ($answer->status() != 201) {
        jot($self, 'bad', "put of $digest:", $answer->text());
        return;
    }

    jot($self, 'created');
    $self->{live}{$n} = 1;
    jot($self, 'bad', "after its 201: $_")
        for pulls($acr, $self->{repository}, $n);
}


# complaints about an image that has to be there
sub pulls {
    my ($node, $repository, $n) = @_;

    my $digest = digest($images[$n]);
    my %want = ("manifests/$digest" => $images[$n],
                map { ("blobs/$_" => $content{$_}) } @{ $needs[$n] });

    return map {
        my $answer = $node->get("/v2/$repository/$_");
        $answer->status() == 200 && $answer->body() eq $want{$_}
            ? () : "$_ of $repository: " . $answer->text();
    } sort keys %want;
}


sub look {
    my ($self) = @_;

    my @live = keys %{ $self->{live} } or return;

    jot($self, 'bad', "later: $_")
        for pulls($acr, $self->{repository}, $live[rand(@live)]);
}


sub remove {
    my ($self) = @_;

    my @live = keys %{ $self->{live} };
    return if @live < 3;

    my $n = $live[rand(@live)];
    my $answer = $acr->delete("/v2/$self->{repository}/manifests/"
                              . digest($images[$n]));

    if ($answer->status() != 202) {
        jot($self, 'bad', 'DELETE:', $answer->text());
        return;
    }

    delete($self->{live}{$n});
    jot($self, 'deleted');
}
