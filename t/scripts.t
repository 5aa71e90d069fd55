#!/usr/bin/perl

# The Lua scripts of src/meta, against a redis-server of its own on a unix
# socket.  Another server: REDIS_SERVER=/path/to/valkey-server.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Errno qw(EINTR);
use File::Basename qw(basename dirname);
use File::Spec;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;

my $META = File::Spec->rel2abs(dirname(__FILE__) . '/../src/meta');
my $SERVER = $ENV{REDIS_SERVER} || 'redis-server';
my $P = 'acr:{test}';
my ($pid, $redis, %script, %text);

# --- the server

my $dir = tempdir('acr-scripts-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $sock = "$dir/redis.sock";

if (!grep { -x "$_/$SERVER" } '', File::Spec->path()) {
    plan(skip_all => "no $SERVER");
}

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{ALRM} = sub { print STDERR "the test hangs\n"; exit 1 };
$SIG{PIPE} = 'IGNORE';
alarm(120);

$pid = fork();
die "fork: $!" if !defined $pid;
if ($pid == 0) {
    open(STDOUT, '>', "$dir/log") or die;
    open(STDERR, '>&', \*STDOUT) or die;
    exec($SERVER, '--port', '0', '--unixsocket', $sock, '--save', '',
         '--appendonly', 'no', '--dir', $dir, '--daemonize', 'no')
        or kill('KILL', $$);
}

END {
    if ($pid) {
        my $status = $?;
        local $!;
        kill('KILL', $pid);
        waitpid($pid, 0);
        $? = $status;
    }
}

# --- a minimal RESP client

sub dial {
    for (1 .. 500) {
        my $s = IO::Socket::UNIX->new(Peer => $sock);
        if ($s) {
            binmode($s);
            return { sock => $s, in => '' };
        }
        select(undef, undef, undef, 0.02);
    }
    die "no redis at $sock";
}

sub fill {
    my ($c) = @_;
    my $n = sysread($c->{sock}, $c->{in}, 65536, length $c->{in});
    return if !defined $n && $! == EINTR;
    die "redis is gone" if !$n;
}

sub receive {
    my ($c) = @_;
    my $at;
    fill($c) while ($at = index($c->{in}, "\r\n")) < 0;
    my $line = substr($c->{in}, 0, $at + 2, '');
    my ($type, $rest) = $line =~ /^(.)(.*)\r\n\z/s;

    return $rest if $type eq '+' || $type eq ':';
    return { error => $rest } if $type eq '-';
    if ($type eq '$') {
        return undef if $rest < 0;
        fill($c) while length($c->{in}) < $rest + 2;
        return substr(substr($c->{in}, 0, $rest + 2, ''), 0, $rest);
    }
    if ($type eq '*') {
        return undef if $rest < 0;
        return [map { receive($c) } 1 .. $rest];
    }
    die "RESP: $line";
}

sub transmit {
    my ($c, @args) = @_;
    my $out = '*' . @args . "\r\n";
    $out .= '$' . length($_) . "\r\n$_\r\n" for @args;
    while (length $out) {
        my $n = syswrite($c->{sock}, $out);
        next if !defined $n && $! == EINTR;
        die "redis is gone: $!" if !defined $n;
        substr($out, 0, $n, '');
    }
}

# A command whose errors are fatal.
sub r {
    transmit($redis, @_);
    my $reply = receive($redis);
    die "$_[0]: $reply->{error}" if ref $reply eq 'HASH';
    return $reply;
}

# A script; an error is {error => ...}.
sub s_ {
    my ($name, @args) = @_;
    $script{$name} //= r('SCRIPT', 'LOAD', $text{$name});
    transmit($redis, 'EVALSHA', $script{$name}, 1, $P, @args);
    return receive($redis);
}

sub slurp {
    my ($path) = @_;
    open(my $f, '<:raw', $path) or die "$path: $!";
    local $/;
    return <$f>;
}

$redis = dial();

my $common = slurp("$META/common.lua");
for my $path (sort glob("$META/*.lua")) {
    my $name = basename($path, '.lua');
    $text{$name} = $common . slurp($path) if $name ne 'common';
}

# --- helpers of the tests

my $S;                                  # the state
my $last = 0;                           # the sequence of the last mutation

sub dig { return 'sha256:' . sha256_hex($_[0]) }
sub key { return join(':', $P, @_) }

sub fresh {
    r('FLUSHALL');
    $S = s_('join', 'run1', '0', 'e1')->[1];
    $last = 0;
}

# An "ok" with a sequence that rises; returns the rest of the reply.
sub ok_seq {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    if (ref $reply ne 'ARRAY' || $reply->[0] ne 'ok') {
        fail($name);
        diag(explain($reply));
        return;
    }
    my ($ok, $seq, @rest) = @$reply;
    ok($seq =~ /^[1-9]\d{15}\z/ && $seq > $last && r('GET', key('seq')) eq $seq,
       $name) or diag("seq $seq after $last");
    $last = $seq;
    return @rest;
}

sub reply_is {
    my ($reply, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply($reply, $want, $name) or diag(explain($reply));
}

sub blob {
    my ($repo, $digest, $size) = @_;
    return s_('blob_commit', $S, $repo, $digest, $size // 10, '', '0', 'bob');
}

# put(repo, digest, tags => [], refs => [kind, digest...], ...)
sub put {
    my ($repo, $digest, %o) = @_;
    my @tags = @{$o{tags} || []};
    my @refs = @{$o{refs} || []};
    return s_('manifest_put', $o{state} // $S, $repo, $digest,
              $o{size} // 100, $o{media} // 'application/m',
              $o{subject} // '', $o{atype} // '', $o{descriptor} // '',
              $o{conditions} // '', 'bob', scalar(@tags), @tags, @refs / 2,
              @refs);
}

sub check {
    my ($repo, $conditions, @refs) = @_;
    return s_('manifest_check', $repo, $conditions, @refs / 2, @refs);
}

sub get  { return s_('manifest_get', @_) }
sub refs { return r('HGET', key('refs', $_[0]), $_[1]) }

sub candidate {
    return r('ZSCORE', key('candidates'), join(' ', @_));
}

# The last event as a hash.
sub last_event {
    my $list = r('XREVRANGE', key('events'), '+', '-', 'COUNT', 1);
    return $list->[0] ? {@{$list->[0][1]}} : {};
}

sub events { return r('XLEN', key('events')) }

# Every key of the registry, but not what only grows.
sub left {
    my %skip = map { key($_) => 1 }
               qw(state seq events candidates pending behind);
    return [sort grep { !$skip{$_} } @{r('KEYS', '*')}];
}

my $A = dig('a');
my $B = dig('b');
my $C = dig('c');
my $M = dig('m');
my $N = dig('n');

# --- join and state

subtest join => sub {
    r('FLUSHALL');
    reply_is(s_('join', 'run1', '0', 'e1'), ['complete', 'run1:e1'],
             'an empty Redis without marks is complete');
    reply_is(s_('join', 'run1', '99999999999999999', 'e2'),
             ['complete', 'run1:e1'], 'who comes later gets the same state');
    is(r('GET', key('state')), 'run1:e1', 'and the state is stored');

    r('SET', key('seq'), '1800000000000000');
    reply_is(s_('join', 'run2', '1800000000000000', 'e3'),
             ['complete', 'run2:e3'], 'the mark itself is complete');
    reply_is(s_('join', 'run3', '900000000000000', 'e4'),
             ['complete', 'run3:e4'], 'marks are compared as numbers');
    reply_is(s_('join', 'run', '0', 'e5'), ['complete', 'run:e5'],
             'the run_id must be the whole');

    reply_is(s_('join', 'run5', '1800000000000001', 'e6'),
             ['behind', 'run5:e6:behind'], 'one below the mark is behind');
    is(r('GET', key('seq')), '1800000000000001', 'seq is raised to the mark');
    reply_is(s_('join', 'run5', '0', 'e7'), ['behind', 'run5:e6:behind'],
             'and is reported as behind');
    reply_is(s_('join', 'run6', '5', 'e8'), ['behind', 'run6:e8:behind'],
             'behind stays behind through a restart');

    is(r('GET', key('behind')), '1800000000000001', 'since this sequence');

    r('FLUSHALL');
    reply_is(s_('join', 'run7', '9007199254740993', 'e9'),
             ['behind', 'run7:e9:behind'], 'an emptied Redis is behind');
    is(r('GET', key('seq')), '9007199254740993', 'no mark is rounded');
};

subtest 'state refused' => sub {
    fresh();
    blob('r', $A);
    put('r', $M, tags => ['t']);
    s_('upload_create', $S, 'u', 'r', 'sha256', 60);
    my %call = (
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
    );
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
    reply_is(s_('link_now', 'r', 'none'), ['miss', ''],
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
             ['ok', '1', '0', 'sha512', '', '', '1'], 'take, clean');
    ok(r('TTL', key('upload', $u)) > 1000, 'the time to live is renewed');
    reply_is(s_('upload_take', $S, $u, 'r', '', 60),
             ['ok', '2', '0', 'sha512', '', '', '0'],
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
             ['ok', '3', $big, 'sha512', $state, 'file.2', '1'],
             'handed over, with every byte of the digest state');
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
    r('SADD', key('collecting'), $A);
    reply_is(s_(@commit, 'u', 1, 'bob'), ['collecting', $A],
             'it is being collected');
    r('DEL', key('collecting'));
    reply_is(s_('catalog', '', 10), ['ok', '0', $S], 'none of it committed');
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
    reply_is(s_('catalog', '', 10), ['ok', '0', $S, 'r'], 'in the catalog');

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
    reply_is(s_('catalog', '', 10), ['ok', '0', $S, 'q'],
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
    r('SADD', key('collecting'), $B);
    reply_is(put('r', $M, refs => ['b', $A, 'b', $B]), ['collecting', $B],
             'a reference is being collected');
    reply_is(put('r', $B), ['collecting', $B],
             'the manifest is being collected');
    reply_is(put('r', $M, subject => $B), ['collecting', $B],
             'the subject is being collected');
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
    is(r('HGET', key('tag', 'r'), 't'), "$M $last", 'the time of the tag');
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
    ok_seq(s_('manifest_delete', $S, 'r', dig('k'), 'bob', 9), 'gone again');

    my @more = ok_seq(s_('manifest_delete', $S, 'r', $N, 'eve', 10),
                      'delete the second');
    is_deeply(\@more, ['0'], 'which had no tags');
    is_deeply(last_event(), {seq => $last, action => 'manifest_delete',
              repository => 'r', digest => $N, tag => '', actor => 'eve'},
              'the event');
    is_deeply([refs('r', $A), refs('r', $M)], [1, undef], 'counts');
    ok(!defined candidate('r', $A), 'a needed blob is no candidate');
    ok(candidate($N), 'the digest of the manifest is one');
    @more = ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 10),
                   'delete the first');
    is_deeply(\@more, ['0', 't', 'u'], 'with its tags');
    is_deeply([map { refs('r', $_) } $A, $B, $C], [undef, undef, undef],
              'no counts');
    ok(candidate('r', $A) && candidate('r', $B) && candidate('r', $C),
       'the blobs are candidates');
    reply_is(get('r', 't', 'tag'), ['miss', $S], 'no tag');
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'no manifest');
    reply_is(s_('manifest_delete', $S, 'r', $M, 'bob', 10), ['unknown'],
             'delete twice');

    s_('manifest_delete', $S, 'r', dig('i'), 'bob', 10);
    ok(!defined candidate('r', dig('x')), 'what was never there is none');
    s_('blob_delete', $S, 'r', $_, 'bob') for $A, $B, $C;
    is_deeply(left(), [], 'nothing is left');

    is(put('r', $M, tags => [map { "t$_" } 1 .. 100],
           refs => [map { ('o', dig($_)) } 1 .. 1000])->[0], 'ok',
       'the most tags and references');
    is(s_('manifest_delete', $S, 'r', $M, 'bob', 1000)->[2], '0',
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
    ok_seq(s_('manifest_delete', $S, 'r', $M, 'bob', 1), 'the other way');
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
    reply_is([@{s_('manifest_delete', $S, 'r', $M, 'bob', 9)}[2, 3]],
             ['0', 'u'], 'delete of the old digest takes only its own');
    reply_is(s_('link_now', 'r', 't'), ['ok', $N, $S], 'now');
    reply_is(s_('link_now', 'r', 'u'), ['miss', $S], 'gone');
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
    s_('manifest_delete', $S, 'r', $N, 'bob', 9);
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
    reply_is($now->($A), ['miss', $S], 'nothing yet');
    blob('r', $A);
    reply_is($now->($A), ['ok', 'b', $S], 'a blob');
    reply_is(s_('link_now', 'q', $A), ['miss', $S], 'another repository');
    put('r', $A, tags => ['t']);
    reply_is($now->($A), ['ok', 'bm', $S], 'and a manifest');
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
    reply_is($now->($A), ['ok', 'm', $S], 'a manifest still');
    is($done->($A, 'bm'), 'changed', 'no blob any more');
    is($done->($A, 'm'), 'ok', 'done');
    s_('manifest_delete', $S, 'r', $A, 'bob', 9);
    is_deeply($list->(), ['r:t', "r\@$A"],
              'manifest_delete');
    reply_is($now->($A), ['miss', $S], 'gone');
    is($done->($A, 'm'), 'changed', 'no manifest any more');
    is($done->($A, ''), 'ok', 'done as gone');
};

subtest 'links while behind' => sub {
    fresh();
    put('r', $M, tags => ['old', 'moved']);
    blob('r', $A);
    my $seq = r('GET', key('seq'));
    $S = s_('join', 'run2', $seq + 5, 'e2')->[1];
    is($S, 'run2:e2:behind', 'behind');
    is(r('GET', key('behind')), $seq + 5, 'since the mark');
    reply_is(s_('link_now', 'r', 'old'), ['miss', $S],
             'a tag from before proves nothing');
    reply_is(get('r', 'old', 'tag')->[1], $M, 'but is answered');
    reply_is(s_('link_now', 'r', $A), ['ok', 'b', $S], 'a digest is no tag');
    put('r', $N, tags => ['moved', 'new']);
    reply_is(s_('link_now', 'r', $_), ['ok', $N, $S], "$_ is of now")
        for qw(moved new);
    $S = s_('join', 'run3', '0', 'e3')->[1];
    reply_is(s_('link_now', 'r', 'new'), ['miss', $S],
             'after another restart it may be old again');
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
    is(ref s_('manifest_check', 'r', 0), 'HASH', 'none at all');
    is_deeply([sort @{r('KEYS', '*')}], [sort @$before], 'it writes nothing');
    is(r('GET', key('seq')), $seq, 'nor takes a sequence');
};

# --- removal in slices

sub many {
    my ($repo, $digest, $n, %o) = @_;
    my @all = map { sprintf('v%05d', $_) } 1 .. $n;
    for (my $i = 0; $i < $n; $i += 100) {
        my $end = $i + 99 < $n ? $i + 99 : $n - 1;
        put($repo, $digest, %o, tags => [@all[$i .. $end]]);
    }
    return @all;
}

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
                                  1000), 'the first slice');
    is($more . ' ' . @tags, '1 1000', 'has 1000 tags');
    push(@got, @tags);
    reply_is(get('r', $M, 'digest'), ['miss', $S], 'the manifest is hidden');
    reply_is(get('r', 'v02500', 'tag'), ['miss', $S], 'and every tag of it');
    reply_is(s_('link_now', 'r', 'v02500'), ['miss', $S], 'on disk too');
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
    reply_is(s_('tags_list', 'r', '', 9),
             ['ok', '1', '0', $S, 'other', 'v02400'], 'the others stay');
    is(get('r', 'v02400', 'tag')->[1], $N, 'the moved tag stays');
    ok(!defined refs('r', $A) && candidate('r', $A), 'the blob is free');
    reply_is(s_('manifest_delete', $S, 'r', $M, 'bob', 1000), ['unknown'],
             'no fourth slice');
    s_('manifest_delete', $S, 'r', $N, 'bob', 9);
    s_('blob_delete', $S, 'r', $A, 'bob');
    is_deeply(left(), [], 'nothing is left');
};

