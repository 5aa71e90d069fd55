#!/usr/bin/perl

# Who may do what, all of it: every caller, every resource, in repositories of
# their own and of others, that exist and that do not.
#
# Three tables say what must come of it, as ACR's documentation does: the rights
# of roles and scope maps, the callers that have them, and the resources with
# the rights that they need.  Nothing here is taken from the code.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(encode_base64 decode_base64);

my $HOST = 'registry.test';


# --- the rights

# in the order of challenges
my @ACTIONS = qw(pull push delete metadata_read metadata_write);

my %ROLE = (
    'AcrPull' => 'pull metadata_read catalog',
    'AcrPush' => 'pull push metadata_read catalog',
    'AcrDelete' => 'delete',
    'AcrImageSigner' => '',
    'AcrQuarantineReader' => '',
    'AcrQuarantineWriter' => '',
    'Reader' => 'pull metadata_read catalog',
    'Contributor' => "@ACTIONS catalog events",
    'Owner' => "@ACTIONS catalog events",
    'Container Registry Repository Reader' => 'pull metadata_read',
    'Container Registry Repository Writer' =>
        'pull push metadata_read metadata_write',
    'Container Registry Repository Contributor' => "@ACTIONS",
    'Container Registry Repository Catalog Lister' => 'catalog',
    'AcrEventReader' => 'events',
);

# the scopes of what is no right on a repository
my %REGISTRY = (catalog => 'registry:catalog:*',
                events => 'registry:events:read');

my %SYSTEM_MAP = (
    _repositories_pull => 'pull',
    _repositories_pull_metadata_read => 'pull metadata_read',
    _repositories_push => 'pull push',
    _repositories_push_metadata_write =>
        'pull push metadata_read metadata_write',
    _repositories_admin => "@ACTIONS",
);

my %RIGHT = (
    pull => 'content/read', push => 'content/write',
    delete => 'content/delete', metadata_read => 'metadata/read',
    metadata_write => 'metadata/write',
);


# --- the registry

# by which rights are given, and whose repositories they are
my @SCOPES = ('*', 'team/*');
my @REPOSITORIES = qw(team/app team/gap libs/app libs/gap);

# those that may be deleted, and those that there are
my @DELETED = qw(team/del libs/del);
my @THERE = sort(@DELETED, grep { !/gap/ } @REPOSITORIES);

my (@roles, %user, %conf);

for my $role (sort keys %ROLE) {
    for my $scope (@SCOPES, $role eq 'AcrPush' ? 'team/app' : ()) {
        $user{"$role on $scope"} = [$role, $scope];

        # the same by nginx.conf, where roles without rights are refused
        next if $ROLE{$role} eq ''
                || ($scope eq '*' && $role ne 'AcrPush');
        $conf{"$role on $scope"} = 1;
        push(@roles, qq{acr_role "user:conf $role on $scope" "$role" $scope;});
    }
}

my $conf = join("\n", 'location /acr/admin/ { acr_admin; }', @roles);

# servers in which others may do more
my %MORE = (
    'anonymous pulls of all' => 'acr_anonymous_pull *;',
    'anonymous pulls of team/*' => 'acr_anonymous_pull team/*;',
    'a role of the anonymous' => 'acr_role anonymous AcrPush team/*;',
);

my $acr = prepare(fsync => 'off',
                  http => 'acr_auth on; keepalive_requests 100000;
                           acr_auth_failures 100000;
                           acr_identity $http_x_user;', server => $conf);

# where each is
my %client = ('' => $acr);
my $servers = '';

for my $name (sort keys %MORE) {
    my $port = $acr->free_port();

    $client{$name} = ACR::Client->new($port);
    $servers .= "server { listen 127.0.0.1:$port; acr_root $acr->{root};
                          $MORE{$name} location / { acr; } }\n";
}

$acr->configure(servers => $servers);
$acr->run();


# --- the callers

my $passwords = change('PUT', 'admin', { enabled => JSON::PP::true });
my $password = $passwords->{passwords}[0]{value};
my $admin = $acr->as('admin', $password);
my @callers;

caller_of('the admin user', basic('admin', $password),
          rights("@ACTIONS catalog events", '*'), form =>
          "grant_type=password&username=admin&password=$password");
