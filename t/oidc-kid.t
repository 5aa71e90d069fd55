#!/usr/bin/perl

# A token that names no key: one of somebody else beside acr_identity, and one
# of a provider that has a new key.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::OIDC;
use ACR::Provider;

my $NOBODY = '00000000-0000-0000-0000-000000000000';

my $dir = work_dir();
my $server = ACR::Provider->start($dir);
my $url = $server->url();
my $idp = ACR::OIDC->new("$url/one", $dir, kid => undef);

$server->answers('/one/keys' => { body => $idp->jwks() });

my $acr = start(http => "acr_auth on; acr_auth_failures 0;
                acr_identity \$arg_who; acr_role user:alice AcrPull;
                acr_oidc_issuer $url/one audience=acr prefix=one:
                    jwks=$url/one/keys;");

my $foreign = $idp->token({}, { kid => undef });

answers($acr->as($foreign)->get('/v2/?who=alice'), 200,
        'a token of somebody else that names no key is left to nginx');
answers($acr->as('x.y.z')->get('/v2/?who=alice'), 200,
        'as any other is');

ok(wait_for(sub {
    $acr->as($NOBODY, $foreign)->get('/v2/')->status() == 200;
}), 'the provider\'s users have it as a password');

# the keys were asked for lately, so this may take ten seconds
$idp->rotate(undef);
shift(@{ $idp->{keys} }) if @{ $idp->{keys} } > 2;
$server->answers('/one/keys' => { body => $idp->jwks() });
my $count = 0;
ok(wait_for(sub {
    $acr->as($NOBODY, $idp->token({ jti => ++$count }, { kid => undef }))
        ->get('/v2/')->status() == 200;
}, 25), 'after a new key, too');

finish();
