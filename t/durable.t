#!/usr/bin/perl

# kill -9: what had its 201 is on the disk as it should be and is served after a
# start; uploads go on where they were saved.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

# Redis keeps what it has written, though not what only its memory has.
my $redis = redis('--appendonly', 'yes', '--appendfsync', 'everysec');
my $acr = start(workers => 2, redis => $redis);

$acr->allow(qr/worker process \d+ exited on signal 9/);


# --- at the instant of a 201

my $config = '{"seed":"durable"}';
$acr->push_blob('lib/a', $config);

for my $algorithm (qw(sha256 sha512)) {
    my $bytes = bytes(2_000_000, "durable $algorithm");
    my $digest = digest($bytes, $algorithm);
    my $location = $acr->upload('lib/a', "digest-algorithm=$algorithm");

    my $answer = $acr->close_upload($location, $digest, $bytes);
    kill_everything();
    answers($answer, 201, "a blob by its $algorithm");

    my $file = $acr->blob_file($digest);
    is(-s $file, 2_000_000, 'is on the disk');
    is(digest(slurp($file), $algorithm), $digest, 'as it was');
    is(slurp($acr->link_file('lib/a', 'layer', $digest)), $digest,
       'with its link');
    start_everything();
    is($acr->get("/v2/lib/a/blobs/$digest")->body() eq $bytes, 1,
       'and is served after a start');

    my $image = image($config, [],
                      layers => [{ mediaType => $LAYER, digest => $digest,
                                   size => 2_000_000 }]);
    my $manifest = digest($image);
    $answer = $acr->put_manifest('lib/a', "by-$algorithm", $image);
    kill_everything();
    answers($answer, 201, 'a manifest');

    is(slurp($acr->blob_file($manifest)), $image, 'is on the disk as it was');
    is(slurp($acr->link_file('lib/a', 'revision', $manifest)), $manifest,
       'with its link');
    is($acr->tag_on_disk('lib/a', "by-$algorithm"), $manifest,
       'and that of its tag');
    is(slurp($acr->path("repositories/lib/a/_manifests/tags/by-$algorithm/index"
                        . '/' . ($manifest =~ s{:}{/}r) . '/link')),
       $manifest, 'and that in the index of its tag');

    start_everything();
    is($acr->get("/v2/lib/a/manifests/by-$algorithm")->body(), $image,
       'and is served by its tag');
    is($acr->get("/v2/lib/a/manifests/$manifest")->body(), $image,
       'and by its digest');
}

my $gone = $acr->push_image('lib/a', 'gone', 'gone');
my $answer = $acr->delete('/v2/lib/a/manifests/gone');
kill_everything();
answers($answer, 202, 'a tag is deleted');
is($acr->tag_on_disk('lib/a', 'gone'), undef, 'on the disk too');
start_everything();
is($acr->resolve('lib/a', 'gone'), undef, 'and stays so');
is($acr->resolve('lib/a', $gone), $gone, 'its manifest is there');


# --- at any instant

for my $round (1 .. 3) {
    my $notes = "$acr->{dir}/notes$round";

    my @pids = map { pusher($notes, "$round-$_") } 1 .. 3;
    wait_for(sub { noted($notes) >= 12 * $round });
    kill_everything();
    waitpid($_, 0) for @pids;

    my %noted = map { split(/ /) } split(/\n/, slurp($notes));
    my @lost = grep {
        (eval { $acr->tag_on_disk('lib/r', $_) } || '') ne $noted{$_}
    } keys %noted;
    is_deeply(\@lost, [], 'every tag that had its 201 is on the disk');

    start_everything();
    @lost = grep {
        ($acr->resolve('lib/r', $_) || '') ne $noted{$_}
            || digest($acr->get("/v2/lib/r/manifests/$_")->body())
               ne $noted{$_}
    } keys %noted;
    is_deeply(\@lost, [], 'and is served after a start');

    # temporary files of what was under way may be there
    is_deeply([grep { !m{/_uploads/|/acr/tmp/|/current/link\.[0-9a-f-]{36} } }
               half_written($acr)], [], 'nothing is half-written');
}


