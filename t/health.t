#!/usr/bin/perl

# acr_health: alive is that nginx answers, ready that the registry works, and
# it is told what does not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

# The small disk is a tmpfs that only this test and its processes see, so it
# vanishes with them.
BEGIN {
    if (!$ENV{ACR_SPACE} && $> == 0
        && system('unshare -m true 2> /dev/null') == 0)
    {
        $ENV{ACR_SPACE} = 1;
        exec('unshare', '-m', $^X, $0, @ARGV) or die "unshare: $!\n";
    }
}

use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Metrics;
use POSIX ();
use Time::HiRes qw(time);

my ($disk, $mounted, $test) = (work_dir() . '/disk', 0, $$);

# before the directory is removed
END {
    system('umount', '-l', $disk) if $mounted && $$ == $test;
}

mkdir($disk) or die "$disk: $!\n";
$mounted = $ENV{ACR_SPACE}
    && system("mount -t tmpfs -o size=12m tmpfs $disk 2> /dev/null") == 0;

# a worker asks for itself, so one is asked here
my $redis = redis();
my $acr = start(redis => $redis, root => "$disk/root", http2 => 1,
                redis_options => 'timeout=1s', http => 'acr_zone acr:1m;',
                server => 'location /health { acr_health; }'
                          . ' location = /metrics { acr_metrics; }');

my $image = $acr->push_image('lib/a', 'latest', 'health');


# --- all is well

my $answer = $acr->get('/health');
answers($answer, 200, 'ready');
is_deeply($answer->json(), said('ready', 'ok', 'ok'), 'and why');
is($answer->header('Content-Type'), 'application/json', 'as JSON');
is($answer->header('Cache-Control'), 'no-store', 'for no cache');
is($answer->header('Retry-After'), undef, 'there is nothing to wait for');

is_deeply($acr->get("/health$_")->json(), said('ready', 'ok', 'ok'),
          "the same with \"$_\"") for '/', '/ready', '?x=%zz', '?writes=no';
alive('nginx answers');

my $head = $acr->head('/health');
answers($head, 200, 'HEAD');
is($head->body(), '', 'has no body');
is($head->header('Content-Length'), length($answer->body()), 'but its length');

for my $method (qw(POST PUT DELETE)) {
    my $refused = $acr->request($method, '/health', body => 'x');
    refused($refused, 405, 'UNSUPPORTED', "$method is refused");
    is($refused->header('Allow'), 'GET, HEAD', 'and what is allowed told');
}

is_deeply([half_written($acr)], [], 'no probe leaves a file');


# --- many questions, few probes

my $tasks = sub { value($acr, 'acr_thread_tasks_total', pool => 'acr_slow') };
my ($before, $start) = ($tasks->(), time());
my @all = map { $acr->get('/health')->status() } 1 .. 300;
push(@all, parallel(map { sub { fresh($acr, 'GET', '/health')->status() } }
                    1 .. 20));
is_deeply([grep { $_ != 200 } @all], [], '320 questions have their answers');
cmp_ok($tasks->() - $before, '<=', 2 + time() - $start,
       'from one probe a second');


# --- the disk

SKIP: {
    skip('only root can have a small disk', 1) if !$mounted;

    fill($disk);
    becomes(503, 'unready', 'ok', 'full', 'a full disk');
    pulls('ok', 'full');
    unlink("$disk/fill") or die "unlink: $!\n";
    becomes(200, 'ready', 'ok', 'ok', 'space again');

    system("mount -o remount,ro $disk") == 0 or die "no remount\n";
    becomes(503, 'unready', 'ok', 'read-only', 'a disk that is read-only');
    pulls('ok', 'read-only');
    system("mount -o remount,rw $disk") == 0 or die "no remount\n";
    becomes(200, 'ready', 'ok', 'ok', 'one that can be written');
}

SKIP: {
    skip('root may do all', 1) if $> == 0 && ACR::Node::worker_user() eq 'root';

    chmod(0555, "$acr->{root}/acr/tmp") or die "chmod: $!\n";
    becomes(503, 'unready', 'ok', 'read-only', 'a directory of somebody else');
    chmod(0755, "$acr->{root}/acr/tmp") or die "chmod: $!\n";
    becomes(200, 'ready', 'ok', 'ok', 'and ours again');
}

rename($acr->{root}, "$disk/away") or die "rename: $!\n";
becomes(503, 'unready', 'ok', 'failing', 'no volume');
is($acr->get('/health?writes=no')->status(), 503, 'pulls need it, too');
$acr->allow(qr/is no volume of a registry/, qr/open\(\).*No such file/);
refused($acr->get("/v2/lib/a/$_"), 503, 'UNAVAILABLE',
        'and are not told that what they want is unknown')
    for "manifests/latest", "manifests/$image",
        "blobs/" . digest("layer of health");
