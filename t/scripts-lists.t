#!/usr/bin/perl

# The Lua scripts of src/meta: lists, removal in slices, events; a Redis that
# takes no writes.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my $A = dig('a');
my $B = dig('b');
my $M = dig('m');
my $N = dig('n');

# --- removal in slices

subtest 'delete in slices' => sub {
    fresh();
    blob('r', $A);
    my @all = many('r', $M, 2500, refs => ['b', $A], subject => $B,
                   descriptor => '{}');
    put('r', $N, tags => ['other']);
    is(r('ZCARD', key('tags', 'r')), 2501, 'tags');
    r('DEL', key('pending'));
    my $n = events();
    my @got;
    my ($more, @tags) = ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob',
                                  1000, ''), 'the first slice');
    is($more . ' ' . @tags, '1 1000', 'has 1000 tags');
    r('ZADD', key('removing'), 5, "r $M");
    push(@got, @tags);
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'the manifest is hidden');
    reply_is(get('r', 'v02500', 'tag'), ['miss', $S], 'and every tag of it');
    reply_is(s_('link_now', 'r', 'v02500'), ['ok', '0', $S, '', ''],
             'on disk too');
    reply_is(s_('pending_done', $S, 'r', 'v02500', $M), ['changed'],
             'no link to it is right');
    reply_is(s_('referrers', 'r', $B, '', '', 9), ['ok', '0', $S, ''],
             'it is no referrer');
    reply_is(put('r', $N, refs => ['m', $M]), ['missing', $M],
             'nothing can refer to it');
    is(refs('r', $A), '1', 'its references count until the end');
    put('r', $N, tags => ['v02400']);
    ok_seq(s_('tag_delete', $S, 'r', 'v02300', 'bob'), 'delete a hidden tag');

    ($more, @tags) = ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 99999),
                            'the second slice');
    is($more . ' ' . @tags, '1 1000', 'has no more than 1000 tags');
    reply_is(s_('removing_list', 60, 9), ['ok'], 'somebody is at it');
    push(@got, @tags);
    ($more, @tags) = ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 1000),
                            'the third slice');
    is($more . ' ' . @tags, '0 498', 'has the rest');
    push(@got, @tags);
    is_deeply([sort @got], [grep { !/^v02[34]00/ } @all],
              'each tag once, but not the moved and the deleted one');
    is((grep { /^r:/ } @{r('ZRANGE', key('pending'), 0, -1)}), 2500,
       'all are pending');
    is(events(), $n + 3, 'one delete is one event');
    reply_is(list_('tags_list', 'r', '', 9),
             ['ok', '1', '0', $S, 'other', 'v02400'], 'the others stay');
    is(get('r', 'v02400', 'tag')->[1], $N, 'the moved tag stays');
    ok(!defined refs('r', $A) && candidate('r', $A), 'the blob is free');
    reply_is(s_('manifest_delete', $S, 'r', $M, 'bob', 1000, ''), ['unknown'],
             'no fourth slice');
    s_('manifest_delete', $S, 'r', $N, 'bob', 9, '');
    s_('blob_delete', $S, 'r', $A, 'bob');
    is_deeply(left(), [], 'nothing is left');
};

subtest 'put while a removal is under way' => sub {
    fresh();
    blob('r', $A);
    many('r', $M, 2500, refs => ['b', $A]);
    s_('manifest_delete', $S, 'r', $M, 'bob', 100, '');
    reply_is(put('r', $M, tags => ['t'], refs => ['b', $A]),
             ['collecting', $M], 'the removal comes first');
    reply_is(put('r', $M, tags => ['t'], refs => ['b', $A]),
             ['collecting', $M], 'each try helps it');
    ok_seq(put('r', $M, tags => ['t'], refs => ['b', $A]), 'then it is put');
    reply_is(list_('tags_list', 'r', '', 9), ['ok', '1', '0', $S, 't'],
             'no old tag came back');
    is(refs('r', $A), '1', 'it counts once');
    reply_is(r('ZCARD', key('removing')), '0', 'the removal is over');
    put('r', $N, tags => ['x', 'y']);
    s_('manifest_delete', $S, 'r', $N, 'bob', 1, '');
    reply_is(s_('manifest_delete', $S, 'r', dig('x'), 'bob', 1), ['unknown'],
             'no removal to go on with');
    ok_seq(put('r', $N), 'a short rest needs no retry');
    reply_is(s_('manifest_delete', $S, 'r', $N, 'bob', 1), ['unknown'],
             'who went on with the removal leaves the new one alone');
    reply_is(get('r', 'y', 'tag'), ['miss', $S], 'its tags are gone');
    is(get('r', $N, 'digest')->[0], 'ok', 'it is there');
};

