package ACR::HTTP;

# A small HTTP/1.1 client over a raw socket.  It shows everything that goes
# over the wire, and it can be rude: send half a request, leave, pipeline.
#
#   my $http = ACR::HTTP->new($port);
#   my $answer = $http->request('PUT', '/v2/...', body => $bytes,
#                               headers => ['Content-Type' => '...']);
#
#   $http->begin('PATCH', $target, chunked => 1);
#   $http->chunk($bytes);
#   $http->finish();
#   my $answer = $http->answer('PATCH');
#
# Nothing blocks for longer than $ACR::HTTP::TIMEOUT seconds: it dies then.

use strict;
use warnings;

use ACR::Answer;
use Errno qw(EAGAIN EINTR EPIPE ECONNRESET);
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

our $TIMEOUT = 30;


sub new {
    my ($class, $port, %option) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $port, Proto => 'tcp',
                                       Timeout => $TIMEOUT)
        or die "no connection to port $port: $@\n";

    binmode($socket);
    $socket->blocking(0);
    $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);

    # a client that reads slowly should not have much on its way
    if ($option{receive_buffer}) {
        $socket->setsockopt(SOL_SOCKET, SO_RCVBUF, $option{receive_buffer});
    }

    return bless({ socket => $socket, in => '', pid => $$ }, $class);
}


# request(METHOD, TARGET, headers => [NAME => VALUE, ...],
#         body => BYTES or [BYTES, ...], chunked => 1): the answer
#
# A list of bodies is sent piece by piece; with chunked each is a chunk.
sub request {
    my ($self, $method, $target, %option) = @_;

    my $body = delete $option{body};
    my @pieces = ref($body) ? @$body : defined $body ? $body : ();

    if (@pieces && !$option{chunked} && !has($option{headers},
                                             'content-length'))
    {
        my $length = 0;
        $length += length for @pieces;
        push(@{ $option{headers} = [@{ $option{headers} || [] }] },
             'Content-Length' => $length);
    }

    if (!$option{chunked}) {
        # in one write, as most clients do
        my $head = $self->head($method, $target, %option);
        $self->send($head . (@pieces ? shift(@pieces) : ''));
        $self->send($_) for @pieces;

    } else {
        $self->begin($method, $target, %option);
        $self->chunk($_) for grep { length } @pieces;
        $self->finish();
    }

    my $answer = $self->answer($method);

    die "$method $target: closed without an answer\n" if !$answer;

    return $answer;
}


# begin(METHOD, TARGET, headers, chunked): sends the head of a request
sub begin {
    my ($self, $method, $target, %option) = @_;

    return $self->send($self->head($method, $target, %option));
}


sub head {
    my ($self, $method, $target, %option) = @_;

    my @headers = @{ $option{headers} || [] };

    unshift(@headers, 'Transfer-Encoding' => 'chunked') if $option{chunked};
    unshift(@headers, Host => 'registry.test') if !has(\@headers, 'host');

    my $head = "$method $target HTTP/1.1\r\n";

    while (my ($name, $value) = splice(@headers, 0, 2)) {
        $head .= "$name: $value\r\n";
    }

    return "$head\r\n";
}


sub has {
    my ($headers, $name) = @_;

    my @headers = @{ $headers || [] };

    return grep { !($_ & 1) && lc($headers[$_]) eq $name } 0 .. $#headers;
}


sub chunk {
    my ($self, $bytes) = @_;

    return $self->send(sprintf("%x\r\n", length($bytes)) . "$bytes\r\n");
}


sub finish {
    my ($self) = @_;

    return $self->send("0\r\n\r\n");
}


# send(BYTES): sends all of them, and takes in what the server says meanwhile.
# False if the server has closed.
sub send {
    my ($self, $bytes) = @_;

    my $sent = 0;
    my $deadline = time() + $TIMEOUT;

    while ($sent < length($bytes)) {
        return 0 if $self->{eof};

        my ($reads, $writes) = ('', '');
        vec($reads, fileno($self->{socket}), 1) = 1;
        vec($writes, fileno($self->{socket}), 1) = 1;

        my $left = $deadline - time();
        die "the server takes nothing\n" if $left <= 0;
        my $ready = select($reads, $writes, undef, $left);
        next if $ready <= 0;

        $self->take() if vec($reads, fileno($self->{socket}), 1);
        next if !vec($writes, fileno($self->{socket}), 1);

        my $n = syswrite($self->{socket}, $bytes, 1048576, $sent);

        if (defined $n) {
            $sent += $n;
            $deadline = time() + $TIMEOUT;

        } elsif ($! == EPIPE || $! == ECONNRESET) {
            # what it has said before can still be read
            return 0;

        } elsif ($! != EAGAIN && $! != EINTR) {
            die "send: $!\n";
        }
    }

    return 1;
}