caller_of('nobody', []);
caller_of('a user without a role', ['X-User' => 'somebody']);

for my $name (sort keys %user) {
    my ($role, $scope) = @{ $user{$name} };
    my $id = $name =~ s/[^A-Za-z]/-/gr;

    change('PUT', "role-assignments/$id",
           { principal => "user:$name", role => $role, scope => $scope });
    caller_of($name, ['X-User' => $name], rights($ROLE{$role}, $scope));
    caller_of("$name, by nginx.conf", ['X-User' => "conf $name"],
              rights($ROLE{$role}, $scope)) if $conf{$name};
}

token_of($_, $SYSTEM_MAP{$_}, '*') for sort keys %SYSTEM_MAP;

for my $action (@ACTIONS) {
    change('PUT', "scope-maps/$action",
           { actions => ["repositories/team/*/$RIGHT{$action}"] });
    token_of($action, $action, 'team/*');
}

change('PUT', 'scope-maps/events', { actions => ['registry/events/read'] });
token_of('events', 'events', '*');

# tokens that are for less than their owner may
for my $scope (map({ "repository:team/app:$_" } @ACTIONS),
               'repository:team/app:*', 'repository:*:pull',
               'repository:*:*', 'registry:catalog:*',
               'registry:events:read', '')
{
    my ($name, $actions) = $scope =~ /^repository:(.+):(.+)$/;
    my $may = defined $name ? rights($actions =~ s/^\*$/@ACTIONS/r, $name)
                            : {};

    $may->{$1} = 1 if $scope =~ /^registry:(\w+)/;
    $may->{lists} = rights("@ACTIONS", '*');
    my $token = $admin->get("/oauth2/token?service=$HOST&scope=$scope")
                      ->json()->{access_token};
    caller_of("the admin user's token for '$scope'",
              [Authorization => "Bearer $token"], $may);
}

# those who may do more there
for my $server (sort keys %MORE) {
    my ($pattern) = $MORE{$server} =~ /(\S+);/;
    my $rights = $server =~ /role/ ? $ROLE{AcrPush} : 'pull metadata_read';
    my %more = %{ rights($rights, $pattern) };

    caller_of("nobody, $server", [], \%more, server => $server);
    caller_of("a user without a role, $server", ['X-User' => 'somebody'],
              \%more, server => $server);
    caller_of("AcrDelete, $server", ['X-User' => 'AcrDelete on *'],
              add(rights('delete', '*'), \%more), server => $server);
    my ($of) = grep { $_->{name} =~ /token of _repositories_pull$/ } @callers;
    caller_of("a token, $server", $of->{headers},
              add(rights('pull', '*'), \%more), server => $server);
}


# --- what there is

my $JSON = 'application/json';
my (%digest, %only, %upload, %doomed);

for my $name (qw(team/app libs/app)) {
    $digest{$name} = $admin->push_image($name, 'kept', $name);
    $only{$name} = $admin->push_blob($name, "only in $name");
    $admin->push_blob($name, 'to be deleted');
}

my %blob = map { ($_, digest('layer of ' . s/gap/app/r)) } @REPOSITORIES;
my $REMOVED = digest('to be deleted');
my $MANIFEST = index_of([], annotations => { for => 'all' });
my $DOOMED = index_of([], annotations => { for => 'none' });
my $PUSHED = 'what is pushed';
my $PUSHED_DIGEST = digest($PUSHED);


# --- the resources
#
#   needs     the rights; "any" of them or all
#   known     or that one is somebody, or "open": the same for all
#   ok        the status for those who may, absent where the repository does not
#             exist (left out: it is not tried there, since it would make one)
#   setup     what must be there; it gives the target if that is none yet
#   kept      gives what must stay as it is if it is refused
#   undo      makes it as it was, from the name and the answer
#   deletes   the repository itself: that is done to another one
#   lists     the answer is the catalog

