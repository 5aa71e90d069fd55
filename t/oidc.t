#!/usr/bin/perl

# Users of OpenID providers: tokens with keys of a file; what they may do, and
# who is not taken for them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use ACR::OIDC;
use JSON::PP ();

my $HOST = 'registry.test';
my $NOBODY = '00000000-0000-0000-0000-000000000000';
my $KC = 'https://idp.test/realms/one';
my $CI = 'https://ci.test';

my $dir = work_dir();
my $kc = ACR::OIDC->new($KC, $dir, type => 'RSA', kid => 'k');
my $ci = ACR::OIDC->new($CI, $dir, kid => 'k');
my $other = ACR::OIDC->new($KC, $dir, type => 'RSA', kid => 'k');

spew("$dir/kc.json", $kc->jwks());
spew("$dir/ci.json", $ci->jwks());

my $acr = start(http => <<"CONF", server => <<'SERVER');
    acr_auth on;
    acr_auth_failures 1000;
    acr_token_lifetime 10m;
    acr_oidc_issuer $KC audience=acr audience=other jwks=$dir/kc.json
                    prefix=kc: user=name groups=realm_access.roles;
    acr_oidc_issuer $CI audience=acr jwks=$dir/ci.json prefix=ci:
                    require=owner=acme require=kubernetes.io.namespace=build;
    acr_role user:kc:alice AcrPush team/*;
    acr_role group:kc:dev AcrPull lib/*;
    acr_role user:ci:app AcrPull team/*;
CONF
    location /acr/admin/ { acr_admin; }
SERVER

my $admin = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true });
$admin = $acr->as('admin', $admin->{passwords}[0]{value});
$admin->push_image($_, 'v1', $_) for qw(team/app lib/a secret/x);

# claims of a token that is good
my %alice = (name => 'alice', realm_access => { roles => ['dev', 'ops'] });
my %app = (sub => 'app', owner => 'acme',
           'kubernetes.io' => { namespace => 'build' });


# --- the way of ACR's clients

my $refresh = exchange($kc->token(\%alice));
my ($head, $claims) = jwt($refresh);
is($claims->{sub}, 'kc:alice', 'a refresh token for the user');
is_deeply($claims->{groups}, ['kc:dev', 'kc:ops'], 'with its groups');
is($claims->{exp} - $claims->{iat}, 3 * 3600,
   'longer than the token that it was got for');
my $got = form($acr, 'token', grant_type => 'refresh_token', service => $HOST,
               scope => 'repository:team/app:pull,push,delete',
               refresh_token => $refresh);
answers($got, 200, 'an access token');
is_deeply((jwt($got->json()->{access_token}))[1]{access},
          [{ type => 'repository', name => 'team/app',
             actions => ['pull', 'push'] }], 'for what the user may do');
my $bearer = $acr->as($got->json()->{access_token});
answers($bearer->get('/v2/team/app/manifests/v1'), 200, 'a pull');
answers($bearer->post('/v2/team/app/blobs/uploads/', body => ''), 202,
        'a push');
answers($bearer->get('/v2/lib/a/manifests/v1'), 401, 'and nothing else');

for my $type ('access_token', 'access_token_refresh_token') {
    answers(form($acr, 'exchange', grant_type => $type, service => $HOST,
                 tenant => 'x', access_token => $kc->token(\%alice),
                 refresh_token => 'of the provider'), 200, "by $type");
}
answers(form($acr, 'exchange', grant_type => 'access_token_refresh_token',
             refresh_token => $refresh), 200, 'or one of ours');
refused(form($acr, 'exchange', grant_type => 'access_token'), 400,
        'UNSUPPORTED',
        'not by nothing');
refused(form($acr, 'token', grant_type => 'access_token',
             access_token => $kc->token(\%alice)), 400, 'UNSUPPORTED',
        'nor at another resource');
refused(form($acr, 'exchange', grant_type => 'access_token',
             access_token => $got->json()->{access_token}), 400, 'UNSUPPORTED',
        'our own access token becomes no refresh token');

# it goes on as long as the first one
$claims = (jwt(form($acr, 'exchange', grant_type => 'refresh_token',
                    refresh_token => $refresh)->json()->{refresh_token}))[1];
is($claims->{sub}, 'kc:alice', 'a refresh token for a refresh token');
is_deeply($claims->{groups}, ['kc:dev', 'kc:ops'], 'keeps the groups');
is($claims->{exp}, (jwt($refresh))[1]{exp}, 'and the end');


# --- as a password

my $token = $kc->token({ %alice, exp => time() + 60 });
my $alice = $acr->as($NOBODY, $token);
answers($alice->get('/v2/'), 200, 'Basic on /v2/');
answers($alice->get('/v2/team/app/manifests/v1'), 200, 'by role');
answers($alice->get('/v2/lib/a/manifests/v1'), 200, 'by group');
answers($alice->get('/v2/secret/x/manifests/v1'), 401, 'not of others');
answers($alice->post('/v2/lib/a/blobs/uploads/', body => ''), 401,
        'a group may do what it may');
is_deeply($alice->get('/v2/_catalog')->json()->{repositories},
          ['lib/a', 'team/app'], 'the catalog');
$got = $alice->get("/oauth2/token?service=$HOST&offline_token=true"
                   . '&scope=repository:lib/a:pull,push');
answers($got, 200, 'GET /oauth2/token');
is($got->json()->{expires_in}, 600,
   'an access token lives as long as others do');
is_deeply((jwt($got->json()->{token}))[1]{access}[0]{actions}, ['pull'],
          'for what the group may');
answers($acr->as($got->json()->{token})->get('/v2/lib/a/manifests/v1'), 200,
        'and is one');
is((jwt($got->json()->{refresh_token}))[1]{sub}, 'kc:alice',
   'with a refresh token');
answers(form($acr, 'token', grant_type => 'password', username => $NOBODY,
             password => $token, scope => 'repository:lib/a:pull'), 200,
        'POST /oauth2/token');
answers($acr->as($token)->get('/v2/'), 401, 'but not as Bearer');
answers($acr->as($token)->get("/oauth2/token?service=$HOST"), 401, 'nowhere');
answers($acr->as('alice', $token)->get('/v2/'), 401, 'nor by another name');
answers($acr->as('kc:alice', $token)->get('/v2/'), 401, 'nor by its own');

# a role of access.json, to the name with its prefix
change($acr, 'PUT', 'role-assignments/a', { principal => 'user:kc:alice',
                                      role => 'AcrPull', scope => 'secret/*' });
ok(wait_for(sub {
    $alice->get('/v2/secret/x/manifests/v1')->status() == 200;
}), 'a role assignment');
change($acr, 'PUT', 'role-assignments/a', { principal => 'user:alice',
                                      role => 'AcrPull', scope => 'secret/*' });
ok(wait_for(sub {
    $alice->get('/v2/secret/x/manifests/v1')->status() == 401;
}), 'not that of the name without it');
change($acr, 'PUT', 'role-assignments/a', { principal => 'group:kc:ops',
                                      role => 'AcrPull', scope => 'secret/*' });
ok(wait_for(sub {
    $alice->get('/v2/secret/x/manifests/v1')->status() == 200;
}), 'nor is a group left out');


# one that is remembered is so until its end, which is some seconds away
my $short = $acr->as($NOBODY, $kc->token({ %alice, exp => time() - 22 }));
answers($short->get('/v2/'), 200, 'one that ends soon');


# --- who is refused

my %no = (
    'another issuer' => $kc->token({ %alice, iss => 'https://evil.test' }),
    'the issuer with a slash' => $kc->token({ %alice, iss => "$KC/" }),
    'the issuer in capitals' => $kc->token({ %alice, iss => uc($KC) }),
    'an issuer that is no text' => $kc->token({ %alice, iss => [$KC] }),
    'no issuer' => $kc->token({ %alice, iss => undef }),
    'one issuer for the other' => $kc->token({ %app, iss => $CI }),
    'the other for it' => $ci->token({ %alice, iss => $KC }),
    'the key of somebody else' => $other->token(\%alice),
    'another audience' => $kc->token({ %alice, aud => 'acr2' }),
    'audiences alike' => $kc->token({ %alice, aud => ['acr2', 'a', 'ACR'] }),
    'no audience' => $kc->token({ %alice, aud => undef }),
    'no name' => $kc->token({ %alice, name => undef }),
    'an empty name' => $kc->token({ %alice, name => '' }),
    'a name with a line' => $kc->token({ %alice, name => "a\nb" }),
    'a name that is too long' => $kc->token({ %alice, name => 'a' x 126 }),
    'a name that is a list' => $kc->token({ %alice, name => ['alice'] }),
    'a name that is a number' => $kc->token({ %alice, name => 1 }),
    'no end' => $kc->token({ %alice, exp => undef }),
    'an end that is a text' => $kc->token({ %alice, exp => '9999999999' }),
    'not valid yet' => $kc->token({ %alice, nbf => time() + 100 }),
    'a begin that is a text' => $kc->token({ %alice, nbf => 'now' }),
    'over' => $kc->token({ %alice, exp => time() - 31 }),
    'a key that nobody has' => $kc->token(\%alice, { kid => 'x' }),
    'a key that is a path' => $kc->token(\%alice, { kid => '../kc.json' }),
    'a key that is a number' => $kc->token(\%alice, { kid => 1 }),
    'a long key' => $kc->token(\%alice, { kid => 'k' x 300 }),
    'a token of a logout' => $kc->token({ %alice, events => {} }),
    'one that says so' => $kc->token(\%alice, { typ => 'logout+jwt' }),
    'another algorithm' => $kc->token(\%alice, { alg => 'RS384' }),
    'crit' => $kc->token(\%alice, { crit => ['exp'] }),
    'HMAC with the public key' => $kc->hmac(\%alice, $kc->pem()),
    'HMAC with the key set' => $kc->hmac(\%alice, $kc->jwks()),
    'alg none' => ACR::OIDC::unsigned($kc->claims(\%alice),
                                      { alg => 'none' }) . '.',
    'no signature' => ACR::OIDC::unsigned($kc->claims(\%alice),
                                          { alg => 'RS256', kid => 'k' }) . '.',
    'half a token' => substr($kc->token(\%alice), 0, 200),
    'the last letter' => substr($kc->token(\%alice), 0, -1),
    'a part more' => $kc->token(\%alice) . '.x',
    'a long one' => $kc->token({ %alice, x => 'x' x 12000 }),
    'a deep one' => join('.', map { ACR::OIDC::base64url($_) }
                         '{"alg":"RS256"}', '{"iss":' . '[' x 5000, 'x'),
    'what a claim requires' => $ci->token({ %app, owner => 'acme2' }),
    'of another type' => $ci->token({ %app, owner => { acme => 'acme' } }),
    'at all' => $ci->token({ %app, owner => undef }),
    'on a path' => $ci->token({ %app, 'kubernetes.io' => { namespace => '' } }),
    'a path that is a name' => $ci->token({ %app, 'kubernetes.io' => 'build' }),
);

for my $name (sort keys %no) {
    refused(form($acr, 'exchange', grant_type => 'access_token',
                 access_token => $no{$name}), 401, 'UNAUTHORIZED',
            "refused: $name");
}

answers($acr->as($NOBODY, $no{over})->get('/v2/'), 401, 'Basic: over');
answers($acr->as($NOBODY, $no{'alg none'})->get('/v2/'), 401,
        'Basic: alg none');

# what only looks alike
my %yes = (
    'a list of audiences' => $kc->token({ %alice, aud => ['x', 'other'] }),
    'a while over' => $kc->token({ %alice, exp => time() - 5 }),
    'another party' => $kc->token({ %alice, azp => 'another', nonce => 'x' }),
    'an access token' => $kc->token(\%alice, { typ => 'at+jwt' }),
    'no typ' => $kc->token(\%alice, { typ => undef }),
    'a list that has it' => $ci->token({ %app, owner => ['x', 'acme'] }),
    'the name as it is' => $ci->token({ %app, 'kubernetes.io' => {},
                                        'kubernetes.io.namespace' => 'build' }),
);

exchange($yes{$_}, $_) for sort keys %yes;


# --- names

is(who($ci->token(\%app)), 'ci:app', 'a name of the other issuer');
is(who($kc->token({ %alice, name => 'app' })), 'kc:app',
   'is not that of the first');
is(who($kc->token({ %alice, name => 'admin' })), 'kc:admin', 'nor the admin');
answers($acr->as($NOBODY, $kc->token({ %alice, name => 'admin',
                                       realm_access => {},
                                       kind => 'admin',
                                       grant_type => 'refresh_token',
                                       access => [{ type => 'repository',
                                                    name => '*',
                                                    actions => ['pull'] }] }))
            ->get('/v2/secret/x/manifests/v1'), 401,
        'what our own tokens say is nothing in one of others');

# groups of all shapes
for my $case (
    [['a', 'b'], ['kc:a', 'kc:b'], 'a list'], ['one', ['kc:one'], 'one'],
    [[], undef, 'none'], [{}, undef, 'an object'], [5, undef, 'a number'],
    [['a', 5, {}, ['b'], '', "x\ty", ' b', 'c '], ['kc:a'], 'only names'],
    [[map { "g$_" } 1 .. 100], [map { "kc:g$_" } 1 .. 64], 'not too many'],
    [[map { "$_" . 'x' x 120 } 10 .. 60],
     [map { "kc:$_" . 'x' x 120 } 10 .. 41], 'nor too long'],
    [[map { ('"' x 100) . $_ } 10 .. 60],
     [map { 'kc:' . ('"' x 100) . $_ } 10 .. 28], 'nor by their quotes'])
{
    my ($roles, $want, $name) = @$case;
    my $all = $kc->token({ %alice, realm_access => { roles => $roles } });
    is_deeply((jwt(exchange($all)))[1]{groups}, $want, "groups: $name");
}


# --- what ends

ok(wait_for(sub { $short->get('/v2/')->status() == 401 }),
   'what is over is forgotten');

$acr->reload(http => <<'CONF');
    acr_auth on;
    acr_role user:kc:alice AcrPull team/*;
CONF
answers($acr->as($NOBODY, $kc->token(\%alice))->get('/v2/'), 401,
        'an issuer that was removed');
answers($acr->as($NOBODY, $refresh)->get('/v2/team/app/manifests/v1'), 200,
        'a refresh token of one goes on');


# --- no other credentials

unlike($acr->log_text(), qr/\Q$token\E|\Q$refresh\E/, 'no token is in the log');
like($acr->log_text(),
     qr/a token of "\Q$KC\E" is refused: it is for another audience/,
     'but why one was refused');
like($acr->log_text(), qr/a token of "\Q$KC\E" is refused: no such key/,
     'also if nobody has its key');
unlike($acr->log_text(), qr/evil\.test/, 'not what others have written');


# --- who guesses

my $strict = node($acr, http => "acr_auth on; acr_auth_failures 1;
    acr_oidc_issuer $KC audience=acr jwks=$dir/kc.json;");
$strict->allow(qr/\[alert\].*has lost changes/);
answers($strict->as($NOBODY, $no{over})->get('/v2/'), 401,
        'one that is over') for 1 .. 12;
answers($strict->as($NOBODY, $kc->token())->get('/v2/'), 200,
        'shuts nobody out');
my $redis = $acr->{redis};
$redis->command('DEL', $_)
    for @{$redis->command('KEYS', 'acr:*:failures:*')};
my $count = 0;
ok(wait_for(sub {
    $count++;
    $strict->as($NOBODY, $kc->token({}, { kid => "k$count" }))
           ->get('/v2/')->status() == 429;
}), 'who guesses is stopped');
is($count, 11, 'after so many');

finish();


# --- helpers

sub exchange {
    my ($given, $name) = @_;

    my $answer = form($acr, 'exchange', grant_type => 'access_token',
                      service => $HOST, access_token => $given);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answers($answer, 200, $name || 'an exchange') or return '';

    return $answer->json()->{refresh_token};
}


sub who { return (jwt(exchange($_[0])))[1]{sub} }
