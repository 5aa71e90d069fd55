package ACR::Fleet;

# conf/fleet on one machine: nodes of node.conf, which share a directory and the
# Redis of redis.conf, behind balancer.conf, which is for three of them.
#
#   my ($redis, $balancer, @nodes) = fleet(qw(one two three));
#
# Redis runs, the others do not yet.

use strict;
use warnings;

use ACR;
use ACR::Conf;
use Exporter qw(import);

our @EXPORT = qw(fleet);

my $reserved = {};


sub fleet {
    my (@names) = @_;

    my $port = ACR::Node::free_port($reserved);
    my $redis = shipped_redis('fleet/redis.conf', $port);

    my @nodes;
    push(@nodes, member($_, $port, @nodes)) for @names;

    my $balancer = shipped('fleet/balancer.conf', map {
        ['10.0.0.2' . ($_ + 1) . ':5000' => "127.0.0.1:$nodes[$_]{port}"]
    } 0 .. $#nodes);

    return ($redis, $balancer, @nodes);
}


# member(NAME, PORT OF REDIS, FIRST): a node of that name, with the directory of
# the first
sub member {
    my ($name, $redis, $first) = @_;

    my $node = shipped('fleet/node.conf',
        [qr/10\.0\.0\.5\b/ => '127.0.0.1'],
        [qr/10\.0\.0\.6\b/ => '127.0.0.8'],
        ['acr_redis 10.0.0.11 ' => "acr_redis 127.0.0.1:$redis "],
        ['# acr_node node1;' => "acr_node $name;"]);

    spew("$node->{dir}/redis.password", "redis-password\n");
    $node->{name} = $name;

    if ($first) {
        $node->configure(text => change($node->{option}{text},
            [qr/acr_root .*/ => "acr_root $first->{root};"]));
    }

    return $node;
}

1;
