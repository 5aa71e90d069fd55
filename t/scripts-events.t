#!/usr/bin/perl

# The Lua scripts of src/meta: the log of events as a reader sees it, and where
# it may have missed something.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my $A = dig('a');
my $M = dig('m');

sub after { return s_('events_read', $_[0], $_[1] // 1000) }

# what it says of those that there are: their sequences
sub seqs {
    my ($reply) = @_;
    my (undef, undef, undef, undef, @all) = @$reply;
    my @seqs = @all[grep { $_ % 6 == 0 } 0 .. $#all];
    return @seqs;
}

sub newest { return after('')->[3] }

sub missed {
    my ($after, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return reply_is(after($after), ['ok', $S, '1', newest()], $name);
}

sub none {
    my ($after, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return reply_is(after($after), ['ok', $S, '0', newest()], $name);
}


subtest 'what has happened' => sub {
    fresh();
    my $begin = newest();
    like($begin, qr/^[1-9]\d{15}\z/, 'a reader begins with the newest');
    is($begin, r('GET', key('seq')), 'which is that of the registry');
    none($begin, 'nothing yet');

    my @seq = (blob('r', $A)->[1], put('r', $M, tags => ['t', 'u'])->[1],
               s_('attributes_set', $S, 'r', 't', 'w', '', '', '', 'al')->[1],
               s_('attributes_set', $S, 'r', 't', '', 'w', '', '', '')->[1],
               s_('tag_delete', $S, 'r', 't', 'bob')->[1],
               s_('manifest_delete', $S, 'r', $M, 'bob', 9, '')->[1],
               s_('blob_delete', $S, 'r', $A, 'bob')->[1]);
    reply_is(after($begin), ['ok', $S, '0', $seq[-1],
        $seq[0], 'blob_commit', 'r', $A, '', 'bob',
        $seq[1], 'manifest_put', 'r', $M, 't u', 'bob',
        $seq[2], 'attributes_set', 'r', $M, 't', 'al',
        $seq[3], 'attributes_set', 'r', $M, 't', '',
        $seq[4], 'tag_delete', 'r', $M, 't', 'bob',
        $seq[5], 'manifest_delete', 'r', $M, '', 'bob',
        $seq[6], 'blob_delete', 'r', $A, '', 'bob'], 'all, in order');
    is_deeply([seqs(after($seq[$_]))], [@seq[$_ + 1 .. $#seq]], "after $_")
        for 0 .. $#seq;
    is_deeply([seqs(after($seq[1] - 1))], [@seq[1 .. $#seq]],
              'a sequence that was none of an event');

    for my $n (1 .. 8) {
        my ($at, @got) = ($begin);
        for (1 .. 9) {
            my $reply = after($at, $n);
            cmp_ok(scalar(seqs($reply)), '<=', $n, "not more than $n");
            push(@got, seqs($reply));
            $at = $reply->[3];
        }
        is_deeply(\@got, \@seq, "in pages of $n: each once");
        is($at, $seq[-1], 'and the end is the newest');
    }
    is(scalar(seqs(after($begin, $_))), 1, "n is 1 at least: $_")
        for 0, -5, 'x';
    is(scalar(seqs(after($begin, 99999))), 7, 'and has a limit');
};


subtest 'a sequence without an event' => sub {
    fresh();
    my @all = many('r', $M, 30);
    my $seq = s_('manifest_delete', $S, 'r', $M, 'bob', 9, '')->[1];
    s_('manifest_delete', $S, 'r', $M, 'bob', 9, '') for 1 .. 3;
    cmp_ok(newest(), '>', $seq, 'slices of a removal have one');
    none($seq, 'but are no events: a reader goes on behind them');
};


subtest 'what was missed' => sub {
    fresh();
    my $begin = newest();
    my @seq = map { blob('r', dig($_))->[1] } 1 .. 5;

    missed($begin - 1, 'before the first one of all');
    missed('0', 'long before');
    missed($seq[-1] + 1, 'after the newest: that was another Redis');
    missed('9007199254740992', 'long after');
    is(scalar(seqs(after($begin))), 5, 'but not from the beginning');

    r('XTRIM', key('events'), 'MAXLEN', 3);
    missed($begin, 'the log was trimmed');
    missed($seq[1], 'of the event before the first');
    is_deeply([seqs(after($seq[2]))], [@seq[3, 4]], 'but not after it');
    r('DEL', key('events'));
    missed($seq[2], 'it is gone');
    none($seq[4], 'a reader that has all goes on');
};


subtest 'histories' => sub {
    fresh();
    my $seq = blob('r', $A)->[1];
    s_('join', 'run2', $seq, 'e1', 1, 0);
    $S = r('GET', key('state'));
    none($seq, 'a restart without a loss is none');

    my $model = { r => { blobs => { $A => 10 } } };
    behind();
    missed($seq, 'Redis is behind');
    my $at = newest();
    none($at, 'from then on there is a log again');
    is(rebuild_one('r', $model->{r}, 'x')->[0], 'ok', 'a repository is back');
    $seq = put('r', $M)->[1];
    is_deeply([seqs(after($at))], [$seq], 'what happens meanwhile is told');
    rebuild_all($model);
    missed($seq, 'what a rebuild has found is not');
    none(newest(), 'but what comes then');

    $seq = newest();
    r('FLUSHALL');
    is(after($seq)->[1], '', 'an emptied Redis has no state');
    s_('join', 'run2', $seq, 'e1', 1, 0);
    $S = r('GET', key('state'));
    missed($seq, 'once joined it tells');
    cmp_ok(newest(), '>', $seq, 'and does not go back');

    # with a clock that is behind
    my $future = newest() + 3600_000_000;
    r('FLUSHALL');
    s_('join', 'run2', $future, 'e1', 1, 0);
    $S = r('GET', key('state'));
    missed($future, 'of a mark that is ahead');
    cmp_ok(newest(), '>', $future, 'which is not reached again');
};


subtest 'entries of another version' => sub {
    fresh();
    my $add = sub {
        my ($seq) = @_;
        r('XADD', key('events'), '*', 'seq', $seq, 'action', 'blob_commit',
          'repository', 'r', 'digest', $A, 'tag', '', 'actor', '');
        r('SET', key('seq'), $seq);
        return $seq;
    };

    # with the time as the id, before and after ours
    r('DEL', key('events'));
    my $old = $add->(newest());
    my @seq = blob('r', $A)->[1];
    push(@seq, $add->($seq[0] + 1), $add->($seq[0] + 2));
    r('SET', key('seq'), $seq[2]);
    push(@seq, blob('r', $A)->[1]);
    is_deeply([seqs(after($old))], \@seq, 'are among the others');
    is_deeply([seqs(after($seq[0]))], [@seq[1 .. 3]], 'and behind them');

    # a sequence that cannot be the id is no reason to refuse a push
    r('SET', key('seq'), $seq[3] - 1000_000_000);
    r('XADD', key('events'), $seq[3] + 3600_000_000 . '-0', 'seq', 1, 'action',
      'x', 'repository', '', 'digest', '', 'tag', '', 'actor', '');
    is(blob('r', $A)->[0], 'ok', 'a log that is ahead');
};


subtest bounds => sub {
    fresh();
    my $begin = newest();
    my $long = 'x' x 100_000;

    for (1 .. 25) {
        s_('blob_commit', $S, 'r', dig($_), 1, '', '0', $long);
    }
    my $reply = after($begin);
    is(scalar(seqs($reply)), 10, 'a mebibyte at once');
    is(scalar(seqs(after($reply->[3]))), 10, 'and the next');

    s_('blob_commit', $S, 'r', $A, 1, '', '0', 'x' x 3_000_000);
    $reply = after(after($reply->[3])->[3]);
    is(scalar(seqs($reply)), 5, 'the rest');
    is(scalar(seqs(after($reply->[3]))), 1, 'one alone may be larger');

    fresh();
    my $at = newest();
    blob('r', dig($_)) for 1 .. 2100;
    my @got;
    for (1 .. 4) {
        my $page = after($at);
        push(@got, scalar(seqs($page)));
        $at = $page->[3];
    }
    is_deeply(\@got, [1000, 1000, 100, 0], 'a thousand at once');
};

done_testing();
