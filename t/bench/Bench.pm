package Bench;

# What the subjects of the bench share: the servers that are compared, what
# they use of CPU and memory, rounds in shuffled order, and the table.
#
# A server is a hash:
#   name, port
#   client   an ACR::Client
#   pids     a function: the processes that serve
#   redis    a function: the process of its Redis, if it has one
#   root     its directory, in the layout that registries share
#
# Everything lies in one directory below TMPDIR, or in one in memory, which are
# removed at the end; every process is ended with them.

use strict;
use warnings;

use ACR::Client;
use ACR::Node;
use ACR::Process;
use ACR::Redis;
use Cwd qw(abs_path);
use JSON::PP ();
use Exporter qw(import);
use File::Temp qw(tempdir);
use List::Util qw(max min shuffle sum0);
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw(ours static docker mirror others admin stop
                 work_dir memory_dir write_file filler filled command
                 $ROUNDS wanted rounds measure cpu redis_cpu memory load
                 title row goal median ratio spread);

our $ROUNDS = $ENV{BENCH_ROUNDS} || 3;

# two worker processes, as "worker_processes auto" has them on two cores, and
# no log: a server that writes one line a request is slower by that
my $WORKERS = 2;
my $HTTP = 'keepalive_requests 1000000; access_log off; '
         . 'open_file_cache max=4096 inactive=60s; open_file_cache_valid 30s; '
         . 'tcp_nopush on;';

my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK());

my ($dir, $memory, @servers, $count);
my $bench = $$;

*write_file = \&ACR::Node::spew;

$| = 1;
$SIG{$_} = sub { exit(1) } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';


END {
    if ($$ == $bench) {
        my $status = $?;
        stop($_) for @servers;
        ACR::Process->kill_all();
        system('rm', '-rf', $_) for grep { defined } $dir, $memory;
        $? = $status;
    }
}


sub work_dir {
    if (!$dir) {
        $dir = abs_path(tempdir('acr-bench-XXXXXX', TMPDIR => 1));

        # as root, the workers have to get through
        chmod(0755, $dir) or die "chmod: $!\n";
    }

    return $dir;
}


# memory_dir(MIB): a directory in memory, on a file system that has room for so
# much, or nothing
sub memory_dir {
    my ($mib) = @_;

    my ($type, $block, $free) = split(' ', `stat -f -c '%T %S %a' /dev/shm`);
    my ($kib) = ACR::Node::slurp('/proc/meminfo') =~ /^MemAvailable:\s+(\d+)/m;

    return undef if $? || $type ne 'tmpfs'
        || $block * $free < $mib << 20 || ($kib || 0) < $mib << 10;

    if (!$memory) {
        $memory = tempdir('acr-bench-XXXXXX', DIR => '/dev/shm');
        chmod(0755, $memory) or die "chmod: $!\n";
    }

    return $memory;
}


sub home {
    my $home = work_dir() . '/' . ++$count;

    mkdir($home) or die "$home: $!\n";
    chmod(0755, $home);

    return $home;
}


# ours(NAME, OPTIONS of ACR::Node): the registry, configured as conf/nginx.conf
sub ours {
    my ($name, %option) = @_;

    my $more = delete $option{server} || '';
    my $redis = ACR::Redis->start(home(), '--appendonly', 'yes');
    my $node = Bench::Node->start(
        home(), workers => $WORKERS, redis => $redis,
        lines => { zone => 'acr_zone acr:64m;' },
        server => "$HTTP sendfile on; $more", %option);

    return server($name, $node, client => $node, root => $node->{root},
                  redis_socket => $redis->{socket},
                  redis => sub { $redis->{process}->pid() },
                  processes => [$node->{process}, $redis->{process}]);
}