# --- lists

subtest lists => sub {
    fresh();
    reply_is(list_('tags_list', 'r', '', 9), ['ok', '0', '0', $S],
             'no repository');
    blob('r', $A);
    reply_is(list_('tags_list', 'r', '', 9), ['ok', '1', '0', $S],
             'one without tags');
    my @names = sort qw(a B b-1 b.1 b_1 b10 b9 latest Z 0);
    put('r', $M, tags => [reverse @names]);
    reply_is(list_('tags_list', 'r', '', 100), ['ok', '1', '0', $S, @names],
             'tags in the order of their bytes');
    reply_is(list_('tags_list', 'r', '', scalar @names),
             ['ok', '1', '0', $S, @names], 'exactly n is no more');
    reply_is(list_('tags_list', 'r', '', 0), ['ok', '1', '0', $S], 'n = 0');
    for my $n (1, 3, 9) {
        my ($last, $more, @got) = ('', 1);
        while ($more) {
            my ($ok, $there, $m, $st, @page) =
                @{list_('tags_list', 'r', $last, $n)};
            push(@got, @page);
            ($more, $last) = ($m, $page[-1]);
            last if @got > @names;
        }
        is_deeply(\@got, \@names, "paged by $n");
    }
    reply_is(list_('tags_list', 'r', 'b', 2), ['ok', '1', '1', $S,
             @names[4, 5]], 'after a name that is not there');
    reply_is(list_('tags_list', 'r', 'zzz', 2), ['ok', '1', '0', $S],
             'after the end');

    my @repos = sort('r', map { ("lib/$_", "lib-$_") } 1 .. 12);
    blob($_, $A) for @repos;
    reply_is(list_('catalog', '', 100), ['ok', '0', $S, @repos], 'catalog');
    reply_is(list_('catalog', '', 0), ['ok', '0', $S], 'n = 0');
    my ($last, $more, @got) = ('', 1);
    while ($more) {
        my ($ok, $m, $st, @page) = @{list_('catalog', $last, 7)};
        push(@got, @page);
        ($more, $last) = ($m, $page[-1]);
        last if @got > @repos;
    }
    is_deeply(\@got, \@repos, 'paged by 7');

    s_('blob_delete', $S, 'r', $A, 'bob');
    is(list_('tags_list', 'r', '', 1)->[1], '1', 'manifests keep a repository');
    s_('manifest_delete', $S, 'r', $M, 'bob', 100, '');
    is(list_('tags_list', 'r', '', 1)->[1], '0', 'nothing does not');
    many('big', $M, 1001);
    is(@{list_('tags_list', 'big', '', 5000)}, 4 + 1000, '1000 at the most');
};

subtest referrers => sub {
    fresh();
    my $sub = dig('no such subject');
    reply_is(s_('referrers', 'r', $sub, '', '', 9), ['ok', '0', $S, ''],
             'none');
    my %d;
    for my $i (1 .. 10) {
        $d{dig("r$i")} = $i;
        put('r', dig("r$i"), subject => $sub, descriptor => "{\"n\":$i}",
            atype => $i % 2 ? 'odd' : 'even');
    }
    my @all = sort keys %d;
    my @odd = grep { $d{$_} % 2 } @all;
    my $json = sub { return map { "{\"n\":$d{$_}}" } @_ };
    reply_is(s_('referrers', 'r', $sub, '', '', 100),
             ['ok', '0', $S, $all[-1], $json->(@all)],
             'of a subject that is not there');
    reply_is(s_('referrers', 'q', $sub, '', '', 100), ['ok', '0', $S, ''],
             'another repository');
    reply_is(s_('referrers', 'r', $sub, '', '', 4),
             ['ok', '1', $S, $all[3], $json->(@all[0 .. 3])], 'a page');
    reply_is(s_('referrers', 'r', $sub, '', $all[3], 6),
             ['ok', '0', $S, $all[9], $json->(@all[4 .. 9])], 'the last one');
    reply_is(s_('referrers', 'r', $sub, '', '', 0), ['ok', '0', $S, ''],
             'n = 0');
    my ($last, $more, @got) = ('', 1);
    while ($more) {
        my ($ok, $m, $st, $l, @page) =
            @{s_('referrers', 'r', $sub, 'odd', $last, 2)};
        push(@got, @page);
        ($more, $last) = ($m, $l);
        last if @got > @odd;
    }
    is_deeply(\@got, [$json->(@odd)], 'filtered, paged by 2');
    reply_is(s_('referrers', 'r', $sub, 'none', '', 9),
             ['ok', '0', $S, $all[-1]], 'of a type that nobody has');

    put('r', $all[0], subject => $sub, descriptor => '{"new":1}',
        atype => 'odd');
    reply_is(s_('referrers', 'r', $sub, '', '', 1),
             ['ok', '1', $S, $all[0], '{"new":1}'], 'a repeated put');
    s_('manifest_delete', $S, 'r', $_, 'bob', 9, '') for @all;
    reply_is(s_('referrers', 'r', $sub, '', '', 9), ['ok', '0', $S, ''],
             'deleted');
    is_deeply(left(), [], 'nothing is left');

    my @many = sort map { dig("x$_") } 1 .. 2500;
    put('r', $_, subject => $sub, descriptor => '{}',
        atype => $_ eq $many[-1] ? 'rare' : 'common') for @many;
    my $calls = 0;
    ($last, $more, @got) = ('', 1);
    while ($more && $calls < 10) {
        my ($ok, $m, $st, $l, @page) =
            @{s_('referrers', 'r', $sub, 'rare', $last, 5)};
        push(@got, @page);
        ($more, $last) = ($m, $l);
        is($last, $many[999], '1000 looked at') if $calls == 0;
        $calls++;
    }
    is("$calls @got", '3 {}', 'a rare type takes three calls');
};

