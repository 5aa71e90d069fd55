package ACR::Remote;

# What the tests of registries elsewhere share.
#
#   my $acr = start(server => $ADMIN, http => 'acr_remote up.test http://...;');
#   my $outcome = check($acr, 'up.test', repository => 'a/b');
#   my $state = remote($acr, 'up.test');

use strict;
use warnings;

use ACR::Fault;
use ACR::Index;
use Exporter qw(import);
use MIME::Base64 qw(encode_base64);
use Test::More;

our @EXPORT = qw($ADMIN check remote comes_of bearer basic token);

our $ADMIN = 'location /acr/admin/ { acr_admin; }';


# check(NODE, HOST, ARGUMENTS): what comes of asking the remote
sub check {
    my ($acr, $host, %argument) = @_;

    my $query = join('&', map { "$_=$argument{$_}" } sort keys %argument);
    my $answer = admin($acr, 'POST', "remotes/$host/check"
                                     . ($query ne '' ? "?$query" : ''));

    return { result => 'none: ' . ($answer ? $answer->text() : 'closed') }
        if !$answer || $answer->status() != 200;

    return $answer->json();
}


# remote(NODE, HOST): its state
sub remote {
    my ($acr, $host) = @_;

    return admin($acr, 'GET', "remotes/$host")->json();
}


# comes_of(OUTCOME, RESULT, ERROR, NAME): a test; ERROR is a pattern, or undef
sub comes_of {
    my ($outcome, $result, $error, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $said = defined $outcome->{error} ? $outcome->{error} : '';

    return ok($outcome->{result} eq $result
              && (defined $error ? $said =~ $error : $said eq ''), $name)
        || diag("$outcome->{result}, \"$said\"");
}


# bearer(REALM, MORE): a rule of ACR::Provider that asks for a token; more:
# parameters of the challenge, with => as there
sub bearer {
    my ($realm, %more) = @_;

    my $with = delete $more{with};
    my $challenge = join(',', "realm=\"$realm\"",
                         map { "$_=\"$more{$_}\"" } sort keys %more);

    return { status => 401, headers => ["WWW-Authenticate: Bearer $challenge"],
             body => "{\"errors\":[]}\n", with => $with || {} };
}


# basic(USER, PASSWORD): a value of Authorization
sub basic {
    my ($user, $password) = @_;

    return 'Basic ' . encode_base64("$user:$password", '');
}


# token(TEXT): a rule that gives this token
sub token {
    my ($token) = @_;

    return { body => "{\"token\":\"$token\",\"expires_in\":300}" };
}

1;
