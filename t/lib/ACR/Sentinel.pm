package ACR::Sentinel;

# A master, its replicas and the sentinels that watch them, each a process of
# the test's own.  It can be given to ACR::start() as its Redis: it has the
# address with all sentinels, and command() asks whoever is the master now.

use strict;
use warnings;

use ACR;
use ACR::Process;
use ACR::Redis;

my $NAME = 'acr';


# start(OPTIONS): replicas => 2, sentinels => 3, redis => [ARGUMENT...] for
# each Redis; returns when every sentinel knows all the others
sub start {
    my ($class, %option) = @_;

    my $self = bless({ reserved => [], redis => [], sentinels => [] }, $class);

    my @common = ('--bind', '127.0.0.1', '--repl-diskless-sync-delay', '0',
                  '--repl-ping-replica-period', '1',
                  @{ $option{redis} || [] });
    my @ports = map { ACR::Node::free_port($self) }
                0 .. ($option{replicas} || 2);

    for my $port (@ports) {
        my @of = $port == $ports[0] ? ()
                 : ('--replicaof', "127.0.0.1 $ports[0]");
        push(@{ $self->{redis} }, redis('--port', $port, @common, @of));
        $self->{redis}[-1]{port} = $port;
    }

    # their reports of each other begin once there is something to report
    wait_for(sub { $self->replicas() == @ports - 1 })
        or die "the replicas do not follow\n";

    for (1 .. $option{sentinels} || 3) {
        my $port = ACR::Node::free_port($self);
        my $dir = work_dir() . "/sentinel$_";

        mkdir($dir) or die "$dir: $!\n";
        spew("$dir/sentinel.conf", <<"CONF");
port $port
bind 127.0.0.1
unixsocket $dir/redis.sock
unixsocketperm 777
dir $dir
sentinel monitor $NAME 127.0.0.1 $ports[0] 2
sentinel down-after-milliseconds $NAME 500
sentinel failover-timeout $NAME 2000
sentinel parallel-syncs $NAME 2
CONF
        push(@{ $self->{sentinels} },
             ACR::Redis->sentinel($dir, port => $port));
    }

    wait_for(sub { $self->complete(scalar(@ports) - 1) })
        or die "the sentinels do not find one another\n";

    return $self;
}


sub replicas {
    my ($self) = @_;

    return scalar(grep { /^slave\d+:.*state=online/ }
                  split(/\r?\n/, $self->{redis}[0]->command('INFO')));
}


# whether every sentinel knows all the others and all replicas
sub complete {
    my ($self, $replicas) = @_;

    my $others = @{ $self->{sentinels} } - 1;

    for my $sentinel (@{ $self->{sentinels} }) {
        my %about = eval {
            @{ $sentinel->command('SENTINEL', 'MASTER', $NAME) };
        };
        return 0 if !%about || $about{'num-other-sentinels'} != $others
                    || $about{'num-slaves'} != $replicas
                    || $about{flags} ne 'master';
    }

    return 1;
}


sub name { return $NAME }


sub address {
    my ($self) = @_;

    return 'sentinel://'
        . join(',', map { "127.0.0.1:$_->{port}" } @{ $self->{sentinels} })
        . "/$NAME";
}


# the one that all sentinels that run hold for the master, or undef
sub master {
    my ($self) = @_;

    my %port;
    for my $sentinel (@{ $self->{sentinels} }) {
        my $addr = eval {
            $sentinel->command('SENTINEL', 'get-master-addr-by-name', $NAME);
        };
        $port{ $addr->[1] } = 1 if $addr;
    }

    return if keys(%port) != 1;

    my ($master) = grep { $port{ $_->{port} } } @{ $self->{redis} };
    my $role = eval { $master->command('ROLE') };

    return $role && $role->[0] eq 'master' ? $master : undef;
}


# as ACR::Redis::command(), to the master
sub command {
    my ($self, @words) = @_;

    my $master = wait_for(sub { $self->master() }) or die "no master\n";

    return $master->command(@words);
}

1;
