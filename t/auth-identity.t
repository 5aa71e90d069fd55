#!/usr/bin/perl

# Users whom nginx has verified (acr_identity), and what else their requests
# have: a token of the registry is good for no more than it is for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use JSON::PP ();

my $HOST = 'registry.test';

# who in the arguments is verified, as a certificate would be
my $conf = 'acr_auth on; acr_auth_failures 3;
            acr_identity $arg_who;
            acr_role user:alice AcrPush team/*;
            map $http_x_service $service {
                default $http_x_service; "" registry.test; }';
my $acr = start(http => $conf, location => 'acr_service $service;',
                server => 'location /acr/admin/ { acr_admin; }');

my $password = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true })
               ->{passwords}[0]{value};
my $admin = $acr->as('admin', $password);
$admin->push_image($_, 'v1', $_) for qw(team/app lib/app);

answers(push_of($acr), 202, 'a user pushes');
answers($acr->get('/v2/lib/app/manifests/v1?who=alice'), 401,
        'but has no right elsewhere');
answers(push_of($admin), 202, 'a password beside it is not looked at');
answers($admin->get('/v2/lib/app/manifests/v1?who=alice'), 401,
        'nor gives it a right');


# --- with a token of the registry

my $pull = token($acr, '&who=alice&scope=repository:team/app:pull');
my $with = $acr->as($pull);
answers($with->get('/v2/team/app/manifests/v1?who=alice'), 200,
        'a token for pulls pulls');
challenged(push_of($with), 'insufficient_scope', 'and does not push');
answers($with->get('/v2/team/app/manifests/v1'), 200, 'without the user, too');
is_deeply(access(token($with, '&who=alice&scope=repository:team/app:push')),
          [], 'nor is it turned into one that does');
answers($acr->as(token($admin, '&scope=repository:lib/app:pull'))
            ->get('/v2/lib/app/manifests/v1?who=alice'), 200,
        'the token says who it is');

for my $case (
    ['of another service',
     token($acr, '&who=alice&scope=repository:team/app:pull,push',
           'X-Service' => 'other')],
    ['with another signature', substr($pull, 0, -8) . 'AAAAAAAA'],
    ['for refreshing', $acr->get("/oauth2/token?service=$HOST&who=alice"
                                 . '&offline_token=true')
                           ->json()->{refresh_token}])
{
    challenged(push_of($acr->as($case->[1])), 'invalid_token',
               "a token $case->[0]");
}


# --- with one of somebody else, that nginx may have verified

my $other = start(http => 'acr_auth on; acr_anonymous_pull team/*;');
my $foreign = token($other, '&scope=repository:team/app:pull');
answers($other->as($foreign)->get('/v2/team/app/manifests/v1'), 404,
        'a token of another registry');

for my $case (['with a key that is not known', $foreign],
              ['that is no JSON Web Token', 'opaque'],
              ['that is longer', 'x' x 7000],
              ['of another algorithm',
               'eyJhbGciOiJIUzI1NiJ9.e30.MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz'])
{
    answers(push_of($acr->as($case->[1])), 202, "a token $case->[0]");
}

answers(push_of($acr->as("${foreign}x$_")), 202, 'it is no guess')
    for 1 .. 35;
answers($acr->as('admin', $password)->get('/v2/'), 200, 'nobody is stopped');
challenged($acr->as($foreign)->post('/v2/team/app/blobs/uploads/', body => ''),
           'invalid_token', 'without a user it is wrong');

finish();


sub push_of {
    my ($client) = @_;

    return $client->post('/v2/team/app/blobs/uploads/?who=alice', body => '');
}


sub challenged {
    my ($got, $error, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answers($got, 401, $name);
    like($got->header('WWW-Authenticate') || '', qr/,error="$error"$/,
         "$name: $error");
}


sub token {
    my ($client, $query, @headers) = @_;

    my $answer = $client->get("/oauth2/token?service=$HOST$query",
                              headers => \@headers);
    die 'no token: ' . $answer->text() . "\n" if $answer->status() != 200;

    return $answer->json()->{token};
}


sub access {
    my ($token) = @_;

    return (jwt($token))[1]{access};
}
