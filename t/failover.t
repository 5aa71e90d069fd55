#!/usr/bin/perl

# Two nodes and a Redis that loses what it acknowledged: by a failover to a
# replica that is behind, by FLUSHALL again and again, by an older snapshot.
# What was acknowledged holds all the same, deletes too, and nobody who pulls
# meanwhile is told that what is there is not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Load;
use ACR::Metrics;
use ACR::Shim;
use JSON::PP qw(decode_json);

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

# a rebuild that does not end while it is looked at, and one that takes a while
my $SLOW = 'lock /acr/locks/ DELAY=100';
my $SLOWER = 'lock /acr/locks/ DELAY=10';

my $seed = $ENV{ACR_SEED} || $$;
diag("ACR_SEED=$seed");

# what was acknowledged: "REPOSITORY KIND NAME" => digest, or '' if deleted
my (%have, $next, %running, $load);

my $ports = bless({}, 'ACR::Node');
my ($master, $replica) = map { redis_with_port() } 1 .. 2;
my $redis = bless({ socket => work_dir() . '/acr.sock', pid => $$ },
                  'ACR::Redis');
address_is($master);

my $shim = ACR::Shim->new();
my %option = (workers => 2, env => $shim->env(),
              redis_options => 'timeout=2s',
              server => 'acr_zone acr:1m; location /acr/admin/ { acr_admin; }'
                        . ' location = /metrics { acr_metrics; }');
my $acr = start(redis => $redis, %option);
my $two = node($acr, %option);
my @nodes = ($acr, $two);

$_->allow(qr/\[alert\].*has lost changes/) for @nodes;


# --- a failover that loses the last 100 acknowledged writes

push_tag("lib/r$_", 'stays', "stays $_") for 1 .. 12;
push_tag("lib/r$_", 'moves', "first $_") for 1 .. 12;
push_tag("lib/r$_", 'goes', "goes $_") for 1 .. 12;
push_tag("lib/r$_", 'with-manifest', "manifest $_") for 1 .. 12;
push_blob("lib/r$_", "deleted later $_") for 1 .. 12;

$replica->command('REPLICAOF', '127.0.0.1', $master->{port});
ok(wait_for(sub { caught_up() }), 'the replica has all');
$replica->command('REPLICAOF', '127.0.0.1', $ports->free_port());
my $known = $replica->command('GET', key('seq'));

my $writes = 0;
for my $n (1 .. 12) {
    my $repository = "lib/r$n";
    push_tag($repository, 'new', "new $n");
    push_tag($repository, 'moves', "second $n");
    drop($repository, 'tag', 'goes');
    drop($repository, 'manifest', $have{"$repository tag with-manifest"});
    push_blob($repository, "a blob $n");
    drop($repository, 'blob', digest("deleted later $n"));
    push_tag("new/r$n", 'first', "first of $n");
    push_tag($repository, 'goes', "is back $n") if $n <= 8;
    drop($repository, 'tag', 'goes') if $n <= 4;
    push_tag("new/r$n", 'second', "second of $n") if $n <= 4;
    $writes += 7 + ($n <= 8) + 2 * ($n <= 4);
}
is($writes, 100, 'a hundred writes are acknowledged');
is($replica->command('GET', key('seq')), $known, 'the replica has none');

my $pullers = begin_pullers(3, targets());
pulled($pullers, 100);
$shim->rules($SLOW);
$master->kill();
pulled($pullers, 100);
$replica->command('REPLICAOF', 'NO', 'ONE');
address_is($replica);
ok(wait_for(sub { state($acr) =~ /:behind$/ }), 'it is behind');
pulled($pullers, 500);
like(state($acr), qr/:behind$/, 'and still is after 500 pulls');
$shim->clear();
ok(all_complete(), 'it becomes complete');
pulled($pullers, 100);
no_complaints(end_pullers($pullers), 'nobody who pulls has seen anything');
holds('after the failover');


# --- FLUSHALL under load

