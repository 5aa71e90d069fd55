#!/usr/bin/perl

# Keys come over https, or over http from this machine only: neither a proxy,
# nor a discovery document, nor a redirect makes it otherwise.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::OIDC;
use ACR::Provider;
use JSON::PP qw(encode_json);

my $WELL_KNOWN = '/.well-known/openid-configuration';
my $KEYS = 'http://keys.example.com';

my $dir = work_dir();
my $server = ACR::Provider->start($dir);
my $proxy = ACR::Provider->start($dir);
my $url = $server->url();
my $idp = ACR::OIDC->new($url, $dir, kid => 'k');

# both answer the same, so that it does not matter who is asked first
for my $who ($server, $proxy) {
    $who->answers(
        "/named$WELL_KNOWN" => { body => encode_json({
            issuer => "$url/named", jwks_uri => "$KEYS/named/keys" }) },
        '/named/keys' => { body => $idp->jwks() },
        '/moved/keys' => { status => 302,
                           location => "$KEYS/moved/elsewhere" },
        '/moved/elsewhere' => { body => $idp->jwks() },
        '/here/keys' => { body => $idp->jwks() });
}

my $acr = start(http => <<"CONF");
    acr_auth on;
    acr_fetch_proxy http://127.0.0.1:$proxy->{port};
    acr_oidc_issuer $url/named audience=acr prefix=named:;
    acr_oidc_issuer $url/moved audience=acr prefix=moved:
                    jwks=$url/moved/keys;
    acr_oidc_issuer $url/here audience=acr prefix=here:
                    jwks=$url/here/keys;
CONF
$acr->allow(qr/cannot get its/);

for my $name (qw(named moved here)) {
    ok(wait_for(sub { $acr->log_text()
                      =~ m{issuer "\Q$url/$name\E": (?:\d|cannot)} }),
       "$name: done");
}

unlike($acr->log_text(), qr{/named": 1 keys},
       'keys that the document names at another host, over http');
unlike($acr->log_text(), qr{/moved": 1 keys},
       'keys to which another host is redirected to, over http');
is(scalar($proxy->requests(qr{/here/keys})), 0,
   'what is of this machine is not asked of the proxy');

finish();