my @RESOURCES = (
    map({ my $method = $_; (
        { name => "$method base", method => $method, target => '/v2/',
          known => 1, ok => 200 },
        { name => "$method extensions", method => $method, known => 1,
          target => '/v2/_oci/ext/discover', ok => 200 },
        { name => "$method keys", method => $method, open => 1,
          target => '/oauth2/keys', ok => 200 },
        { name => "$method catalog", method => $method, needs => ['catalog'],
          target => '/v2/_catalog', ok => 200, lists => 1 },
        { name => "$method extensions of a repository", method => $method,
          target => '/v2/NAME/_oci/ext/discover', needs => ['pull'],
          ok => 200, absent => 200 },
        { name => "$method blob", method => $method, needs => ['pull'],
          target => sub { "/v2/NAME/blobs/$blob{$_[0]}" },
          ok => 200, absent => 404 },
        { name => "$method manifest by tag", method => $method,
          target => '/v2/NAME/manifests/kept', needs => ['pull'],
          ok => 200, absent => 404 },
        { name => "$method manifest by digest", method => $method,
          target => sub { "/v2/NAME/manifests/" . known_digest($_[0]) },
          needs => ['pull'], ok => 200, absent => 404 },
        { name => "$method tags", method => $method, any => 1,
          needs => ['pull', 'metadata_read'], target => '/v2/NAME/tags/list',
          ok => 200, absent => 404 },
        { name => "$method referrers", method => $method, needs => ['pull'],
          target => sub { "/v2/NAME/referrers/" . known_digest($_[0]) },
          ok => 200, absent => 200 },
        { name => "$method upload", method => $method, ok => 204,
          needs => ['pull', 'push'], setup => \&upload, absent => 404,
          kept => \&offset },
      ) } qw(GET HEAD)),

    { name => 'DELETE blob', method => 'DELETE', needs => ['delete'],
      target => "/v2/NAME/blobs/$REMOVED", ok => 202, absent => 404,
      undo => sub { $admin->push_blob($_[0], 'to be deleted') } },
    { name => 'POST upload', method => 'POST', needs => ['pull', 'push'],
      target => '/v2/NAME/blobs/uploads/', ok => 202, absent => 202,
      undo => \&cancel },
    { name => 'POST blob', method => 'POST', needs => ['pull', 'push'],
      target => "/v2/NAME/blobs/uploads/?digest=$PUSHED_DIGEST",
      body => $PUSHED, ok => 201,
      undo => sub { remove($_[0], "blobs/$PUSHED_DIGEST") } },
    map({ my $from = $_;
      { name => "POST mount from $from", method => 'POST', from => $from,
        target => "/v2/NAME/blobs/uploads/?mount=$only{$from}&from=$from",
        needs => ['pull', 'push'], undo => sub {
            my ($name, $answer) = @_;
            return cancel(@_) if $answer->status() == 202;
            remove($name, "blobs/$only{$from}") if $name ne $from;
        } } } qw(team/app libs/app)),
    { name => 'PATCH upload', method => 'PATCH', needs => ['pull', 'push'],
      setup => \&upload, body => $PUSHED, ok => 202, absent => 404,
      kept => \&offset, type => 'application/octet-stream', undo => sub {
          cancel(@_);
          ended(@_);
      } },
    { name => 'PUT upload', method => 'PUT', needs => ['pull', 'push'],
      setup => \&upload, query => "digest=$PUSHED_DIGEST", body => $PUSHED,
      kept => \&offset, ok => 201, absent => 404,
      undo => sub {
          remove($_[0], "blobs/$PUSHED_DIGEST");
          ended(@_);
      } },
    { name => 'DELETE upload', method => 'DELETE', needs => ['pull', 'push'],
      setup => \&upload, kept => \&offset, ok => 204, absent => 404,
      undo => \&ended },
    { name => 'PUT manifest by tag', method => 'PUT',
      needs => ['pull', 'push'], target => '/v2/NAME/manifests/put',
      type => $INDEX, body => $MANIFEST, ok => 201,
      undo => sub { remove($_[0], 'manifests/' . digest($MANIFEST)) } },
    { name => 'PUT manifest by digest', method => 'PUT',
      needs => ['pull', 'push'],
      target => '/v2/NAME/manifests/' . digest($MANIFEST),
      type => $INDEX, body => $MANIFEST, ok => 201,
      undo => sub { remove($_[0], 'manifests/' . digest($MANIFEST)) } },
    { name => 'DELETE manifest by tag', method => 'DELETE',
      needs => ['delete'], target => '/v2/NAME/manifests/gone', ok => 202,
      absent => 404, setup => \&doomed, undo => \&deleted },
    { name => 'DELETE manifest by digest', method => 'DELETE',
      needs => ['delete'], target => '/v2/NAME/manifests/' . digest($DOOMED),
      ok => 202, absent => 404, setup => \&doomed, undo => \&deleted },

    # the same for all
    { name => 'PATCH manifest', method => 'PATCH', open => 1, body => '{}',
      target => '/v2/NAME/manifests/kept', ok => 405, absent => 405 },
    { name => 'POST tags', method => 'POST', open => 1, body => '',
      target => '/v2/NAME/tags/list', ok => 405, absent => 405 },
    { name => 'a bad name', method => 'GET', open => 1,
      target => '/v2/NAME/BAD/tags/list', ok => 400, absent => 400 },
    { name => 'no resource', method => 'GET', open => 1,
      target => '/v2/NAME/none', ok => 404, absent => 404 },
);

