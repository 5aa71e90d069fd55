package ACR::OIDC;

# An OpenID provider: keys, and tokens that are signed with them.
#
#   my $idp = ACR::OIDC->new('https://idp.test', work_dir());
#   spew("$dir/jwks", $idp->jwks());
#   $idp->token({ sub => 'alice' });
#
# A token has iss, aud ('acr'), sub ('alice'), iat and exp; claims and members
# of its header that are given are added, those that are undef left out.

use strict;
use warnings;

use ACR::Node;
use Digest::SHA qw(hmac_sha256);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $JSON = JSON::PP->new()->canonical()->utf8();
my $count = 0;


# new(ISSUER, DIR, OPTIONS): type => 'EC' or 'RSA', kid => its name
sub new {
    my ($class, $issuer, $dir, %option) = @_;

    my $self = bless({ issuer => $issuer, type => $option{type} || 'EC',
                       dir => $dir, keys => [] }, $class);

    $self->rotate($option{kid} || 'first');

    return $self;
}


# rotate(KID): a new key, with which tokens are signed from now on
sub rotate {
    my ($self, $kid) = @_;

    my $file = "$self->{dir}/idp" . ++$count . '.pem';
    my @option = $self->{type} eq 'RSA'
        ? 'RSA' : ('EC', '-pkeyopt', 'ec_paramgen_curve:P-256');

    system("openssl genpkey -algorithm @option -out $file 2> $file.log") == 0
        or die "openssl has failed\n";

    unshift(@{ $self->{keys} }, { kid => $kid, file => $file });
}


# jwks(): the public halves
sub jwks {
    my ($self) = @_;

    return $JSON->encode({ keys => [map { $self->jwk($_) }
                                    @{ $self->{keys} }] });
}


sub jwk {
    my ($self, $key) = @_;

    my %jwk = (kid => $key->{kid}, use => 'sig');

    if ($self->{type} eq 'RSA') {
        my ($n) = `openssl rsa -in $key->{file} -noout -modulus`
            =~ /Modulus=(\w+)/;
        return { %jwk, kty => 'RSA', e => 'AQAB',
                 n => base64url(pack('H*', $n)) };
    }

    my $der = `openssl ec -in $key->{file} -pubout -outform DER 2> /dev/null`;
    my ($x, $y) = map { base64url($_) } unpack('a32 a32', substr($der, -64));

    return { %jwk, kty => 'EC', crv => 'P-256', x => $x, y => $y };
}


# token(CLAIMS, HEADER): signed with the newest key
sub token {
    my ($self, $claims, $header) = @_;

    my $key = $self->{keys}[0];
    my $alg = $self->{type} eq 'RSA' ? 'RS256' : 'ES256';

    my $input = unsigned($self->claims($claims),
                         given({ alg => $alg, kid => $key->{kid}, typ => 'JWT',
                                 %{ $header || {} } }));

    return "$input." . base64url($self->signature($key, $input));
}


# what stands in a token
sub claims {
    my ($self, $claims) = @_;

    return given({ iss => $self->{issuer}, aud => 'acr', sub => 'alice',
                   iat => time() + 0, exp => time() + 300,
                   %{ $claims || {} } });
}


# without what is undef
sub given {
    my ($members) = @_;

    return { map { $_ => $members->{$_} }
             grep { defined $members->{$_} } keys %$members };
}


sub signature {
    my ($self, $key, $input) = @_;

    ACR::Node::spew("$key->{file}.in", $input);
    my $signature = `openssl dgst -sha256 -sign $key->{file} $key->{file}.in`;
    die "openssl has failed\n" if $? != 0;

    return $signature if $self->{type} eq 'RSA';

    # DER of two numbers, which may begin with a zero or be short
    return join('', map { substr(("\0" x 32) . $_, -32) }
                    unpack('x3 C/a x C/a', $signature));
}


# hmac(CLAIMS, SECRET): a token that whoever knows a public key can make
sub hmac {
    my ($self, $claims, $secret) = @_;

    my $input = unsigned($self->claims($claims),
                         { alg => 'HS256', kid => $self->{keys}[0]{kid} });

    return "$input." . base64url(hmac_sha256($input, $secret));
}


# the public half of the newest key, in PEM
sub pem {
    my ($self) = @_;

    return scalar(`openssl pkey -in $self->{keys}[0]{file} -pubout`);
}


# unsigned(CLAIMS, HEADER): what would be signed
sub unsigned {
    my ($claims, $header) = @_;

    return join('.', map { base64url($JSON->encode($_)) } $header, $claims);
}


sub base64url { return encode_base64($_[0], '') =~ tr{+/=}{-_}dr }

1;