srand($seed);
$load = ACR::Load->new(\@nodes, seed => $seed);
my @movers = map { begin_mover($_) } 1 .. 2;
$pullers = begin_pullers(2, targets(), map { $_->{target} } @movers);
$load->begin(3);
$load->lossy();

my $flushes = 8;
for my $n (1 .. $flushes) {
    complete($acr, 60) if $n % 2;
    my $more = $load->acknowledged() + 1 + int(rand(25));
    pulled($pullers, 1 + int(rand(100)));
    wait_for(sub { $load->acknowledged() >= $more }, 60)
        or diag('the load does not go on');
    $redis->command('FLUSHALL');
}

my @moved = map { moved($_) } @movers;
wait_for(sub { !grep { moved($movers[$_]) < $moved[$_] + 3 } 0 .. 1 }, 60);
pulled($pullers, 100);
$load->end();
no_complaints(end_pullers($pullers), "nobody has noticed $flushes FLUSHALLs");
no_complaints(map({ end_mover($_) } @movers), 'tags can be moved meanwhile');
ok(all_complete(), 'it becomes complete');
no_complaints(map({ $load->check($_) } @nodes), 'all that was acknowledged is '
              . 'there, byte for byte');
ok(wait_for(sub { !pending() }), 'all is settled');
cmp_ok($load->{checked}, '>', 50, 'that is something');
holds('after FLUSHALL');


# --- deletes while the repositories are gone through

my @many = map { sprintf('many/r%02d', $_) } 1 .. 60;

for my $repository (@many) {
    push_tag($repository, $_, "$_ of $repository")
        for qw(stays goes with-manifest);
    push_blob($repository, "needed by nobody in $repository");
}

my @goes = map { to_delete($_) } @many;
my %goes = map { $_ => 1 } map { gone_with(@$_) } @goes;

$pullers = begin_pullers(1, targets(grep { !$goes{$_} } keys %have));
$shim->rules($SLOWER);
$redis->command('FLUSHALL');
ok(wait_for(sub { state($acr) =~ /:behind$/ }), 'it is behind');