# admin(SERVER): a client of ours, with acr_auth and acr_admin, that may do
# anything
sub admin {
    my ($server) = @_;

    my $answer = $server->{client}->put('/acr/admin/access/admin',
                                        body => '{"enabled":true}');
    my $json = JSON::PP::decode_json($answer->body());
    my $admin = $server->{client}->as('admin', $json->{passwords}[0]{value});

    # all workers know it within a second
    my $deadline = time() + 20;
    for (1 .. 20) {
        while ($admin->request('GET', '/v2/',
                               headers => [Connection => 'close'])->status()
               != 200)
        {
            die "no admin\n" if time() > $deadline;
            select(undef, undef, undef, 0.05);
        }
    }

    return $admin;
}


# filler(SERVER): a handle that takes what command() returns, for the Redis of
# ours; filled(HANDLE): it has all of that
sub filler {
    my ($server) = @_;

    open(my $pipe, '|-', "redis-cli -s $server->{redis_socket} --pipe "
                         . '> /dev/null') or die "redis-cli: $!\n";

    return $pipe;
}


sub filled { close($_[0]) or die "redis-cli has failed\n" }


# command(WORD...): a command in the protocol of Redis
sub command {
    return '*' . @_ . "\r\n" . join('', map { '$' . length() . "\r\n$_\r\n" }
                                    @_);
}


# static(NAME, { PATH => BYTES }, MORE, OPTIONS): nginx that serves files
sub static {
    my ($name, $files, $more, %option) = @_;

    my $home = home();
    my $path;

    for my $file ('v2/index.html', keys %$files) {
        system('mkdir', '-p', "$home/$file" =~ s{/[^/]*$}{}r);
        write_file("$home/$file", $files->{$file} || '');
    }

    # the lines of a registry are left out
    my %lines = map { $_ => '' } qw(load redis node fsync zone acr);
    my $node = Bench::Node->start(
        home(), workers => $WORKERS, server => "$HTTP $more",
        lines => { %lines, root => "root $home;" }, %option);

    return server($name, $node, root => $home,
                  processes => [$node->{process}]);
}


# Debian's docker-registry, as its package configures it, without access
# control and logs
sub docker { return distribution('docker', 'docker-registry') }


# mirror(URL): another one, which fills itself from there
sub mirror {
    my ($url) = @_;

    return distribution('docker', 'docker-registry', <<"YML");
proxy:
  remoteurl: $url
YML
}


# others(): the registries that ours is compared with: docker-registry, and what
# the environment names programs of, which Debian does not have
sub others {
    my @others = (docker());

    if ($ENV{ACR_BENCH_DISTRIBUTION}) {
        push(@others, distribution('distribution',
                                   $ENV{ACR_BENCH_DISTRIBUTION}));
    }
    if ($ENV{ACR_BENCH_ZOT}) {
        push(@others, zot($ENV{ACR_BENCH_ZOT}));
    }

    return @others;
}


sub distribution {
    my ($name, $program, $more) = @_;

    $more = '' if !defined $more;

    my $home = home();
    my $reserve = {};
    my $port = ACR::Node::free_port($reserve);

    write_file("$home/config.yml", <<"YML");
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: $home
  delete:
    enabled: true
http:
  addr: 127.0.0.1:$port
  relativeurls: true
$more
YML

    # version 3 would look for somebody who collects its traces
    local $ENV{OTEL_TRACES_EXPORTER} = 'none';

    return process($name, $home, $reserve, $port,
                   $program, 'serve', "$home/config.yml");
}


# It syncs, as the others do.  With dedupe it would say that a repository has
# what another one has, and a client would push nothing.
sub zot {
    my ($program) = @_;

    my $home = home();
    my $reserve = {};
    my $port = ACR::Node::free_port($reserve);

    write_file("$home/config.json", JSON::PP::encode_json({
        distSpecVersion => '1.1.1',
        storage => { rootDirectory => "$home/data", commit => JSON::PP::true,
                     dedupe => JSON::PP::false },
        http => { address => '127.0.0.1', port => "$port" },
        log => { level => 'error' } }));

    return process('zot', $home, $reserve, $port,
                   $program, 'serve', "$home/config.json");
}


