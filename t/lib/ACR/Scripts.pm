package ACR::Scripts;

# The Lua scripts of src/meta, against a Redis of the test's own.  Another
# server: REDIS_SERVER=/path/to/valkey-server.
#
# $S is the state that calls know, $last what ok_seq() has seen; fresh() empties
# Redis and joins it.  What a model of the directory is stands at rebuild_one().

use strict;
use warnings;

use ACR::Process;
use ACR::Redis;
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Spec;
use File::Temp qw(tempdir);
use Test::More;

our $S;
our $last = 0;                  # the sequence of the last mutation

our @EXPORT = (qw($S $last redis r s_ list_ key dig slurp meta_dir work_dir
                  texts
                  fresh behind ok_seq reply_is blob put check get refs candidate
                  last_event events left many shift_time dump_keys
                  rebuild_one rebuild_all), @Test::More::EXPORT);

my $META = File::Spec->rel2abs(dirname(__FILE__) . '/../../../src/meta');
my $P = 'acr:{test}';
my $test = $$;
my ($dir, $redis, %script, %text);
my $runs = 0;

$SIG{$_} = sub { exit(1) } for qw(INT TERM HUP);
$SIG{ALRM} = sub { print STDERR "the test hangs\n"; exit(1) };
$SIG{PIPE} = 'IGNORE';
alarm($ENV{ACR_TIMEOUT} || 300);

END {
    if ($$ == $test) {
        my $status = $?;
        local ($!, $@);
        alarm(0);
        ACR::Process::kill_all();
        $? = $status;
    }
}

{
    my $server = $ENV{REDIS_SERVER} || 'redis-server';

    if (!grep { -x "$_/$server" } '', File::Spec->path()) {
        plan(skip_all => "no $server");
    }

    $dir = tempdir('acr-scripts-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    $redis = ACR::Redis->start($dir, '--appendonly', 'no');

    for my $path (sort glob("$META/*.lua")) {
        my $name = basename($path, '.lua');
        next if $name eq 'common';
        $text{$name} = `$META/embed.sh --text $name $META`;
        die "embed.sh --text $name\n" if $?;
    }
}


sub slurp {
    my ($path) = @_;
    open(my $f, '<:raw', $path) or die "$path: $!";
    local $/;
    return <$f>;
}

sub meta_dir { return $META }
sub work_dir { return $dir }
sub texts { return \%text }
sub redis { return $redis }


# --- calls

# A command whose errors are fatal.
sub r { return scalar($redis->command(@_)) }

# A script; an error is {error => ...}.
sub s_ {
    my ($name, @args) = @_;

    die "no script $name" if !$text{$name};
    $script{$name} //= r('SCRIPT', 'LOAD', $text{$name});

    my $reply = eval { r('EVALSHA', $script{$name}, 1, $P, @args) };
    return $reply if defined $reply;

    chomp(my $error = $@);
    die "$error\n" if $error eq 'Redis is gone';
    return { error => $error };
}

# A list without the last name that was looked at, which is the last one of the
# list where nothing is hidden.
sub list_ {
    my ($name, @args) = @_;

    my $reply = s_($name, @args);
    splice(@$reply, $name eq 'catalog' ? 3 : 4, 1)
        if ref $reply eq 'ARRAY' && $reply->[0] eq 'ok';
    return $reply;
}

sub dig { return 'sha256:' . sha256_hex($_[0]) }
sub key { return join(':', $P, @_) }

sub fresh {
    r('FLUSHALL');
    $S = s_('join', 'run1', '0', 'e1', 1, 1)->[1];
    $last = 0;
}

# Redis falls behind.
sub behind { return $S = s_('rebuild_want', $S)->[1] }

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
    return s_('manifest_check', $repo, '', $conditions, @refs / 2, @refs);
}

# a manifest with n tags
sub many {
    my ($repo, $digest, $n, %o) = @_;
    my @all = map { sprintf('v%05d', $_) } 1 .. $n;
    for (my $i = 0; $i < $n; $i += 100) {
        my $end = $i + 99 < $n ? $i + 99 : $n - 1;
        put($repo, $digest, %o, tags => [@all[$i .. $end]]);
    }
    return @all;
}

sub get { return s_('manifest_get', @_) }


# --- what is said and stored

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
    return is_deeply($reply, $want, $name) || !diag(explain($reply));
}

sub refs { return r('HGET', key('refs', $_[0]), $_[1]) }

sub candidate {
    return r('ZSCORE', key('candidates'), join(' ', @_));
}

