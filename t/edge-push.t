#!/usr/bin/perl

# What goes through a node of conf/edge.conf to its registry: pushes of any kind
# and size, mounts, deletions; and errors, which all have the OCI form.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Edge;
use JSON::PP ();

my $OPEN = 'location /acr/admin/ { acr_admin; }';

my $log = work_dir() . '/origin.log';

# it is filled from elsewhere, too
my $origin = start(fsync => 'off', server => $OPEN, http => <<"HTTP");
    acr_auth on;
    acr_service origin.test;
    acr_remote docker.io http://127.0.0.1:1;
    acr_cache_rule docker.io/* docker.io/*;
    log_format origin '\$request_uri \$http_accept_encoding';
    access_log $log origin;
HTTP
my $password = change($origin, 'PUT', 'admin', { enabled => JSON::PP::true })
               ->{passwords}[0]{value};
my $puller = edge_token($origin, 'puller',
                        { 'team/a' => ['content/read'] });

# of this nothing is to be heard
my $admin = $origin->as('admin', $password);
my $config = '{"push":1}';
$admin->push_blob('team/d', $config);
my $kept = $admin->push_manifest('team/d', 'kept', image($config, []));

my $edge = edge($origin, sub {
    my ($text, $edge) = @_;

    $text =~ s{listen 127.0.0.1:\d+;}
              {$& listen 127.0.0.1:$edge->{http2_port} http2;};
    # a tag is looked at again after a second
    $text =~ s{proxy_cache_valid 200 30s;}{proxy_cache_valid 200 1s;};
    return $text;
});

# one that hears of no changes
my $deaf = edge($origin, undef, deaf => 1);

my $marks = 0;
my $host = '127.0.0.1:' . $edge->port();
my $file = work_dir() . '/body';
my $large = bytes(100_000_000, 'large');
my $digest = digest($large);

spew($file, $large);

my $token = token('repository:team/a:pull,push,delete');
my $client = $edge->as($token);
my $direct = $origin->as($token);

large();
chunks();
locations();
challenges();
basic();
mounts();
own_writes();
digests();
namespaces();
codings();
errors();
down();
finish();


sub token {
    my ($scope, $name, $secret) = @_;

    my $answer = $edge->as($name || 'admin', $secret || $password)
        ->get("/oauth2/token?service=origin.test&scope=$scope");
    answers($answer, 200, "a token for $scope");

    return $answer->json()->{access_token};
}


# as curl sends them, with what nginx makes of it
sub large {
    my @token = ('-H', "Authorization: Bearer $token");

    for my $case (['with a length', '-T', $file],
                  ['asking first', '-T', $file, '-H', 'Expect: 100-continue'],
                  ['chunked', '-T', '-'],
                  ['chunked, asking first', '-T', '-', '-H',
                   'Expect: 100-continue'],
                  ['HTTP/2', '-T', $file, '--http2-prior-knowledge'],
                  ['HTTP/2 without a length', '-T', '-',
                   '--http2-prior-knowledge'])
    {
        my ($what, @how) = @$case;
        my $port = $what =~ /HTTP/ ? $edge->{http2_port} : $edge->port();

        # curl_from has "Expect:" before
        my $location = $client->upload('team/a');
        my $answer = curl_from($file, @how, @token, '-X', 'PATCH',
                               "http://127.0.0.1:$port$location");
        answers($answer, 202, "100 MB, $what");
        is($answer->header('Range'), '0-99999999', 'all of it is there');
        answers($client->close_upload($answer->location(), $digest), 201,
                'and right');

        # what HTTP/2 makes of an early answer depends on the client
        next if $port == $edge->{http2_port};

        $answer = curl_from($file, @how, '-X', 'PATCH',
                            "http://127.0.0.1:$port$location");
        refused($answer, 401, 'UNAUTHORIZED', 'and not without a token');
    }

    ok(!glob("$edge->{dir}/client_body_temp/*"), 'nothing of it was buffered');
}


sub chunks {
    my $bytes = substr($large, 0, 1_000_000);
    my $location = $client->upload('team/a');

    for my $offset (0, 400_000, 800_000) {
        my $answer = $client->patch($location,
                                    substr($bytes, $offset, 400_000), $offset);
        answers($answer, 202, "a chunk at $offset");
        $location = $answer->location();
    }

    my $answer = $client->get($location);
    answers($answer, 204, 'how far it is');
    is($answer->header('Range'), '0-999999', 'is told');
    refused($client->patch($location, 'x', 5), 416, 'BLOB_UPLOAD_INVALID',
            'a chunk at the wrong place');
    answers($client->close_upload($location, digest($bytes)), 201, 'its end');

    $location = $client->upload('team/a');
    refused($client->close_upload($location, digest('other'), 'this'), 400,
            'DIGEST_INVALID', 'a wrong digest');
    $location = $client->upload('team/a');
    answers($client->delete($location), 204, 'a push is given up');
    answers($client->get($location), 404, 'and gone');

    $answer = $client->post('/v2/team/a/blobs/uploads/?digest='
                            . digest($config), body => $config);
    answers($answer, 201, 'a push in one request');
}


# whatever form the registry has for them, they lead through the node
sub locations {
    for my $form (qw(relative absolute forwarded)) {
        changed("$OPEN acr_location $form;");

        my $answer = $client->post('/v2/team/a/blobs/uploads/', body => '',
                                   headers => [Host => $host]);
        answers($answer, 202, "acr_location $form");
        like($answer->header('Location'), qr{^(?:http://\Q$host\E)?/v2/team/},
             'leads through the node');
        answers($client->delete($answer->location()), 204, 'and back');

        $answer = $edge->post('/v2/team/a/blobs/uploads/', body => '',
                              headers => [Host => $host]);
        is(realm($answer), "http://$host/oauth2/token",
           'as the way to the tokens does');
    }

    changed($OPEN);
}


# the registry's server has these directives, and its index
sub changed {
    my ($server) = @_;

    $origin->reload(server => $server);
    wait_for(sub { $direct->get('/v2/team/a/tags/list')->status()
                   =~ /^(?:200|404)$/ });

    # a connection that it has closed is not used for a push
    wait_for(sub { $client->get('/oauth2/keys')->status() == 200 });
}


# a password is good for what goes on to the registry
sub basic {
    my $basic = $edge->as('admin', $password);
    my $pushed = $basic->push_blob('team/a', 'with a password');

    answers($basic->get("/v2/team/a/blobs/$pushed"), 401, 'no pull');
    answers($basic->delete("/v2/team/a/blobs/$pushed"), 202, 'a deletion');

    my $wrong = $edge->as('admin', 'wrong')
        ->post('/v2/team/a/blobs/uploads/', body => '',
               headers => [Host => $host]);
    refused($wrong, 401, 'UNAUTHORIZED', 'a wrong password');
    is(realm($wrong), "http://$host/oauth2/token", 'is sent to the node');
}


sub realm {
    my ($answer) = @_;

    my @values = $answer->headers('WWW-Authenticate');
    return @values == 1 && $values[0] =~ /^Bearer realm="([^"]+)",service=/
           ? $1 : join(' | ', $answer->status(), @values);
}


# those of the registry lead to the node, too
sub challenges {
    my $poor = $edge->as(token('repository:team/a:pull', $puller->{name},
                               $puller->{password}));

    for my $case (['POST', '/v2/team/a/blobs/uploads/'],
                  ['PUT', '/v2/team/a/manifests/1'],
                  ['DELETE', '/v2/team/a/manifests/1'],
                  ['PATCH', '/acr/v1/team/a'])
    {
        my ($method, $target) = @$case;

        for my $who (['nobody', $edge], ['who only pulls', $poor],
                     ['a wrong token', $edge->as('wrong')])
        {
            my $answer = $who->[1]->request($method, $target, body => '{}',
                                            headers => [Host => $host]);
            refused($answer, 401, 'UNAUTHORIZED|DENIED',
                    "$method $target: $who->[0]");
            is(realm($answer), "http://$host/oauth2/token",
               'is sent to the node');
        }

        unlike($origin->log_text(), qr/a wrong token/,
               'the registry is not bothered with that');

        my $answer = curl('--http2-prior-knowledge', '-X', $method,
                          "http://127.0.0.1:$edge->{http2_port}$target");
        like(realm($answer), qr{^http://127\.0\.0\.1:\d+/oauth2/token$},
             'over HTTP/2 as well');
    }
}


sub mounts {
    my $both = $edge->as(token('repository:team/a:pull&scope='
                               . 'repository:team/m:pull,push'));
    my $target = "/v2/team/m/blobs/uploads/?mount=$digest&from=team/a";

    answers($both->head("/v2/team/m/blobs/$digest"), 404, 'it is not there');
    my $answer = $both->post($target, body => '');
    answers($answer, 201, 'a mount');
    is($answer->location(), "/v2/team/m/blobs/$digest", 'leads to it');
    answers($both->head("/v2/team/m/blobs/$digest"), 200, 'it is there');
    answers($both->post($target =~ s/team.a$/team\/none/r, body => ''), 202,
            'no mount is an upload');
}


# what somebody has done through the node, he finds there, whatever it hears
sub own_writes {
    my $client = $deaf->as($token);
    my $blob = $client->push_blob('team/a', 'to be deleted');

    for my $n (1, 2) {
        my $image = image($config, [], annotations => { n => "$n" });
        my $pushed = $client->push_manifest('team/a', 'own', $image);

        is($client->resolve('team/a', 'own'), $pushed, "a push, $n");
        ok((grep { $_ eq 'own' } tags($client)), 'is in the list');
    }

    answers($client->delete('/v2/team/a/manifests/own'), 202, 'a tag');
    is($client->resolve('team/a', 'own'), undef, 'is gone');
    ok(!(grep { $_ eq 'own' } tags($client)), 'of the list, too');

    my $pushed = $client->push_manifest('team/a', 'own', image($config, []));
    is($client->resolve('team/a', 'own'), $pushed, 'it is there again');
    answers($client->delete("/v2/team/a/manifests/$pushed"), 202,
            'its manifest');
    is($client->resolve('team/a', 'own'), undef, 'takes it along');

    is(digest($client->get("/v2/team/a/blobs/$blob")->body()), $blob, 'a blob');
    answers($client->delete("/v2/team/a/blobs/$blob"), 202, 'is deleted');
    answers($client->get("/v2/team/a/blobs/$blob"), 404, 'and gone');

    $pushed = $client->push_manifest('team/a', 'acr', image($config, []));
    is($client->resolve('team/a', 'acr'), $pushed, 'a tag');
    answers($client->delete('/acr/v1/team/a/_tags/acr'), 202,
            'by the other API');
    is($client->resolve('team/a', 'acr'), undef, 'is gone');
}


sub tags {
    my ($client) = @_;

    return @{ $client->get('/v2/team/a/tags/list')->json()->{tags} || [] };
}


# The manifest of a digest is kept, that of a tag is looked at again.
sub digests {
    my $client = $edge->as(token('repository:team/d:pull'));

    answers($client->get("/v2/team/d/manifests/$kept"), 200, 'a digest');
    answers($client->get('/v2/team/d/manifests/kept'), 200, 'a tag');
    ok(wait_for(sub {
        $client->get('/v2/team/d/manifests/kept');
        return cached($client, 'kept')
               =~ /^(?:EXPIRED|REVALIDATED|UPDATING|STALE)$/;
    }), 'a tag may move');
    answers($client->get("/v2/team/d/manifests/$kept"), 200, 'a digest');
    is(cached($client, $kept), 'HIT', 'does not');
}


# what nginx's cache had of a manifest when this client has last asked for it;
# a line may come after its answer
sub cached {
    my ($client, $reference) = @_;

    $client->get('/v2/mark/' . ++$marks);
    wait_for(sub { slurp("$edge->{dir}/access.log") =~ m{/v2/mark/$marks } });
    my @found = map { m{/manifests/\Q$reference\E HTTP.* (\S+) \S+$} ? $1 : () }
                split(/\n/, slurp("$edge->{dir}/access.log"));

    return @found ? $found[-1] : '';
}


# what containerd says to a mirror of the registry
sub namespaces {
    my $client = $edge->as(token('repository:team/d:pull'));

    answers($client->get("/v2/team/d/manifests/$_?ns=origin.test"), 200,
            'a registry is no mirror of itself') for 'kept', $kept;
    answers($client->get("/v2/team/d/blobs/" . digest($config)
                         . '?ns=origin.test'), 200, 'nor for blobs');
    refused($client->get('/v2/team/d/manifests/kept?ns=ghcr.io'), 404,
            'NAME_UNKNOWN', 'but of others');
}


# Whoever asks next may not know the coding that this one does.
sub codings {
    my $client = $edge->as(token('repository:team/d:pull'));

    answers($client->get('/v2/team/d/tags/list?n=3',
                         headers => ['Accept-Encoding' => 'gzip']), 200,
            'a list');
    ok(wait_for(sub { slurp($log) =~ m{^/v2/team/d/tags/list\?n=3 }m }),
       'comes from the registry');
    like(slurp($log), qr{^/v2/team/d/tags/list\?n=3 -$}m, 'as it is');
}


# Those that nginx makes are in the form of the others.
sub errors {
    my $refused = sub {
        my ($what, $status, $text) = @_;
        my $http = $edge->connect();
        $http->send($text);
        refused($http->answer('GET'), $status, undef, $what);
        $http->close();
    };

    my $long = 'x' x 70_000;

    $refused->('no request', 400, "GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n");
    $refused->('no host', 400, "GET /v2/ HTTP/1.1\r\n\r\n");
    $refused->('a long path', 414, "GET /v2/$long HTTP/1.1\r\nHost: a\r\n\r\n");
    $refused->('a long header', 400,
               "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: $long\r\n\r\n");
    $refused->('a strange method', 405,
               "TRACE /v2/ HTTP/1.1\r\nHost: a\r\n\r\n");

    refused($edge->post('/oauth2/token', body => 'x' x 20_000), 413,
            'SIZE_INVALID', 'a large question for a token');
    refused($client->put_manifest('team/a', 'big',
                                  '{"a":"' . 'x' x 5_000_000 . '"}', $IMAGE),
            413, 'SIZE_INVALID|MANIFEST_INVALID', 'a large manifest');

    # it is answered before it has come, and the connection cannot be kept

    my $http = $edge->connect();
    $http->begin('PUT', '/v2/team/a/manifests/big', headers => [
        Authorization => "Bearer $token", 'Content-Length' => 5_000_000,
        'Content-Type' => $IMAGE]);
    my $answer = $http->answer('PUT');
    refused($answer, 413, undef, 'and before it is there');
    is($answer->header('Connection'), 'close', 'which is the end');
    $http->close();

    refused($client->put_manifest('team/a', 'bad', '{', $IMAGE), 400,
            'MANIFEST_INVALID', 'a bad manifest');
    refused($client->post('/v2/team/A/blobs/uploads/', body => ''), 400,
            'NAME_INVALID', 'a bad name');
    refused($client->get('/v2/team/a/nothing'), 404, undef, 'no resource');
}


sub down {
    my $location = $client->upload('team/a');
    my $reader = $deaf->as($token);

    $origin->kill_all();

    # who hears nothing finds it out by what is asked

    refused($reader->get('/v2/team/a/manifests/none'), 502, 'UNAVAILABLE',
            'a tag without the registry');
    ok(wait_for(sub { $deaf->log_text()
                      =~ /origin \S+ is assumed to be down/ }),
       'it is assumed to be down');

    refused($client->post('/v2/team/a/blobs/uploads/', body => ''), 502,
            'UNAVAILABLE', 'a push without the registry');
    refused($client->patch($location, 'x' x 1_000_000), 502, 'UNAVAILABLE',
            'or the rest of one');
    refused($client->put_manifest('team/a', 'new', image($config, [])), 502,
            'UNAVAILABLE', 'a manifest');
    refused($client->delete('/v2/team/a/manifests/large'), 502, 'UNAVAILABLE',
            'a deletion');
    refused($client->get('/v2/team/a/tags/list?n=7'), 502, 'UNAVAILABLE',
            'a list that is not here');
}
