#!/usr/bin/perl

# Locks and attributes while others push, delete and change the same: what was
# acknowledged holds, at all workers of two nodes, in Redis and on the disk.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use ACR::Index;

my $acr = start(workers => 2, fsync => 'off');
my $two = node($acr, workers => 2, fsync => 'off');
my @nodes = ($acr, $two);
my $config = '{}';

$_->allow(qr/\[alert\].*has lost changes/) for @nodes;


# --- a lock while a tag is being pushed

for my $round (1 .. 8) {
    my $repository = "push/$round";
    my @images = map { image($config, [], annotations => { n => "$_" }) }
                 0 .. 19;
    $acr->push_blob($repository, $config);
    $acr->push_manifest($repository, 't', $_) for @images;

    # a lock of the tag, or of all of the repository
    my $what = $round % 2 ? "$repository/_tags/t" : $repository;

    my @answers = parallel(
        sub {
            my $node = $nodes[$round / 2 % 2];
            wait_for(sub { $node->resolve($repository, 'go') }) or return;
            my $answer = set($node, $what, writeEnabled => 0);
            return [$answer->status(), $node->resolve($repository, 't')];
        },
        map { my $n = $_; sub {
            my ($node, $pushes) = ($nodes[$n % 2], 0);
            while ($pushes < 2000) {
                my $got = $node->put_manifest($repository, 't',
                                              $images[($pushes + 5 * $n) % 20]);
                return [$got->status(), $pushes] if $got->status() != 201;
                $node->put_manifest($repository, 'go', $images[0])
                    if ++$pushes == 5;
            }
            return ['no end'];
        } } 0 .. 3);

    my ($lock, @pushes) = @answers;
    is($lock->[0], 200, "$what is locked while it is pushed to");
    is_deeply([map { $_->[0] } @pushes], [(405) x 4], 'which ends that')
        or diag(explain(\@answers));
    cmp_ok($pushes[0][1] + $pushes[1][1] + $pushes[2][1] + $pushes[3][1], '>',
           4, 'it was under way');
    is($_->resolve($repository, 't'), $lock->[1],
       'nothing was pushed after that') for @nodes;
    ok(wait_for(sub { $acr->tag_on_disk($repository, 't') eq $lock->[1] }),
       'to the disk neither');
}


# --- all attributes of an object at once, from everywhere

my @attributes = map { "${_}Enabled" } qw(delete write read list);
my $digest = $acr->push_image('all/a', 't', 'all');
my @objects = ('all/a', 'all/a/_tags/t', "all/a/_manifests/$digest");

for my $round (1 .. 6) {
    my $value = $round % 2 ? 0 : 1;

    my @answers = parallel(map {
        my $n = $_;
        sub {
            return join(' ', map {
                set($nodes[($n + $round) % 2], $_, $attributes[$n] => $value)
                    ->status()
            } @objects);
        }
    } 0 .. 3);
    is_deeply(\@answers, [('200 200 200') x 4], 'all are set at once');

    my %all = map { $_ => $value } @attributes;
    for my $what (@objects) {
        is_deeply(locks($_, $what), \%all, "each change of $what is there")
            for @nodes;
    }
    next if $round < 5;

    ok(wait_for(sub { !$acr->{redis}->command('ZCARD', key('pending')) }),
       'all is settled');
    $acr->{redis}->command('FLUSHALL');
    is_deeply(locks($acr, $_), \%all, "and on the disk: $_") for @objects;
    ok(complete($acr), 'the index is complete');
}


# --- a lock or a deletion, but not both, and never half of one

my @tags = map { "t$_" } 1 .. 12;
my %outcome;
for my $round (1 .. 24) {
    my $repository = "end/$round";
    my $image = image($config, [], annotations => { is => 'to end' });
    my $digest = digest($image);
    $acr->push_blob($repository, $config);
    $acr->put_manifest($repository, "$digest?"
                       . join('&', map { "tag=$_" } @tags), $image);

    my ($lock, $delete, @ended) = @{ (
        ['/_tags/t1', "/acr/v1/$repository/_tags/t1", 't1'],
        ['/_tags/t7', "/v2/$repository/manifests/$digest", @tags],
        ["/_manifests/$digest", "/v2/$repository/manifests/$digest", @tags],
        ['', "/acr/v1/$repository", @tags],
        ["/_manifests/$digest", "/acr/v1/$repository", @tags],
        ['/_tags/t7', "/acr/v1/$repository", @tags],
        ['', "/v2/$repository/manifests/t1", 't1'])[$round % 7] };

    # either may begin
    my @do = (sub { set($nodes[0], "$repository$lock", writeEnabled => 0)
                        ->status() },
              sub { $nodes[$round % 2]->delete($delete)->status() });
    my @got = parallel($round % 4 > 1 ? reverse(@do) : @do);
    my ($locked, $deleted) = $round % 4 > 1 ? reverse(@got) : @got;

    # the lock of a repository outlives one of its tags
    my $both = $round % 7 == 6;
    ok($locked eq '200' && $deleted eq '405'
       || $locked eq ($both ? '200' : '404') && $deleted eq '202',
       "a lock of $repository$lock and DELETE $delete: $locked, $deleted");
    $outcome{$deleted}++;

    # many are deleted one after the other: a lock of the repository ends that
    next if $round % 7 == 3 && $deleted eq '405';

    my @there = grep { $acr->resolve($repository, $_) } @ended;
    is(scalar(@there), $deleted eq '202' ? 0 : @ended,
       'all of it is gone, or nothing');
}
diag(join(', ', map { "$outcome{$_} times $_" } sort keys %outcome));


# --- one tag is changed, deleted and pushed, from everywhere

my $image = image($config, []);
$acr->push_blob('one/a', $config);
for my $round (1 .. 6) {
    my @answers = parallel(map { my $n = $_; sub {
        my ($node, @odd) = ($nodes[$n % 2]);
        for my $i (0 .. 9) {
            my $got = $n < 2
                ? set($node, 'one/a/_tags/t',
                      $attributes[($i + $n) % 2 + 2] => $i % 3 ? 0 : 1)
                : $n == 2 ? api($node, 'DELETE', 'one/a/_tags/t')
                          : $node->put_manifest('one/a', 't', $image);
            push(@odd, $got->text()) if $got->status() !~ /^(?:20[012]|404)$/;
        }
        return join("\n", @odd);
    } } 0 .. 3);
    is_deeply(\@answers, [('') x 4], 'nothing goes wrong');
}
$acr->push_manifest('one/a', 't', $image);


# --- in the end Redis and the disk say the same

ok(wait_for(sub { !differences($acr) }), 'Redis and the disk are equal')
    or diag(join("\n", differences($acr)));
my $before = attributes();
ok(scalar(keys %$before), 'there are attributes');
$acr->{redis}->command('FLUSHALL');
$acr->tags('one/a');
ok(complete($acr), 'the index is made again');
is_deeply(attributes(), $before, 'with all attributes');

same_headers();
finish();


# all attributes that Redis has
sub attributes {
    my $index = index_of_redis($acr);

    return { map { $_ => $index->{$_} } grep { /^attributes:/ }
             keys %$index };
}
