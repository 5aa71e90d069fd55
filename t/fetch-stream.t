#!/usr/bin/perl

# Answers of any size, given to their owner piece by piece.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fetch;
use ACR::Provider;
use Digest::MD5;

my $MIB = 1024 * 1024;
my $LONG = 64 * $MIB;
my $WHOLE = '/whole';

plan(skip_all => ACR::Fetch::missing()) if ACR::Fetch::missing();

my $dir = work_dir();
my $server = ACR::Provider->start($dir);
my $other = ACR::Provider->start($dir);

$server->answers(
    $WHOLE => { size => $LONG },
    '/short' => { size => 300_000 },
    '/chunked' => { size => 300_000, chunked => 1 },
    '/cut' => { size => $MIB, cut => 700_000 },
    '/cut-chunk' => { size => $MIB, cut => 655_360, chunked => 1 },
    '/hang' => { size => $MIB, cut => 100_000, hang => 1 },
    '/stall' => { stall => 1 },
    '/part' => { status => 206, size => 1000 },
    '/none' => { status => 404, body => 'there is none' },
    '/large' => { status => 500, size => 70_000 },
    '/empty' => { body => '' },
    '/moved' => { status => 307, location => $other->url() . '/to',
                  body => 'not for the owner' },
    '/far' => { status => 302, location => '/short', size => $LONG },
    '/again' => { status => 302, location => '/none', body => 'no' },
);
$other->answers('/to' => { size => 5000 });

my $acr = start(ACR::Fetch::options(),
                main => 'worker_shutdown_timeout 2s;');
wait_for(sub { $acr->get('/v2/')->status() == 200 });

whole();
memory();
ends();
heads();
redirects();
refusals();
limits();
leaves();
finish();


# begin(TARGET, ARGUMENTS): a fetch that is under way
sub begin {
    my ($target, %argument) = @_;

    return ACR::Fetch::begin($acr, $server->url(), $target, %argument);
}

sub result { return ACR::Fetch::result(@_) }

sub fetch { return result(begin(@_)) }


# sum(SIZE): of a body
sub sum {
    my ($size) = @_;

    my $md5 = Digest::MD5->new();

    for (my $at = 0; $at < $size; $at += $ACR::Provider::BLOCK) {
        my $left = $size - $at;
        my $bytes = ACR::Provider::pattern($at);
        $md5->add($left < length($bytes) ? substr($bytes, 0, $left) : $bytes);
    }

    return $md5->hexdigest();
}


# is_result(RESULT, NAME, MEMBERS): those that are given
sub is_result {
    my ($result, $name, %member) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    if (ref($member{error})) {
        like($result->{error}, delete $member{error}, "$name: the error");
    }

    return is_deeply({ map { $_ => $result->{$_} } keys %member }, \%member,
                     $name);
}


# held(BYTES): once the fetch is paused and has taken at least so many
sub held {
    my ($bytes) = @_;

    return wait_for(sub {
        my $answer = $acr->get('/state');
        return $answer->status() == 200
            && $answer->body() =~ /^(\d+) 1$/m && $1 >= $bytes;
    });
}


sub whole {
    my %good = (status => 200, told => 200, heads => 1, error => '');

    is_result(fetch($WHOLE, hold => 100_000, auto => 1), '64 MiB with pauses',
              %good, received => $LONG, length => $LONG, sum => sum($LONG));
    is_result(fetch($WHOLE), '64 MiB', %good, received => $LONG, pauses => 0,
              sum => sum($LONG));

    # each piece is refused once, the last, too
    my $result = fetch('/chunked', hold => 1, auto => 1);
    is_result($result, 'chunks with pauses', %good, received => 300_000,
              length => 'none', sum => sum(300_000), answer => '');
    cmp_ok($result->{pauses}, '>', 10, 'of which there are many');

    is_result(fetch('/short', hold => 1, auto => 1), 'a length with pauses',
              %good, received => 300_000, sum => sum(300_000));
    is_result(fetch('/short', stream => 0, max => 300_000), 'collected',
              status => 200, heads => 0, received => 0, error => '');
}


# a sender that is faster than its receiver
sub memory {
    my $http = begin($WHOLE, hold => 16 * $MIB);
    my ($first, $most);

    for my $n (0 .. 3) {
        if (!held($n * 15 * $MIB)) {
            fail("pause $n");
            last;
        }

        # it has time to read what it should not
        select(undef, undef, undef, 0.3);
        my $size = resident();
        $first = $size if !defined $first;
        $most = $size if !defined $most || $size > $most;
        $acr->get('/resume');
    }

    cmp_ok($most - $first, '<', 4 * 1024, 'memory is bounded');
    $acr->get('/resume') if held(60 * $MIB);
    is_result(result($http), 'after which all comes', received => $LONG,
              sum => sum($LONG));
}


# kB
sub resident {
    my ($worker) = $acr->workers();
    my ($kib) = slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m;

    return $kib;
}