subtest 'put while a removal is under way' => sub {
    fresh();
    blob('r', $A);
    many('r', $M, 2500, refs => ['b', $A]);
    s_('manifest_delete', $S, 'r', $M, 'bob', 100);
    reply_is(put('r', $M, tags => ['t'], refs => ['b', $A]),
             ['collecting', $M], 'the removal comes first');
    reply_is(put('r', $M, tags => ['t'], refs => ['b', $A]),
             ['collecting', $M], 'each try helps it');
    ok_seq(put('r', $M, tags => ['t'], refs => ['b', $A]), 'then it is put');
    reply_is(s_('tags_list', 'r', '', 9), ['ok', '1', '0', $S, 't'],
             'no old tag came back');
    is(refs('r', $A), '1', 'it counts once');
    reply_is(r('ZCARD', key('removing')), '0', 'the removal is over');
    put('r', $N, tags => ['x', 'y']);
    s_('manifest_delete', $S, 'r', $N, 'bob', 1);
    ok_seq(put('r', $N), 'a short rest needs no retry');
    reply_is(get('r', 'y', 'tag'), ['miss', $S], 'its tags are gone');
    is(get('r', $N, 'digest')->[0], 'ok', 'it is there');
};

# --- lists

subtest lists => sub {
    fresh();
    reply_is(s_('tags_list', 'r', '', 9), ['ok', '0', '0', $S],
             'no repository');
    blob('r', $A);
    reply_is(s_('tags_list', 'r', '', 9), ['ok', '1', '0', $S],
             'one without tags');
    my @names = sort qw(a B b-1 b.1 b_1 b10 b9 latest Z 0);
    put('r', $M, tags => [reverse @names]);
    reply_is(s_('tags_list', 'r', '', 100), ['ok', '1', '0', $S, @names],
             'tags in the order of their bytes');
    reply_is(s_('tags_list', 'r', '', scalar @names),
             ['ok', '1', '0', $S, @names], 'exactly n is no more');
    reply_is(s_('tags_list', 'r', '', 0), ['ok', '1', '0', $S], 'n = 0');
    for my $n (1, 3, 9) {
        my ($last, $more, @got) = ('', 1);
        while ($more) {
            my ($ok, $there, $m, $st, @page) =
                @{s_('tags_list', 'r', $last, $n)};
            push(@got, @page);
            ($more, $last) = ($m, $page[-1]);
            last if @got > @names;
        }
        is_deeply(\@got, \@names, "paged by $n");
    }
    reply_is(s_('tags_list', 'r', 'b', 2), ['ok', '1', '1', $S,
             @names[4, 5]], 'after a name that is not there');
    reply_is(s_('tags_list', 'r', 'zzz', 2), ['ok', '1', '0', $S],
             'after the end');

    my @repos = sort('r', map { ("lib/$_", "lib-$_") } 1 .. 12);
    blob($_, $A) for @repos;
    reply_is(s_('catalog', '', 100), ['ok', '0', $S, @repos], 'catalog');
    reply_is(s_('catalog', '', 0), ['ok', '0', $S], 'n = 0');
    my ($last, $more, @got) = ('', 1);
    while ($more) {
        my ($ok, $m, $st, @page) = @{s_('catalog', $last, 7)};
        push(@got, @page);
        ($more, $last) = ($m, $page[-1]);
        last if @got > @repos;
    }
    is_deeply(\@got, \@repos, 'paged by 7');

    s_('blob_delete', $S, 'r', $A, 'bob');
    is(s_('tags_list', 'r', '', 1)->[1], '1', 'manifests keep a repository');
    s_('manifest_delete', $S, 'r', $M, 'bob', 100);
    is(s_('tags_list', 'r', '', 1)->[1], '0', 'nothing does not');
    many('big', $M, 1001);
    is(@{s_('tags_list', 'big', '', 5000)}, 4 + 1000, '1000 at the most');
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
    s_('manifest_delete', $S, 'r', $_, 'bob', 9) for @all;
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
    my $feed = dial();
    transmit($feed, 'SUBSCRIBE', key('feed'));
    receive($feed);
    my $next = sub { return receive($feed)->[2] };
    my $seq = blob('a/b', $A)->[1];
    is($next->(), "$seq blob_commit a/b $A", 'blob_commit');
    $seq = put('a/b', $M, tags => ['t', 'u'])->[1];
    is($next->(), "$seq manifest_put a/b $M", 'manifest_put');
    is($next->(), "$seq manifest_put a/b t", 'and its tag');
    is($next->(), "$seq manifest_put a/b u", 'and the other');
    $seq = s_('tag_delete', $S, 'a/b', 't', 'bob')->[1];
    is($next->(), "$seq tag_delete a/b t", 'tag_delete');
    $seq = s_('manifest_delete', $S, 'a/b', $M, 'bob', 9)->[1];
    is($next->(), "$seq manifest_delete a/b $M", 'manifest_delete');
    $seq = s_('blob_delete', $S, 'a/b', $A, 'bob')->[1];
    is($next->(), "$seq blob_delete a/b $A", 'blob_delete');
    is(events(), 5, 'one event for each');
    close($feed->{sock});
};

