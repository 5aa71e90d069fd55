#!/usr/bin/perl

# The image, run as conf/container/compose.yaml says, by podman and by docker:
# first login, push, pull, a stop while somebody pulls slowly, containers that
# are made anew.  t/clients/container.sh makes the images.
#
# All of it is in a network, a mount and a process namespace of its own, which
# end with the test: "the network of the host" is a loopback device here.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Container;
use ACR::Node;
use Digest::SHA;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use MIME::Base64 qw(encode_base64);
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time);

my $TREE = $ACR::Node::TREE;
my $IMAGES = $ENV{ACR_CONTAINER}
             // ($ENV{CI} ? '' : '/var/cache/acr-container');
my $work = "/tmp/acr-container-$$";
my $admin = 'http://127.0.0.1:5002/acr/admin';

plan(skip_all => 'no images; t/clients/container.sh makes them')
    if !-d "$IMAGES/storage";
plan(skip_all => 'only root can run it') if $> != 0;
plan(skip_all => 'no podman') if !-x '/usr/bin/podman';

if (!$ENV{ACR_CONTAINER_DIR}) {
    $ENV{ACR_CONTAINER_DIR} = $work;
    $ENV{ACR_CONTAINER_GROUPS} = join(':', map { "$_/acr-container-$$" }
        '/sys/fs/cgroup', '/sys/fs/cgroup/unified');
    mkdir($work) or die "$work: $!\n";

    my $status = system('unshare', qw(--mount --net --pid --fork --kill-child
        --mount-proc --propagation private --), $^X, $0);

    # storage that was mounted was so in there only
    system('rm', '-rf', '--one-file-system', $work);

    # groups without a process; podman has one of its own for conmon
    my @groups = split(/:/, $ENV{ACR_CONTAINER_GROUPS});
    push(@groups, map { s{[^/]+$}{libpod_parent}r } @groups);
    system("find $_ -depth -type d -exec rmdir {} + 2> /dev/null")
        for grep { -d } @groups;
    exit($status == 0 ? 0 : 1);
}

$work = $ENV{ACR_CONTAINER_DIR};
my ($parent) = $ENV{ACR_CONTAINER_GROUPS} =~ m{(/acr-container-\d+)$};

system('mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /run'
       . ' && mkdir /run/lock && ip link set lo up') == 0
    or plan(skip_all => 'no namespaces');
$SIG{ALRM} = sub { print STDERR "the test hangs\n"; exit(1) };
alarm($ENV{ACR_TIMEOUT} || 600);

ACR::Node::spew("$work/workers.conf", "worker_processes 1;\n");

my ($compose) = yaml('compose.yaml');
my $image = $compose->{services}{registry}{image};
my ($engine, @engine);

for (['podman', \&podman], ['docker', \&docker]) {
    my ($name, $begin) = @$_;
    $engine = $name;
    subtest($name, sub {
        $begin->();
        eval { drive(); 1 } or fail("died: $@");
    });
}

done_testing();


# --- the engines

# its own storage, above that with the images
sub podman {
    my @storage = ('--root', "$work/root", '--runroot', "$work/run",
                   '--storage-driver', 'overlay', '--storage-opt',
                   "additionalimagestore=$IMAGES/storage");

    @engine = ('podman', @storage, '--cgroup-manager', 'cgroupfs',
               '--events-backend', 'none');
}


sub docker {
    plan(skip_all => 'no dockerd') if !-x '/usr/sbin/dockerd';

    mkdir("$work/docker") or die "docker: $!\n";
    @engine = ('docker', '-H', "unix://$work/docker/sock");
    $ENV{DOCKER_CONFIG} = "$work/docker/config";

    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        open(STDOUT, '>', "$work/docker/log") or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        exec('dockerd', '-H', "unix://$work/docker/sock", '--data-root',
             "$work/docker/root", '--exec-root', "$work/docker/exec",
             '--pidfile', "$work/docker/pid", '--storage-driver', 'overlay2',
             qw(--bridge=none --iptables=false --ip6tables=false
                --ip-forward=false --ip-masq=false),
             '--cgroup-parent', $parent) or POSIX::_exit(127);
    }

    soon(sub { (run(@engine, 'version'))[0] == 0 }, 60)
        or die "no dockerd:\n" . ACR::Node::slurp("$work/docker/log");

    my $from = "containers-storage:[overlay\@$IMAGES/storage+$IMAGES/run]";
    for my $name ("localhost/$image:latest",
                  $compose->{services}{redis}{image})
    {
        my $as = $name =~ s{^(?:localhost|docker\.io/library)/}{}r;
        runs("the image $as", 'skopeo', 'copy', '-q', "$from$name",
             "docker-archive:$work/$$.tar:$as");
        runs('is loaded', @engine, 'load', '-q', '-i', "$work/$$.tar");
        unlink("$work/$$.tar");
    }
}