# --- a worker dies during an upload

my $bytes = bytes(900_000, 'session');
my $digest = digest($bytes);
my $location = $acr->upload('lib/a');
answers($acr->patch($location, substr($bytes, 0, 300_000)), 202,
        'a session with data');

my $http = $acr->connect();
$http->begin('PATCH', $location, headers => ['Content-Length' => 600_000]);
$http->send(substr($bytes, 300_000, 400_000));
wait_for(sub { session($acr, $location)->{held} });
kill('KILL', $acr->workers());
ok(wait_for(sub { $http->closed(1) }), 'its worker is killed');
$http->close();
$acr->forget();

$answer = wait_for(sub { eval { $acr->get($location) } });
answers($answer, 204, 'the session is there');
is($answer->header('Range'), '0-299999', 'as it was saved');
refused($acr->patch($location, 'x', 700_000), 416, undef,
        'it does not go on elsewhere');
answers($acr->patch($location, substr($bytes, 300_000, 300_000), 300_000), 202,
        'it goes on from there');
answers($acr->close_upload($location, $digest, substr($bytes, 600_000)), 201,
        'to its end');
is(digest($acr->get("/v2/lib/a/blobs/$digest")->body()), $digest,
   'with the right bytes');


# --- all die during a large one, which is saved on its way

# A Redis that syncs its log every second may keep back what it has answered
# while a sync is slow: an offset that was saved would be lost with the process.
$acr->{redis}->command('CONFIG', 'SET', 'appendfsync', 'always');

my ($piece, $size, $large) = large(80, 'large session');
$location = $acr->upload('lib/a');
$http = $acr->connect();
$http->begin('PUT', with($location, digest => $large),
             headers => ['Content-Length' => $size]);
$http->send($piece->($_)) for 0 .. 75;
ok(wait_for(sub { session($acr, $location)->{offset} > 0 }),
   'a large push is saved on its way');
kill_everything();
$http->close();
start_everything();

$answer = $acr->get($location);
my ($last) = $answer->header('Range') =~ /^0-(\d+)$/;
my $offset = $last + 1;
cmp_ok($offset, '>=', 32 * 1048576, 'not all of it is to be sent again');

my $mib = int($offset / 1048576);
answers($acr->request('PUT', with($location, digest => $large),
                      body => [substr($piece->($mib), $offset % 1048576),
                               map { $piece->($_) } $mib + 1 .. 79],
                      headers => ['Content-Range' =>
                                  "$offset-" . ($size - 1)]),
        201, 'it goes on from there');
my ($pull, $head, $rest) = throttled($acr, "/v2/lib/a/blobs/$large");
is_deeply([$rest->()], [$large, $size], 'with the right bytes');
is_deeply([glob($acr->path('repositories/lib/a/_uploads/*'))], [],
          'and nothing is left of the uploads');

finish();


sub kill_everything {
    kill('KILL', $redis->{process}->pid(), $acr->{process}->pid(),
         $acr->workers());
    $acr->kill_all();
    $redis->kill();
}


sub start_everything {
    $redis->run();
    $acr->run();

    # sessions that were under way are gone or can go on; so nothing waits
    ok(wait_for(sub { $acr->get('/v2/lib/a/tags/list')->status() == 200 }),
       'everything starts again');
}


# pusher(NOTES, NAME): pushes images as fast as it can until it fails, and notes
# each that has its 201
sub pusher {
    my ($notes, $name) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    open(my $fh, '>>', $notes) or POSIX::_exit(1);
    eval {
        for my $n (1 .. 10_000) {
            my $digest = $acr->push_image('lib/r', "$name-$n", "$name $n");
            syswrite($fh, "$name-$n $digest\n");
        }
    };
    POSIX::_exit(0);
}


sub noted {
    my ($notes) = @_;

    my $text = eval { slurp($notes) } || '';

    return $text =~ tr/\n//;
}