# answer(METHOD): the next answer, without 100; undef if the server has closed
# before its first byte.  METHOD matters for HEAD.
#
#   interim => 1         an answer with 1xx is an answer
#   head => 1            leaves the body unread
#   rate => BYTES        reads the body at so many bytes a second
#   to => FUNCTION       gets the pieces of the body, which is not kept
sub answer {
    my ($self, $method, %option) = @_;

    my $answer = $self->answer_head() or return;

    if ($answer->status() < 200) {
        return $answer if $option{interim};
        return $self->answer($method, %option);
    }

    return $answer if $option{head};

    $self->body($answer, $method, %option);

    return $answer;
}


sub answer_head {
    my ($self) = @_;

    my $end;
    while (($end = index($self->{in}, "\r\n\r\n")) < 0) {
        if (!$self->fill()) {
            return if $self->{in} eq '';
            die "closed in the middle of a head: $self->{in}\n";
        }
    }

    my $head = substr($self->{in}, 0, $end + 4, '');

    return ACR::Answer->parse($head);
}


# body(ANSWER, METHOD): reads the body of an answer that was read with head => 1
sub body {
    my ($self, $answer, $method, %option) = @_;

    my $status = $answer->status();
    return if $method eq 'HEAD' || $status == 204 || $status == 304;

    my $start = time();
    my $got = 0;

    my $add = sub {
        my ($piece) = @_;

        $got += length($piece);

        if ($option{to}) {
            $option{to}->($piece);
        } else {
            $answer->{body} .= $piece;
        }

        if ($option{rate}) {
            my $ahead = $got / $option{rate} - (time() - $start);
            select(undef, undef, undef, $ahead) if $ahead > 0;
        }
    };

    my $coding = $answer->header('Transfer-Encoding');

    if (defined $coding && $coding =~ /chunked/i) {
        while (1) {
            my $line = $self->line();
            $line =~ /^([0-9a-fA-F]+)/ or die "bad chunk: $line\n";
            my $size = hex($1);
            $self->bytes($size, $add);
            $self->line();
            last if $size == 0;
        }

    } elsif (defined $answer->header('Content-Length')) {
        $self->bytes($answer->header('Content-Length'), $add);

    } else {
        do {
            $add->($self->{in}) if length($self->{in});
            $self->{in} = '';
        } while ($self->fill());
    }
}


sub line {
    my ($self) = @_;

    my $end;
    while (($end = index($self->{in}, "\r\n")) < 0) {
        die "closed in the middle of a body\n" if !$self->fill();
    }

    my $line = substr($self->{in}, 0, $end + 2, '');

    return substr($line, 0, -2);
}


sub bytes {
    my ($self, $size, $add) = @_;

    while ($size > 0) {
        if ($self->{in} eq '' && !$self->fill()) {
            die "closed, $size bytes of the body are missing\n";
        }

        my $piece = substr($self->{in}, 0, $size, '');
        $size -= length($piece);
        $add->($piece);
    }
}


# waits until there is something to take in; false at the end
sub fill {
    my ($self, $seconds) = @_;

    my $deadline = time() + (defined $seconds ? $seconds : $TIMEOUT);

    while (!$self->{eof}) {
        my $reads = '';
        vec($reads, fileno($self->{socket}), 1) = 1;

        my $left = $deadline - time();
        die "no answer in time\n" if $left <= 0;

        next if select($reads, undef, undef, $left) <= 0;

        return 1 if $self->take();
    }

    return 0;
}


# true if something was there
sub take {
    my ($self) = @_;

    my $n = sysread($self->{socket}, $self->{in}, 262144, length($self->{in}));

    if (defined $n) {
        $self->{eof} = 1 if $n == 0;
        return $n > 0;
    }

    return 0 if $! == EAGAIN || $! == EINTR;

    die "receive: $!\n" if $! != ECONNRESET && $! != EPIPE;

    $self->{eof} = 1;
    $self->{reset} = 1;

    return 0;
}


# true if the server closes within some seconds and says nothing more
sub closed {
    my ($self, $seconds) = @_;

    return 0 if length($self->{in});

    my $more = eval { $self->fill($seconds) };

    return defined $more && !$more;
}


# false if the server has closed, or has said what nobody has asked for
sub usable {
    my ($self) = @_;

    $self->take() if !$self->{eof};

    return !$self->{eof} && $self->{in} eq '';
}


sub close {
    my ($self) = @_;

    CORE::close($self->{socket}) if $self->{socket};
    $self->{socket} = undef;
    $self->{eof} = 1;
}


# leaves with a reset instead of a FIN
sub abort {
    my ($self) = @_;

    $self->{socket}->setsockopt(SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    $self->close();
}

1;
