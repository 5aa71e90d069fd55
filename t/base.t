#!/usr/bin/perl

# /v2/ itself, paths, names, methods and the form of errors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my $none = 'sha256:' . '0' x 64;


# --- /v2/

for my $target ('/v2/', '/v2', '/v2/?x=y') {
    my $answer = $acr->get($target);
    answers($answer, 200, "GET $target");
    is($answer->header('Docker-Distribution-Api-Version'), 'registry/2.0',
       "$target names its version");
}

my $head = $acr->head('/v2/');
answers($head, 200, 'HEAD /v2/');
is($head->body(), '', 'has no body');


# --- unknown paths

for my $path (qw(/v2/x /v2/_x /v2/x/y/z /v2/x/tags /v2/x/tags/ /v2/x/tags/all
                 /v2/x/manifests /v2/x/blobs /v2/x/blobs/uploads/1/2
                 /v2/blobs/uploads/ /v2/manifests/latest /v2/_catalog/x
                 /v2/_oci /v2/_oci/ext /v2/_oci/ext/none /v2/x/_oci/ext/none))
{
    refused($acr->get($path), 404, undef, "GET $path is not found");
}

refused($acr->get('/v2/x/referrers/'), 404, undef, 'no digest');

for my $path (qw(/v2/a%2F..%2Fb/tags/list /v2/..%2Fetc/manifests/x
                 /v2/a/manifests/..%2F..%2Fx /v2/a/blobs/..%2f.. /v2/a%2F/x
                 /v2/a/blobs/uploads/..%2f..))
{
    my $answer = $acr->get($path);
    like($answer->status(), qr/^40[04]$/, "GET $path leads nowhere");
    refused($answer, $answer->status(), undef, 'and says so');
}
isnt($acr->get('/')->status(), 200, '/ is not the registry');

my $missing = $acr->head("/v2/x/manifests/none");
answers($missing, 404, 'HEAD of what is missing');
is($missing->body(), '', 'has no body');
like($missing->header('Content-Length'), qr/^[1-9]\d*$/,
     'but the length of one');


# --- methods

my %allowed = (
    '/v2/' => 'GET, HEAD',
    '/v2/_catalog' => 'GET, HEAD',
    '/v2/_oci/ext/discover' => 'GET, HEAD',
    '/v2/x/tags/list' => 'GET, HEAD',
    "/v2/x/referrers/$none" => 'GET, HEAD',
    "/v2/x/blobs/$none" => 'DELETE, GET, HEAD',
    '/v2/x/manifests/latest' => 'DELETE, GET, HEAD, PUT',
    '/v2/x/blobs/uploads/' => 'POST',
    '/v2/x/blobs/uploads/0b0f2a1e-6f6c-4f0c-9d59-0c1f7f1e8b11'
        => 'DELETE, GET, HEAD, PATCH, PUT',
);

for my $path (sort keys %allowed) {
    my %can = map { $_ => 1 } split(/, /, $allowed{$path});

    for my $method (grep { !$can{$_} } qw(GET PUT POST PATCH DELETE OPTIONS
                                          BREW))
    {
        my $answer = $acr->request($method, $path, body => 'x' x 1000);
        refused($answer, 405, 'UNSUPPORTED', "$method $path is refused");

        my %listed = map { $_ => 1 }
                     split(/[\s,]+/, $answer->header('Allow') || '');
        delete($listed{HEAD});
        my %wanted = %can;
        delete($wanted{HEAD});
        is_deeply(\%listed, \%wanted, 'Allow tells what is possible');
    }
}


# --- names

for my $name (qw(a 0 a/b a.b a_b a__b a-b a--b a-----b a/b/c/d/e/f/g a1.b2/c3
                 library/ubuntu blobs manifests uploads tags v2
                 a/manifests/b a/blobs/uploads/b a/tags/list),
              'x' x 255, join('/', ('y') x 128))
{
    refused($acr->get("/v2/$name/tags/list"), 404, 'NAME_UNKNOWN',
            short($name) . ' is a name, of nothing yet', $name);
}

for my $name (qw(A aB -a a- .a a. _a a_ a..b a___b a._b a.-b a/-b a/.b a/_b
                 a-/b a+b a@b a:b a%20b a%C3%A4 a%5Cb a%0Ab a%22b a*b),
              'x' x 256, join('/', ('y') x 129))
{
    refused($acr->get("/v2/$name/tags/list"), 400, 'NAME_INVALID',
            short($name) . ' is no name');
    refused($acr->post("/v2/$name/blobs/uploads/", body => ''), 400,
            'NAME_INVALID', short($name) . ' cannot be pushed to');
}

refused($acr->get('/v2/UP/manifests/x'), 400, 'NAME_INVALID',
        'the name is in the detail', 'UP');
