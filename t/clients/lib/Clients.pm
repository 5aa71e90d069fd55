package Clients;

# What the tests with real clients share: a registry, content of which every
# byte is known, ways to run a client, and a look at the registry by HTTP
# alone.
#
# ACR_CHROOT: directories made by chroot.sh, divided by colons, whose clients
# are run beside those of this system.
# ACR_CLIENTS_TREE: a directory (of debootstrap, say) to make the image from.
# ACR_CLIENTS_REGISTRY: HOST:PORT of a registry to test instead of our own.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use Fcntl qw(LOCK_EX);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Spec;
use HTTP::Tiny;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Test::More;

BEGIN { $ENV{ACR_TIMEOUT} ||= 900 }

use ACR ();
use Clients::Content ();

our @EXPORT = qw(
    registry url work clients layout digests stored absent json slurp spew
    npm wait_for
);

*wait_for = \&ACR::wait_for;

my $LIB = File::Spec->rel2abs(dirname(__FILE__));
my $CHROOT = '/var/cache/acr-chroots/forky';
my $LIMIT = 180;                        # seconds for one command

my ($work, $registry, $own, $begun, @daemons, %running);
my $owner = $$;

my $JSON = JSON::PP->new->utf8->canonical;

my $ACCEPT = join(', ', map { "application/vnd.$_+json" }
    qw(oci.image.manifest.v1 oci.image.index.v1
       docker.distribution.manifest.v2 docker.distribution.manifest.list.v2));


# The directory of this test, the same inside a chroot.
sub work {
    return $work if defined $work;

    # podman wants it in lower case
    my $dir = "/tmp/acr-clients-$$";
    mkdir($dir, 0755) or die "$dir: $!";
    $work = $dir;
    make_path(map { "$work/$_" } qw(home tmp docker));

    spew("$work/policy.json",
         '{"default":[{"type":"insecureAcceptAnything"}]}');
    spew("$work/registries.conf", "unqualified-search-registries = []\n");
    spew("$work/auth.json", '{}');

    return $work;
}


# HOST:PORT of a registry that is this test's own; the first call may say with
# which options of ACR::Node.
sub registry {
    my (%option) = @_;

    return $registry if defined $registry;

    if ($ENV{ACR_CLIENTS_REGISTRY}) {
        $registry = $ENV{ACR_CLIENTS_REGISTRY};
        return $registry;
    }

    $own = ACR::start(workers => 2, %option);
    $registry = "127.0.0.1:$own->{port}";

    return $registry;
}


# the ACR::Node that it is, if it is ours
sub own {
    return $own;
}


sub url {
    return 'http://' . registry() . $_[0];
}


sub json {
    return $JSON->decode($_[0]);
}


sub slurp {
    my ($path) = @_;

    open(my $fh, '<:raw', $path) or die "$path: $!";
    local $/;
    return scalar(<$fh>);
}


sub spew {
    my ($path, $content) = @_;

    make_path(dirname($path));
    open(my $fh, '>:raw', $path) or die "$path: $!";
    print $fh $content or die "$path: $!";
    close($fh) or die "$path: $!";
}


# --- clients

# clients(PROGRAM, TEST): runs the test as a subtest with the PROGRAM of this
# system and those of the chroots.  The test is given an object with name, repo
# (what its repositories begin with) and dir (for its files).
sub clients {
    my ($program, $test) = @_;

    my @found = grep { $_->has($program) } map { bless($_) } systems();

    none($program) if !@found;

    for my $self (@found) {
        my $name = "$program of $self->{name}";
        my $reason = $self->cannot();

        SKIP: {
            skip("$name: $reason", 1) if $reason;
            $self->place();
            subtest($name, sub {
                eval { $test->($self); 1 } or fail("died: $@");
            });
            stop_daemons();
        }
    }

    return $own ? ACR::finish() : done_testing();
}


# usable(): the systems in which clients can run, without those that cannot
sub usable {
    my @usable = grep { !$_->cannot() } map { bless($_) } systems();

    $_->place() for @usable;

    return @usable;
}


# skips the test
sub none {
    my ($what) = @_;

    plan(skip_all => "no $what" . (-d $CHROOT ? '' :
         ' here; t/clients/chroot.sh makes a chroot with more clients'));
}


# where its files and repositories are
sub place {
    my ($self) = @_;

    $self->{dir} = work() . "/$self->{name}";
    $self->{repo} = "t$$/$self->{name}";
    make_path($self->{dir});
}


# CI has what apt installs on this system, and nothing that was made by hand.
sub systems {
    my $chroots = $ENV{ACR_CHROOT} // ($ENV{CI} ? '' : $CHROOT);

    return map { { root => $_, name => codename($_) } }
           '', grep { -d "$_/usr/bin" } split(/:/, $chroots);
}


