package ACR::Relay;

# What lies between a node and its Redis, and is not always well: replies come
# late, and the feed is cut or says nothing any more.
#
#   my $relay = ACR::Relay->start(redis => $redis, dir => work_dir());
#   "acr_redis " . $relay->address() . ";"
#   $relay->set(delay => 0.01);    # replies come up to so many seconds late
#   $relay->set(hold => 1);        # subscribers hear nothing
#   $relay->set(cut => 1);         # their connections are closed, once
#
# set() takes all of what is to be from now on.

use strict;
use warnings;

use parent 'ACR::Server';

use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);


sub start {
    my ($class, %option) = @_;

    my $self = $class->prepare($option{dir});
    $self->set();
    $self->run($option{redis}{socket});

    return $self;
}


sub set {
    my ($self, %mode) = @_;

    $self->tell({ %mode, number => ++$self->{number} });
}


# --- the process

my ($dir, %mode, %peer, %subscriber, %late);


sub serve {
    my ($listen, $socket);
    ($listen, $dir, $socket) = @_;

    my $select = IO::Select->new($listen);

    %mode = (number => 0);

    while (1) {
        my %held = map { $_ => 1 } $mode{hold} ? keys %subscriber : ();
        my @wanted = grep { !$held{ $peer{$_} || '' } } $select->handles();

        # what is late may be due soon
        my $wait = (grep { @$_ } values %late) ? 0.0005 : 0.02;

        for my $fh (IO::Select->new(@wanted)->can_read($wait)) {
            if ($fh == $listen) {
                join_peers($select, scalar($listen->accept()), $socket);
            } elsif ($peer{$fh}) {
                pass($select, $fh);
            }
        }

        look($select);
        deliver($select);
    }
}


sub join_peers {
    my ($select, $client, $socket) = @_;

    my $redis = IO::Socket::UNIX->new(Peer => $socket);
    return $client->close() if !$redis;

    $peer{$client} = $redis;
    $peer{$redis} = $client;
    $late{$redis} = [];
    $select->add($client, $redis);
}


sub pass {
    my ($select, $fh) = @_;

    return end($select, $fh) if !sysread($fh, my $bytes, 65536);

    # what comes from the client goes on at once
    if (!$late{$fh}) {
        $subscriber{$fh} = $fh if $bytes =~ /^SUBSCRIBE\r$/m;
        syswrite($peer{$fh}, $bytes);
        return;
    }

    my $delay = 0;
    $delay = rand($mode{delay}) if $mode{delay} && !$subscriber{ $peer{$fh} };

    push(@{ $late{$fh} }, [time() + $delay, $bytes]);
}


sub deliver {
    my ($select) = @_;

    my $now = time();

    for my $fh ($select->handles()) {
        my $queue = $late{$fh} || next;
        syswrite($peer{$fh}, shift(@$queue)->[1])
            while @$queue && $queue->[0][0] <= $now;
    }
}


sub look {
    my ($select) = @_;

    my $new = ACR::Server::told($dir);
    my $other = $new->{number} != $mode{number};

    %mode = %$new;

    if ($other && $mode{cut}) {
        end($select, $_) for values %subscriber;
    }
}


sub end {
    my ($select, $fh) = @_;

    for my $socket ($fh, delete $peer{$fh} || ()) {
        $select->remove($socket);
        delete $peer{$socket};
        delete $late{$socket};
        delete $subscriber{$socket};
        $socket->close();
    }
}

1;