subtest 'a Redis that takes no writes' => sub {
    fresh();
    blob('r', $A);
    r('ZADD', key('candidates'), 5, "r $A");
    r('CONFIG', 'SET', 'min-replicas-to-write', 1);
    reply_is(s_('blob_stat', 'r', $A, 1), ['ok', '10', $S],
             'a touch does not spoil the answer');
    reply_is(s_('blob_find', 'q', $A, ''), ['ok', '10', 'r', $S],
             'nor does a mount');
    is(ref put('r', $M), 'HASH', 'a mutation fails');
    r('CONFIG', 'SET', 'min-replicas-to-write', 0);
    is(candidate('r', $A), '5', 'nothing was written');
    is(get('r', $M, 'digest')->[0], 'miss', 'not a part of it');
};

# --- the embedder

subtest embed => sub {
    my @names = sort keys %text;
    is(system("$META/embed.sh", "$dir/s.h", $META), 0, 'it runs');
    is_deeply([glob("$dir/s.h*")], ["$dir/s.h"], 'and leaves only its output');
    my $header = slurp("$dir/s.h");
    my @lines = split(/\n/, $header);
    ok(!(grep { length > 110 } @lines), 'no long lines');

    mkdir("$dir/lua");
    my $body = "return '\\\\ \"q\" ??= %d\tx'\n";
    for (['common', "-- no\nlocal c = 1\n"], ['odd', "-- KEYS\n  -- no\n$body"])
    {
        open(my $f, '>', "$dir/lua/$_->[0].lua") or die;
        print $f $_->[1];
        close($f);
    }
    is(system("$META/embed.sh", "$dir/odd.h", "$dir/lua"), 0, 'odd text');

    my $cc = $ENV{CC} || 'cc';
    if (system("command -v $cc >/dev/null 2>&1") != 0) {
        note("no $cc: the header is not compiled");
        return;
    }
    my $build = sub {
        my ($header) = @_;
        open(my $f, '>', "$dir/x.c") or die;
        print $f <<"END";
#include "$header"
#define ACR_SCRIPTS_TEXT
#include "$header"
#include "$header"
#include <stdio.h>

int
main(void)
{
    int i;

    for (i = 0; i < ACR_SCRIPT_MAX; i++) {
        printf("%s %lu\\n", acr_scripts[i].name,
               (unsigned long) acr_scripts[i].len);
        fwrite(acr_scripts[i].text, 1, acr_scripts[i].len, stdout);
    }
    return 0;
}
END
        close($f);
        open($f, '>', "$dir/y.c") or die;
        print $f "#include \"$header\"\n",
                 "int y(void); int y(void) { return ACR_SCRIPT_MAX; }\n";
        close($f);
        is(system("$cc -Wall -Wextra -Werror -Wno-unused -o $dir/x "
                  . "$dir/x.c $dir/y.c"), 0, "$header compiles");
        open(my $out, '-|', "$dir/x") or die;
        binmode($out);
        my %got;
        while (my $line = <$out>) {
            my ($name, $len) = split(' ', $line);
            read($out, $got{$name}, $len) == $len or die;
        }
        close($out);
        return \%got;
    };
    my $want = {%text};
    for (values %$want) {
        s/^[ \t]*--.*\n//mg;
        s/^[ \t]*\n//mg;
    }
    is_deeply($build->('s.h'), $want, 'the texts without their comments');
    is_deeply($build->('odd.h'), {odd => "local c = 1\n$body"}, 'odd text');
};

# --- the form of the sources

subtest form => sub {
    my $schema = slurp("$META/schema.md");
    for my $path (glob("$META/*.lua"), "$META/embed.sh") {
        my $source = slurp($path);
        my @long = grep { length > 80 } split(/\n/, $source);
        ok(!@long && $source !~ /\t/, basename($path) . ': 80 columns, no tab');
        next if $path !~ /\.lua\z/;
        like($source, qr/\A-- (KEYS\[1\]|Helpers)/, 'its contract comes first');
        # Every key that a script makes is in the schema.
        while ($source =~ /\bP \.\. '([a-z]+)/g) {
            ok(0, "$1 is not in schema.md") if $schema !~ /`<p>:\Q$1\E\b/;
        }
    }
};

done_testing();
