#!/usr/bin/perl

# The Lua scripts of src/meta: work of the whole registry, upload sessions, the
# numbers of an administrator.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my $A = dig('a');
my $M = dig('m');

sub work { return s_("work_$_[0]", $S, @_[1 .. $#_]) }
sub due { return join('', @{s_('work_due', @_)}[1 .. 3]) }
sub field { return r('HGET', key('work', $_[0]), $_[1]) }

sub stats {
    my ($ok, @pairs) = @{s_('stats')};
    is(grep({ ref || !defined } @pairs), 0, 'all are texts');
    return {@pairs};
}

sub now { return r('TIME')->[0] }

# nobody has heard of its owner for a while
sub expire { r('HSET', key('work', $_[0]), 'until', now() - 1) }

sub work_is {
    my ($kind, %want) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($ok, $behind, %got) = @{s_('work_get', $kind)};
    is_deeply({map { $_ => $got{$_} } keys %want}, \%want, "$kind")
        or diag(explain(\%got));
}


subtest 'one run' => sub {
    fresh();
    reply_is(s_('work_get', 'gc'), ['ok', '0'], 'nothing yet');
    is(due(0, 0), '000', 'nothing is due');
    reply_is(work('want', 'gc', 'dry'), ['ok'], 'asked for');
    work_is('gc', requested => '1', running => undef);
    is(due(0, 0), '010', 'due');
    reply_is(work('take', 'gc', 'a', 0), ['ok', 'dry', ''], 'taken');
    work_is('gc', requested => '0', running => '1', request => 'dry');
    like(field('gc', 'until'), qr/^\d{10}\z/, 'until a time in seconds');
    cmp_ok(field('gc', 'until') - now(), '>', 5, 'that is not now');
    is(due(0, 0), '000', 'not due any more');
    reply_is(work('take', 'gc', 'b', 0), ['busy'], 'nor to be taken');

    r('HSET', key('work', 'gc'), 'until', now() + 1);
    reply_is(work('note', 'gc', 'a', 'at 1', 'links', 3, 'bytes',
                  '9007199254740993'), ['ok'], 'it gets on');
    cmp_ok(field('gc', 'until') - now(), '>', 5, 'and has more time');
    reply_is(work('note', 'gc', 'a', 'at 2', 'links', 2), ['ok'], 'again');
    work_is('gc', at => 'at 2', links => '5', bytes => '9007199254740993');
    reply_is(work('note', 'gc', 'b', 'x'), ['lost'], 'another one does not');
    reply_is(work('end', 'gc', 'b', 1), ['lost'], 'nor ends it');
    reply_is(work('end', 'gc', 'a', 1), ['ok'], 'the end');
    work_is('gc', running => '0', links => '5');
    like(field('gc', 'started') . field('gc', 'finished'), qr/^\d{20}\z/,
         'it says when');
    is(due(0, 0), '000', 'nothing is due');
    is(due(3600, 0), '000', 'nor soon');
    reply_is(work('end', 'gc', 'a', 1), ['lost'], 'it ends once');
    reply_is(work('note', 'gc', 'a', 'x'), ['lost'], 'and is over');

    reply_is(work('take', 'gc', 'b', 0), ['unknown'], 'it is not done twice');
    reply_is(work('take', 'gc', 'b'), ['ok', '', ''],
             'unless it is to be done anyway, without the old request');
    work_is('gc', links => undef, finished => undef, requested => '0');
};


subtest 'an owner that is gone' => sub {
    fresh();
    work('want', 'scrub', 'x');
    work('take', 'scrub', 'a', 0);
    work('note', 'scrub', 'a', 'half', 'blobs', 7);
    expire('scrub');
    reply_is(work('note', 'scrub', 'a', 'half'), ['ok'],
             'it was late, and nobody else was there');
    expire('scrub');
    is(due(0, 0), '001', 'what is left is due');
    reply_is(work('take', 'scrub', 'b', 0), ['ok', 'x', 'half'],
             'another one goes on there');
    work_is('scrub', blobs => '7', owner => 'b');
    reply_is(work('note', 'scrub', 'a', 'less'), ['lost'], 'the first is out');
    reply_is(work('end', 'scrub', 'a', 1), ['lost'], 'and does not end it');
    work_is('scrub', at => 'half', running => '1');
    reply_is(work('end', 'scrub', 'b', 0), ['ok'], 'it gives it back');
    is(due(0, 0), '001', 'so that it is due at once');
    reply_is(work('take', 'scrub', 'c', 0), ['ok', 'x', 'half'],
             'for a third one');
    reply_is(work('end', 'scrub', 'c', 1), ['ok'], 'which ends it');
};


subtest 'a request during a run' => sub {
    fresh();
    work('want', 'gc', 'one');
    work('take', 'gc', 'a', 0);
    work('want', 'gc', 'two');
    work_is('gc', requested => '1', running => '1', request => 'one');
    is(due(0, 0), '000', 'it has to wait');
    expire('gc');
    reply_is(work('take', 'gc', 'b', 0), ['ok', 'one', ''],
             'who goes on does the first');
    work('end', 'gc', 'b', 1);
    is(due(0, 0), '010', 'then it is due');
    reply_is(work('take', 'gc', 'c', 0), ['ok', 'two', ''], 'as it was asked');
    work('end', 'gc', 'c', 1);
    is(due(0, 0), '000', 'once');
};


subtest stop => sub {
    fresh();
    reply_is(work('stop', 'gc'), ['ok'], 'nothing to stop');
    work('want', 'gc', 'x');
    work('stop', 'gc');
    is(due(0, 0), '000', 'a request is dropped');
    reply_is(work('take', 'gc', 'a'), ['ok', '', ''], 'with what it said');
    work('stop', 'gc');
    work_is('gc', running => '0', requested => '0');
    reply_is(work('note', 'gc', 'a', 'x'), ['lost'], 'a run is told');
    work('want', 'gc', 'y');
    reply_is(work('end', 'gc', 'a', 1), ['lost'], 'its end is none');
    reply_is(work('take', 'gc', 'b', 0), ['ok', 'y', ''],
             'so the next request counts');
};


subtest 'by time' => sub {
    fresh();
    is(due(60, 0), '010', 'never done is due');
    is(due(0, 60), '001', 'each for itself');
    work('take', 'gc', 'a', 60);
    work('end', 'gc', 'a', 1);
    is(due(60, 0), '000', 'just done is not');
    reply_is(work('take', 'gc', 'b', 60), ['unknown'], 'nor taken');
    r('HSET', key('work', 'gc'), 'finished', now() - 61);
    is(due(60, 0), '010', 'a minute later it is');
    is(due(120, 0), '000', 'but not every two');
    is(work('take', 'gc', 'b', 60)->[0], 'ok', 'and taken');
};


subtest 'while behind' => sub {
    fresh();
    reply_is(work('take', 'rebuild', 'a', 0), ['unknown'],
             'a complete Redis is not rebuilt');
    work('want', 'gc', '');
    behind();
    is(due(60, 0), '100', 'a rebuild is due, nothing is collected');
    is(due(60, 60), '101', 'a scrub does no harm');
    is(s_('work_get', 'rebuild')->[1], '1', 'it says so');
    reply_is(work('take', 'gc', 'a', 60), ['unknown'], 'not taken either');
    is(work('take', 'rebuild', 'a', 0)->[0], 'ok', 'the rebuild is');
    is(due(60, 0), '000', 'by one');
    expire('rebuild');
    is(due(60, 0), '100', 'that has gone');
    is(work('take', 'rebuild', 'b', 0)->[0], 'ok', 'by another');
    is(s_('rebuild_done', $S, 'b')->[0], 'ok', 'done');
    $S = r('GET', key('state'));
    is(due(0, 0), '010', 'then the request of before');
    is(work('end', 'rebuild', 'b', 1)->[0], 'ok', 'and the end');
};


subtest sessions => sub {
    fresh();
    my $list = sub {
        my ($ok, $more, @all) = @{s_('sessions', @_)};
        is(@all % 6, 0, 'six of each');
        return join(' ', $more, map { $all[6 * $_] } 0 .. @all / 6 - 1);
    };
    is($list->(0, 9), '0', 'none');
    s_('upload_create', $S, "u$_", 'r', 'sha256', 100 + $_) for 1 .. 5;
    s_('upload_take', $S, 'u2', 'r', '', 300);
    s_('upload_save', $S, 'u2', 1, '9007199254740993', '', 'f', 0, 300);
    is($list->(0, 9), '0 u1 u3 u4 u5 u2', 'in the order of their ends');
    is($list->(0, 2), '1 u1 u3', 'a page');
    is($list->(2, 2), '1 u4 u5', 'the next');
    is($list->(4, 2), '0 u2', 'the last');
    my $one = s_('sessions', 4, 1);
    like(splice(@$one, 5, 1), qr/^\d{10}\z/, 'when it began');
    like(splice(@$one, 6, 1), qr/^\d{10}\z/, 'when it ends');
    reply_is($one, ['ok', '0', 'u2', 'r', '9007199254740993', '1'],
             'what it is');

    r('DEL', key('upload', 'u3'));
    is($list->(0, 9), '0 u1 u4 u5 u2', 'one that has gone is not shown');
    is($list->(0, 2), '1 u1', 'a page may be short');
    r('ZADD', key('sessions'), now() - 5, 'u3',
      map { (now() - 9, "x$_") } 1 .. 150);
    is($list->(0, 2), '1 u1 u4', 'nor one that has expired');
    is(stats()->{sessions}, '4', 'nor counted');
    is(r('ZCARD', key('sessions')), '155', 'but not forgotten');
    s_('upload_create', $S, 'u6', 'r', 'sha256', 60);
    is(r('ZCARD', key('sessions')), '56', 'a new one takes some with it');
    s_('upload_create', $S, 'u7', 'r', 'sha256', 60);
    is(r('ZCARD', key('sessions')), '6', 'and the rest');

    s_('upload_cancel', $S, 'u1', 'r');
    s_('upload_take', $S, 'u4', 'r', '', 60);
    s_('blob_commit', $S, 'r', $A, 1, 'u4', 1, 'bob');
    ok(!defined r('ZSCORE', key('sessions'), $_), "$_ ended")
        for qw(u1 u4);

    r('CONFIG', 'SET', 'min-replicas-to-write', 1);
    is(s_('sessions', 0, 9)->[0], 'ok', 'where nothing may be written');
    is(s_('stats')->[0], 'ok', 'it is told all the same');
    r('CONFIG', 'SET', 'min-replicas-to-write', 0);
};


subtest stats => sub {
    r('FLUSHALL');
    is(stats()->{sequence}, '0', 'of nothing');
    fresh();
    blob('r', $A);
    blob('r', $M);
    put('r', $M, refs => ['b', $A]);
    s_('broken', $S, $A);
    r('ZADD', key('pending'), now() - 100, 'r:t');
    r('HSET', key('work:gc'), 'finished', 1790000000);
    my $got = stats();
    my $age = delete $got->{pending_age};
    cmp_ok($age, '>=', 100, 'the age of the oldest');
    is_deeply($got, {
        state => 'complete', schema => '2', generation => $S,
        sequence => r('GET', key('seq')),
        repositories => '1', current => '0', sessions => '0', pending => '3',
        removing => '0', candidates => '1', collecting => '0',
        untagged => '1', broken => '1', unread => '0', events => '4',
        gc_finished => '1790000000', scrub_finished => '0',
    }, 'the numbers');
    r('ZADD', key('pending'), now() + 100, $_) for qw(r:t), "r\@$A", "r\@$M";
    is(stats()->{pending_age}, '0', 'a clock that went back');
    behind();
    is(stats()->{state}, 'behind', 'behind');
};

done_testing();
