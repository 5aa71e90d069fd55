#!/usr/bin/perl

# What registries elsewhere ask for before they answer, and what the client
# does then: challenges of every shape, tokens, and where credentials go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Provider;
use ACR::Remote;

my $dir = work_dir();
my $up = ACR::Provider->start($dir);
my $service = ACR::Provider->start($dir);
my ($url, $realm) = ($up->url(), $service->url() . '/token');
my $local = "http://localhost:$service->{port}/token";
my $away = "http://localhost:$service->{port}/away";
my $secret = basic('me', 'pass word');

spew("$dir/password", "pass word\n");
spew("$dir/identity", "identity+token\n");
chmod(0644, "$dir/password", "$dir/identity");

# each remote is a new one, of the same server, with all that it remembers
my $acr = start(server => $ADMIN, http => <<"CONF"
    acr_credential_set me user=me password_file=$dir/password;
    acr_credential_set id token_file=$dir/identity;
CONF
    . remotes('plain', 'bearer', 'service', 'share', 'errors', 'final',
              'redirect', 'refused', 'none')
    . remotes_with('credentials=me', 'me', 'basic', 'both', 'stolen', 'apart')
    . remotes_with('credentials=id', 'id')
    . remotes_with("realm=http://localhost:1/", 'listed'));

shapes();
bearer_tokens();
credentials();
identity();
errors();
elsewhere();
places();
blobs();
ending();
finish();


sub remotes { return remotes_with('', @_) }


sub remotes_with {
    my ($parameters, @names) = @_;

    return join('', map { "acr_remote $_.test $url $parameters;\n" } @names);
}


# asked(SERVER, PATTERN): what was asked since the last time
my %seen;

