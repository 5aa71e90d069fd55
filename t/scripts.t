#!/usr/bin/perl

# The Lua scripts of src/meta: state, uploads, blobs, manifests, tags, what is
# pending.

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

# --- join and state

# join(run_id, mark, epoch, certain, empty): verdict, run_id:epoch, ":behind" or
# "", and why; the generation is in $generation
my $generation;

sub join_ {
    my ($run, $mark, $epoch, $certain, $empty) = @_;
    my $reply = s_('join', $run, $mark, $epoch, $certain // 1, $empty // 0);
    my ($verdict, $state, $why) = @$reply;

    (my $who, $generation, my $behind) =
        $state =~ /^(.*):f2\.(\d{16})(:behind)?\z/ or return $reply;
    is(r('GET', key('state')), $state, "$state is stored");
    is($verdict, $behind ? 'behind' : 'complete', 'the verdict is its end');
    return [$verdict, $who, $why];
}

subtest join => sub {
    r('FLUSHALL');
    reply_is(join_('run1', '0', 'e1', 1, 1), ['complete', 'run1:e1', ''],
             'an empty Redis of an empty volume is complete');
    my $first = $generation;
    reply_is(join_('run1', '0', 'e1', 0), ['complete', 'run1:e1', ''],
             'who comes later joins the same');
    is($generation, $first, 'of that generation');

    r('SET', key('seq'), '1800000000000000');
    reply_is(join_('run2', '1800000000000000', 'e1'),
             ['complete', 'run2:e1', ''], 'restarted: the mark is complete');
    reply_is(join_('run3', '900000000000000', 'e1'),
             ['complete', 'run3:e1', ''], 'marks are compared as numbers');
    reply_is(join_('run', '0', 'e1'), ['complete', 'run:e1', ''],
             'the run_id must be the whole');
    is($generation, $first, 'nothing was lost: the generation is the same');

    reply_is(join_('run5', '1800000000000001', 'e1'),
             ['behind', 'run5:e1', 'lost'], 'one below the mark is behind');
    cmp_ok($generation, '>', $first, 'of a new generation');
    is(r('GET', key('seq')), '1800000000000002',
       'seq is raised to the mark, and a history begins');
    my $second = $generation;
    reply_is(join_('run5', '0', 'e1'), ['behind', 'run5:e1', ''],
             'who comes later finds it behind');
    reply_is(join_('run6', '5', 'e1'), ['behind', 'run6:e1', ''],
             'behind stays behind through a restart');
    is($generation, $second, 'and goes on where it was');
    reply_is(join_('run6', '1800000000000003', 'e1'),
             ['behind', 'run6:e1', 'lost'],
             'the same run may have been a replica meanwhile');
    cmp_ok($generation, '>', $second, 'what it has lost is another generation');
    $second = $generation;
    reply_is(join_('run6', '1800000000000002', 'e2'),
             ['behind', 'run6:e2', 'volume'], 'another volume');
    cmp_ok($generation, '>', $second, 'is another generation');

    r('SET', key('state'), 'run6:e2:f2.1700000000000000');
    reply_is(join_('run7', '1800000000000002', 'e2', 0),
             ['behind', 'run7:e2', 'power'], 'marks may be lost');
    r('SET', key('state'), 'run7:e2:1700000000000000');
    reply_is(join_('run7', '1', 'e2'), ['behind', 'run7:e2', 'schema'],
             'a state of before schemas had numbers');
    r('SET', key('state'), 'run7:e2');
    reply_is(join_('run7', '1', 'e2'), ['behind', 'run7:e2', 'schema'],
             'a state of before generations');
};

# newer(SCRIPT, OLDEST): the name of the script as a module has it that
# makes indexes of schema 3, and can write those from OLDEST on
sub newer {
    my ($name, $oldest) = @_;

    my $text = texts()->{$name};
    $text =~ s/SCHEMA = 2$/SCHEMA = 3/m or die "$name has no SCHEMA";
    $text =~ s/OLDEST = 2$/OLDEST = $oldest/m;
    texts()->{"$name $oldest"} = $text;
    return "$name $oldest";
}

subtest schema => sub {
    my $number = sub { return r('GET', key('state')) =~ /:f(\d+)\./ && $1 };
    my $told = sub { my ($ok, %stats) = @{s_('stats')}; $stats{schema} };

    fresh();
    my $state = $S;
    is($told->(), '2', 'that of a new index');

    # a newer one that goes on with what there is
    reply_is(s_(newer('join', 2), 'run1', '0', 'e1', 1, 1),
             ['complete', $state, ''], 'is joined as it is');
    s_(newer('join', 2), 'run2', '0', 'e1', 1, 1);
    is($number->(), 2, 'also after a restart');
    is(s_(newer('join', 2), 'run2', '1900000000000000', 'e1')->[2], 'lost',
       'also one that has lost something');
    is($number->(), 2, 'is made again as it was');
    $S = s_('join', 'run2', '0', 'e1')->[1];
    is($S, r('GET', key('state')), 'so others may go on');
    is($told->(), '2', 'as stats say');

    # until the operator wants it
    fresh();
    s_(newer('rebuild_want', 2), $S);
    is($number->(), 3, 'a rebuild that was asked for makes the new schema');
    my $dump = dump_all();
    reply_is(s_('join', 'run1', '1900000000000000', 'e2', 0),
             ['newer', r('GET', key('state')),
              'its index has schema 3, and this module knows none above 2'],
             'whoever does not know it is told');
    is_deeply(dump_all(), $dump, 'and nothing is changed');
    reply_is(s_('rebuild_want', $S), ['state'], 'his state is another one');
    is_deeply(dump_all(), $dump, 'so he changes nothing either');

    # one that cannot go on
    fresh();
    is(s_(newer('join', 3), 'run1', '0', 'e1', 1, 1)->[2], 'schema',
       'an index of an older one is made again, also an empty one');
    is($number->(), 3, 'in the new schema');
    for ('run1:e1:f10.1', 'run1:e1:f99999999999999999999.1:behind') {
        r('SET', key('state'), $_);
        is(s_('join', 'run1', '0', 'e1')->[0], 'newer', "$_ is newer");
    }
    delete @{texts()}{grep { / / } keys %{texts()}};
};

sub dump_all {
    return { map { $_ => unpack('H*', r('DUMP', $_)) } @{r('KEYS', '*')} };
}

subtest 'join an empty Redis' => sub {
    for (['', '', 0, 'new', 'a volume with content'],
         ['', '5', 1, 'lost', 'marks'],
         ['7', '5', 1, 'new', 'a sequence'],
         ['3', '5', 0, 'lost', 'less than the mark'])
    {
        my ($seq, $mark, $empty, $why, $name) = @$_;
        r('FLUSHALL');
        r('SET', key('seq'), $seq) if $seq ne '';
        reply_is(join_('run', $mark || '0', 'e', 1, $empty),
                 ['behind', 'run:e', $why], $name);
    }
    r('FLUSHALL');
    reply_is(join_('run', '9007199254740993', 'e'),
             ['behind', 'run:e', 'lost'], 'all was lost');
    r('SET', key('seq'), '9007199254740992');
    r('SET', key('state'), 'run:e:f2.17');
    reply_is(join_('run', '9007199254740993', 'e'),
             ['behind', 'run:e', 'lost'], 'no mark is rounded');
    r('FLUSHALL');
    like(s_('join', 'run', '', 'e', 1, 1)->{error}, qr/ERR the mark is no/,
         'a mark is a number');
    is_deeply(r('KEYS', '*'), [], 'else nothing changes');
};

subtest 'state refused' => sub {
    fresh();
    blob('r', $A);
    put('r', $M, tags => ['t']);
    s_('upload_create', $S, 'u', 'r', 'sha256', 60);
    my %call = (
        attributes_set => ['r', 't', 'w', '', '', '', 'bob'],
        upload_create => ['v', 'r', 'sha256', 60],
        upload_take => ['u', 'r', '', 60],
        upload_save => ['u', 0, 5, 'h', 'f', 1, 60],
        upload_cancel => ['u', 'r'],
        blob_commit => ['r', $B, 1, '', 0, 'bob'],
        blob_delete => ['r', $A, 'bob'],
        manifest_put => ['r', $N, 1, 'm', '', '', '', 0, 'bob', 0, 0],
        manifest_delete => ['r', $M, 'bob', 10],
        tag_delete => ['r', 't', 'bob'],
        pending_done => ['r', 't', $M],
        broken => [$A],
        gc_ask => [$A], gc_begin => [$A, 0], gc_end => [$A],
        gc_link => ['r', $A, 0], gc_manifest => ['r', $M, 0],
        gc_orphans => [$B],
        rebuild_attributes => ['r', 'x', 't', 'w - '],
        repository_next => ['r', ''],
        rebuild_begin => ['r', 'x'], rebuild_blobs => ['r', 'x', $B, 1],
        rebuild_done => ['x'], rebuild_finish => ['r', 'x'],
        rebuild_leave => ['r', 'x'],
        rebuild_manifest => ['r', 'x', $N, 1, 'm', '', '', '', 1, 0],
        rebuild_tags => ['r', 'x', 't', $M, 1, 1],
        rebuild_unread => ['r', 'x', $A], rebuild_want => [],
        work_end => ['gc', 'x'], work_note => ['gc', 'x', ''],
        work_stop => ['gc'], work_take => ['gc', 'x'],
        work_want => ['gc', ''],
    );
    # ARGV in the head of a script tells whether it has to know the state
    is_deeply([sort keys %call],
              [sort grep { slurp(meta_dir() . "/$_.lua") =~ /\bARGV state\b/ }
               keys %{texts()}], 'all of them');
    my $before = r('KEYS', '*');
    my $seq = r('GET', key('seq'));
    for my $name (sort keys %call) {
        reply_is(s_($name, 'run1:other', @{$call{$name}}), ['state'], $name);
    }
    r('DEL', key('state'));
    for my $name (sort keys %call) {
        reply_is(s_($name, '', @{$call{$name}}), ['state'],
                 "$name without a state");
    }
    r('SET', key('state'), $S);
    is_deeply([sort @{r('KEYS', '*')}], [sort @$before], 'no key changed');
    is(r('GET', key('seq')), $seq, 'nor the sequence');
    r('DEL', key('state'));
    reply_is(s_('link_now', 'r', 'none'), ['ok', '0', '', '', ''],
             'a lookup without a state says so');
};

subtest sequence => sub {
    fresh();
    ok_seq(blob('r', $A), 'the first');
    ok_seq(blob('r', $B), 'the next is higher');
    my $future = '4000000000000000';
    r('SET', key('seq'), $future);
    is(blob('r', $C)->[1], '4000000000000001', 'a clock that went back');
    is(put('r', $M)->[1], '4000000000000002', 'and goes on');
    is(last_event()->{seq}, '4000000000000002', 'the event has it unrounded');
};

# --- uploads

subtest uploads => sub {
    fresh();
    my $u = '0f1e-uuid';
    reply_is(s_('upload_get', $u, 'r'), ['unknown'], 'no session');
    reply_is(s_('upload_take', $S, $u, 'r', '', 60), ['unknown'],
             'none to take');
    reply_is(s_('upload_save', $S, $u, 1, 5, '', '', 1, 60), ['unknown'],
             'none to save');
    reply_is(s_('upload_cancel', $S, $u, 'r'), ['unknown'], 'none to cancel');

    reply_is(s_('upload_create', $S, $u, 'r', 'sha512', 1000), ['ok'],
             'create');
    my $ttl = r('TTL', key('upload', $u));
    ok($ttl > 0 && $ttl <= 1000, 'it expires');
    reply_is(s_('upload_get', $u, 'r'), ['ok', '0', 'sha512', ''], 'get');
    reply_is(s_('upload_get', $u, 'q'), ['unknown'], 'of another repository');
    reply_is(s_('upload_take', $S, $u, 'q', '', 60), ['unknown'],
             'nor taken from there');
    reply_is(s_('upload_cancel', $S, $u, 'q'), ['unknown'],
             'nor cancelled from there');

    reply_is(s_('upload_take', $S, $u, 'r', '5', 60), ['range', '0'],
             'a wrong start');
    is(r('HGET', key('upload', $u), 'owner'), '0', 'changes nothing');
    reply_is(s_('upload_take', $S, $u, 'r', '0', 2000),
             ['ok', '1', '0', 'sha512', '', '', '1', '0'], 'take, clean');
    ok(r('TTL', key('upload', $u)) > 1000, 'the time to live is renewed');
    reply_is(s_('upload_take', $S, $u, 'r', '', 60),
             ['ok', '2', '0', 'sha512', '', '', '0', '0'],
             'taken from an owner that did not let go');

    my $state = join('', map { chr } 0 .. 255);
    my $big = '9007199254740993';
    reply_is(s_('upload_save', $S, $u, 1, 7, 'x', 'old', 0, 60), ['lost'],
             'the owner before cannot save');
    reply_is(s_('upload_save', $S, $u, 2, $big, $state, 'file.2', 0, 60),
             ['ok'], 'the present one can');
    is(r('HGET', key('upload', $u), 'held'), '1', 'and holds on');
    reply_is(s_('upload_save', $S, $u, 2, $big, $state, 'file.2', 1, 60),
             ['ok'], 'save and let go');
    reply_is(s_('upload_get', $u, 'r'), ['ok', $big, 'sha512', 'file.2'],
             'the offset is not rounded');
    reply_is(s_('upload_take', $S, $u, 'r', $big, 60),
             ['ok', '3', $big, 'sha512', $state, 'file.2', '1', '0'],
             'handed over, with every byte of the digest state');
    s_('upload_save', $S, $u, 3, $big, $state, 'file.2', 1, 60);
    r('HSET', key('upload', $u), 'history', 'another');
    my $taken = s_('upload_take', $S, $u, 'r', $big, 60);
    cmp_ok($taken->[1], '>', 1e15, 'an owner that none before has been');
    is_deeply([@$taken[2 .. 7]], [$big, 'sha512', $state, 'file.2', '0', '1'],
              'what Redis may have lost is in doubt, and not clean');
    reply_is(s_('upload_save', $S, $u, 4, $big, $state, 'file.2', 1, 60),
             ['lost'], 'nor has the next number its place');
    is(s_('upload_take', $S, $u, 'r', '', 60)->[7], '1', 'and stays in doubt');
    reply_is(s_('upload_cancel', $S, $u, 'r', 99), ['lost'],
             'another owner does not cancel');
    reply_is(s_('upload_cancel', $S, $u, 'r'), ['ok', 'file.2'], 'cancel');
    reply_is(s_('upload_get', $u, 'r'), ['unknown'], 'is gone');
    is(events(), 0, 'uploads are no events');
    is_deeply(left(), [], 'nothing is left');
};

# --- blobs

subtest blobs => sub {
    fresh();
    my $big = '9007199254740993';
    s_('upload_create', $S, 'u', 'r', 'sha256', 60);
    s_('upload_take', $S, 'u', 'r', '', 60);
    my @commit = ('blob_commit', $S, 'r', $A, $big);
    reply_is(s_(@commit, 'v', 1, 'bob'), ['unknown'], 'no such session');
    reply_is(s_(@commit, 'u', 0, 'bob'), ['lost'], 'another owner');
    reply_is(s_('blob_commit', $S, 'q', $A, 1, 'u', 1, 'bob'), ['unknown'],
             'the session of another repository');
    r('ZADD', key('collecting'), 5, $A);
    reply_is(s_(@commit, 'u', 1, 'bob'), ['collecting', $A],
             'it is being collected');
    r('DEL', key('collecting'));
    reply_is(list_('catalog', '', 10), ['ok', '0', $S], 'none of it committed');
    is(r('EXISTS', key('upload', 'u')), '1', 'the session is still there');

    r('ZADD', key('candidates'), 5, $A);
    ok_seq(s_(@commit, 'u', 1, 'bob'), 'commit');
    is(r('EXISTS', key('upload', 'u')), '0', 'the session is gone');
    is_deeply(last_event(), {seq => $last, action => 'blob_commit',
              repository => 'r', digest => $A, tag => '', actor => 'bob'},
              'the event');
    reply_is(s_('pending_list', 0, 10), ['ok', "r\@$A"], 'it is pending');
    ok(candidate('r', $A), 'a new link is a candidate');
    ok(!defined candidate($A), 'the digest alone is none any more');
    reply_is(list_('catalog', '', 10), ['ok', '0', $S, 'r'], 'in the catalog');

    ok_seq(s_(@commit, 'u', 1, 'bob'), 'a repeated commit');
    ok_seq(s_(@commit, '', 0, 'bob'), 'one without a session');
    is(r('HLEN', key('blobs', 'r')), '1', 'still one blob');

    reply_is(s_('blob_stat', 'r', $A, 0), ['ok', $big, $S], 'stat');
    reply_is(s_('blob_stat', 'r', $B, 1), ['miss', $S], 'no such blob');
    reply_is(s_('blob_stat', 'q', $A, 1), ['miss', $S], 'not linked here');
    r('ZADD', key('candidates'), 5, "r $A");
    s_('blob_stat', 'r', $A, 0);
    is(candidate('r', $A), '5', 'stat without touch');
    s_('blob_stat', 'r', $A, 1);
    cmp_ok(candidate('r', $A), '>', 5, 'stat with touch');
    r('ZADD', key('candidates'), 9000000000, "r $A");
    s_('blob_stat', 'r', $A, 1);
    is(candidate('r', $A), '9000000000', 'a touch only raises');
    ok(!defined candidate('r', $B), 'a miss touches nothing');

    ok_seq(blob('q', $A), 'linked in a second repository');
    reply_is(s_('blob_delete', $S, 'r', $B, 'bob'), ['unknown'],
             'delete what is not there');
    ok_seq(s_('blob_delete', $S, 'r', $A, 'eve'), 'delete');
    is_deeply(last_event(), {seq => $last, action => 'blob_delete',
              repository => 'r', digest => $A, tag => '', actor => 'eve'},
              'the event');
    reply_is(s_('blob_delete', $S, 'r', $A, 'bob'), ['unknown'], 'twice');
    reply_is(s_('blob_stat', 'r', $A, 0), ['miss', $S], 'it is gone');
    ok(!defined candidate('r', $A), 'its link is no candidate any more');
    ok(!defined candidate($A), 'nor the digest, which another one holds');
    reply_is(list_('catalog', '', 10), ['ok', '0', $S, 'q'],
             'a repository without anything is not listed');
    ok_seq(s_('blob_delete', $S, 'q', $A, 'bob'), 'delete the last link');
    ok(candidate($A), 'now the digest is a candidate');
    is_deeply(left(), [], 'nothing is left');
};

subtest blob_find => sub {
    fresh();
    reply_is(s_('blob_find', 'new', $A, ''), ['miss', $S], 'nobody has it');
    blob('r', $A, 11);
    blob('q', $A, 11);
    reply_is(s_('blob_find', 'new', $A, 'q'), ['ok', '11', 'q', $S], 'from');
    reply_is(s_('blob_find', 'new', $A, 'x'), ['miss', $S],
             'from one that has it not');
    reply_is(s_('blob_find', 'r', $A, ''), ['ok', '11', 'r', $S],
             'its own first');
    my $any = s_('blob_find', 'new', $A, '');
    like($any->[2], qr/^[qr]\z/, 'any');
    r('ZADD', key('candidates'), 5, "q $A");
    s_('blob_find', 'new', $A, 'q');
    cmp_ok(candidate('q', $A), '>', 5, 'the source is touched');

    put('r', $M);
    reply_is(s_('blob_find', 'new', $M, ''), ['miss', $S],
             'a manifest is no blob');
    r('SADD', key("in:$B"), map { "m$_" } 1 .. 5000);
    reply_is(s_('blob_find', 'new', $B, ''), ['miss', $S],
             'many holders without it as a blob');
};

subtest mount => sub {
    fresh();
    my $mount = sub {
        my ($from) = @_;
        return s_('blob_commit', $S, 'new', $A, 10, '', '', 'bob', $from);
    };
    reply_is($mount->('r'), ['unknown'], 'from one that has it not');
    blob('r', $A);
    ok_seq($mount->('r'), 'from one that has it');
    ok_seq($mount->('new'), 'from itself');
    s_('blob_delete', $S, 'new', $A, 'bob');
    s_('blob_delete', $S, 'r', $A, 'bob');
    reply_is($mount->('r'), ['unknown'], 'its source has gone meanwhile');
    reply_is(list_('catalog', '', 9), ['ok', '0', $S], 'nothing was committed');

    blob('r', $A);
    s_('broken', $S, $A);
    reply_is($mount->('r'), ['unknown'], 'its source is broken meanwhile');
};

subtest broken => sub {
    fresh();
    blob('r', $_) for $A, $B;
    put('r', $M, tags => ['t']);
    put('r', $N, tags => ['u']);
    reply_is(s_('broken', $S, $_), ['ok'], 'broken') for $A, $M;
    reply_is(s_('blob_stat', 'r', $B, 1), ['ok', '10', $S],
             'another blob is not');
    is(get('r', 'u', 'tag')->[1], $N, 'nor another manifest');
    reply_is(s_('blob_stat', 'r', $A, 1), ['miss', $S], 'a blob is a miss');
    reply_is(s_('blob_find', 'q', $A, ''), ['miss', $S], 'for a mount too');
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'a manifest is a miss');
    reply_is(get('r', 't', 'tag'), ['miss', $S], 'by its tag too');
    reply_is(put('r', $N, refs => ['b', $A]), ['missing', $A],
             'a reference to it misses it');
    reply_is(check('r', '', 'm', $M), ['missing', $M, $S],
             'nor may an index name it');
    reply_is(check('r', '', 'o', $M), ['ok', $S], 'unless it may be missing');
    reply_is(s_('link_now', 'r', $A), ['ok', '0', $S, 'b', ''],
             'its link stays');
    ok_seq(blob('q', $A), 'it is pushed to another repository');
    reply_is(s_('blob_stat', 'r', $A, 0), ['ok', '10', $S],
             'that heals it here');
    ok_seq(put('r', $M), 'a put of the manifest');
    is(get('r', 't', 'tag')->[1], $M, 'heals that one');
    is(r('EXISTS', key('broken')), '0', 'nothing is broken');
};

