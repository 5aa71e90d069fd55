package Clients::Login;

# A registry with access control, for the tests of clients that log in: the
# admin user, and a token that pulls what is below team/ and may do no more.

use strict;
use warnings;

use Clients;
use Exporter qw(import);
use HTTP::Tiny;
use Test::More;

our @EXPORT = qw(closed_registry);


# closed_registry(MORE): starts it, with more options of ACR::Node; the
# passwords of "admin" and of "puller".  Skips the test if the registry is
# somebody else's.
sub closed_registry {
    my (%option) = @_;
    my $http = delete $option{http} // '';

    plan(skip_all => 'a registry of somebody else')
        if $ENV{ACR_CLIENTS_REGISTRY};

    # of several workers each would know of a change a moment later
    registry(workers => 1, http => "acr_auth on; $http",
             server => 'location /acr/admin/ { acr_admin; }', %option);

    my $admin = change('PUT', 'admin', '{"enabled":true}');
    change('PUT', 'scope-maps/pull',
           '{"actions":["repositories/team/*/content/read"]}');
    change('PUT', 'tokens/puller', '{"scopeMap":"pull"}');
    my $puller = change('POST', 'tokens/puller/passwords/password1', '{}');

    return ($admin->{passwords}[0]{value}, $puller->{value});
}


sub change {
    my ($method, $what, $body) = @_;

    my $answer = HTTP::Tiny->new()->request($method,
        url("/acr/admin/access/$what"), { content => $body });
    die "$method $what: $answer->{content}\n" if !$answer->{success};

    return $answer->{status} == 200 ? json($answer->{content}) : undef;
}

1;
