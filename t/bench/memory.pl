#!/usr/bin/perl

# Memory of all workers, in KiB: at rest, and the most that was seen while a
# blob of 1 GiB is pushed, with slow pulls and pushes of 256 MiB in flight, and
# with connections that are kept and idle.  Rss counts what workers share once
# for each of them; the zone, which is shared, is no part of RssAnon.  Fails if
# the push of 1 GiB makes ours grow by 8 MiB or more.

use strict;
use warnings;

use ACR::Content;
use ACR::HTTP;
use Bench;
use Digest::SHA;
use List::Util qw(max);
use POSIX ();
use Time::HiRes qw(time sleep);

my $PULLS = 1000;
my $PUSHES = 500;
my $IDLE = 10_000;
my $SECONDS = 4;
my $LIMIT = 8192;

my $SIZE = 256 << 20;
my $BLOCK = 1 << 20;

my $block = bytes($BLOCK);
my $failed = 0;

$ACR::HTTP::TIMEOUT = 120;

my ($small, $digest, $big) = map { digest_of($_) } 1, 256, 1024;
my $target = "/v2/team/app/blobs/$digest";
my %most;

printf("\n%-8s %-22s %9s %9s %9s %9s %9s\n", 'memory', '', 'RssAnon', 'Rss',
       '+RssAnon', '+Rss', '+Rss/each');

for my $name (qw(ours docker)) {
    my $server = $name eq 'ours' ? ours('ours') : docker();

    push_blob($server, 1, $small);
    line($server, 'at rest', [memory($server)]);
    watch($server, "$IDLE idle connections", $IDLE, sub { idle($server) });

    my $grown = watch($server, 'push of 1 GiB', 1,
                      sub { push_blob($server, 1024, $big) });
    $failed = 1 if $name eq 'ours' && $grown >= $LIMIT;

    push_blob($server, 256, $digest);
    watch($server, "$PULLS slow pulls", $PULLS, sub { pulls($server) });
    watch($server, "$PUSHES slow pushes", $PUSHES, sub { pushes($server) });
    stop($server);
}

my $file = static('file', { substr($target, 1) => $block x 256 },
                  'sendfile on;');
line($file, 'at rest', [memory($file)]);
watch($file, "$IDLE idle connections", $IDLE, sub { idle($file) });
watch($file, "$PULLS slow pulls", $PULLS, sub { pulls($file) });

for my $what ("$PULLS slow pulls", "$IDLE idle connections") {
    my ($ours, $static) = map { $most{$_}{$what}[0] } qw(ours file);
    goal($what, 'file', 'RssAnon', [$ours / $static], [undef, 1.5]);
}
goal("$PUSHES slow pushes", 'KiB', 'RssAnon',
     [$most{ours}{"$PUSHES slow pushes"}[1] / $PUSHES], [undef, 96]);

if ($failed) {
    print("ours has grown by $LIMIT KiB or more while 1 GiB was pushed\n");
    exit(1);
}


# the most that the server has while the function runs in another process; how
# much its Rss has grown
sub watch {
    my ($server, $what, $number, $function) = @_;

    my @before = memory($server);
    my @most = @before;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        my $done = eval { $function->(); 1 };
        print STDERR "$server->{name}, $what: $@" if !$done;
        POSIX::_exit($done ? 0 : 1);
    }

    while (waitpid($pid, POSIX::WNOHANG) == 0) {
        my @now = memory($server);
        @most = map { max($most[$_], $now[$_]) } 0, 1;
        sleep(0.02);
    }
    exit(1) if $?;

    line($server, $what, \@most, \@before, $number);
    $most{ $server->{name} }{$what} = [$most[0], $most[0] - $before[0]];

    return $most[1] - $before[1];
}


sub line {
    my ($server, $what, $most, $before, $number) = @_;

    printf("%-8s %-22s %9d %9d", $server->{name}, $what, @$most);

    if ($before) {
        my @grown = map { $most->[$_] - $before->[$_] } 0, 1;
        printf(" %9d %9d %9.1f", @grown, $grown[1] / $number);
    }

    print("\n");
}


sub digest_of {
    my ($blocks) = @_;

    my $state = Digest::SHA->new(256);
    $state->add($block) for 1 .. $blocks;

    return 'sha256:' . $state->hexdigest();
}


sub push_blob {
    my ($server, $blocks, $digest) = @_;

    my $location = $server->{client}->upload('team/app');
    my $http = ACR::HTTP->new($server->{port});

    $http->begin('PUT', with($location, digest => $digest),
                 headers => ['Content-Length' => $blocks * $BLOCK]);
    $http->send($block) for 1 .. $blocks;

    my $answer = $http->answer('PUT');
    die "a push has failed\n" if !$answer || $answer->status() != 201;
}


# clients that take 4 KiB now and then
sub pulls {
    my ($server) = @_;

    my @clients = map {
        my $http = ACR::HTTP->new($server->{port}, receive_buffer => 16384);
        $http->begin('GET', $target);
        $http;
    } 1 .. $PULLS;

    for my $http (@clients) {
        my $answer = $http->answer('GET', head => 1);
        die 'not 200: ' . $answer->text() . "\n" if $answer->status() != 200;
    }

    slowly(sub { sysread($_->{socket}, my $bytes, 4096) for @clients });
}


# clients that send 8 KiB now and then
sub pushes {
    my ($server) = @_;

    my $some = substr($block, 0, 8192);

    my @clients = map {
        my $http = ACR::HTTP->new($server->{port});
        $http->begin('PATCH', $server->{client}->upload('team/app'),
                     headers => ['Content-Length' => $SIZE]);
        $http;
    } 1 .. $PUSHES;

    slowly(sub { $_->send($some) or die "closed\n" for @clients });
}


# clients that have asked for something, and keep their connections
sub idle {
    my ($server) = @_;

    my @clients = map {
        my $http = ACR::HTTP->new($server->{port});
        $http->request('GET', '/v2/');
        $http;
    } 1 .. $IDLE;

    sleep(1);
}


sub slowly {
    my ($function) = @_;

    my $end = time() + $SECONDS;

    while (time() < $end) {
        my $next = time() + 0.25;
        $function->();
        sleep(max(0, $next - time()));
    }
}
