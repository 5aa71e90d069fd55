package ACR::Data;

# The data endpoint: secrets, and addresses as docs/edge.md describes them.

use strict;
use warnings;

use ACR;
use Digest::SHA qw(hmac_sha256_base64 hmac_sha256_hex sha256_hex);
use Exporter qw(import);

our @EXPORT = qw(secret signed path_of expires_of);

my %secret;


# secret(NAME): the file of a secret, which is made
sub secret {
    my ($name) = @_;

    my $file = work_dir() . "/data-$name.key";

    if (!$secret{$name}) {
        $secret{$name} = sha256_hex("secret $name");
        spew($file, "$secret{$name}\n");
        chmod(0600, $file) or die "chmod: $!\n";
    }

    return $file;
}


# signed(NAME, DIGEST, EXPIRES): the path and arguments of an address
sub signed {
    my ($name, $digest, $expires) = @_;

    secret($name);

    my $id = substr(hmac_sha256_hex('acr data key id', $secret{$name}), 0, 8);
    my $sig = hmac_sha256_base64("GET $digest $expires", $secret{$name})
              =~ tr{+/}{-_}r;

    return '/acr/data/' . $digest =~ s{:}{/}r
           . "?expires=$expires&key=$id&sig=$sig";
}


# path_of(URL): what is behind the host
sub path_of {
    my ($url) = @_;

    return $url =~ s{^https?://[^/]+}{}r;
}


sub expires_of {
    my ($url) = @_;

    return $url =~ /[?&]expires=(\d+)/ ? $1 : 0;
}

1;
