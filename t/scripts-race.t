#!/usr/bin/perl

# Everything at once: commits, mounts, puts and deletions, the disk step, the
# collector, losses of Redis with their rebuilds, and crashes of all of them, in
# random order, one step at a time.  The scripts are real; the directory is a
# model of it.
#
# What a repository holds by Redis has its file, always; a tag whose put was
# acknowledged has its manifest, with all blobs, in the end.
#
# ACR_SEED repeats a run.  ACR_WITHOUT=<what> leaves out one thing that the
# protocol needs, so that the test fails (with ACR_ROUNDS=40, or other seeds):
# "lock" (a commit gives the digest's lock back before it asks Redis), "source"
# (a mount does not say from where), "hold" (what a commit or put has answered
# is taken for what the name is, although its lock was not held).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;

my $seed = $ENV{ACR_SEED} || time();
my $without = $ENV{ACR_WITHOUT} || '';
my $ROUNDS = $ENV{ACR_ROUNDS} || 12;
my $STEPS = 500;

srand($seed);
note("ACR_SEED=$seed");

my @REPOS = qw(keep q);             # nobody deletes tags from keep
my @BLOBS = map { dig("b$_") } 1 .. 4;
my @MANIFESTS = map { dig("m$_") } 1 .. 4;
my %REFS = map { $MANIFESTS[$_] => [@BLOBS[$_, ($_ + 1) % 4]] } 0 .. 3;

# The directory: files {digest}, links {repository}{digest}{b, m}, tags
# {repository}{tag}; locks {name} is the actor that has it.
my (%file, %links, %tags, %locks);

my (%acked, @actors, $number, $trouble, $crashes, $losses);
my $narrow;                         # a round of one blob only

sub any { return $_[rand @_] }


# --- actors: {next} is the next step, a function that returns the one after it

sub actor {
    my ($first) = @_;
    my $actor = { id => ++$number, S => $S, next => $first };
    push(@actors, $actor);
    return $actor;
}

sub step {
    my ($actor) = @_;
    return if !$actor->{next};
    $actor->{next} = $actor->{next}->($actor);
    leave($actor) if !$actor->{next};
}

sub leave {
    my ($actor) = @_;
    unlock($actor, $_) for keys %locks;
    @actors = grep { $_ != $actor } @actors;
}

sub lock {
    my ($actor, $name) = @_;
    $locks{$name} //= $actor->{id};
    return $locks{$name} == $actor->{id};
}

