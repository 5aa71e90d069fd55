#!/usr/bin/perl

# Who wants more than they may have, or wants others to have nothing: the token
# service and its tokens, the catalog, and who guesses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $HOST = 'registry.test';

my $acr = start(http => 'acr_auth on; acr_auth_failures 3;
                         map $arg_who $who { default ""; alice alice; }
                         map $http_x_service $service {
                             default $http_x_service; "" registry.test; }
                         acr_identity $who;
                         acr_role user:alice AcrPull team/*;',
                location => 'acr_service $service;',
                server => 'location /acr/admin/ { acr_admin; }');

my $all = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true });
my ($first, $second) = map { $_->{value} } @{ $all->{passwords} };
my $admin = $acr->as('admin', $first);


# --- forms

my $before = peak();
my $got = form_of('a&' x 32000);
refused($got, 400, undef, 'a form of many fields');
my $used = peak() - $before;
ok($used < 16384, 'does not take memory for each') or diag("$used KiB");


# --- scopes

refused(form_of('grant_type=password&scope='
                . join('+', map { "repository:r$_:pull" } 1 .. 65)),
        400, undef, 'many scopes in one parameter');
my $long = 'a/' x 100;
refused(fresh($acr, 'POST', '/oauth2/token',
              body => "grant_type=password&username=admin&password=$first"
                      . "&scope=" . join('+', map {
                          "repository:${long}r$_:pull" } 1 .. 64)),
        400, undef, 'scopes for which there is no room');


# --- tokens that are passed on

my $token = token($admin, 'repository:team/app:pull');
my $left = (jwt($token))[1]{exp};
select(undef, undef, undef, 1.1);
is((jwt(token($acr->as($token), 'repository:team/app:pull')))[1]{exp}, $left,
   'an access token is not longer good by another one');
my $refresh = $admin->get('/oauth2/token?offline_token=true')
                    ->json()->{refresh_token};
select(undef, undef, undef, 1.1);
$got = form_of("grant_type=refresh_token&refresh_token=$refresh");
is($got->json()->{expires_in}, 900, 'one of a refresh token has its own time');
$got = fresh($acr, 'POST', '/oauth2/exchange',
             body => "grant_type=refresh_token&refresh_token=$refresh");
is((jwt($got->json()->{refresh_token}))[1]{exp}, (jwt($refresh))[1]{exp},
   'but a refresh token is not longer good by another one');


# --- the catalog

$admin->push_image(sprintf('secret/r%02d', $_), 'v1', 'x') for 1 .. 25;
$admin->push_image($_, 'v1', 'x') for qw(team/a team/b), 'zeta';
my $alice = '/v2/_catalog?who=alice';
$got = $acr->get("$alice&n=1");
is_deeply($got->json()->{repositories}, ['team/a'],
          'a page is full of what may be read');
is($got->header('Link'), '</v2/_catalog?n=1&last=team%2Fa>; rel="next"',
   'the next one does not name what may not');
$got = $acr->get("$alice&n=1&last=team/a");
is_deeply($got->json()->{repositories}, ['team/b'], 'the second page');
$got = $acr->get("$alice&n=1&last=team/b");
is_deeply($got->json()->{repositories}, [], 'the last one');
is($got->header('Link'), undef, 'without another');
$got = $acr->get("$alice&n=2");
is_deeply($got->json()->{repositories}, ['team/a', 'team/b'], 'one for all');
$got = $admin->get('/v2/_catalog?n=27');
is(scalar(@{ $got->json()->{repositories} }), 27, 'who may read all');
like($got->header('Link'), qr{last=team%2Fb>}, 'goes on');
$got = $acr->get("$alice&n=0");
is_deeply($got->json()->{repositories}, [], 'an empty page');


# --- who guesses

# the only worker has seen it
answers($admin->get('/v2/'), 200, 'a good password');
my $short = token($admin, 'repository:team/app:pull', 'X-Service' => 'other');
answers($acr->as($short)->get('/v2/'), 401, 'a token for somewhere else')
    for 1 .. 5;
answers($acr->as('admin', "x$_")->get('/v2/'), 401, 'a guess') for 1 .. 3;
answers($acr->as('admin', $second)->get('/v2/'), 429, 'there are too many');
answers($admin->get('/v2/'), 200, 'who was known stays so');

# an account that somebody else guesses at: by 127.0.0.2 as by 127.0.0.1
like(elsewhere('GET', '/v2/', $second), qr{^HTTP/1.1 200 }, 'elsewhere, too');

# --- a text of the configuration that a client has a say in

my $named = node($acr, http => 'acr_auth on; acr_service $http_x_service;');
$named->allow(qr/has become a text with a quote/);
like($named->get('/v2/', headers => ['X-Service' => 'a b'])
         ->header('WWW-Authenticate'), qr/,service="a b"$/, 'a name');
for my $text ('a",scope="evil', 'a\\', "a\tb") {
    refused($named->get('/v2/', headers => ['X-Service' => $text]), 500,
            'UNKNOWN', 'what would be more than a name');
}

finish();


# from another address
sub elsewhere {
    my ($method, $target, $password) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $acr->port(),
                                       LocalAddr => '127.0.0.2')
        or die "127.0.0.2: $@\n";
    my $basic = encode_base64("admin:$password", '');

    print $socket "$method $target HTTP/1.1\r\nHost: $HOST\r\n"
                  . "Authorization: Basic $basic\r\n"
                  . "Connection: close\r\n\r\n";
    local $/;

    return <$socket>;
}


sub token {
    my ($client, $scope, @headers) = @_;

    my $answer = $client->get('/oauth2/token?scope=' . $scope =~ s/ /%20/gr,
                              headers => \@headers);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answers($answer, 200, 'a token');

    return $answer->json()->{token};
}


sub form_of {
    my ($body) = @_;

    return $acr->post('/oauth2/token', body => $body, headers => [
        'Content-Type' => 'application/x-www-form-urlencoded']);
}


# the most that the worker has had, in KiB
sub peak {
    my ($pid) = $acr->workers();

    return ACR::Node::slurp("/proc/$pid/status") =~ /VmHWM:\s+(\d+)/ && $1;
}