refused($acr->get('/v2/a%22%5C%01%FF%3Cb%3E/manifests/x'), 400, 'NAME_INVALID',
        'whatever bytes it has');


# --- percent-encoding

my $digest = $acr->push_image('team/app', '1.0', 'base');
my $colon = $digest =~ s/:/%3A/r;

for my $target ('/v2/team%2Fapp/manifests/1.0',
                '/v2/team%2fapp/manifests/1%2E0',
                "/v2/team%2Fapp/manifests/$colon",
                "/v2/team/app/manifests/$colon", '/v2/%74eam/app/manifests/1.0',
                '/v2/team%2Fapp%2Fmanifests%2F1.0')
{
    my $answer = $acr->get($target);
    answers($answer, 200, "GET $target");
    is(digest($answer->body()), $digest, 'is the manifest');
}

answers($acr->get('/v2/team%2Fapp/tags/list'), 200, 'a list of tags');
answers($acr->get("/v2/team%2Fapp/referrers/$colon"), 200, 'referrers');

my $bytes = 'percent';
my $upload = $acr->post('/v2/team%2Fapp/blobs/uploads/', body => '');
answers($upload, 202, 'an upload');
like($upload->location(), qr{^/v2/team/app/blobs/uploads/},
     'its location is not encoded');
my $location = $upload->location() =~ s{team/app}{team%2Fapp}r;
my $blob = digest($bytes) =~ s/:/%3A/r;
answers($acr->put("$location?digest=$blob", body => $bytes), 201,
        'a blob pushed to an encoded name and with an encoded digest');
is($acr->get("/v2/team%2Fapp/blobs/$blob")->body(), $bytes, 'can be pulled');

refused($acr->get('/v2/team%252Fapp/tags/list'), 400, 'NAME_INVALID',
        'nothing is decoded twice');


# --- references

for my $tag ('-a', '.a', 'a%20b', 'a+b', 'a%C3%A4', 'x' x 129) {
    my $answer = $acr->get("/v2/team/app/manifests/$tag");
    like($answer->status(), qr/^40[04]$/, short($tag) . ' is no tag');
    refused($answer, $answer->status(),
            'TAG_INVALID|MANIFEST_INVALID|MANIFEST_UNKNOWN', 'it says so');
}

for my $text (qw(sha256:x sha256:baddigeststring sha384:00 :x sha256:),
              uc($digest), "${digest}0", substr($digest, 0, -1), "x$digest",
              'md5:' . '0' x 32)
{
    my $answer = $acr->get("/v2/team/app/manifests/$text");
    like($answer->status(), qr/^40[04]$/, "$text is no digest");
    refused($answer, $answer->status(), undef, 'it says so');

    refused($acr->get("/v2/team/app/blobs/$text"), 400, 'DIGEST_INVALID',
            "$text is no digest of a blob", $text);
}

refused($acr->get('/v2/team/app/manifests/2.0'), 404, 'MANIFEST_UNKNOWN',
        'an unknown tag', '2.0');
refused($acr->get("/v2/team/app/manifests/$none"), 404, 'MANIFEST_UNKNOWN',
        'an unknown manifest', $none);
refused($acr->get('/v2/none/manifests/x'), 404,
        'MANIFEST_UNKNOWN|NAME_UNKNOWN', 'an unknown repository');


# --- extensions

for my $target ('/v2/_oci/ext/discover', '/v2/team/app/_oci/ext/discover') {
    my $answer = $acr->get($target);
    answers($answer, 200, "GET $target");
    like($answer->header('Content-Type'), qr{^application/json\b}, 'JSON');
    my $list = $answer->json()->{extensions};
    is(ref($list), 'ARRAY', 'a list of extensions');
    is_deeply([grep { !$_->{name} || !$_->{url} || !$_->{endpoints} } @$list],
              [], 'with name, url and endpoints each');
}


# --- connections

my $http = $acr->connect();
$http->send($http->head('GET', '/v2/') . $http->head('GET', '/v2/x')
            . $http->head('GET', '/v2/team/app/manifests/1.0')
            . $http->head('HEAD', '/v2/team/app/manifests/1.0')
            . $http->head('GET', '/v2/'));
is(join(' ', map { $http->answer($_)->status() } qw(GET GET GET HEAD GET)),
   '200 404 200 200 200', 'pipelined requests are answered in order');

$http->send("GET /v2/ HTTP/1.0\r\n\r\n");
my $old = $http->answer_head();
is($old->status(), 200, 'HTTP/1.0 without a Host');
$http->close();

finish();


sub short {
    my ($name) = @_;

    return length($name) > 40
        ? substr($name, 0, 20) . '... (' . length($name) . ')' : $name;
}
