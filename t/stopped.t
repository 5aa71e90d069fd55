#!/usr/bin/perl

# A node that stands still in the middle of a change while a fail-over loses
# just this change.  Then it goes on: what it acknowledges holds, and Redis and
# the disk are equal in the end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my $shim = ACR::Shim->new();
my $reserve = {};
my $redis = redis('--port', ACR::Node::free_port($reserve),
                  '--bind', '127.0.0.1');
my $acr = start(redis => $redis, env => $shim->env());
my $two = node($acr, node => 'two',
               server => 'location /acr/admin/ { acr_admin; }');
my $n = 0;

$_->allow(qr/\[alert\].*has lost changes/, qr/\[crit\].*connect\(\).*redis/)
    for $acr, $two;

for (['put', 'pwrite /acr/nodes/ STOP count=1'],
     ['put', 'rename /current/link STOP count=1'],
     ['move', 'lock /acr/locks/ STOP_AFTER skip=1 count=1'],
     ['move', 'pwrite /acr/nodes/ STOP_AFTER count=1'],
     ['move', 'rename /current/link STOP count=1'],
     ['delete', 'pwrite /acr/nodes/ STOP count=1'],
     ['delete', 'unlink /current/link$ STOP count=1'])
{
    failed_over(@$_);
}

finish();


sub failed_over {
    my ($what, $step) = @_;

    my $repository = 'lib/r' . ++$n;
    my $old = $two->push_image($repository, 't', "old $n");
    my $json = image("{\"seed\":\"old $n\"}", ["layer of old $n"],
                     annotations => { n => "$n" });
    my $tag = $what eq 'put' ? 'new' : 't';
    my %was = (t => $old);
    my %want = (%was, $tag => $what eq 'delete' ? undef : digest($json));
    my @request = $what eq 'delete' ? 'DELETE' : 'PUT';
    push(@request, "/v2/$repository/manifests/$tag");
    push(@request, body => $json, headers => ['Content-Type' => $IMAGE])
        if $what ne 'delete';

    my $replica = replica();
    my $file = work_dir() . "/status.$n";
    $shim->rules($step);
    my $pid = answered(\@request, $file);
    ok($shim->stopped(0, 20), "$what, $step");

    fail_over($replica);
    ok(wait_for(sub { index(ACR::Index::state($two), run_id()) == 0 }),
       'the other node goes on');

    $shim->clear();
    kill('CONT', $acr->workers());
    waitpid($pid, 0);
    my $status = slurp($file);
    like($status, qr/^(?:20[12]|503)$/, 'an answer');

    ok(complete($two), 'the index is complete');
    holds($repository, $status == 503 ? (\%was, \%want) : \%want);
    ok(wait_for(sub { !differences($acr) }), 'Redis and the disk are equal')
        or diag(join("\n", differences($acr)));
    answers(admin($two, 'POST', 'rebuild'), 202, 'made again');
    ok(complete($two), 'it is complete');
    holds($repository, $status == 503 ? (\%was, \%want) : \%want);
}


# both nodes have the tags of one of these
sub holds {
    my ($repository, @may) = @_;

    for my $node ($acr, $two) {
        my $now = join(' ', map { $node->resolve($repository, $_) || 'gone' }
                            qw(t new));
        ok((grep { my $tags = $_;
                   $now eq join(' ', map { $tags->{$_} || 'gone' } qw(t new))
           } @may), 'what was acknowledged holds') or diag($now);
    }
}


# the request in another process, and its status in a file
sub answered {
    my ($request, $file) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    my $answer = eval { fresh($acr, @$request) };
    spew($file, $answer ? $answer->status() : 0);
    POSIX::_exit(0);
}


sub run_id {
    my ($run) = $acr->{redis}->command('INFO') =~ /run_id:(\w+)/;

    return "$run:";
}


# one that has all until now, and nothing that comes
sub replica {
    my $redis = $acr->{redis};
    my $port = $redis->command('CONFIG', 'GET', 'port')->[1];
    my $replica = redis('--port', ACR::Node::free_port($reserve),
                        '--bind', '127.0.0.1',
                        '--replicaof', "127.0.0.1 $port",
                        '--repl-diskless-sync-delay', 0);

    wait_for(sub {
        $replica->command('INFO', 'replication') =~ /master_link_status:up/
            && ($replica->command('GET', key('seq')) || 0)
               == $redis->command('GET', key('seq'));
    }) or die "no replica\n";
    $replica->command('REPLICAOF', 'NO', 'ONE');

    return $replica;
}


# it takes the place of the master
sub fail_over {
    my ($replica) = @_;

    my $redis = $acr->{redis};
    $redis->kill();
    rename($replica->{socket}, $redis->{socket}) or die "rename: $!\n";
    $replica->{socket} = $redis->{socket};
    $_->{redis} = $replica for $acr, $two;
}
