#!/usr/bin/perl

# conf/fleet by skopeo, podman, docker, containerd, crane and oras: three nodes
# of which some end or are reloaded between what clients do and while they do
# it, and no client fails; and die, and what was under way is pushed or pulled
# again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Conf;
use ACR::Fleet;
use ACR::Line;
use ACR::Node;
use Clients;
use Clients::Network;
use Clients::Session;
use Clients::Tools;
use Test::More;

my $HOST = 'registry.example.com';
my $ADDRESS = '10.0.0.5';

own_network($HOST, $ADDRESS);

my ($redis, $balancer, @nodes) = fleet(qw(one two three));
my ($one, $two, $three) = @nodes;
my ($ending, @dying);
my @tools = tools($HOST, "$balancer->{dir}/tls.crt");
my $line = ACR::Line->start(ACR::work_dir(), "$ADDRESS:443");

my $password = admin($one);
$_->run() for $two, $three, $balancer;
$line->leads($balancer->{tls_port});


# --- nothing happens

session($_, $balancer, $password) for @tools;


# --- a node ends between what they do

offer(@tools);

$one->stop();
$_->pushes("$_->{repo}/between:1", 'push after a node has ended') for @tools;
$one->run();
$two->stop();
$_->pushes("$_->{repo}/between:1", 'push again without another') for @tools;
uploaded_once($balancer, "$_->{repo}/between", $_->{layout}) for @tools;
$two->run();
$three->stop();
$_->pulls("$_->{repo}/between:1", 'pull without the third') for @tools;
$three->run();


# --- in the middle of what they do one ends, the others are reloaded

offer(@tools);

in_the_middle('push', 'ends:1', $line, \&ends, @tools);
$_->ends('push while a node ends') for @tools;
gone();
uploaded_once($balancer, "$_->{repo}/ends", $_->{layout}) for @tools;

in_the_middle('pull', 'ends:1', $line, \&ends, @tools);
$_->ends('pull while a node ends') && $_->same("$_->{repo}/ends:1") for @tools;
gone();


# --- nodes die in the middle of it: some clients try it again by themselves,
# with others it is for the user

offer(@tools);

in_the_middle('push', 'dies:1', $line, \&dies, @tools);

for (@tools) {
    if ($_->tries_again()) {
        $_->ends('push while nodes die');
    } elsif (!$_->ended()) {
        $_->pushes("$_->{repo}/dies:1", 'push after nodes have died');
    }
}

$_->run() for @dying;
uploaded_once($balancer, "$_->{repo}/dies", $_->{layout}) for @tools;

in_the_middle('pull', 'dies:1', $line, \&dies, @tools);

for (@tools) {
    if ($_->tries_again()) {
        $_->ends('pull while nodes die') && $_->same("$_->{repo}/dies:1");
    } elsif (!$_->ended()) {
        $_->pulls("$_->{repo}/dies:1", 'pull after nodes have died');
    }
}

$_->allow(qr/worker process \d+ exited on signal 9/) for @nodes;
ACR::finish();


# the nodes, and how much is under way at them; the busiest is the first
sub busy {
    my %n = map { my $node = $_;
                  $node->{name} => scalar($node->fds(qr{/_uploads/}))
                                   + sending($node) } @nodes;
    my @sorted = sort { $n{ $b->{name} } <=> $n{ $a->{name} } } @nodes;

    ok($n{ $sorted[0]{name} }, "node $sorted[0]{name} is, too");

    return @sorted;
}


sub ends {
    ($ending, my @others) = busy();

    $_->reload() for @others;
    $ending->{process}->signal('QUIT');

    ok(wait_for(sub { !grep { ACR::Node::listens($_) } $ending->workers() }),
       'it takes no more');
    ok($ending->{process}->alive(), 'but ends what it has');
}


sub dies {
    @dying = (busy())[0, 1];

    $_->kill_all() for @dying;
}


# the one that had to end has
sub gone {
    is_deeply([$ending->stop()], [], 'then it is gone');
    $ending->run();
}


# how many answers wait in a node, as it cannot send them
sub sending {
    my ($node) = @_;

    my $port = sprintf(':%04X', $node->port());

    return scalar(grep {
        my @field = split(' ');
        $field[1] =~ /$port$/ && $field[3] eq '01' && $field[4] !~ /^0+:/
    } split(/\n/, slurp('/proc/net/tcp')));
}
