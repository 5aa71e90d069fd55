package ACR::Node;

# An nginx with the module.  Also its client (ACR::Client).

use strict;
use warnings;

use parent 'ACR::Client';

use ACR::Process;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_REUSEADDR);
use Time::HiRes qw(time);

our $TREE = abs_path(dirname(__FILE__) . '/../../..');

# what must never be in the error log
my $BAD = qr/\[(?:alert|emerg|crit)\]|open\ socket|signal\ 11
             |Sanitizer|runtime\ error:|ERROR\ SUMMARY:\ [1-9]/x;


# start(DIR, OPTIONS): starts it and waits until it answers
sub start {
    my ($class, $dir, %option) = @_;

    my $self = $class->prepare($dir, %option);
    $self->run();

    return $self;
}


# prepare(DIR, OPTIONS): writes nginx.conf only
sub prepare {
    my ($class, $dir, %option) = @_;

    mkdir($dir) || die "$dir: $!\n" if !-d $dir;
    chmod(0755, $dir);

    my $self = bless({ dir => $dir, option => \%option, allowed => [],
                       root => $option{root} || "$dir/data", read => 0,
                       redis => $option{redis}, owner => $$ }, $class);

    $self->{$_} = $self->free_port() for 'port', 'http2_port', 'tls_port';
    $self->certificate() if $option{tls};

    $self->configure();

    return $self;
}


# configure(CHANGES): writes nginx.conf anew
sub configure {
    my ($self, %change) = @_;

    my $option = $self->{option};
    %$option = (%$option, %change);

    spew("$self->{dir}/nginx.conf", $self->configuration());
}


sub configuration {
    my ($self) = @_;

    my ($dir, $option) = ($self->{dir}, $self->{option});

    # all of it
    return $option->{text} if defined $option->{text};

    my $get = sub { return defined $option->{$_[0]} ? $option->{$_[0]} : '' };

    my $user = $> == 0 ? 'user ' . worker_user() . ';' : '';
    my $workers = $get->('workers') || 1;
    my $listen = "listen 127.0.0.1:$self->{port};";

    if ($option->{http2}) {
        $listen .= " listen 127.0.0.1:$self->{http2_port} http2;";
    }
    if ($option->{tls}) {
        $listen .= " listen 127.0.0.1:$self->{tls_port} ssl http2;"
            . " ssl_certificate $dir/tls.crt;"
            . " ssl_certificate_key $dir/tls.key;";
    }

    my %line = (
        load => 'load_module ' . module() . ';',
        threads => 'thread_pool acr threads=4;',
        slow => 'thread_pool acr_slow threads=16;',
        redis => $self->{redis}
            ? 'acr_redis ' . $self->{redis}->address()
              . ($option->{redis_options} ? " $option->{redis_options}" : '')
              . ';' : '',
        root => "acr_root $self->{root};",
        node => 'acr_node ' . ($get->('node') || 'one') . ';',
        fsync => 'acr_fsync ' . ($get->('fsync') || 'on') . ';',
        acr => 'acr;',
    );

    $line{zone} = $self->has_zone() ? 'acr_zone acr:4m;' : '';

    # a test of the configuration leaves lines out or changes them
    $line{$_} = $option->{lines}{$_} for keys %{ $option->{lines} || {} };

    return <<"CONF";
$line{load}
daemon off;
worker_processes $workers;
$user
pid $dir/nginx.pid;
error_log $dir/error.log info;
$line{threads}
$line{slow}
@{[ $get->('main') ]}
events {
    worker_connections 512;
}
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    $line{redis}
    $line{node}
    $line{fsync}
    $line{zone}
    @{[ $get->('http') ]}
    server {
        $listen
        $line{root}
        @{[ $get->('server') ]}
        location / {
            $line{acr}
            @{[ $get->('location') ]}
        }
    }
    @{[ $get->('servers') ]}
}
CONF
}


# whether it has a zone that the test has not thought of; one is of one registry
sub has_zone {
    my ($self) = @_;

    return !grep { defined && /acr_(?:zone|root)/ }
           @{ $self->{option} }{qw(http server location servers)};
}