# The last event as a hash.
sub last_event {
    my $list = r('XREVRANGE', key('events'), '+', '-', 'COUNT', 1);
    return $list->[0] ? {@{$list->[0][1]}} : {};
}

# How many there are, without those that only say that a history begins.
sub events {
    return scalar(grep { $_->[1][3] ne 'begin' }
                  @{ r('XRANGE', key('events'), '-', '+') });
}

# Every key of the registry, but not what only grows.
sub left {
    my %skip = map { key($_) => 1 } qw(state seq events candidates pending);
    return [sort grep { !$skip{$_} } @{r('KEYS', '*')}];
}

# shift_time(SECONDS, KEY...): so much later, as far as these zsets tell
sub shift_time {
    my ($seconds, @names) = @_;

    for my $key (map { key($_) } @names) {
        r('ZINCRBY', $key, -$seconds, $_) for @{r('ZRANGE', $key, 0, -1)};
    }
}

# All that Redis knows, without times, sequences and what only waits.
sub dump_keys {
    my %skip = map { key($_) => 1 }
               qw(state seq events pending work:rebuild);
    my %all;

    for my $key (grep { !$skip{$_} } @{r('KEYS', key('*'))}) {
        my $type = r('TYPE', $key);

        if ($type eq 'hash') {
            my %fields = @{r('HGETALL', $key)};
            if ($key =~ /^\Q$P\E:tag:/) {
                s/( \d+)+\z// for values %fields;
            } elsif ($key =~ /^\Q$P\E:repository:/) {
                $_ = 'time' for values %fields;
            }
            $all{$key} = \%fields;

        } elsif ($type eq 'zset') {
            $all{$key} = [sort @{r('ZRANGE', $key, 0, -1)}];

        } elsif ($type eq 'set') {
            $all{$key} = [sort @{r('SMEMBERS', $key)}];

        } else {
            $all{$key} = r('GET', $key);
        }
    }
    return \%all;
}


# --- the rebuild, as a node does it

# rebuild_one(REPOSITORY, MODEL, TOKEN): what the last call said.  The model of
# a repository is {blobs => {digest => size}, tags => {tag => digest},
# manifests => {digest => {what put() takes}}}.
sub rebuild_one {
    my ($repo, $model, $token) = @_;
    my @who = ($S, $repo, $token);
    my $reply;

    do {
        $reply = s_('rebuild_begin', @who);
        return $reply if $reply->[0] ne 'ok';
    } while ($reply->[1] eq '1');

    for my $digest (sort keys %{$model->{manifests}}) {
        my $m = $model->{manifests}{$digest};
        my @refs = @{$m->{refs} || []};
        $reply = s_('rebuild_manifest', @who, $digest, $m->{size} // 100,
                    $m->{media} // 'application/m', $m->{subject} // '',
                    $m->{atype} // '', $m->{descriptor} // '',
                    '1700000000000000', @refs / 2, @refs);
        return $reply if $reply->[0] ne 'ok';
    }

    my @blobs = %{$model->{blobs} || {}};
    while (my @some = splice(@blobs, 0, 1000)) {
        $reply = s_('rebuild_blobs', @who, @some);
        return $reply if $reply->[0] ne 'ok';
    }

    my @tags = map { ($_, $model->{tags}{$_}, ('1700000000000000') x 2) }
               sort keys %{$model->{tags}};
    while (my @some = splice(@tags, 0, 1000)) {
        $reply = s_('rebuild_tags', @who, @some);
        return $reply if $reply->[0] ne 'ok';
    }

    return s_('rebuild_finish', @who, '');
}

# rebuild_all(MODEL, FILES): all repositories, then "complete".  The model is
# {repository => what rebuild_one() takes}; the files are digests.
sub rebuild_all {
    my ($model, @files) = @_;
    my $owner = 'walk' . ++$runs;
    my $reply = s_('work_take', $S, 'rebuild', $owner, 0);

    die "work_take: @$reply" if $reply->[0] ne 'ok';

    rebuild_one($_, $model->{$_}, $owner) for sort keys %$model;

    my ($at, $more) = ('', 1);
    while ($more) {
        (my $ok, $more, my $state, $at, my @rest) =
            @{s_('rebuild_rest', $at, 100)};
        rebuild_one($_, $model->{$_}, $owner) for @rest;
    }

    $reply = s_('rebuild_done', $S, $owner);
    die "rebuild_done: @$reply" if $reply->[0] ne 'ok';
    $S = $reply->[1];
    s_('work_end', $S, 'rebuild', $owner);

    while (my @some = splice(@files, 0, 1000)) {
        s_('gc_orphans', $S, @some);
    }
}

1;