# --- manifests

subtest manifests => sub {
    fresh();
    blob('r', $A);
    blob('r', $B);
    reply_is(get('r', 't', 'tag'), ['miss', $S], 'no tag');
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'no manifest');

    my $seq = r('GET', key('seq'));
    my $n = events();
    reply_is(put('r', $M, tags => ['t'], refs => ['b', $A, 'b', $C]),
             ['missing', $C], 'a blob is missing');
    reply_is(put('r', $M, refs => ['m', $N]), ['missing', $N],
             'a manifest is missing');
    r('ZADD', key('collecting'), 5, $B, 5, $M);
    reply_is(put('r', $M), ['collecting', $M],
             'the manifest is being collected');
    r('DEL', key('collecting'));
    is(r('EXISTS', key('manifests', 'r'), key('refs', 'r'), key('tag', 'r')),
       '0', 'a refused manifest changes nothing');
    is(r('ZSCORE', key('pending'), "r\@$M"), undef, 'and is not pending');
    is(r('GET', key('seq')) . ' ' . events(), "$seq $n", 'and is no event');

    my $media = 'application/vnd.oci.image.manifest.v1+json';
    my $big = '9007199254740993';
    ok_seq(put('r', $M, size => $big, media => $media, tags => ['t', 'u'],
               refs => ['b', $A, 'b', $B, 'b', $A, 'o', $C]), 'put');
    is_deeply(last_event(), {seq => $last, action => 'manifest_put',
              repository => 'r', digest => $M, tag => 't u', actor => 'bob'},
              'the event');
    reply_is(get('r', 't', 'tag'), ['ok', $M, $big, $media, $S], 'by tag');
    reply_is(get('r', $M, 'digest'), ['ok', $M, $big, $media, $S],
             'by digest');
    reply_is(get('r', 't', 'digest'), ['miss', $S], 'a tag is no digest');
    reply_is(get('q', 't', 'tag'), ['miss', $S], 'another repository');
    is(r('HGET', key('tag', 'r'), 't'), "$M $last $last",
       'the times of the tag');
    is_deeply([sort grep { !/\@(?:$A|$B)\z/ }
               @{r('ZRANGE', key('pending'), 0, -1)}],
              ['r:t', 'r:u', "r\@$M"], 'it and its tags are pending');
    is_deeply([map { refs('r', $_) } $A, $B, $C], [1, 1, 1],
              'a digest named twice counts once');
    ok(!defined candidate('r', $A), 'what is referred to is no candidate');

    ok_seq(put('r', $M, tags => ['t'], refs => ['b', $A, 'b', $B]), 'again');
    is_deeply([map { refs('r', $_) } $A, $B, $C], [1, 1, 1],
              'a repeated put does not count twice');
    blob('r', $A);
    blob('r', $C);
    s_('blob_stat', 'r', $C, 1);
    ok(!defined candidate('r', $A) && !defined candidate('r', $C),
       'nor is a needed blob made a candidate');

    ok_seq(put('r', $N, refs => ['b', $A, 'm', $M]), 'a second manifest');
    is_deeply([refs('r', $A), refs('r', $M)], [2, 1], 'counts');

    ok_seq(put('r', dig('i'), refs => ['o', dig('x')]), 'a sparse index');
    ok_seq(put('r', dig('k'), refs => ['m', $A]), 'm may be a blob');
    ok_seq(s_('manifest_delete', $S, 'r', dig('k'), 'bob', 9, ''),
           'gone again');

    my @more = ok_seq(s_('manifest_delete', $S, 'r', $N, 'eve', 10, ''),
                      'delete the second');
    is_deeply(\@more, ['0'], 'which had no tags');
    is_deeply(last_event(), {seq => $last, action => 'manifest_delete',
              repository => 'r', digest => $N, tag => '', actor => 'eve'},
              'the event');
    is_deeply([refs('r', $A), refs('r', $M)], [1, undef], 'counts');
    ok(!defined candidate('r', $A), 'a needed blob is no candidate');
    ok(candidate($N), 'the digest of the manifest is one');
    @more = ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 10, ''),
                   'delete the first');
    is_deeply(\@more, ['0', 't', 'u'], 'with its tags');
    is_deeply([map { refs('r', $_) } $A, $B, $C], [undef, undef, undef],
              'no counts');
    ok(candidate('r', $A) && candidate('r', $B) && candidate('r', $C),
       'the blobs are candidates');
    reply_is(get('r', 't', 'tag'), ['miss', $S], 'no tag');
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'no manifest');
    reply_is(s_('manifest_delete', $S, 'r', $M, 'bob', 10, ''), ['unknown'],
             'delete twice');

    s_('manifest_delete', $S, 'r', dig('i'), 'bob', 10, '');
    ok(!defined candidate('r', dig('x')), 'what was never there is none');
    s_('blob_delete', $S, 'r', $_, 'bob') for $A, $B, $C;
    is_deeply(left(), [], 'nothing is left');

    is(put('r', $M, tags => [map { "t$_" } 1 .. 100],
           refs => [map { ('o', dig($_)) } 1 .. 1000])->[0], 'ok',
       'the most tags and references');
    is(s_('manifest_delete', $S, 'r', $M, 'bob', 1000, '')->[2], '0',
       'in one script');
    is_deeply(left(), [], 'nothing is left');
    for (['tags', map { "t$_" } 1 .. 101],
         ['refs', map { ('o', dig($_)) } 1 .. 1001], ['refs', 'z', $A],
         ['refs', 'o'])
    {
        my ($what, @list) = @$_;
        is(ref put('r', $M, $what => \@list), 'HASH', "wrong $what");
    }
    is_deeply(left(), [], 'change nothing');
};