sub ends {
    # in the words of an older libcurl, and of a newer one
    my $cut = qr/^(?:transfer closed|end of response) with \d+ bytes /;

    is_result(fetch('/cut'), 'a body that ends early', status => 0,
              told => 200, received => 700_000, error => $cut);

    # a newer libcurl gives up what it holds for a fetch that pauses
    my $paused = fetch('/cut', hold => 1, auto => 1);
    is_result($paused, 'that, with pauses', status => 0, error => $cut);
    cmp_ok($paused->{received}, '<=', 700_000, 'no more than was sent');

    is_result(fetch('/cut-chunk'), 'one of chunks', status => 0,
              received => 655_360, error => qr/^transfer closed with/);
    is_result(fetch('/cut', stream => 0, max => $MIB), 'one that is collected',
              status => 0, received => 0, error => $cut);
}


sub heads {
    is_result(fetch('/none'), 'the body of an error is collected',
              status => 404, told => 404, heads => 1, received => 0,
              answer => 'there is none', error => '');
    is_result(fetch('/large'), 'up to a size', status => 0, told => 500,
              received => 0, answer => '',
              error => 'its answer has more than 65536 bytes');
    is_result(fetch('/part'), 'a part', status => 206, received => 1000,
              sum => sum(1000), error => '');
    is_result(fetch('/empty'), 'no body', status => 200, told => 200,
              heads => 1, received => 0, length => 0, error => '');
    is_result(fetch($WHOLE, method => 'HEAD'), 'HEAD', status => 200,
              told => 200, heads => 1, received => 0, length => $LONG,
              error => '');
    is_result(fetch('/none', method => 'HEAD', stream => 0),
              'HEAD, collected', status => 404, length => 13, answer => '',
              error => '');
    is(scalar($server->requests(qr/^HEAD /)), 2, 'that was the method');
}


sub redirects {
    is_result(fetch('/moved', header => 'Basic c2VjcmV0', hold => 1,
                    auto => 1),
              'to another origin', status => 200, told => 200, heads => 1,
              received => 5000, sum => sum(5000), error => '');
    is_deeply([$server->requests(qr/moved/), $other->requests(qr/to/)],
              ['GET /moved Basic c2VjcmV0', 'GET /to'],
              'which does not get a secret');
    is_result(fetch('/far'), 'with a body of any length', status => 200,
              heads => 1, received => 300_000, sum => sum(300_000),
              error => '');
    is_result(fetch('/again'), 'to an error', status => 404, heads => 1,
              received => 0, answer => 'there is none', error => '');
    is_result(fetch('/moved', stream => 0), 'collected', status => 200,
              heads => 0, error => '');
    is_result(fetch('/moved', method => 'HEAD'), 'of HEAD', status => 200,
              told => 200, length => 5000, received => 0, error => '');
}


sub refusals {
    my %refused = (status => 0, received => 0);

    for my $where ('head', 'piece') {
        is_result(fetch('/short', refuse => $where), "refused in $where",
                  %refused, told => 200, error => 'refused by its owner');
        is_result(fetch('/short', refuse => $where, say => 'not now'),
                  "refused in $where, with a text", %refused,
                  error => 'not now');
    }

    is_result(fetch('/empty', refuse => 'head', say => 'not that'),
              'one without a body', %refused, error => 'not that');
}


sub limits {
    my $silent = 'no byte of its answer in 2000 ms';

    is_result(fetch('/hang', idle => 2000), 'a body that does not go on',
              status => 0, told => 200, received => 100_000,
              error => $silent);
    is_result(fetch('/stall', idle => 2000, connect => 60_000),
              'no answer', status => 0, heads => 0, error => $silent);
    is_result(fetch('/hang', timeout => 2000, idle => 60_000),
              'the time for all of it', status => 0,
              error => 'no whole answer in 2000 ms');

    # while it is paused nobody waits for the server
    my $http = begin('/short', idle => 2000, hold => 200_000);
    ok(held(0), 'a pause');
    select(undef, undef, undef, 3);
    $acr->get('/resume');
    ok(held(100_000), 'and another');
    $acr->get('/resume');
    is_result(result($http), 'that are longer than that', status => 200,
              received => 300_000, sum => sum(300_000), error => '');
}


# at any moment: the end of the test has a look at what is left
sub leaves {
    my $http = begin($WHOLE, hold => $MIB);
    ok(held(0), 'paused');
    $acr->get('/cancel');
    ok(!$http->answer('GET'), 'and cancelled');

    $http = begin($WHOLE, hold => $MIB);
    ok(held(0), 'paused');
    $acr->get('/resume');
    ok(held(900_000), 'and again');
    $http->close();
    ok(wait_for(sub { $acr->get('/state')->status() == 404 }),
       'its owner has left');

    $http = begin('/hang');
    ok(wait_for(sub { $acr->get('/state')->body() =~ /^100000 0$/m }),
       'under way');
    $acr->get('/cancel');
    ok(!$http->answer('GET'), 'and cancelled');

    # a worker that is to end
    my @paused = (begin($WHOLE, hold => $MIB), begin('/hang', idle => 60_000));
    my ($first) = $acr->workers();
    ok(wait_for(sub { $server->requests(qr/hang/) == 4 }), 'under way');
    $acr->reload();
    ok(wait_for(sub { !grep { $_ == $first } $acr->workers() }),
       'a worker that is to end ends');
    ok(!$_->answer('GET'), 'and what was asked of it') for @paused;
}
