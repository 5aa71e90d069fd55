package ACR::Secure;

# An nginx whose clients come by TLS, to its tls_port and under a name.  They
# verify its certificate: each connection is one of "openssl s_client".

use strict;
use warnings;

use parent -norequire, 'ACR::Node';

use ACR::HTTP;
use ACR::Node;
use ACR::Process;
use Fcntl qw(F_SETFD);
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

our $NAME = 'registry.example.com';


# of(NODE): makes it one, with a certificate
sub of {
    my ($class, $node) = @_;

    my $dir = $node->{dir};

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -subj /CN=$NAME -addext subjectAltName=DNS:$NAME -days 2 "
           . "-keyout $dir/tls.key -out $dir/tls.crt 2> $dir/openssl.log") == 0
        or die "openssl has failed\n";

    return bless($node, $class);
}


# connect(NAME): with another name in the handshake
sub connect {
    my ($self, $name) = @_;

    $name = $NAME if !defined $name;

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair: $!\n";

    my $dir = $self->{dir};
    my $fd = fileno($theirs);

    fcntl($theirs, F_SETFD, 0) or die "fcntl: $!\n";
    ACR::Process->spawn("$dir/s_client.log", 'bash', '-c',
        "exec openssl s_client -quiet -no_ign_eof -nocommands "
        . "-verify_quiet -verify_return_error -verify_hostname $NAME "
        . "-servername $name -CAfile $dir/tls.crt "
        . "-connect 127.0.0.1:$self->{tls_port} <&$fd >&$fd $fd>&-");
    CORE::close($theirs);
    binmode($ours);
    $ours->blocking(0);

    return bless({ socket => $ours, in => '', pid => $$ }, 'ACR::HTTP');
}


# as ACR::Client, with the name
sub request {
    my ($self, $method, $target, %option) = @_;

    my @headers = @{ $option{headers} || [] };
    unshift(@headers, Host => $NAME) if !ACR::HTTP::has(\@headers, 'host');

    return $self->SUPER::request($method, $target, %option,
                                 headers => \@headers);
}


sub answers {
    my ($self) = @_;

    return eval { $self->get('/v2/')->status() =~ /^(?:200|401)$/ };
}

1;
