#!/usr/bin/perl

# conf/edge.conf before a registry: what was pulled once comes from the node,
# for those who may have it, also when the origin is down.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Edge;
use JSON::PP ();

# --- the origin

my $origin = start(fsync => 'off',
                   redis => redis('--appendonly', 'yes'),
                   http => "acr_auth on; acr_service origin.test;\n"
                           . 'log_format t "$request_method $uri '
                           . '$http_authorization";' . "\n",
                   location => 'access_log ' . work_dir() . '/origin.log t;',
                   server => 'location /acr/admin/ { acr_admin; }');

my $admin = change($origin, 'PUT', 'admin', { enabled => JSON::PP::true });
$admin = $origin->as('admin', $admin->{passwords}[0]{value});

my $bytes = bytes(3_000_000, 'layer');
my $layer = digest($bytes);
my $config = '{"edge":1}';

$admin->push_blob($_, $bytes) for 'team/a', 'team/b';
$admin->push_blob('team/a', $config);
my $manifest = $admin->push_manifest('team/a', '1.0',
                                     image($config, [$bytes]));

my $user = edge_token($origin, 'user',
                      { 'team/a' => ['content/read', 'metadata/read',
                                     'content/write'] });

my $edge = edge($origin);
my $node = $edge->{user};

my $seen = 0;

pulls();
rights();
pushes();
changes();
down();
finish();


