#!/usr/bin/perl

# Two nodes whose Redis loses what it had acknowledged: a fail-over to a replica
# that is 100 writes behind, FLUSHALL under load, deletes while the index is
# made again.  No pull of what is there is ever told that it is not, and what
# was acknowledged holds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Client;
use ACR::Fault;
use ACR::Index;
use ACR::Load;
use ACR::Shim;
use Time::HiRes qw(time);

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $FLUSHES = 4;
my $ADMIN = 'location /acr/admin/ { acr_admin; }';
my $seed = $ENV{ACR_SEED} || time() % 1_000_000 | 0;

my $shim = ACR::Shim->new();
my $port = ACR::Node::free_port(my $reserve = {});
my $redis = redis('--port', $port, '--bind', '127.0.0.1');
my $acr = start(workers => 2, redis => $redis, server => $ADMIN,
                env => $shim->env());
my @nodes = ($acr, node($acr, node => 'two', server => $ADMIN,
                        env => $shim->env()));
my $turn = 0;

$_->allow(qr/\[alert\].*has lost changes/, qr/\[crit\].*connect\(\).*redis/)
    for @nodes;


# --- fail-over

# what has to be there: TARGET => digest, or undef if it was deleted
my %kept;

for my $n (1 .. 50) {
    $kept{"/v2/lib/old$n/manifests/moved"}
        = another()->push_image("lib/old$n", 'moved', "before $n");
    my $gone = another()->push_image("lib/old$n", 'gone', "gone $n");
    $kept{"/v2/lib/old$n/manifests/gone"} = $gone;
    $kept{"/v2/lib/old$n/manifests/$gone"} = $gone;
}

my $replica = redis('--replicaof', "127.0.0.1 $port");
ok(wait_for(sub {
    $replica->command('INFO', 'replication') =~ /master_link_status:up/
        && ($replica->command('GET', key('seq')) || 0)
           == $redis->command('GET', key('seq'))
}), 'a replica has it all');
$replica->command('REPLICAOF', 'NO', 'ONE');

# 100 changes that it does not get
for my $n (1 .. 30) {
    $kept{"/v2/lib/old$n/manifests/moved"}
        = another()->push_image("lib/old$n", 'moved', "after $n");
    $kept{"/v2/lib/new$n/manifests/new"}
        = another()->push_image("lib/new$n", 'new', "new $n");
}

for my $n (1 .. 20) {
    my $target = "/v2/lib/old$n/manifests/gone";
    $target =~ s/gone$/$kept{$target}/ if $n % 2;
    another()->delete($target)->status() == 202 or die "$target\n";
    $kept{"/v2/lib/old$n/manifests/gone"} = undef;
    $kept{$target} = undef;
}

for my $n (1 .. 20) {
    my $digest = another()->push_blob('lib/blobs', "blob $n");
    $kept{"/v2/lib/blobs/blobs/$digest"} = $digest;
}

$redis->kill();
rename($replica->{socket}, $redis->{socket}) or die "rename: $!\n";
$replica->{socket} = $redis->{socket};
$_->{redis} = $replica for @nodes;

# pulls of all of it, at both, until the index is made again and once more
my ($pulls, @wrong) = (0);

for (my $last = 0; $last < 2 && !@wrong; ) {
    $last++ if is_complete();
    push(@wrong, wrong());
}

nothing("$pulls pulls: what was acknowledged before a fail-over", @wrong);
my @logs = map { $_->log_text() } @nodes;
ok((grep { /has lost changes/ } @logs), 'the log tells that some was lost');
ok((grep { /rebuild of .* is complete/ } @logs), 'and was made again');
is_deeply([sort @{ $nodes[1]->get('/v2/_catalog')->json()->{repositories} }],
          [sort map { "lib/$_" } 'blobs', map({ "new$_" } 1 .. 30),
                map({ "old$_" } 1 .. 50)], 'the catalogue is complete');
nothing('the lists of tags are right', map {
    my @tags = sort $nodes[$_ % 2]->tags("lib/old$_");
    "@tags" eq ($_ <= 20 ? 'moved' : 'gone moved') ? () : "old$_: @tags";
} 1 .. 50);
nothing('Redis and the disk have the same', differences($acr));