sub asked {
    my ($server, $pattern) = @_;

    my @lines = $server->requests();
    my $from = $seen{$server->{port}} || 0;
    $seen{$server->{port}} = @lines;

    return grep { !defined $pattern || /$pattern/ } @lines[$from .. $#lines];
}


# --- challenges

sub shapes {
    $up->answers('/v2/' => { body => '{}' });
    my $outcome = check($acr, 'plain.test');
    comes_of($outcome, 'ok', undef, 'a registry that asks for nothing');
    is($outcome->{authentication}, 'none', 'with nothing');
    is($outcome->{status}, 200, 'and its status');
    ok($outcome->{reachable}, 'it is reachable');
    is_deeply([asked($up)], ['GET /v2/'], 'asked once');

    $service->answers("/token?service=s" => token('T'),
                      '/token' => token('T'), '/token?x=1' => token('T'),
                      '/token?x=1&service=a%26b%3Dc%20d' => token('T'),
                      '/token?scope=a&scope=b%3Ac%3Apull' => token('T'));

    my %with = ('Bearer T' => { body => '{}' });
    my $known = 'WWW-Authenticate: ';

    # the lines of the header, and what the service is asked for
    my @case = (
        ["Bearer realm=\"$realm\"", '/token'],
        ["bearer REALM=\"$realm\" , Service = \"s\"", '/token?service=s'],
        ["Bearer realm=\"$realm\",service=s", '/token?service=s'],
        ["Bearer realm=\"$realm?x=1\"", '/token?x=1'],
        ["Bearer realm=\"$realm?x=1\",service=\"a&b=c d\"",
         '/token?x=1&service=a%26b%3Dc%20d'],
        ["Bearer realm=\"$realm\",scope=\"a  b:c:pull\"",
         '/token?scope=a&scope=b%3Ac%3Apull'],
        ["Negotiate, Basic realm=\"x\", Bearer realm=\"$realm\"", '/token'],
        ["Negotiate abc==\0Basic realm=\"x\"\0Bearer realm=\"$realm\"\0"
         . "Digest realm=\"$realm?y\", nonce=\"a\"", '/token'],
        ["Bearer realm=\"" . $realm =~ s/t/\\t/gr . "\"", '/token'],
        ["Bearer realm=x, realm=y, Bearer realm=\"$realm\"", '/token'],
    );

    for my $case (@case) {
        my ($lines, $target) = @$case;
        $acr->reload();
        $up->answers('/v2/' => { status => 401, with => \%with,
                                 headers => [map { $known . $_ }
                                             split(/\0/, $lines)] });
        asked($service);
        comes_of(check($acr, 'plain.test'), 'ok', undef,
                 $lines =~ s/\0/ | /gr);
        is_deeply([asked($service)], ["GET $target"], "asks for $target");
    }

    my $no = qr/^it answers 401 without a challenge that is known$/;
    my $none = qr/^its token service has no good URL$/;

    @case = (
        ['', $no], ['Negotiate', $no], ['Bearer', $no],
        ['Bearer service="x"', $no], ["Bearer realm=$realm", $no],
        ["Bearer realm=\"$realm", $no],
        ["Bearer realm=\"$realm\",x=\"" . ' ' x 9000 . '"', $no],
        ['Bearer realm="/token"', $none], ['Bearer realm="x y"', $none],
        ['Bearer realm="file:///etc/passwd"', $none],
        ["Bearer realm=\"$realm#x\"", $none],
        ["Bearer realm=\"http://a:b\@127.0.0.1/\"", $none],
        ['Bearer realm="' . $realm . '",scope="' . 'x' x 2000 . '"',
         qr/^its challenge has too long a scope$/],
        ['Basic realm="x"', qr/^it wants a user and a password$/],
    );

    asked($service);

    for my $case (@case) {
        my ($line, $error) = @$case;
        $up->answers('/v2/' => { status => 401,
                                 headers => [$line eq '' ? () :
                                             $known . $line] });
        comes_of(check($acr, 'refused.test'), 'denied', $error,
                 substr($line, 0, 60) || 'no challenge');
    }

    is_deeply([asked($service)], [], 'nobody is asked for a token then');
}


# --- tokens

sub bearer_tokens {
    my $args = 'service=s&scope=repository%3Alib%2Fa%3Apull';
    my $target = '/v2/lib/a/manifests/latest';
    my $digest = digest('x');
    my %found = (body => '{}', headers => ["Docker-Content-Digest: $digest"]);

    $service->answers("/token?$args" => token('A'),
                      "/token?" . $args =~ s/lib/oth/r => token('B'));
    $up->answers($target => bearer($realm, service => 's',
                                   scope => 'repository:lib/a:pull',
                                   with => { 'Bearer A' => \%found }),
                 $target =~ s/lib/oth/r
                 => bearer($realm, service => 's',
                           with => { 'Bearer B' => \%found }));
    asked($up);
    asked($service);

    my $outcome = check($acr, 'bearer.test', repository => 'lib/a');
    comes_of($outcome, 'ok', undef, 'a token for a scope');
    is($outcome->{digest}, $digest, 'and an answer');
    is($outcome->{authentication}, 'bearer', 'that needed one');
    is($outcome->{tokens}, 1, 'which is kept');
    is_deeply([asked($up)], ["HEAD $target", "HEAD $target Bearer A"],
              'asked twice');
    is_deeply([asked($service)], ["GET /token?$args"],
              'the service once, without credentials');

    comes_of(check($acr, 'bearer.test', repository => 'lib/a'), 'ok', undef,
             'again');
    is_deeply([asked($up)], ["HEAD $target Bearer A"], 'asked once');
    is_deeply([asked($service)], [], 'and the service not at all');

    # the service is known by now
    comes_of(check($acr, 'bearer.test', repository => 'oth/a'), 'ok', undef,
             'another scope');
    is_deeply([asked($up)], ['HEAD ' . $target =~ s/lib/oth/r . ' Bearer B'],
              'asked once');
    is(remote($acr, 'bearer.test')->{tokens}, 2, 'two tokens');

    # a token that is good no more
    $service->answers("/token?$args" => token('A2'));
    $up->answers($target => bearer($realm, service => 's',
                                   with => { 'Bearer A2' => \%found }));
    asked($up);
    comes_of(check($acr, 'bearer.test', repository => 'lib/a'), 'ok', undef,
             'a token that has ended early');
    is_deeply([asked($up)], ["HEAD $target Bearer A", "HEAD $target Bearer A2"],
              'is replaced by another');

    # the fresh one is not good either: that is final
    $up->answers('/v2/' => bearer($realm));
    $service->answers('/token' => token('C'));
    asked($up);
    comes_of(check($acr, 'final.test'), 'denied', qr/^it answers 401$/,
             '401 with a fresh token');
    is_deeply([asked($up)], ['GET /v2/', 'GET /v2/ Bearer C'], 'is final');
    comes_of(check($acr, 'final.test'), 'denied', qr/^it answers 401$/,
             'and again');
    is_deeply([asked($up)], [('GET /v2/ Bearer C') x 2], 'asked twice');

    # shared
    $service->answers('/token' => { %{ token('D') }, stall => 1 });
    $up->answers('/v2/' => bearer($realm, with => {
                               'Bearer D' => { body => '{}' } }));
    asked($service);
    asked($up);

    my @outcomes = parallel((map { sub { check($acr, 'share.test') } } 1 .. 5),
        sub {
            wait_for(sub { $up->requests() >= 5 + ($seen{$up->{port}} || 0) });
            wait_for(sub { open_to($up) == 0 });
            $service->answers('/token' => token('D'));
            return 1;
        });
    is(join(' ', map { $_->{result} } @outcomes[0 .. 4]), 'ok ' x 4 . 'ok',
       'five that wait for one token');
    is(scalar(asked($service)), 1, 'which is fetched once');
    is(scalar(asked($up, qr/Bearer D/)), 5, 'and used by all');

    # by its own name, and for its own time
    for my $body ('{"access_token":"E"}', '{"token":"","access_token":"E"}',
                  '{"token":null,"access_token":"E","expires_in":"x"}',
                  '{"token":"E","access_token":"F","expires_in":-5}')
    {
        $acr->reload();
        $service->answers('/token' => { body => $body });
        $up->answers('/v2/' => bearer($realm, with => {
                                   'Bearer E' => { body => '{}' } }));
        comes_of(check($acr, 'plain.test'), 'ok', undef, $body);
        asked($service);
        comes_of(check($acr, 'plain.test'), 'ok', undef, 'it is kept');
        is(scalar(asked($service)), 0, 'for a while');
    }

    $acr->reload();
    $service->answers('/token' => { body => '{"token":"E","expires_in":1}' });
    asked($service);
    comes_of(check($acr, 'plain.test'), 'ok', undef, 'one that lives a second');
    ok(wait_for(sub {
           check($acr, 'plain.test');
           scalar(asked($service)) > 0 && $service->requests() > 1;
       }), 'is fetched again');
}


# established connections to a server, by its end
sub open_to {
    my ($server) = @_;

    my $port = sprintf(':%04X', $server->{port});

    return grep { /^ *\d+: \S+$port \S+ 01 / }
           split(/\n/, slurp('/proc/net/tcp'));
}


# --- credentials

sub credentials {
    $service->answers('/token' => { status => 401, with => {
                          $secret => token('M') } });
    $up->answers('/v2/' => bearer($realm, with => {
                               'Bearer M' => { body => '{}' } }));
    asked($service);
    asked($up);
    comes_of(check($acr, 'me.test'), 'ok', undef, 'a token for a user');
    is_deeply([asked($service)], ["GET /token $secret"],
              'whose password the service has seen');
    is_deeply([asked($up)], ['GET /v2/', 'GET /v2/ Bearer M'],
              'and nobody else');

    $up->answers('/v2/' => { status => 401,
                             headers => ['WWW-Authenticate: Basic realm=x'],
                             with => { $secret => { body => '{}' } } });
    comes_of(check($acr, 'basic.test'), 'ok', undef, 'Basic');
    is_deeply([asked($up)], ['GET /v2/', "GET /v2/ $secret"], 'when asked for');
    my $outcome = check($acr, 'basic.test');
    is($outcome->{authentication}, 'basic', 'from then on');
    is_deeply([asked($up)], ["GET /v2/ $secret"], 'at once');

    $up->answers('/v2/' => { status => 401,
                             headers => ['WWW-Authenticate: Basic realm=x'] });
    comes_of(check($acr, 'basic.test'), 'denied',
             qr/^it does not take the user and the password$/,
             'a password that is none');
    is(scalar(asked($up)), 1, 'is sent once');
    comes_of(check($acr, 'both.test'), 'denied', qr/^it answers 401$/,
             'also if it is the first time');
    asked($up);

    # what has changed in the file is seen
    spew("$dir/password.new", "other\r\n");
    chmod(0644, "$dir/password.new");
    rename("$dir/password.new", "$dir/password") or die "rename: $!";
    my $other = basic('me', 'other');
    $up->answers('/v2/' => { status => 401,
                             headers => ['WWW-Authenticate: Basic realm=x'],
                             with => { $other => { body => '{}' } } });
    ok(wait_for(sub { check($acr, 'basic.test')->{result} eq 'ok' }),
       'a password that has changed is read again');
    like($acr->log_text(), qr/acr: credential set "me" has changed/,
         'as the log says');
    unlike($acr->log_text(), qr/other|pass word/, 'which has no passwords');

    unlink("$dir/password");
    ok(wait_for(sub {
           check($acr, 'basic.test');
           $acr->log_text() =~ /set "me" stays as it was: .*cannot be opened/;
       }), 'a file that is gone');
    comes_of(check($acr, 'basic.test'), 'ok', undef, 'changes nothing');
    spew("$dir/password", "pass word\n");
    chmod(0644, "$dir/password");
    ok(wait_for(sub { check($acr, 'basic.test')->{result} eq 'denied' }),
       'until it is back');
}


# --- identity tokens

sub identity {
    my $body = 'grant_type=refresh_token&client_id=ngx_http_acr_module'
        . '&refresh_token=identity%2Btoken&service=s'
        . '&scope=repository%3Aa%3Apull';
    my $target = '/v2/a/manifests/x';

    $service->answers('/token' => { body => '{"access_token":"I",'
                                    . '"refresh_token":"other"}' });
    $up->answers($target => bearer($realm, service => 's',
                                   scope => 'repository:a:pull', with => {
                                       'Bearer I' => { body => '{}' } }));
    asked($service);
    comes_of(check($acr, 'id.test', repository => 'a', reference => 'x'), 'ok',
             undef, 'an identity token');
    is_deeply([asked($service)], ["POST /token $body"], 'is posted');

    $service->answers('/token' => { status => 400 });
    $acr->reload();
    comes_of(check($acr, 'id.test', repository => 'a', reference => 'x'),
             'denied', qr/^its token service answers 400$/,
             'one that is good no more');

    $service->answers('/token' => { status => 307, location => $away });
    $acr->reload();
    comes_of(check($acr, 'id.test', repository => 'a', reference => 'x'),
             'failed', qr/redirects a body to another origin/,
             'it goes to no other origin');

    $up->answers('/v2/' => { status => 401,
                             headers => ['WWW-Authenticate: Basic realm=x'] });
    comes_of(check($acr, 'id.test'), 'denied',
             qr/^it wants a user and a password$/, 'it is no password');
}


# --- a token service that fails

sub errors {
    my $blanks = ' ' x 60000;

    for my $case (
        [{ status => 500 }, 'failed', qr/^its token service answers 500$/],
        [{ status => 404 }, 'failed', qr/^its token service answers 404$/],
        [{ status => 401 }, 'denied', qr/^its token service answers 401$/],
        [{ status => 403 }, 'denied', qr/^its token service answers 403$/],
        [{ status => 429 }, 'limited', qr/^its token service answers 429$/],
        [{ close => 1 }, 'failed', qr/^its token service: \w/],
        [{ body => '' }, 'failed', qr/^its token service: \w/],
        [{ body => '{' }, 'failed', qr/^its token service: \w/],
        [{ body => '["token"]' }, 'failed', qr/^its token service: \w/],
        [{ body => '{}' }, 'failed', qr/there is no token in its answer$/],
        [{ body => '{"token":5}' }, 'failed', qr/there is no token/],
        [{ body => '{"token":""}' }, 'failed', qr/there is no token/],
        [{ body => '{"token":"a b"}' }, 'failed', qr/cannot be in a header$/],
        [{ body => '{"token":"a\\r\\nX: y"}' }, 'failed',
         qr/cannot be in a header$/],
        [{ body => '{"token":"' . 'x' x 16385 . '"}' }, 'failed',
         qr/its token is too long$/],
        [{ body => '{"token":"x"' . $blanks . $blanks . '}' }, 'failed',
         qr/more than 65536 bytes$/],
        [{ size => 1e9, chunked => 1 }, 'failed', qr/more than 65536 bytes$/],
        [{ status => 302, location => $away }, 'failed',
         qr/its address must not be asked$/],
        [{ status => 302, location => '/token' }, 'failed',
         qr/redirects too often$/],
    ) {
        my ($rule, $result, $error) = @$case;

        $up->answers('/v2/' => bearer($realm));
        $service->answers('/token' => $rule);
        $acr->reload();
        comes_of(check($acr, 'errors.test'), $result, $error,
                 substr(join(' ', %$rule), 0, 60));
    }
}


# --- answers of others

sub elsewhere {
    my $moved = '/token2';

    # what the service redirects to must not see the password
    $service->answers('/token' => { status => 302, location => $moved },
                      $moved => { status => 401, with => {
                          $secret => token('R') } });
    $up->answers('/v2/' => bearer($realm, with => {
                               'Bearer R' => { body => '{}' } }));
    comes_of(check($acr, 'apart.test'), 'ok', undef,
             'a service may redirect to itself');

    my $third = ACR::Provider->start($dir);
    $acr->reload();
    $service->answers('/token' => { status => 302,
                                    location => $third->url() . '/t' });
    $third->answers('/t' => token('R'));
    comes_of(check($acr, 'apart.test'), 'ok', undef, 'or to another port');
    is_deeply([$third->requests()], ['GET /t'], 'which gets no password');

    # a challenge of somebody else is none of the remote's
    $third->answers('/blob' => bearer($third->url() . '/steal'),
                    '/steal' => token('S'));
    $up->answers('/v2/' => { status => 307,
                             location => $third->url() . '/blob' });
    comes_of(check($acr, 'stolen.test'), 'denied',
             qr/^it answers 401, where it redirects to$/,
             'a challenge after a redirect');
    is_deeply([$third->requests(qr/steal/)], [], 'is not met');

    # a bearer token does not follow, either
    $third->answers('/blob' => { body => '{}' });
    $service->answers('/token' => token('R'));
    $up->answers('/v2/' => bearer($realm, with => { 'Bearer R' => {
                               status => 307,
                               location => $third->url() . '/blob' } }));
    comes_of(check($acr, 'stolen.test'), 'ok', undef, 'a redirect is followed');
    is(($third->requests(qr/blob/))[-1], 'GET /blob', 'without the token');
    ok(remote($acr, 'stolen.test')->{registry}{down} == 0, 'nobody is down');
}


# --- where a token service may be

sub places {
    $service->answers('/token' => token('L'));
    $up->answers('/v2/' => bearer($local, with => {
                               'Bearer L' => { body => '{}' } }));
    asked($service);
    comes_of(check($acr, 'service.test'), 'failed',
             qr/its address must not be asked$/,
             'a private address that nobody has written');
    is(scalar(asked($service)), 0, 'is not asked');
    comes_of(check($acr, 'listed.test'), 'ok', undef,
             'unless the operator has listed its host');

    # beside it, the remote's own host stays good
    $acr->reload();
    $up->answers('/v2/' => bearer($realm, with => {
                               'Bearer L' => { body => '{}' } }));
    comes_of(check($acr, 'listed.test'), 'ok', undef, 'or it is the remote');

    $up->answers('/v2/' => bearer('http://169.254.169.254/latest'));
    comes_of(check($acr, 'none.test'), 'failed',
             qr/its address must not be asked$/, 'nor those of clouds');
}


# --- content that comes piece by piece

sub blobs {
    my $third = ACR::Provider->start($dir);
    my $digest = digest('x');
    my $path = "/v2/a/blobs/$digest";
    my $blob = sub { return check($acr, 'share.test', repository => 'a',
                                  blob => $digest) };
    my $serve = sub {
        my ($rule) = @_;
        $up->answers($path => bearer($realm, with => { 'Bearer P' => {
                                  status => 307,
                                  location => $third->url() . '/data' } }));
        $third->answers('/data' => $rule);
    };

    $acr->reload();
    $service->answers('/token?scope=repository%3Aa%3Apull' => token('P'));

    for my $case ([{ size => 1000 }, 1000], [{ blanks => 0 }, 0],
                  [{ size => 65536, status => 206 }, 65536],
                  [{ size => 10000, chunked => 1 }, 10000])
    {
        my ($rule, $size) = @$case;
        $serve->($rule);
        my $outcome = $blob->();
        comes_of($outcome, 'ok', undef, join(' ', %$rule));
        is($outcome->{received}, $size, 'has all its bytes');
    }

    $serve->({ size => 1e8 });
    my $outcome = $blob->();
    comes_of($outcome, 'ok', undef, 'a blob of which all is sent');
    cmp_ok($outcome->{received}, '<', 200000, 'is given up when it is enough');
    ok(!$outcome->{registry}{down}, 'which says nothing of the remote');

    # where it redirects to is no part of the remote
    for my $case ([{ size => 1000, cut => 500 }, 'failed', qr/\w/],
                  [{ status => 404 }, 'missing', qr/404/],
                  [{ status => 404, blanks => 100000 }, 'missing', qr/404/],
                  [{ status => 403 }, 'denied', qr/403/],
                  [{ status => 429, headers => ['Retry-After: 60'] },
                   'limited', qr/429/],
                  [{ status => 500 }, 'failed', qr/500/])
    {
        my ($rule, $result, $error) = @$case;
        $serve->($rule);
        $outcome = $blob->();
        comes_of($outcome, $result, $error, join(' ', %$rule));
        ok(!$outcome->{registry}{down}, 'it is not down');
        is($outcome->{retryAfter}, 0, 'and may be asked');
    }

    # but it is if it breaks off itself
    $up->answers($path => { size => 1000, cut => 500 });
    $outcome = $blob->();
    comes_of($outcome, 'failed', qr/\w/, 'one that breaks off');
    is($outcome->{received}, 500, 'after some bytes');
    ok($outcome->{registry}{down}, 'is assumed to be down');
    $up->answers($path => { size => 1000 });
    comes_of($blob->(), 'ok', undef, 'until it is asked again');
    ok(!remote($acr, 'share.test')->{registry}{down}, 'and is back');
}


# --- a worker that is to end

sub ending {
    my $target = '/v2/';

    for my $stalls ($up, $service) {
        $acr->reload();
        $up->answers($target => bearer($realm, with => {
                                    'Bearer W' => { body => '{}' } }));
        $service->answers('/token' => token('W'));
        asked($stalls);

        my $path = $stalls == $up ? $target : '/token';
        my $rule = $stalls->{rules}{$path};
        $stalls->answers($path => { %$rule, stall => 1 });

        my @http = map { ask('share.test') } 1 .. 3;
        my $gone = ask('me.test');

        # the three share a token
        my $n = $seen{$stalls->{port}} + ($stalls == $up ? 4 : 2);
        ok(wait_for(sub { @{[$stalls->requests()]} >= $n }), 'all have asked');
        $gone->close();
        $acr->reload();
        $stalls->answers($path => $rule);

        is(join(' ', map { $_->answer('POST')->json()->{result} } @http),
           'ok ok ok', "an old worker goes on, waiting for $path");
        $_->close() for @http;
    }
}


# ask(HOST): a connection where a check is under way
sub ask {
    my ($host) = @_;

    my $http = $acr->connect();
    $http->send("POST /acr/admin/remotes/$host/check HTTP/1.1\r\nHost: a\r\n"
                . "Content-Length: 0\r\n\r\n");

    return $http;
}
