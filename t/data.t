#!/usr/bin/perl

# The data endpoint: pulls of blobs are sent to a signed address, which needs no
# credentials, is good for one blob and a while, and for nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Data;
use ACR::Fault;
use ACR::Metrics;
use POSIX qw(strftime);
use Time::HiRes ();

my $HOST = 'https://data.test:8443/cdn';

my ($one, $two) = map { secret($_) } qw(one two);
my $server = 'location /acr/data/ { acr_data; }
              location /acr/admin/ { acr_admin; }
              location = /metrics { acr_metrics; }
              open_file_cache max=100; open_file_cache_valid 60s;';
my $http = "acr_zone acr:4m; acr_data_key $one;";
my $endpoint = "acr_data_endpoint $HOST/";

my $redis = redis('--appendonly', 'yes');
my $acr = start(workers => 2, redis => $redis, redis_options => 'timeout=1s',
                http => "$http $endpoint min_size=1k;", server => $server);

my $bytes = bytes(300_000, 'data');
my $blob = $acr->push_blob('lib/a', $bytes);
my $long = $acr->push_blob('lib/a', $bytes, 'sha512');
my $small = $acr->push_blob('lib/a', 'small');
my $empty = $acr->push_blob('lib/a', '');
$acr->push_image('lib/a', 'latest', 'data');


# --- who may have a blob is sent to it

for my $digest ($blob, $long) {
    my $now = time();
    my $answer = $acr->get("/v2/lib/a/blobs/$digest");
    my $kind = $digest =~ /^(\w+)/ ? $1 : '';

    answers($answer, 307, "$kind: another address");
    my $url = $answer->header('Location');
    my $expires = expires_of($url);
    is($url, $HOST . signed('one', $digest, $expires), 'signed as documented');
    cmp_ok($expires, '>', $now + 1800, 'for half an hour at least');
    cmp_ok($expires, '<=', time() + 3600, 'and an hour at most');
    is($answer->header('Cache-Control'), 'no-store', 'which no cache keeps');
    is($answer->header('Docker-Content-Digest'), $digest, 'with its digest');
    is($answer->header('Content-Length'), 0, 'and without a body');
}

# of three at most two are of different times
my %same = map { $acr->get("/v2/lib/a/blobs/$blob")->header('Location') => 1 }
           1 .. 3;
cmp_ok(scalar(keys %same), '<', 3, 'the address stays the same for a while');

answers($acr->get("/v2/lib/a/blobs/$blob", headers => [Range => 'bytes=0-9']),
        307, 'a range is sent there');
my $head = $acr->head("/v2/lib/a/blobs/$blob");
answers($head, 200, 'HEAD is answered at once');
is($head->header('Content-Length'), 300_000, 'with the length');
like($head->header('Cache-Control'), qr/^private/, 'for nobody else');
answers($acr->get("/v2/lib/a/blobs/$small"), 200, 'what is small is sent');
answers($acr->get("/v2/lib/a/blobs/$empty"), 200, 'and what is empty');
answers($acr->get('/v2/lib/a/manifests/latest'), 200, 'and manifests');
refused($acr->get("/v2/lib/b/blobs/$blob"), 404, 'BLOB_UNKNOWN|NAME_UNKNOWN',
        'a blob of another repository is unknown');


# --- and gets it there

my $expires = time() + 1000;
my $good = signed('one', $blob, $expires);
my $answer = $acr->get($good);

answers($answer, 200, 'the blob');
is(digest($answer->body()), $blob, 'its bytes');
is($answer->header('Docker-Content-Digest'), $blob, 'its digest');
is($answer->header('ETag'), "\"$blob\"", 'its ETag');
is($answer->header('Content-Type'), 'application/octet-stream', 'its type');
is($answer->header('Accept-Ranges'), 'bytes', 'in ranges');
is($answer->header('Cache-Control'), 'public, immutable', 'for any cache');
is($answer->header('Expires'),
   strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime($expires)),
   'until the address is over');
