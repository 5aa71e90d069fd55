package ACR::Distribution;

# CNCF Distribution (Debian's docker-registry) on a directory.  Also its client
# (ACR::Client).  It runs as the user of the test; what it writes as root has
# to be given to the workers (give_to_workers) before nginx serves it.

use strict;
use warnings;

use parent 'ACR::Client';

use ACR::Node;
use ACR::Process;
use File::Find ();
use Time::HiRes qw(time);


# program(): its path, or undef if it is not installed
sub program {
    return (grep { -x } map { ("$_/docker-registry", "$_/registry") }
            split(/:/, $ENV{PATH}))[0];
}


# start(DIR, ROOT, OPTIONS): DIR is for its configuration and its log; htpasswd:
# a file, to ask for Basic; readonly: 'true' to take no pushes
sub start {
    my ($class, $dir, $root, %option) = @_;

    mkdir($dir) || die "$dir: $!\n" if !-d $dir;

    my $self = bless({ dir => $dir, root => $root, %option }, $class);

    $self->{port} = $self->ACR::Node::free_port();
    $self->run();

    return $self;
}


# run(CHANGES): starts it, also again after stop(), and waits until it answers
sub run {
    my ($self, %change) = @_;

    %$self = (%$self, %change);

    my $readonly = $self->{readonly} || 'false';
    my $auth = defined $self->{htpasswd} ? <<"YAML" : '';
auth:
  htpasswd:
    realm: any
    path: $self->{htpasswd}
YAML

    ACR::Node::spew("$self->{dir}/config.yml", <<"YAML");
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: $self->{root}
  delete:
    enabled: true
  maintenance:
    readonly:
      enabled: $readonly
http:
  addr: 127.0.0.1:$self->{port}
  secret: any
$auth
YAML

    $self->{process} = ACR::Process->spawn(
        "$self->{dir}/registry.log", program(), 'serve',
        "$self->{dir}/config.yml");

    my $deadline = time() + 30;

    while (!eval { $self->get('/v2/')->status() =~ /^(?:200|401)$/ }) {
        die "docker-registry does not start:\n" . $self->log_text()
            if time() > $deadline || !$self->{process}->alive();
        select(undef, undef, undef, 0.02);
    }
}


sub stop {
    my ($self) = @_;

    $self->forget();
    $self->{process}->signal('TERM');
    $self->{process}->ended(20) or $self->{process}->kill_now();
}


# collect(OPTION...): its garbage-collect; what it says
sub collect {
    my ($self, @options) = @_;

    my $out = "$self->{dir}/collect.log";
    unlink($out);

    my $process = ACR::Process->spawn($out, program(), 'garbage-collect',
                                      @options, "$self->{dir}/config.yml");
    $process->ended(60) or $process->kill_now();
    my $said = ACR::Node::slurp($out);

    die "garbage-collect:\n$said\n" if $process->{status} != 0;

    return $said;
}


sub log_text { return eval { ACR::Node::slurp("$_[0]->{dir}/registry.log") } }


# give_to_workers(DIRECTORY): what chown -R does
sub give_to_workers {
    my ($directory) = @_;

    return if $> != 0;

    my ($uid, $gid) = (getpwnam(ACR::Node::worker_user()))[2, 3];

    File::Find::find({ no_chdir => 1, wanted => sub {
        chown($uid, $gid, $_) or die "chown $_: $!\n";
    } }, $directory);
}

1;
