#!/usr/bin/perl

# A token of an ordinary registry ends when it says so, also one that is
# remembered, and where acr_edge_offline is for the edge nodes beside it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::OIDC;
use JSON::PP ();

# seconds that clocks may differ, for which one that is over is good
my $SKEW = 30;

# it signs as the registry does, which has its key
my $signer = ACR::OIDC->new('o.test', work_dir());

my $acr = start(workers => 1, fsync => 'off',
                http => "acr_edge_offline 1h; acr_auth on; acr_service o.test;
                         acr_token_key $signer->{keys}[0]{file};",
                server => 'location /acr/admin/ { acr_admin; }');
my $admin = $acr->as('admin', change($acr, 'PUT', 'admin',
                                     { enabled => JSON::PP::true })
                                  ->{passwords}[0]{value});
$admin->push_blob('team/a', 'some bytes');

my ($header, $claims) = jwt($admin->get('/oauth2/token?service=o.test'
                                        . '&scope=repository:team/a:pull')
                                  ->json()->{access_token});
my $target = '/v2/team/a/blobs/' . digest('some bytes');

is(pull(-$SKEW - 1), 401, 'one that is over');

my $over = client(15 - $SKEW);
is($over->get($target)->status(), 200, 'one that is over soon');
ok(wait_for(sub { $over->get($target)->status() == 401 }, 60),
   'and then is, although it was good');

finish();


# who has a token that has ended so many seconds from now
sub client {
    my ($from_now) = @_;

    return $acr->as($signer->token({ %$claims, exp => time() + $from_now },
                                   $header));
}


sub pull { return client(@_)->get($target)->status() }