subtest 'blob and manifest of one digest' => sub {
    fresh();
    blob('r', $M);
    put('r', $M);
    ok_seq(s_('blob_delete', $S, 'r', $M, 'bob'), 'delete the blob');
    is_deeply(r('SMEMBERS', key("in:$M")), ['r'], 'the manifest holds it');
    ok(!defined candidate($M), 'so it is no candidate');
    blob('r', $M);
    ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 1, ''), 'the other way');
    is_deeply(r('SMEMBERS', key("in:$M")), ['r'], 'the blob holds it');
    ok(candidate('r', $M) && !defined candidate($M), 'a candidate as a link');
    blob('q', $A);
    put('q', $N, refs => ['b', $A]);
    ok_seq(s_('blob_delete', $S, 'q', $A, 'bob'),
           'a blob that is referred to may be deleted');
    is(refs('q', $A), '1', 'its count stays');
    blob('q', $A);
    ok(!defined candidate('q', $A), 'so the next push of it is needed');
};

# --- tags

subtest tags => sub {
    fresh();
    put('r', $M, tags => ['t', 'u']);
    my ($before) = r('HGET', key('tag', 'r'), 't') =~ / (\d+)/;
    put('r', $N, tags => ['t']);
    reply_is(get('r', 't', 'tag')->[1], $N, 'the tag moved');
    reply_is(get('r', 'u', 'tag')->[1], $M, 'the other one did not');
    cmp_ok((r('HGET', key('tag', 'r'), 't') =~ / (\d+)/)[0], '>', $before,
           'its time rose');
    is_deeply(r('ZRANGE', key('tagsof', 'r', $M), 0, -1), ['u'], 'tags of');
    is_deeply(r('ZRANGE', key('tagsof', 'r', $N), 0, -1), ['t'], 'tags of');
    reply_is([@{s_('manifest_delete', $S, 'r', $M, 'bob', 9, '')}[2, 3]],
             ['0', 'u'], 'delete of the old digest takes only its own');
    reply_is(s_('link_now', 'r', 't'), ['ok', '0', $S, $N, ''], 'now');
    reply_is(s_('link_now', 'r', 'u'), ['ok', '0', $S, '', ''], 'gone');
    reply_is(get('r', 't', 'tag')->[1], $N, 'the moved one stays');

    r('DEL', key('pending'));
    $last = 0;
    reply_is(s_('tag_delete', $S, 'r', 'u', 'bob'), ['unknown'],
             'delete what is gone');
    is_deeply([ok_seq(s_('tag_delete', $S, 'r', 't', 'eve'), 'delete')],
              [$N], 'says what it was');
    is_deeply(last_event(), {seq => $last, action => 'tag_delete',
              repository => 'r', digest => $N, tag => 't', actor => 'eve'},
              'the event');
    reply_is(get('r', 't', 'tag'), ['miss', $S], 'it is gone');
    is(get('r', $N, 'digest')->[0], 'ok', 'its manifest is not');
    reply_is(s_('pending_list', 0, 10), ['ok', 'r:t'], 'it is pending');
    reply_is(s_('tag_delete', $S, 'r', 't', 'bob'), ['unknown'], 'twice');
    s_('manifest_delete', $S, 'r', $N, 'bob', 9, '');
    is_deeply(left(), [], 'nothing is left');
};

