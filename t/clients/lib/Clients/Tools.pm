package Clients::Tools;

# Clients that all do the same, each in its own way: they log in to a registry
# with TLS, push, pull, list, delete.
#
#   for my $tool (tools('registry.example.com', '/path/of/ca.crt')) {
#       $tool->does('login', $tool->login($password));
#       $tool->has($layout);
#       $tool->pushes('team/a:1');
#       $tool->pulls('team/a:1');
#   }
#
# A program has a package below with
#
#   programs       what must be there
#   start          once, false if that fails; what it runs goes on
#   login(PW)      the command
#   take           it has what is in the layout, for to_push()
#   to_push(TO)    the command
#   forget         it has nothing any more
#   to_pull(FROM)  the command
#   same           the test that what it has pulled is what is in the layout
#   to_list(REPOSITORY), to_delete(REPOSITORY, TAG)
#                  the command, if it can
#   tries_again    whether it does by itself, in all versions of it

use strict;
use warnings;

use Clients;
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(tools);


# tools(HOST, CERTIFICATE): all that are here
sub tools {
    my ($host, $certificate) = @_;

    my $trusted = "/etc/docker/certs.d/$host/ca.crt";
    spew(work() . $trusted, slurp($certificate));

    my @tools;

    for my $c (Clients::usable()) {
        for my $kind (qw(Skopeo Podman Docker Ctr Crane Oras)) {
            my $class = "Clients::Tools::$kind";
            next if grep { !$c->has($_) } $class->programs();

            my $name = lc($kind) . "-$c->{name}";
            my $tool = bless({ c => $c, host => $host, name => $name,
                               trusted => $trusted, repo => "team/$name",
                               dir => "$c->{dir}/" . lc($kind) }, $class);
            mkdir($tool->{dir}) or die "$tool->{dir}: $!\n";
            push(@tools, $tool) if $tool->start();
        }
    }

    Clients::none('client') if !@tools;

    return @tools;
}


# at(WHAT): with the host
sub at { return "$_[0]->{host}/$_[1]" }


# a new place below its directory
sub place {
    my ($self, $name) = @_;

    return "$self->{dir}/$name" . ++$self->{places};
}


