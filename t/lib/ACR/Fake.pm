package ACR::Fake;

# A Redis or sentinel that answers what the test wants, in the protocol or not.
#
#   my $fake = ACR::Fake->start(redis => $redis);
#   $fake->answers([qr/^EVAL/ => "-LOADING it loads\r\n"]);
#   $fake->answers();
#
# A command is its words with spaces between.  The first pattern that it
# matches has the bytes of the answer: none for no answer at all, undef to close
# the connection.  What no pattern matches is passed on to the Redis.

use strict;
use warnings;

use parent 'ACR::Server';

use IO::Select;
use IO::Socket::UNIX;


# start(OPTIONS): redis => an ACR::Redis, dir => where its socket is to be
sub start {
    my ($class, %option) = @_;

    my $self = $class->prepare($option{dir});
    $self->answers();
    $self->run($option{redis} ? $option{redis}{socket} : ());

    return $self;
}


# answers([PATTERN => BYTES], ...): from the next command on
sub answers {
    my ($self, @rules) = @_;

    $self->tell([map { my ($pattern, $bytes) = @$_; ["$pattern", $bytes] }
                 @rules]);
}


# --- in its process

sub serve {
    my ($listen, $dir, $redis) = @_;

    my $select = IO::Select->new($listen);
    my %client;

    while (1) {
        for my $fh ($select->can_read()) {
            if ($fh == $listen) {
                my $new = $listen->accept() or next;
                $select->add($new);
                $client{$new} = { in => '', redis => $redis };
                next;
            }

            my $client = $client{$fh};
            my $n = sysread($fh, $client->{in}, 65536, length($client->{in}));

            if (!$n || !eval { commands($fh, $client, $dir) }) {
                print STDERR $@ if $n && $@;
                $select->remove($fh);
                delete $client{$fh};
                close($fh);
            }
        }
    }
}


# answers all commands that are there; false to close
sub commands {
    my ($fh, $client, $dir) = @_;

    while (my ($raw, @words) = command($client->{in})) {
        substr($client->{in}, 0, length($raw), '');

        my $line = join(' ', @words);
        my ($rule) = grep { $line =~ /$_->[0]/s } @{ ACR::Server::told($dir) };

        return 0 if $rule && !defined $rule->[1];

        syswrite($fh, $rule ? $rule->[1] : pass_on($client, $raw));
    }

    return 1;
}


# command(BYTES): the first command with its words; nothing if it is not whole
sub command {
    my ($in) = @_;

    $in =~ /\G\*(\d+)\r\n/gc or return;
    my ($n, @words) = ($1);

    for (1 .. $n) {
        $in =~ /\G\$(\d+)\r\n/gc or return;
        my $at = pos($in);
        return if length($in) < $at + $1 + 2;
        push(@words, substr($in, $at, $1));
        pos($in) = $at + $1 + 2;
    }

    return (substr($in, 0, pos($in)), @words);
}


sub pass_on {
    my ($client, $raw) = @_;

    die "nothing to say\n" if !$client->{redis};

    $client->{to} ||= IO::Socket::UNIX->new(Peer => $client->{redis})
        or die "$client->{redis}: $!\n";
    $client->{to}->print($raw);
    $client->{to}->flush();

    return reply($client->{to});
}


sub reply {
    my ($fh) = @_;

    local $/ = "\r\n";
    my $raw = readline($fh);
    die "Redis is gone\n" if !defined $raw;

    if ($raw =~ /^\$(\d+)/) {
        read($fh, $raw, $1 + 2, length($raw)) == $1 + 2
            or die "Redis is gone\n";

    } elsif ($raw =~ /^\*(\d+)/) {
        $raw .= reply($fh) for 1 .. $1;
    }

    return $raw;
}

1;