# a registry that is one process, which has begun to answer
sub process {
    my ($name, $home, $reserve, $port, @command) = @_;

    my $process = ACR::Process->spawn("$home/log", @command);
    my $client = ACR::Client->new($port);
    my $deadline = time() + 20;

    while (!eval { $client->get('/v2/')->status() == 200 }) {
        die "$name does not start:\n" . ACR::Node::slurp("$home/log")
            if time() > $deadline || !$process->alive();
        select(undef, undef, undef, 0.05);
    }

    my $server = { name => $name, port => $port, root => $home,
                   client => $client, reserve => $reserve,
                   pids => sub { $process->pid() }, redis => sub { () },
                   processes => [$process] };
    push(@servers, $server);

    return $server;
}


sub server {
    my ($name, $node, %more) = @_;

    my $server = { name => $name, port => $node->port(), node => $node,
                   tls_port => $node->{tls_port},
                   pids => sub { $node->workers() }, redis => sub { () },
                   %more };
    push(@servers, $server);

    return $server;
}


sub stop {
    my ($server) = @_;

    @servers = grep { $_ != $server } @servers;

    my @complaints = $server->{node} ? $server->{node}->stop() : ();
    print STDERR "$server->{name}: $_\n" for @complaints;

    $_->kill_now() for @{ $server->{processes} };
}


# rounds({ NAME => FUNCTION, ... }): calls each $ROUNDS times, every round in
# another order, since what runs first or after something else is not equal.
# What each has returned, by name, by round.
sub rounds {
    my ($subjects) = @_;
    my %results;

    for (1 .. $ROUNDS) {
        for my $name (shuffle(keys %$subjects)) {
            push(@{ $results{$name} }, $subjects->{$name}->());
        }
    }

    return \%results;
}


# measure(SERVER or undef, FUNCTION): what a FUNCTION that returns its amount
# of work has taken: { rate => work a second, cpu => seconds of the server for
# a unit, all => with its Redis }.  Without a server, of the children.
sub measure {
    my ($server, $function) = @_;

    my ($cpu, $redis) = (cpu($server), redis_cpu($server));
    my $start = time();
    my $work = $function->();
    my $passed = time() - $start;

    $cpu = cpu($server) - $cpu;
    $redis = redis_cpu($server) - $redis;

    # a tick at least: what is shorter cannot be told
    $cpu = max($cpu, 1 / $TICKS);

    return { rate => $work / $passed, cpu => $cpu / $work,
             all => ($cpu + $redis) / $work };
}


sub cpu {
    my ($server) = @_;

    if (!$server) {
        my (undef, undef, $user, $system) = times();
        return $user + $system;
    }

    return sum0(map { cpu_of($_) } $server->{pids}->());
}


sub redis_cpu {
    my ($server) = @_;

    return $server ? sum0(map { cpu_of($_) } $server->{redis}->()) : 0;
}


# all threads of a process, in seconds
sub cpu_of {
    my ($pid) = @_;

    my @fields = split(' ', ACR::Node::slurp("/proc/$pid/stat") =~ s/.*\)//sr);

    return ($fields[11] + $fields[12]) / $TICKS;
}


# memory(SERVER): (RssAnon, Rss) of its processes, in KiB
sub memory {
    my ($server) = @_;
    my @sum = (0, 0);

    for my $pid ($server->{pids}->()) {
        my $status = ACR::Node::slurp("/proc/$pid/status");
        my $i = 0;
        for my $name (qw(RssAnon VmRSS)) {
            $sum[$i++] += $1 if $status =~ /^$name:\s+(\d+)/m;
        }
    }

    return @sum;
}


# load(SERVER, METHOD, TARGET, CONNECTIONS, WHAT): nearly a second of requests;
# the work is their number, or the bytes that have come
sub load {
    my ($server, $method, $target, $connections, $what) = @_;

    my $port = $ENV{LOAD_TLS} ? $server->{tls_port} : $server->{port};

    return measure($server, sub {
        my $line = `$ENV{BENCH_LOAD} $port $method $target $connections 0.8`;
        die "load has failed\n" if $?;
        my ($requests, $bytes) = split(' ', $line);
        return $what eq 'bytes' ? $bytes : $requests;
    });
}