sub module {
    return $ENV{ACR_MODULE}
        || "$TREE/build/ngx_http_acr_module.so";
}


sub worker_user {
    return getpwnam('www-data') ? 'www-data' : 'nobody';
}


sub nginx {
    my ($self, @arguments) = @_;

    my $nginx = $ENV{ACR_NGINX}
        || (grep { -x } '/usr/sbin/nginx', '/usr/local/sbin/nginx')[0]
        || 'nginx';

    return ($nginx, '-p', "$self->{dir}/", '-c', "$self->{dir}/nginx.conf",
            '-e', "$self->{dir}/error.log", @arguments);
}


# A port that stays ours: a socket is bound to it but does not listen, and nginx
# may bind it too, since both reuse the address.  Not one of those that clients
# get by themselves: between two runs of nginx one might get it.
sub free_port {
    my ($self) = @_;

    my $socket;

    for (1 .. 1000) {
        $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                        LocalPort => 10000 + int(rand(22000)),
                                        Proto => 'tcp');
        last if $socket;
    }

    die "no port: $@\n" if !$socket;
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) or die "reuse: $!\n";

    push(@{ $self->{reserved} }, $socket);

    return $socket->sockport();
}


sub certificate {
    my ($self) = @_;

    my $dir = $self->{dir};

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -subj /CN=localhost -days 2 -keyout $dir/tls.key "
           . "-out $dir/tls.crt 2> $dir/openssl.log") == 0
        or die "openssl has failed\n";
}


# run(): starts nginx, also again after kill_all() or stop()
sub run {
    my ($self) = @_;

    local %ENV = (%ENV, %{ $self->{option}{env} || {} });

    $self->forget();
    $self->{process} = ACR::Process->spawn("$self->{dir}/nginx.out",
                                           $self->nginx());

    my $deadline = time() + 30;

    while (!$self->answers()) {
        die "nginx does not start:\n" . $self->tail()
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.02);
    }
}


sub answers {
    my ($self) = @_;

    return eval {
        my $http = $self->connect();
        my $answer = $http->request('GET', '/v2/',
                                    headers => [Connection => 'close']);
        $http->close();
        $answer->status() =~ /^(?:200|401)$/;
    };
}


# test(): nginx -t; what it says, and whether it is content
sub test {
    my ($self) = @_;

    my $log = "$self->{dir}/test.out";
    unlink($log);

    my $process = ACR::Process->spawn($log, $self->nginx('-t'));
    $process->ended(30) or $process->kill_now();

    return (slurp($log), $process->{status} == 0);
}


# worker processes of this nginx
sub workers {
    my ($self) = @_;

    return children($self->{process}->pid());
}


sub children {
    my ($parent) = @_;

    return grep {
        my $stat = eval { slurp("/proc/$_/stat") };
        defined $stat && $stat =~ /\) \S (\d+)/ && $1 == $parent && !zombie($_)
    } map { m{(\d+)} } glob('/proc/[0-9]*');
}


# fds(PATTERN): what the workers have open, by name
sub fds {
    my ($self, $pattern) = @_;

    my @open = grep { defined } map { readlink }
               map { glob("/proc/$_/fd/*") } $self->workers();

    return defined $pattern ? grep { /$pattern/ } @open : @open;
}


# reload(CHANGES): returns when there are new workers and none of the old takes
# connections; what these have begun may go on
sub reload {
    my ($self, %change) = @_;

    my @old = $self->workers();
    my %old = map { $_ => 1 } @old;

    $self->configure(%change) if %change;
    $self->forget();
    $self->{process}->signal('HUP');

    my $deadline = time() + 30;

    while (!(grep { !$old{$_} } $self->workers())
           || grep { listens($_) } @old)
    {
        die "no new workers\n" . $self->tail() if time() > $deadline;
        select(undef, undef, undef, 0.01);
    }
}


# a worker that is to end says so in its title
sub listens {
    my ($pid) = @_;

    my $title = eval { slurp("/proc/$pid/cmdline") };

    return defined $title && $title =~ /worker process/
        && $title !~ /shutting down/;
}


