#!/usr/bin/perl

# Who may do what: the admin user, tokens of scope maps, the token service and
# its tokens, anonymous pulls; on the resources of /v2/ and the catalog.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use ACR::Index;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $HOST = 'registry.test';

my $acr = start(workers => 2, http => 'acr_auth on;
                                       acr_auth_failures 1000;
                                       acr_anonymous_pull open/*;',
                server => 'add_header X-Worker $pid always;
                           location /acr/admin/ { acr_admin; }');
my $redis = $acr->{redis};


# --- nobody knows anybody yet

challenged($acr->get('/v2/'), undef, undef, '/v2/');
challenged($acr->get('/v2/lib/a/manifests/t'), 'repository:lib/a:pull', undef,
           'a pull');
challenged($acr->get('/v2/_catalog'), 'registry:catalog:*', undef, 'a catalog');
challenged($acr->post('/v2/lib/a/blobs/uploads/', body => ''),
           'repository:lib/a:pull,push', undef, 'a push');
challenged($acr->put('/v2/lib/a/manifests/t', body => '{}'),
           'repository:lib/a:pull,push', undef, 'a manifest');
challenged($acr->delete('/v2/lib/a/manifests/t'), 'repository:lib/a:delete',
           undef, 'a delete');
challenged($acr->get('/v2/lib/a/tags/list'),
           'repository:lib/a:pull,metadata_read', undef, 'tags');
challenged($acr->as('admin', 'x')->get('/v2/'), undef, 'invalid_token',
           'an admin who is switched off');
refused($acr->get('/v2/LIB/manifests/t'), 400, 'NAME_INVALID',
        'a bad name is told before');
is_deeply($acr->get('/v2/lib/a/manifests/t')->json()->{errors}[0]{detail},
          [{ Type => 'repository', Name => 'lib/a', Action => 'pull' }],
          'the body says what is missing, as in ACR');


# --- the admin user

my $admin = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true });
is(scalar(@{ $admin->{passwords} }), 2, 'the admin user has two passwords');
my ($first, $second) = map { $_->{value} } @{ $admin->{passwords} };
$admin = $acr->as('admin', $first);

ok(everywhere($admin, '/v2/', 200), 'Basic on /v2/');
my $digest = $admin->push_image("$_", 'v1', $_) for qw(lib/a lib/b team/app);
$admin->push_image('open/x', 'v1', 'open');
answers($admin->get('/v2/lib/a/manifests/v1'), 200, 'all by Basic');
is_deeply($admin->get('/v2/_catalog')->json()->{repositories},
          [qw(lib/a lib/b open/x team/app)], 'and the catalog');

challenged($acr->as('admin', "${first}x")->get('/v2/'), undef, 'invalid_token',
           'a wrong password');
challenged($acr->as('nobody', $first)->get('/v2/'), undef, 'invalid_token',
           'a wrong name');


# --- the token service

my $token = token($admin, 'repository:lib/a:pull,push repository:lib/b:pull');
is($token->{token}, $token->{access_token}, 'by both names');
is($token->{expires_in}, 900, 'how long it lives');
like($token->{issued_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'since when');
my ($head, $claims) = jwt($token->{token});
is($head->{alg}, 'ES256', 'signed with a key of the registry');
is_deeply($claims->{access},
          [{ type => 'repository', name => 'lib/a',
             actions => ['pull', 'push'] },
           { type => 'repository', name => 'lib/b', actions => ['pull'] }],
          'for what was asked for');
is($claims->{aud}, $HOST, 'at this service');
is($claims->{exp} - $claims->{iat}, 900, 'until then');
my $keys = $acr->get('/oauth2/keys')->json();
is($keys->{keys}[0]{kid}, $head->{kid}, 'its public key is published');
is($keys->{keys}[0]{d}, undef, 'and not the private one');

my $bearer = $acr->as($token->{token});
answers($bearer->get('/v2/'), 200, 'Bearer on /v2/');
answers($bearer->get('/v2/lib/a/manifests/v1'), 200, 'a pull');
answers($bearer->post('/v2/lib/a/blobs/uploads/', body => ''), 202, 'a push');
challenged($bearer->post('/v2/lib/b/blobs/uploads/', body => ''),
           'repository:lib/b:pull,push', 'insufficient_scope',
           'not more than the token is for');
challenged($bearer->delete('/v2/lib/a/manifests/v1'),
           'repository:lib/a:delete', 'insufficient_scope',
           'push is no delete');
challenged($bearer->get('/v2/_catalog'), 'registry:catalog:*',
           'insufficient_scope', 'nor the catalog');
challenged($bearer->get('/v2/team/app/manifests/v1'),
           'repository:team/app:pull', 'insufficient_scope',
           'nor another repository');
answers($acr->as(token($admin, 'registry:catalog:*')->{token})
            ->get('/v2/_catalog'), 200, 'one for the catalog');
answers($acr->as(token($admin, 'repository:*:pull')->{token})
            ->get('/v2/lib/b/manifests/v1'), 200, 'one for all repositories');

is_deeply((jwt(token($admin, 'repository:lib/a:push,cook other:x:y')
               ->{token}))[1]{access},
          [{ type => 'repository', name => 'lib/a', actions => ['push'] }],
          'what is not known is left out');
refused(ask($admin, 'repository:LIB:pull'), 400, undef, 'a malformed scope');

for my $case (
    ['another signature', substr($token->{token}, 0, -4) . 'AAAA'],
    ['cut', substr($token->{token}, 0, 100)],
    ['no signature', join('.', (split(/\./, $token->{token}))[0, 1], '')],
    ['alg none', join('.', base64url('{"alg":"none"}'),
                      (split(/\./, $token->{token}))[1], '')],
    ['nothing', 'x'], ['long', 'x' x 7000])
{
    challenged($acr->as($case->[1])->get('/v2/lib/a/manifests/v1'),
               'repository:lib/a:pull', 'invalid_token',
               "a token: $case->[0]");
}

# --- refresh tokens

my $offline = $admin->get("/oauth2/token?service=$HOST&offline_token=true"
                          . '&scope=repository:lib/a:pull')->json();
ok($offline->{refresh_token}, 'a refresh token');
my $answer = form($acr, 'token', grant_type => 'refresh_token',
                  service => $HOST,
                  scope => 'repository:lib/a:pull',
                  refresh_token => $offline->{refresh_token});
answers($answer, 200, 'is good for an access token');
answers($acr->as($answer->json()->{access_token})
            ->get('/v2/lib/a/manifests/v1'), 200, 'which is one');
challenged($acr->as($offline->{refresh_token})->get('/v2/lib/a/manifests/v1'),
           'repository:lib/a:pull', 'invalid_token',
           'but does not open anything itself');
answers($acr->as('00000000-0000-0000-0000-000000000000',
                 $offline->{refresh_token})->get('/v2/lib/a/manifests/v1'),
        200, 'but as a password, with the name that ACR has');
is_deeply((jwt(form($acr, 'token', grant_type => 'refresh_token',
                    service => $HOST,
                    scope => 'repository:lib/b:push',
                    refresh_token => $token->{token})->json()->{token}))[1]
          {access}, [], 'an access token gives no more than it has');
refused(form($acr, 'exchange', grant_type => 'refresh_token', service => $HOST,
             refresh_token => $token->{token}), 400, undef,
        'and no refresh token');
answers(form($acr, 'exchange', grant_type => 'refresh_token', service => $HOST,
             refresh_token => $offline->{refresh_token}), 200,
        'a refresh token for a new one');
answers(form($acr, 'token', grant_type => 'password', service => $HOST,
             scope => 'repository:lib/a:pull', username => 'admin',
             password => $first), 200, 'a password by POST');
refused(form($acr, 'token', grant_type => 'password', service => $HOST,
             username => 'admin', password => 'wrong'), 401, 'UNAUTHORIZED',
        'a wrong one');
refused(form($acr, 'token', grant_type => 'magic', service => $HOST), 400,
        undef,
        'an unknown way');


# --- anonymous pulls

answers($acr->get('/v2/open/x/manifests/v1'), 200, 'an anonymous pull');
challenged($acr->get('/v2/lib/a/manifests/v1'), 'repository:lib/a:pull', undef,
           'not of others');
challenged($acr->post('/v2/open/x/blobs/uploads/', body => ''),
           'repository:open/x:pull,push', undef, 'and no push');
$answer = $acr->get("/oauth2/token?service=$HOST&scope=repository:open/x:pull"
                    . '&scope=repository:lib/a:pull');
answers($answer, 200, 'a token for nobody');
is_deeply((jwt($answer->json()->{token}))[1]{access},
          [{ type => 'repository', name => 'open/x', actions => ['pull'] }],
          'for what nobody may do');
answers($acr->as($answer->json()->{token})->get('/v2/open/x/manifests/v1'),
        200, 'and it works');
answers(form($acr, 'token', grant_type => 'password', service => $HOST,
             refresh_token => '', scope => 'repository:open/x:pull'), 200,
        'as clients of ACR ask');


# --- tokens of scope maps

change($acr, 'PUT', 'scope-maps/team', { actions => [
    'repositories/team/*/content/read', 'repositories/team/*/metadata/read'] });
change($acr, 'PUT', 'tokens/ci', { scopeMap => 'team' });
my $password = change($acr, 'POST', 'tokens/ci/passwords/password1', {})
                   ->{value};
my $ci = $acr->as('ci', $password);

ok(begins($ci, 'team/app'), 'what its map says');
answers($ci->get('/v2/team/app/tags/list'), 200, 'tags too');
challenged($ci->post('/v2/team/app/blobs/uploads/', body => ''),
           'repository:team/app:pull,push', 'insufficient_scope',
           'and nothing else');
challenged($ci->get('/v2/lib/a/manifests/v1'), 'repository:lib/a:pull',
           'insufficient_scope', 'nor elsewhere');
challenged($ci->get('/v2/lib/none/manifests/v1'), 'repository:lib/none:pull',
           'insufficient_scope', 'whether that exists or not');
challenged($ci->get('/v2/_catalog'), 'registry:catalog:*',
           'insufficient_scope', 'tokens do not list the catalog');

change($acr, 'PUT', 'scope-maps/team', { actions => [
    map { "repositories/team/*/content/$_" } qw(read write)] });
ok(everywhere($ci, '/v2/team/app/blobs/uploads/', 202, 'POST', body => ''),
   'a right that is given holds soon');

# a mount shows nothing that may not be read
my $layer = digest('layer of lib/a');
answers($ci->post("/v2/team/app/blobs/uploads/?mount=$layer&from=lib/a",
                  body => ''), 202, 'a mount of what may not be read');
answers($ci->post("/v2/team/app/blobs/uploads/?mount=$layer", body => ''), 202,
        'or from wherever');
answers($admin->post("/v2/team/app/blobs/uploads/?mount=$layer&from=lib/a",
                     body => ''), 201, 'who may read both mounts');

my $access = token($ci, 'repository:team/app:pull,push,delete');
is_deeply((jwt($access->{token}))[1]{access}[0]{actions}, ['pull', 'push'],
          'a token is narrowed to the rights');
$bearer = $acr->as($access->{token});
answers($bearer->get('/v2/team/app/manifests/v1'), 200, 'which it has');

# what was taken away ends within a second, at each worker
change($acr, 'PUT', 'tokens/ci',
       { scopeMap => 'team', enabled => JSON::PP::false });
ok(ends($bearer, 'team/app'), 'a token that is switched off');
ok(ends($ci, 'team/app'), 'and its password');
change($acr, 'PUT', 'tokens/ci',
       { scopeMap => 'team', enabled => JSON::PP::true });
ok(begins($bearer, 'team/app'), 'and on again');
my $new = change($acr, 'POST', 'tokens/ci/passwords/password1', {})->{value};
ok(ends($bearer, 'team/app'), 'a new password ends what the old one has got');
ok(begins($acr->as('ci', $new), 'team/app'), 'it works');
my $other = change($acr, 'POST', 'tokens/ci/passwords/password2',
                   { expiry => time() + 3600 })->{value};
ok(begins($acr->as('ci', $other), 'team/app'), 'the second one beside it');
ok(begins($acr->as('ci', $new), 'team/app'), 'and the first');
answers(admin($acr, 'DELETE', 'access/scope-maps/team'), 409,
        'a map that is used stays');
answers(admin($acr, 'DELETE', 'access/tokens/ci'), 204, 'a token is removed');
ok(ends($acr->as('ci', $new), 'team/app'), 'and is over');
answers(admin($acr, 'DELETE', 'access/scope-maps/team'), 204, 'now it goes');


# --- who can do what

change($acr, 'PUT', 'role-assignments/anyone',
       { principal => 'user:alice', role => 'AcrPush', scope => 'lib/*' });
ok(wait_for(sub {
    admin($acr, 'GET', 'access/who?repository=lib/a')->text() =~ /user:alice/
}), 'who can do what is told');
unlike(admin($acr, 'GET', "access/$_")->text(), qr/pbkdf2|\Q$second\E/,
       "no secret in $_") for qw(admin tokens scope-maps role-assignments);
ok(wait_for(sub {
    admin($acr, 'GET', 'access/explain?principal=user:alice&repository=lib/a')
        ->text() =~ /AcrPush/
}), 'and why');
refused(admin($acr, 'GET', 'access/tokens/none'), 404, undef, 'an unknown one');
for my $case (['PUT', 'tokens/x', { scopeMap => 'none' }],
              ['PUT', 'tokens/admin', { scopeMap => '_repositories_pull' }],
              ['PUT', 'tokens/a b', { scopeMap => '_repositories_pull' }],
              ['PUT', 'scope-maps/x', { actions => ['a*/content/read'] }],
              ['PUT', 'scope-maps/_mine', { actions => [] }],
              ['PUT', 'role-assignments/x', { principal => 'user:x',
                                              role => 'King', scope => '*' }],
              ['POST', 'tokens/none/passwords/password1', {}],
              ['POST', 'admin/passwords/password3', {}],
              ['DELETE', 'scope-maps/_repositories_pull', {}],
              ['PUT', 'admin', { enabled => 'yes' }])
{
    my ($method, $what, $body) = @$case;
    like(ask_access($acr, $method, $what =~ s/ /%20/r, $body)->status(),
         qr/^4(?:00|04|09)$/, "$method $what is refused");
}
refused(fresh($acr, 'PUT', '/acr/admin/access/admin', body => '[1'), 400, undef,
        'what is no JSON');
for my $case (['POST', 'admin', 'GET, HEAD, PUT'],
              ['POST', 'tokens', 'GET, HEAD'],
              ['PATCH', 'tokens/x', 'GET, HEAD, PUT, DELETE'],
              ['POST', 'role-assignments/x', 'GET, HEAD, PUT, DELETE'],
              ['PUT', 'tokens/x/passwords/password1', 'POST'],
              ['GET', 'admin/passwords/password', 'POST'],
              ['POST', 'who?repository=lib/a', 'GET, HEAD'])
{
    my ($method, $what, $allow) = @$case;
    my $got = ask_access($acr, $method, $what, {});
    refused($got, 405, 'UNSUPPORTED', "$method $what");
    is($got->header('Allow'), $allow, 'which methods there are');
}


# --- without Redis

$acr->allow(qr/\[alert\].*has lost changes/);
$redis->kill();
answers($admin->get('/v2/lib/a/manifests/v1'), 200, 'a pull goes on');
$token = token($admin, 'repository:lib/a:pull');
answers($acr->as($token->{token})->get('/v2/lib/a/manifests/v1'), 200,
        'with the token service');
answers($acr->get('/v2/open/x/manifests/v1'), 200, 'the anonymous, too');
challenged($acr->get('/v2/lib/a/manifests/v1'), 'repository:lib/a:pull', undef,
           'under the same rights');
$redis->run();


# --- brute force

my $strict = node($acr, http => 'acr_auth on;');
$strict->allow(qr/\[alert\].*has lost changes/);
my $count = 0;
ok(wait_for(sub {
    $count++;
    $strict->as('admin', "x$count")->get('/v2/')->status() == 429;
}), 'who guesses is stopped');
is($count, 21, 'after so many');
answers($strict->as('admin', 'y')->get('/v2/'), 429, 'for a while');
challenged($strict->get('/v2/'), undef, undef, 'others are not');

unlike($acr->log_text(), qr/\Q$first\E|\Q$second\E|\Q$token->{token}\E/,
       'no secret is in the log');

finish();


# challenged(ANSWER, SCOPE, ERROR, NAME)
sub challenged {
    my ($got, $scope, $error, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    refused($got, 401, 'UNAUTHORIZED', $name);
    is($got->header('WWW-Authenticate'),
       qq{Bearer realm="http://$HOST/oauth2/token",service="$HOST"}
       . (defined $scope ? qq{,scope="$scope"} : '')
       . (defined $error ? qq{,error="$error"} : ''), "$name: the challenge");
}


sub ask {
    my ($client, $scope) = @_;

    return $client->get("/oauth2/token?service=$HOST&scope="
                        . $scope =~ s/ /%20/gr);
}


sub token {
    my $got = ask(@_);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answers($got, 200, 'a token');
    return $got->json();
}


sub base64url { return encode_base64($_[0], '') =~ tr{+/=}{-_}dr }


# whether every worker says so, within the time that is promised
sub ends {
    my ($client, $repository) = @_;
    return all_say($client, $repository, 401);
}


sub begins {
    my ($client, $repository) = @_;
    return all_say($client, $repository, 200);
}


sub all_say {
    my ($client, $repository, $status) = @_;

    return everywhere($client, "/v2/$repository/manifests/v1", $status);
}


# whether all workers answer so
sub everywhere {
    my ($client, $target, $status, $method, @more) = @_;

    return wait_for(sub {
        my %worker;
        my @http = map { $client->connect() } 1 .. 20;

        for my $http (@http) {
            my $got = $http->request($method || 'GET', $target, @more,
                                     headers => [Authorization =>
                                                 $client->{authorization}]);
            $worker{$got->header('X-Worker')} = 1 if $got->status() == $status;
            %worker = (), last if $got->status() != $status;
        }

        $_->close() for @http;

        return keys(%worker) == 2;
    });
}