# What this machine may have less of than others: limits of processes, and the
# right to raise those of files.
sub options {
    my $hard = `sh -c 'ulimit -Hn'` =~ /^(\d+)/ ? $1 : 1048576;

    return ($engine eq 'podman' ? ('--pids-limit', 0, '--cgroup-parent',
                                   $parent, '--ulimit', 'nproc=8192:8192') : (),
            '--ulimit', "nofile=$hard:$hard");
}


# up(SERVICE): a container of this service of compose.yaml
sub up {
    my ($name) = @_;

    my $service = $compose->{services}{$name};
    my $id = $service->{image};
    $id = "localhost/$id" if $engine eq 'podman' && $id eq $image;
    my $check = $service->{healthcheck};

    return runs("$name begins", @engine, 'run', '-d', '--name', $name,
        options(),
        '--network', $service->{network_mode} || 'host',
        $service->{read_only} ? '--read-only' : (),
        (map { ('--cap-drop', $_) } @{ $service->{cap_drop} }),
        (map { ('--security-opt', $_) } @{ $service->{security_opt} }),
        (map { ('--tmpfs', $_) } @{ $service->{tmpfs} || [] }),
        (map { ('-v', s{^\./}{$TREE/conf/container/}r) }
         @{ $service->{volumes} }),
        # one worker, so that what it knows is known
        $name eq 'registry'
            ? ('-v', "$work/workers.conf:/etc/acr/main.d/workers.conf:ro") : (),
        $service->{hostname} ? ('--hostname', $service->{hostname}) : (),
        $service->{user} ? ('--user', $service->{user}) : (),
        $check ? ('--health-cmd', join(' ', @{ $check->{test} }[
                      1 .. $#{ $check->{test} }])) : (),
        $id, @{ $service->{command} || [] });
}


# --- the test

sub drive {
    described();

    my $options = $compose->{volumes}{socket}{driver_opts};
    runs('a volume for the socket', @engine, 'volume', 'create',
         (map { ('--opt', "$_=$options->{$_}") } sort keys %$options),
         'socket');

    like(runs('nginx -t', @engine, 'run', '--rm', options(),
              qw(--network none --read-only --tmpfs /tmp),
              $engine eq 'podman' ? "localhost/$image" : $image, '-t'),
         qr/test is successful/, 'its configuration is good');

    up('redis');
    up('registry');
    ok(soon(sub { healthy('registry') }, 60), 'it becomes healthy')
        or die logs();
    ok(soon(sub { healthy('redis') }, 60), 'and so does Redis');
    confined();

    my $password = login();
    my $pull = pushed($password);
    stopped($pull);
    anew($pull, $password);
    alone($pull);

    unlike(logs(), qr/\[(?:alert|crit|emerg)\]/, 'nothing bad in the log');
    runs("$_ ends", @engine, 'rm', '-f', $_) for qw(registry redis);
    runs('volumes are removed', @engine, 'volume', 'rm', values_of());
}


sub values_of { return sort keys %{ $compose->{volumes} } }


sub described {
    my $id = $engine eq 'podman' ? "localhost/$image" : $image;
    my ($is) = @{ decode_json(runs('inspect', @engine, 'image', 'inspect',
                                   $id)) };
    my $config = $is->{Config};
    my ($stage) = reverse(dockerfile());

    is($config->{User}, instruction($stage, 'USER'), 'the user');
    is($config->{StopSignal} || $is->{StopSignal} || '', 'SIGQUIT',
       'the signal') if $engine eq 'docker';
    is($config->{Labels}{'org.opencontainers.image.title'},
       'ngx_http_acr_module', 'the labels');
    ok($config->{Healthcheck} || $is->{Healthcheck}, 'the health check');
    note(sprintf('%.1f MB', $is->{Size} / 1e6));

    my ($status, $found) = run(@engine, 'run', '--rm', options(),
        qw(--network none --entrypoint /bin/sh), $id, '-c',
        'command -v gcc cc cpp make ld as; ls -A /var/lib/acr');
    is($found, '', 'no build tools, and an empty registry');
}


sub healthy {
    my ($name) = @_;

    # without systemd nobody does it for podman
    run(@engine, 'healthcheck', 'run', $name) if $engine eq 'podman';

    my ($status, $output) = run(@engine, 'inspect', '-f',
                                '{{.State.Health.Status}}', $name);
    return $output eq "healthy\n";
}


sub in_registry { return (@engine, 'exec', 'registry', @_) }


sub confined {
    my $processes = runs('processes', @engine, 'top', 'registry');
    my @workers = $processes =~ /worker process/g;
    is(@workers, 1, 'a file that is mounted counts');

    my %is = runs('look at nginx', in_registry('cat', '/proc/1/status'))
             =~ /^(\w+):\s*(\S+)/mg;

    is_deeply([@is{qw(Uid Gid CapPrm CapBnd NoNewPrivs Seccomp)}],
              [33, 33, '0' x 16, '0' x 16, 1, 2],
              'its user, no capabilities, the usual seccomp profile');
    like((run(in_registry('touch', "$_/x")))[1], qr/Read-only file system/,
         "nothing can be written to $_") for '/etc/acr', '/var/cache';
}


# the admin user, as docs/container.md says
sub login {
    my ($command) = ACR::Node::slurp("$TREE/docs/container.md")
        =~ /^    docker exec acr (curl .*?)\n\n/ms;
    my @words = map { s/^'(.*)'$/$1/r } split(' ', $command =~ s/\\\n//gr);

    my $answer = decode_json(runs('the first login', in_registry(@words)));
    my $password = $answer->{passwords}[0]{value};
    ok($password, 'it shows a password');

    is(status('/v2/'), 401, 'without it nobody is let in');
    ok(soon(sub { status('/v2/', $password) == 200 }, 30, 0.3),
       'with it the admin is');

    return $password;
}


# pushes the image to itself, and pulls it: what a pull of its largest layer
# needs
sub pushed {
    my ($password) = @_;

    my $from = "containers-storage:[overlay\@$IMAGES/storage+$IMAGES/run]"
               . "localhost/$image:latest";
    my $to = 'docker://127.0.0.1:5000/self/image:1';
    my @policy = ('--insecure-policy', '--override-os', 'linux');

    runs('push', 'skopeo', @policy, 'copy', '-q', '--dest-tls-verify=false',
         '--dest-creds', "admin:$password", $from, $to);
    runs('pull', 'skopeo', @policy, 'copy', '-q', '--src-tls-verify=false',
         '--src-creds', "admin:$password", $to, "dir:$work/$engine-pulled");

    my $manifest = decode_json(ACR::Node::slurp(
        "$work/$engine-pulled/manifest.json"));
    my @wrong;

    for my $blob ($manifest->{config}, @{ $manifest->{layers} }) {
        my ($hex) = $blob->{digest} =~ /:(.*)/;
        my $digest = Digest::SHA->new(256);
        $digest->addfile("$work/$engine-pulled/$hex");
        push(@wrong, $hex) if $digest->hexdigest() ne $hex;
    }
    is_deeply(\@wrong, [], 'what was pulled is right');
    like(runs('logs', @engine, 'logs', 'registry'),
         qr{"PUT /v2/self/image/manifests/1 HTTP/1\.1" 201 .* - admin$}m,
         'requests stand in the log of the container');

    is(runs('its name', in_registry('ls', '/var/lib/acr/acr/nodes'))
       =~ s/\s//gr, $compose->{services}{registry}{hostname},
       'the node has the name of compose.yaml');

    my ($large) = sort { $b->{size} <=> $a->{size} } @{ $manifest->{layers} };
    return { digest => $large->{digest}, size => $large->{size},
             password => $password };
}


# a client that reads slowly while nginx is told to stop
sub stopped {
    my ($pull) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:5000',
                                       Timeout => 10) or die "connect: $!\n";
    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 65536);
    print $socket "GET /v2/self/image/blobs/$pull->{digest} HTTP/1.1\r\n"
        . "Host: localhost:5000\r\nConnection: close\r\nAuthorization: Basic "
        . encode_base64("admin:$pull->{password}", '') . "\r\n\r\n";
    my $head = <$socket>;
    like($head, qr/^HTTP\/1\.1 200/, 'a pull begins');
    while (defined($head = <$socket>) && $head ne "\r\n") { }

    my $digest = Digest::SHA->new(256);
    my $size = 0;
    read($socket, my $buffer, 65536);
    $digest->add($buffer);
    $size += length($buffer);

    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        open(STDOUT, '>', "$work/stop.log") or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        exec(@engine, 'stop', '-t', 120, 'registry') or POSIX::_exit(127);
    }

    ok(soon(sub { !IO::Socket::INET->new(PeerAddr => '127.0.0.1:5000',
                                         Timeout => 5) }, 30),
       'while it stops it takes no connections');
    is(waitpid($pid, WNOHANG), 0, 'it waits for the pull');

    while (read($socket, $buffer, 65536)) {
        $digest->add($buffer);
        $size += length($buffer);
    }
    is($size, $pull->{size}, 'which gets all');
    is('sha256:' . $digest->hexdigest(), $pull->{digest}, 'and right');

    waitpid($pid, 0);
    is($?, 0, 'then it ends') or diag(ACR::Node::slurp("$work/stop.log"));
    is(runs('its status', @engine, 'inspect', '-f', '{{.State.ExitCode}}',
            'registry'), "0\n", 'by itself, and was not killed');

    runs('it is started again', @engine, 'start', 'registry');
    tags($pull, 'after it was stopped');
}


sub tags {
    my ($pull, $when) = @_;

    my $answer;
    ok(soon(sub {
        $answer = get('/v2/self/image/tags/list', $pull->{password});
        return $answer->{status} == 200
               && $answer->{content} =~ /"tags":\["1"/;
    }, 30, 0.3), "tags are there $when") or diag($answer->{content}, logs());
}


# both containers are made again, as for an upgrade
sub anew {
    my ($pull, $password) = @_;

    runs('the container is removed', @engine, 'rm', '-f', 'registry');
    up('registry');
    tags($pull, 'in a new container');

    runs('Redis is removed', @engine, 'rm', '-f', 'redis');
    up('redis');
    tags($pull, 'with a new container of Redis');

    ok(soon(sub { HTTP::Tiny->new(timeout => 10)
                  ->get('http://127.0.0.1:5001/health')->{status} == 200 },
            30), 'which is asked again, without a restart');
    is(put($pull, 2), 201, 'and takes a tag');
    runs('nginx -t in the container',
         in_registry(qw(nginx -e stderr -c /etc/acr/nginx.conf -t)));
    runs('a reload', @engine, 'kill', '-s', 'HUP', 'registry');
    tags($pull, 'after a reload');
}


# put(PULL, TAG): the status of a push of the manifest that was pulled
sub put {
    my ($pull, $tag) = @_;

    my $manifest = ACR::Node::slurp("$work/$engine-pulled/manifest.json");
    my $type = decode_json($manifest)->{mediaType};

    return HTTP::Tiny->new(timeout => 30)->put(
        "http://127.0.0.1:5000/v2/self/image/manifests/$tag",
        { content => $manifest, headers => { 'content-type' => $type,
          authorization => basic($pull->{password}) } })->{status};
}


# without Redis
sub alone {
    my ($pull) = @_;

    runs('Redis is stopped', @engine, 'stop', 'redis');
    is((run(in_registry('curl', '-fsS', 'http://127.0.0.1:5001/health')))[0]
       != 0, 1, 'the registry does not take pushes');
    ok(soon(sub { healthy('registry') }, 30), 'it is healthy all the same');
    is(get("/v2/self/image/blobs/$pull->{digest}", $pull->{password})
       ->{status}, 200, 'since pulls go on');
}


# --- tools

sub basic { return 'Basic ' . encode_base64("admin:$_[0]", '') }


sub get {
    my ($path, $password) = @_;

    return HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:5000$path", {
        headers => $password ? { authorization => basic($password) } : {} });
}


sub status { return get(@_)->{status} }


sub logs {
    return join('', map { (run(@engine, 'logs', $_))[1] } 'registry', 'redis');
}


# run(COMMAND...): status, and what it printed; podman's complaints that there
# is no systemd are not of interest
sub run {
    my (@command) = @_;

    my $pid = open(my $fh, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open(STDIN, '<', '/dev/null') or POSIX::_exit(126);
        open(STDERR, '>&', \*STDOUT) or POSIX::_exit(126);
        exec('timeout', 180, @command) or POSIX::_exit(127);
    }

    my $output = do { local $/; <$fh> } // '';
    close($fh);

    return ($?, $output =~ s/^.*systemd connection.*\n//mgr);
}


sub runs {
    my ($name, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $output) = run(@command);
    ok($status == 0, $name) or diag("@command\n$output");

    return $output;
}


sub soon {
    my ($condition, $seconds, $pause) = @_;

    my $deadline = time() + $seconds;

    while (!$condition->()) {
        return 0 if time() > $deadline;
        select(undef, undef, undef, $pause || 0.05);
    }

    return 1;
}
