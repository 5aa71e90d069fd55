package ACR::Process;

# A child process that ends with the test, whatever happens to the test.

use strict;
use warnings;

use POSIX qw(WNOHANG);
use Time::HiRes qw(time);

my %running;


# spawn(LOG, COMMAND, ARGUMENT...): what it prints goes to LOG
sub spawn {
    my ($class, $log, @command) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null') or POSIX::_exit(126);
        open(STDOUT, '>>', $log) or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM PIPE);
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    my $self = bless({ pid => $pid, log => $log, owner => $$ }, $class);
    $running{$pid} = $self;

    return $self;
}


sub pid { return $_[0]->{pid} }


sub alive {
    my ($self) = @_;

    return 0 if defined $self->{status};

    my $pid = waitpid($self->{pid}, WNOHANG);
    return 1 if $pid == 0;

    $self->{status} = $?;
    delete $running{$self->{pid}};

    return 0;
}


sub signal {
    my ($self, $name) = @_;

    return $self->alive() && kill($name, $self->{pid});
}


# ended(SECONDS): whether it has ended by then
sub ended {
    my ($self, $seconds) = @_;

    my $deadline = time() + $seconds;

    while ($self->alive()) {
        return 0 if time() > $deadline;
        select(undef, undef, undef, 0.01);
    }

    return 1;
}


sub kill_now {
    my ($self) = @_;

    $self->signal('KILL');
    $self->ended(10);
}


# for END
sub kill_all {
    for (values %running) {
        $_->kill_now() if $_->{owner} == $$;
    }
}

1;
