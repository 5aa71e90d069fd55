#!/usr/bin/perl

# What the registry fetches for itself, by the keys of OpenID providers: from
# where, over what, and what it does not take.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::OIDC;
use ACR::Provider;
use JSON::PP qw(encode_json);

my $NOBODY = '00000000-0000-0000-0000-000000000000';
my $WELL_KNOWN = '/.well-known/openid-configuration';
my $REFUSED = 'its address must not be asked';

my $dir = work_dir();
my $server = ACR::Provider->start($dir);
my $http = $server->url();
my $idp = ACR::OIDC->new("$http/good", $dir, kid => 'k');

plain();
tls();
proxy();
configuration();
finish();


# --- http

sub plain {
    my $meta = 'http://169.254.169.254/latest';
    my $local = "http://localhost:$server->{port}";
    my %keys = (body => $idp->jwks());

    # what is answered, and the cause in the log; none if it is fine
    my %case = (
        good => [{}],
        moved => [{ '' => { status => 302, location => '/moved/a' },
                    '/a' => { status => 303, location => 'b?c=d' },
                    '/moved/b?c=d' => { status => 307, location => '//'
                        . $server->address() . '/moved/c' },
                    '/c' => { status => 308, location => "$http/moved/d" },
                    '/d' => { status => 301, location => '/moved/e' },
                    '/e' => document('moved') }],
        six => [{ '' => { status => 302, location => '/six/1' },
                  map { ("/$_" => { status => 302, location => '/six/'
                                        . ($_ + 1) }) } 1 .. 5 },
                'it redirects too often'],
        loop => [{ '' => { status => 301,
                           location => "/loop$WELL_KNOWN" } },
                 'it redirects too often'],
        host => [{ '' => { status => 302, location => "$local/host/a" } },
                 $REFUSED],
        form => [{ '' => { status => 302, location => 'http://0x7f.1:'
                               . "$server->{port}/form/a" },
                   '/a' => document('form') }],
        file => [{ '' => { status => 302, location => 'file:///etc/passwd' } },
                 'it redirects to where it must not: the URL is neither of '
                 . 'http nor of https'],
        user => [{ '' => { status => 302,
                           location => $http =~ s{//}{//a:b@}r } },
                 'it redirects to where it must not: the URL has a user or a '
                 . 'password'],
        blank => [{ '' => { status => 302, location => '/a b' } },
                  'it redirects to where it must not: the URL has characters '
                  . 'that no URL has'],
        where => [{ '' => { status => 302 } }, 'it answers 302'],
        meta => [{ '' => document('meta', jwks_uri => $meta) }, $REFUSED],
        mapped => [{ '' => document('mapped',
                                    jwks_uri => 'http://[::ffff:a9fe:a9fe]/')
                   }, $REFUSED],
        away => [{ '' => document('away', jwks_uri => "$local/away/keys") },
                 $REFUSED],
        any => [{ '' => document('any', jwks_uri => 'http://0.0.0.0:'
                                 . $server->{port}) }, $REFUSED],
        ftp => [{ '' => document('ftp', jwks_uri => 'ftp://127.0.0.1/') },
                'its "jwks_uri" cannot be fetched'],
    );

    my $acr = start(http => issuers());
    run_cases($acr, \%case, \%keys);
    answers($acr->as($NOBODY, $idp->token())->get('/v2/'), 200,
            'a token that the keys are of');

    %case = (
        long => [{ '' => { blanks => 65537 } },
                 'its answer has more than 65536 bytes'],
        keys => [{ '/keys' => { blanks => 262145 } },
                 'its answer has more than 262144 bytes'],
        other => [{ '' => document('other', issuer => "$http/OTHER") },
                  'it is of another issuer'],
        slash => [{ '' => document('slash', issuer => "$http/slash/") },
                  'it is of another issuer'],
        nobody => [{ '' => document('nobody', issuer => undef) },
                   'it is of another issuer'],
        nowhere => [{ '' => document('nowhere', jwks_uri => undef) },
                    'it has no "jwks_uri"'],
        json => [{ '' => { body => '{' } }, qr/\w.*/],
        gone => [{ '' => { status => 410 } }, 'it answers 410'],
        broken => [{ '/keys' => { status => 503 } }, 'it answers 503'],
        none => [{ '/keys' => { body => '{"keys":[]}' } },
                 'there is none that can be used'],
        html => [{ '/keys' => { body => '<html>' } }, 'it is no JWK set'],
    );

    run_cases($acr, \%case, \%keys);

    # a name of the operator may be of this machine, and a JWK set is enough
    $server->answers('/set' => \%keys);
    $acr->reload(http => issuers("$local/x" => "jwks=$local/set"));
    ok(wait_for(sub { $acr->log_text() =~ /\/x": 1 keys/ }),
       'a key set of a host with a name');
    ok(!$server->requests(qr{/x/\.well-known}), 'without discovery');
    ok(wait_for(sub { !connections_to($server->{port}) }),
       'no connection is kept that the server closes');
}


# what is open, or closed by the server and kept by the client
sub connections_to {
    my ($port) = @_;

    my $to = sprintf('0100007F:%04X', $port);

    return grep { /^ *\d+: \S+ $to 0[18] / }
           split(/\n/, slurp('/proc/net/tcp'));
}


# run_cases(NODE, CASES, KEYS): each is an issuer
sub run_cases {
    my ($acr, $case, $keys) = @_;

    for my $name (keys %$case) {
        my %rules = ('' => document($name), '/keys' => $keys,
                     %{ $case->{$name}[0] });

        $server->answers(map {
            my $target = $_ eq '' ? "/$name$WELL_KNOWN"
                         : m{^/$name/} ? $_ : "/$name$_";
            ($target => $rules{$_});
        } keys %rules);
    }

    $acr->reload(http => issuers(map { ("$http/$_" => '') } keys %$case));

    for my $name (sort keys %$case) {
        told($acr, "$http/$name", $case->{$name}[1], $name);
    }
}


# document(NAME, MEMBERS): a discovery document, with other members
sub document {
    my ($name, %change) = @_;

    my %member = (issuer => "$http/$name", jwks_uri => "$http/$name/keys",
                  %change);

    return { body => encode_json({ map { $_ => $member{$_} }
                                   grep { defined $member{$_} }
                                   keys %member }) };
}


# issuers(URL => PARAMETERS, ...): directives
sub issuers {
    my (@issuers) = @_;

    my ($conf, $n) = ("acr_auth on; acr_auth_failures 10000;\n", 0);

    while (my ($url, $more) = splice(@issuers, 0, 2)) {
        my $prefix = sprintf('p%02d:', ++$n);
        $conf .= "acr_oidc_issuer $url audience=acr prefix=$prefix $more;\n";
        $conf .= "acr_role user:${prefix}alice AcrPull;\n";
    }

    return $conf;
}


# told(NODE, ISSUER, CAUSE, NAME): what the log says; without a cause that there
# are keys
sub told {
    my ($acr, $issuer, $cause, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $wanted = '1 keys';

    if (defined $cause) {
        $cause = quotemeta($cause) if !ref($cause);
        $wanted = "cannot get its (?:keys|discovery document): $cause; "
            . 'next try in 1 s';
    }

    $wanted = qr/acr: issuer "\Q$issuer\E": $wanted/;

    return ok(wait_for(sub { $acr->log_text() =~ $wanted }), $name)
        || diag(join("\n", grep { /\Q$issuer\E"/ }
                           split(/\n/, $acr->log_text())));
}


# --- https

sub tls {
    my $ports = {};
    my ($fine, $wrong, $unknown, $old) =
        map { ACR::Node::free_port($ports) } 1 .. 4;

    authority('ca');
    authority('other');
    certificate('fine', 'ca', 'DNS:localhost,IP:127.0.0.1');
    certificate('wrong', 'ca', 'DNS:idp.test');
    certificate('unknown', 'other', 'DNS:localhost,IP:127.0.0.1');

    my $servers = tls_server($fine, 'fine') . tls_server($wrong, 'wrong')
        . tls_server($unknown, 'unknown')
        . tls_server($old, 'fine', 'ssl_protocols TLSv1.1;');

    for my $case ([fine => $fine], [wrong => $wrong], [unknown => $unknown],
                  [old => $old], [down => $fine], [plain => $fine],
                  [name => $fine, 'localhost'])
    {
        my ($name, $port, $host) = @$case;
        my $base = 'https://' . ($host || '127.0.0.1') . ":$port/tls/$name";
        $server->answers("/tls/$name$WELL_KNOWN" => document('tls',
                             issuer => $base, jwks_uri => "$base/keys"),
                         "/tls/$name/keys" => { body => $idp->jwks() });
    }

    my $base = "https://127.0.0.1:$fine/tls";

    $server->answers(
        "/tls/down$WELL_KNOWN" => { status => 302,
                                    location => "$http/tls/down/a" },
        "/tls/plain$WELL_KNOWN" => document('tls', issuer => "$base/plain",
                                            jwks_uri => "$http/good/keys"));

    my $conf = issuers("$base/fine" => '', "$base/down" => '',
                       "$base/plain" => '',
                       "https://localhost:$fine/tls/name" => '',
                       "https://127.0.0.1:$wrong/tls/wrong" => '',
                       "https://127.0.0.1:$unknown/tls/unknown" => '',
                       "https://127.0.0.1:$old/tls/old" => '');

    my $acr = start(servers => $servers, http => $conf
                    . "acr_fetch_trusted_certificate $dir/ca.crt;");

    # what a new OpenSSL says of a server with a protocol that it has no more
    $acr->allow(qr/SSL_do_handshake.*no protocols available/);

    told($acr, "$base/fine", undef, 'a certificate of a private authority');
    told($acr, "https://localhost:$fine/tls/name", undef, 'for a name');
    told($acr, "$base/down", 'it redirects to where it must not: from https '
         . 'to http', 'a redirect to http');
    told($acr, "$base/plain", 'its "jwks_uri" is not of https',
         'keys of http');
    told($acr, "https://127.0.0.1:$wrong/tls/wrong",
         qr/SSL: no alternative certificate .*/,
         'a certificate of somebody else');
    told($acr, "https://127.0.0.1:$unknown/tls/unknown",
         qr/SSL certificate problem: .*/, 'an unknown authority');
    told($acr, "https://127.0.0.1:$old/tls/old", qr/.*(?:alert|version).*/,
         'TLS 1.1');
    is(scalar($server->requests(qr{/tls/(?:wrong|unknown|old)})), 0,
       'nothing is asked of a server that is not known');

    # what the system trusts does not have our authority
    $acr->reload(http => $conf);
    told($acr, "$base/fine", qr/SSL certificate problem: .*/,
         'the system does not trust it');
}


sub tls_server {
    my ($port, $name, $more) = @_;

    $more = '' if !defined $more;

    return <<"CONF";
        server {
            listen 127.0.0.1:$port ssl;
            ssl_certificate $dir/$name.crt;
            ssl_certificate_key $dir/$name.key;
            $more
            location / {
                proxy_pass $http;
                proxy_redirect off;
            }
        }
CONF
}


sub authority {
    my ($name) = @_;

    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            . " -subj /CN=$name -days 2 -keyout $dir/$name.key"
            . " -out $dir/$name.crt");
}


sub certificate {
    my ($name, $authority, $names) = @_;

    spew("$dir/$name.ext", "subjectAltName=$names\n");
    openssl('req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            . " -subj /CN=$name -keyout $dir/$name.key -out $dir/$name.csr");
    openssl("x509 -req -in $dir/$name.csr -days 2 -CA $dir/$authority.crt"
            . " -CAkey $dir/$authority.key -CAcreateserial"
            . " -extfile $dir/$name.ext -out $dir/$name.crt");
}


sub openssl {
    my ($arguments) = @_;

    system("openssl $arguments 2> $dir/openssl.log") == 0
        or die 'openssl has failed: ' . slurp("$dir/openssl.log");
}


# --- through a proxy

sub proxy {
    my $proxy = ACR::Provider->start($dir);
    my $port = ACR::Node::free_port($proxy);
    my $base = "https://127.0.0.1:$port/proxied";
    my $meta = "https://169.254.169.254/keys";

    $server->answers("/proxied$WELL_KNOWN" => document('', issuer => $base,
                         jwks_uri => "$base/keys"),
                     '/proxied/keys' => { body => $idp->jwks() },
                     "/proxied/meta$WELL_KNOWN" => document('',
                         issuer => "$base/meta", jwks_uri => $meta));
    my $acr = start(servers => tls_server($port, 'fine'), http => <<"CONF"
        acr_fetch_trusted_certificate $dir/ca.crt;
        acr_fetch_proxy http://localhost:$proxy->{port}/;
CONF
        . issuers($base => '', "$http/good" => '', "$base/meta" => ''));

    told($acr, $base, undef, 'https through a proxy');
    told($acr, "$http/good", undef, 'http is of this machine');
    told($acr, "$base/meta", $REFUSED, 'addresses are looked at all the same');

    # connections to it are used again, or not
    my %asked = map { $_ => 1 } $proxy->requests();
    is_deeply([keys %asked], ["CONNECT 127.0.0.1:$port"],
              'for which the proxy is not asked');
}


# --- nginx -t

sub configuration {
    my $acr = prepare(redis => redis());
    my $empty = "$dir/empty.crt";
    spew($empty, "nothing\n");

    my $certificate = 'acr_fetch_trusted_certificate';
    my $proxy = 'acr_fetch_proxy';

    for my $case (
        ["$certificate $dir/ca.crt", undef],
        ["$certificate $dir/missing.crt", qr/"$certificate".*missing\.crt/],
        ["$certificate $empty", qr/"$certificate".*empty\.crt/],
        ["$certificate ''", qr/"$certificate" .*is empty/],
        ["$certificate $dir/ca.crt; $certificate $dir/ca.crt",
         qr/"$certificate" .*is duplicate/],
        ["$proxy off", undef],
        ["$proxy http://proxy.test:3128", undef],
        ["$proxy http://proxy.test", undef],
        ["$proxy http://[::1]:3128/", undef],
        ["$proxy off; $proxy off", qr/"$proxy" .*is duplicate/],
        ["$proxy https://proxy.test:3128", qr/"$proxy" cannot be .*http proxy/],
        ["$proxy socks5://proxy.test", qr/"$proxy" cannot be .*neither/],
        ["$proxy http://a:b\@proxy.test", qr/"$proxy" cannot be .*a user/],
        ["$proxy http://proxy.test/x", qr/"$proxy" cannot be .*more than a/],
        ["$proxy http://proxy.test?x", qr/"$proxy" cannot be .*more than a/],
        ["$proxy http://proxy.test:0", qr/"$proxy" cannot be .*port/],
        ["$proxy http://proxy.test:65536", qr/"$proxy" cannot be/],
        ["$proxy http://", qr/"$proxy" cannot be/],
        ["$proxy proxy.test:3128", qr/"$proxy" cannot be/],
    ) {
        my ($lines, $complaint) = @$case;

        $acr->configure(http => "$lines;");
        my ($said, $fine) = $acr->test();

        if ($complaint) {
            ok(!$fine, "not \"$lines\"");
            like($said, $complaint, 'as it says');
        } else {
            ok($fine, "\"$lines\"") or diag($said);
        }
    }

    $acr->allow(qr/\[emerg\]/);
}
