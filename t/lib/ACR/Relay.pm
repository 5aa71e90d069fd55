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

use ACR::Node;
use ACR::Process;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(time);

my $count = 0;


sub start {
    my ($class, %option) = @_;

    my $dir = $option{dir} . '/relay' . ++$count;
    my $self = bless({ dir => $dir, reserved => [] }, $class);

    mkdir($dir) or die "$dir: $!\n";

    $self->{port} = ACR::Node::free_port($self);
    $self->set();
    $self->{process} = ACR::Process->spawn(
        "$dir/log", $^X, '-I', "$ACR::Node::TREE/t/lib", '-MACR::Relay', '-e',
        'ACR::Relay::serve(@ARGV)', $dir, $self->{port},
        $option{redis}{socket});

    my $deadline = time() + 20;
    while (!-e "$dir/ready") {
        die "no relay\n" . ACR::Node::slurp("$dir/log")
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.01);
    }

    return $self;
}


sub address { return "127.0.0.1:$_[0]->{port}" }


sub set {
    my ($self, %mode) = @_;

    ACR::Node::spew("$self->{dir}/mode.new",
                    encode_json({ %mode, number => ++$self->{number} }));
    rename("$self->{dir}/mode.new", "$self->{dir}/mode") or die "mode: $!\n";
}


# --- the process

my ($dir, %mode, %peer, %subscriber, %late);


sub serve {
    my ($port, $socket);
    ($dir, $port, $socket) = @_;

    $SIG{PIPE} = 'IGNORE';

    my $listen = IO::Socket::INET->new(
        LocalAddr => "127.0.0.1:$port", Listen => 64, ReuseAddr => 1)
        or die "listen: $!\n";
    my $select = IO::Select->new($listen);

    %mode = (number => 0);
    ACR::Node::spew("$dir/ready", '');

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

    my $new = decode_json(ACR::Node::slurp("$dir/mode"));
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
