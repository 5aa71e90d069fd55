#!/usr/bin/perl

# conf/tls-proxy: registry.conf behind proxy.conf, as clients see it.  They come
# by TLS and verify the certificate.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Conf;

my $HOST = 'registry.example.com';

my ($acr, $proxy) = shipped_proxy();
my $address = "127.0.0.1:$acr->{port}";

my $conf = $acr->{option}{text};
$acr->configure(text => other_form($conf));
accepted($acr, 'registry.conf is accepted in its other form');
$acr->configure(text => $conf);
accepted($acr, 'registry.conf is accepted');
accepted($proxy, 'proxy.conf is accepted');

my $password = admin($acr);
$proxy->run();


# --- addresses are those that clients use

my @forged = ('X-Forwarded-Proto' => 'http', 'X-Forwarded-Host' => 'evil.test');

for my $headers ([], \@forged) {
    my $answer = $proxy->get('/v2/', headers => $headers);
    answers($answer, 401, 'nobody does anything without a password');
    is_deeply({ challenge($answer) },
              { realm => "https://$HOST/oauth2/token", service => $HOST },
              'the token service is where the client came by');
}

log_in($proxy, $password, 'repository:lib/a:pull,push');

for my $headers ([], \@forged) {
    my $answer = $proxy->post('/v2/lib/a/blobs/uploads/', body => '',
                              headers => $headers);
    answers($answer, 202, 'an upload begins');
    like($answer->header('Location'),
         qr{^https://\Q$HOST\E/v2/lib/a/blobs/uploads/}, 'and is there, too');
}

my $digest = $proxy->push_image('lib/a', 'latest', 'proxy');
is(digest($proxy->get('/v2/lib/a/manifests/latest')->body()), $digest,
   'an image is pushed and pulled');


# --- what is large flows through

my $bytes = bytes(8_000_000, 'proxy');
my $blob = digest($bytes);
my $location = $proxy->upload('lib/a');
my $http = $proxy->connect();
$http->begin('PATCH', $location, chunked => 1, headers => [
    Host => $HOST, Authorization => $proxy->{authorization}]);
$http->chunk(substr($bytes, 0, 4_000_000));

ok(wait_for(sub {
    grep { -s > 1_000_000 } glob($acr->path('repositories/lib/a/_uploads/*/*'))
}), 'a push without a length arrives while it is being sent');

$http->chunk(substr($bytes, 4_000_000));
$http->finish();
answers($http->answer('PATCH'), 202, 'it is taken');
$http->close();
answers($proxy->close_upload($location, $blob), 201, 'and so is its end');

is($proxy->push_blob('lib/a', $bytes), $blob, 'a push with a length');

$http = $proxy->connect();
$http->begin('GET', "/v2/lib/a/blobs/$blob", headers => [
    Host => $HOST, Authorization => $proxy->{authorization}]);
my $answer = $http->answer('GET', rate => 10_000_000);
is(digest($answer->body()), $blob, 'a slow pull');
$http->close();
unlike($proxy->log_text(), qr/buffered to a temporary file/,
       'the proxy stores nothing of that');

$answer = $proxy->head("/v2/lib/a/blobs/$blob");
answers($answer, 200, 'HEAD');
is($answer->header('Content-Length'), length($bytes), 'has the length');

$answer = $proxy->get("/v2/lib/a/blobs/$blob",
                      headers => [Range => 'bytes=100-199']);
answers($answer, 206, 'a part');
is($answer->body(), substr($bytes, 100, 100), 'has its bytes');

# the answer comes before the body was read
$http = $proxy->connect();
$answer = $http->request('PUT', '/v2/lib/b/manifests/x', body => $bytes,
                         headers => [Host => $HOST]);
answers($answer, 401, 'who may not push is told so, whatever he sends');
$http->close();


# --- connections to the registry

my @kept = map { $proxy->get('/v2/'); kept() } 1 .. 3;
ok(@{ $kept[0] }, 'pulls go by a connection that is kept');
is_deeply($kept[2], $kept[0], 'by the same again');

for my $request ([GET => '/v2/lib/a/manifests/latest', 200],
                 [POST => '/v2/lib/a/blobs/uploads/', 202])
{
    my ($method, $target, $status) = @$request;
    answers(overtaken($method, $target), $status,
            "$method as the registry closes it");
}

answers($proxy->get('/v2/'), 200, 'a pull');
ok(wait_for(sub { @{ kept() } == 1 }), 'the connection of a push is not kept');


# --- whom the registry believes

my @from = ('--interface', '127.0.0.9', '-H', 'X-Forwarded-For: 192.0.2.1');

answers(curl(@from, '--resolve', "$HOST:$proxy->{tls_port}:127.0.0.1",
             "https://$HOST:$proxy->{tls_port}/v2/_catalog"), 401,
        'a client of another address');
ok(wait_for(sub {
    slurp("$acr->{dir}/access.log")
        =~ m{^127\.0\.0\.9 .*/v2/_catalog.* 127\.0\.0\.1 }m
}), 'the registry knows the address');

answers(curl(@from, '-H', "X-Forwarded-Host: $HOST", "http://$address/v2/"),
        403, 'past the proxy nobody gets to the registry');
answers(curl('--interface', '127.0.0.9', '-H', 'X-Forwarded-For: 127.0.0.1',
             "http://$address/v2/"), 403, 'whatever he says of himself');
answers($proxy->get($_), 404, "through it nobody gets to $_")
    for '/acr/admin/stats', '/metrics';
answers($acr->{ops}->get($_), 200, 'this machine does')
    for '/acr/admin/stats', '/metrics';
answers($proxy->get('/health'), 200, 'whether it works anybody may ask');
answers($proxy->get('/v2/', headers => [Host => 'other.example.com']), 421,
        'another name is not served');


# --- without the registry

$acr->stop();
refused($proxy->get('/v2/lib/a/manifests/latest'), 502, 'UNAVAILABLE',
        'the registry is away: an error as registries have them');
refused($proxy->post('/v2/lib/a/blobs/uploads/', body => 'x' x 100_000), 502,
        'UNAVAILABLE', 'for a push as well');

$acr->configure(text => other_form($conf));
$acr->run();
{
    local $proxy->{authorization};
    my %challenge = challenge($proxy->get('/v2/'));
    is($challenge{realm}, "https://$HOST/oauth2/token",
       'it is back, in its other form');
}
like($proxy->post('/v2/lib/a/blobs/uploads/', body => '')
     ->header('Location'), qr{^/v2/lib/a/blobs/uploads/},
     'with a Location that has no host');

$proxy->allow(qr/connect\(\) failed|upstream/);
finish();


# with a fixed realm, as a comment has it
sub other_form {
    my ($text) = @_;

    return change($text, [qr/^ *acr_location forwarded;\n/m => ''],
                  ['# acr_realm' => 'acr_realm']);
}


# the answer to a request that the proxy reads first of all when the registry,
# which was reloaded meanwhile, has closed the connection that is kept
sub overtaken {
    my ($method, $target) = @_;

    $proxy->get('/v2/');

    my @workers = $proxy->workers();
    my $http = $proxy->kept();
    my $port = sprintf(':%04X', $proxy->{tls_port});

    kill('STOP', @workers);
    $http->begin($method, $target, headers => [
        Host => $HOST, Authorization => $proxy->{authorization},
        'Content-Length' => 0]);
    wait_for(sub {
        grep { my @field = split(' ');
               $field[1] =~ /$port$/ && $field[4] !~ /:0+$/ }
        split(/\n/, slurp('/proc/net/tcp'))
    });
    $acr->reload();
    kill('CONT', @workers);

    return $http->answer($method);
}


# the ports by which the proxy has connections to the registry, for some time
sub kept {
    my $port = sprintf(':%04X', $acr->port());

    return [sort(map { (split(' '))[1] }
                 grep { my @field = split(' ');
                        $field[2] =~ /$port$/ && $field[3] eq '01' }
                 split(/\n/, slurp('/proc/net/tcp')))];
}