# --- emptied under load

my $load = ACR::Load->new(\@nodes, seed => $seed);
my $puller = puller();

diag("ACR_SEED=$seed");
$load->begin(3);
$load->lossy();

for my $n (1 .. $FLUSHES) {
    my $more = $load->acknowledged() + 30;
    ok(wait_for(sub { $load->acknowledged() >= $more }), 'pushes go on')
        or diag(fresh($acr, 'GET', '/acr/admin/stats')->text());
    $replica->command('FLUSHALL');
}

my $more = $load->acknowledged() + 30;
ok(wait_for(sub { $load->acknowledged() >= $more }), 'and go on');
$load->end();
ok(wait_for(\&is_complete), 'the index is complete');
nothing('all that was acknowledged is there', $load->check($acr));
nothing('Redis and the disk have the same', $load->apart($acr));
nothing('no pull of what is there is told that it is not', $puller->());


# --- deletes while it is made again

$shim->rules('read_open /_manifests/ DELAY=5');
$replica->command('FLUSHALL');
ok(wait_for(sub { $replica->command('SCARD', key('current')) }),
   'the index is made again');

my $behind = 0;
for my $n (21 .. 50) {
    my $digest = $kept{"/v2/lib/old$n/manifests/gone"};
    my $what = $n % 2 ? 'gone' : $digest;
    my $answer = another()->delete("/v2/lib/old$n/manifests/$what");

    $behind++ if !is_complete();
    answers($answer, 202, 'a delete') if $answer->status() != 202;
    $kept{"/v2/lib/old$n/manifests/gone"} = undef;
    $kept{"/v2/lib/old$n/manifests/$what"} = undef;
}

for my $digest (map { digest("blob $_") } 1 .. 20) {
    my $answer = another()->delete("/v2/lib/blobs/blobs/$digest");
    answers($answer, 202, 'a delete') if $answer->status() != 202;
    $kept{"/v2/lib/blobs/blobs/$digest"} = undef;
}

cmp_ok($behind, '>', 0, "$behind deletes meanwhile");
$shim->clear();
ok(wait_for(\&is_complete), 'it is complete');
nothing('what was deleted stays deleted', wrong());
answers(admin($acr, 'POST', 'rebuild'), 202, 'once more');
ok(wait_for(\&is_complete), 'it is complete');
nothing('and so it does after that', wrong());
nothing('Redis and the disk have the same', $load->apart($acr));

finish();


sub another { return $nodes[$turn++ % @nodes] }

sub is_complete {
    my $answer = eval { fresh($nodes[$turn % 2], 'GET', '/acr/admin/stats') };

    return $answer && $answer->status() == 200
           && $answer->json()->{state} eq 'complete';
}


sub nothing {
    my ($name, @complaints) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@complaints, $name)
        or diag(join("\n", @complaints[0 .. ($#complaints > 9 ? 9
                                             : $#complaints)]));
}


# what is not as it was acknowledged
sub wrong {
    my @wrong;

    for my $target (sort keys %kept) {
        my $answer = another()->get($target);
        my $want = $kept{$target};

        $pulls++;
        push(@wrong, "$target: " . $answer->status())
            if defined $want
               ? $answer->status() != 200 || digest($answer->body()) ne $want
               : $answer->status() != 404;
    }

    return @wrong;
}


# pulls in another process, as fast as it can; the function ends it, and returns
# what was wrong
sub puller {
    my $base = work_dir() . '/puller';
    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        my @wrong;
        my $rounds = 0;
        @nodes = map { ACR::Client->new($_->port()) } @nodes;

        while (!-e "$base.stop" && !@wrong) {
            push(@wrong, eval { wrong() });
            push(@wrong, $@) if $@;
            $rounds++;
        }
        spew("$base.new", join('', map { "$_\n" } "$rounds rounds", @wrong));
        rename("$base.new", "$base.result");
        POSIX::_exit(0);
    }

    return sub {
        spew("$base.stop", '');
        waitpid($pid, 0);
        my ($rounds, @wrong) = split(/\n/, slurp("$base.result"));
        diag("puller: $rounds");
        return $rounds =~ /^[1-9]/ ? @wrong : ('it did not pull', @wrong);
    };
}
