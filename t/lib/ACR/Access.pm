package ACR::Access;

# The token service, and the rights that acr_admin changes.

use strict;
use warnings;

use ACR;
use ACR::Fault;
use Exporter qw(import);
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(decode_base64);

our @EXPORT = qw(form jwt ask_access change);


# form(NODE, "token" or "exchange", NAME => VALUE, ...): the answer
sub form {
    my ($acr, $what, %value) = @_;

    my $body = join('&', map { "$_=" . $value{$_} =~
                               s/([^\w.~-])/sprintf('%%%02X', ord($1))/ger }
                         sort keys %value);
    return $acr->post("/oauth2/$what", body => $body, headers => [
        'Content-Type' => 'application/x-www-form-urlencoded']);
}


# jwt(TOKEN): its header and its claims
sub jwt {
    my ($text) = @_;

    my @part = map { tr{-_}{+/}r } split(/\./, $text);
    return map { decode_json(decode_base64($_)) } @part[0, 1];
}


# ask_access(NODE, METHOD, WHAT, BODY): the answer; WHAT is what comes after
# /acr/admin/access/
sub ask_access {
    my ($acr, $method, $what, $body) = @_;

    return fresh($acr, $method, "/acr/admin/access/$what",
                 body => encode_json($body));
}


# change(as ask_access): a test that it succeeds; the object that it answers
# with, or undef
sub change {
    my ($acr, $method, $what, $body) = @_;

    my $answer = ask_access($acr, $method, $what, $body);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like($answer->status(), qr/^20[04]$/, "$method $what")
        or diag($answer->text());

    return $answer->status() == 200 ? $answer->json() : undef;
}

1;
