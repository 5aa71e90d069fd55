#!/usr/bin/perl

# A Redis that has lost what it had: that is noticed, nothing that is there is
# said to be unknown, and nothing is lost from the disk.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

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
ok(wait_for(sub { fresh($acr, 'GET', $pulls[0])->status() == 200 }),
   'a Redis that kept everything is used');
$acr->push_image('lib/a', 'more', 'a restart in order');
answers($acr->get($_), 200, "$_ is there") for @pulls, @lists;
unlike($acr->log_text(), qr/has lost changes/, 'nobody says it is not');


# --- emptied while everybody is connected

$acr->allow(qr/\[alert\].*has lost changes/);
my $tag = $acr->resolve('lib/a', 'more');

$redis->command('FLUSHALL');

for (1 .. 3) {
    unknown_to_nobody($_) for @pulls;
    refused(fresh($acr, 'GET', $_), 503, 'UNAVAILABLE', "$_ waits") for @lists;
    isnt(fresh($acr, 'DELETE', $pulls[0])->status(), 202,
         'a tag cannot be deleted');
}

isnt(fresh($acr, 'DELETE', $pulls[$_])->status(), 202, "$pulls[$_] neither")
    for 1, 2;
ok(wait_for(sub { $acr->log_text() =~ /\[alert\].*has lost changes/ }),
   'the log tells');

# sessions are lost with it, and may be begun again
refused($acr->patch($location, 'x'), $acr->get($location)->status(), undef,
        'a session is lost');
my $later = $acr->push_image('lib/b', 'later', 'after the loss');
is($acr->resolve('lib/b', 'later'), $later, 'what is pushed then is there');
is($acr->tag_on_disk('lib/b', 'later'), $later, 'on the disk too');
answers($acr->put_manifest('lib/a', 'latest',
                           image('{"seed":"after the loss"}', [])),
        503, 'an image whose config may be there is not refused for it');

is($acr->tag_on_disk('lib/a', 'latest'), $manifest, 'the disk has lost');
is($acr->tag_on_disk('lib/a', 'more'), $tag, 'no tag');
is(digest_of($acr->blob_file($digest), 'sha256'), $digest, 'and no blob');
is_deeply([half_written($acr)], [], 'and nothing is half-written');


# --- another one, which knows nothing

$redis->kill();
system('rm', '-rf', "$redis->{dir}/appendonlydir",
       "$redis->{dir}/appendonly.aof");
$redis->run();

ok(wait_for(sub {
       fresh($acr, 'POST', '/v2/lib/a/blobs/uploads/', body => '')
           ->status() == 202
   }), 'an empty Redis is used');
unknown_to_nobody($_) for @pulls, '/v2/lib/b/manifests/later';

$acr->reload();
unknown_to_nobody($_) for @pulls, '/v2/lib/b/manifests/later';

$acr->kill_all();
$acr->run();
unknown_to_nobody($_) for @pulls, '/v2/lib/b/manifests/later';

is($acr->tag_on_disk('lib/a', 'latest'), $manifest, 'the disk has lost');
is($acr->tag_on_disk('lib/b', 'later'), $later, 'nothing');


# --- a new node does not believe it either

my $two = node($acr);
$two->allow(qr/\[alert\].*has lost changes/);
isnt($two->get($_)->status(), 404, "$_ is not unknown to another node")
    for @pulls;

finish();


# a pull gets what is there, or 503, but not 404
sub unknown_to_nobody {
    my ($target) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = fresh($acr, 'GET', $target);

    ok($answer->status() == 200 || $answer->status() == 503,
       "$target is not unknown") or diag($answer->text());
}
