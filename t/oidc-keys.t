#!/usr/bin/perl

# Users of OpenID providers whose keys are fetched: requests that wait for keys,
# new keys, and providers that do not answer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::OIDC;
use ACR::Provider;
use JSON::PP qw(encode_json);
use MIME::Base64 qw(encode_base64);

my $NOBODY = '00000000-0000-0000-0000-000000000000';
my $WELL_KNOWN = '/.well-known/openid-configuration';

my $dir = work_dir();
my $provider = ACR::Provider->start($dir);
my $url = $provider->url();

# by discovery, by a URL, and one that is not there yet
my %idp = map { $_ => ACR::OIDC->new("$url/$_", $dir, kid => 'first') }
          qw(found named down);

$provider->answers(
    "/found$WELL_KNOWN" => { stall => 1 },
    '/found/keys' => { body => $idp{found}->jwks() },
    '/named/keys' => { stall => 1 },
    '/down/keys' => { status => 500 });

my $acr = start(http => <<"CONF");
    acr_auth on;
    acr_auth_failures 0;
    acr_oidc_issuer $url/found audience=acr prefix=found:;
    acr_oidc_issuer $url/named audience=acr prefix=named:
                    jwks=$url/named/keys;
    acr_oidc_issuer $url/down audience=acr prefix=down: jwks=$url/down/keys;
CONF


# --- the first keys

my %waits = map { $_ => exchange($_, $idp{$_}->token()) } qw(found named);
my $gone = exchange('found', $idp{found}->token());
my $basic = $acr->connect();
$basic->begin('GET', '/v2/', headers => [Authorization => 'Basic '
    . encode_base64("$NOBODY:" . $idp{named}->token(), '')]);

ok(wait_for(sub { $provider->requests(qr{ /named/keys}) }),
   'keys are asked for at start');
refused(answer_of('down', $idp{down}->token()), 503, 'UNAVAILABLE',
        'a provider that has none');
ok($waits{$_}->usable(), "$_: who needs keys waits for them")
    for sort keys %waits;
answers($acr->get('/v2/'), 401, 'others do not');

$gone->abort();
$acr->reload();
ok(wait_for(sub { $provider->requests(qr{ /found$WELL_KNOWN}) == 2 }),
   'new workers ask anew');
ok($waits{$_}->usable(), "$_: and who waits goes on") for sort keys %waits;

$provider->answers(
    "/found$WELL_KNOWN" => { body => encode_json({
        issuer => "$url/found", jwks_uri => "$url/found/keys" }) },
    '/named/keys' => { body => $idp{named}->jwks() });

answers($waits{$_}->answer('POST'), 200, "$_: until keys are there")
    for sort keys %waits;
answers($basic->answer('GET'), 200, 'as Basic, too');
answers(answer_of($_, $idp{$_}->token()), 200, "$_: the new worker has them")
    for sort keys %waits;

answers(answer_of('found', $idp{named}->token({ iss => "$url/found" })), 401,
        'keys of one are not those of the other');


# --- a provider that comes back

$provider->answers('/down/keys' => { body => $idp{down}->jwks() });
ok(wait_for(sub {
    answer_of('down', $idp{down}->token())->status() == 200;
}), 'a provider that has some in the end');


# --- other keys

my $before = $idp{named}->token({ sub => 'before' });
$idp{named}->rotate('second');
$provider->answers('/named/keys' => { body => encode_json({
    keys => [$idp{named}->jwk($idp{named}{keys}[0])] }) });

my $asked = () = $provider->requests(qr{ /named/keys});
my $since = time();
my $count = 0;

ok(wait_for(sub {
    $count++;
    answer_of('named', $idp{named}->token({ jti => $count }))->status() == 200;
}, 30), 'a key that is not known is fetched');

my $fetched = () = $provider->requests(qr{ /named/keys});
cmp_ok($fetched - $asked, '<=', 1 + (time() - $since) / 10,
       "not each time that it is asked for: $count");
cmp_ok($fetched - $asked, '>=', 1, 'but then');
answers(answer_of('named', $before), 401, 'what is not there any more is over');
answers(answer_of('found', $idp{found}->token()), 200,
        'others are as they were');


# --- a provider that goes away

$provider->answers('/down/keys' => { status => 500 });
ok(wait_for(sub {
    answer_of('down', $idp{down}->token({}, { kid => 'x' }))->status() == 503;
}), 'a key that cannot be asked for');
answers(answer_of('down', $idp{down}->token()), 200,
        'those that are known are kept');

finish();


sub exchange {
    my ($name, $token) = @_;

    my $http = $acr->connect();
    my $body = "grant_type=access_token&access_token=$token";

    $http->begin('POST', '/oauth2/exchange', headers => [
        'Content-Type' => 'application/x-www-form-urlencoded',
        'Content-Length' => length($body)]);
    $http->send($body);

    return $http;
}


sub answer_of {
    my $http = exchange(@_);
    my $answer = $http->answer('POST');

    $http->close();

    return $answer;
}