my %ACR_TARGET = (
    repository => '/acr/v1/NAME',
    tag => '/acr/v1/NAME/_tags/kept',
    manifest => sub { '/acr/v1/NAME/_manifests/' . known_digest($_[0]) },
    tags => '/acr/v1/NAME/_tags',
    manifests => '/acr/v1/NAME/_manifests',
);

# ACR's own API
push(@RESOURCES,
    map({ my $method = $_; (
        { name => "$method events", method => $method, needs => ['events'],
          target => '/acr/v1/_events', ok => 200 },
        { name => "$method catalog of ACR", method => $method,
          target => '/acr/v1/_catalog', needs => ['catalog'], ok => 200,
          lists => 1 },
        map({
        { name => "$method $_ of ACR", method => $method,
          target => $ACR_TARGET{$_}, needs => ['metadata_read'], ok => 200,
          absent => 404 } } sort keys %ACR_TARGET)
      ) } qw(GET HEAD)),
    map({ my $of = $ACR_TARGET{$_};
      { name => "PATCH $_ of ACR", method => 'PATCH', target => $of,
        needs => ['metadata_write'], ok => 200, absent => 404, type => $JSON,
        body => '{"listEnabled":false}',
        kept => sub { $admin->get($_[1])->body() },
        undo => sub { listed($of, $_[0]) } } } qw(repository tag manifest)),
    { name => 'DELETE tag of ACR', method => 'DELETE', needs => ['delete'],
      target => '/acr/v1/NAME/_tags/gone', ok => 202, absent => 404,
      setup => \&doomed, undo => \&deleted },
    { name => 'DELETE repository of ACR', method => 'DELETE',
      needs => ['delete'], target => '/acr/v1/NAME', ok => 202, absent => 404,
      deletes => 1, setup => \&doomed, undo => \&deleted },
);


# --- all of them

for my $caller (@callers) {
    nothing("$caller->{name}: the token service", tokens($caller));
    nothing("$caller->{name}: $_->{name}", cases($caller, $_)) for @RESOURCES;
}


# --- what is there now

deleted($_) for grep { $doomed{$_} } @THERE;

for my $name (qw(team/app libs/app)) {
    answers($admin->delete($upload{$name}), 204, 'an upload') if $upload{$name};
    is_deeply([$admin->tags($name)], ['kept'], "$name has its tag");
    is($admin->resolve($name, 'kept'), $digest{$name}, 'which is the same');
    answers($admin->get("/v2/$name/blobs/$_"), 200, 'a blob')
        for $blob{$name}, $only{$name}, $REMOVED;
}

is_deeply($admin->get('/v2/_catalog')->json()->{repositories},
          [qw(libs/app team/app)], 'and there are no others');
is($acr->{redis}->command('ZCARD', key('sessions')), 0, 'nor any uploads');

unlike($acr->log_text(), qr/\Q$password\E/, 'no secret is in the log');

finish();


# --- callers