subtest pending => sub {
    fresh();
    put('r', $M, tags => ['t']);
    r('ZREM', key('pending'), "r\@$M");
    reply_is(s_('pending_done', $S, 'r', 't', $N), ['changed'],
             'the tag is another digest');
    reply_is(s_('pending_done', $S, 'r', 't', ''), ['changed'],
             'the tag is there');
    reply_is(s_('pending_list', 0, 10), ['ok', 'r:t'], 'still pending');
    reply_is(s_('pending_done', $S, 'r', 't', $M), ['ok'], 'done');
    reply_is(s_('pending_done', $S, 'r', 't', $M), ['ok'], 'twice');
    reply_is(s_('pending_list', 0, 10), ['ok'], 'none');
    s_('tag_delete', $S, 'r', 't', 'bob');
    reply_is(s_('pending_done', $S, 'r', 't', $M), ['changed'],
             'the tag is gone');
    reply_is(s_('pending_done', $S, 'r', 't', ''), ['ok'], 'done as gone');

    put('r', $M, tags => ['t', 'u']);
    reply_is(s_('link_now', 'r', $M, 't', 'none', 'u'),
             ['ok', '0', $S, 'm', '', $M, '', '', '', $M, ''], 'several names');
    s_('tag_delete', $S, 'r', 'u', 'bob');
    reply_is(s_('pending_done', $S, 'r', $M, 'm', '', 't', $M, '', 'u', $M,
                ''), ['changed'], 'one of several has changed');
    reply_is(s_('pending_list', 0, 10), ['ok', 'r:u'], 'the others are done');
    reply_is(s_('pending_done', $S, 'r', $M, 'm', '', 'u', '', ''), ['ok'],
             'then all of them');
    reply_is(s_('pending_list', 0, 10), ['ok'], 'none');

    my ($now) = @{r('TIME')};
    r('ZADD', key('pending'), $now - 1000, 'r:b', $now - 2000, 'r:a',
      $now + 1000, 'r:c');
    reply_is(s_('pending_list', 500, 10), ['ok', 'r:a', 'r:b'], 'by age');
    reply_is(s_('pending_list', 1500, 10), ['ok', 'r:a'], 'by a higher age');
    reply_is(s_('pending_list', 500, 1), ['ok', 'r:a'], 'no more than n');
    reply_is(s_('pending_list', 500, 0), ['ok'], 'none of them');

    r('ZADD', key('removing'), $now - 1000, "r $A", $now + 1000, "r $M");
    reply_is(s_('removing_list', 500, 10), ['ok', "r $A"],
             'removals by age too');
};

