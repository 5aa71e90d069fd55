#!/usr/bin/perl

# The Lua scripts of src/meta: attributes, what they forbid, and the lists of
# ACR's API.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my ($A, $B, $M, $N, $I, $J) = map { dig($_) } qw(a b m n i j);

sub set {
    my ($repo, $name, $off, $on, $state, $details) = @_;
    return s_('attributes_set', $S, $repo, $name, $off // '', $on // '',
              $state // '', $details // '', 'bob');
}

sub attributes { return r('HGET', key('attributes', 'r'), $_[0]) }

# a repository with two images, of which an index names one
sub fill {
    fresh();
    blob('r', $A);
    blob('r', $B);
    put('r', $M, tags => ['t', 'u'], refs => ['b', $A]);
    put('r', $N, tags => ['v'], refs => ['b', $B]);
    put('r', $I, tags => ['i'], refs => ['m', $M]);
}


subtest 'what is set' => sub {
    fill();
    ok_seq(set('r', 't', 'w'), 'a tag');
    is_deeply(last_event(), {seq => $last, action => 'attributes_set',
              repository => 'r', digest => $M, tag => 't', actor => 'bob'},
              'the event');
    is(attributes('t'), 'w - ', 'as it is kept');
    set('r', 't', 'ldr');
    is(attributes('t'), 'dwlr - ', 'more, in their order');
    set('r', 't', '', 'w');
    is(attributes('t'), 'dlr - ', 'one less');
    set('r', 't', 'w', 'd', 'Failed', '={"x":1}');
    is(attributes('t'), 'wlr Failed {"x":1}', 'all at once');
    set('r', 't', '', 'dwlr');
    is(attributes('t'), '- Failed {"x":1}', 'only the quarantine');
    set('r', 't', '', '', 'Passed', '=');
    is(attributes('t'), '- Passed ', 'which changes');
    ok_seq(set('r', $M, 'd'), 'a manifest');
    is(last_event()->{digest}, $M, 'its event');
    ok_seq(set('r', '', 'r'), 'the repository');

    reply_is(s_('link_now', 'r', 't'), ['ok', '1', $S, $M, '- Passed '],
             'the disk has to know');
    reply_is(s_('pending_done', $S, 'r', 't', $M, ''), ['changed'],
             'all of it');
    reply_is(s_('pending_done', $S, 'r', 't', $M, '- Passed '), ['ok'],
             'then it is done');
    reply_is(s_('link_now', 'r', ''), ['ok', '1', $S, '', 'r - '],
             'a repository has no link');
    reply_is(s_('pending_done', $S, 'r', '', '', 'r - '), ['ok'],
             'but attributes');

    reply_is(set(@$_, 'w'), ['unknown'], "unknown: @$_")
        for ['r', 'none'], ['r', $A], ['q', 't'], ['q', ''], ['q', $M];
};


subtest 'what a change says of the disk' => sub {
    fill();
    my @changes = (sub { put('r', $M, tags => ['t'], refs => ['b', $A]) },
                   sub { blob('r', $A) });
    is($changes[$_]->()->[2], qw(m b)[$_], 'all') for 0, 1;
    set('r', 'v', '', '', 'Passed');
    is($_->()->[2], '', 'nothing if anything has attributes') for @changes;
    set('r', 'v', '', '', '-');
    is($changes[0]->()->[2], 'm', 'all again');
    set('r', '', 'l');
    set('r', '', '', 'l');
    is($_->()->[2], '', 'nothing while the repository is pending')
        for @changes;
};


subtest 'a put' => sub {
    fill();
    set('r', 't', 'w');
    reply_is(put('r', $N, tags => ['t']), ['locked'], 'a tag that is locked');
    reply_is(put('r', $N, tags => ['x', 't']), ['locked'], 'among others');
    is(get('r', 'x', 'tag')->[0], 'miss', 'which are not put either');
    reply_is(s_('manifest_check', 'r', 't', '', 0), ['locked', $S],
             'it can be asked before');
    reply_is(s_('manifest_check', 'r', 'x', '', 0), ['ok', $S], 'another');
    ok_seq(put('r', $M, tags => ['x']), 'the manifest has another tag');
    set('r', 't', 'd', 'w');
    ok_seq(put('r', $N, tags => ['t']), 'it may be moved, if not deleted');
    is_deeply(r('SMEMBERS', key('lockedtags', 'r', $N)), ['t'],
              'and holds what it names now');
    is(r('EXISTS', key('lockedtags', 'r', $M)), 0, 'not what it named');

    set('r', '', 'w');
    reply_is(put('r', $N, tags => ['y']), ['locked'], 'a repository');
    reply_is(s_('manifest_check', 'r', '', '', 0), ['locked', $S],
             'can be asked, too');
    reply_is(blob('r', dig('c')), ['locked'], 'takes no blob');
    reply_is(s_('upload_create', $S, 'up', 'r', 'sha256', 60), ['locked'],
             'begins no upload');
    set('r', '', '', 'w');
    s_('upload_create', $S, 'up', 'r', 'sha256', 60);
    set('r', '', 'w');
    reply_is(s_('upload_take', $S, 'up', 'r', '', 60), ['locked'],
             'and goes on with none');
    is(s_('upload_cancel', $S, 'up', 'r')->[0], 'ok', 'but may give it up');
};


subtest 'a deletion' => sub {
    my $tag = sub { return s_('tag_delete', $S, 'r', $_[0], 'bob', '') };
    my $manifest = sub {
        return s_('manifest_delete', $S, 'r', $_[0], 'bob', 100, '');
    };

    for my $off ('w', 'd') {
        fill();
        set('r', 't', $off);
        reply_is($tag->('t'), ['locked'], "$off: a tag");
        reply_is($manifest->($M), ['locked'], "$off: what it names");
        ok_seq($tag->('u'), "$off: another tag of it");
        ok_seq($manifest->($I), "$off: the index above");

        fill();
        set('r', $M, $off);
        reply_is($manifest->($M), ['locked'], "$off: a manifest");
        ok_seq($tag->('t'), "$off: its tag");
        reply_is(s_('blob_delete', $S, 'r', $A, 'bob'), ['locked'],
                 "$off: its blob");
        reply_is(s_('blob_delete', $S, 'r', $B, 'bob'), ['locked'],
                 "$off: nor the blob of another");

        fill();
        set('r', $I, $off);
        reply_is($manifest->($M), ['locked'], "$off: the child of an index");
        ok_seq($manifest->($N), "$off: but not others");
    }

    fill();
    put('r', $J, refs => ['n', $I], tags => ['j']);
    set('r', 'j', 'd');
    reply_is($manifest->($M), ['locked'],
             'the child of a child of what a locked tag names');
    set('r', 'j', '', 'd');
    ok_seq($manifest->($M), 'not any more');

    fill();
    set('r', '', 'w');
    reply_is($manifest->($M), ['locked'], 'w of a repository: manifests');
    reply_is($tag->('t'), ['locked'], 'tags');
    reply_is(s_('blob_delete', $S, 'r', $B, 'bob'), ['locked'], 'blobs');
    set('r', '', 'd', 'w');
    ok_seq($tag->('t'), 'd is about itself only');

    fill();
    blob('r', dig('free'));
    set('r', 'v', 'w');
    ok_seq(s_('blob_delete', $S, 'r', dig('free'), 'bob'),
           'what no manifest needs');
};


subtest 'it ends with what it is of' => sub {
    fill();
    set('r', $_, 'l') for 't', 'u', $M, $N;
    s_('tag_delete', $S, 'r', 't', 'bob', '');
    ok(!defined attributes('t'), 'a tag');
    s_('manifest_delete', $S, 'r', $M, 'bob', 100, '');
    ok(!defined attributes($M), 'a manifest');
    ok(!defined attributes('u'), 'its tags');
    is(attributes($N), 'l - ', 'not others');
    put('r', $M, tags => ['t']);
    ok(!defined attributes('t'), 'what is put again has none');

    set('r', '', 'l');
    s_('manifest_delete', $S, 'r', $_, 'bob', 100, '') for $M, $N, $I;
    s_('blob_delete', $S, 'r', $_, 'bob') for $A, $B;
    is(r('EXISTS', key('attributes', 'r'), key('unlisted'),
         key('repository', 'r')), 0, 'a repository without content');
    ok(defined r('ZSCORE', key('pending'), 'r:'), 'which the disk learns');
    is_deeply([grep { /:r(?:$|:)/ } @{left()}], [], 'nothing is left');
};


subtest 'lookups and lists' => sub {
    fill();
    my $known = sub { return get('r', @_)->[0] };
    set('r', 't', 'r');
    is($known->('t', 'tag'), 'locked', 'a tag');
    is($known->('u', 'tag'), 'ok', 'another of the same');
    is($known->($M, 'digest'), 'ok', 'what it names');
    set('r', $M, 'r');
    is($known->($M, 'digest'), 'locked', 'a manifest');
    is($known->('u', 'tag'), 'locked', 'by a tag as well');
    is($known->('v', 'tag'), 'ok', 'not another');
    set('r', '', 'r');
    is($known->('v', 'tag'), 'locked', 'a repository: manifests');
    reply_is(s_('blob_stat', 'r', $A, 0), ['locked', $S], 'blobs');
    reply_is(s_('manifest_get', 'r', 'none', 'tag'), ['locked', $S, 'miss'],
             'a tag that is not there');
    reply_is(s_('blob_stat', 'r', dig('none'), 0), ['locked', $S, 'miss'],
             'a blob that is not there');
    reply_is(s_('blob_find', 'q', $A, 'r'), ['miss', $S], 'mounts');
    reply_is(s_('blob_find', 'q', $A, ''), ['miss', $S], 'of any name');
    reply_is(s_('referrers', 'r', $M, '', '', 9), ['locked', $S],
             'referrers');

    fill();
    set('r', 'u', 'l');
    reply_is(s_('tags_list', 'r', '', 9),
             ['ok', '1', '0', $S, 'v', qw(i t v)], 'tags');
    reply_is(s_('tags_list', 'r', '', 2), ['ok', '1', '1', $S, 't', qw(i t)],
             'a page');
    reply_is(s_('tags_list', 'r', 't', 2), ['ok', '1', '0', $S, 'v', 'v'],
             'the next one');
    set('r', 'v', 'l');
    reply_is(s_('tags_list', 'r', 't', 2), ['ok', '1', '0', $S, 'v'],
             'nothing to show');
    is($known->('u', 'tag'), 'ok', 'it is there all the same');

    blob('s', $A);
    blob('t', $A);
    set('s', '', 'l');
    reply_is(s_('catalog', '', 9), ['ok', '0', $S, 't', qw(r t)], 'catalog');
    reply_is(s_('catalog', '', 1), ['ok', '1', $S, 'r', 'r'], 'a page');
    reply_is(s_('catalog', 'r', 1), ['ok', '0', $S, 't', 't'], 'the next');

    put('r', $J, subject => $M, descriptor => '{}');
    is(@{s_('referrers', 'r', $M, '', '', 9)}, 5, 'a referrer');
    set('r', $J, 'l');
    is(@{s_('referrers', 'r', $M, '', '', 9)}, 4, 'that is not listed');
};


subtest 'pages by time' => sub {
    fresh();
    my @tags = qw(c a d b);
    put('r', $M, tags => [$_]) for @tags;
    put('r', $N, tags => ['a']);
    my $want = [qw(c d b a)];

    for my $n (1 .. 5) {
        for my $order ('timeasc', 'timedesc', '') {
            my ($more, $at, $time, @got) = (1, '', '');
            while ($more) {
                my @reply = @{s_('acr_tags', 'r', $at, $n, $order, $time,
                                 '')};
                (my $ok, my $exists, $more, $at, $time, my $state) =
                    splice(@reply, 0, 6);
                push(@got, (splice(@reply, 0, 5))[0]) while @reply;
            }
            is_deeply(\@got, $order eq 'timeasc' ? $want
                             : $order eq 'timedesc' ? [reverse @$want]
                             : [qw(a b c d)], "$n a page, order '$order'");
        }
    }

    my @page = @{s_('acr_tags', 'r', '', 2, 'timeasc', '', '')};
    my ($at, $time) = @page[3, 4];
    is($at, 'd', 'the last of a page');
    s_('tag_delete', $S, 'r', 'd', 'bob', '');
    is(s_('acr_tags', 'r', $at, 1, 'timeasc', $time, '')->[6], 'b',
       'it goes on although that is gone');
    put('r', $M, tags => ['d']);
    is(s_('acr_tags', 'r', $at, 1, 'timeasc', $time, '')->[6], 'b',
       'or has another time');
    is(@{s_('acr_tags', 'r', 'none', 1, 'timeasc', '', '')}, 6,
       'a name that is unknown, without its time, is the end');

    is_deeply([@{s_('acr_tags', 'r', '', 9, '', '', $N)}[6, 7]], ['a', $N],
              'tags of one manifest');
    my $tag = s_('acr_tag', 'r', 'a');
    cmp_ok($tag->[2], '>', $tag->[3], 'a tag that was moved has two times');
    is(s_('acr_tag', 'r', 'none')->[2], '1', 'unknown, in a repository');
    is(s_('acr_tag', 'q', 'none')->[2], '0', 'in none');

    my $first = s_('acr_manifest', 'r', $M)->[2];
    put('r', $M, tags => ['z']);
    is(s_('acr_manifest', 'r', $M)->[2], $first, 'a manifest has one');
    my @m = @{s_('acr_manifests', 'r', '', 9, 'timedesc', '')};
    is_deeply([@m[6, 10, 11]], [$N, '1', 'a'], 'manifests, the newest first');
    my $repository = s_('acr_repository', 'r');
    is_deeply([@{$repository}[1, 2]], ['2', '5'], 'a repository');
    cmp_ok($repository->[4], '>', $repository->[3], 'and its times');
};


subtest 'a repository goes' => sub {
    fill();
    set('r', 'v', 'd');
    reply_is(s_('repository_next', $S, 'r', ''), ['locked'], 'a tag is');
    set('r', 'v', 'l', 'd');
    set('r', '', 'd');
    reply_is(s_('repository_next', $S, 'r', ''), ['locked'], 'it is itself');
    set('r', '', '', 'd');
    reply_is(s_('repository_next', $S, 'q', ''), ['unknown'], 'another');

    my ($ok, $before, $kind, @list) =
        @{s_('repository_next', $S, 'r', '')};
    is($kind, 'm', 'manifests first');
    set('r', '', 'd');
    reply_is(s_('repository_next', $S, 'r', $before), ['locked'],
             'a lock that comes later ends it');
    set('r', '', '', 'd');
    is_deeply([sort @list], [sort $M, $N, $I], 'all of them');
    put('r', $J, tags => ['new'], refs => ['b', $B]);
    s_('manifest_delete', $S, 'r', $_, 'bob', 100, '') for @list;
    reply_is(s_('repository_next', $S, 'r', $before),
             ['ok', $before, 'b', $A], 'then blobs that nobody needs');
    s_('blob_delete', $S, 'r', $A, 'bob');
    reply_is(s_('repository_next', $S, 'r', $before), ['ok', $before, ''],
             'what was put meanwhile stays');
};


subtest 'a tag whose manifest is being removed' => sub {
    fresh();
    many('r', $M, 150);
    set('r', 'v00149', 'lr');
    is(s_('manifest_delete', $S, 'r', $M, 'bob', 100, '')->[2], '1',
       'a slice of it is');
    is(s_('acr_tag', 'r', 'v00149')->[0], 'miss', 'it is gone');
    ok_seq(put('r', $N, tags => ['v00149']), 'and put again');
    is(s_('acr_tag', 'r', 'v00149')->[4], '', 'without attributes');
    is(get('r', 'v00149', 'tag')->[0], 'ok', 'it can be read');
};


subtest bounds => sub {
    fresh();
    my @ladder = map { dig("ladder $_") } 0 .. 59;
    for my $i (0 .. $#ladder) {
        put('r', $ladder[$i],
            refs => [map { (m => $ladder[$_]) } 0 .. $i - 1]);
    }
    put('r', $M, tags => ['t']);
    ok_seq(s_('manifest_delete', $S, 'r', $ladder[0], 'bob', 9, ''),
           'many indexes above it, none locked');
    set('r', 't', 'd');
    reply_is(s_('manifest_delete', $S, 'r', $ladder[1], 'bob', 9, ''),
             ['locked'], 'not looked at to the end where anything is');
    ok_seq(s_('manifest_delete', $S, 'r', $ladder[59], 'bob', 9, ''),
           'but few are');

    fresh();
    many('r', $M, 1001);
    set('r', 'v01000', 'l');
    is(s_('tags_list', 'r', '', 1000)->[4], 'v00999',
       'where to go on is no name that is not listed');
    set('r', 'v00999', 'l');
    set('r', 'v01001', 'l');
    is_deeply([@{s_('tags_list', 'r', 'v00998', 5)}[2, 4]], ['0', 'v01001'],
              'unless there is no other');
    ok(!grep({ /^v0(?:0999|1000)$/ }
             @{s_('acr_manifests', 'r', '', 9, '', '')}),
       'nor do manifests tell it');
};


subtest 'tags of a manifest by time' => sub {
    fresh();
    put('r', $M, tags => [$_]) for qw(c a d b);
    put('r', $N, tags => ['x']);
    for my $n (1 .. 5) {
        for my $order ('timeasc', 'timedesc') {
            my ($more, $at, $time, @got) = (1, '', '');
            while ($more) {
                my @reply = @{s_('acr_tags', 'r', $at, $n, $order, $time,
                                 $M)};
                (my $ok, my $exists, $more, $at, $time, my $state) =
                    splice(@reply, 0, 6);
                push(@got, (splice(@reply, 0, 5))[0]) while @reply;
            }
            is_deeply(\@got, $order eq 'timeasc' ? [qw(c a d b)]
                                                 : [qw(b d a c)],
                      "$n a page, $order");
        }
    }
};


subtest 'the collector' => sub {
    fill();
    blob('r', dig('free'));
    set('r', '', 'w');
    r('DEL', key('pending'));
    shift_time(100, 'candidates');
    reply_is(s_('gc_link', $S, 'r', dig('free'), 50), ['unknown'],
             'a blob of a repository that is locked stays');
    set('r', '', '', 'w');
    s_('tag_delete', $S, 'r', $_, 'bob', '') for qw(v i);
    s_('manifest_delete', $S, 'r', $I, 'bob', 100, '');
    r('DEL', key('pending'));
    shift_time(100, 'untagged');
    set('r', $N, 'd');
    r('DEL', key('pending'));
    reply_is(s_('gc_manifest', $S, 'r', $N, 50), ['unknown'],
             'a manifest that is locked stays');
    shift_time(100, 'untagged');
    set('r', $N, '', 'd');
    set('r', '', 'w');
    r('DEL', key('pending'));
    reply_is(s_('gc_manifest', $S, 'r', $N, 50), ['unknown'],
             'so it does where the repository is');
    shift_time(100, 'untagged');
    set('r', '', '', 'w');
    r('DEL', key('pending'));
    ok_seq(s_('gc_manifest', $S, 'r', $N, 50), 'else it goes');
};


subtest 'a rebuild' => sub {
    fill();
    set('r', 't', 'd');
    set('r', $N, 'lr', '', 'Failed');
    set('r', '', 'l');
    my $want = dump_keys();

    behind();
    my @who = ($S, 'r', 'x');
    my $model = {
        blobs => {$A => 10, $B => 10},
        manifests => {$M => {refs => ['o', $A]}, $N => {refs => ['o', $B]},
                      $I => {refs => ['n', $M]}},
        tags => {t => $M, u => $M, v => $N, i => $I},
    };
    is(rebuild_one('r', {}, 'x')->[0], 'ok', 'all is gone');
    is_deeply([grep { /:r(?:$|:)/ && !/repository/ } @{left()}], [],
              'with its attributes');
    $S = s_('rebuild_want', $S)->[1];
    behind();
    fresh();
    behind();
    @who = ($S, 'r', 'x');
    s_('rebuild_begin', @who);
    is(s_('rebuild_attributes', @who, 't', 'd - ')->[0], 'ok',
       'of what is not there');
    ok(!defined attributes('t'), 'nothing');
    for my $digest (sort keys %{$model->{manifests}}) {
        my @refs = @{$model->{manifests}{$digest}{refs}};
        s_('rebuild_manifest', @who, $digest, 100, 'application/m', '', '',
           '', 5, @refs / 2, @refs);
    }
    s_('rebuild_blobs', @who, %{$model->{blobs}});
    s_('rebuild_tags', @who, map { ($_, $model->{tags}{$_}, 7, 6) }
                             keys %{$model->{tags}});
    s_('rebuild_attributes', @who, @$_)
        for ['t', 'd - '], [$N, 'lr Failed '], ['', 'l - '];
    is(s_('rebuild_finish', @who, 3)->[0], 'ok', 'rebuilt');
    my $got = dump_keys();
    delete $got->{key('current')};
    is_deeply($got, $want, 'to the same');
    is_deeply([@{s_('acr_repository', 'r')}[3, 4]], [3, 7], 'its times');
    is_deeply([@{s_('acr_tag', 'r', 't')}[2, 3]], [7, 6], 'those of a tag');
};

done_testing();
