package ACR::Provider;

# An HTTP server that answers as it is told, for what the registry fetches.
# Also a proxy, by CONNECT.
#
#   my $server = ACR::Provider->start(work_dir());
#   $server->answers('/keys' => { body => $text },
#                    '/old' => { status => 302, location => '/new' },
#                    '/slow' => { stall => 1 });
#   my @lines = $server->requests(qr{ /keys });
#
# A target that was told nothing about is 404.  One that stalls is answered as
# soon as it is told not to.  What was asked is noted, a line each: method,
# target, and Authorization if there was one.

use strict;
use warnings;

use parent 'ACR::Server';

use ACR::Node;
use IO::Select;
use IO::Socket::INET;
use POSIX ();


# start(DIR): it listens
sub start {
    my ($class, $dir) = @_;

    my $self = $class->prepare($dir);
    $self->run();

    return $self;
}


# prepare(DIR): it has a port, where nobody listens
sub prepare {
    my ($class, $dir) = @_;

    my $self = $class->SUPER::prepare($dir);

    $self->{rules} = {};
    ACR::Node::spew("$self->{dir}/requests", '');
    $self->answers();

    return $self;
}


sub url { return "http://127.0.0.1:$_[0]->{port}" }


# answers(TARGET => { status, location, body, blanks, stall }, ...): from now
# on, beside those of before; blanks: a body of so many
sub answers {
    my ($self, %rules) = @_;

    $self->{rules} = { %{ $self->{rules} }, %rules };

    $self->tell($self->{rules});
}


# requests(PATTERN): the lines so far
sub requests {
    my ($self, $pattern) = @_;

    my @lines = split(/\n/, ACR::Node::slurp("$self->{dir}/requests"));

    return defined $pattern ? grep { /$pattern/ } @lines : @lines;
}


# --- in its process

# each connection has a process of its own, which ends with this one
sub serve {
    my ($listen, $dir) = @_;

    $SIG{CHLD} = 'IGNORE';

    my $parent = $$;

    while (1) {
        my $fh = $listen->accept() or next;
        my $pid = fork();

        if (defined $pid && $pid == 0) {
            close($listen);
            eval { connection($fh, $dir, $parent) };
            print STDERR $@ if $@;
            POSIX::_exit(0);
        }
    }
}


sub connection {
    my ($fh, $dir, $parent) = @_;

    my $in = '';

    while ($in !~ /\r\n\r\n/) {
        sysread($fh, $in, 65536, length($in)) or return;
    }

    my ($method, $target) = $in =~ /^(\S+) (\S+)/;
    my ($secret) = $in =~ /^Authorization: *(.*?)\r$/mi;

    open(my $log, '>>', "$dir/requests") or die "requests: $!\n";
    syswrite($log, join(' ', $method, $target,
                        defined $secret ? $secret : ()) . "\n");
    close($log);

    return tunnel($fh, $target, $parent) if $method eq 'CONNECT';

    # a proxy is asked for the whole URL
    $target =~ s{^http://[^/]+}{};

    my $rule;

    while (1) {
        $rule = ACR::Server::told($dir)->{$target};
        last if !$rule || !$rule->{stall};

        # whoever waits may leave
        my $left = IO::Select->new($fh)->can_read(0.01)
                   && !sysread($fh, my $rest, 1);
        return if $left || getppid() != $parent;
    }

    $rule ||= { status => 404, body => "none\n" };

    my $body = defined $rule->{body} ? $rule->{body}
               : ' ' x ($rule->{blanks} || 0);
    my $head = 'HTTP/1.1 ' . ($rule->{status} || 200) . " As told\r\n"
        . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n"
        . (defined $rule->{location} ? "Location: $rule->{location}\r\n" : '')
        . "\r\n";

    print $fh $head . ($method eq 'HEAD' ? '' : $body);
    $fh->flush();
}


sub tunnel {
    my ($fh, $target, $parent) = @_;

    my $to = IO::Socket::INET->new(PeerAddr => $target);

    syswrite($fh, 'HTTP/1.1 ' . ($to ? '200 Go' : '502 No') . "\r\n\r\n");
    return if !$to;

    my %other = ($fh => $to, $to => $fh);
    my $select = IO::Select->new($fh, $to);

    while (getppid() == $parent) {
        for my $from ($select->can_read(0.1)) {
            sysread($from, my $bytes, 65536) or return;
            syswrite($other{$from}, $bytes);
        }
    }
}

1;