alive('nginx answers');
system('rm', '-rf', $acr->{root});
rename("$disk/away", $acr->{root}) or die "rename: $!\n";
becomes(200, 'ready', 'ok', 'ok', 'the volume is back');

# a disk that hangs: what has no other end cannot be opened
my $epoch = "$acr->{root}/acr/epoch";
rename($epoch, "$epoch.kept") or die "rename: $!\n";
POSIX::mkfifo($epoch, 0644) or die "mkfifo: $!\n";
becomes(503, 'unready', 'ok', 'failing', 'a disk that hangs');
alive('nginx answers');
becomes(503, 'unready', 'ok', 'failing', 'and when it is asked again');
open(my $fifo, '>', $epoch) or die "$epoch: $!\n";
close($fifo);
rename("$epoch.kept", $epoch) or die "rename: $!\n";
becomes(200, 'ready', 'ok', 'ok', 'one that goes on');

my @told = $acr->log_text() =~ /acr: the directory ".*?" is ([a-z-]+)/g;
is_deeply([grep { $told[$_] eq $told[$_ - 1] } 1 .. $#told], [],
          'the log has changes only');
is($told[-1], 'ok', 'and the last one');


# --- Redis

$redis->signal('STOP');
becomes(503, 'unready', 'down', 'ok', 'a Redis that says nothing');
pulls('down', 'ok');
$redis->signal('CONT');
becomes(200, 'ready', 'ok', 'ok', 'it speaks again');

$redis->kill();
becomes(503, 'unready', 'down', 'ok', 'no Redis');
alive('nginx answers');

$acr->reload();
becomes(503, 'unready', 'down', 'ok', 'nor after a reload');

# an empty one, which somebody else rebuilds
$acr->allow(qr/\[alert\].*has lost changes/);
$redis->run();
becomes(200, 'ready', qr/^(?:ok|behind)$/, 'ok', 'a new Redis');
ok(complete($acr), 'is rebuilt');
becomes(200, 'ready', 'ok', 'ok', 'and complete');

$redis->command('MULTI');
$redis->command('FLUSHALL');
$redis->command('HSET', key('work:rebuild'), 'running', 1, 'owner', 'test',
                'until', int(time()) + 3600);
$redis->command('EXEC');
becomes(200, 'ready', 'behind', 'ok', 'a loss');
pulls('behind', 'ok');
$redis->command('DEL', key('work:rebuild'));
becomes(200, 'ready', 'ok', 'ok', 'rebuilt');


# --- clients that leave, a worker that ends, while Redis is asked

$redis->signal('STOP');
my $first = wait_for(sub {
    my $http = asks();
    my $said = eval { $http->fill(0.05) };
    defined $said ? undef : $http
});
my @leave = map { asks() } 1 .. 3;
my @stay = ($first, map { asks() } 1 .. 3);
$_->abort() for @leave;
$acr->reload();
answers($_->answer('GET'), 503, 'an ending worker answers those who stay')
    for @stay;
$_->close() for @stay;
$redis->signal('CONT');
becomes(200, 'ready', 'ok', 'ok', 'it goes on');

is_deeply([half_written($acr)], [], 'no probe leaves a file');

finish();


# a connection on which the question has been sent
sub asks {
    my $http = $acr->connect();

    $http->begin('GET', '/health');

    return $http;
}


sub said {
    my ($status, $index, $directory) = @_;

    return { status => $status, redis => $index, disk => $directory };
}


# what is asked now may be the answer of a second ago
sub becomes {
    my ($status, $word, $index, $directory, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $last;
    my $pattern = ref($index) ? $index : qr/^\Q$index\E$/;
    my $right = wait_for(sub {
        $last = fresh($acr, 'GET', '/health');
        my $json = $last->json();
        $last->status() == $status && $json->{status} eq $word
            && $json->{redis} =~ $pattern && $json->{disk} eq $directory
            && keys(%$json) == 3
            && (defined $last->header('Retry-After') ? 503 : 200) == $status;
    }, 30);

    return ok($right, "$name is $status") || diag($last->text());
}


sub pulls {
    my ($index, $directory) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer_now = fresh($acr, 'GET', '/health?writes=no');

    answers($answer_now, 200, 'it is ready for pulls');
    is_deeply($answer_now->json(), said('ready', $index, $directory),
              'and says what it is not ready for');
    answers(fresh($acr, 'GET', '/v2/lib/a/manifests/latest'), 200,
            'which is true');
    alive('nginx answers');
}


sub alive {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @targets = ('/health/live', '/health?live', '/health?live=1');
    my @answers = map { fresh($acr, 'GET', $_) } @targets;

    return is_deeply([map { $_->status() . $_->body() } @answers],
                     [("200{\"status\":\"alive\"}\n") x @targets], $name);
}


# takes all that is free
sub fill {
    my ($where) = @_;

    open(my $fh, '>', "$where/fill") or die "fill: $!\n";

    for my $size (65536, 4096, 1) {
        while (syswrite($fh, 'x' x $size)) {
        }
    }
}