sub unlock {
    my ($actor, $name) = @_;
    delete $locks{$name} if ($locks{$name} // 0) == $actor->{id};
}

# A script, sent once more with the new state if that is another one.
sub call {
    my ($actor, $name, @args) = @_;
    my $reply = s_($name, $actor->{S}, @args);
    if ($reply->[0] eq 'state') {
        $actor->{S} = $S;
        $actor->{failed} = 1;           # what it did before may be lost
        $reply = s_($name, $S, @args);
    }
    return $reply;
}

# step after step for each of a list, then another
sub each_of {
    my ($list, $begin, $then) = @_;
    my @list = @$list;
    my $next;
    $next = sub {
        return $then if !@list;
        return $begin->(shift(@list), $next);
    };
    return $next;
}


# --- the disk step

# the locks of all names, or none
sub hold {
    my ($self, $repo, @names) = @_;
    return 1 if !grep { !lock($self, "$repo $_") } @names;
    let_go($self, $repo, @names);
    return 0;
}

sub let_go {
    my ($self, $repo, @names) = @_;
    unlock($self, "$repo $_") for @names;
}

# kinds: of the first name, a digest, that was changed under the locks, with
# tags of it
sub settle {
    my ($repo, $names, $then, $kinds) = @_;
    my @names = ref($names) ? @$names : $names;
    my @rest = @names;
    my (%what, $wait, $apply, $drop);

    $wait = sub {
        my ($self) = @_;
        return $wait if !hold($self, $repo, @names);
        return $apply if %what;
        my ($ok, $itself, $state, @now) = @{s_('link_now', $repo, @names)};
        if ($ok eq 'behind') {
            let_go($self, $repo, @names);
            $self->{failed} = 1;        # a 503
            return $then;
        }
        @what{@names} = map { $now[2 * $_] } 0 .. $#names;
        return $apply;
    };
    $apply = sub {
        my $name = shift(@rest);
        if ($name =~ /:/) {
            $links{$repo}{$name} = { map { $_ => 1 } split(//, $what{$name}) };
        } elsif ($what{$name} ne '') {
            $tags{$repo}{$name} = $what{$name};
        } else {
            delete $tags{$repo}{$name};
        }
        return @rest ? $apply : $drop;
    };
    $drop = sub {
        my ($self) = @_;
        call($self, 'pending_done', $repo, map { ($_, $what{$_}, '') } @names);
        let_go($self, $repo, @names);
        return $then;
    };

    return $wait if !$kinds;
    @what{@names} = ($kinds, ($names[0]) x $#names);
    return $without eq 'hold' ? $wait : $apply;
}


# --- pushes

# behind: has the repository rebuilt, and waits for that
sub rebuilt {
    my ($repo, $then) = @_;
    my $wait;
    $wait = sub {
        my $reply = list_('tags_list', $repo, '', 1)->[0];
        return $then if $reply ne 'behind';
        my $at_it = grep { ($_->{rebuilds} // '') eq $repo } @actors;
        rebuild($repo) if rand() < 0.2 && $at_it < 2;
        return $wait;
    };
    return $wait;
}

# a change, with the locks of its names if they can be had
sub change {
    my ($self, $script, $repo, $names, @args) = @_;
    my $held = rand() < 0.7 && hold($self, $repo, @$names);
    my ($ok, $seq, $kinds) = @{call($self, $script, $repo, $names->[0],
                                    @args)};
    delete $self->{failed};
    let_go($self, $repo, @$names) if $held && $ok ne 'ok'
                                     || $without eq 'hold';
    return ($ok, $held || $without eq 'hold' ? $kinds : '');
}

# content, then its link, then Redis
sub store {
    my ($repo, $digest, $kind, $ask) = @_;
    my $begin;
    $begin = sub {
        my ($self) = @_;
        return $begin if !lock($self, "blob $digest");
        $file{$digest} = 1;
        unlock($self, "blob $digest") if $without eq 'lock';
        return sub {
            $links{$repo}{$digest}{$kind} = 1;
            return sub {
                my $reply = $ask->($self);
                unlock($self, "blob $digest");
                return rebuilt($repo, $begin) if $reply eq 'behind';
                return $begin if $reply eq 'collecting';
                return $reply;
            };
        };
    };
    return $begin;
}

sub commit {
    my ($repo, $digest, $then) = @_;
    return store($repo, $digest, 'b', sub {
        my ($self) = @_;
        my ($ok, $kinds) = change($self, 'blob_commit', $repo, [$digest], 10,
                                  '', '', 'bob');
        return $ok if $ok ne 'ok';
        return settle($repo, $digest, $then, $kinds);
    });
}

sub mount {
    my ($repo, $digest) = @_;
    return sub {
        my ($self) = @_;
        my $reply = s_('blob_find', $repo, $digest, '');
        return if $reply->[0] ne 'ok';
        my $from = $reply->[2];
        return sub {
            $links{$repo}{$digest}{b} = 1;
            return sub {
                my ($ok, $kinds) = change($self, 'blob_commit', $repo,
                    [$digest], 10, '', '', 'bob',
                    $without eq 'source' ? '' : $from);
                return settle($repo, $digest, undef, $kinds);
            };
        };
    };
}

sub image {
    my ($repo, $digest, @tags) = @_;
    return each_of($REFS{$digest}, sub { commit($repo, @_) },
                   manifest($repo, $digest, @tags));
}

sub manifest {
    my ($repo, $digest, @tags) = @_;
    return store($repo, $digest, 'm', sub {
        my ($self) = @_;
        my @refs = map { ('b', $_) } @{$REFS{$digest}};
        my ($ok, $kinds) = change($self, 'manifest_put', $repo,
            [$digest, @tags], 100, 'm', '', '', '', '', 'bob', scalar(@tags),
            @tags, @refs / 2, @refs);
        return settle($repo, $digest) if $ok eq 'missing';
        return $ok if $ok ne 'ok';
        return settle($repo, [$digest, @tags], sub {
            $acked{"$repo $_"} = 1 for $self->{failed} ? () : @tags;
            return;
        }, $kinds);
    });
}


# --- deletions

sub forget {
    my ($repo, $digest) = @_;
    my $what = $digest ? 0 : rand();
    return sub {
        my ($self) = @_;
        if ($what < 0.4) {
            $digest //= any(@BLOBS);
            call($self, 'blob_delete', $repo, $digest, 'bob');
            return settle($repo, $digest);
        }
        if ($what < 0.6) {
            my $tag = any(qw(x y z));
            call($self, 'tag_delete', $repo, $tag, 'bob');
            return settle($repo, $tag);
        }
        return removal($repo, any(@MANIFESTS), '');
    };
}

sub removal {
    my ($repo, $digest, @conditions) = @_;
    my $slice;
    $slice = sub {
        my ($self) = @_;
        my ($ok, $seq, $more, @tags) =
            @{call($self, 'manifest_delete', $repo, $digest, 'bob', 1,
                   @conditions)};
        return settle($repo, $digest) if $ok ne 'ok';
        @conditions = ();
        my $then = $more ? $slice : settle($repo, $digest);
        return @tags ? settle($repo, \@tags, $then) : $then;
    };
    return $slice;
}


# --- what nodes do by themselves

sub keeper {
    return sub {
        my @pending = @{s_('pending_list', 0, 10)};
        my $entry = any(@pending[1 .. $#pending]);
        return settle(split(/[:@]/, $entry, 2)) if $entry;
        my @removing = @{s_('removing_list', 0, 10)};
        $entry = any(@removing[1 .. $#removing]) // return;
        return removal(split(' ', $entry));
    };
}

# after_others: goes on with what one that is gone has left
sub collector {
    my ($after_others) = @_;
    $after_others //= rand() < 0.2;
    my ($digest, $wait);
    $wait = sub {
        my ($self) = @_;
        return $wait if !lock($self, "blob $digest");
        return if call($self, 'gc_ask', $digest)->[0] ne 'ok';
        return sub {
            delete $file{$digest};
            return sub {
                call($self, 'gc_end', $digest);
                return;
            };
        };
    };
    return sub {
        my ($self) = @_;
        my @old = @{s_('collecting_list', 3600, 9)};
        if ($after_others && @old > 1) {
            $digest = any(@old[1 .. $#old]);
            return $wait;
        }
        my ($ok, $state, @due) = @{s_('gc_due', 3600, 9)};
        my ($name, $link) = split(' ', any(@due) // return);
        if ($link) {
            call($self, 'gc_link', $name, $link, 3600);
            return settle($name, $link);
        }
        $digest = $name;
        return if call($self, 'gc_begin', $digest, 3600)->[0] ne 'ok';
        return $wait;
    };
}

sub untagged {
    return sub {
        my ($self) = @_;
        my ($ok, $state, @due) = @{s_('gc_untagged', 3600, 9)};
        my ($repo, $digest) = split(' ', any(@due) // return);
        call($self, 'gc_manifest', $repo, $digest, 3600);
        return settle($repo, $digest);
    };
}

sub orphans {
    my @found = keys %file;
    return sub {
        call($_[0], 'gc_orphans', @found);
        return;
    };
}


# --- rebuilds

# One repository, by an actor of its own; each name is read under its lock, and
# whether content is there under that of the content.
sub rebuild {
    my ($repo, $on) = @_;
    my (%blobs, %manifests, %tag, $begin);
    my $token = 'r' . ++$number;
    my $lost = sub { return $_[0]->[0] ne 'ok' };

    my $apply = sub {
        my ($self) = @_;
        my @calls = (
            (map { my @refs = map { ('b', $_) } @{$REFS{$_}};
                   ['manifest', $_, 100, 'm', '', '', '', 1, @refs / 2,
                    @refs] }
             keys %manifests),
            ['blobs', map { ($_, 10) } keys %blobs],
            ['tags', map { ($_, $tag{$_}, 1, 1) } keys %tag],
            ['finish'],
        );
        return each_of(\@calls, sub {
            my ($call, $then) = @_;
            my ($name, @args) = @$call;
            return sub {
                my $reply = call($self, "rebuild_$name", $repo, $token, @args);
                return $lost->($reply) ? undef : $then;
            };
        }, sub { return });
    };
    my $read = sub {
        my ($name, $then) = @_;
        my $wait;
        $wait = sub {
            my ($self) = @_;
            return $wait if !lock($self, "$repo $name");
            my $next = $then;
            if ($name !~ /:/) {
                $tag{$name} = $tags{$repo}{$name} if $tags{$repo}{$name};
            } elsif (!lock($self, "blob $name")) {
                $next = $wait;
            } elsif ($file{$name}) {
                $blobs{$name} = 1 if $links{$repo}{$name}{b};
                $manifests{$name} = 1 if $links{$repo}{$name}{m};
            }
            unlock($self, $_) for "$repo $name", "blob $name";
            return $next;
        };
        return $wait;
    };
    $begin = sub {
        my ($self) = @_;
        my $reply = call($self, 'rebuild_begin', $repo, $token);
        return if $lost->($reply);
        return $begin if $reply->[1];
        return each_of([keys %{$links{$repo}}, keys %{$tags{$repo}}], $read,
                       $apply);
    };
    my $actor = actor($begin);
    $actor->{rebuilds} = $repo;
    return $actor;
}

sub walker {
    my $owner = 'w' . ++$number;
    my ($rest, @of);
    my $wait_for_them;
    $wait_for_them = sub {
        my %there = map { $_ => 1 } @actors;
        return $wait_for_them if grep { $there{$_} } @of;
        @of = ();
        return $rest;
    };
    $rest = sub {
        my ($self) = @_;
        my @rest = @{s_('rebuild_rest', '', 9)};
        @of = map { rebuild($_) } @rest[4 .. $#rest];
        return $wait_for_them if @of;
        my $reply = call($self, 'rebuild_done', $owner);
        return $rest if $reply->[0] eq 'busy';
        $S = $reply->[1] if $reply->[0] eq 'ok';
        return;
    };
    return sub {
        my ($self) = @_;
        return if call($self, 'work_take', 'rebuild', $owner, 0)->[0] ne 'ok';
        @of = map { rebuild($_) } @REPOS;
        return $wait_for_them;
    };
}

sub loss {
    my $seq = r('GET', key('seq')) || 0;
    $losses++;
    if (rand() < 0.5) {
        r('FLUSHALL');
        $S = s_('join', 'run', $seq, 'e1', 1, 0)->[1];
    } else {
        $S = s_('join', 'run' . $losses, $seq + 1, 'e1', 1, 0)->[1];
    }
}

# a day later: all that is due is due, and nobody has been heard of
sub day {
    shift_time(86400, qw(candidates untagged collecting pending removing));
    my %held = @{r('HGETALL', key('rebuilding'))};
    r('HSET', key('rebuilding'), $_, $held{$_} =~ s/^\d+/5/r)
        for keys %held;
    r('HSET', key('work', 'rebuild'), 'until', 5)
        if r('EXISTS', key('work', 'rebuild'));
}


# --- what always holds

# what a repository that is known holds, by Redis
sub holds {
    my ($repo) = @_;
    return () if $S =~ /behind\z/
                 && !r('SISMEMBER', key('current'), $repo);
    return (@{r('HKEYS', key('blobs', $repo))},
            @{r('HKEYS', key('manifests', $repo))});
}

sub look {
    my ($what) = @_;
    for my $repo (@REPOS) {
        for my $digest (holds($repo)) {
            $trouble //= "$what: no file of $digest in $repo"
                if !$file{$digest};
        }
    }
}

sub act {
    my $what = rand(100);
    my $repo = any(@REPOS);

    if ($narrow) {
        my $digest = $BLOBS[0];
        return commit($repo, $digest, sub { return }) if $what < 15;
        return mount($repo, $digest) if $what < 35;
        return forget(any(@REPOS), $digest) if $what < 60;
        return keeper() if $what < 70;
        return collector();
    }

    my @now = map { any(qw(x y z)) } 1 .. rand(3);

    return commit($repo, any(@BLOBS), sub { return }) if $what < 12;
    return mount($repo, any(@BLOBS)) if $what < 25;
    return image($repo, any(@MANIFESTS), @now) if $what < 34;
    return forget('q') if $what < 48;
    return keeper() if $what < 60;
    return untagged() if $what < 64;
    return orphans() if $what < 67;
    return collector() if $what < 97;
    return sub { rebuild($repo); return };
}

# until nobody is left, or it takes too long
sub finish {
    my ($name) = @_;
    for my $step (1 .. 20000) {
        return if !@actors || $trouble;
        step(any(@actors));
        look($name);
        # somebody may wait for what a crash has left
        next if $step % 1000;
        day();
        actor($S =~ /behind\z/ ? walker() : collector(1));
    }
    $trouble //= "$name: it does not end";
}

sub finish_one {
    actor($_[0]);
    finish($_[1]);
}

# all that waits is done
sub quiet {
    finish('the end');
    finish_one(walker(), 'rebuild') if $S =~ /behind\z/;
    for (1 .. 200) {
        last if $trouble
                || !r('EXISTS', key('pending'), key('removing'));
        finish_one(keeper(), 'keeper');
    }
    finish_one(orphans(), 'orphans');
}

sub directory {
    my %all;
    for my $repo (@REPOS) {
        for my $digest (grep { $file{$_} } keys %{$links{$repo}}) {
            my $kinds = join('', sort keys %{$links{$repo}{$digest}});
            $all{"$repo $digest"} = $kinds if $kinds ne '';
        }
        $all{"$repo $_"} = $tags{$repo}{$_} for keys %{$tags{$repo}};
    }
    return \%all;
}

sub index_ {
    my %all;
    for my $repo (@REPOS) {
        $all{"$repo $_"} = (r('HEXISTS', key('blobs', $repo), $_) ? 'b' : '')
            . (r('HEXISTS', key('manifests', $repo), $_) ? 'm' : '')
            for holds($repo);
        $all{"$repo $_"} = get($repo, $_, 'tag')->[1]
            for @{r('ZRANGE', key('tags', $repo), 0, -1)};
    }
    return \%all;
}

sub acked_are_there {
    my ($when) = @_;
    for (grep { /^keep / } keys %acked) {
        my ($repo, $tag) = split(' ');
        my ($ok, $digest) = @{get($repo, $tag, 'tag')};
        my @missing = $ok ne 'ok' ? "keep:$tag"
            : grep { !$file{$_} || s_('blob_stat', $repo, $_, 0)->[0] ne 'ok' }
              @{$REFS{$digest}};
        $trouble //= "$when: no @missing" if @missing;
    }
}


my %seen = (losses => 0, crashes => 0, collected => 0, acked => 0);

for my $round (1 .. $ROUNDS) {
    fresh();
    (%file, %links, %tags, %locks, %acked, @actors) = ();
    ($trouble, $crashes, $losses) = (undef, 0, 0);
    $narrow = $round % 2;
    my $rough = $round % 3;         # 0: no losses, no crashes

    for my $step (1 .. $STEPS) {
        my $before = keys %file;
        actor(act()) if @actors < 8;
        my $actor = any(grep { ($_->{rests} // 0) < $step } @actors) // next;
        step($actor) for 1 .. 1 + rand(4);
        $actor->{rests} = $step + rand(100) if rand() < 0.1;
        $seen{collected}++ if keys %file < $before;
        look("step $step");
        day() if rand() < 0.1;
        next if !$rough;

        loss() if rand() < 0.006;
        if (rand() < 0.02 && @actors) {
            leave(any(@actors));
            $crashes++;
        }
        actor(walker()) if $S =~ /behind\z/ && rand() < 0.02;
        last if $trouble;
    }
    quiet();
    acked_are_there('at the end');

    my ($disk, $known) = (directory(), index_());
    if ($crashes + $losses) {
        # what was written and not committed is on the disk only
        $disk = { map { $_ => $disk->{$_} } grep { exists $known->{$_} }
                  keys %$disk };
        for (grep { /:/ && $known->{$_} eq 'm' || $known->{$_} eq 'b' }
             keys %$known)
        {
            $disk->{$_} = $known->{$_} if $disk->{$_} eq 'bm';
        }
    }
    $trouble //= 'the directory is not what Redis says'
        if join(' ', map { "$_=$disk->{$_}" } sort keys %$disk)
           ne join(' ', map { "$_=$known->{$_}" } sort keys %$known);
    # one that was collected when its file had been found, and was not told yet
    my @gone = grep { !/ / && !$file{$_} }
               @{r('ZRANGE', key('candidates'), 0, -1)};
    r('ZREM', key('candidates'), @gone) if @gone;
    my $before = dump_keys();

    loss();
    quiet();
    acked_are_there('after a loss');
    if (!$crashes && !$rough) {
        is_deeply(dump_keys(), $before, "round $round: the same after a loss");
    }
    for (1 .. 60) {
        last if $trouble;
        day();
        finish_one(any(collector(), collector(), untagged()), 'collector');
        quiet();
    }
    acked_are_there('when all is collected');
    $trouble //= 'garbage is left: ' . join(' ', grep { !exists $before->{$_} }
                                            garbage()) if garbage();

    $seen{losses} += $losses;
    $seen{crashes} += $crashes;
    $seen{acked} += keys %acked;
    ok(!$trouble, "round $round") or diag("ACR_SEED=$seed: $trouble");
    last if $trouble;
}

sub garbage {
    my %held = map { $_ => 1 } map { holds($_) } @REPOS;
    return grep { !$held{$_} } sort keys %file;
}

cmp_ok($seen{$_}, '>', 0, "there were $_") for sort keys %seen;
note(join(', ', map { "$seen{$_} $_" } sort keys %seen));

done_testing();
