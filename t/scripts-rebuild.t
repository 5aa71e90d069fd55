#!/usr/bin/perl

# The Lua scripts of src/meta: a Redis that is behind, and how it is rebuilt
# from the directory.

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

sub step { return s_("rebuild_$_[0]", $S, @_[1 .. $#_]) }

# one manifest with a blob, a tag and a subject
my $model = {
    blobs => { $A => 10, $B => 10 },
    manifests => { $M => { refs => ['b', $A], subject => $N, atype => 'x',
                           descriptor => '{}' } },
    tags => { t => $M },
};

sub fill {
    my ($repo) = @_;
    blob($repo, $_) for $A, $B;
    put($repo, $M, tags => ['t'], %{$model->{manifests}{$M}});
}


subtest 'a Redis that is behind knows nothing' => sub {
    fresh();
    fill('r');
    blob('q', $C);
    my $before = $S;
    behind();
    like($S, qr/^run1:e1:f2\.\d{16}:behind\z/, 'behind');
    isnt($S, "$before:behind", 'of a new generation');
    is(behind(), $S, 'once is enough');

    my $seq = r('GET', key('seq'));
    my %read = (
        blob_find => ['r', $A, ''], blob_stat => ['r', $A, 1],
        catalog => ['', 9], gc_due => [0, 9], gc_report => [0, 0, 9],
        gc_untagged => [0, 9], link_now => ['r', 't'],
        acr_repository => ['r'], acr_tag => ['r', 't'],
        acr_tags => ['r', '', 9, '', '', ''], acr_manifest => ['r', $M],
        acr_manifests => ['r', '', 9, '', ''],
        manifest_check => ['r', '', '', 0], manifest_get => ['r', 't', 'tag'],
        referrers => ['r', $N, '', '', 9], tags_list => ['r', '', 9],
    );
    reply_is(s_($_, @{$read{$_}}), ['behind', $S], $_) for sort keys %read;
    my %change = (
        attributes_set => ['r', 't', 'w', '', '', '', 'bob'],
        repository_next => ['r', ''],
        blob_commit => ['r', $A, 10, '', '', 'bob'],
        blob_delete => ['r', $A, 'bob'],
        gc_ask => [$A], gc_begin => [$A, 0], gc_link => ['r', $B, 0],
        gc_manifest => ['r', $M, 0], gc_orphans => [$C],
        manifest_delete => ['r', $M, 'bob', 9, ''],
        manifest_put => ['r', $M, 1, 'm', '', '', '', '', 'bob', 0, 0],
        pending_done => ['r', 't', $M],
        tag_delete => ['r', 't', 'bob'],
    );
    reply_is(s_($_, $S, @{$change{$_}}), ['behind'], $_)
        for sort keys %change;
    is(r('GET', key('seq')), $seq, 'nothing has changed');
    is(r('EXISTS', map { key($_) } qw(pending removing candidates untagged
                                      collecting broken)),
       '0', 'and nothing waits for anybody');

    is(rebuild_one('r', $model, 'x')->[0], 'ok', 'rebuilt');
    reply_is(get('r', 't', 'tag'), ['ok', $M, '100', 'application/m', $S],
             'it is known');
    reply_is(list_('tags_list', 'r', '', 9), ['ok', '1', '0', $S, 't'],
             'with its tags');
    reply_is(s_('referrers', 'r', $N, '', '', 9), ['ok', '0', $S, $M, '{}'],
             'with its referrers');
    ok_seq(put('r', $N, tags => ['u']), 'and may be changed');
    reply_is(s_('pending_done', $S, 'r', 'u', $N), ['ok'], 'and settled');
    reply_is(s_('blob_stat', 'q', $C, 0), ['behind', $S],
             'another one is not known');
    reply_is(s_('blob_find', 'r', $C, ''), ['miss', $S],
             'and has nothing to give');
    reply_is(list_('catalog', '', 9), ['behind', $S], 'nor is the list');
    reply_is(s_('gc_due', 0, 9), ['behind', $S], 'nothing is collected');
};


subtest 'one repository' => sub {
    fresh();
    my @who = ('r', 'x');
    reply_is(step('begin', @who), ['current'], 'a complete Redis needs none');
    fill('r');
    behind();
    reply_is(step('blobs', @who, $A, 1), ['lost'], 'it has to be begun');
    reply_is(step('finish', @who), ['lost'], 'before its end');
    reply_is(step('begin', @who), ['ok', '1'], 'a slice is removed');
    my $more = 1;
    $more = step('begin', @who)->[1] while $more;
    is_deeply([grep { !/:(?:rebuilding|seq|state|events)\z/ }
               @{r('KEYS', '*')}], [], 'then all is gone');
    reply_is(step('begin', @who), ['ok', '0'], 'and stays so');
    reply_is(s_('rebuild_rest', '', 9), ['ok', '0', $S, '', 'r'],
             'it is not forgotten');

    my $m = $model->{manifests}{$M};
    my @m = ($M, 100, 'application/m', $m->{subject}, $m->{atype},
             $m->{descriptor}, 4);
    for (1 .. 2) {
        reply_is(step('manifest', @who, @m, 1, 'b', $A), ['ok'],
                 "the manifest, $_");
        reply_is(step('blobs', @who, $A, 10, $B, 11), ['ok'], 'the blobs');
        reply_is(step('tags', @who, 't', $M, 5, 3, 'u', $N, 6, 6), ['ok', 'u'],
                 'the tags; one of what is no manifest');
    }
    is(refs('r', $A), '1', 'what is applied twice counts once');
    ok(!defined candidate('r', $A) && candidate('r', $B),
       'what no manifest needs is a candidate');
    is(r('HGET', key('tag', 'r'), 't'), "$M 5 3", 'the times of the tag');
    is(r('ZCARD', key('untagged')), '0', 'no manifest is without a tag');
    reply_is(s_('blob_stat', 'r', $A, 0), ['behind', $S], 'not known yet');
    reply_is(step('finish', @who), ['ok'], 'the end');
    reply_is(s_('blob_stat', 'r', $A, 0), ['ok', '10', $S], 'known now');
    reply_is(step('finish', @who), ['lost'], 'it ends once');
    reply_is(step('begin', @who), ['current'], 'and is not begun again');
    reply_is(step('blobs', @who, $C, 1), ['lost'], 'nor changed');
    is(events(), 3, 'a rebuild is no event');

    for (['blobs', $A], ['tags', 't', $M], ['blobs', (1) x 1002],
         ['tags', (1) x 1004], ['manifest', @m, 1], ['manifest', @m, 1, 'b'])
    {
        my ($name, @args) = @$_;
        my $error = step($name, @who, @args);
        like(ref $error && $error->{error}, qr/ERR .*arguments/,
             "wrong arguments for $name");
    }
};


subtest 'an empty repository' => sub {
    fresh();
    behind();
    is(rebuild_one('new', {}, 'x')->[0], 'ok', 'one that nobody knew');
    is_deeply(list_('tags_list', 'new', '', 9), ['ok', '0', '0', $S],
              'is known not to be there');
    ok_seq(blob('new', $A), 'and may be pushed to');
};


subtest 'two rebuilders' => sub {
    fresh();
    fill('r');
    my $lease = sub {
        my ($time, $token) = split(' ', r('HGET', key('rebuilding'), 'r'));
        like($time, qr/^\d{10}\z/, 'until a time in seconds');
        return $time - r('TIME')->[0];
    };
    behind();
    is(step('begin', 'r', 'x')->[0], 'ok', 'one');
    reply_is(step('begin', 'r', 'y'), ['busy'], 'the other has to wait');
    is(step('begin', 'r', 'x')->[0], 'ok', 'the first goes on');
    cmp_ok($lease->(), '>', 5, 'it has some time');
    reply_is(step('blobs', 'r', 'y', $A, 1), ['lost'], 'and is the only one');

    r('HSET', key('rebuilding'), 'r', (r('TIME')->[0] + 1) . ' x');
    is(step('begin', 'r', 'x')->[0], 'ok', 'each call');
    cmp_ok($lease->(), '>', 5, 'gives it more time');
    r('HSET', key('rebuilding'), 'r', '5 x');
    reply_is(step('blobs', 'r', 'x', $C, 1), ['ok'],
             'it may be late as long as nobody has taken over');

    step('begin', 'r', 'x') for 1 .. 9;
    step('manifest', 'r', 'x', $N, 1, 'm', $B, '', '', 1, 1, 'b', $A);
    step('manifest', 'r', 'x', $B, 1, 'm', '', '', '', 1, 0);
    step('blobs', 'r', 'x', $A, 1, $C, 1);
    step('tags', 'r', 'x', 'old', $N, 1, 1);
    is(r('ZCARD', key($_)), '1', "one of $_") for qw(candidates untagged);
    r('HSET', key('rebuilding'), 'r', '5 x');
    is(rebuild_one('r', $model, 'y')->[0], 'ok', 'interrupted, begun again');
    reply_is(step($_, 'r', 'x'), ['lost'], "the first one: $_")
        for qw(blobs finish);
    my $got = dump_keys();
    fresh();
    fill('r');
    my $want = dump_keys();
    delete $got->{key('current')};
    is_deeply($got, $want, 'nothing of the first one is left');
};


subtest 'one that has failed' => sub {
    fresh();
    fill('r');
    behind();
    step('begin', 'r', 'x');
    reply_is(step('leave', 'r', 'y'), ['lost'], 'nobody else ends it');
    reply_is(step('leave', 'r', 'x'), ['ok'], 'it lets go');
    reply_is(step($_, 'r', 'x'), ['lost'], "what comes late is too late: $_")
        for qw(blobs finish leave);
    is(s_('work_take', $S, 'rebuild', 'w', 0)->[0], 'ok', 'a rebuild of all');
    reply_is(s_('rebuild_done', $S, 'w'), ['busy'], 'does not end without it');
    is(step('begin', 'r', 'y')->[0], 'ok', 'another one need not wait');
    is(rebuild_one('r', $model, 'y')->[0], 'ok', 'and ends');
    is(s_('rebuild_done', $S, 'w')->[0], 'ok', 'so does that of all');
};


subtest 'all repositories' => sub {
    fresh();
    fill($_) for qw(a b c d e);
    behind();
    my $done = sub { return s_('rebuild_done', $S, @_) };
    reply_is($done->('w'), ['lost'], 'it is somebody\'s work');
    is(s_('work_take', $S, 'rebuild', 'w', 0)->[0], 'ok', 'who takes it');
    reply_is($done->('v'), ['lost'], 'and nobody else\'s');

    rebuild_one($_, $model, 'w') for qw(b new);
    step('begin', 'c', 'z') for 1 .. 9;
    reply_is(s_('rebuild_rest', '', 9),
             ['ok', '0', $S, 'new', 'c', 'a', 'd', 'e'],
             'what is left, with one that is being rebuilt');
    reply_is(s_('rebuild_rest', '', 2), ['ok', '1', $S, 'b', 'c', 'a'],
             'a page of it');
    reply_is(s_('rebuild_rest', 'b', 2), ['ok', '1', $S, 'e', 'd', 'e'],
             'and the next');
    rebuild_one($_, $model, 'w') for qw(a d);
    rebuild_one('e', {}, 'w');
    reply_is($done->('w'), ['busy'], 'one is under way');
    r('HSET', key('rebuilding'), 'c', '5 z');
    reply_is($done->('w'), ['busy'], 'somebody has to do it');
    rebuild_one('c', $model, 'w');
    my $behind = $S;
    is($done->('w')->[0], 'ok', 'then it is complete');
    $S = r('GET', key('state'));
    is("$S:behind", $behind, 'of the same generation');
    reply_is(s_('rebuild_done', $behind, 'w'), ['state'], 'others join');
    reply_is(s_('join', 'run1', 0, 'e1', 1, 0), ['complete', $S, ''],
             'and find it complete');
    reply_is($done->('w'), ['ok', $S], 'twice is no harm');
    reply_is(list_('catalog', '', 9), ['ok', '0', $S, qw(a b c d new)],
             'the catalog');
    is(r('EXISTS', map { key($_) } qw(current rebuilding)), '0',
       'nothing is left of it');
};


subtest 'lost again' => sub {
    fresh();
    fill('r');
    behind();
    my ($first, $seq) = ($S, r('GET', key('seq')));
    s_('work_take', $S, 'rebuild', 'w', 0);
    rebuild_one('r', $model, 'w');
    $S = s_('join', 'run2', $seq, 'e1', 1, 0)->[1];
    is($S, $first =~ s/run1/run2/r, 'a restart loses nothing');
    reply_is(step('begin', 'r', 'w'), ['current'], 'not what was rebuilt');
    is(s_('work_note', $S, 'rebuild', 'w', 'r')->[0], 'lost',
       'but who was at it begins again');

    $S = s_('join', 'run3', $seq + 1, 'e1', 1, 0)->[1];
    like($S, qr/^run3:e1:f2\.\d+:behind\z/, 'a loss');
    reply_is(get('r', $M, 'digest'), ['behind', $S], 'begins anew');
    # a call that met another state is sent again with the new one
    reply_is(s_('rebuild_done', $S, 'w'), ['lost'], 'the run before is over');
    reply_is(s_('work_note', $S, 'rebuild', 'w', 'r'), ['lost'], 'and told so');
    reply_is(step('finish', 'r', 'w'), ['lost'], 'none of it is applied');
    rebuild_all({ r => $model });
    is(get('r', $M, 'digest')->[0], 'ok', 'the new run ends');
};


# Its manifest is in no list of its repository.
subtest 'a removal is under way' => sub {
    for my $removed (0, 1) {
        fresh();
        my $m = { refs => ['b', $A, 'b', $C], subject => $N };
        my %repo = (blobs => { $A => 10, $B => 10 },
                    manifests => { %{$model->{manifests}} },
                    tags => { t => $M });
        if (!$removed) {
            $repo{manifests}{$C} = $m;
            $repo{tags}{$_} = $C for qw(x y z);
        }
        fill('r');
        blob('r', $C);
        put('r', $C, %$m, tags => [qw(x y z)]);
        s_('blob_delete', $S, 'r', $C, 'bob');
        is(s_('manifest_delete', $S, 'r', $C, 'bob', 1, '')->[2], '1', 'begun');
        behind();
        rebuild_all({ r => \%repo }, $A, $B, $C, $M);
        my $got = dump_keys();
        reply_is(s_('manifest_delete', $S, 'r', $C, 'bob', 1), ['unknown'],
                 'nobody goes on with it');

        fresh();
        behind();
        rebuild_all({ r => \%repo }, $A, $B, $C, $M);
        is_deeply($got, dump_keys(),
                  $removed ? 'it was on disk' : 'it was not on disk');
    }
};


subtest 'many of everything' => sub {
    fresh();
    my (%repo, @subjects);
    for my $i (1 .. 1500) {
        my $blob = dig("b$i");
        my $digest = dig("m$i");
        $repo{blobs}{$blob} = $i;
        $repo{manifests}{$digest} = { refs => ['b', $blob],
                                      subject => dig('s' . $i % 700) };
        $repo{tags}{"t$i"} = $digest;
        blob('r', $blob, $i);
        put('r', $digest, tags => ["t$i"], %{$repo{manifests}{$digest}});
    }
    my $before = dump_keys();
    behind();
    rebuild_all({ r => \%repo });
    is_deeply(dump_keys(), $before, 'it is as it was');

    behind();
    my ($calls, $reply) = (0, ['', 1]);
    while ($reply->[1]) {
        $reply = step('begin', 'r', 'x');
        $calls++;
    }
    cmp_ok($calls, '>=', 20, 'it is removed in slices');
    is_deeply([grep { !/:(?:rebuilding|seq|state|events)\z/ }
               @{r('KEYS', '*')}], [], 'to its end');
};


# --- a registry made by random changes is the same after a rebuild

my $seed = $ENV{ACR_SEED} || time();
srand($seed);
note("ACR_SEED=$seed");

sub any { return $_[rand @_] }

# one change by a script, and of the model
sub change {
    my ($model, $files) = @_;
    my $name = any(qw(a a/b c));
    my $repo = $model->{$name} ||= {};
    my ($blobs, $manifests, $tags) =
        map { $repo->{$_} ||= {} } qw(blobs manifests tags);
    my $what = rand(100);
    my $digest = dig('d' . int(rand(40)));

    if ($what < 35) {
        blob($name, $digest, 7)->[0] eq 'ok' or die 'blob';
        $blobs->{$digest} = $files->{$digest} = 7;

    } elsif ($what < 70) {
        my @there = (keys %$blobs, keys %$manifests);
        my @refs = map { ('m', any(@there)) } 1 .. (@there ? rand(5) : 0);
        push(@refs, 'o', dig('o' . int(rand(5)))) if rand() < 0.3;
        # what a digest says does not change
        my $m = $manifests->{$digest} || {
            refs => \@refs, size => int(rand(1000)),
            media => any('application/a', 'application/b; x="y z"'),
            rand() < 0.5 ? () : (subject => dig('d' . int(rand(40))),
                                 atype => any('', 'x'), descriptor => '{}'),
        };
        my @tags = map { 't' . int(rand(12)) } 1 .. rand(4);
        my $reply = put($name, $digest, tags => \@tags, %$m)->[0];
        return if $reply eq 'missing' && $manifests->{$digest};
        die "put: $reply" if $reply ne 'ok';
        $manifests->{$digest} = $m;
        $files->{$digest} = 1;
        $tags->{$_} = $digest for @tags;

    } elsif ($what < 80) {
        my $tag = any(keys %$tags) // return;
        s_('tag_delete', $S, $name, $tag, 'bob')->[0] eq 'ok' or die 'tag';
        delete $tags->{$tag};

    } elsif ($what < 90) {
        $digest = any(keys %$blobs) // return;
        s_('blob_delete', $S, $name, $digest, 'bob')->[0] eq 'ok' or die 'b';
        delete $blobs->{$digest};

    } else {
        $digest = any(keys %$manifests) // return;
        my $conditions = '';
        my $reply;
        do {
            $reply = s_('manifest_delete', $S, $name, $digest, 'bob', 1,
                        defined $conditions ? $conditions : ());
            die 'manifest' if $reply->[0] ne 'ok';
            undef $conditions;
        } while ($reply->[2]);
        delete $manifests->{$digest};
        delete @$tags{grep { $tags->{$_} eq $digest } keys %$tags};
    }
}

subtest 'random changes' => sub {
    for my $round (1 .. 5) {
        my ($model, %files) = {};
        fresh();
        for (1 .. 3) {
            change($model, \%files) for 1 .. 150;
            my $before = dump_keys();
            behind();
            rebuild_all($model, keys %files);
            is_deeply(dump_keys(), $before, "round $round, rebuild $_");
        }
        my $before = dump_keys();
        r('FLUSHALL');
        $S = s_('join', 'run2', 1, 'e1', 1, 0)->[1];
        rebuild_all($model, keys %files);
        is_deeply(dump_keys(), $before, "round $round, emptied");
    }
};

done_testing();
