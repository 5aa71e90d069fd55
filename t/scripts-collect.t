#!/usr/bin/perl

# The Lua scripts of src/meta: what is collected, when, and what that must not
# meet.  t/scripts-race.t lets all of it happen at once.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my $A = dig('a');
my $B = dig('b');
my $C = dig('c');
my $M = dig('m');
my $N = dig('n');

sub gc { return s_("gc_$_[0]", $S, @_[1 .. $#_]) }
sub settle { r('DEL', key('pending')) }
sub whole {
    s_('rebuild_finish', $S, @_);
    s_('work_take', $S, 'rebuild', 'w');
    $S = s_('rebuild_done', $S, 'w')->[1];
}
sub collecting { return r('ZSCORE', key('collecting'), $_[0]) }
sub untagged { return r('ZSCORE', key('untagged'), "$_[0] $_[1]") }

sub day {
    shift_time(86400, qw(candidates untagged collecting pending removing));
}


subtest due => sub {
    fresh();
    blob('r', $_) for $A, $B, $C;
    put('r', $M, refs => ['b', $A]);
    s_('blob_delete', $S, 'r', $C, 'bob');
    reply_is(s_('gc_due', 60, 9), ['ok', $S], 'nothing yet');
    day();
    reply_is(s_('gc_due', 60, 9), ['ok', $S],
             'not what the disk may not know yet');
    reply_is(s_('gc_untagged', 60, 9), ['ok', $S], 'manifests neither');
    settle();
    reply_is(s_('gc_untagged', 60, 9), ['ok', $S, "r $M"], 'then they are');
    s_('blob_stat', 'r', $B, 1);
    reply_is(s_('gc_due', 60, 9), ['ok', $S, $C],
             'what nobody holds, not what was asked for since');
    day();
    reply_is(s_('gc_due', 60, 9), ['ok', $S, $C, "r $B"],
             'a link that no manifest needs, the oldest first');
    reply_is(s_('gc_due', 60, 1), ['ok', $S, $C], 'no more than n');
    reply_is(s_('gc_due', 999999, 9), ['ok', $S], 'by a longer delay');
};


subtest links => sub {
    fresh();
    blob($_, $A) for qw(q r);
    settle();
    reply_is(gc('link', 'r', $A, 60), ['unknown'], 'not due yet');
    day();
    s_('blob_stat', 'r', $A, 1);
    reply_is(gc('link', 'r', $A, 60), ['unknown'], 'not since it was used');
    day();
    put('r', $M, refs => ['b', $A]);
    settle();
    reply_is(gc('link', 'r', $A, 60), ['unknown'], 'not while it is needed');
    r('ZADD', key('candidates'), 5, "r $A");
    reply_is(gc('link', 'r', $A, 60), ['unknown'], 'whatever the list says');
    ok(!defined candidate('r', $A), 'which is set right');
    s_('manifest_delete', $S, 'r', $M, 'bob', 9, '');
    settle();
    reply_is(gc('link', 'r', $A, 60), ['unknown'], 'its time begins anew');
    day();
    ok_seq(gc('link', 'r', $A, 60), 'then it is removed');
    is_deeply(last_event(), {seq => $last, action => 'blob_delete',
              repository => 'r', digest => $A, tag => '', actor => 'gc'},
              'the event');
    reply_is(s_('pending_list', 0, 9), ['ok', "r\@$A"], 'it is pending');
    reply_is(list_('catalog', '', 9), ['ok', '0', $S, 'q'],
             'nothing is left of its repository');
    ok(!defined candidate($A), 'another one holds it');
    reply_is(gc('link', 'r', $A, 0), ['unknown'], 'twice');
    settle();
    ok_seq(gc('link', 'q', $A, 60), 'the other one');
    ok(candidate($A), 'now nobody holds it');
    is_deeply([grep { !/:in:|removing/ } @{left()}], [], 'nothing is left');
};


subtest content => sub {
    fresh();
    blob('r', $A);
    s_('blob_delete', $S, 'r', $A, 'bob');
    settle();
    reply_is(gc('begin', $A, 60), ['unknown'], 'not due yet');
    day();
    reply_is(gc('ask', $A), ['unknown'], 'not begun');
    blob('q', $A);
    settle();
    reply_is(gc('begin', $A, 60), ['unknown'], 'somebody holds it');
    s_('blob_delete', $S, 'q', $A, 'bob');
    settle();
    day();
    reply_is(gc('begin', $A, 60), ['ok'], 'due');
    reply_is(blob('r', $A), ['collecting', $A], 'a commit waits');
    reply_is(put('r', $A), ['collecting', $A], 'a put waits');
    is(put('r', $M, refs => ['b', $A])->[0], 'missing',
       'one that needs it does not: it is not there');
    is(put('r', $N, refs => ['o', $A], subject => $A)->[0], 'ok',
       'nor one that only names it');
    reply_is(s_('blob_find', 'r', $A, ''), ['miss', $S], 'a mount finds none');
    reply_is(gc('ask', $A), ['ok'], 'it may be removed');
    r('SADD', key('in', $A), 'r');
    reply_is(gc('ask', $A), ['unknown'], 'not if somebody held it after all');
    r('DEL', key('in', $A));
    r('ZADD', key('collecting'), 5, $A);
    reply_is(gc('end', $A), ['ok'], 'it was');
    ok(!defined collecting($A) && !defined candidate($A), 'all is forgotten');
    reply_is(gc('ask', $A), ['unknown'], 'another collector is too late');
    ok_seq(blob('r', $A), 'a commit goes on');
    s_('blob_delete', $S, 'r', $A, 'bob');
    reply_is(gc('end', $A), ['ok'], 'the end a second time');
    ok(candidate($A), 'takes nothing away');
};


subtest 'a collector that is gone' => sub {
    fresh();
    gc('orphans', $A);
    day();
    is(gc('begin', $A, 60)->[0], 'ok', 'begun');
    reply_is(s_('collecting_list', 60, 9), ['ok'], 'just now');
    day();
    reply_is(s_('collecting_list', 60, 9), ['ok', $A],
             'nobody has heard of it since');
    reply_is(gc('ask', $A), ['ok'], 'another one goes on');
    reply_is(s_('collecting_list', 60, 9), ['ok'], 'and is heard of');
    reply_is(gc('end', $A), ['ok'], 'to the end');
    reply_is(gc('ask', $A), ['unknown'], 'the first one comes back: too late');
    ok_seq(blob('r', $A), 'nobody waits');
};


subtest orphans => sub {
    fresh();
    blob('r', $A);
    put('r', $M, refs => ['b', $A]);
    s_('blob_delete', $S, 'r', $A, 'bob');
    r('ZADD', key('candidates'), 5, $A);
    reply_is(gc('orphans', $A, $B, $C, $M), ['ok', '2'],
             'files that nobody holds');
    is(candidate($A), '5', 'one that is known keeps its time');
    ok(candidate($B) && candidate($C), 'the others are candidates now');
    ok(!defined candidate($M), 'but no manifest that is there');
    reply_is(gc('orphans'), ['ok', '0'], 'none');
    is(gc('orphans', map { dig($_) } 1 .. 1000)->[1], '1000', 'the most');
};


subtest 'the disk comes first' => sub {
    fresh();
    blob('r', $_) for $A, $B;
    put('r', $M, refs => ['b', $A], tags => ['t']);
    s_('blob_delete', $S, 'r', $B, 'bob');
    put('r', $N, tags => ['t']);
    day();
    reply_is(gc('begin', $B, 60), ['unknown'], 'content whose link may stand');
    reply_is(gc('manifest', 'r', $M, 60), ['unknown'],
             'a manifest that a tag may name there');
    settle();
    ok_seq(gc('manifest', 'r', $M, 60), 'not any more');
    is(gc('begin', $B, 60)->[0], 'ok', 'nor that');
    day();
    reply_is(gc('link', 'r', $A, 60), ['unknown'],
             'a blob whose manifest may stand');
    put('r', $N);
    reply_is(s_('pending_list', 60, 9), ['ok', "r\@$M"], 'the oldest counts');
    s_('tag_delete', $S, 'r', 't', 'bob');
    put('r', $N, tags => ['t']);
    r('ZREM', key('pending'), "r\@$M");
    ok_seq(gc('link', 'r', $A, 60), 'what came later does not matter');
    day();
    put('r', $N, tags => ['t']);
    is(@{s_('pending_list', 60, 9)}, 4,
       'a name that is pending keeps its time');
};


subtest untagged => sub {
    fresh();
    put('r', $M, tags => ['t']);
    ok(!defined untagged('r', $M), 'it has a tag');
    put('r', $N, tags => ['t']);
    ok(untagged('r', $M), 'its tag has moved');
    s_('tag_delete', $S, 'r', 't', 'bob');
    ok(untagged('r', $N), 'its tag was deleted');
    put('r', $M, tags => ['u']);
    ok(!defined untagged('r', $M), 'it has one again');
    put('r', $C);
    ok(untagged('r', $C), 'it never had one');
    settle();
    day();
    reply_is([sort @{s_('gc_untagged', 60, 9)}],
             [sort 'ok', $S, "r $N", "r $C"], 'those');
    put('r', $C);
    reply_is(s_('gc_untagged', 60, 9), ['ok', $S, "r $N"],
             'a put gives it more time');
    reply_is(gc('manifest', 'r', $M, 0), ['unknown'], 'not one with a tag');
    settle();
    reply_is(gc('manifest', 'r', $C, 60), ['unknown'], 'nor one of now');
    ok_seq(gc('manifest', 'r', $N, 60), 'the third goes');
    is_deeply(last_event(), {seq => $last, action => 'manifest_delete',
              repository => 'r', digest => $N, tag => '', actor => 'gc'},
              'the event');
    ok(candidate($N), 'its content is a candidate');
    reply_is(gc('manifest', 'r', $N, 0), ['unknown'], 'twice');
    is(r('EXISTS', key('removing'), key('hidden', 'r')), '0', 'at once');
    s_('manifest_delete', $S, 'r', $C, 'bob', 9, '');
    ok(!defined untagged('r', $C), 'what was deleted is not listed');
};


subtest 'untagged, but needed' => sub {
    fresh();
    put('r', $A);
    put('r', $B, subject => $A, descriptor => '{}');
    put('r', $M, tags => ['index'], refs => ['m', $A]);
    settle();
    day();
    for ([$A, 'of an index'], [$B, 'an attachment']) {
        my ($digest, $name) = @$_;
        reply_is(gc('manifest', 'r', $digest, 60), ['unknown'], $name);
        cmp_ok(untagged('r', $digest), '>', r('TIME')->[0] - 60,
               'is looked at again later');
    }
    s_('manifest_delete', $S, 'r', $M, 'bob', 9, '');
    settle();
    day();
    ok_seq(gc('manifest', 'r', $A, 60), 'the index is gone');
    settle();
    ok_seq(gc('manifest', 'r', $B, 60), 'and its subject');
    is_deeply(left(), [], 'nothing is left');
};


subtest report => sub {
    fresh();
    blob('r', $A, 7);
    blob('r', $B, '5000000000');
    blob('q', $A, 7);
    s_('blob_delete', $S, 'r', $A, 'bob');
    blob('r', $A, 7);
    gc('orphans', $C);
    reply_is(s_('gc_report', 60, 0, 9), ['ok', $S, '0', '0', '0'], 'nothing');
    day();
    reply_is(s_('gc_report', 60, 0, 9),
             ['ok', $S, '0', '3', '5000000007', $C],
             'links, bytes that go with them, content that nobody holds');
    my ($links, $freed, @bare) = (0, 0);
    for my $at (0 .. 3) {
        my ($ok, $state, $more, $l, $f, @b) = @{s_('gc_report', 60, $at, 1)};
        is($more, '1', 'a page');
        $links += $l;
        $freed += $f;
        push(@bare, @b);
    }
    is("$links $freed @bare", "3 5000000007 $C", 'the same by pages');
    reply_is(s_('gc_report', 60, 4, 1), ['ok', $S, '0', '0', '0'], 'the end');
    ok(candidate('r', $B), 'nothing has changed');
    s_('blob_stat', 'q', $A, 1);
    reply_is(s_('gc_report', 60, 0, 9), ['ok', $S, '0', '2', '5000000000', $C],
             'a blob that another repository keeps stays');
};


subtest 'what a rebuild could not read' => sub {
    fresh();
    blob('r', $A);
    put('r', $M);
    gc('orphans', $C);
    behind();
    is(s_('rebuild_begin', $S, 'r', 'x')->[0], 'ok', 'a rebuild');
    reply_is(s_('rebuild_unread', $S, 'r', 'y', $C), ['lost'], 'of another');
    reply_is(s_('rebuild_unread', $S, 'r', 'x', $C), ['ok'], 'a manifest');
    reply_is(s_('rebuild_unread', $S, 'r', 'x', ''), ['ok'], 'a tag');
    s_('rebuild_manifest', $S, 'r', 'x', $M, 1, 'm', '', '', '', 1, 0);
    s_('rebuild_blobs', $S, 'r', 'x', $A, 10);
    whole('r', 'x');

    gc('orphans', $C);
    day();
    my $is = sub { return join(' ', map { $_->[0] } gc('begin', $C, 60),
                               s_('gc_link', $S, 'r', $A, 60),
                               s_('gc_manifest', $S, 'r', $M, 60),
                               s_('blob_stat', 'r', $B, 0),
                               s_('manifest_get', 'r', 'none', 'tag')) };
    is($is->(), 'unknown unknown unknown behind behind',
       'nothing of the repository is collected, and a miss is no answer');
    cmp_ok(candidate($C), '>', r('TIME')->[0] - 60, 'it is tried again later');
    reply_is(s_('gc_report', 0, 0, 9), ['ok', $S, '0', '0', '0'],
             'a dry run knows that');

    behind();
    s_('rebuild_begin', $S, 'r', 'x');
    s_('rebuild_manifest', $S, 'r', 'x', $M, 1, 'm', '', '', '', 1, 0);
    s_('rebuild_blobs', $S, 'r', 'x', $A, 10);
    whole('r', 'x');
    is(r('EXISTS', key('unread')), '0', 'the next rebuild has read all');
    gc('orphans', $C);
    day();
    is($is->(), 'ok ok ok miss miss', 'and it goes on');
};


subtest 'broken content' => sub {
    fresh();
    blob('r', $A);
    s_('broken', $S, $A);
    s_('blob_delete', $S, 'r', $A, 'bob');
    settle();
    day();
    gc($_, $A, 60) for qw(begin ask end);
    is(r('EXISTS', key('broken')), '0', 'is forgotten when nobody holds it');

    gc('orphans', $B);
    day();
    gc($_, $B, 60) for qw(begin ask);
    reply_is(gc('end', $B, 1), ['ok'], 'a file that could not be removed');
    ok(!defined collecting($B), 'is not waited for');
    cmp_ok(candidate($B), '>', r('TIME')->[0] - 60, 'and tried again later');
};

done_testing();
