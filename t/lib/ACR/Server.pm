package ACR::Server;

# What stands in for others in a test: a process that listens on a port and
# does as it is told by a file.  A package that inherits from this one has
#
#   serve(LISTEN, DIR, ARGUMENT...)    what it does, in the process
#
# where told(DIR) is what tell() said last, and say(DIR, WHAT) answers.

use strict;
use warnings;

use ACR::Node;
use ACR::Process;
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(time);

my $count = 0;


# prepare(DIR): it has a directory in DIR and a port, where nobody listens
sub prepare {
    my ($class, $dir) = @_;

    $dir .= '/' . lc($class =~ s/.*:://r) . ++$count;
    mkdir($dir) or die "$dir: $!\n";
    chmod(0755, $dir);

    my $self = bless({ dir => $dir, reserved => [] }, $class);
    $self->{port} = ACR::Node::free_port($self);

    return $self;
}


# run(ARGUMENT...): returns when it listens
sub run {
    my ($self, @arguments) = @_;

    my ($dir, $class) = ($self->{dir}, ref($self));

    unlink("$dir/ready");
    $self->{process} = ACR::Process->spawn(
        "$dir/log", $^X, '-I', "$ACR::Node::TREE/t/lib", "-M$class", '-e',
        "$class->listen(\@ARGV)", $dir, $self->address(), @arguments);

    my $deadline = time() + 20;
    while (!-e "$dir/ready") {
        die "no $class\n" . ACR::Node::slurp("$dir/log")
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.01);
    }
}


sub address { return "127.0.0.1:$_[0]->{port}" }


# tell(WHAT): from now on; WHAT can be JSON
sub tell {
    my ($self, $what) = @_;

    put($self->{dir}, 'told', $what);
}


sub put {
    my ($dir, $name, $what) = @_;

    ACR::Node::spew("$dir/$name.new", encode_json($what));
    rename("$dir/$name.new", "$dir/$name") or die "rename: $!\n";
}


# said(DIR): what the process has said last with say()
sub said {
    my ($dir) = @_;

    return decode_json(ACR::Node::slurp("$dir/said"));
}


# --- in its process

sub listen {
    my ($class, $dir, $address, @arguments) = @_;

    $SIG{PIPE} = 'IGNORE';

    my $listen = IO::Socket::INET->new(LocalAddr => $address, Listen => 64,
                                       ReuseAddr => 1)
        or die "$address: $@\n";
    ACR::Node::spew("$dir/ready", '');

    $class->can('serve')->($listen, $dir, @arguments);
}


sub told {
    my ($dir) = @_;

    return decode_json(ACR::Node::slurp("$dir/told"));
}


# say(DIR, WHAT): to the test
sub say {
    my ($dir, $what) = @_;

    put($dir, 'said', $what);
}

1;
