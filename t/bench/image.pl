#!/usr/bin/perl

# An image of three layers, pushed and pulled by skopeo from end to end, as
# many times a second as it can.  The layers are what this machine has in
# directories that every Debian has.

use strict;
use warnings;

use ACR::Content;
use Bench;
use JSON::PP ();

my $SKOPEO = 'skopeo --insecure-policy copy -q';

exit(0) if !wanted('image push') && !wanted('image pull');

my $layout = work_dir() . '/image';
my $target = work_dir() . '/target';
my $count = 0;

image_of('/usr/share/doc', '/usr/share/perl', '/usr/bin');

my @servers = (ours('ours'), others());
push_to($_, 'team/app') for @servers;

title('image', 'images a second', 'CPU an image [and Redis]');

# a repository that has nothing yet
compared('image push', sub { push_to($_[0], 'team/app' . ++$count) });
compared('image pull', sub { pull_from($_[0], 'team/app') });


sub compared {
    my ($case, $function) = @_;

    return if !wanted($case);

    my $results = rounds({ map {
        my $server = $_;
        ($server->{name} => sub {
            measure($server, sub { $function->($server); return 1 })
        })
    } @servers });

    for my $other (@servers[1 .. $#servers]) {
        row($case, 'ours', $other->{name}, $results, rate => [1, undef]);
    }
}


sub push_to {
    my ($server, $name) = @_;

    run("$SKOPEO --dest-tls-verify=false oci:$layout:latest "
        . "docker://127.0.0.1:$server->{port}/$name:latest");
}


sub pull_from {
    my ($server, $name) = @_;

    run("$SKOPEO --src-tls-verify=false "
        . "docker://127.0.0.1:$server->{port}/$name:latest dir:$target");
    system('rm', '-rf', $target);
}


# where it has seen a blob, it would ask for that to be mounted
sub run {
    my ($command) = @_;

    unlink('/var/lib/containers/cache/blob-info-cache-v1.boltdb',
           '/var/lib/containers/cache/blob-info-cache-v1.sqlite');
    system($command) == 0 or die "skopeo has failed\n";
}


# an OCI layout, whose layers are these directories
sub image_of {
    my (@directories) = @_;

    system('mkdir', '-p', "$layout/blobs/sha256") == 0 or die "mkdir\n";

    my (@layers, @ids);
    for my $directory (@directories) {
        my $tar = work_dir() . '/layer.tar';

        system("tar -cf $tar -C / ." . "$directory 2> /dev/null; "
               . "gzip -1 -k -f $tar") == 0 or die "tar\n";
        my ($id, $hex) = map { `sha256sum $_` =~ /^(\w+)/ } $tar, "$tar.gz";
        push(@ids, "sha256:$id");
        push(@layers, { mediaType => 'application/vnd.oci.image.layer.v1.tar'
                                     . '+gzip',
                        digest => "sha256:$hex", size => -s "$tar.gz" });
        rename("$tar.gz", "$layout/blobs/sha256/$hex") or die "rename: $!\n";
        unlink($tar);
    }

    my $json = JSON::PP->new()->canonical();
    my $config = blob($json->encode({
        os => 'linux', architecture => 'amd64',
        rootfs => { type => 'layers', diff_ids => \@ids } }),
        'application/vnd.oci.image.config.v1+json');
    my $manifest = blob($json->encode({
        schemaVersion => 2,
        mediaType => 'application/vnd.oci.image.manifest.v1+json',
        config => $config, layers => \@layers }),
        'application/vnd.oci.image.manifest.v1+json');

    $manifest->{annotations} = {
        'org.opencontainers.image.ref.name' => 'latest' };
    write_file("$layout/index.json", $json->encode({
        schemaVersion => 2, manifests => [$manifest] }));
    write_file("$layout/oci-layout", '{"imageLayoutVersion":"1.0.0"}');
}


# its descriptor
sub blob {
    my ($bytes, $type) = @_;

    my $digest = digest($bytes);
    write_file("$layout/blobs/sha256/" . substr($digest, 7), $bytes);

    return { mediaType => $type, digest => $digest, size => length($bytes) };
}
