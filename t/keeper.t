#!/usr/bin/perl

# Work that somebody has left unfinished: the keeper does it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $acr = start(workers => 2);
my $redis = $acr->{redis};

my $digest = $acr->push_image('lib/a', 'kept', 'keeper');
my $other = $acr->push_image('lib/a', 'other', 'other');
my $blob = $acr->push_blob('lib/a', 'a blob');
my $removed = $acr->push_image('lib/b', 'removed', 'removed');
my $image = image('{"seed":"removed"}', ['layer of removed']);
$acr->put_manifest('lib/b', $_, $image) for 'again', 'a.third';


# --- what a crash between Redis and the disk leaves

# a tag whose link was not made, or still is the old
unlink($acr->link_file('lib/a', 'tag', 'kept')) or die "unlink: $!\n";
spew($acr->link_file('lib/a', 'tag', 'other'), $digest);

# tags and content that were deleted, whose links are there
my $ghost = $acr->push_image('lib/a', 'ghost', 'ghost');
my $unlinked = $acr->push_blob('lib/a', 'an unlinked blob');
$redis->command('HDEL', key('tag:lib/a'), 'ghost');
$redis->command('ZREM', key('tags:lib/a'), 'ghost');
$redis->command('ZREM', key("tagsof:lib/a:$ghost"), 'ghost');
$redis->command('HDEL', key('blobs:lib/a'), $unlinked);

# content whose links were not made
unlink($acr->link_file('lib/a', 'layer', $blob)) or die "unlink: $!\n";
unlink($acr->link_file('lib/a', 'revision', $other)) or die "unlink: $!\n";

# a manifest that is hidden, with tags that are to go
$redis->command('HDEL', key('manifests:lib/b'), $removed);
$redis->command('HSET', key('hidden:lib/b'), $removed, 1);
$redis->command('ZADD', key('removing'), 1, "lib/b $removed");

# what is no name leads nowhere
my $outside = "$acr->{dir}/outside";
spew($outside, 'outside');
my @wrong = ('../../../../outside:latest', "lib/a:../../../$outside",
             'lib/a@sha256:../../..', 'lib/a', ':', '');

$redis->command('ZADD', key('pending'),
                map { (1, $_) } 'lib/a:kept', 'lib/a:other', 'lib/a:ghost',
                "lib/a\@$unlinked", "lib/a\@$blob", "lib/a\@$other",
                "lib/b\@$removed", @wrong);
$redis->command('ZADD', key('removing'), 1, $_)
    for 'lib/b', '../../x sha256:y';

ok(wait_for(sub {
       my @left = @{ $redis->command('ZRANGE', key('pending'), 0, -1) };
       my %wrong = map { $_ => 1 } @wrong;
       return !grep { !$wrong{$_} } @left;
   }, 20), 'what is pending is done');

is($acr->tag_on_disk('lib/a', 'kept'), $digest, 'a link is made');
is($acr->tag_on_disk('lib/a', 'other'), $other, 'another is made right');
is($acr->tag_on_disk('lib/a', 'ghost'), undef, 'that of no tag is removed');
ok(!-e $acr->link_file('lib/a', 'layer', $unlinked), 'and that of no blob');
is(slurp($acr->link_file('lib/a', 'layer', $blob)), $blob,
   'that of a blob is made');
is(slurp($acr->link_file('lib/a', 'revision', $other)), $other,
   'and that of a manifest');

ok(wait_for(sub {
       !defined $redis->command('ZSCORE', key('removing'), "lib/b $removed")
   }, 20), 'a removal goes on to its end');
is_deeply([$acr->get('/v2/lib/b/tags/list')->json()->{tags} || []], [[]],
          'without tags');
is($redis->command('EXISTS', key("uses:lib/b:$removed")), 0,
   'without what it referred to');
is($redis->command('EXISTS', key('refs:lib/b')), 0, 'or counts of that');
ok(!-e $acr->link_file('lib/b', 'revision', $removed),
   'and without its link');

# its tags have become pending now, which is not old
$redis->command('ZADD', key('pending'), 'XX',
                map { (1, "lib/b:$_") } qw(removed again a.third));
ok(wait_for(sub {
       !grep { defined $acr->tag_on_disk('lib/b', $_) }
             qw(removed again a.third)
   }, 20), 'and those of its tags');

is(slurp($outside), 'outside', 'what is no name was not followed');
is_deeply([wait_for(sub {
    !grep { !/ is pending$/ } differences($acr)
})], [1], 'Redis and the disk have the same');

finish();
