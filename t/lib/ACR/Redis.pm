package ACR::Redis;

# A Redis of the test's own, on a unix socket, and a way to ask it.

use strict;
use warnings;

use ACR::Process;
use IO::Socket::UNIX;
use Time::HiRes qw(time);


sub start {
    my ($class, $dir, @arguments) = @_;

    my $self = bless({ dir => $dir, socket => "$dir/redis.sock",
                       arguments => \@arguments, pid => $$ }, $class);
    $self->run();

    return $self;
}


# sentinel(DIR, MORE): a sentinel of the sentinel.conf that is in there, which
# names redis.sock beside it as its socket
sub sentinel {
    my ($class, $dir, %more) = @_;

    my $self = bless({ dir => $dir, socket => "$dir/redis.sock",
                       sentinel => "$dir/sentinel.conf", pid => $$, %more },
                     $class);
    $self->run();

    return $self;
}


# run(): starts the server, also again after kill() or shutdown()
sub run {
    my ($self) = @_;

    my $server = $ENV{REDIS_SERVER} || 'redis-server';
    my @arguments = $self->{sentinel} ? ($self->{sentinel}, '--sentinel')
        : ('--port', '0', '--unixsocket', $self->{socket}, '--unixsocketperm',
           '777', '--save', '', '--dir', $self->{dir}, '--daemonize', 'no',
           @{ $self->{arguments} });

    unlink($self->{socket});
    $self->{process} = ACR::Process->spawn("$self->{dir}/redis.log", $server,
                                           @arguments);

    my $deadline = time() + 20;
    while (!eval { $self->command('PING') eq 'PONG' }) {
        die "no $server\n"
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.01);
    }
}


sub address { return "unix:$_[0]->{socket}" }
sub signal { return $_[0]->{process}->signal($_[1]) }


sub kill {
    my ($self) = @_;

    $self->{connection} = undef;
    $self->{process}->kill_now();
}


# in order, with what is in memory written to the append-only file
sub shutdown {
    my ($self) = @_;

    $self->{connection} = undef;
    $self->{process}->signal('TERM');
    $self->{process}->ended(10) or $self->{process}->kill_now();
}


# command(NAME, ARGUMENT...): the reply; a list is an array, nil is undef
sub command {
    my ($self, @words) = @_;

    if (!$self->{connection} || $self->{pid} != $$) {
        $self->{connection} = IO::Socket::UNIX->new(Peer => $self->{socket})
            or die "$self->{socket}: $!\n";
        $self->{pid} = $$;
    }

    my $out = '*' . @words . "\r\n"
        . join('', map { '$' . length($_) . "\r\n$_\r\n" } @words);

    $self->{connection}->print($out);
    $self->{connection}->flush();

    return $self->reply();
}


sub reply {
    my ($self) = @_;

    local $/ = "\r\n";
    my $line = readline($self->{connection});

    if (!defined $line) {
        $self->{connection} = undef;
        die "Redis is gone\n";
    }

    chomp($line);
    my ($type, $rest) = (substr($line, 0, 1), substr($line, 1));

    return $rest if $type eq '+' || $type eq ':';
    die "$rest\n" if $type eq '-';
    return if $rest < 0;
    return [map { scalar($self->reply()) } 1 .. $rest] if $type eq '*';

    my $bytes = '';
    while (length($bytes) < $rest + 2) {
        read($self->{connection}, $bytes, $rest + 2 - length($bytes),
             length($bytes)) or die "Redis is gone\n";
    }

    return substr($bytes, 0, -2);
}

1;
