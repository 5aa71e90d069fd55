#!/usr/bin/perl

# nginx -t: every misconfiguration is refused, with the directive and a reason.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $redis = redis();
my $dir = work_dir();
my $file = "$dir/file";

spew($file, "secret\n");


# --- accepted

my ($said, $fine) = conf();
ok($fine, 'the smallest configuration') or diag($said);

for my $line ('acr_registry a-b_c.D1;', 'acr_node n1;', 'acr_fsync off;',
              'acr_delete off;', 'acr_sparse_index on;',
              'acr_max_blob_size 10g;', 'acr_max_blob_size 0;',
              'acr_max_manifest_size 1k;', 'acr_max_manifest_size 64m;',
              'acr_upload_buffers 1 64k;', 'acr_upload_buffers 16 16m;',
              'acr_upload_pool 1;', 'acr_upload_expires 30s;',
              'acr_location absolute;', 'acr_location forwarded;',
              'acr_zone acr:1m;', 'acr_zone acr:64m;')
{
    ($said, $fine) = conf(server => $line,
                          $line =~ /acr_(node|fsync)/
                          ? (lines => { node => '', fsync => '' }) : ());
    ok($fine, $line) or diag($said);
}

for my $redis ('127.0.0.1', '127.0.0.1:6380', 'localhost:6379', '[::1]:6379',
               '[::1]', 'unix:/tmp/none.sock db=3 timeout=500ms',
               "127.0.0.1 user=u password=p", "127.0.0.1 password_file=$file",
               '127.0.0.1 ssl=off')
{
    ($said, $fine) = conf(lines => { redis => "acr_redis $redis;" });
    ok($fine, "acr_redis $redis") or diag($said);
}


# --- what is missing

refused_conf(qr/acr_root/, 'no acr_root', lines => { root => '' });
refused_conf(qr/acr_redis/, 'no acr_redis', lines => { redis => '' });
refused_conf(qr/thread_pool.*\bacr\b|\bacr\b.*thread.pool/, 'no pool acr',
             lines => { threads => '' });
refused_conf(qr/thread_pool.*acr_slow|acr_slow.*thread.pool/,
             'no pool acr_slow', lines => { slow => '' });


# --- values

my %bad = (
    acr_root => ["$file/x", '/proc/acr'],
    acr_fsync => ['maybe', ''],
    acr_delete => ['maybe'],
    acr_sparse_index => ['maybe'],
    acr_registry => ['"a b"', 'a/b', '"a\n"', 'x' x 65, '""', 'a}b'],
    acr_node => ['a/b', '..', '"a b"', '""', 'x' x 300],
    acr_max_blob_size => ['x', '-1', '10q'],
    acr_max_manifest_size => ['x', '0', '1023', '65m'],
    acr_upload_buffers => ['4', '0 256k', '17 256k', '4 63k', '4 17m', 'x 64k',
                           '4 x', '-1 64k', '4 256k 1'],
    acr_upload_pool => ['x', '-1', '99999999999999999999'],
    acr_upload_expires => ['x', '0', '-1', '99999999999999999999d'],
    acr_location => ['here', ''],
    acr_zone => ['', 'acr', 'acr:', ':1m', 'acr:x', 'acr:-1', 'acr:1023k',
                 'acr:99999999999999999999', 'acr 1m'],
    acr_metrics => ['on'],
    acr_health => ['on'],
    acr_redis => ['', 'unix:', 'unix:/x nonsense', '127.0.0.1:0',
                  '127.0.0.1:65536', '127.0.0.1:x', '"[::1"', '127.0.0.1 db=x',
                  '127.0.0.1 db=-1', '127.0.0.1 timeout=x',
                  '127.0.0.1 timeout=0', '127.0.0.1 nonsense=1',
                  'no.such.host.invalid', '127.0.0.1 ssl=maybe',
                  "127.0.0.1 password_file=$dir/none"],
    acr => ['on'],
);

my %line = (acr_root => 'root', acr_redis => 'redis', acr_fsync => 'fsync',
            acr_node => 'node', acr => 'acr');

for my $name (sort keys %bad) {
    for my $value (@{ $bad{$name} }) {
        my $text = length($value) > 40 ? substr($value, 0, 20) . '...' : $value;
        my $line = "$name $value;";
        refused_conf(qr/\b$name\b/, "$name $text", $line{$name}
                     ? (lines => { $line{$name} => $line })
                     : (location => $line));
    }
}

