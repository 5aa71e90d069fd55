#!/usr/bin/perl

# Deletion of tags and manifests, and acr_delete off.  Blobs are in blob.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my $repo = 'lib/app';
my $none = 'sha256:' . '0' x 64;

my $digest = $acr->push_image($repo, '1.0', 'delete');
my $json = $acr->get("/v2/$repo/manifests/$digest")->body();
my @tags = map { "t$_" } 1 .. 30;

$acr->push_manifest($repo, $_, $json) for @tags;


# --- tags

answers($acr->delete("/v2/$repo/manifests/t1"), 202, 'a tag');
is($acr->resolve($repo, 't1'), undef, 'is gone at once');
answers($acr->delete("/v2/$repo/manifests/t1"), 404, 'and cannot go twice');
ok(!-e $acr->link_file($repo, 'tag', 't1'), 'it is gone from the disk');
is($acr->resolve($repo, 't2'), $digest, 'other tags are there');
is($acr->resolve($repo, $digest), $digest, 'and the manifest');

refused($acr->delete("/v2/$repo/manifests/none"), 404, 'MANIFEST_UNKNOWN',
        'an unknown tag', 'none');
refused($acr->delete('/v2/unknown/manifests/none'), 404,
        'MANIFEST_UNKNOWN|NAME_UNKNOWN', 'an unknown repository');

$acr->push_manifest($repo, 't1', $json);
is($acr->resolve($repo, 't1'), $digest, 'a tag comes back');
is($acr->tag_on_disk($repo, 't1'), $digest, 'on the disk too');


# --- manifests

my $second = $acr->push_image($repo, 'second', 'other');

answers($acr->delete("/v2/$repo/manifests/$digest"), 202, 'a manifest');
is($acr->resolve($repo, $_), undef, "$_ is gone at once")
    for $digest, '1.0', 't1', 't30';
is_deeply([$acr->tags($repo)], ['second'], 'only other tags are listed');
is_deeply([grep { -e $acr->link_file($repo, 'tag', $_) } '1.0', @tags], [],
          'its tags are gone from the disk');
ok(!-e $acr->link_file($repo, 'revision', $digest), 'so is its revision');
answers($acr->delete("/v2/$repo/manifests/$digest"), 404,
        'it cannot go twice');
is($acr->resolve($repo, 'second'), $second, 'other manifests are there');
answers($acr->get("/v2/$repo/blobs/" . digest('layer of delete')), 200,
        'and its layers');

refused($acr->delete("/v2/$repo/manifests/$none"), 404, 'MANIFEST_UNKNOWN',
        'an unknown manifest', $none);
refused($acr->delete("/v2/unknown/manifests/$none"), 404,
        'MANIFEST_UNKNOWN|NAME_UNKNOWN', 'of an unknown repository');
refused($acr->delete("/v2/$repo/manifests/sha256:x"), 400,
        'DIGEST_INVALID', 'no digest', 'sha256:x');

$acr->push_manifest($repo, '1.0', $json);
is($acr->resolve($repo, '1.0'), $digest, 'pushed again, it is there');
is($acr->tag_on_disk($repo, '1.0'), $digest, 'on the disk too');
is($acr->resolve($repo, 't5'), undef, 'its old tags are not');


# --- independent repositories

$acr->push_image('lib/copy', '1.0', 'delete');
$acr->delete("/v2/$repo/manifests/$digest");
is($acr->resolve('lib/copy', '1.0'), $digest,
   'the same manifest of another repository stays');


# --- a tag that moved

my $first = $acr->push_image($repo, 'moving', 'first');
my $next = $acr->push_image($repo, 'moving', 'next');
$acr->delete("/v2/$repo/manifests/$first");
is($acr->resolve($repo, 'moving'), $next,
   'a tag that moved away from a deleted manifest stays');


# --- an index and its entries

my $entry = $acr->get("/v2/$repo/manifests/$second")->body();
my $index = index_of([$entry]);
$acr->push_manifest($repo, 'index', $index);
answers($acr->delete("/v2/$repo/manifests/" . digest($index)), 202,
        'an index');
is($acr->resolve($repo, $second), $second, 'its entries stay');


# --- more tags than one script removes

$acr->reload(fsync => 'off');
wait_for(sub { $acr->workers() == 1 });

my @many = map { sprintf('m%04d', $_) } 1 .. 1100;
my @rest = @many;
while (my @some = splice(@rest, 0, 100)) {
    my $answer = $acr->put_manifest($repo, $second . '?' . join('&', map {
        "tag=$_" } @some), $entry);
    die $answer->text() if $answer->status() != 201;
}
is(scalar($acr->tags($repo)), 1000, 'many tags');
answers($acr->delete("/v2/$repo/manifests/$second"), 202,
        'a manifest with 1100 tags');
is_deeply([grep { /^m\d/ } $acr->tags($repo)], [], 'all are gone');
is_deeply([grep { -e $acr->link_file($repo, 'tag', $_) } @many], [],
          'from the disk too');


# --- acr_delete off

my $off = start(location => 'acr_delete off;');
my $kept = $off->push_image($repo, '1.0', 'kept');

for my $path ("manifests/$kept", 'manifests/1.0', 'manifests/none',
              'blobs/' . digest('layer of kept'), "blobs/$none")
{
    my $answer = $off->delete("/v2/$repo/$path");
    refused($answer, 405, 'UNSUPPORTED', "DELETE $path");
    unlike($answer->header('Allow') || '', qr/DELETE/, 'Allow has no DELETE');
}

is($off->resolve($repo, '1.0'), $kept, 'nothing is gone');
answers($off->delete($off->upload($repo)), 204,
        'an upload can be cancelled all the same');

finish();