# what the origin was asked since the last time
sub asked {
    my ($pattern) = @_;

    my @lines = split(/\n/, slurp(work_dir() . '/origin.log'));
    my @new = @lines[$seen .. $#lines];
    $seen = @lines;

    return grep { !defined $pattern || /$pattern/ } @new;
}


# a client of the node with a token that it got there
sub client {
    my ($scope) = @_;

    my $answer = $edge->as($user->{name}, $user->{password})
        ->get("/oauth2/token?service=origin.test&scope=$scope");
    answers($answer, 200, "a token for $scope");

    return $edge->as($answer->json()->{access_token});
}


sub pulls {
    my $answer = $edge->get('/v2/');
    is($answer->status(), 401, 'nobody is let in');
    like($answer->header('WWW-Authenticate'),
         qr{^Bearer realm="http://[^/"]+/oauth2/token",service="origin.test"},
         'and sent to the token service of the node');

    my $client = client('repository:team/a:pull');
    asked();

    for my $round (1, 2) {
        $answer = $client->get('/v2/team/a/manifests/1.0');
        answers($answer, 200, "a manifest by its tag, $round");
        is(digest($answer->body()), $manifest, 'is right');
        $answer = $client->get("/v2/team/a/manifests/$manifest");
        is(digest($answer->body()), $manifest, 'and by its digest');
        $answer = $client->get("/v2/team/a/blobs/$layer");
        answers($answer, 200, 'a blob');
        is(digest($answer->body()), $layer, 'is right');
        $answer = $client->get("/v2/team/a/blobs/$layer",
                               headers => [Range => 'bytes=5-1000004']);
        answers($answer, 206, 'a part');
        ok($answer->body() eq substr($bytes, 5, 1_000_000), 'is right');
        is($client->head("/v2/team/a/blobs/$layer")
               ->header('Content-Length'), 3_000_000, 'HEAD');

        my @asked = asked(qr{/v2/team\S+ Bearer});
        is(scalar(@asked), $round == 1 ? 4 : 0,
           $round == 1 ? 'the origin was asked' : 'is not asked again')
            or diag(join("\n", @asked));
    }

    refused($client->get('/v2/team/a/manifests/none'), 404,
            'MANIFEST_UNKNOWN', 'a tag that is nowhere');
    refused($client->get('/v2/team/a/blobs/' . digest('none')), 404,
            'BLOB_UNKNOWN', 'a blob that is nowhere');
    refused($client->get('/v2/team/a/blobs/sha256:1'), 400,
            'DIGEST_INVALID', 'no digest');
    refused($client->get('/v2/team/../a/manifests/1.0'), 400,
            'NAME_INVALID', 'a path that is none');
}


sub rights {
    my $client = client('repository:team/a:pull');

    for my $target ("blobs/$layer", 'manifests/1.0', 'tags/list') {
        is($client->get("/v2/team/b/$target")->status(), 401,
           "another repository: $target");
        is($edge->get("/v2/team/a/$target")->status(), 401,
           "without a token: $target");
    }

    # it has the blob, but only in one of its repositories

    my $all = $edge->as($edge->as($node->{name}, $node->{password})
        ->get('/oauth2/token?service=origin.test&scope=repository:team/c:pull')
        ->json()->{access_token});
    refused($all->get("/v2/team/c/blobs/$layer"), 404, 'BLOB_UNKNOWN',
            'a content that the node has, in a repository that has it not');

    my $other = $edge->as($edge->as($node->{name}, $node->{password})
        ->get('/oauth2/token?service=origin.test&scope=repository:team/b:pull')
        ->json()->{access_token});
    asked();
    is(digest($other->get("/v2/team/b/blobs/$layer")->body()), $layer,
       'in one that has it');
    my @asked = asked(qr{/blobs/});
    is(scalar(grep { /^GET/ } @asked), 0, 'it is not fetched again');
}


sub pushes {
    my $client = client('repository:team/a:pull,push');
    my $digest = $client->push_blob('team/a', 'pushed by the node');

    is(digest($client->get("/v2/team/a/blobs/$digest")->body()), $digest,
       'a push goes through');
    my $image = $client->push_manifest('team/a', 'pushed',
                                       image($config, ['pushed by the node']));
    is($admin->resolve('team/a', 'pushed'), $image, 'to the origin');
}


# a tag is good for 30 s, but what has changed is heard of
sub changes {
    my $client = client('repository:team/a:pull');

    for my $tag ('one', 'two') {
        my $first = $admin->push_manifest('team/a', $tag,
                                          image($config, [$bytes],
                                                annotations => { n => '1' }));
        is($client->resolve('team/a', $tag), $first, 'a tag');

        my $second = $admin->push_manifest('team/a', $tag,
                                           image($config, [$bytes],
                                                 annotations => { n => '2' }));
        ok(wait_for(sub { $client->resolve('team/a', $tag) eq $second }),
           'that has moved');
    }

    answers($admin->delete('/v2/team/a/manifests/two'), 202, 'a tag');
    ok(wait_for(sub { !defined $client->resolve('team/a', 'two') }),
       'that is gone');
}


sub down {
    my $client = client('repository:team/a:pull');

    $origin->kill_all();

    for my $target ("blobs/$layer", "manifests/$manifest", 'manifests/1.0') {
        my $answer = $client->get("/v2/team/a/$target");
        answers($answer, 200, "without the origin: $target");
    }

    is($client->get('/v2/')->status(), 200, 'and /v2/');

    client('repository:team/a:pull');
    is($edge->as($user->{name}, $user->{password})
           ->get('/oauth2/token?service=origin.test'
                 . '&scope=repository:team/z:pull')->status(), 503,
       'a token that was never given is not');
    is($edge->as($user->{name}, 'wrong')
           ->get('/oauth2/token?service=origin.test'
                 . '&scope=repository:team/a:pull')->status(), 503,
       'nor one for another password');
    my $answer = $client->get('/v2/team/a/manifests/other');
    ok($answer->status() >= 502, 'what is not here is not');
    refused($client->get('/v2/team/a/blobs/' . digest('other')), 502,
            'UNAVAILABLE', 'nor a blob');

    # it is assumed to be down, so nobody waits for it

    ok(wait_for(sub {
        $client->get('/v2/team/a/manifests/other2');
        grep { /assumed to be down/ } $edge->log_text() }),
       'it is assumed to be down');

    $origin->run();
    ok(wait_for(sub { $client->get('/v2/team/a/manifests/pushed')->status()
                      == 200 }), 'until it is back');
}