# does(WHAT, COMMAND...): a test; what it has printed
sub does {
    my ($self, $what, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return $self->{c}->runs("$self->{name}: $what", @command);
}


# has(LAYOUT): an image that it can push
sub has {
    my ($self, $layout) = @_;

    $self->forget();
    $self->{layout} = $layout;
    $self->take();
}


# pushes(TO, NAME)
sub pushes {
    my ($self, $to, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->begins_push($to);
    $self->ends($name || 'push');
}


# begins_push(TO): until ends()
sub begins_push {
    my ($self, $to) = @_;

    $self->{running} = $self->{c}->begin($self->to_push($to));
}


# pulls(FROM, NAME): what it has pulled is what it has pushed
sub pulls {
    my ($self, $from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->begins_pull($from);
    $self->ends($name || 'pull') and $self->same($from);
}


sub begins_pull {
    my ($self, $from) = @_;

    $self->forget();
    $self->{running} = $self->{c}->begin($self->to_pull($from));
}


# ends(NAME): a test that what has begun succeeds; whether it did
sub ends {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $fine = $self->ended();

    ok($fine, "$self->{name}: $name") or diag($self->{output});

    return $fine;
}


# ended(): whether what has begun succeeds
sub ended {
    my ($self) = @_;

    (my $status, $self->{output}) = Clients::over(delete($self->{running}));

    return $status == 0;
}


# the digest of what it has pushed last
sub digest {
    my ($self) = @_;

    return $self->{layout}{image}{digest};
}


sub start { return 1 }
sub forget { }
sub take { }
sub to_list { }
sub to_delete { }
sub tries_again { return 0 }


# same_bytes(DIRECTORY): in the files there
sub same_bytes {
    my ($self, $dir) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply(digests($dir), $self->{layout}->digests($self->{layout}{image}),
              "$self->{name}: the same bytes");
}


# same_image(COMMAND...): prints the id
sub same_image {
    my ($self, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $output) = $self->{c}->run(@command);
    is($output, $self->{id}, "$self->{name}: the same image");
}


# the image without its index, in a directory
sub alone {
    my ($self) = @_;

    my $dir = $self->place('layout');
    $self->{layout}->only($dir, 'image');

    return $dir;
}


package Clients::Tools::Skopeo;

use parent -norequire, 'Clients::Tools';

use Clients;

sub programs { return 'skopeo' }


sub login {
    my ($self, $password) = @_;

    return ('skopeo', 'login', '-u', 'admin', '-p', $password, $self->{host});
}


sub copy {
    my ($self, @what) = @_;

    return ('skopeo', '--policy', work() . '/policy.json', 'copy', '-q', @what);
}


sub to_push {
    my ($self, $to) = @_;

    return $self->copy("oci:$self->{layout}{dir}:image",
                       'docker://' . $self->at($to));
}


sub to_pull {
    my ($self, $from) = @_;

    $self->{got} = $self->place('image');

    return $self->copy('docker://' . $self->at($from), "dir:$self->{got}");
}


sub same {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->same_bytes($self->{got});
}


sub to_list {
    my ($self, $repository) = @_;

    return ('skopeo', 'list-tags', 'docker://' . $self->at($repository));
}


sub to_delete {
    my ($self, $repository, $tag) = @_;

    return ('skopeo', 'delete', 'docker://' . $self->at("$repository:$tag"));
}


package Clients::Tools::Podman;

use parent -norequire, 'Clients::Tools';

use Clients;

sub programs { return 'podman' }


sub podman {
    my ($self, @what) = @_;

    return ('podman', '--root', "$self->{dir}/root", '--runroot',
            "$self->{dir}/run", '--storage-driver', 'vfs',
            '--cgroup-manager', 'cgroupfs', '--events-backend', 'none', @what);
}


sub login {
    my ($self, $password) = @_;

    return $self->podman('login', '-u', 'admin', '-p', $password,
                         $self->{host});
}


sub take {
    my ($self) = @_;

    my $layout = $self->{layout};

    $self->does('load', $self->podman('pull', '-q', '--signature-policy',
                                      work() . '/policy.json',
                                      "oci:$layout->{dir}:image"));
    my $config = $layout->manifest($layout->{image})->{config}{digest};
    $self->{id} = $config =~ s/.*://r . "\n";
}


sub forget {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->does('remove all', $self->podman('image', 'rm', '-a', '-f'));
}


sub to_push {
    my ($self, $to) = @_;

    return $self->podman('push', '-q', '--signature-policy',
                         work() . '/policy.json', '--digestfile',
                         "$self->{dir}/digest", $self->{id} =~ s/\n//r,
                         'docker://' . $self->at($to));
}


sub digest {
    my ($self) = @_;

    return slurp("$self->{dir}/digest");
}


sub to_pull {
    my ($self, $from) = @_;

    return $self->podman('pull', '-q', '--signature-policy',
                         work() . '/policy.json', $self->at($from));
}


sub same {
    my ($self, $from) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->same_image($self->podman('image', 'inspect', '-f', '{{.Id}}',
                                    $self->at($from)));
}


sub to_list {
    my ($self, $repository) = @_;

    return $self->podman('search', '--list-tags', $self->at($repository));
}


package Clients::Tools::Docker;

use parent -norequire, 'Clients::Tools';

use Clients;
use Test::More;

sub programs { return qw(dockerd docker) }
sub tries_again { return 1 }


sub start {
    my ($self) = @_;

    $self->{docker} = [$self->{c}->dockerd()];

    return @{ $self->{docker} };
}


sub docker {
    my ($self, @what) = @_;

    return (@{ $self->{docker} }, @what);
}


sub login {
    my ($self, $password) = @_;

    return $self->docker('login', '-u', 'admin', '-p', $password,
                         $self->{host});
}


# what "docker load" takes: a layout that says itself which image it is
sub take {
    my ($self) = @_;

    my $layout = $self->{layout};
    my $manifest = $layout->manifest($layout->{image});
    my $dir = $self->alone();
    my $path = sub { 'blobs/' . ($_[0]->{digest} =~ s{:}{/}r) };
    my $layers = join(',', map { '"' . $path->($_) . '"' }
                               @{ $manifest->{layers} });

    spew("$dir/manifest.json",
         '[{"Config":"' . $path->($manifest->{config}) . '","RepoTags":'
         . "[\"local/image:1\"],\"Layers\":[$layers]}]");
    system('tar', '-C', $dir, '-cf', "$dir.tar", '.') == 0 or die "tar: $?\n";

    $self->does('load', $self->docker('load', '-q', '-i', "$dir.tar"));
    (undef, $self->{id}) = $self->{c}->run($self->docker(
        'image', 'inspect', '-f', '{{.Id}}', 'local/image:1'));
}


sub forget {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ids = sub {
        return split(' ', ($self->{c}->run($self->docker('image', 'ls',
                                                         '-aq')))[1]);
    };

    if (my @ids = $ids->()) {
        $self->does('remove all', $self->docker('image', 'rm', '-f', @ids));
    }
}


sub to_push {
    my ($self, $to) = @_;

    my $image = $self->at($to);
    $self->does('tag', $self->docker('tag', 'local/image:1', $image));

    return $self->docker('push', $image);
}


sub digest {
    my ($self) = @_;

    return ($self->{output} =~ /digest: (sha256:\w+)/)[0];
}


sub to_pull {
    my ($self, $from) = @_;

    return $self->docker('pull', $self->at($from));
}


sub same {
    my ($self, $from) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->same_image($self->docker('image', 'inspect', '-f', '{{.Id}}',
                                    $self->at($from)));
}


package Clients::Tools::Ctr;

use parent -norequire, 'Clients::Tools';

use Clients;

sub programs { return qw(containerd ctr) }


sub start {
    my ($self) = @_;

    # a test knows what a layer is under way by
    $self->{ctr} = [$self->{c}->containerd(0)];

    return @{ $self->{ctr} };
}


sub images {
    my ($self, @what) = @_;

    return (@{ $self->{ctr} }, 'images', @what);
}


# it has no login: name and password come with each command
sub login {
    my ($self, $password) = @_;

    $self->{known} = ['--user', "admin:$password", '--hosts-dir',
                      '/etc/docker/certs.d'];

    return ('true');
}


sub take {
    my ($self) = @_;

    my $layout = $self->{layout};
    my $archive = $self->place('archive');

    system('tar', '-C', $layout->{dir}, '-cf', $archive, '.') == 0
        or die "tar: $?\n";
    $self->does('import', $self->images('import', '--no-unpack',
                                        '--all-platforms', '--base-name',
                                        'local', $archive));
}


sub forget {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @names = split(' ', ($self->{c}->run($self->images('ls', '-q')))[1]);

    $self->does('remove all', $self->images('rm', '--sync', @names)) if @names;
}


sub to_push {
    my ($self, $to) = @_;

    return $self->images('push', @{ $self->{known} }, $self->at($to),
                         'local:image');
}


sub to_pull {
    my ($self, $from) = @_;

    return $self->images('pull', @{ $self->{known} }, '--all-platforms',
                         $self->at($from));
}


sub same {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->{c}->has_content($self->{layout}, $self->{layout}{image},
                            @{ $self->{ctr} });
}


package Clients::Tools::Crane;

use parent -norequire, 'Clients::Tools';

use Clients;

sub programs { return 'crane' }


sub crane {
    my ($self, @what) = @_;

    return ('env', "SSL_CERT_FILE=$self->{trusted}", 'crane', @what);
}


sub login {
    my ($self, $password) = @_;

    return $self->crane('auth', 'login', '-u', 'admin', '-p', $password,
                        $self->{host});
}


sub take {
    my ($self) = @_;

    $self->{alone} = $self->alone();
}


sub to_push {
    my ($self, $to) = @_;

    return $self->crane('push', $self->{alone}, $self->at($to));
}


sub to_pull {
    my ($self, $from) = @_;

    $self->{got} = $self->place('image');

    return $self->crane('pull', '--format', 'oci', $self->at($from),
                        $self->{got});
}


sub same {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->same_bytes("$self->{got}/blobs/sha256");
}


sub to_list {
    my ($self, $repository) = @_;

    return $self->crane('ls', $self->at($repository));
}


sub to_delete {
    my ($self, $repository, $tag) = @_;

    return $self->crane('delete', $self->at("$repository:$tag"));
}


package Clients::Tools::Oras;

use parent -norequire, 'Clients::Tools';

use Clients;

sub programs { return 'oras' }


sub oras {
    my ($self, @what) = @_;

    return ('env', "SSL_CERT_FILE=$self->{trusted}", 'oras', @what);
}


sub login {
    my ($self, $password) = @_;

    return $self->oras('login', '-u', 'admin', '-p', $password, $self->{host});
}


sub to_push {
    my ($self, $to) = @_;

    return $self->oras('cp', '--from-oci-layout',
                       "$self->{layout}{dir}:image", $self->at($to));
}


sub to_pull {
    my ($self, $from) = @_;

    $self->{got} = $self->place('image');

    return $self->oras('cp', $self->at($from), '--to-oci-layout',
                       "$self->{got}:1");
}


sub same {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->same_bytes("$self->{got}/blobs/sha256");
}


sub to_list {
    my ($self, $repository) = @_;

    return $self->oras('repo', 'tags', $self->at($repository));
}


sub to_delete {
    my ($self, $repository, $tag) = @_;

    return $self->oras('manifest', 'delete', '-f',
                       $self->at("$repository:$tag"));
}

1;