# title(TEXT, RATE, CPU): begins a table
sub title {
    printf("\n%-22s %-19s %-18s %s\n", $_[0], '', @_[1 .. 2]);
}


# wanted(CASE): whether this row is to be measured
sub wanted {
    my ($case) = @_;

    return !length($ENV{BENCH_ROWS} || '') || $case =~ /$ENV{BENCH_ROWS}/i;
}


# row(CASE, NAME, BASE, RESULTS, GOALS): how one of the results of rounds()
# compares with another, round by round: median, and the interval in which it
# lies; in brackets the CPU with that of Redis.  Goals: rate => [LOW, HIGH] or
# cpu => [LOW, HIGH], of which one is undef.
sub row {
    my ($case, $name, $base, $results, %goal) = @_;

    my ($a, $b) = @{$results}{$name, $base};
    my ($rate, $cpu) = map { ratio($a, $_, $b, $_) } qw(rate cpu);

    printf("%-22s %-19s %-18s %s", $case, "$name / $base", spread($rate),
           spread($cpu));
    printf(' [%.2f]', median(ratio($a, 'all', $b, 'all')))
        if grep { $_->{all} != $_->{cpu} } @$a;
    print("\n");

    goal($case, $base, 'rate', $rate, $goal{rate}, $name);
    goal($case, $base, 'CPU', $cpu, $goal{cpu}, $name);
}


# goal(CASE, BASE, WHAT, VALUES, [LOW, HIGH], NAME): notes it for the report
sub goal {
    my ($case, $base, $what, $values, $limits, $name) = @_;

    return if !$ENV{BENCH_RESULTS};

    my ($low, $high) = interval($values);
    my $record = { case => $case, name => $name || 'ours', base => $base,
                   what => $what,
                   median => median($values), low => $low, high => $high,
                   values => $values, subject => $0 =~ s{.*/|\.pl$}{}gr };

    if ($limits) {
        my ($least, $most) = @$limits;
        @$record{qw(least most)} = @$limits;
        $record->{verdict} =
            defined $least ? ($low >= $least ? 'met'
                              : $high < $least ? 'missed' : 'open')
                           : ($high <= $most ? 'met'
                              : $low > $most ? 'missed' : 'open');
    }

    open(my $fh, '>>', $ENV{BENCH_RESULTS}) or die "results: $!\n";
    print $fh JSON::PP->new()->canonical()->encode($record), "\n";
    close($fh) or die "results: $!\n";
}


# where the median lies, 19 times out of 20; of few values all of them
sub interval {
    my ($values) = @_;

    my @sorted = sort { $a <=> $b } @$values;
    my $outside = int((@sorted - 1.96 * sqrt(@sorted)) / 2);
    $outside = 0 if @sorted < 6 || $outside < 0;

    return @sorted[$outside, $#sorted - $outside];
}


# ratio(RESULTS, KEY, RESULTS, KEY): round by round
sub ratio {
    my ($a, $key_a, $b, $key_b) = @_;

    return [map { $a->[$_]{$key_a} / $b->[$_]{$key_b} } 0 .. $#$a];
}


# spread(VALUES, DECIMALS): median and interval
sub spread {
    my ($values, $decimals) = @_;

    $decimals = 2 if !defined $decimals;

    return sprintf("%.${decimals}f (%.${decimals}f-%.${decimals}f)",
                   median($values), interval($values));
}


sub median {
    my ($values) = @_;

    my @sorted = sort { $a <=> $b } @$values;

    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}


package Bench::Node;

# an nginx for more connections than a test has

use parent -norequire, 'ACR::Node';


sub configuration {
    my ($self) = @_;

    return $self->SUPER::configuration()
        =~ s/worker_connections \d+/worker_connections 16384/r
        =~ s/^events/worker_rlimit_nofile 20000;\nevents/mr;
}

1;