# kills the master and its workers at once
sub kill_all {
    my ($self) = @_;

    my $master = $self->{process}->pid();
    my $deadline = time() + 10;

    # so that it makes no worker that is not in the list
    kill('STOP', $master);
    while ((eval { slurp("/proc/$master/stat") } || '') =~ /\) [^TZX]/) {
        die "the master does not stop\n" if time() > $deadline;
        select(undef, undef, undef, 0.001);
    }

    my @workers = $self->workers();

    kill('KILL', $master, @workers);
    $self->{process}->ended(10);
    $self->forget();

    while (grep { -e "/proc/$_" && !zombie($_) } @workers) {
        die "workers survive\n" if time() > $deadline;
        select(undef, undef, undef, 0.01);
    }
}


# whether it is over and holds nothing any more: the first thread may be a
# zombie while another is still in a call, and keeps all descriptors
sub zombie {
    my ($pid) = @_;

    my $stat = eval { slurp("/proc/$pid/stat") };

    return !defined $stat
           || $stat =~ /\) [ZX]/ && (() = glob("/proc/$pid/task/*")) <= 1;
}


# stop(): in order; complaints, if there are any
sub stop {
    my ($self) = @_;

    return if !$self->{process};

    $self->forget();

    if ($self->{process}->alive()) {
        $self->{process}->signal('QUIT');

        if (!$self->{process}->ended(20)) {
            $self->kill_all();
            return ("it does not stop\n" . $self->tail(), $self->complaints());
        }
    }

    return $self->complaints();
}


# allow(PATTERN): lines of the error log that this test provokes
sub allow {
    my ($self, @patterns) = @_;

    push(@{ $self->{allowed} }, @patterns);
}


sub complaints {
    my ($self) = @_;

    my @lines = map { split(/\n/, eval { slurp("$self->{dir}/$_") } || '') }
                'error.log', 'nginx.out';

    # nginx.out has what nginx says before it reads error_log
    my %seen;
    my @bad = grep { !$seen{$_}++ && /$BAD/ } @lines;

    for my $pattern (@{ $self->{allowed} }) {
        @bad = grep { !/$pattern/ } @bad;
    }

    return @bad;
}


sub log_text { return eval { slurp("$_[0]->{dir}/error.log") } || '' }


# the end of the log, for a failure
sub tail {
    my ($self) = @_;

    my @lines = map { split(/\n/, eval { slurp("$self->{dir}/$_") } || '') }
                'nginx.out', 'error.log';
    @lines = grep { !/\[(?:notice|info)\]/ } @lines;
    splice(@lines, 0, @lines - 15) if @lines > 15;

    return join("\n", @lines) . "\n";
}


# path(MORE): a path below docker/registry/v2
sub path {
    my ($self, $more) = @_;

    return "$self->{root}/docker/registry/v2/$more";
}


# where the bytes of a digest are
sub blob_file {
    my ($self, $digest) = @_;

    my ($algorithm, $hex) = split(/:/, $digest);

    return $self->path("blobs/$algorithm/" . substr($hex, 0, 2)
                       . "/$hex/data");
}


# the link of a repository to a layer, a revision, or the one of a tag
sub link_file {
    my ($self, $repository, $kind, $name) = @_;

    my $base = $self->path("repositories/$repository");

    return "$base/_manifests/tags/$name/current/link" if $kind eq 'tag';

    my $path = $name =~ s{:}{/}r;

    return "$base/_layers/$path/link" if $kind eq 'layer';
    return "$base/_manifests/revisions/$path/link";
}


# what the link of a tag on the disk says, or undef
sub tag_on_disk {
    my ($self, $repository, $tag) = @_;

    return eval { slurp($self->link_file($repository, 'tag', $tag)) };
}


sub slurp {
    my ($name) = @_;

    open(my $fh, '<:raw', $name) or die "$name: $!\n";
    local $/;

    return scalar(<$fh>);
}


sub spew {
    my ($name, $bytes) = @_;

    open(my $fh, '>:raw', $name) or die "$name: $!\n";
    print $fh $bytes;
    close($fh) or die "$name: $!\n";
}

1;
