#!/usr/bin/perl

# Who may do what with ACR's own API.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use JSON::PP qw(encode_json);

my $READER = '"Container Registry Repository Reader"';

my $acr = start(http => "acr_auth on; acr_auth_failures 1000;
                         acr_anonymous_pull open/*;
                         acr_role anonymous $READER read/*;",
                server => 'location /acr/admin/ { acr_admin; }');

my $password = access('PUT', 'admin', { enabled => JSON::PP::true })
                   ->{passwords}[0]{value};
my $admin = $acr->as('admin', $password);

my $digest = $admin->push_image('lib/a', 'v1', 'lib/a');
$admin->push_image('open/x', 'v1', 'open');
$admin->push_image('read/x', 'v1', 'read');
$admin->push_image('team/app', 'v1', 'team');

my @reads = map { ['GET', $_, 'metadata_read'] }
            '', '/_tags', '/_tags/v1', '/_manifests', "/_manifests/$digest";
my @writes = map { ['PATCH', $_, 'metadata_write'] }
             '', '/_tags/v1', "/_manifests/$digest";
my @deletes = map { ['DELETE', $_, 'delete'] } '', '/_tags/v1';


# --- nobody

for my $case (@reads, @writes, @deletes) {
    my ($method, $what, $action) = @$case;

    for my $repository ('lib/a', 'lib/none') {
        my $answer = api($acr, $method, "$repository$what",
                         body => $method eq 'PATCH' ? '{}' : undef);
        challenged($answer, "repository:$repository:$action", undef,
                   "$method $repository$what");
        is_deeply($answer->error()->{detail},
                  [{ Type => 'repository', Name => $repository,
                     Action => $action }], 'the body says what is missing');
    }
    challenged(api($acr, $method, 'lib%2Fa' . $what =~ s/:/%3A/r),
               "repository:lib/a:$action", undef, 'encoded, too');
    challenged(api($acr->as('x.y.z'), $method, "lib/a$what"),
               "repository:lib/a:$action", 'invalid_token', 'a bad token');
}
challenged(api($acr, 'GET', '_catalog'), 'registry:catalog:*', undef,
           'the catalogue');
challenged(api($acr, 'GET', '_catalog?n=1&last=x&api-version=2021-07-01'),
           'registry:catalog:*', undef, 'with arguments');
refused(api($acr, 'GET', 'LIB/_tags'), 400, 'NAME_INVALID',
        'a bad name is told before');

# a body that nobody reads is no next request
my $http = $acr->connect();
answers($http->request('PATCH', '/acr/v1/lib/a',
                       body => '{"readEnabled":false}' . ' ' x 60_000), 401,
        'a change without a token');
answers($http->request('GET', '/acr/v1/lib/a'), 401, 'the connection goes on');
$http->close();


# --- with rights

answers(api($admin, 'GET', "lib/a$_->[1]"), 200, "the admin reads $_->[1]")
    for @reads;
answers(set($admin, "lib/a$_->[1]", listEnabled => 1), 200,
        "and changes $_->[1]") for @writes;
is_deeply(api($admin, 'GET', '_catalog')->json()->{repositories},
          [qw(lib/a open/x read/x team/app)], 'the catalogue');

my %map = (pull => 'content/read', push => 'content/write',
           delete => 'content/delete', metadata_read => 'metadata/read',
           metadata_write => 'metadata/write');
my %client;
for my $right (sort keys %map) {
    my $name = $right =~ tr/_/-/r;
    access('PUT', "scope-maps/$name",
           { actions => ["repositories/team/app/$map{$right}"] });
    access('PUT', "tokens/$name", { scopeMap => $name });
    $client{$right} = $acr->as($name, access(
        'POST', "tokens/$name/passwords/password1", {})->{value});
}

my ($of_team) = map { $_->{digest} } @{ api($admin, 'GET', 'team/app/_tags')
                                            ->json()->{tags} };
for my $right (sort keys %map) {
    for my $case (@reads, @writes, @deletes) {
        my ($method, $what, $needed) = @$case;
        $what =~ s/\Q$digest\E/$of_team/;

        my $ok = $right eq $needed;
        next if $ok && $method eq 'DELETE';

        my $target = "team/app$what";
        my $answer = $method eq 'PATCH'
            ? set($client{$right}, $target, readEnabled => 1)
            : api($client{$right}, $method, $target);
        if ($ok) {
            answers($answer, 200, "$right: $method $target");
            challenged(api($client{$right}, $method, "lib/a$what"),
                       "repository:lib/a:$needed", 'insufficient_scope',
                       'but not elsewhere');
        } else {
            challenged($answer, "repository:team/app:$needed",
                       'insufficient_scope', "$right: $method $target");
        }
    }
    challenged(api($client{$right}, 'GET', '_catalog'), 'registry:catalog:*',
               'insufficient_scope', 'tokens do not list the catalogue');
}
is_deeply(locks($admin, 'team/app'),
          { map { ("${_}Enabled" => 1) } qw(delete write read list) },
          'nothing was changed');

# who reads metadata does not pull
challenged($client{metadata_read}->get('/v2/team/app/manifests/v1'),
           'repository:team/app:pull', 'insufficient_scope', 'is no pull');
answers($client{metadata_read}->get('/v2/team/app/tags/list'), 200,
        'but the list of tags');

# with a token for it, as clients of ACR do
my $token = $admin->get('/oauth2/token?service=registry.test'
                        . '&scope=repository:team/app:metadata_read')
                  ->json()->{access_token};
answers(api($acr->as($token), 'GET', 'team/app/_tags'), 200, 'a token');
challenged(set($acr->as($token), 'team/app', readEnabled => 0),
           'repository:team/app:metadata_write', 'insufficient_scope',
           'is for what it was got for');
$token = $admin->get('/oauth2/token?service=registry.test'
                     . '&scope=repository:team/app:metadata_write,metadata_read'
                     . '&scope=registry:catalog:*')->json()->{access_token};
is(set($acr->as($token), 'team/app', listEnabled => 0)
       ->json()->{changeableAttributes}{listEnabled}, JSON::PP::false,
   'one that may change does');
my $catalog = api($acr->as($token), 'GET', '_catalog');
answers($catalog, 200, 'the catalogue');
ok(!(grep { $_ eq 'team/app' } @{ $catalog->json()->{repositories} }),
   'without what is not listed');
set($acr->as($token), 'team/app', listEnabled => 1);
ok((grep { $_ eq 'team/app' } @{ api($acr->as($token), 'GET', '_catalog')
                                     ->json()->{repositories} }),
   'which comes back');


# --- the anonymous

# who may pull may see what there is to pull
for my $repository ('open/x', 'read/x') {
    answers(api($acr, 'GET', "$repository$_"), 200, "the anonymous read $_")
        for '', '/_tags', '/_tags/v1', '/_manifests';
    challenged(set($acr, $repository, readEnabled => 0),
               "repository:$repository:metadata_write", undef,
               'and change nothing');
}
challenged(api($acr, 'GET', '_catalog'), 'registry:catalog:*', undef,
           'nor is the catalogue for them');


# --- deletion

challenged(api($client{metadata_write}, 'DELETE', 'team/app/_tags/v1'),
           'repository:team/app:delete', 'insufficient_scope',
           'who writes metadata deletes nothing');
answers(api($client{delete}, 'DELETE', 'team/app/_tags/v1'), 202,
        'who may delete does: a tag');
answers(api($client{delete}, 'DELETE', 'team/app'), 202, 'and a repository');
refused(api($admin, 'GET', 'team/app'), 404, 'NAME_UNKNOWN', 'it is gone');

# a lock holds for everybody
change($admin, 'lib/a', writeEnabled => 0, deleteEnabled => 0);
disallowed(api($admin, 'DELETE', 'lib/a'), 'a lock holds for the admin');
challenged(api($acr, 'DELETE', 'lib/a'), 'repository:lib/a:delete', undef,
           'and is told to nobody who may not');

same_headers();
finish();


sub challenged {
    my ($got, $scope, $error, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    refused($got, 401, 'UNAUTHORIZED', $name);
    is($got->header('WWW-Authenticate'),
       'Bearer realm="http://registry.test/oauth2/token",'
       . "service=\"registry.test\",scope=\"$scope\""
       . (defined $error ? qq{,error="$error"} : ''), "$name: the challenge");
}


# access(METHOD, WHAT, VALUE): changes who may do what
sub access {
    my ($method, $what, $value) = @_;

    my $answer = fresh($acr, $method, "/acr/admin/access/$what",
                       body => encode_json($value));
    die "$method $what: " . $answer->text() if $answer->status() !~ /^20[04]/;

    return $answer->status() == 200 ? $answer->json() : undef;
}
