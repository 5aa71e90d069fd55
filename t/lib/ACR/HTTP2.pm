package ACR::HTTP2;

# A small HTTP/2 client without TLS, for what curl does not do: several streams
# at will, streams that stop in the middle, answers before the body was sent.
#
#   my $h2 = ACR::HTTP2->new($port);
#   my $id = $h2->begin('PATCH', $target, 'content-length' => 10);
#   $h2->data($id, $bytes, 1);          # 1: the end
#   my $answer = $h2->answer($id);      # { status, body, reset, ended }
#
# Of the answer's headers it reads the status only.

use strict;
use warnings;

use ACR::HTTP;

my ($DATA, $HEADERS, $RESET, $SETTINGS, $PING, $GOAWAY, $WINDOW)
    = (0, 1, 3, 4, 6, 7, 8);

# HPACK's static table: what nginx sends of it
my %status = (0x88 => 200, 0x89 => 204, 0x8a => 206, 0x8b => 304,
              0x8c => 400, 0x8d => 404, 0x8e => 500);


sub new {
    my ($class, $port) = @_;

    my $self = bless({ http => ACR::HTTP->new($port), next => 1,
                       streams => {}, window => 65_535, initial => 65_535,
                       pid => $$ }, $class);

    # the server may send as much as it likes
    $self->{http}->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                        . frame($SETTINGS, 0, 0,
                                pack('nN', 4, 0x7fffffff))
                        . frame($WINDOW, 0, 0, pack('N', 0x7fff0000 - 65_535)));
    $self->{ready} = 0;
    $self->read_frame() while !$self->{ready};

    return $self;
}


sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length($payload)), 1)
        . pack('CCN', $type, $flags, $stream) . $payload;
}


sub text {
    my ($text) = @_;

    my $n = length($text);
    return chr($n) . $text if $n < 127;

    # an integer with a prefix of 7 bits
    my $length = chr(127);
    for ($n -= 127; $n >= 128; $n >>= 7) {
        $length .= chr(128 | ($n & 127));
    }

    return $length . chr($n) . $text;
}


# begin(METHOD, TARGET, NAME => VALUE, ..., END => 1): the stream's number
sub begin {
    my ($self, $method, $target, %header) = @_;

    my $end = delete($header{END}) ? 1 : 0;
    my $block = join('', map { "\0" . text($_->[0]) . text($_->[1]) } (
        [':method', $method], [':scheme', 'http'], [':path', $target],
        [':authority', 'registry.test'],
        map { [$_, $header{$_}] } sort keys %header));

    my $id = $self->{next};
    $self->{next} += 2;
    $self->{streams}{$id} = { status => 0, body => '',
                              window => $self->{initial} };
    $self->{http}->send(frame($HEADERS, 4 | $end, $id, $block));

    return $id;
}


# data(STREAM, BYTES, END): sends as the windows allow; false if the server has
# ended the stream before all was sent
sub data {
    my ($self, $id, $bytes, $end) = @_;

    my $stream = $self->{streams}{$id};
    my $sent = 0;

    while ($sent < length($bytes) || $end) {
        return 0 if $stream->{ended} || $stream->{reset};

        my $n = length($bytes) - $sent;
        for my $limit ($stream->{window}, $self->{window}, 16_384) {
            $n = $limit if $n > $limit;
        }

        if ($n <= 0 && $sent < length($bytes)) {
            $self->read_frame();
            next;
        }

        my $last = $end && $sent + $n == length($bytes);
        $self->{http}->send(frame($DATA, $last ? 1 : 0, $id,
                                  substr($bytes, $sent, $n)));
        $sent += $n;
        $stream->{window} -= $n;
        $self->{window} -= $n;
        return 1 if $last;
    }

    return 1;
}


# what is left without waiting
sub window {
    my ($self, $id) = @_;

    my $stream = $self->{streams}{$id};

    return $stream->{window} < $self->{window} ? $stream->{window}
                                               : $self->{window};
}


sub reset {
    my ($self, $id) = @_;

    # CANCEL
    $self->{http}->send(frame($RESET, 0, $id, pack('N', 8)));
}


# answer(STREAM): once it is complete, or reset
sub answer {
    my ($self, $id) = @_;

    my $stream = $self->{streams}{$id};

    while (!$stream->{ended} && !$stream->{reset}) {
        $self->read_frame();
    }

    return $stream;
}


sub take {
    my ($self, $n) = @_;

    my $http = $self->{http};

    while (length($http->{in}) < $n) {
        die "HTTP/2: closed\n" if !$http->fill();
    }

    return substr($http->{in}, 0, $n, '');
}


sub read_frame {
    my ($self) = @_;

    my ($high, $low, $type, $flags, $id) = unpack('CnCCN', $self->take(9));
    my $payload = $self->take($high * 65_536 + $low);
    my $stream = $self->{streams}{$id} || {};

    if ($type == $SETTINGS) {
        return if $flags & 1;
        my %setting = map { unpack('nN', $_) } $payload =~ /(.{6})/gs;
        my $more = ($setting{4} || $self->{initial}) - $self->{initial};
        $self->{initial} += $more;
        $_->{window} += $more for values(%{ $self->{streams} });
        $self->{http}->send(frame($SETTINGS, 1, 0, ''));
        $self->{ready} = 1;

    } elsif ($type == $PING) {
        $self->{http}->send(frame($PING, 1, 0, $payload)) if !($flags & 1);

    } elsif ($type == $WINDOW) {
        $id ? $stream->{window} += unpack('N', $payload)
            : ($self->{window} += unpack('N', $payload));

    } elsif ($type == $HEADERS) {
        $payload =~ s/^[\x20-\x3f]//;
        $stream->{status} = $status{ord($payload)}
            || ($payload =~ /^[\x08\x48]\x03(\d{3})/ ? $1 : 0);
        $stream->{ended} = 1 if $flags & 1;

    } elsif ($type == $DATA) {
        $stream->{body} .= $payload;
        $stream->{ended} = 1 if $flags & 1;

    } elsif ($type == $RESET) {
        $stream->{code} = unpack('N', $payload);
        # NO_ERROR after an answer only says: do not send more
        $stream->{reset} = 1 if !$stream->{ended};

    } elsif ($type == $GOAWAY) {
        my (undef, $code) = unpack('NN', $payload);
        die "HTTP/2: the server goes away: $code\n" if $code;
    }
}


sub close { $_[0]->{http}->close() }

1;
