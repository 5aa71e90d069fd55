#!/usr/bin/perl

# The index is made again from the directory: it equals the one that was lost,
# pulls go on meanwhile, and what was deleted stays deleted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $LOST = qr/\[alert\].*has lost changes/;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'always');
my $acr = start(workers => 2, redis => $redis,
                server => 'location /acr/admin/ { acr_admin; }');
my $ask = sub { return $redis->command(@_) };

$acr->allow($LOST);


# --- a registry with something of everything

my $config = '{"seed":"rebuild"}';
$acr->push_blob('lib/a', $_) for $config, 'one layer', 'two layers';
$acr->push_blob('lib/a', bytes(5000, 'sha512'), 'sha512');
$acr->push_blob('lib/a', 'not needed by anybody');
my $image = image($config, ['one layer', 'two layers']);
my $subject = $acr->push_manifest('lib/a', 'one', $image);
$acr->push_manifest('lib/a', $_, $image) for qw(two three);
$acr->push_manifest('lib/a', undef,
                    image($config, ['one layer'], annotations => { n => 'x' }));

for my $n (1 .. 3) {
    $acr->push_manifest('lib/a', undef, encode({
        schemaVersion => 2, mediaType => $IMAGE,
        artifactType => "application/vnd.test.$n",
        config => descriptor($config, $CONFIG), layers => [],
        annotations => { "key $n" => "value \"$n\"" },
        subject => { mediaType => $IMAGE, digest => $subject,
                     size => length($image) } }));
}

my $index = $acr->push_manifest('lib/a', 'index', index_of([$image]));
$acr->push_image('lib/a', 'moved', 'before');
$acr->push_image('lib/a', 'moved', 'after');
$acr->push_image('lib/a', 'gone', 'gone');
answers($acr->delete('/v2/lib/a/manifests/gone'), 202, 'a tag is deleted');
answers($acr->delete('/v2/lib/a/manifests/'
                     . $acr->push_image('lib/a', 'all', 'all of it')),
        202, 'and a manifest with its tag');

# what only the Content-Type tells
my $odd = '{"schemaVersion":2,"odd":true}';
my $odd_type = 'application/vnd.test.odd+json';
my $odd_digest = $acr->push_manifest('lib/a', 'odd', $odd, $odd_type);

# a repository below another, and one that shares a layer
my $nested = $acr->push_image('lib/a/nested', 'x', 'nested');
answers($acr->post("/v2/lib/b/blobs/uploads/?mount=" . digest('one layer')
                   . '&from=lib/a', body => ''), 201, 'a blob is mounted');
$acr->push_blob('lib/b', $config);
$acr->push_manifest('lib/b', 'b', image($config, ['one layer']));

ok(wait_for(sub { !@{ $ask->('ZRANGE', key('pending'), 0, -1) } }),
   'all is settled');

my $before = index_of_redis($acr);
my %pulls = (map { $_ => 1 } map { ("/v2/$_->[0]/manifests/$_->[1]") }
             ['lib/a', 'one'], ['lib/a', 'two'], ['lib/a', 'index'],
             ['lib/a', 'moved'], ['lib/a', 'odd'], ['lib/a', $subject],
             ['lib/a/nested', 'x'], ['lib/b', 'b']);
$pulls{'/v2/lib/a/blobs/' . digest('one layer')} = 1;
$_ = digest($acr->get($_)->body()) for my @digests = sort keys %pulls;
@pulls{sort keys %pulls} = @digests;


# --- emptied while everybody is connected

$ask->('FLUSHALL');

same_pulls('at once');
is($acr->get('/v2/lib/a/manifests/odd')->header('Content-Type'), $odd_type,
   'with its media type');
refused($acr->get('/v2/lib/a/manifests/gone'), 404, 'MANIFEST_UNKNOWN',
        'what was deleted is not there');
ok(complete($acr), 'it becomes complete by itself');
is_deeply(index_of_redis($acr), $before, 'and equal to what it was');
same_pulls('afterwards');
is($acr->get('/v2/lib/a/manifests/odd')->header('Content-Type'), $odd_type,
   'the media type is known again');
like($acr->log_text(), $LOST, 'the log tells what was lost');
ok(wait_for(sub {
       $acr->log_text() =~ /rebuild of .* is complete: 3 repositories/
   }), 'and how it was made again');


# --- a change and a list do not wait for all of it

$ask->('FLUSHALL');
is_deeply([sort $acr->tags('lib/b')], ['b'], 'a list is made first');
$ask->('FLUSHALL');
my $later = $acr->push_image('lib/b', 'later', 'later');
is($acr->resolve('lib/b', 'later'), $later, 'a push goes on');
is($acr->tag_on_disk('lib/b', 'later'), $later, 'on the disk too');
$ask->('FLUSHALL');
answers($acr->delete('/v2/lib/b/manifests/later'), 202, 'so does a delete');
is($acr->resolve('lib/b', 'later'), undef, 'it is gone');
ok(complete($acr), 'then all is complete');
is($acr->resolve('lib/b', 'later'), undef, 'and it stays gone');
answers($acr->delete("/v2/lib/b/manifests/$later"), 202,
        'its manifest is there');
