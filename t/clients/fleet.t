#!/usr/bin/perl

# conf/fleet by skopeo, podman, docker, containerd, crane and oras: three nodes
# of which some end or are reloaded between what clients do, and while they do
# it.  No client fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Conf;
use ACR::Fleet;
use ACR::Line;
use ACR::Node;
use Clients;
use Clients::Content ();
use Clients::Network;
use Clients::Session;
use Clients::Tools;
use Test::More;

my $HOST = 'registry.example.com';
my $ADDRESS = '10.0.0.5';

# of a large layer, or in front of it
my $PART = 2_000_000;

own_network($HOST, $ADDRESS);

my ($redis, $balancer, @nodes) = fleet(qw(one two three));
my ($one, $two, $three) = @nodes;
my @tools = tools($HOST, "$balancer->{dir}/tls.crt");
my $line = ACR::Line->start(ACR::work_dir(), "$ADDRESS:443");

my $password = admin($one);
$_->run() for $two, $three, $balancer;
$line->set(to => $balancer->{tls_port});


# --- nothing happens

session($_, $balancer, $password, offer($_)) for @tools;


# --- a node ends between what they do

$_->has(offer($_)) for @tools;

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


# --- in the middle of a push

$_->has(offer($_)) for @tools;
$line->set(to => $balancer->{tls_port}, hold => 'up', after => $PART);
$_->begins_push("$_->{repo}/during:1") for @tools;
ends_meanwhile('push', sub { scalar($_[0]->fds(qr{/_uploads/})) });
uploaded_once($balancer, "$_->{repo}/during", $_->{layout}) for @tools;


# --- in the middle of a pull

$line->set(to => $balancer->{tls_port}, hold => 'down', after => $PART);
$_->begins_pull("$_->{repo}/during:1") for @tools;
ends_meanwhile('pull', \&sending);
$_->same("$_->{repo}/during:1") for @tools;

ACR::finish();


# an image of its own, so that it has to be uploaded
sub offer {
    my ($tool) = @_;

    return Clients::Content::layout($tool->place('offer'), layout()->{tree});
}


# ends_meanwhile(WHAT, BUSY): when all of them are in the middle of it, the node
# that is busiest ends, the others are reloaded; then it goes on.  BUSY has a
# node, and says how much is under way there.
sub ends_meanwhile {
    my ($what, $busy) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { $line->held() >= @tools }, 60),
       "all are in the middle of a $what");

    my %busy = map { $_->{name} => $busy->($_) } @nodes;
    my ($ending, @others) = sort { $busy{ $b->{name} } <=> $busy{ $a->{name} } }
                            @nodes;

    note(explain(\%busy));
    ok($busy{ $ending->{name} }, "node $ending->{name} is, too");

    $_->reload() for @others;
    $ending->{process}->signal('QUIT');
    ok(wait_for(sub { !grep { ACR::Node::listens($_) } $ending->workers() }),
       'it takes no more');
    ok($ending->{process}->alive(), 'but ends what it has');

    $line->set(to => $balancer->{tls_port});
    $_->ends("$what that a node has not stayed for") for @tools;

    is_deeply([$ending->stop()], [], 'and is gone then');
    $ending->run();
}


# how many answers a node cannot send on
sub sending {
    my ($node) = @_;

    my $port = sprintf(':%04X', $node->port());

    return scalar(grep {
        my @field = split(' ');
        $field[1] =~ /$port$/ && $field[3] eq '01' && $field[4] !~ /^0+:/
    } split(/\n/, slurp('/proc/net/tcp')));
}