subtest 'pending digests' => sub {
    fresh();
    my $done = sub { return s_('pending_done', $S, 'r', @_)->[0] };
    my $now = sub { return s_('link_now', 'r', $_[0]) };
    my $list = sub { return [sort grep { $_ ne 'ok' }
                             @{s_('pending_list', 0, 10)}] };
    reply_is($now->($A), ['ok', '0', $S, '', ''], 'nothing yet');
    is(blob('r', $A)->[2], 'b', 'what a commit makes it');
    reply_is($now->($A), ['ok', '0', $S, 'b', ''], 'a blob');
    reply_is(s_('link_now', 'q', $A), ['ok', '0', $S, '', ''],
             'another repository');
    is(put('r', $A, tags => ['t'])->[2], 'bm', 'and a put');
    reply_is($now->($A), ['ok', '0', $S, 'bm', ''], 'and a manifest');
    is_deeply($list->(), ['r:t', "r\@$A"],
              'the digest and the tag');
    is($done->($A, 'b'), 'changed', 'not only a blob');
    is($done->($A, ''), 'changed', 'not gone');
    is($done->($A, 'bm'), 'ok', 'done');
    reply_is(s_('pending_list', 0, 10), ['ok', 'r:t'], 'the tag is not');
    is($done->('t', $A), 'ok', 'but now');
    is($done->($A, 'bm'), 'ok', 'twice');

    s_('blob_delete', $S, 'r', $A, 'bob');
    reply_is(s_('pending_list', 0, 10), ['ok', "r\@$A"], 'blob_delete');
    reply_is($now->($A), ['ok', '0', $S, 'm', ''], 'a manifest still');
    is($done->($A, 'bm'), 'changed', 'no blob any more');
    is($done->($A, 'm'), 'ok', 'done');
    s_('manifest_delete', $S, 'r', $A, 'bob', 9, '');
    is_deeply($list->(), ['r:t', "r\@$A"],
              'manifest_delete');
    reply_is($now->($A), ['ok', '0', $S, '', ''], 'gone');
    is($done->($A, 'm'), 'changed', 'no manifest any more');
    is($done->($A, ''), 'ok', 'done as gone');
};

