#!/usr/bin/perl

# Every kind of request once, with nginx under valgrind: memory that is read
# after it was freed may go unnoticed otherwise, since nginx's pools keep it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Data;

my $nginx = $ENV{ACR_NGINX} || '/usr/sbin/nginx';

if (!grep { -x "$_/valgrind" } split(/:/, $ENV{PATH})) {
    plan(skip_all => 'no valgrind');
}

my $logs = work_dir() . '/valgrind';
mkdir($logs) or die "$logs: $!";
chmod(0777, $logs);

spew("$logs/nginx", <<"WRAPPER");
#!/bin/sh
exec valgrind -q --vgdb=no --trace-children=yes --log-file=$logs/%p.log \\
    $nginx "\$@"
WRAPPER
chmod(0755, "$logs/nginx");

local $ENV{ACR_NGINX} = "$logs/nginx";
my $acr = start(http2 => 1, redis_options => 'timeout=60s',
                http => 'acr_data_key ' . secret('one') . ';',
                server => 'location /acr/data/ { acr_data; }',
                location => 'acr_max_manifest_size 64k;
                             acr_data_endpoint $http_x_to;');

# The only worker has joined its Redis, however slow it is.
ok(wait_for(sub { $acr->get('/v2/_catalog')->status() == 200 }, 60),
   'the index answers');

# --- blobs

my $blob = bytes(900_000, 'valgrind');
my $digest = digest($blob);

my $location = $acr->upload('lib/v');
answers($acr->patch($location, substr($blob, 0, 400_000)), 202, 'PATCH');
answers($acr->get($location), 204, 'status');
answers($acr->close_upload($location, $digest, substr($blob, 400_000)), 201,
        'PUT');
answers($acr->get("/v2/lib/v/blobs/$digest"), 200, 'GET');
answers($acr->get("/v2/lib/v/blobs/$digest",
                  headers => [Range => 'bytes=1-2,5-6']), 206, 'ranges');
answers($acr->get("/v2/lib/v/blobs/$digest",
                  headers => [Range => 'bytes=1000000-']), 416, 'no range');
answers($acr->post("/v2/lib/w/blobs/uploads/?mount=$digest&from=lib/v",
                   body => ''), 201, 'mount');
answers($acr->post('/v2/lib/w/blobs/uploads/?digest=' . digest('one'),
                   body => 'one'), 201, 'a single POST');
answers($acr->close_upload($acr->upload('lib/v'), digest('other'), 'this'),
        400, 'another digest');
answers($acr->delete($acr->upload('lib/v')), 204, 'cancel');

# --- addresses

my $data = $acr->get("/v2/lib/v/blobs/$digest",
                     headers => ['X-To' => 'http://data.test/a/']);
answers($data, 307, 'an address of the data endpoint');
my $address = path_of($data->header('Location')) =~ s{^/a}{}r;
answers($acr->get($address), 200, 'the blob');
answers($acr->get($address, headers => [Range => 'bytes=1-2']), 206, 'a range');
answers($acr->get("${address}x"), 403, 'another signature');
answers($acr->get(signed('one', digest('none'), time() + 1000)), 404,
        'no blob');
answers($acr->get("/v2/lib/v/blobs/$digest", headers => ['X-To' => 'x']), 200,
        'no address');

# --- manifests

my $image = $acr->push_image('lib/v', 'one', 'valgrind');
answers($acr->get('/v2/lib/v/manifests/one'), 200, 'a manifest');
answers($acr->put_manifest('lib/v', 'two', 'no JSON'), 400, 'no manifest');
answers($acr->put_manifest('lib/v', 'two', '{' . ' ' x 70_000 . '}'), 413,
        'a large one');
answers($acr->get('/v2/lib/v/tags/list'), 200, 'tags');
answers($acr->get('/v2/_catalog'), 200, 'catalog');
answers($acr->get("/v2/lib/v/referrers/$digest"), 200, 'referrers');
answers($acr->delete('/v2/lib/v/manifests/one'), 202, 'a tag is deleted');
answers($acr->delete("/v2/lib/w/blobs/$digest"), 202, 'a blob is deleted');
answers($acr->get('/v2/lib/v/nothing'), 404, 'no resource');

# --- HTTP/2

my $file = work_dir() . '/blob';
spew($file, $blob);
$location = $acr->upload('lib/h');
answers(curl('--http2-prior-knowledge', '-T', $file, '-X', 'PATCH',
             "http://127.0.0.1:$acr->{http2_port}$location"),
        202, 'PATCH over HTTP/2');
answers($acr->close_upload($location, $digest), 201, 'PUT after that');

# --- clients that leave

for my $sent (1, 70_000, 399_999) {
    $location = $acr->upload('lib/v');
    my $http = $acr->connect();
    $http->begin('PATCH', $location, headers => ['Content-Length' => 400_000]);
    $http->send(substr($blob, 0, $sent));
    $http->close();
    ok(wait_for(sub {
        my $range = $acr->get($location)->header('Range');
        return $range eq '0-' . ($sent - 1);
    }), "of $sent bytes all are saved");
}

# --- what valgrind says

$acr->stop();

my @logs = glob("$logs/*.log");
cmp_ok(scalar(@logs), '>=', 2, 'master and worker have a log');
for my $log (@logs) {
    is(slurp($log), '', 'it is empty') or last;
}

done_testing();
