package ACR::Content;

# Content to push: bytes, digests, manifests.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex sha512 sha512_hex);
use Exporter qw(import);
use JSON::PP;

our @EXPORT = qw(bytes digest descriptor image index_of encode with
                 $IMAGE $INDEX $CONFIG $LAYER);

our $IMAGE = 'application/vnd.oci.image.manifest.v1+json';
our $INDEX = 'application/vnd.oci.image.index.v1+json';
our $CONFIG = 'application/vnd.oci.image.config.v1+json';
our $LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

# mediaType comes first, as most clients have it
my $json = JSON::PP->new()->utf8()->sort_by(sub {
    rank($JSON::PP::a) . $JSON::PP::a cmp rank($JSON::PP::b) . $JSON::PP::b
});


sub rank {
    my ($name) = @_;

    return $name eq 'schemaVersion' ? 0 : $name eq 'mediaType' ? 1 : 2;
}


# bytes(SIZE, SEED): always the same, unlike those of another seed, and unlike
# one another in every block of 64 bytes
sub bytes {
    my ($size, $seed) = @_;

    $seed = 'seed' if !defined $seed;

    my $block = join('', map { sha512("$seed $_") } 0 .. 1023);
    my $bytes = '';

    for (my $i = 0; length($bytes) < $size; $i++) {
        my $mask = sha512("$seed mask $i");
        $bytes .= $block ^ ($mask x 1024);
    }

    return substr($bytes, 0, $size);
}


sub digest {
    my ($bytes, $algorithm) = @_;

    return ($algorithm || 'sha256') eq 'sha512'
        ? 'sha512:' . sha512_hex($bytes) : 'sha256:' . sha256_hex($bytes);
}


# descriptor(BYTES, TYPE, MORE)
sub descriptor {
    my ($bytes, $type, %more) = @_;

    return { mediaType => $type, digest => digest($bytes),
             size => length($bytes), %more };
}


# image(CONFIG, [LAYER, ...], MORE): the JSON of an image manifest; what is in
# MORE is added, or removed if it is undef
sub image {
    my ($config, $layers, %more) = @_;

    return encode({ schemaVersion => 2, mediaType => $IMAGE,
                    config => descriptor($config, $CONFIG),
                    layers => [map { descriptor($_, $LAYER) } @$layers],
                    %more });
}


# index_of([MANIFEST, ...], MORE): the JSON of an index; an entry is the JSON of
# a manifest or a descriptor
sub index_of {
    my ($entries, %more) = @_;

    my @manifests = map { ref($_) ? $_ : descriptor($_, $IMAGE) } @$entries;

    return encode({ schemaVersion => 2, mediaType => $INDEX,
                    manifests => \@manifests, %more });
}


# encode(HASH): JSON, without what is undef
sub encode {
    my ($hash) = @_;

    my %kept = map { $_ => $hash->{$_} } grep { defined $hash->{$_} }
               keys %$hash;

    return $json->encode(\%kept);
}


# with(LOCATION, NAME => VALUE, ...): the location with more arguments
sub with {
    my ($location, @arguments) = @_;

    while (my ($name, $value) = splice(@arguments, 0, 2)) {
        $value =~ s/([^A-Za-z0-9._~:-])/sprintf('%%%02X', ord($1))/ge;
        $location .= ($location =~ /\?/ ? '&' : '?') . "$name=$value";
    }

    return $location;
}

1;