subtest conditions => sub {
    fresh();
    put('r', $M);
    reply_is(check('r', "m t $M"), ['changed', $S], 'no such tag to match');
    ok_seq(put('r', $M, tags => ['t']), 'a tag');
    reply_is(check('r', "m t $M"), ['ok', $S], 'the tag matches');
    reply_is(check('r', "m t $A $M"), ['ok', $S], 'one of several');
    reply_is(check('r', 'm t *'), ['ok', $S], 'it is there');
    reply_is(check('r', "m t $A"), ['changed', $S], 'another');
    reply_is(check('r', 'm t '), ['changed', $S], 'none can match');
    reply_is(check('r', 'n t *'), ['changed', $S], 'it must not be there');
    reply_is(check('r', "n t $M"), ['changed', $S], 'it must not be this');
    reply_is(check('r', "n t $A"), ['ok', $S], 'it may be this');
    reply_is(check('r', 'n u *'), ['ok', $S], 'another is not there');
    reply_is(check('r', "m $M *"), ['ok', $S], 'a digest');
    reply_is(check('r', "n $M *"), ['changed', $S], 'must not be there');
    reply_is(check('r', "m t $M\nn t *"), ['changed', $S], 'both conditions');
    reply_is(put('r', $M, tags => ['t'], conditions => 'n t *'), ['changed'],
             'a put');
    reply_is(s_('tag_delete', $S, 'r', 't', 'bob', "m t $A"), ['changed'],
             'a deletion');
    reply_is(s_('manifest_delete', $S, 'r', $M, 'bob', 9, "m $M $A"),
             ['changed'], 'a deletion by digest');
};

