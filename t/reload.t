#!/usr/bin/perl

# A reload, or an end in order, while pushes and pulls are under way: they are
# completed.  ACR_LARGE is how many MiB the largest has, else 72.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $acr = start(workers => 2);
my $mib = $ENV{ACR_LARGE} || 72;

my ($piece, $size, $digest) = large($mib, 'reload');
my $location = $acr->upload('lib/a');

my $push = begin_push('PUT', with($location, digest => $digest), $size);
$push->send($piece->($_)) for 0 .. $mib / 3;

my ($part, $part_size, $part_digest) = large(16, 'pulled');
answers($acr->post(with('/v2/lib/a/blobs/uploads/', digest => $part_digest),
                   body => [map { $part->($_) } 0 .. 15]), 201,
        'a large blob to pull');

my $target = "/v2/lib/a/blobs/$part_digest";
my ($http, $answer, $rest) = throttled($acr, $target);
my ($ranged, $ranged_answer, $ranged_rest) =
    throttled($acr, $target, headers => [Range => 'bytes=0-']);
answers($answer, 200, 'a pull is under way');
answers($ranged_answer, 206, 'and one of a range');


# --- reload

my @old = $acr->workers();
$acr->reload(workers => 1);
cmp_ok(scalar(grep { alive($_) } @old), '>', 0,
       'old workers have their work still');

answers($acr->get('/v2/'), 200, 'new ones answer');
ok(!(grep { !$push->send($piece->($_)) } $mib / 3 + 1 .. $mib / 2),
   'the push goes on');

$acr->reload(workers => 2);
$acr->push_image('lib/b', 'new', 'after two reloads');

$push->send($piece->($_)) for $mib / 2 + 1 .. $mib - 1;
my $pushed = $push->answer('PUT');
answers($pushed, 201, 'the push ends');
is($pushed->header('Connection'), 'close', 'and so does its connection');
$push->close();

is_deeply([$rest->()], [$part_digest, $part_size],
          'the pull has all the bytes');
is_deeply([$ranged_rest->()], [$part_digest, $part_size],
          'and so has that of a range');

my ($pulled, $all, $all_rest) = throttled($acr, "/v2/lib/a/blobs/$digest");
is_deeply([$all_rest->()], [$digest, $size], 'what was pushed is right');
ok(wait_for(sub { !grep { alive($_) } @old }), 'all old workers end');


# --- a session that goes on in a new worker

my $some = bytes(500_000, 'session');
$location = $acr->upload('lib/a');
my $patch = begin_push('PATCH', $location, 300_000);
$patch->send(substr($some, 0, 100_000));
wait_for(sub { session($acr, $location)->{held} });
$acr->reload();
$patch->send(substr($some, 100_000, 200_000));
answers($patch->answer('PATCH'), 202, 'a PATCH ends in the old worker');
$patch->close();
answers($acr->close_upload($location, digest($some), substr($some, 300_000)),
        201, 'the PUT is for a new one');
is(digest($acr->get('/v2/lib/a/blobs/' . digest($some))->body()),
   digest($some), 'and the bytes are right');


# --- reload after reload while many push

my $stop = $acr->{dir} . '/stop';

my @pushers = parallel(
    sub {
        # this process is not the one that has started nginx
        my $all = 1;
        for (1 .. 4) {
            my %old = map { $_ => 1 } $acr->workers();
            kill('HUP', $acr->{process}->pid());
            $all &&= wait_for(sub { grep { !$old{$_} } $acr->workers() });
        }
        open(my $fh, '>', $stop) or die "$stop: $!\n";
        return $all ? 'done' : 'no new workers';
    },
    map { my $n = $_; sub { return push_on($n) } } 1 .. 2);

is(shift(@pushers), 'done', 'four reloads');
is_deeply([grep { $_ ne 'right' } map { @$_ } @pushers], [],
          'no push is refused or lost in them');
is_deeply([half_written($acr)], [], 'nothing is half-written');
is_deeply([wait_for(sub { !differences($acr) })], [1],
          'Redis and the disk have the same');


# --- the end

my ($piece2, $size2, $digest2) = large(24, 'quit');
$location = $acr->upload('lib/a');
$push = begin_push('PUT', with($location, digest => $digest2), $size2);
$push->send($piece2->($_)) for 0 .. 7;
my $slow = begin_push('PATCH', my $open = $acr->upload('lib/a'), 200_000);
$slow->send('x' x 100_000);
wait_for(sub { session($acr, $open)->{held} });
my ($last, $last_answer, $last_rest) = throttled($acr, $target);

$acr->forget();
$acr->{process}->signal('QUIT');
ok(wait_for(sub { !eval { $acr->connect()->close(); 1 } }),
   'after SIGQUIT nobody is let in');

$push->send($piece2->($_)) for 8 .. 23;
answers($push->answer('PUT'), 201, 'a push under way ends');
$slow->send('x' x 100_000);
my $offset = $slow->answer('PATCH');
answers($offset, 202, 'and a chunk');
is($offset->header('Range'), '0-199999', 'all of it');
is_deeply([$last_rest->()], [$part_digest, $part_size], 'and a pull');
$_->close() for $push, $slow;
ok($acr->{process}->ended(20), 'then nginx ends');

$acr->run();
my ($again, $ready, $again_rest) = throttled($acr, "/v2/lib/a/blobs/$digest2");
is_deeply([$again_rest->()], [$digest2, $size2],
          'what was pushed is there after a start');
answers($acr->close_upload($open, digest('x' x 200_000)), 201,
        'and the session goes on');
is_deeply([half_written($acr)], [], 'nothing is half-written');

finish();


sub begin_push {
    my ($method, $target, $size) = @_;

    my $http = $acr->connect();
    $http->begin($method, $target, headers => ['Content-Length' => $size]);

    return $http;
}


sub alive {
    my ($pid) = @_;

    return !ACR::Node::zombie($pid);
}


# pushes and pulls back until it is told to stop; what became of each
sub push_on {
    my ($n) = @_;
    my @results;

    for (my $i = 0; $i < 8 || !-e $stop; $i++) {
        my $bytes = bytes(50_000, "push $n $i");
        my $digest = digest($bytes);

        # nobody knows what became of a request on a connection that was
        # closed before it was read, so it is sent again
        my $answer;
        for (1 .. 3) {
            last if $answer = fresh($acr, 'POST',
                                    with('/v2/lib/r/blobs/uploads/',
                                         digest => $digest),
                                    body => $bytes);
        }
        my $pull = fresh($acr, 'GET', "/v2/lib/r/blobs/$digest")
            || fresh($acr, 'GET', "/v2/lib/r/blobs/$digest");

        push(@results, !$answer || !$pull ? 'closed'
             : $answer->status() != 201 ? $answer->text()
             : $pull->status() != 200 ? $pull->text()
             : $pull->body() ne $bytes ? 'wrong' : 'right');
    }

    return \@results;
}