# rights(ACTIONS, PATTERN): of each repository, "*" (all of them), "catalog" and
# "events", which are of all
sub rights {
    my ($actions, $pattern) = @_;

    my %have = map { $_ => 1 } split(' ', $actions);
    my $catalog = delete $have{catalog};
    my $events = delete $have{events} && $pattern eq '*';

    my $regex = $pattern eq '*' ? qr/^/ : $pattern =~ m{^(.*/)\*$} ? qr/^\Q$1\E/
                                        : qr/^\Q$pattern\E$/;

    return { catalog => $catalog, events => $events,
             map { ($_, /$regex/ && ($_ ne '*' || $pattern eq '*')
                        ? { %have } : {}) } @REPOSITORIES, @DELETED, '*' };
}


# the sum of two
sub add {
    my ($a, $b) = @_;

    return { catalog => $a->{catalog} || $b->{catalog},
             events => $a->{events} || $b->{events},
             map { ($_, { %{ $a->{$_} }, %{ $b->{$_} } }) }
             @REPOSITORIES, @DELETED, '*' };
}


# caller_of(NAME, HEADERS, RIGHTS, MORE)
sub caller_of {
    my ($name, $headers, $may, %more) = @_;

    push(@callers, { name => $name, headers => $headers, server => '',
                     may => $may || rights('', '*'), %more });
}


sub basic {
    return [Authorization => 'Basic ' . encode_base64("$_[0]:$_[1]", '')];
}


# token_of(SCOPE MAP, ACTIONS, PATTERN)
sub token_of {
    my ($map, $actions, $pattern) = @_;

    my $name = "of$map";
    change('PUT', "tokens/$name", { scopeMap => $map });
    my $secret = change('POST', "tokens/$name/passwords/password1", {})
                 ->{value};
    caller_of("a token of $map", basic($name, $secret),
              rights($actions, $pattern), form =>
              "grant_type=password&username=$name&password=$secret");
}


sub change {
    my ($method, $what, $body) = @_;

    my $answer = $acr->request($method, "/acr/admin/access/$what",
                               body => encode_json($body));
    die "$method $what: " . $answer->text() . "\n" if $answer->status() >= 300;

    return $answer->status() == 200 ? $answer->json() : undef;
}


# ask(CALLER, METHOD, TARGET, MORE)
sub ask {
    my ($caller, @request) = @_;

    return (ask_all($caller, \@request))[0];
}


# ask_all(CALLER, REQUEST...): the answers.  They are sent at once, which takes
# a third of the time.
sub ask_all {
    my ($caller, @requests) = @_;

    my $http = $client{$caller->{server}}->kept();
    my $bytes = '';

    for (@requests) {
        my ($method, $target, %more) = @$_;
        my @headers = @{ $more{headers} || $caller->{headers} };

        push(@headers, 'Content-Type' => $more{type}) if $more{type};
        push(@headers, 'Content-Length' => length($more{body}))
            if defined $more{body};
        $bytes .= $http->head($method, $target, headers => \@headers)
                  . (defined $more{body} ? $more{body} : '');
    }

    $http->send($bytes);

    return map { $http->answer($_->[0]) || die "@$_: closed\n" } @requests;
}


# --- what is there

sub known_digest { return $digest{$_[0] =~ s/gap/app/r} }


# an upload that is there for all until somebody may end it
sub upload {
    my ($name) = @_;

    return "/v2/$name/blobs/uploads/0b8f3e0c-5ad5-4a4c-9b4e-2f1f3c6f7a10"
        if $name =~ /gap/;

    return $upload{$name} ||= $admin->upload($name);
}


sub offset {
    my ($name, $target) = @_;

    my $answer = $admin->get($target);

    return join(' ', $answer->status(), $answer->header('Range') || '');
}


# a manifest that is there for all until somebody may delete it
sub doomed {
    my ($name) = @_;

    $doomed{$name} ||= $admin->push_manifest($name, 'gone', $DOOMED)
        if $name !~ /gap/;

    return;
}


# ends an upload, if only this one has begun it
sub cancel {
    my ($name, $answer) = @_;

    $answer = $admin->delete($answer->location());
    die $answer->text() if $answer->status() != 204;
}


# has ended what is there for all
sub ended {
    my ($name) = @_;

    $upload{$name} = undef;
}


sub deleted {
    my ($name) = @_;

    remove($name, 'manifests/' . digest($DOOMED))
        if $admin->head("/v2/$name/manifests/" . digest($DOOMED))
                 ->status() == 200;
    $doomed{$name} = undef;
}