subtest manifest_check => sub {
    fresh();
    blob('r', $A);
    put('r', $M);
    my $before = r('KEYS', '*');
    my $seq = r('GET', key('seq'));
    reply_is(check('r', ''), ['ok', $S], 'no references');
    reply_is(check('r', '', 'b', $A, 'm', $M, 'm', $A, 'o', $N), ['ok', $S],
             'all there');
    reply_is(check('r', '', 'b', $A, 'b', $B, 'b', $C), ['missing', $B, $S],
             'the first that is missing');
    reply_is(check('q', '', 'b', $A), ['missing', $A, $S],
             'in that repository');
    reply_is(check('r', '', 'b', $M), ['missing', $M, $S],
             'a manifest is no blob');
    reply_is(check('r', '', 'm', $N), ['missing', $N, $S], 'a manifest');
    is(check('r', '', map { ('o', dig($_)) } 1 .. 1000)->[0], 'ok',
       'the most references');
    for ([map { ('o', dig($_)) } 1 .. 1001], ['z', $A], ['o']) {
        is(ref check('r', '', @$_), 'HASH', 'wrong references');
    }
    is(ref s_('manifest_check', 'r', '', 0), 'HASH', 'none at all');
    is_deeply([sort @{r('KEYS', '*')}], [sort @$before], 'it writes nothing');
    is(r('GET', key('seq')), $seq, 'nor takes a sequence');
};

done_testing();