subtest 'referrers by bytes' => sub {
    fresh();
    my $sub = dig('s');
    my @all = sort map { dig("big$_") } 1 .. 7;
    my $i = 0;
    my %size = map { $_ => (400000, 400000, 248576, 1, 2000000, 5, 6)[$i++] }
               @all;
    put('r', $_, subject => $sub, descriptor => 'x' x $size{$_}, atype => 'a')
        for @all;
    for my $atype ('', 'a') {
        my ($last, $more, @calls) = ('', 1);
        while ($more && @calls < 9) {
            my ($ok, $m, $st, $l, @page) =
                @{s_('referrers', 'r', $sub, $atype, $last, 1000)};
            push(@calls, join(' ', map { length } @page));
            ($more, $last) = ($m, $l);
        }
        is_deeply(\@calls, ['400000 400000 248576', '1', '2000000', '5 6'],
                  "1 MiB a call, or one: type '$atype'");
    }
};

# --- feed and stream

subtest feed => sub {
    fresh();
    my $feed = bless({ socket => redis()->{socket}, pid => 0 }, 'ACR::Redis');
    $feed->command('SUBSCRIBE', key('feed'));
    my $next = sub { return $feed->reply()->[2] };
    my $seq = blob('a/b', $A)->[1];
    is($next->(), "$seq blob_commit a/b $A", 'blob_commit');
    $seq = put('a/b', $M, tags => ['t', 'u'])->[1];
    is($next->(), "$seq manifest_put a/b $M", 'manifest_put');
    is($next->(), "$seq manifest_put a/b t", 'and its tag');
    is($next->(), "$seq manifest_put a/b u", 'and the other');
    $seq = s_('tag_delete', $S, 'a/b', 't', 'bob')->[1];
    is($next->(), "$seq tag_delete a/b t", 'tag_delete');
    $seq = s_('manifest_delete', $S, 'a/b', $M, 'bob', 9, '')->[1];
    is($next->(), "$seq manifest_delete a/b $M", 'manifest_delete');
    $seq = s_('blob_delete', $S, 'a/b', $A, 'bob')->[1];
    is($next->(), "$seq blob_delete a/b $A", 'blob_delete');
    is(events(), 5, 'one event for each');
};

subtest 'a Redis that takes no writes' => sub {
    # a script of Redis 6.2 writes whatever min-replicas-to-write says
    my ($version) = r('INFO', 'server') =~ /^redis_version:(\d+)/m;

    for my $setting ('maxmemory', 'min-replicas-to-write') {
        next if $version < 7 && $setting ne 'maxmemory';
        fresh();
        blob('r', $A);
        r('ZADD', key('candidates'), 5, "r $A");
        r('CONFIG', 'SET', $setting, 1);
        reply_is(s_('blob_stat', 'r', $A, 1), ['ok', '10', $S],
                 "$setting: a touch does not spoil the answer");
        reply_is(s_('blob_find', 'q', $A, ''), ['ok', '10', 'r', $S],
                 'nor does a mount');
        is(ref put('r', $M), 'HASH', 'a mutation fails');
        r('CONFIG', 'SET', $setting, 0);
        is(candidate('r', $A), '5', 'nothing was written');
        is(get('r', $M, 'digest')->[0], 'miss', 'not a part of it');
    }
};

done_testing();
