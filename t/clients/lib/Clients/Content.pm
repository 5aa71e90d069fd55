package Clients::Content;

# An OCI layout (the directory that skopeo, umoci and oras read and write)
# with a small image for two platforms and a Helm chart.

use strict;
use warnings;

use Digest::SHA;
use File::Path qw(make_path);
use JSON::PP ();

my $OCI = 'application/vnd.oci.image';
my $HELM = 'application/vnd.cncf.helm';
my $TIME = '2024-01-01T00:00:00Z';

my $JSON = JSON::PP->new->utf8->canonical;


# layout(DIRECTORY, TREE): makes it, from the file system TREE if given.
# Returns dir, tree, and the descriptors image (linux/amd64), index and chart;
# these are also the names of the references in it.
sub layout {
    my ($dir, $tree) = @_;

    my $self = bless({ dir => $dir });
    make_path("$dir/blobs/sha256");
    put_file("$dir/oci-layout", '{"imageLayoutVersion":"1.0.0"}');

    $self->{tree} = $tree || make_tree("$dir.tree");

    # a layer with files, one that does not compress, one that is tiny
    my @layers = ($self->layer($self->{tree}),
                  $self->layer(make_data("$dir.data", 6 << 20)));
    my $small = $self->layer(make_data("$dir.small", 1));
    my $other = $self->layer(make_data("$dir.other", 2));

    $self->{image} = $self->image('amd64', @layers, $small);
    my $arm = $self->image('arm64', @layers, $other);

    $self->{index} = $self->json("$OCI.index.v1+json", {
        schemaVersion => 2,
        mediaType => "$OCI.index.v1+json",
        manifests => [platform('amd64', $self->{image}),
                      platform('arm64', $arm)],
        annotations => { 'org.opencontainers.image.created' => $TIME },
    });

    $self->{chart} = $self->chart();

    put_file("$dir/index.json", $JSON->encode({
        schemaVersion => 2,
        manifests => [map { named($_, $self->{$_}) } qw(image index chart)],
    }));

    return $self;
}


# digests(DESCRIPTOR): of what it describes and all below that, sorted
sub digests {
    my ($self, $descriptor) = @_;

    my %seen = map { $_ => 1 } $self->below($descriptor);
    return [sort keys %seen];
}