sub codename {
    my ($root) = @_;

    return slurp("$root/etc/os-release") =~ /^VERSION_CODENAME=(\w+)/m
           ? $1 : 'unknown';
}


# $c->has(PROGRAM): its path there
sub has {
    my ($self, $program) = @_;

    for (qw(/usr/local/sbin /usr/sbin /sbin /usr/local/bin /usr/bin /bin)) {
        return "$_/$program" if -x "$self->{root}$_/$program";
    }
    return;
}


# Why nothing can be run there.
sub cannot {
    my ($self) = @_;

    return 'only root can run it' if $> != 0;
    return "$self->{root} is not root's" if $self->{root} ne ''
                                            && (stat($self->{root}))[4] != 0;

    my ($status, $output) = $self->run('true');
    return $status == 0 ? '' : "no mount namespace: $output";
}


# The whole command, for exec.
sub command {
    my ($self, @command) = @_;

    my $dir = work();
    my $proxy = join('|', qw(http https ftp all no));
    my @unset = map { ('-u', $_) } grep { /^(?:$proxy)_proxy$/i } keys %ENV;

    return ('env', @unset, 'LC_ALL=C', "HOME=$dir/home", "TMPDIR=$dir/tmp",
            "CONTAINERS_REGISTRIES_CONF=$dir/registries.conf",
            "REGISTRY_AUTH_FILE=$dir/auth.json", "DOCKER_CONFIG=$dir/docker",
            'PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin',
            'unshare', '--mount', '--propagation', 'private', '--',
            "$LIB/enter.sh", $dir, $self->{root}, @command);
}


# $c->run(COMMAND...): status, and all that it printed
sub run {
    my ($self, @command) = @_;

    return over($self->begin(@command));
}


# $c->begin(COMMAND...): it runs from now on; for over()
sub begin {
    my ($self, @command) = @_;

    my $output = work() . '/output' . ++$begun;
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null') or POSIX::_exit(126);
        open(STDOUT, '>', $output) or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        chdir(work());
        $SIG{PIPE} = 'DEFAULT';
        exec('timeout', '-k', 5, $LIMIT, $self->command(@command))
            or POSIX::_exit(127);
    }

    $running{$pid} = $output;

    return $pid;
}


# over(WHAT BEGAN): when it is over, as run()
sub over {
    my ($pid) = @_;

    waitpid($pid, 0);
    my $status = $?;

    my $output = delete($running{$pid});
    my $printed = slurp($output);
    unlink($output);

    return ($status, $printed);
}


# $c->runs(NAME, COMMAND...): it succeeds; what it printed
sub runs {
    my ($self, $name, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $output) = $self->run(@command);
    ok($status == 0, $name) or diag("@command\n$output");

    return $output;
}


# $c->fails(NAME, COMMAND...): it does not; what it printed
sub fails {
    my ($self, $name, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $output) = $self->run(@command);
    ok($status != 0, $name) or diag("@command\n$output");

    return $output;
}


# $c->has_content(LAYOUT, DESCRIPTOR, CTR...): containerd has everything below
# the descriptor, byte for byte
sub has_content {
    my ($self, $layout, $descriptor, @ctr) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @wrong;

    for my $digest (@{$layout->digests($descriptor)}) {
        my ($status, $output) = $self->run(@ctr, 'content', 'get', $digest);
        push(@wrong, $digest) if 'sha256:' . sha256_hex($output) ne $digest;
    }

    return ok(!@wrong, 'byte for byte') || diag(join("\n", @wrong));
}


# $c->dockerd(OPTIONS): starts one; the command that is its client, or nothing
sub dockerd {
    my ($self, @more) = @_;

    my $dir = $self->{dir};
    my @docker = ('docker', '-H', "unix://$dir/docker.sock");

    my $log = $self->daemon('dockerd', '-H', "unix://$dir/docker.sock",
        '--data-root', "$dir/docker", '--exec-root', "$dir/exec",
        '--pidfile', "$dir/docker.pid", '--storage-driver', 'vfs',
        '--bridge=none', '--iptables=false', '--ip6tables=false',
        '--ip-forward=false', '--ip-masq=false', @more);

    my $up = wait_for(sub {
        return -S "$dir/docker.sock"
               && ($self->run(@docker, 'version'))[0] == 0;
    }, 60);
    ok($up, 'dockerd runs') or diag(slurp($log));

    return $up ? @docker : ();
}


# $c->containerd(PART): the same with containerd.  From 2.1 on it fetches large
# layers in parts of that size, several at once; with 0 each as a whole.
sub containerd {
    my ($self, $part) = @_;

    my $dir = $self->{dir};

    $part //= 1 << 20;
    spew("$dir/config.toml", <<"CONF");
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$dir/containerd.sock"
[plugins."io.containerd.transfer.v1.local"]
concurrent_layer_fetch_buffer = $part
CONF

    my $log = $self->daemon('containerd', '-c', "$dir/config.toml");
    my @ctr = ('ctr', '-a', "$dir/containerd.sock");

    my $up = wait_for(sub {
        return -S "$dir/containerd.sock"
               && ($self->run(@ctr, 'version'))[0] == 0;
    }, 60);
    ok($up, 'containerd runs') or diag(slurp($log));

    return $up ? @ctr : ();
}


