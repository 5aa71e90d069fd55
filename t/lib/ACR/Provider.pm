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
# target, Authorization if there was one, and the body if there was one.

use strict;
use warnings;

use ACR::Node;
use ACR::Process;
use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Time::HiRes qw(time);

my $count = 0;

our $BLOCK = 65536;
my $PATTERN = join('', map { pack('n', $_ * 40503 % 65536) } 1 .. $BLOCK / 2);


# start(DIR, OPTIONS): port => one that was reserved
sub start {
    my ($class, $dir, %option) = @_;

    my $self = $class->prepare($dir, %option);
    $self->run();

    return $self;
}


# prepare(DIR, OPTIONS): it has a port, where nobody listens
sub prepare {
    my ($class, $dir, %option) = @_;

    $dir .= '/provider' . ++$count;
    mkdir($dir) or die "$dir: $!\n";

    my $self = bless({ dir => $dir, rules => {}, reserved => [] }, $class);

    $self->{port} = ACR::Node::free_port($self);
    ACR::Node::spew("$dir/$_", '') for 'requests', 'connections';
    $self->answers();

    return $self;
}


sub run {
    my ($self) = @_;

    my $dir = $self->{dir};

    unlink("$dir/ready");
    $self->{process} = ACR::Process->spawn(
        "$dir/log", $^X, '-I', "$ACR::Node::TREE/t/lib", '-MACR::Provider',
        '-e', 'ACR::Provider::serve(@ARGV)', $dir, $self->{port});

    my $deadline = time() + 20;
    while (!-e "$dir/ready") {
        die "no provider\n" . ACR::Node::slurp("$dir/log")
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.01);
    }
}


sub address { return "127.0.0.1:$_[0]->{port}" }

sub url { return "http://127.0.0.1:$_[0]->{port}" }


# answers(TARGET => { status, location, body, ... }, ...): from now on, beside
# those of before.  headers: lines; blanks: a body of so many; size: of so many
# bytes of pattern(); cut: it ends after so many bytes, or, with hang, does not
# go on until the client leaves; chunked: without a length; stall, close: no
# answer.  with: { AUTHORIZATION => another rule }, for requests that have it.
#
# A connection takes other requests with keep; it is closed with drop, which
# nobody is told; with once it is closed when there is another request.
sub answers {
    my ($self, %rules) = @_;

    $self->{rules} = { %{ $self->{rules} }, %rules };

    ACR::Node::spew("$self->{dir}/rules.new", encode_json($self->{rules}));
    rename("$self->{dir}/rules.new", "$self->{dir}/rules")
        or die "rename: $!\n";
}


# requests(PATTERN): the lines so far
sub requests {
    my ($self, $pattern) = @_;

    my @lines = split(/\n/, ACR::Node::slurp("$self->{dir}/requests"));

    return defined $pattern ? grep { /$pattern/ } @lines : @lines;
}


# connections(PATTERN): for each request of such a target the number of its
# connection
sub connections {
    my ($self, $pattern) = @_;

    return map { (split(' '))[0] } grep { /$pattern/ }
           split(/\n/, ACR::Node::slurp("$self->{dir}/connections"));
}


# --- in its process

# each connection has a process of its own, which ends with this one
sub serve {
    my ($dir, $port) = @_;

    $SIG{PIPE} = $SIG{CHLD} = 'IGNORE';

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $port, Listen => 64,
                                       ReuseAddr => 1)
        or die "port $port: $@\n";
    ACR::Node::spew("$dir/ready", '');

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

    my ($in, $n) = ('', 0);

    1 while request($fh, $dir, $parent, \$in, ++$n);
}


# request(SOCKET, DIR, PARENT, BUFFER, NUMBER): whether another may come
sub request {
    my ($fh, $dir, $parent, $buffer, $number) = @_;

    while ($$buffer !~ /\r\n\r\n/) {
        sysread($fh, $$buffer, 65536, length($$buffer)) or return;
    }

    $$buffer =~ s/^(.*?\r\n\r\n)//s;

    my $in = $1;
    my ($method, $target) = $in =~ /^(\S+) (\S+)/;
    my ($secret) = $in =~ /^Authorization: *(.*?)\r$/mi;
    my ($length) = $in =~ /^Content-Length: *(\d+)\r$/mi;

    $length ||= 0;

    while (length($$buffer) < $length) {
        sysread($fh, $$buffer, 65536, length($$buffer)) or return;
    }

    my $sent = substr($$buffer, 0, $length, '');

    note("$dir/requests", join(' ', $method, $target,
                               defined $secret ? $secret : (),
                               length($sent) ? $sent : ()));
    note("$dir/connections", "$$ $target");

    return tunnel($fh, $target, $parent) if $method eq 'CONNECT';

    # a proxy is asked for the whole URL
    $target =~ s{^http://[^/]+}{};

    my $rule;

    while (1) {
        $rule = decode_json(ACR::Node::slurp("$dir/rules"))->{$target};
        $rule = $rule->{with}{$secret}
            if $rule && defined $secret && $rule->{with}
               && $rule->{with}{$secret};
        last if !$rule || !$rule->{stall};

        # whoever waits may leave
        my $left = IO::Select->new($fh)->can_read(0.01)
                   && !sysread($fh, my $rest, 1);
        return if $left || getppid() != $parent;
    }

    $rule ||= { status => 404, body => "none\n" };
    return if $rule->{close};

    return if $rule->{once} && $number > 1;

    my $kept = $rule->{keep} || $rule->{once};

    my $body = defined $rule->{body} ? $rule->{body}
               : ' ' x ($rule->{blanks} || 0);
    my $size = defined $rule->{size} ? $rule->{size} : length($body);
    my $end = defined $rule->{cut} ? $rule->{cut} : $size;

    print $fh 'HTTP/1.1 ' . ($rule->{status} || 200) . " As told\r\n"
        . ($rule->{chunked} ? "Transfer-Encoding: chunked\r\n"
                            : "Content-Length: $size\r\n")
        . ($kept || $rule->{drop} ? '' : "Connection: close\r\n")
        . (defined $rule->{location} ? "Location: $rule->{location}\r\n" : '')
        . join('', map { "$_\r\n" } @{ $rule->{headers} || [] })
        . "\r\n";
    $fh->flush();

    return $kept if $method eq 'HEAD';

    for (my $at = 0; $at < $end; $at += $BLOCK) {
        my $n = $end - $at < $BLOCK ? $end - $at : $BLOCK;
        my $bytes = defined $rule->{size} ? substr(pattern($at), 0, $n)
                                          : substr($body, $at, $n);
        $bytes = sprintf("%x\r\n", $n) . "$bytes\r\n" if $rule->{chunked};
        print $fh $bytes or return;
    }

    print $fh "0\r\n\r\n" if $rule->{chunked} && $end == $size;
    $fh->flush();

    if ($rule->{hang}) {
        while (getppid() == $parent) {
            last if IO::Select->new($fh)->can_read(0.1)
                    && !sysread($fh, my $rest, 1);
        }
    }

    return $kept;
}


sub note {
    my ($file, $line) = @_;

    open(my $log, '>>', $file) or die "$file: $!\n";
    syswrite($log, "$line\n");
    close($log);
}


# pattern(OFFSET): the block of a long body that begins there
sub pattern {
    my ($offset) = @_;

    return pack('NN', $offset, ~$offset & 0xffffffff)
        . substr($PATTERN, 8);
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