is($answer->header($_), undef, "without $_") for qw(Vary Set-Cookie);

$head = $acr->head($good);
answers($head, 200, 'HEAD');
is($head->header('Content-Length'), 300_000, 'tells the length');
my $range = $acr->get($good, headers => [Range => 'bytes=1000-1999']);
answers($range, 206, 'a range');
is($range->body(), substr($bytes, 1000, 1000), 'of these bytes');
is($range->header('Content-Range'), 'bytes 1000-1999/300000', 'as it says');
like($range->header('Cache-Control'), qr/^public/, 'for any cache too');
$range = $acr->get($good, headers => [Range => 'bytes=0-9,100-109']);
answers($range, 206, 'two ranges');
like($range->header('Content-Type'), qr{^multipart/byteranges}, 'in parts');
answers($acr->get($good, headers => [Range => 'bytes=0-9',
                                     'If-Range' => "\"$blob\""]), 206,
        'a range if it is the same');
answers($acr->get($good, headers => ['If-None-Match' => "\"$blob\""]), 304,
        'not modified');
my $beyond = $acr->get($good, headers => [Range => 'bytes=300000-']);
refused($beyond, 416, 'SIZE_INVALID', 'a range of nothing');
is($beyond->header('Cache-Control'), 'no-store', 'is for no cache');
is($beyond->header('Expires'), undef, 'and has no date');

is($acr->get(signed('one', $long, $expires))->body(), $bytes, 'sha512');
is($acr->get(signed('one', $small, $expires))->body(), 'small', 'a small one');
is($acr->get(signed('one', $empty, $expires))->body(), '', 'an empty one');


# --- all else is refused, always with the same words

my ($path, $args) = split(/\?/, $good);
my ($sig) = $args =~ /sig=(.*)/;
my $over = time() - 1;
my %refusal;