same_pulls('after that');


# --- an older one

$redis->shutdown();
system("cp -a $redis->{dir} $redis->{dir}.old") == 0 or die;
$redis->run();
wait_for(sub { fresh($acr, 'GET', '/v2/_catalog')->status() == 200 });
answers($acr->delete('/v2/lib/a/manifests/three'), 202,
        'a tag is deleted after the copy');
my $new = $acr->push_image('lib/new', 'n', 'after the copy');
my $moved = $acr->push_image('lib/a', 'moved', 'after the copy');
$redis->kill();
system("rm -rf $redis->{dir}/* && cp -a $redis->{dir}.old/. $redis->{dir}")
    == 0 or die;
$redis->run();

ok(wait_for(sub {
       my $answer = fresh($acr, 'GET', '/v2/lib/a/manifests/moved');
       $answer->status() == 200
           && $answer->header('Docker-Content-Digest') eq $moved;
   }), 'the tag is what was acknowledged');
is($acr->resolve('lib/a', 'three'), undef, 'the deleted one is not there');
is($acr->resolve('lib/new', 'n'), $new, 'the new one is');
ok(complete($acr), 'it is complete');
is($acr->resolve('lib/a', 'moved'), $moved, 'the tag stays');
is($acr->resolve('lib/a', 'three'), undef, 'the deleted one stays so');
is($acr->resolve('lib/new', 'n'), $new, 'and so does the new one');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');


# --- a new Redis for a volume, at start

$acr->stop();
$redis->kill();
system("rm -rf $redis->{dir}/*") == 0 or die;
$redis->run();
$acr->run();
same_pulls('after a start', '/v2/lib/a/manifests/moved');
ok(complete($acr), 'it becomes complete by itself');
is_deeply([differences($acr)], [], 'and equal to the disk');


# --- by command; interrupted by kill -9

unlink($acr->link_file('lib/new', 'tag', 'n')) or die;
answers(admin($acr, 'POST', 'rebuild'), 202, 'a rebuild can be asked for');
ok(wait_for(sub { admin($acr, 'GET', 'stats')->json()->{state}
                  eq 'complete' }), 'the operator is told when it is done');
is($acr->resolve('lib/new', 'n'), undef, 'the directory is right');
my $status = admin($acr, 'GET', 'rebuild')->json();
ok(!$status->{running} && !$status->{requested}, 'nothing runs');
is($status->{repositories}, 4, 'the counters tell what was done');
cmp_ok($status->{manifests}, '>', 8, 'in numbers');

$acr->push_image("many/$_", 'x', "many $_") for 1 .. 60;
$before = index_of_redis($acr);
$acr->allow(qr/exited on signal 9/);

for my $kill ('a worker', 'all') {
    $ask->('FLUSHALL');
    wait_for(sub { $ask->('SCARD', key('current')) > 5 });
    if ($kill eq 'all') {
        $acr->kill_all();
        $acr->run();
    } else {
        kill('KILL', $acr->workers());
        $acr->forget();
    }
    ok(complete($acr, 60), "$kill killed: it is complete all the same");
    is_deeply(index_of_redis($acr), $before, 'and equal');
}


# --- what is spoilt is passed over, and told

my $layer = digest('two layers');
spew($acr->link_file('lib/a', 'layer', digest('not needed by anybody')), '');
spew($acr->link_file('lib/b', 'tag', 'b'), '');
spew($acr->blob_file($odd_digest), 'other content');
unlink($acr->blob_file($nested)) or die;
$acr->allow(qr/\[crit\].*(?:digest|match)/);
$ask->('FLUSHALL');
ok(complete($acr), 'it is complete without what is spoilt');
is_deeply([sort $acr->tags('lib/a')], [qw(index moved one two)],
          'a manifest with other content is not listed');
is($acr->resolve('lib/b', 'b'), undef, 'nor an empty link');
is($acr->resolve('lib/a/nested', 'x'), undef, 'nor what has no content');
cmp_ok(admin($acr, 'GET', 'rebuild')->json()->{skipped}, '>=', 4,
       'the counter tells');
like($acr->log_text(), qr/passed over/, 'and so does the log');
answers($acr->put_manifest('lib/a', 'odd', $odd, $odd_type), 201,
        'a push heals it');
is($acr->resolve('lib/a', 'odd'), $odd_digest, 'and it is there');

finish();


sub same_pulls {
    my ($when, @except) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %except = map { $_ => 1 } @except;
    my @bad = grep {
        my $answer = fresh($acr, 'GET', $_);
        $answer->status() != 200 || digest($answer->body()) ne $pulls{$_};
    } grep { !$except{$_} } sort keys %pulls;

    is_deeply(\@bad, [], "all pulls are as before, $when");
}
