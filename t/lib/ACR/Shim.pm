package ACR::Shim;

# Faults of the file system, and processes that stop or die in the middle of a
# call: t/lib/fault.c, preloaded into nginx.
#
#   plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();
#   my $shim = ACR::Shim->new();
#   my $acr = start(env => $shim->env());
#   $shim->rules('fdatasync /_uploads/ EIO', 'rename /blobs/ KILL skip=1');
#   ...
#   $shim->clear();
#
# A rule is "CALL PATH ACTION [skip=N] [count=N]".  CALL is open (for writing),
# read_open, write, pwrite, pwritev, fsync, fdatasync, ftruncate, rename, link,
# unlink, rmdir, mkdir, copy_file_range, ficlone, lock (F_OFD_SETLK) or close.
# PATH is a part of the path that the call has, or whose descriptor it has; a
# rename and a link have "FROM TO".  CALL may be command as well, of Redis: its
# path is NAME/END of the first argument, with _ for blanks.  * and ? are any,
# $ is the end.  ACTION is an errno, DELAY=ms, STOP, or KILL (the process); with
# _AFTER that happens when the call has succeeded.
#
# The rules hold at once in all processes of all nodes that were given them, and
# count together; new(name => ...) makes others for other nodes.  Syncs are met
# like other calls, but nothing is really synced, unless new() is told so
# (sync => 1).

use strict;
use warnings;

use ACR;
use Errno;
use POSIX qw(SIGKILL SIGSTOP);

my $RULES = 16;
my $RECORD = 'V9 a24 a192';
my $SIZE = length(pack($RECORD, (0) x 9, '', ''));

# where in a record
my ($HITS, $FIRED) = (12, 16);


# missing(): why it cannot be used, or undef
sub missing {
    return 'ACR_NGINX has libraries of its own' if $ENV{ACR_NGINX};
    return 'no gcc' if !grep { -x "$_/gcc" } split(/:/, $ENV{PATH});

    return;
}


sub new {
    my ($class, %option) = @_;

    my $name = $option{name} || 'fault';
    my $self = bless({ map { $_ => work_dir() . "/$name.$_" }
                       qw(rules log) }, $class);
    $self->{so} = work_dir() . '/fault.so';
    $self->{sync} = $option{sync};

    my $source = __FILE__ =~ s{ACR/Shim\.pm$}{fault.c}r;

    if (!-e $self->{so}) {
        system('gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared',
               '-o', $self->{so}, $source) == 0
            or die "gcc has failed\n";
    }

    # the workers may be of another user
    spew($self->{log}, '');
    spew($self->{rules}, "\0" x ($RULES * $SIZE));
    chmod(0666, $self->{log}, $self->{rules});

    open($self->{fh}, '+<:raw', $self->{rules})
        or die "$self->{rules}: $!\n";

    return $self;
}


# env(): for ACR::Node
sub env {
    my ($self) = @_;

    # a sanitizer's library has to be the first
    my @preload = (split(/[ :]/, $ENV{LD_PRELOAD} || ''), $self->{so});

    return { LD_PRELOAD => join(' ', @preload),
             ACR_FAULT => $self->{rules}, ACR_FAULT_LOG => $self->{log},
             $self->{sync} ? () : (ACR_FAULT_LAZY => 1) };
}


# rules(RULE, ...): these and no others
sub rules {
    my ($self, @rules) = @_;

    die "too many rules\n" if @rules > $RULES;

    $self->put($_ * $SIZE, pack('V', 0)) for 0 .. $RULES - 1;
    $self->{calls} = [map { (split(' '))[0] } @rules];

    for my $n (0 .. $#rules) {
        my $record = record($rules[$n]);

        # what it says is there before it holds
        $self->put($n * $SIZE + 4, substr($record, 4));
        $self->put($n * $SIZE, substr($record, 0, 4));
    }
}


sub clear {
    my ($self) = @_;

    $self->rules();
}


sub record {
    my ($rule) = @_;

    my ($call, $path, $action, @more) = split(' ', $rule);
    my %number = (skip => 0, count => 0);

    for (@more) {
        /^(skip|count)=(\d+)$/ or die "bad rule: $rule\n";
        $number{$1} = $2;
    }

    my $after = $action =~ s/_AFTER$// ? 1 : 0;
    my ($error, $delay, $signal) = (0, 0, 0);

    if ($action =~ /^DELAY=(\d+)$/) {
        $delay = $1;
    } elsif ($action eq 'STOP') {
        $signal = SIGSTOP;
    } elsif ($action eq 'KILL') {
        $signal = SIGKILL;
    } else {
        my $value = Errno->can($action) or die "bad rule: $rule\n";
        $error = $value->();
    }

    my $glob = "*$path*" =~ s/\$\*$//r;

    return pack($RECORD, 1, @number{qw(skip count)}, 0, 0, $after, $error,
                $delay, $signal, $call, $glob);
}


sub put {
    my ($self, $offset, $bytes) = @_;

    sysseek($self->{fh}, $offset, 0) or die "seek: $!\n";
    syswrite($self->{fh}, $bytes) == length($bytes) or die "write: $!\n";
}


# fired(N): how often the rule has fired, the first if there is no N
sub fired { return $_[0]->number($_[1], $FIRED) }

# hits(N): how many calls it was for
sub hits { return $_[0]->number($_[1], $HITS) }


sub number {
    my ($self, $n, $field) = @_;

    my $bytes;

    sysseek($self->{fh}, ($n || 0) * $SIZE + $field, 0) or die "seek: $!\n";
    sysread($self->{fh}, $bytes, 4) == 4 or die "read: $!\n";

    return unpack('V', $bytes);
}


# events(): what has fired, since the test began: [rule, pid, call, path]
sub events {
    my ($self) = @_;

    return map { [split(/ /, $_, 4)] } split(/\n/, slurp($self->{log}));
}


# stopped(N, SECONDS): the pid of a process that the rule has stopped, once
# all of it stands still
sub stopped {
    my ($self, $n, $seconds) = @_;

    $n ||= 0;

    return wait_for(sub {
        return if !$self->fired($n);

        my ($last) = grep { $_->[0] == $n } reverse $self->events();
        return if !$last;

        my $state = eval { slurp("/proc/$last->[1]/stat") };
        return defined $state && $state =~ /\) T/ && $last->[1];
    }, $seconds);
}


# lock_path(SCOPE, NAME): the end of the path of a lock, for a rule; the scope
# is a repository, or "blob" (src/store/ngx_http_acr_store_lock.c)
sub lock_path {
    my ($scope, $name) = @_;

    my $hash = 2166136261;

    for my $byte (unpack('C*', "$scope $name")) {
        use integer;
        $hash = (($hash ^ $byte) * 16777619) & 0xffffffff;
    }

    return sprintf('/acr/locks/%03x$', ($hash ^ ($hash >> 16)) % 1024);
}

1;