my %bad = (
    'a digest of another' => $good =~ s/\Q$blob\E/$small/r
                             =~ s{sha256/\w+}{$small =~ s{:}{/}r}er,
    'one digit of it' => $good =~ s{(sha256/)(.)}{$1 . ($2 ^ "\x01")}er,
    'another algorithm' => $good =~ s{sha256/}{sha512/}r,
    'capitals' => $good =~ s{(sha256/\w+)}{uc($1)}er,
    'a longer time' => $good =~ s/expires=\d+/'expires=' . ($expires + 1)/er,
    'a time without end' => $good =~ s/(expires=\d+)/${1}0000000000000/r,
    'a leading zero' => $good =~ s/expires=/expires=0/r,
    'a negative time' => $good =~ s/expires=/expires=-/r,
    'no time' => $good =~ s/expires=\d+/expires=/r,
    'a time that is over' => signed('one', $blob, $over),
    'now' => signed('one', $blob, $over + 1),
    'a time long ago' => signed('one', $blob, 1),
    'another key' => signed('two', $blob, $expires),
    'the name of another key' => $good =~ s/key=(.)/'key=' . ($1 ^ "\x01")/er,
    'no key' => $good =~ s/key=\w+/key=/r,
    'a long key' => $good =~ s/(key=\w+)/${1}0/r,
    'a cut signature' => substr($good, 0, -1),
    'a long signature' => "${good}A",
    'no signature' => $good =~ s/sig=.*/sig=/r,
    'a signature of zeros' => $good =~ s/sig=.*/'sig=' . 'A' x 43/er,
    'a very long one' => $good =~ s/sig=.*/'sig=' . 'A' x 4000/er,
    'one in another form' => $good =~ s/sig=.*/'sig=' . 'A' x 42 . '%41'/er,
    'no arguments' => $path,
    'an empty query' => "$path?",
    'the time twice' => "$path?expires=$expires&$args",
    'the time once more' => "$path?$args&expires=$expires",
    'the signature twice' => "$path?$args&sig=$sig",
    'something more' => "$path?$args&x=1",
    'something before' => "$path?x=1&$args",
    'an empty argument' => "$path?$args&",
    'another order' => "$path?" . join('&', reverse(split(/&/, $args))),
    'arguments in capitals' => "$path?" . $args =~ s/sig=/SIG=/r,
    'a semicolon' => "$path?" . $args =~ tr/&/;/r,
    'an encoded digit' => $good =~ s{sha256/(.)}{
                                   sprintf('sha256/%%%02x', ord($1))}er,
    'an encoded slash' => $good =~ s{sha256/}{sha256%2f}r,
    'an encoded argument' => "$path?" . $args =~ s/expires/%65xpires/r,
    'two slashes' => $good =~ s{/data/}{/data//}r,
    'a dot' => $good =~ s{/data/}{/data/./}r,
    'two dots' => $good =~ s{/data/}{/data/x/../}r,
    'a colon' => $good =~ s{sha256/}{sha256:}r,
    'a slash at the end' => "$path/?$args",
    'a longer path' => "$path/data?$args",
    'a repository' => $good =~ s{/data/}{/data/lib/a/}r,
    'the directory' => "/acr/data/?$args",
    'nothing' => '/acr/data/',
    'no digest' => '/acr/data/sha256/',
    'a control character' => $good =~ s{\?}{%01?}r,
);

for my $name (sort keys %bad) {
    my $refused = $acr->get($bad{$name});
    refused($refused, 403, 'DENIED', "$name is refused");
    $refusal{$refused->text() =~ s/ \| date: [^|]+//ir} = 1;
}

answers($acr->get($good), 200, 'the good one still is');
is(scalar(keys %refusal), 1, 'one refusal is like the other')
    or diag(join("\n", keys %refusal));
like((keys %refusal)[0], qr/cache-control: no-store/, 'for no cache to keep');

answers($acr->head($bad{'another key'}), 403, 'HEAD is refused too');

for my $method (qw(POST PUT PATCH DELETE)) {
    my $refused = $acr->request($method, $good, body => 'x');
    refused($refused, 405, 'UNSUPPORTED', "$method is none of its methods");
    is($refused->header('Allow'), 'GET, HEAD', 'it says which are');
}


# --- the name of the key is not what counts

my $sides = signed('one', $blob, $expires) =~ s/sig=.*//r
            . (signed('two', $blob, $expires) =~ /(sig=.*)/)[0];
refused($acr->get($sides), 403, 'DENIED', 'the signature of another key');


# --- what is gone

my $gone = $acr->push_blob('lib/a', bytes(5000, 'gone'));
my $broken = $acr->push_blob('lib/a', bytes(6000, 'broken'));
answers($acr->get(signed('one', $_, $expires)), 200, 'it is there')
    for $gone, $broken;

unlink($acr->blob_file($gone)) or die "unlink: $!";
$answer = $acr->get(signed('one', $gone, $expires));
refused($answer, 404, 'BLOB_UNKNOWN', 'it was collected, though it is open');
is($answer->header('Cache-Control'), 'no-store', 'for no cache to keep');
is($answer->header('Expires'), undef, 'without a date');

# what the scrub does
rename($acr->blob_file($broken), "$acr->{root}/acr/quarantine/x") or die;
chmod(0, "$acr->{root}/acr/quarantine/x") or die;
refused($acr->get(signed('one', $broken, $expires)), 404, 'BLOB_UNKNOWN',
        'or found broken');
refused($acr->get(signed('one', digest('never'), $expires)), 404,
        'BLOB_UNKNOWN', 'or never was');


# --- an address outlives what has become of the repository

$answer = fresh($acr, 'PATCH', '/acr/v1/lib%2Fa', body =>
                '{"readEnabled":false}');
answers($answer, 200, 'the repository is locked');
answers($acr->get("/v2/lib/a/blobs/$blob"), 405, 'no address is given');
answers($acr->get($good), 200, 'one that was is good until it is over');
fresh($acr, 'PATCH', '/acr/v1/lib%2Fa', body => '{"readEnabled":true}');


# --- keys

$acr->reload(http => "acr_zone acr:4m; acr_data_key $two $one; $endpoint;");
answers($acr->get($good), 200, 'a new key is there, the old one still good');
my $url = $acr->get("/v2/lib/a/blobs/$blob")->header('Location');
is($url, $HOST . signed('two', $blob, expires_of($url)), 'the new one signs');
answers($acr->get(signed('two', $blob, $expires)), 200, 'and is good');

$acr->reload(http => "acr_zone acr:4m; acr_data_key $two; $endpoint;");
refused($acr->get($good), 403, 'DENIED', 'the old one is good no more');
answers($acr->get(signed('two', $blob, $expires)), 200, 'the new one is');
$good = signed('two', $blob, $expires);


# --- where it is, by variables

$acr->reload(http => <<"HTTP", location => 'acr_data_endpoint $to;');
    acr_zone acr:4m;
    acr_data_key $two;
    map \$http_x_to \$to {
        default "";
        none off;
        near http://near.test///;
        bad "near.test";
        evil "http://near.test/\\nX: y";
    }
HTTP

$answer = $acr->get("/v2/lib/a/blobs/$blob", headers => ['X-To' => 'near']);
answers($answer, 307, 'an address of a variable');
is($answer->header('Location'),
   'http://near.test' . signed('two', $blob,
                               expires_of($answer->header('Location'))),
   'without a slash too much');

for my $to ('', 'none', 'bad', 'evil') {
    answers($acr->get("/v2/lib/a/blobs/$blob", headers => ['X-To' => $to]),
            200, "\"$to\" is none: the blob is sent");
}

like($acr->log_text(), qr/\[error\].*"acr_data_endpoint" has become is no URL/,
     'what is no URL is logged');
unlike($acr->log_text(), qr/^X: y/m, 'but not as it is');


# --- access control is where the address is given

$acr->reload(http => "acr_zone acr:4m; acr_data_key $two; acr_auth on;
                      $endpoint;", location => 'acr_anonymous_pull open/*;');
my $admin = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true() });
my $as = $acr->as('admin', $admin->{passwords}[0]{value});

$answer = $acr->get("/v2/lib/a/blobs/$blob");
refused($answer, 401, 'UNAUTHORIZED', 'nobody gets an address');
is($answer->header('Location'), undef, 'not at all');
answers($as->get("/v2/lib/a/blobs/$blob"), 307, 'who may pull does');
answers($acr->get($good), 200, 'which needs no credentials');
answers($as->get($good), 200, 'and does not mind them');
answers($as->get($bad{'a time long ago'}), 403, 'which do not help either');


# --- what is counted

$acr->reload(http => "$http $endpoint;", location => '');
$good = signed('one', $blob, $expires);
my @counted = ([blob_get => 307], [data_get => 200], [data_get => 403]);
my $count = sub {
    my ($operation, $status) = @_;
    return value($acr, 'acr_requests_total', operation => $operation,
                 status => $status) || 0;
};
my @before = map { $count->(@$_) } @counted;

$acr->get("/v2/lib/a/blobs/$blob");
$acr->get($good);
$acr->get("${good}x");

for my $i (0 .. $#counted) {
    ok(wait_for(sub { $count->(@{ $counted[$i] }) > $before[$i] }),
       "@{ $counted[$i] } is counted");
}


# --- without Redis

$redis->kill();
$answer = fresh($acr, 'GET', "/v2/lib/a/blobs/$blob");
answers($answer, 307, 'Redis is down: the address all the same');
$answer = fresh($acr, 'GET', path_of($answer->header('Location'))
                             =~ s{^/cdn}{}r);
answers($answer, 200, 'and the blob');
is(digest($answer->body()), $blob, 'with its bytes');
refused(fresh($acr, 'GET', "${good}x"), 403, 'DENIED', 'and no other');

finish();