sub remove {
    my ($name, $what) = @_;

    my $answer = $admin->delete("/v2/$name/$what");
    die "$name/$what: " . $answer->text() if $answer->status() != 202;
}


# is in the lists again
sub listed {
    my ($target, $name) = @_;

    $target = $target->($name) if ref($target);
    $target =~ s/NAME/$name/;

    my $answer = $admin->request('PATCH', $target, body =>
        '{"listEnabled":true}', headers => ['Content-Type' => $JSON]);
    die "$target: " . $answer->text() if $answer->status() != 200;
}


# what no refused request may change
sub mark {
    my ($resource) = @_;

    return '' if $resource->{method} =~ /^(?:GET|HEAD)$/;
    return join(' ', map { my $value = $acr->{redis}->command(@$_);
                           defined $value ? $value : '' }
                ['GET', key('seq')], ['ZCARD', key('sessions')]);
}


# --- one caller and one resource

# nothing(NAME, COMPLAINT...): a test that there are none
sub nothing {
    my ($name, @wrong) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@wrong, $name) or diag(join("\n", @wrong));
}


# cases(CALLER, RESOURCE): what is wrong
sub cases {
    my ($caller, $resource) = @_;
    my (@wrong, @refused, @allowed);

    my $named = ref($resource->{target}) || !defined $resource->{target}
                || $resource->{target} =~ /NAME/;

    my @names = @REPOSITORIES;
    s/app/del/ for $resource->{deletes} ? @names : ();

    for my $name ($named ? @names : '') {
        if (may($caller, $resource, $name)) {
            push(@allowed, $name);
        } else {
            push(@refused, $name);
        }
    }

    push(@wrong, refused_cases($caller, $resource, @refused)) if @refused;
    push(@wrong, allowed_cases($caller, $resource, @allowed)) if @allowed;

    return @wrong;
}


sub may {
    my ($caller, $resource, $name) = @_;

    return 1 if $resource->{open};
    return @{ $caller->{headers} } > 0 if $resource->{known};

    my $may = $caller->{may};
    return $may->{$1} if $resource->{needs}[0] =~ /^(catalog|events)$/;

    my @needs = @{ $resource->{needs} };
    my $n = grep { $may->{$name}{$_} } @needs;

    return $resource->{any} ? $n > 0 : $n == @needs;
}


# request_of(RESOURCE, NAME): what ask() is given
sub request_of {
    my ($resource, $name) = @_;

    my $made = $resource->{setup} ? $resource->{setup}->($name) : undef;
    my $target = defined $made ? $made : $resource->{target};

    $target = $target->($name) if ref($target);
    $target =~ s/NAME/$name/;
    $target .= ($target =~ /\?/ ? '&' : '?') . $resource->{query}
        if $resource->{query};

    my $body = $resource->{body};
    $body = '' if !defined $body && $resource->{method} =~ /^P/;

    return ($resource->{method}, $target, type => $resource->{type},
            defined $body ? (body => $body) : ());
}


# what the challenges ask for
sub scopes_of {
    my ($resource, @names) = @_;

    return '' if !$resource->{needs};
    return $REGISTRY{$resource->{needs}[0]}
        if $REGISTRY{$resource->{needs}[0]};
    return map { "repository:$_:" . join(',', @{ $resource->{needs} }) } @names;
}


# all ways in which a caller can ask: as they are, and with a token that they
# have got for what the challenge says.  HEAD is GET with less to look at.
sub ways {
    my ($caller, $resource, @scopes) = @_;

    my $token = $resource->{open} || $resource->{method} eq 'HEAD'
        ? undef : token($caller, @scopes);

    return (['', $caller->{headers}],
            defined $token ? ['Bearer', [Authorization => "Bearer $token"]]
                           : ());
}


sub token {
    my ($caller, @scopes) = @_;

    my $query = join('', map { "&scope=$_" } grep { defined } @scopes);

    return $caller->{token}{$query} if exists $caller->{token}{$query};

    my $answer = ask($caller, 'GET', "/oauth2/token?service=$HOST$query");
    return $caller->{token}{$query}
        = $answer->status() == 200 ? $answer->json()->{access_token} : undef;
}