sub below {
    my ($self, $descriptor) = @_;

    return $descriptor->{digest}
        if $descriptor->{mediaType} !~ /(?:manifest|index)\.v1/;

    my $manifest = $self->manifest($descriptor);

    return ($descriptor->{digest},
            map { $self->below($_) } grep { defined } $manifest->{config},
            @{$manifest->{layers} // []}, @{$manifest->{manifests} // []});
}


# manifest(DESCRIPTOR): what it describes
sub manifest {
    my ($self, $descriptor) = @_;

    open(my $fh, '<:raw', $self->path($descriptor)) or die "open: $!";
    local $/;
    return $JSON->decode(scalar(<$fh>));
}


sub path {
    my ($self, $descriptor) = @_;

    return "$self->{dir}/blobs/" . ($descriptor->{digest} =~ s{:}{/}r);
}


sub image {
    my ($self, $architecture, @layers) = @_;

    my $config = $self->json("$OCI.config.v1+json", {
        architecture => $architecture,
        os => 'linux',
        created => $TIME,
        config => { Cmd => ['/bin/sh'], Env => ['PATH=/bin'] },
        rootfs => { type => 'layers',
                    diff_ids => [map { $_->{diff_id} } @layers] },
        history => [map { { created => $TIME, created_by => 'tar' } } @layers],
    });

    return $self->json("$OCI.manifest.v1+json", {
        schemaVersion => 2,
        mediaType => "$OCI.manifest.v1+json",
        config => $config,
        layers => [map { descriptor($_) } @layers],
    });
}


sub chart {
    my ($self) = @_;

    my $top = "$self->{dir}.chart";
    my %meta = (apiVersion => 'v2', name => 'web', version => '0.1.0',
                type => 'application', description => 'A chart');

    put_file("$top/web/Chart.yaml",
             join('', map { "$_: $meta{$_}\n" } sort keys %meta));
    put_file("$top/web/values.yaml", "replicas: 1\n");
    put_file("$top/web/templates/config.yaml",
             "apiVersion: v1\nkind: ConfigMap\n"
             . "metadata:\n  name: {{ .Release.Name }}\n");

    my $layer = $self->layer($top);

    return $self->json("$OCI.manifest.v1+json", {
        schemaVersion => 2,
        mediaType => "$OCI.manifest.v1+json",
        config => $self->json("$HELM.config.v1+json", \%meta),
        layers => [{ %{descriptor($layer)},
                     mediaType => "$HELM.chart.content.v1.tar+gzip" }],
        annotations => { 'org.opencontainers.image.title' => 'web',
                         'org.opencontainers.image.version' => '0.1.0' },
    });
}


# layer(DIRECTORY): the descriptor of its tar, with diff_id
sub layer {
    my ($self, $tree) = @_;

    my $tar = "$self->{dir}.tar";

    system('tar', '--sort=name', '--mtime=@0', '--owner=0', '--group=0',
           '--numeric-owner', '-C', $tree, '-cf', $tar, '.') == 0
        or die "tar: $?";
    my $diff_id = digest($tar);
    system('gzip', '-1nf', $tar) == 0 or die "gzip: $?";

    return { %{$self->add("$tar.gz", "$OCI.layer.v1.tar+gzip")},
             diff_id => $diff_id };
}


# add(FILE, TYPE): moves it into the layout; its descriptor
sub add {
    my ($self, $path, $type) = @_;

    my $digest = digest($path);
    my $size = -s $path;

    rename($path, $self->{dir} . '/blobs/' . ($digest =~ s{:}{/}r))
        or die "$path: $!";

    return { mediaType => $type, digest => $digest, size => $size };
}


sub json {
    my ($self, $type, $value) = @_;

    put_file("$self->{dir}.json", $JSON->encode($value));
    return $self->add("$self->{dir}.json", $type);
}


# only(DIRECTORY, NAME): a layout in which nothing but NAME is
sub only {
    my ($self, $dir, $name) = @_;

    for my $digest (@{$self->digests($self->{$name})}) {
        my $blob = 'blobs/' . ($digest =~ s{:}{/}r);
        make_path("$dir/blobs/sha256");
        link("$self->{dir}/$blob", "$dir/$blob") or die "$dir/$blob: $!";
    }

    put_file("$dir/oci-layout", '{"imageLayoutVersion":"1.0.0"}');
    put_file("$dir/index.json", $JSON->encode({
        schemaVersion => 2, manifests => [$self->{$name}],
    }));
}


sub descriptor {
    my ($layer) = @_;

    return { map { $_ => $layer->{$_} } qw(mediaType digest size) };
}


sub platform {
    my ($architecture, $descriptor) = @_;

    return { %$descriptor, platform => { os => 'linux',
                                         architecture => $architecture } };
}


sub named {
    my ($name, $descriptor) = @_;

    return { %$descriptor,
             annotations => { 'org.opencontainers.image.ref.name' => $name } };
}


sub digest {
    return 'sha256:' . Digest::SHA->new(256)->addfile($_[0], 'b')->hexdigest();
}


# A minimal file system: busybox, or the shell if there is none.
sub make_tree {
    my ($tree) = @_;

    my ($busybox) = grep { -x } qw(/bin/busybox /usr/bin/busybox);
    my $program = $busybox // '/bin/sh';

    make_path(map { "$tree/$_" } qw(bin etc tmp var/empty));
    system('cp', '-L', $program, "$tree/bin/busybox") == 0 or die "cp: $?";
    system('cp', '-L', '/etc/os-release', "$tree/etc/") == 0 or die "cp: $?";
    chmod(01777, "$tree/tmp");

    for (qw(sh ls cat cp mv rm ln echo)) {
        symlink('busybox', "$tree/bin/$_") or die "symlink: $!";
    }
    put_file("$tree/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    put_file("$tree/etc/empty", '');

    return $tree;
}


# Bytes that cannot be compressed, and differ in each run.
sub make_data {
    my ($tree, $size) = @_;

    open(my $fh, '<:raw', '/dev/urandom') or die "/dev/urandom: $!";
    read($fh, my $data, $size) == $size or die "/dev/urandom: $!";
    put_file("$tree/var/data", $data);

    return $tree;
}


sub put_file {
    my ($path, $content) = @_;

    make_path($path =~ s{/[^/]*$}{}r);
    open(my $fh, '>:raw', $path) or die "$path: $!";
    print $fh $content or die "$path: $!";
    close($fh) or die "$path: $!";
}


1;
