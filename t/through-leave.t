#!/usr/bin/perl

# Clients that leave while their request waits for another registry: it is over
# at once, and what they have waited for comes all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::HTTP2;
use ACR::Metrics;
use ACR::Origin;

my $WAITING = 20;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $log = work_dir() . '/status.log';

# one worker, so that all wait for the same question
my $acr = start(fsync => 'off', http2 => 1,
    http => "acr_remote up.test $url timeout=60s;"
            . ' log_format status "$status $uri";',
    server => "access_log $log status;"
              . ' location = /metrics { acr_metrics; access_log off; }',
    location => 'acr_cache_rule up.test/* up.test/*;');

manifest();
blob();
streams();
early();
first();
exits();
finish();


# how many requests for a target have ended so
sub ended {
    my ($status, $target) = @_;

    return scalar(() = slurp($log) =~ m{^$status \Q$target\E$}mg);
}


# ask(TARGET): clients that ask for it, of which the first has come there
sub ask {
    my ($there, $target, $n) = @_;

    my @clients = map { ACR::HTTP->new($acr->port()) } 1 .. $n;

    $clients[0]->begin('GET', $target);
    $clients[0]->finish();
    wait_for(sub { $origin->asked(qr{\Q$there\E }) })
        or die "$there is not asked for\n";

    for my $client (@clients[1 .. $#clients]) {
        $client->begin('GET', $target);
        $client->finish();
    }

    # a request that comes later has been read later
    answers($acr->get('/v2/'), 200, 'others are answered');

    return @clients;
}


sub manifest {
    my $digest = $origin->has_image('lib/a', '1.0', bytes(1000, 'a'));
    my ($there, $here) = map { "/v2/$_/manifests/1.0" } 'lib/a',
                                                        'up.test/lib/a';

    $origin->rule($there, wait => 1);

    my ($asks, @waiting) = ask($there, $here, $WAITING);

    $_->close() for splice(@waiting, 0, $WAITING / 2);

    ok(wait_for(sub { ended(499, $here) == $WAITING / 2 }),
       'who waits for a question of another request, and leaves, is gone');

    $origin->rule($there, wait => undef);

    for my $client ($asks, @waiting) {
        my $answer = $client->answer('GET');
        is($answer->header('Docker-Content-Digest'), $digest,
           'who has stayed is answered');
    }

    is(scalar($origin->asked(qr{\Q$there\E })), 1, 'after one question');
}


sub blob {
    my $bytes = bytes(100_000, 'blob');
    my $digest = $origin->has_blob('lib/a', $bytes, wait => 1);
    my ($there, $here) = map { "/v2/$_/blobs/$digest" } 'lib/a',
                                                        'up.test/lib/a';
    my (@waiting) = ask($there, $here, $WAITING);

    is(value($acr, 'acr_fills'), 1, 'one blob is fetched');
    ok(wait_for(sub { value($acr, 'acr_fill_followers') == $WAITING }),
       'all follow it');

    $_->close() for splice(@waiting, 0, $WAITING / 2);

    ok(wait_for(sub { ended(499, $here) == $WAITING / 2 }),
       'who waits for the size of a blob, and leaves, is gone');
    is(value($acr, 'acr_fill_followers'), $WAITING / 2, 'and not counted');

    $origin->rule($there, wait => undef);

    for my $client (@waiting) {
        is(digest($client->answer('GET')->body()), $digest,
           'who has stayed is answered');
    }

    ok(wait_for(sub { value($acr, 'acr_fill_followers') == 0 }),
       'nobody follows it any more');
}


# of one connection some leave, and others stay
sub streams {
    my $digest = $origin->has_image('lib/h', '1.0', bytes(1000, 'h'));
    my ($there, $here) = map { "/v2/$_/manifests/1.0" } 'lib/h',
                                                        'up.test/lib/h';

    $origin->rule($there, wait => 1);

    my ($asks) = ask($there, $here, 1);
    my $h2 = ACR::HTTP2->new($acr->{http2_port});
    my @streams = map { $h2->begin('GET', $here, END => 1) } 1 .. $WAITING;

    $h2->reset($_) for splice(@streams, 0, $WAITING / 2);

    ok(wait_for(sub { ended(499, $here) == $WAITING / 2 }),
       'a stream that waits, and is reset, is gone');

    $origin->rule($there, wait => undef);

    answers($asks->answer('GET'), 200, 'who has asked is answered');
    is($h2->answer($_)->{status}, 200, 'so is a stream that has stayed')
        for @streams;
}


# before they wait they are looked up, and nobody sees them leave then
sub early {
    my $digest = $origin->has_image('lib/e', '1.0', bytes(1000, 'e'));
    my ($there, $here) = map { "/v2/$_/manifests/1.0" } 'lib/e',
                                                        'up.test/lib/e';

    $origin->rule($there, wait => 1);

    my ($asks) = ask($there, $here, 1);
    my $h2 = ACR::HTTP2->new($acr->{http2_port});
    my $http = ACR::HTTP->new($acr->port());

    # another request is answered when these have been read
    $acr->{redis}->signal('STOP');
    my @streams = map { $h2->begin('GET', $here, END => 1) } 1 .. 2;
    $http->begin('GET', $here);
    $http->finish();
    answers($acr->get('/v2/'), 200, 'Redis is not needed for all');
    $h2->reset($streams[0]);
    $http->close();
    answers($acr->get('/v2/'), 200, 'nor for this');
    $acr->{redis}->signal('CONT');

    ok(wait_for(sub { ended(499, $here) == 2 }),
       'who has left before the wait is gone, too');

    $origin->rule($there, wait => undef);
    answers($asks->answer('GET'), 200, 'who has asked is answered');
    is($h2->answer($streams[1])->{status}, 200, 'and who has stayed');
}


# the one who has asked is not needed either
sub first {
    my $digest = $origin->has_image('lib/b', '1.0', bytes(1000, 'b'));
    my ($there, $here) = map { "/v2/$_/manifests/1.0" } 'lib/b',
                                                        'up.test/lib/b';

    $origin->rule($there, wait => 1);

    my ($asks, $waits) = ask($there, $here, 2);

    $asks->close();
    $waits->close();
    ok(wait_for(sub { ended(499, $here) == 1 }), 'who waits is gone');

    $origin->rule($there, wait => undef);

    # no rule sends this one there again
    ok(wait_for(sub { -e $acr->link_file('up.test/lib/b', 'tag', '1.0') }),
       'and the manifest comes');
    is(scalar($origin->asked(qr{\Q$there\E })), 1, 'by one question');
}


# a worker that ends does not leave those who wait alone
sub exits {
    my $digest = $origin->has_image('lib/c', '1.0', bytes(1000, 'c'));
    my ($there, $here) = map { "/v2/$_/manifests/1.0" } 'lib/c',
                                                        'up.test/lib/c';

    $origin->rule($there, wait => 1);

    my @waiting = ask($there, $here, 3);
    my ($old) = $acr->workers();

    $acr->{process}->signal('HUP');
    ok(wait_for(sub { grep { $_ != $old } $acr->workers() }),
       'another worker has come');

    $waiting[1]->close();
    ok(wait_for(sub { ended(499, $here) == 1 }), 'one of them leaves');

    $origin->rule($there, wait => undef);

    is($waiting[$_]->answer('GET')->header('Docker-Content-Digest'), $digest,
       'who has stayed is answered') for 0, 2;
    ok(wait_for(sub { !kill(0, $old) }), 'and the worker ends');
}