sub refused_cases {
    my ($caller, $resource, @names) = @_;
    my (@wrong, @asked, @requests, %seen);

    my %request = map { ($_, [request_of($resource, $_)]) } @names;
    my $kept = sub {
        return '' if !$resource->{kept};
        return join(',', map { $resource->{kept}->($_, $request{$_}[1]) }
                         @names);
    };
    my $before = mark($resource) . $kept->();

    for my $way (ways($caller, $resource, scopes_of($resource, @names))) {
        my ($how, $headers) = @$way;

        # a token of nobody is one
        next if $resource->{known} && $how;

        for my $name (@names) {
            push(@asked, [$name, $how, @$headers ? 'insufficient_scope'
                                                 : undef]);
            push(@requests, [@{ $request{$name} }, headers => $headers]);
        }
    }

    for my $answer (ask_all($caller, @requests)) {
        my ($name, $how, $error) = @{ shift(@asked) };

        push(@wrong, map { "$name $how: $_" }
                     challenge($answer, $resource, $name, $error));
        $seen{$error || ''}{text($answer, $name)} = 1;
    }

    # all are told the same, whatever there is
    push(@wrong, 'answers differ: ' . join("\n---\n", sort keys %$_))
        for grep { keys(%$_) > 1 } values(%seen);
    push(@wrong, 'something has changed')
        if mark($resource) . $kept->() ne $before;

    return @wrong;
}


# an answer in which the repository has no name, and that which differs always
# has no value
sub text {
    my ($answer, $name) = @_;

    my $text = join("\n", $answer->status(),
                    map({ "$_->[0]: $_->[1]" } @{ $answer->{headers} }),
                    '', $answer->body());

    $text =~ s/^(date|x-ms-correlation-request-id): .*/$1/mg;

    $text =~ s/\Q$name\E/NAME/g if $name ne '';

    return $text;
}


