#!/usr/bin/perl

# Redis loses something, or another one takes its place, while something long is
# under way: an upload, a change of several names, a rebuild.  And a Redis that
# has lost something although it was never restarted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index qw(complete);
use ACR::Shim;

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $shim = ACR::Shim->new();
my $others = ACR::Shim->new(name => 'others');
my $reserve = {};
my $first = a_redis();
my $acr = start(redis => $first, env => $shim->env());
my $two = node($acr, node => 'two', env => $others->env());

$_->allow(qr/\[alert\].*has lost changes/, qr/\[crit\].*connect\(\).*redis/)
    for $acr, $two;
$acr->push_image('lib/other', 't', 'other');


# --- an upload session whose owner nobody knows of any more

my $bytes = bytes(70 * 1048576, 'session');
my $digest = digest($bytes);
my $location = $two->upload('lib/session');

answers($two->patch($location, substr($bytes, 0, 1048576)), 202, 'a part');
$first->command('SAVE');
$shim->rules('fdatasync /_uploads/ STOP count=1');
my $status = while_slow(
    ['PATCH', $location, body => substr($bytes, 1048576),
     headers => [ACR::Client::range(substr($bytes, 1048576))]], sub {
    ok($shim->stopped(0), 'the rest, whose node stops');
    $first->kill();
    $first->run();
    ok(wait_for(sub { fresh($two, 'GET', $location)->status() == 204 }),
       'Redis is back, and knows nothing of it');
    answers(fresh($two, 'PUT', with($location, digest => $digest)), 404,
            'without the rest it is not what it was');
    $location = $two->upload('lib/session');
    answers($two->patch($location, substr($bytes, 0, 1048576)), 202, 'again');
    kill('CONT', $acr->workers());
});
unlike($status, qr/^2/, 'the late one is told');

$first->command('SAVE');
$shim->rules('fdatasync /_uploads/ STOP count=1');
$status = while_slow(
    ['PATCH', $location, body => substr($bytes, 1048576),
     headers => [ACR::Client::range(substr($bytes, 1048576))]], sub {
    ok($shim->stopped(0), 'the rest, whose node stops');
    $first->kill();
    $first->run();
    ok(wait_for(sub { fresh($two, 'GET', $location)->status() == 204 }),
       'Redis is back, and knows nothing of it');
    answers(fresh($two, 'PUT', with($location, digest => $digest),
                  body => substr($bytes, 1048576)), 201,
            'the rest again, by another node');
    kill('CONT', $acr->workers());
});
unlike($status, qr/^2/, 'the late one is told');
is(digest_of($acr->blob_file($digest), 'sha256'), $digest,
   'and has not touched what was acknowledged');


# --- an upload session that is cancelled before its owner has a file

$location = $two->upload('lib/cancelled');
$shim->rules('open /_uploads/ STOP count=1');
my $http = $acr->connect();
$http->begin('PATCH', $location, chunked => 1);
$http->chunk(substr($bytes, 0, 1000));
ok($shim->stopped(0), 'a node that is about to make the file');
answers($two->delete($location), 204, 'the session is cancelled');
$http->abort();
kill('CONT', $acr->workers());
leaves_nothing($acr, undef);
$shim->clear();
is_deeply([half_written($acr)], [], 'the file does not stay');


# --- all is lost and made again before a change is settled, of a tag, and of as
# many as are not settled at once

for my $tags ('?tag=t', '?tag=t&' . join('&', map { "tag=t$_" } 1 .. 9)) {
    my $old = $acr->push_image('lib/a', 't', "old $tags");
    $acr->push_blob('lib/a', $_) for '{"seed":"new"}', "layer of $tags";
    my $json = image('{"seed":"new"}', ["layer of $tags"]);
    my $new = digest($json);
    my @put = ('PUT', "/v2/lib/a/manifests/$new$tags", body => $json,
               headers => ['Content-Type' => $IMAGE]);

    $shim->rules('pwrite /acr/nodes/ DELAY=1000 count=1');
    $status = while_slow(\@put, sub { lose_all(); $two->tags('lib/a') });

    my %got = map { $_ => 1 } map { $_->resolve('lib/a', 't') } $acr, $two;
    is(scalar(keys %got), 1, "both nodes know the same ($status)");
    ok($got{$new} || $status == 503 && $got{$old},
       'a put has its 201, or is to be repeated');

    answers(fresh($two, @put), 201, 'it is repeated');
    is($_->resolve('lib/a', 't'), $new, 'and there') for $acr, $two;
}