# $c->daemon(COMMAND...): runs until the test is over; the path of its log
sub daemon {
    my ($self, @command) = @_;

    my $log = "$self->{dir}/daemon" . @daemons . '.log';
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        setpgrp();
        $SIG{PIPE} = 'DEFAULT';
        open(STDIN, '<', '/dev/null') or POSIX::_exit(126);
        open(STDOUT, '>', $log) or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        exec($self->command(@command)) or POSIX::_exit(127);
    }

    push(@daemons, $pid);
    return $log;
}


sub stop_daemons {
    while (my $pid = pop(@daemons)) {
        kill('TERM', $pid);
        wait_for(sub { waitpid($pid, WNOHANG) != 0 }, 20)
            or kill('KILL', $pid);
        kill('KILL', -$pid);
        waitpid($pid, 0);
    }
}


END {
    if ($$ == $owner) {
        my $status = $?;
        local ($!, $@);
        kill('TERM', keys(%running));
        waitpid($_, 0) for keys(%running);
        stop_daemons();
        remove_tree($work) if defined $work;
        $? = $status;
    }
}


# --- packages of Node.js

# npm(PACKAGE): a directory whose node_modules has it; nothing if there is no
# node here, or npm cannot get it.
sub npm {
    my ($package) = @_;

    my $dir = "$LIB/../../../build/npm/$package";

    make_path($dir);
    open(my $lock, '>', "$dir/lock") or die "$dir/lock: $!";
    flock($lock, LOCK_EX) or die "lock: $!";

    return abs_path($dir) if -e "$dir/done";

    spew("$dir/package.json", '{"private":true}');

    system("cd $dir && command -v node > npm.log && timeout 120 npm install"
           . " --ignore-scripts --no-audit --no-fund --fetch-retries=0"
           . " $package >> npm.log 2>&1") == 0 or return;

    spew("$dir/done", '');

    return abs_path($dir);
}


# --- content

# An OCI layout; see Clients::Content.
my $layout;

sub layout {
    $layout //= Clients::Content::layout(work() . '/layout',
                                         $ENV{ACR_CLIENTS_TREE});
    return $layout;
}


# digests(DIRECTORY): of the files in it that clients give no name, sorted
sub digests {
    my ($dir) = @_;

    opendir(my $dh, $dir) or return ["$dir: $!"];
    return [sort map { Clients::Content::digest("$dir/$_") }
            grep { /^[0-9a-f]{64}$|^manifest\.json$|\.manifest\.json$/ }
            readdir($dh)];
}


# --- the registry, without a client

sub get {
    my ($path) = @_;

    my $digest = Digest::SHA->new(256);
    my $content = '';
    my $size = 0;

    my $response = HTTP::Tiny->new(timeout => 30)->get(url($path), {
        headers => { Accept => $ACCEPT },
        data_callback => sub {
            $digest->add($_[0]);
            $size += length($_[0]);
            $content .= $_[0] if length($content) < 1 << 22;
        },
    });

    return { status => $response->{status}, content => $content,
             digest => 'sha256:' . $digest->hexdigest(), size => $size,
             type => $response->{headers}{'content-type'} // '' };
}


# stored(NAME, REPOSITORY, REFERENCE, DESCRIPTOR): the registry has what the
# descriptor describes, and all below it, byte for byte.
sub stored {
    my ($name, $repository, $reference, $descriptor) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @wrong = differences($repository, "manifests/$reference", $descriptor);
    ok(!@wrong, $name) or diag(join("\n", @wrong));
}


sub differences {
    my ($repository, $path, $descriptor) = @_;

    my $got = get("/v2/$repository/$path");

    return "$path: $got->{status} $got->{content}" if $got->{status} != 200;
    return "$path: $got->{digest}" if $got->{digest} ne $descriptor->{digest};
    return "$path: $got->{size} bytes" if $got->{size} != $descriptor->{size};
    return if $path =~ /^blobs/;
    return "$path: $got->{type}" if $got->{type} ne $descriptor->{mediaType};

    my $manifest = json($got->{content});

    return ((map { differences($repository, "manifests/$_->{digest}", $_) }
             @{$manifest->{manifests} // []}),
            (map { differences($repository, "blobs/$_->{digest}", $_) }
             grep { defined } $manifest->{config},
             @{$manifest->{layers} // []}));
}


# absent(NAME, REPOSITORY, REFERENCE): there is no such manifest.
sub absent {
    my ($name, $repository, $reference) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(get("/v2/$repository/manifests/$reference")->{status}, 404, $name);
}


1;
