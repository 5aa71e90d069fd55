package ACR::Line;

# The line between clients and a server: it can stand still in the middle of
# what is large.
#
#   my $line = ACR::Line->start(work_dir(), '10.0.0.5:443');
#   $line->leads($port);           # new connections go there, on this machine
#   $line->hold('up', 1_000_000);
#   $line->release();
#
# From hold() to release() a connection that has passed so many bytes, "up" from
# the client or "down" to it, waits; held() is how many do.

use strict;
use warnings;

use parent 'ACR::Server';

use Errno ();
use IO::Select;
use IO::Socket::INET;


sub start {
    my ($class, $dir, $address) = @_;

    my $self = $class->prepare($dir);
    $self->{address} = $address;
    $self->release();
    $self->run();

    return $self;
}


sub address { return $_[0]->{address} }


sub leads {
    my ($self, $port) = @_;

    $self->{to} = $port;
    $self->release();
}


sub release {
    my ($self, %mode) = @_;

    $self->tell({ %mode, to => $self->{to}, number => ++$self->{number} });
}


sub hold {
    my ($self, $way, $after) = @_;

    $self->release(hold => $way, after => $after);
}


# how many connections wait
sub held {
    my ($self) = @_;

    my $said = eval { ACR::Server::said($self->{dir}) } || { number => 0 };

    return $said->{number} == $self->{number} ? $said->{held} : 0;
}


# --- the process.  A side is one end of a connection: its socket, which way
# what it sends goes, how much that was, what is still to be sent to it, the
# other side.

my ($dir, %mode, %side);


sub serve {
    (my $listen, $dir) = @_;

    %mode = (number => 0);
    $listen->blocking(0);

    while (1) {
        look();

        my @read = map { $_->{socket} } grep { wanted($_) } values(%side);
        my @write = map { $_->{socket} } grep { length($_->{out}) }
                    values(%side);
        my ($readable, $writable) = IO::Select->select(
            IO::Select->new($listen, @read), IO::Select->new(@write), undef,
            0.01);

        for my $socket (@{ $writable || [] }) {
            flush($side{$socket}) if $side{$socket};
        }

        for my $socket (@{ $readable || [] }) {
            if ($socket == $listen) {
                join_sides(scalar($listen->accept()));
            } elsif ($side{$socket}) {
                pass($side{$socket});
            }
        }
    }
}


sub look {
    my $new = ACR::Server::told($dir);

    if ($new->{number} != $mode{number}) {
        $_->{passed} = 0 for values(%side);
        delete($mode{said});
    }

    %mode = (%$new, said => $mode{said});

    my $held = grep { held_up($_) } values(%side);

    if (!defined $mode{said} || $held != $mode{said}) {
        ACR::Server::say($dir, { number => $mode{number}, held => $held });
        $mode{said} = $held;
    }
}


sub held_up {
    my ($side) = @_;

    return ($mode{hold} || '') eq $side->{way}
           && $side->{passed} >= $mode{after};
}


# whether to read from it
sub wanted {
    my ($side) = @_;

    return !$side->{over} && !length($side->{peer}{out}) && !held_up($side);
}


sub join_sides {
    my ($client) = @_;

    return if !$client;

    my $server = $mode{to} && IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $mode{to});
    return $client->close() if !$server;

    my ($up, $down) = map { { socket => $_->[0], way => $_->[1], passed => 0,
                              out => '' } }
                      [$client, 'up'], [$server, 'down'];

    for my $side ($up, $down) {
        $side->{peer} = $side == $up ? $down : $up;
        $side->{socket}->blocking(0);
        $side{ $side->{socket} } = $side;
    }
}


sub pass {
    my ($side) = @_;

    my $n = sysread($side->{socket}, my $bytes, 65536);

    return if !defined $n && $!{EAGAIN};
    return end($side) if !$n;

    $side->{passed} += $n;

    # who takes nothing any more has perhaps said why
    return if $side->{peer}{deaf};

    $side->{peer}{out} .= $bytes;
    flush($side->{peer});
}


sub flush {
    my ($side) = @_;

    my $n = syswrite($side->{socket}, $side->{out});

    if ($n) {
        substr($side->{out}, 0, $n, '');
    } elsif (!$!{EAGAIN}) {
        $side->{deaf} = 1;
        $side->{out} = '';
    }
}


# it sends nothing any more; the other side is told so, and may go on
sub end {
    my ($side) = @_;

    my $peer = $side->{peer};

    $side->{over} = 1;
    shutdown($peer->{socket}, 1);
    return if !$peer->{over};

    for my $gone ($side, $peer) {
        delete($side{ $gone->{socket} });
        $gone->{socket}->close();
        delete($gone->{peer});
    }
}

1;