my $many = $acr->push_image('lib/many', 't0', 'many');
my $json = $acr->get("/v2/lib/many/manifests/$many")->body();
$acr->push_manifest('lib/many', "t$_", $json) for 1 .. 109;

$shim->rules('unlink /tags/*/current/link$ DELAY=1000 skip=99 count=1');
$status = while_slow(['DELETE', "/v2/lib/many/manifests/$many"], \&lose_all);
answers($_->get("/v2/lib/many/manifests/$many"), $status == 202 ? 404 : 200,
        "so has a delete of many tags ($status)") for $acr, $two;
ok(complete($acr), 'it is complete');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');


# --- a fail-over in the middle of a rebuild

my %image = map { ("lib/z$_" => $acr->push_image("lib/z$_", 't', "z $_")) }
            1 .. 30;
my $replica = replica();

$_->rules('read_open /_manifests/ DELAY=40') for $shim, $others;
$acr->{redis}->command('FLUSHALL');
ok(wait_for(sub { rebuilt() > 5 }), 'a rebuild is under way');
$replica->command('REPLICAOF', 'NO', 'ONE');
ok(wait_for(sub { rebuilt() > 20 }), 'and goes on');

my $gone = $acr->{redis};
$gone->kill();
rename($replica->{socket}, $gone->{socket}) or die "rename: $!\n";
$replica->{socket} = $gone->{socket};
$_->{redis} = $replica for $acr, $two;

ok(complete($acr), 'it is complete');
$_->clear() for $shim, $others;
is_deeply({ map { ($_ => $acr->resolve($_, 't')) } keys %image }, \%image,
          'also what only the one before had');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');


# --- a master becomes a replica of one that is behind it, and master again

$replica = replica();
$replica->command('REPLICAOF', 'NO', 'ONE');
my $later = $acr->push_image('lib/later', 't', 'later');
my $redis = $acr->{redis};
$redis->command('REPLICAOF', '127.0.0.1', port($replica));
ok(wait_for(sub { linked($redis) }), 'a master is a replica');
$redis->command('REPLICAOF', 'NO', 'ONE');

# so sentinels do it
$redis->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

for my $node ($acr, $two) {
    ok(wait_for(sub { fresh($node, 'GET', '/v2/lib/other/tags/list')
                          ->status() == 200 }), 'and is back');
    is($node->resolve('lib/later', 't'), $later, 'what it has lost is there');
}

ok(complete($acr), 'it is complete');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');

finish();


# the status of a request during which something happens; the first rule makes
# it slow
sub while_slow {
    my ($request, $function) = @_;

    my $file = work_dir() . '/status';
    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        my $answer = eval { fresh($acr, @$request) };
        spew($file, $answer ? $answer->status() : 0);
        POSIX::_exit(0);
    }

    ok(wait_for(sub { $shim->fired(0) }), 'it is slow');
    $function->();
    waitpid($pid, 0);
    $shim->clear();

    my $status = slurp($file);
    like($status, qr/^(?:20[12]|404|409|503)$/, 'an answer');

    return $status;
}


# and the node that is slow has found that out
sub lose_all {
    $acr->{redis}->command('FLUSHALL');
    ok(wait_for(sub { fresh($acr, 'GET', '/v2/lib/other/tags/list')->status()
                      == 200 }), 'Redis has lost all');
}


sub rebuilt { return $acr->{redis}->command('SCARD', key('current')) }


sub a_redis {
    return redis('--port', ACR::Node::free_port($reserve),
                 '--bind', '127.0.0.1', '--repl-diskless-sync-delay', 0, @_);
}


sub port { return $_[0]->command('CONFIG', 'GET', 'port')->[1] }

sub linked {
    return $_[0]->command('INFO', 'replication') =~ /master_link_status:up/;
}


# one that has all until now
sub replica {
    my $redis = $acr->{redis};
    my $replica = a_redis('--replicaof', '127.0.0.1 ' . port($redis));

    wait_for(sub {
        linked($replica) && ($replica->command('GET', key('seq')) || 0)
                            == $redis->command('GET', key('seq'));
    }) or die "no replica\n";

    return $replica;
}
