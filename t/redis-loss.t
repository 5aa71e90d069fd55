#!/usr/bin/perl

# A Redis that has lost what it had: that is noticed, nothing that is there is
# said to be unknown, and nothing is lost from the disk.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'always');
my $acr = start(workers => 2, redis => $redis,
                redis_options => 'timeout=500ms');

my $bytes = bytes(100_000, 'loss');
my $digest = $acr->push_blob('lib/a', $bytes);
my $manifest = $acr->push_image('lib/a', 'latest', 'loss');
my $location = $acr->upload('lib/a');

my @pulls = ('/v2/lib/a/manifests/latest', "/v2/lib/a/manifests/$manifest",
             "/v2/lib/a/blobs/$digest");
my @lists = ('/v2/lib/a/tags/list', '/v2/_catalog',
             "/v2/lib/a/referrers/$manifest");


# --- in order, nothing is lost

$redis->shutdown();
$redis->run();
ok(wait_for(sub { fresh($acr, 'GET', $lists[0])->status() == 200 }),
   'a Redis that kept everything is used');
$acr->push_image('lib/a', 'more', 'a restart in order');
answers($acr->get($_), 200, "$_ is there") for @pulls, @lists;
unlike($acr->log_text(), qr/has lost changes/, 'nobody says it is not');


# --- emptied while everybody is connected

$acr->allow(qr/\[alert\].*has lost changes/);
my $tag = $acr->resolve('lib/a', 'more');

$redis->command('FLUSHALL');

for (1 .. 3) {
    answers(fresh($acr, 'GET', $_), 200, "$_ is there") for @pulls;
    answers(fresh($acr, 'GET', $_), 200, "$_ too") for @lists[0, 2];
    is_one_of(fresh($acr, 'GET', $lists[1]), [200, 503], 'the catalogue waits');
}
ok(wait_for(sub { $acr->log_text() =~ /\[alert\].*has lost changes/ }),
   'the log tells');

# sessions are lost with it, and may be begun again
refused($acr->patch($location, 'x'), 404, 'BLOB_UPLOAD_UNKNOWN',
        'a session is lost');
$redis->command('FLUSHALL');
my $later = $acr->push_image('lib/b', 'later', 'after the loss');
is($acr->resolve('lib/b', 'later'), $later, 'what is pushed then is there');
is($acr->tag_on_disk('lib/b', 'later'), $later, 'on the disk too');
$redis->command('FLUSHALL');
refused($acr->put_manifest('lib/a', 'latest',
                           image('{"seed":"after the loss"}', [])),
        404, 'MANIFEST_BLOB_UNKNOWN', 'what is really missing is');
answers($acr->put_manifest('lib/a', 'again', $acr->get($pulls[0])->body()),
        201, 'what only seems to be is not');

is($acr->tag_on_disk('lib/a', 'latest'), $manifest, 'the disk has lost');
is($acr->tag_on_disk('lib/a', 'more'), $tag, 'no tag');
is(digest_of($acr->blob_file($digest), 'sha256'), $digest, 'and no blob');


# --- another one, which knows nothing

$redis->kill();
system('rm', '-rf', "$redis->{dir}/appendonlydir",
       "$redis->{dir}/appendonly.aof");
$redis->run();

ok(wait_for(sub {
       fresh($acr, 'POST', '/v2/lib/a/blobs/uploads/', body => '')
           ->status() == 202
   }), 'an empty Redis is used');
answers(fresh($acr, 'GET', $_), 200, "$_ is there")
    for @pulls, '/v2/lib/b/manifests/later';

$acr->reload();
answers(fresh($acr, 'GET', $_), 200, "$_ is there after a reload")
    for @pulls, '/v2/lib/b/manifests/later';

$acr->kill_all();
$acr->run();
answers(fresh($acr, 'GET', $_), 200, "$_ is there after kill -9")
    for @pulls, '/v2/lib/b/manifests/later';

is($acr->tag_on_disk('lib/a', 'latest'), $manifest, 'the disk has lost');
is($acr->tag_on_disk('lib/b', 'later'), $later, 'nothing');


# --- a new node, and an emptied Redis once more

my $two = node($acr);
$_->allow(qr/\[alert\].*has lost changes/) for $acr, $two;
$redis->command('FLUSHALL');
answers($two->get($_), 200, "$_ is there for another node") for @pulls;
ok(complete($two), 'all is complete in the end');
is_deeply([differences($acr)], [], 'and Redis and the disk are equal');

finish();


sub is_one_of {
    my ($answer, $wanted, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok((grep { $answer->status() == $_ } @$wanted), $name)
        || diag($answer->text());
}