# challenge(ANSWER, RESOURCE, NAME, ERROR): what is wrong with it
sub challenge {
    my ($answer, $resource, $name, $error) = @_;
    my @wrong;

    my ($scope) = scopes_of($resource, $name);
    my $want = qq{Bearer realm="http://$HOST/oauth2/token",service="$HOST"}
               . ($scope ne '' ? qq{,scope="$scope"} : '')
               . (defined $error ? qq{,error="$error"} : '');
    my $got = $answer->header('WWW-Authenticate') || '';

    push(@wrong, 'status ' . $answer->status()) if $answer->status() != 401;
    push(@wrong, "challenge $got") if $got ne $want;

    return @wrong if $resource->{method} eq 'HEAD';

    my $detail = join(',', map { /^(?:catalog|events)$/
        ? qq({"Type":"registry","Name":"$_","Action":")
          . ($_ eq 'events' ? 'read' : '*') . '"}'
        : qq({"Type":"repository","Name":"$name","Action":"$_"}) }
        @{ $resource->{needs} || [] });

    # it is JSON, which is read more quickly so
    push(@wrong, 'body ' . $answer->body())
        if $answer->body() !~ /^\{"errors":\[\{"code":"UNAUTHORIZED",
                               "message":"[^"\\]*",
                               "detail":\[\Q$detail\E\]\}\]\}\n\z/x;

    return @wrong;
}


sub allowed_cases {
    my ($caller, $resource, @names) = @_;
    my (@wrong, @asked);

    my $from = $resource->{from};
    my @scopes = (scopes_of($resource, @names),
                  $from ? "repository:$from:pull" : ());

    @names = grep { !/gap/ || $resource->{absent} } @names;

    for my $way (ways($caller, $resource, @scopes)) {
        my ($how, $headers) = @$way;

        for my $name (@names) {
            push(@asked, [$name, $how, $headers]);
        }
    }

    # what changes something comes one after the other
    my $all = $resource->{undo} ? 1 : @asked;

    while (my @some = splice(@asked, 0, $all)) {
        my @answers = ask_all($caller, map {
            [request_of($resource, $_->[0]), headers => $_->[2]] } @some);
        push(@wrong, map { wrong($caller, $resource, @$_[0, 1],
                                 shift(@answers)) } @some);
    }

    return @wrong;
}


# wrong(CALLER, RESOURCE, NAME, WAY, ANSWER): what is wrong with it
sub wrong {
    my ($caller, $resource, $name, $how, $answer) = @_;

    my $gap = $name =~ /gap/;
    my $from = $resource->{from};
    my $want = $gap ? $resource->{absent} : $resource->{ok};

    # a mount is one from where one may read
    $want = $caller->{may}{$from}{pull} ? 201 : 202 if $from;

    return "$name $how: " . $answer->status() . " instead of $want: "
           . $answer->body() if $answer->status() != $want;

    $resource->{undo}->($name, $answer)
        if $resource->{undo} && (!$gap || $answer->status() == 202);

    return if !$resource->{lists} || $resource->{method} ne 'GET';
    return lists($caller, $how, $answer);
}


# the catalog has what the caller may read, or what its owner may
sub lists {
    my ($caller, $how, $answer) = @_;

    my $may = $caller->{may}{lists} || $caller->{may};
    my $want = join(' ', grep { /app/ || $doomed{$_} }
                         grep { $may->{$_}{pull} || $may->{$_}{metadata_read} }
                         @THERE);
    my $got = join(' ', @{ $answer->json()->{repositories} });

    return $got eq $want ? () : "$how lists $got";
}


# --- the token service

# tokens(CALLER): what is wrong with what it gives them
sub tokens {
    my ($caller) = @_;
    my (@wrong, $refresh);

    my @scopes = ((map { "repository:$_:*" } @REPOSITORIES, '*'),
                  'registry:catalog:*', 'registry:events:read');
    my $query = "service=$HOST" . join('', map { "&scope=$_" } @scopes);
    my $want = access_of($caller);
    my $check = sub {
        my ($how, $answer) = @_;

        push(@wrong, "$how: " . $answer->status() . $answer->body()), return
            if $answer->status() != 200;
        my $got = access($answer->json()->{access_token});
        push(@wrong, "$how gives $got, not $want") if $got ne $want;
        $refresh ||= $answer->json()->{refresh_token};
    };

    $check->('GET', ask($caller, 'GET', "/oauth2/token?$query"));
    $check->('GET again', ask($caller, 'GET',
                              "/oauth2/token?$query&offline_token=true"));
    my $answer = ask($caller, 'HEAD', "/oauth2/token?$query");
    push(@wrong, 'HEAD: ' . $answer->status()) if $answer->status() != 200;

    my $form = $caller->{form} || 'grant_type=password';
    my $post = sub {
        my ($what, $fields, $headers) = @_;
        return ask($caller, 'POST', "/oauth2/$what",
                   type => 'application/x-www-form-urlencoded',
                   body => $fields, headers => $headers);
    };

    # users and tokens are known by their headers; these have none of them
    $check->('POST', $post->('token', "$form&$query",
                             $caller->{form} ? [] : $caller->{headers}));

    if ($refresh) {
        $check->('POST of a refresh token', $post->('token',
                 "grant_type=refresh_token&refresh_token=$refresh&$query",
                 []));
        $answer = $post->('exchange', "grant_type=refresh_token&service=$HOST"
                          . "&refresh_token=$refresh", []);
        push(@wrong, 'exchange: ' . $answer->text())
            if $answer->status() != 200 || !$answer->json()->{refresh_token};
    }

    $answer = $post->('exchange', "grant_type=refresh_token&service=$HOST"
                      . '&refresh_token=x', $caller->{headers});
    push(@wrong, 'exchange of nothing: ' . $answer->status())
        if $answer->status() != 401;

    return @wrong;
}


# access_of(CALLER): what of all that is asked for they get
sub access_of {
    my ($caller) = @_;

    my $may = $caller->{may};

    return join(' ', map({ my $name = $_;
                           my @have = grep { $may->{$name}{$_} } @ACTIONS;
                           @have ? "repository:$name:" . join(',', @have) : () }
                         @REPOSITORIES, '*'),
                map { $may->{$_} ? $REGISTRY{$_} : () } qw(catalog events));
}


sub access {
    my ($token) = @_;

    my $claims = decode_json(decode_base64((split(/\./, $token))[1]
                                           =~ tr{-_}{+/}r));

    return join(' ', map { "$_->{type}:$_->{name}:"
                           . join(',', @{ $_->{actions} }) }
                     @{ $claims->{access} });
}
