package Clients::Network;

# A network of the test's own: nobody else is in it, so registries have the
# ports and addresses of their configurations, and clients take these for those
# of another machine.  dockerd, for one, trusts 127.0.0.0/8 without TLS.

use strict;
use warnings;

use Clients;
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(own_network);

# What is under way between two programs is little then.
my %SETTINGS = (
    'net/ipv4/tcp_rmem' => '4096 65536 65536',
    'net/ipv4/tcp_wmem' => '4096 16384 65536',
);


# own_network(NAME, ADDRESS): begins the test anew in a network that has this
# address, too; clients know it as NAME.  To be called first of all.
sub own_network {
    my ($name, $address) = @_;

    my @enter = ('unshare', '--net', '--');

    if (!$ENV{ACR_CLIENTS_NETWORK}) {
        plan(skip_all => 'only root makes a network') if $> != 0;
        plan(skip_all => 'no network of its own')
            if system("@enter ip link set lo up > /dev/null 2>&1") != 0;

        $ENV{ACR_CLIENTS_NETWORK} = 1;
        exec(@enter, $^X, $0, @ARGV) or die "unshare: $!\n";
    }

    for (['link', 'set', 'lo', 'up'],
         ['address', 'add', "$address/32", 'dev', 'lo'])
    {
        system('ip', @$_) == 0 or die "ip @$_: $?\n";
    }
    spew("/proc/sys/$_", "$SETTINGS{$_}\n") for sort(keys(%SETTINGS));

    spew(work() . '/etc/hosts', "127.0.0.1 localhost\n$address $name\n");
}

1;