for my $name (sort keys %line) {
    my ($conf) = map { slurp("$_->{dir}/nginx.conf") } prepared();
    my ($line) = $conf =~ /^\s*($name\b[^;]*;)/m;
    refused_conf(qr/\b$name\b/, "$name twice",
                 lines => { $line{$name} => "$line $line" });
}

refused_conf(qr/\bacr\b/, 'acr in a server', server => 'acr;');
refused_conf(qr/\bacr\b/, 'acr in http', http => 'acr;');


# --- OpenID providers

my $jwk = '{"kty":"OKP","crv":"Ed25519",'
          . '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}';
my %keys = (jwks => "{\"keys\":[$jwk]}", none => '{"keys":[]}',
            enc => '{"keys":[' . $jwk =~ s/\{/{"use":"enc",/r . ']}',
            pem => "-----BEGIN PUBLIC KEY-----\n", long => ' ' x 262145);
spew("$dir/$_", $keys{$_}) for keys %keys;

my $idp = 'https://idp.test/a';

for my $line ("$idp audience=a", "$idp/ audience=a audience=b user=email",
              "$idp audience=a jwks=$dir/jwks groups=realm_access.roles",
              "$idp audience=a jwks=https://idp.test:8443/keys prefix=kc:",
              "$idp audience=a require=x=y=z require=email_verified=true",
              'https://idp.test audience=a', 'https://[::1]:1/x audience=a',
              'http://localhost:8080/a audience=a', 'http://[::1] audience=a',
              'http://127.1.2.3/ audience=a jwks=http://LOCALHOST/keys',
              "http://idp.test/a audience=a jwks=$dir/jwks",
              'http://idp.test/a audience=a jwks=https://idp.test/keys')
{
    ($said, $fine) = conf(server => "acr_auth on; acr_oidc_issuer $line;");
    ok($fine, "acr_oidc_issuer $line") or diag($said);
}

for my $case (['', qr/number of arguments/], [$idp, qr/needs "audience="/],
              ["$idp audience=", qr/has no value/],
              ["$idp audience", qr/has no value/],
              ["$idp a=b audience=a", qr/unknown parameter "a"/],
              ["$idp =b audience=a", qr/unknown parameter ""/],
              ["$idp Audience=a", qr/unknown parameter/],
              ["$idp audience=a jwks=", qr/has no value/],
              ["$idp audience=a user=", qr/has no value/],
              ["$idp audience=a groups=", qr/has no value/],
              ["$idp audience=a prefix=", qr/has no value/],
              ["$idp audience=a user=a user=b", qr/"user" is duplicate/],
              ["$idp audience=a groups=a groups=a", qr/"groups" is duplicate/],
              ["$idp audience=a prefix=a prefix=a", qr/"prefix" is duplicate/],
              ["$idp audience=a jwks=a jwks=b", qr/"jwks" is duplicate/],
              ["$idp audience=a require=x", qr/must be "require=claim=/],
              ["$idp audience=a require==x", qr/must be "require=claim=/],
              ["$idp audience=a require=x=", qr/must be "require=claim=/],
              ["$idp audience=a prefix=" . 'a' x 65, qr/prefix/],
              ["$idp audience=a \"prefix=a\tb\"", qr/prefix/],
              ["$idp audience=a \"prefix= a\"", qr/prefix/],
              ["$idp audience=a prefix=\xff", qr/prefix/],
              ['idp.test audience=a', qr/is not of the form/],
              ['ftp://idp.test audience=a', qr/is not of the form/],
              ['https:// audience=a', qr/is not of the form/],
              ['https:///a audience=a', qr/is not of the form/],
              ['https://unix:/a audience=a', qr/is not of the form/],
              ['https://a@idp.test/ audience=a', qr/is not of the form/],
              ['https://idp.test:x/ audience=a', qr/is not of the form/],
              ['https://idp.test:99999/ audience=a', qr/is not of the form/],
              ['https://[::1 audience=a', qr/is not of the form/],
              ["$idp?b audience=a", qr/has a query or a fragment/],
              ["$idp#b audience=a", qr/has a query or a fragment/],
              ["\"$idp b\" audience=a", qr/has a character/],
              ["\"$idp\\\"\" audience=a", qr/has a character/],
              ["$idp\xc3\xa9 audience=a", qr/has a character/],
              [$idp . 'a' x 512 . ' audience=a', qr/is too long/],
              ['http://idp.test/a audience=a', qr/is for this machine only/],
              ['http://128.0.0.1/a audience=a', qr/is for this machine only/],
              ['http://127.0.0.1.test audience=a',
               qr/is for this machine only/],
              ['http://localhost.test audience=a', qr/is for this machine/],
              ["$idp audience=a jwks=http://idp.test/keys", qr/this machine/],
              ["$idp audience=a jwks=https:///keys", qr/is not of the form/],
              ["$idp audience=a jwks=https://idp.test/keys?a", qr/a query/],
              ["$idp audience=a jwks=$dir/missing", qr/No such file/],
              ["$idp audience=a jwks=$dir", qr/directory/],
              ["$idp audience=a jwks=missing", qr/No such file/],
              ["$idp audience=a jwks=$dir/none", qr/has no key/],
              ["$idp audience=a jwks=$dir/enc", qr/has no key/],
              ["$idp audience=a jwks=$dir/pem", qr/is no JWK set/],
              ["$idp audience=a jwks=$dir/long", qr/is no JWK set/],
              ["$idp audience=a; acr_oidc_issuer $idp audience=b prefix=x:",
               qr/"\Q$idp\E" is duplicate/],
              ["$idp audience=a; acr_oidc_issuer ${idp}b audience=a",
               qr/could be the same/],
              ["$idp audience=a prefix=a; acr_oidc_issuer ${idp}b audience=a",
               qr/could be the same/],
              ["$idp audience=a prefix=ab; acr_oidc_issuer ${idp}b audience=a"
               . ' prefix=a', qr/could be the same/],
              [join('; acr_oidc_issuer ', map {
                  "$idp$_ audience=a prefix=$_:" } 10 .. 26),
               qr/too many issuers/])
{
    my ($line, $pattern) = @$case;
    my $text = length($line) > 70 ? substr($line, 0, 67) . '...' : $line;
    $text =~ s/[^ -~]/?/g;
    refused_conf(qr/acr_oidc_issuer.*$pattern|$pattern.*acr_oidc_issuer/,
                 "acr_oidc_issuer $text",
                 server => "acr_auth on; acr_oidc_issuer $line;");
}

# what the documentation shows is fine
for my $name ('access.md', 'directives.md') {
    my $text = slurp("$ACR::Node::TREE/docs/$name");
    my @lines = $text =~ /^    (acr_oidc_issuer\b[^;]*;)/mg;

    for my $line (@lines) {
        $line =~ s{jwks=/\S+}{jwks=$dir/jwks};
        ($said, $fine) = conf(server => "acr_auth on; $line");
        ok($fine, "$name: " . ($line =~ /(https\S+)/)[0]) or diag($said);
    }

    ok(@lines >= 1, "$name has examples");
}

my $issuer = "acr_oidc_issuer $idp audience=a jwks=$dir/jwks;";
refused_conf(qr/acr_oidc_issuer.*acr_auth on/, 'acr_oidc_issuer alone',
             server => $issuer);
($said, $fine) = conf(http => 'acr_auth on;', server => $issuer,
                      location => $issuer);
ok($fine, 'acr_oidc_issuer inherited, and again') or diag($said);
refused_conf(qr/acr_root.*acr_oidc_issuer/, 'two of an acr_root',
             server => "acr_auth on; $issuer location /x { acr;"
                       . " acr_oidc_issuer $idp audience=b; }");
($said, $fine) = conf(server => "location /x { acr_admin; }",
                      location => "acr_auth on; $issuer");
ok($fine, 'acr_admin needs none') or diag($said);


# --- the data endpoint

spew("$dir/secret", '0123456789abcdef' x 2);
my $key = "acr_data_key $dir/secret;";

for my $line ('off', 'https://data.test', 'http://[::1]:8080/a/',
              '$http_x lifetime=2s', 'https://$host/ lifetime=30d min_size=0',
              'https://data.test min_size=10g')
{
    ($said, $fine) = conf(server => "$key acr_data_endpoint $line;");
    ok($fine, "acr_data_endpoint $line") or diag($said);
}

for my $line ('""', 'data.test', 'ftp://data.test', 'https://', 'on',
              'https://data.test/?a', '"https://data.test/a b"',
              'https://a@data.test', 'off lifetime=1m',
              'https://data.test lifetime=1s', 'https://data.test lifetime=31d',
              'https://data.test lifetime=', 'https://data.test min_size=x',
              'https://data.test min_size=-1', 'https://data.test x=1',
              'https://data.test lifetime', 'https://data.test; '
              . 'acr_data_endpoint off')
{
    refused_conf(qr/\bacr_data_endpoint\b/, "acr_data_endpoint $line",
                 server => "$key acr_data_endpoint $line;");
}

($said, $fine) = conf(server => "$key location /acr/data/ { acr_data; }",
                      http => 'acr_data_endpoint https://data.test;');
ok($fine, 'acr_data beside acr, in one server') or diag($said);
($said, $fine) = conf(http => $key,
                      server => "acr_data_key $dir/secret;"
                                . ' location /acr/data/ { acr_data; }');
ok($fine, 'acr_data_key inherited, and again') or diag($said);
refused_conf(qr/acr_data_endpoint.*acr_data_key/, 'acr_data_endpoint alone',
             server => 'acr_data_endpoint https://data.test;');
refused_conf(qr/"acr_data".*acr_data_key/, 'acr_data alone',
             server => 'location /acr/data/ { acr_data; }');
refused_conf(qr/\bacr_data\b/, 'acr_data beside acr', server => $key,
             location => 'acr_data;');
refused_conf(qr/\bacr_data\b/, 'acr_data in a server',
             server => "$key acr_data;");
refused_conf(qr/acr_data_key.*duplicate/, 'acr_data_key twice',
             server => "$key $key");

# what the documentation shows, with places of this test
my $edge = slurp("$ACR::Node::TREE/docs/edge.md");
my ($shown) = $edge =~ /^(    http \{\n.*?^    \}\n)/ms;
my ($geo) = $edge =~ /^(    geo .*?^    acr_data_endpoint[^;]*;\n)/ms;
my ($node) = prepared();
my ($load) = slurp("$node->{dir}/nginx.conf") =~ /\A(.*?^events \{.*?^\}\n)/ms;

$shown =~ s/443 ssl/127.0.0.1:1/g;
$shown =~ s{acr_root\K.*?;}{ $dir/shown;};
$shown =~ s{/etc/acr/data.key}{$dir/secret};
spew("$node->{dir}/nginx.conf", $load . $shown =~ s/http \{\K/
     "access_log off; " . join("", map { "${_}_temp_path $dir\/$_; " }
     qw(client_body proxy fastcgi uwsgi scgi))/er);
($said, $fine) = $node->test();
ok($fine, 'edge.md: the configuration') or diag($said);
($said, $fine) = conf(http => "$key $geo");
ok($fine, 'edge.md: by the address of the client') or diag($said);


# --- metrics, health

my $zone = 'acr_zone acr:1m;';

for my $name ('acr_metrics', 'acr_health') {
    my $location = "location /x { $name; }";

    ($said, $fine) = conf(server => "$zone $location");
    ok($fine, $name) or diag($said);
    ($said, $fine) = conf(server => "$zone location /x { $name;"
                                    . ' limit_except GET { deny all; } }');
    ok($fine, "$name with limit_except") or diag($said);

    refused_conf(qr/\b$name\b/, "$name in a server", server => "$zone $name;");
    refused_conf(qr/\b$name\b/, "$name beside acr",
                 server => $zone, location => "$name;");
    refused_conf(qr/\b$name\b/, "$name twice",
                 server => "$zone location /x { $name; $name; }");
    refused_conf(qr/acr_root/, "$name without acr_root", server => $zone,
                 lines => { root => '', acr => '' }, servers =>
                 "server { listen 127.0.0.1:1; $zone $location }");
}

($said, $fine) = conf(server => 'location /x { acr_health; }');
ok($fine, 'acr_health needs no acr_zone') or diag($said);
refused_conf(qr/acr_metrics.*acr_zone/, 'acr_metrics without acr_zone',
             lines => { zone => '' }, server => 'location /x { acr_metrics; }');

refused_conf(qr/acr_zone/, 'acr_zone twice', server => "$zone $zone");
refused_conf(qr/conflicts with already declared size/, 'acr_zone of two sizes',
             http => 'acr_zone acr:2m;', server => $zone);
refused_conf(qr/already declared for a different use/, 'a zone of nginx',
             http => 'limit_req_zone $uri zone=acr:1m rate=1r/s;',
             server => $zone);
refused_conf(qr/acr_root.*acr_zone/, 'two acr_zone of an acr_root',
             server => "$zone location /x { acr_zone two:1m; acr_metrics; }");
refused_conf(qr/acr_root.*acr_zone/, 'an acr_root with acr_zone and without',
             location => $zone, server => 'location /x { acr_health; }');
refused_conf(qr/acr_zone.*acr_root/, 'an acr_zone of two acr_root',
             http => $zone, servers => 'server { listen 127.0.0.1:1;'
             . " acr_root $dir/other; acr_registry other;"
             . ' location / { acr; } }');


# --- edge nodes

my %edge = (lines => { acr => 'acr_edge on; proxy_pass http://127.0.0.1:1;' });
my $up = 'acr_origin up.test;';

for my $line ('', 'acr_edge_cache max_size=1g;', 'acr_edge_cache inactive=7d;',
              'acr_edge_cache max_size=500m inactive=1s min_free=1;')
{
    for my $where (qw(http server location)) {
        ($said, $fine) = conf(%edge, $where => "$up $line");
        ok($fine, "$where: $line") or diag($said);
    }
}

for my $wrong ('max_size=', 'max_size=0', 'max_size=x', 'max_size=-1',
               'max_size=1g max_size=1g', 'inactive=0', 'inactive=1x',
               'inactive=1h inactive=1h', 'min_free=', 'min_free=0',
               'min_free=1g min_free=1g', 'size=1g', 'off', '1g')
{
    refused_conf(qr/acr_edge_cache/, "acr_edge_cache $wrong", %edge,
                 http => "$up acr_edge_cache $wrong;");
}

for my $wrong ('', 'max_size=1 inactive=1 min_free=1 max_size=1') {
    refused_conf(qr/number of arguments.*acr_edge_cache/,
                 "acr_edge_cache $wrong", %edge,
                 http => "$up acr_edge_cache $wrong;");
}

refused_conf(qr/acr_edge_cache.*duplicate/, 'acr_edge_cache twice', %edge,
             http => "$up acr_edge_cache max_size=1; acr_edge_cache "
                     . 'max_size=1;');
refused_conf(qr/acr_edge_cache.*acr_origin/, 'acr_edge_cache of a registry',
             http => 'acr_edge_cache max_size=1;');
refused_conf(qr/acr_edge.*acr_origin/, 'acr_edge without acr_origin', %edge);

for my $other ('acr_edge_cache max_size=2;',
               'acr_edge_cache max_size=1 inactive=1;',
               'acr_edge_cache max_size=1 min_free=1;')
{
    refused_conf(qr/acr_root.*acr_edge_cache/, "another: $other", %edge,
                 http => $up, location => 'acr_edge_cache max_size=1;',
                 server => "location /m { acr_metrics; $other }");
}

refused_conf(qr/acr_root.*acr_edge_cache/, 'one with and one without', %edge,
             http => $up, location => 'acr_edge_cache max_size=1;',
             server => 'location /m { acr_metrics; }');


# --- one directory, two opinions

my $other = 'server { listen 127.0.0.1:1; %s location / { acr; } }';

for my $case (['acr_redis', "acr_redis unix:$dir/x;"],
              ['acr_registry', 'acr_registry other;'],
              ['acr_fsync', 'acr_fsync off;'])
{
    my ($name, $line) = @$case;
    my $node = prepare(redis => $redis);
    $node->configure(servers => sprintf($other, "acr_root $node->{root}; "
                                                . $line));
    ($said, $fine) = $node->test();
    ok(!$fine, "another $name for the same acr_root");
    like($said, qr/\[emerg\].*(?:$name|acr_root)/, 'is named');
}


# --- what is easily forgotten

my $pair = "$dir/public.key";
system("openssl ecparam -name prime256v1 -genkey -noout 2> /dev/null"
       . " | openssl ec -pubout -out $pair 2> /dev/null") == 0
    or die "openssl has failed\n";

for my $case (["$dir/missing", qr/acr_token_key.*No such file/],
              [$file, qr/acr_token_key.*is no key/],
              [$pair, qr/acr_token_key.*not private/])
{
    my ($name, $pattern) = @$case;
    refused_conf($pattern, "acr_token_key $name",
                 server => "acr_auth on; acr_token_key $name;");
}

refused_conf(qr/acr_data_key.*No such file/, 'acr_data_key that is not there',
             server => "acr_data_key $dir/missing;");
refused_conf(qr/acr_fetch_trusted_certificate.*No such file/,
             'acr_fetch_trusted_certificate that is not there',
             http => "acr_fetch_trusted_certificate $dir/missing;");
refused_conf(qr/acr_fetch_trusted_certificate.*no certificate/,
             'acr_fetch_trusted_certificate without any',
             http => "acr_fetch_trusted_certificate $file;");
refused_conf(qr{"unix:" is missing.*/run/redis.sock.*acr_redis},
             'acr_redis with a path only',
             lines => { redis => 'acr_redis /run/redis.sock;' });
refused_conf(qr{no URL.*redis://127.0.0.1.*acr_redis}, 'acr_redis with a URL',
             lines => { redis => 'acr_redis redis://127.0.0.1:6379;' });
refused_conf(qr/"acr_edge" needs "proxy_pass"/, 'acr_edge without proxy_pass',
             lines => { acr => 'acr_edge on;' }, http => $up);
($said, $fine) = conf(%edge, http => $up,
                      location => 'limit_except GET { deny all; }'
                                  . ' if ($arg_x) { set $x 1; }');
ok($fine, 'acr_edge with limit_except and if') or diag($said);

my $idle = qr/\[warn\] "acr_role" and "acr_anonymous_pull" .*"acr_auth on"/;

for my $role ('acr_role user:alice AcrPull;', 'acr_anonymous_pull *;') {
    ($said, $fine) = conf(server => $role);
    ok($fine, "$role without acr_auth") or diag($said);
    like($said, $idle, 'has a warning');
    ($said, $fine) = conf(http => $role, server => 'location /x { acr;'
                                                   . ' acr_auth on; }');
    ok($fine, 'with it in one location of several') or diag($said);
    unlike($said, $idle, 'has none');
}


# --- directories

SKIP: {
    skip('not root', 6) if $> != 0;

    my $user = ACR::Node::worker_user();
    my $shut = prepare(redis => $redis);
    mkdir($shut->{root}, 0700) or die "mkdir: $!\n";
    ($said, $fine) = $shut->test();
    ok(!$fine && $said =~ /\[emerg\].*acr_root.*as user "$user"/,
       'whose files they have to be is said') or diag($said);

    for my $part ('docker/registry/v2/blobs', 'docker/registry/v2/repositories',
                  'acr')
    {
        my $node = prepare(redis => $redis);
        system('mkdir', '-p', "$node->{root}/$part");
        ($said, $fine) = $node->test();
        ok(!$fine && $said =~ /\[emerg\].*acr_root/,
           "$part that workers may not write to is refused, and named")
            or diag($said);
    }

    my $node = prepare(redis => $redis);
    $node->test();
    my $blobs = $node->path('blobs');
    system("mount -t tmpfs none $blobs 2> /dev/null") == 0
        or skip('no mount here', 2);
    chmod(0777, $blobs);
    ($said, $fine) = $node->test();
    system("umount $blobs");
    ok(!$fine, 'blobs/ on another file system');
    like($said, qr/\[emerg\].*acr_root.*file ?system/, 'is named');
}

# --- the host's name is the node's

SKIP: {
    skip('there are no name spaces', 3)
        if $> != 0 || system('unshare -u true 2> /dev/null');

    my $warning = qr/"acr_node" is not set, and the host's name "0123456789ab"/;

    for my $case (['0123456789ab', '', 1], ['0123456789abc', '', 0],
                  ['0123456789ab', 'acr_node one;', 0])
    {
        my ($name, $node, $warns) = @$case;

        my $acr = prepare(redis => $redis, lines => { node => $node });
        my @command = $acr->nginx('-t');
        my $said = `unshare -u sh -c 'hostname $name && exec @command' 2>&1`;

        ok($? == 0 && ($said =~ $warning ? 1 : 0) == $warns,
           "$name, \"$node\"") or diag($said);
    }
}

finish();


sub prepared {
    return prepare(redis => $redis, @_);
}


sub conf {
    return prepared(@_)->test();
}


sub refused_conf {
    my ($pattern, $name, @options) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($said, $fine) = conf(@options);

    my ($line) = $said =~ /\[emerg\] (.*)/;
    $line = '' if !defined $line;

    ok(!$fine && $line =~ $pattern, "$name is refused, and named")
        or diag($said);
}