# one goes the way of the walk, and the other against it
my @half = ([@goes[grep { $_ % 2 } 0 .. $#goes]],
            [reverse(@goes[grep { $_ % 2 == 0 } 0 .. $#goes])]);
my @told = parallel(map {
    my $n = $_;
    sub { return delete_all($nodes[$n], $nodes[1 - $n], $half[$n]) }
} 0 .. 1);

$shim->clear();

no_complaints(map({ $_->{died} || @{ $_->{bad} } } @told),
              'deletes are answered with 202, or 503 before that, and hold');
my ($while_behind, $refused) = (0, 0);
for my $told (grep { !$_->{died} } @told) {
    $while_behind += $told->{behind};
    $refused += $told->{refused};
}
cmp_ok($while_behind, '>=', 20, 'many of them while it was behind');
$have{$_} = '' for keys %goes;
no_complaints(end_pullers($pullers), 'what stays is there all the time');
ok(all_complete(), 'it becomes complete');
holds('after deletes');

answers(admin($two, 'POST', 'rebuild'), 202, 'once more');
ok(wait_for(sub {
       my $status = admin($acr, 'GET', 'rebuild')->json();
       !$status->{running} && !$status->{requested} && all_complete()
   }, 60), 'it is rebuilt');
holds('after another rebuild');


# --- a snapshot that is older than deletes

$replica->command('SAVE');
my $dump = "$replica->{dir}/dump.rdb";
my $snapshot = slurp($dump);

for my $repository (@many[0 .. 9]) {
    drop($repository, 'tag', 'stays');
    drop($repository, 'manifest',
         digest(image_of("stays of $repository")->{json}));
    drop($repository, 'blob', image_of("stays of $repository")->{layer});
    push_tag($repository, 'later', "later in $repository");
}

$pullers = begin_pullers(2, targets());
pulled($pullers, 50);
$shim->rules($SLOW);
$replica->kill();
spew($dump, $snapshot);
$replica->run();
ok(wait_for(sub { state($acr) =~ /:behind$/ }), 'an older one is behind');
pulled($pullers, 300);
like(state($acr), qr/:behind$/, 'and still is after 300 pulls');
$shim->clear();
ok(all_complete(), 'it becomes complete');
no_complaints(end_pullers($pullers), 'what was deleted is never there');
holds('after an older snapshot');

diag("pulls $running{pulls}, moved tags $running{moved}, checked "
     . "$load->{checked}, deletes while behind $while_behind, 503 "
     . $refused) if $ENV{ACR_VERBOSE};

finish();


# --- Redis

sub redis_with_port {
    my $port = $ports->free_port();
    my $redis = redis('--port', $port, '--bind', '127.0.0.1');

    $redis->{port} = $port;

    return $redis;
}


# address_is(REDIS): the one that the nodes find at their address
sub address_is {
    my ($is) = @_;

    my $link = $redis->{socket};

    symlink($is->{socket}, "$link.new") or die "symlink: $!\n";
    rename("$link.new", $link) or die "rename: $!\n";
    $redis->{connection} = undef;
}


sub caught_up {
    my %role = map { split(/:/, $_, 2) }
               grep { /:/ } split(/\r\n/, $replica->command('INFO',
                                                            'replication'));

    return $role{master_link_status} eq 'up'
        && $replica->command('GET', key('seq'))
           eq $master->command('GET', key('seq'))
        && $role{slave_repl_offset}
           >= ($master->command('INFO', 'replication')
               =~ /master_repl_offset:(\d+)/)[0];
}


# whether Redis is complete, and all workers of both nodes use it: each of them
# tries one that was away again after a pause of its own
sub all_complete {
    return wait_for(sub {
        state($acr) ne '' && state($acr) !~ /:behind$/
            && !grep { !value($_, 'acr_redis_up') } @nodes;
    }, 60);
}


sub pending {
    return scalar(@{ $redis->command('ZRANGE', key('pending'), 0, -1) });
}


# --- writes, to one node after the other

sub next_node { return $nodes[$next++ % @nodes] }


sub image_of {
    my ($of) = @_;

    my $config = "{\"seed\":\"$of\"}";
    my $layer = "layer of $of";

    return { json => image($config, [$layer]), layer => digest($layer),
             config => digest($config) };
}


sub push_tag {
    my ($repository, $tag, $of) = @_;

    my $image = image_of($of);
    my $digest = next_node()->push_image($repository, $tag, $of);

    $have{"$repository tag $tag"} = $digest;
    $have{"$repository manifest $digest"} = $digest;
    $have{"$repository blob $_"} = $_ for $image->{layer}, $image->{config};
}


sub push_blob {
    my ($repository, $bytes) = @_;

    my $digest = next_node()->push_blob($repository, $bytes);

    $have{"$repository blob $digest"} = $digest;
}


sub drop {
    my ($repository, $kind, $name) = @_;

    my $answer = next_node()->delete(target($repository, $kind, $name));

    die 'not deleted: ' . $answer->text() . "\n" if $answer->status() != 202;

    $have{$_} = '' for gone_with($repository, $kind, $name);
}


# what a delete takes away: a manifest takes its tags with it
sub gone_with {
    my ($repository, $kind, $name) = @_;

    return ("$repository $kind $name",
            $kind eq 'manifest' ? grep { /^\Q$repository\E tag /
                                         && $have{$_} eq $name } keys %have
                                : ());
}


sub target {
    my ($repository, $kind, $name) = @_;

    return "/v2/$repository/" . ($kind eq 'blob' ? 'blobs' : 'manifests')
        . "/$name";
}


# to_delete(REPOSITORY): [REPOSITORY, KIND, NAME] of what is to go
sub to_delete {
    my ($repository) = @_;

    return ([$repository, 'tag', 'goes'],
            [$repository, 'manifest', $have{"$repository tag with-manifest"}],
            [$repository, 'blob', digest("needed by nobody in $repository")]);
}


# delete_all(NODE, OTHER, LIST): deletes at one node, and looks at the other; a
# delete that is refused for now is sent again
sub delete_all {
    my ($node, $other, $list) = @_;

    my $told = { bad => [], behind => 0, refused => 0 };

    for my $what (@$list) {
        my $answer;

        wait_for(sub {
            $answer = $node->delete(target(@$what));
            $told->{refused}++ if $answer->status() == 503;
            $answer->status() != 503;
        }, 60);

        $told->{behind}++ if state($node) =~ /:behind$/;
        push(@{ $told->{bad} }, "@$what: " . $answer->text())
            if $answer->status() != 202;

        $answer = $other->get(target(@$what));
        push(@{ $told->{bad} }, "@$what, deleted: " . $answer->text())
            if $answer->status() != 404;
    }

    return $told;
}


# --- what holds

# targets(NAMES): what pullers ask for, and the digest that they are to get;
# without names it is all
sub targets {
    my (@names) = @_ ? @_ : keys %have;

    return map {
        { target => target(split(/ /)), digest => $have{$_} }
    } sort @names;
}


# holds(WHEN): all that was acknowledged, at both nodes, and lists are complete
sub holds {
    my ($when) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my (%tags, %repositories);

    for (sort keys %have) {
        my ($repository, $kind, $name) = split(/ /);
        $repositories{$repository} = 1 if $have{$_};
        push(@{ $tags{$repository} }, $name) if $have{$_} && $kind eq 'tag';
    }

    my @bad;

    for my $node (@nodes) {
        my $who = $node == $acr ? 'one' : 'two';

        push(@bad, map { "$who: $_" }
             grep { defined } map { differs($node, $_) } targets());

        for my $repository (sort keys %repositories) {
            push(@bad, map { "$who: $_" }
                 other_list($node, "/v2/$repository/tags/list", 'tags',
                            $tags{$repository} || []));
        }

        push(@bad, map { "$who: $_" }
             other_list($node, '/v2/_catalog?n=1000', 'repositories',
                        [sort keys %repositories]));
    }

    no_complaints(@bad, "all holds, $when");
    wait_for(sub { !pending() });
    no_complaints($load ? $load->apart($acr) : differences($acr),
                  "Redis and the disk are equal, $when");
}


# other_list(NODE, TARGET, MEMBER, WANTED): complaints about a list; what the
# load and the movers have made is not looked at
sub other_list {
    my ($node, $target, $member, $wanted) = @_;

    my $answer = $node->get($target);

    return "$target: " . $answer->text() if $answer->status() != 200;

    my @list = grep { !m{^(?:load|move)/} } @{ $answer->json()->{$member} };

    return if "@$wanted" eq "@list";

    my %is = map { $_ => 1 } @list;
    my %wanted = map { $_ => 1 } @$wanted;

    return ("$target has " . join(' ', grep { !$wanted{$_} } @list)
            . ', but not ' . join(' ', grep { !$is{$_} } @$wanted));
}


# differs(CLIENT, TARGET): a complaint, or undef
sub differs {
    my ($client, $target) = @_;

    my $least = $target->{counter} ? counted($target->{counter}) : 0;
    my $answer = eval { $client->get($target->{target}) };

    return "$target->{target}: no answer: $@" if !$answer;

    my $is = $answer->status() == 404 ? ''
             : $answer->status() == 200 ? digest($answer->body())
             : $answer->status();

    if (!$target->{counter}) {
        return $is eq $target->{digest} ? undef
            : "$target->{target} is $is, not $target->{digest}";
    }

    return "$target->{target}: " . $answer->text()
        if $answer->status() != 200
           || $is ne $answer->header('Docker-Content-Digest');

    my $n = decode_json($answer->body())->{annotations}{n};

    return $n < $least
        ? "$target->{target} is the ${n}th, after the ${least}th was there"
        : undef;
}


sub no_complaints {
    my ($name, @bad) = (pop(@_), @_);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $more = @bad > 20 ? @bad - 20 : 0;

    return ok(!@bad, $name)
        || diag(join("\n", @bad[0 .. $#bad - $more],
                     $more ? "and $more more" : ()));
}


# --- pullers and movers, processes of their own

# background(NAME, FUNCTION): calls it until the file NAME.stop is there; what
# it returns is noted as a complaint
sub background {
    my ($name, $function) = @_;

    my $base = work_dir() . "/$name." . ++$running{count};
    spew("$base.bad", '');
    spew("$base.done", '');

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        srand($seed + $running{count});
        open(my $bad, '>>', "$base.bad") or POSIX::_exit(1);
        open(my $done, '>>', "$base.done") or POSIX::_exit(1);
        my @clients = map { ACR::Client->new($_->port()) } @nodes;
        my $n = 0;
        until (-e "$base.stop") {
            my $complaint = eval { $function->($clients[++$n % @clients],
                                               $done) };
            $complaint = "it died: $@" if $@;
            syswrite($bad, "$complaint\n") if defined $complaint;
        }
        POSIX::_exit(0);
    }

    return { base => $base, pid => $pid };
}


sub end_background {
    my ($process) = @_;

    spew("$process->{base}.stop", '');
    waitpid($process->{pid}, 0);

    return ("a $process->{base} has ended with $?") if $?;
    return split(/\n/, slurp("$process->{base}.bad"));
}


# begin_pullers(N, TARGETS)
sub begin_pullers {
    my ($n, @targets) = @_;

    return [map {
        background('puller', sub {
            my ($client, $done) = @_;
            my $complaint = differs($client, $targets[rand(@targets)]);
            syswrite($done, '.');
            return $complaint;
        })
    } 1 .. $n];
}


sub pulls {
    my ($pullers) = @_;

    my $sum = 0;
    $sum += -s "$_->{base}.done" for @$pullers;

    return $sum;
}


# pulled(PULLERS, N): waits until they have made so many more pulls
sub pulled {
    my ($pullers, $n) = @_;

    my $want = pulls($pullers) + $n;

    wait_for(sub { pulls($pullers) >= $want }, 60)
        or die "pullers do not go on\n";
}


sub end_pullers {
    my ($pullers) = @_;

    my @bad = map { end_background($_) } @$pullers;
    $running{pulls} += pulls($pullers);

    return @bad;
}


# begin_mover(N): a tag that is moved again and again, to an image that has a
# number; the numbers that were acknowledged are noted
sub begin_mover {
    my ($n) = @_;

    my $repository = "move/r$n";
    my ($config, $i) = ("{\"seed\":\"move $n\"}", 0);
    my $put = sub {
        my ($client, $done) = @_;
        my $image = image($config, [], annotations => { n => ++$i . '' });
        my $answer = $client->put_manifest($repository, 'moves', $image);
        return $answer->text() if $answer->status() !~ /^(?:201|503)$/;
        syswrite($done, sprintf("%07d\n", $i)) if $answer->status() == 201;
        return;
    };

    $acr->push_blob($repository, $config);
    $acr->push_manifest($repository, 'moves',
                        image($config, [], annotations => { n => '0' }));

    my $mover = background('mover', $put);
    $mover->{target} = { target => "/v2/$repository/manifests/moves",
                         counter => "$mover->{base}.done" };

    return $mover;
}


sub moved { return (-s "$_[0]{base}.done") / 8 }


# counted(FILE): the last number that is noted
sub counted {
    my ($file) = @_;

    my $text = slurp($file);

    return length($text) ? substr($text, -8) + 0 : 0;
}


sub end_mover {
    my ($mover) = @_;

    my @bad = end_background($mover);
    $running{moved} += moved($mover);

    return (@bad, grep { defined } map { differs($_, $mover->{target}) }
                  @nodes);
}
