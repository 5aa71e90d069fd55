#!/usr/bin/perl

# An edge node whose clients, or whose origin, do what they should not: nobody
# is given what is another's, or old, and the origin is assumed to be down only
# when it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Edge;
use ACR::Origin;
use JSON::PP ();

my ($up, $proxied) = map { mkdir($_) or die "$_: $!\n"; ACR::Origin->start($_) }
                     map { work_dir() . "/$_" } qw(up proxied);
my ($up_url, $proxied_url) = map { $_->url() } $up, $proxied;

breaker();
another_origin();
registry();
finish();


# how often the origin was assumed to be down, and was there again
sub opened { return scalar(() = $_[0]->log_text() =~ /assumed to be down/g) }
sub closed { return scalar(() = $_[0]->log_text() =~ /answers again/g) }


# --- what nginx's proxy hears is what the breaker is told: here the proxy asks
# one server, and the module another one, which is there

sub breaker {
    my $dir = work_dir() . '/cache';
    my $server = $proxied_url =~ s{^http://}{}r;

    my $edge = start(workers => 1, redis => undef, lines => { acr => '' },
        http => "acr_remote up.test $up_url timeout=5s;\n"
                . "acr_origin up.test;\n"
                . "proxy_cache_path $dir keys_zone=c:1m use_temp_path=off;\n"
                . "upstream origin { server $server; }\n"
                . "upstream nobody { server 127.0.0.1:1 max_fails=0; }\n"
                . 'map $acr_origin $to { default origin; down nobody; }',
        location => 'acr_edge on; proxy_pass http://$to; proxy_cache c;'
                    . 'proxy_cache_key $acr_cache_key;'
                    . 'proxy_cache_valid 200 1s;'
                    . 'proxy_cache_use_stale error timeout updating http_503;'
                    . 'proxy_cache_background_update on;'
                    . 'add_header X-Cache $upstream_cache_status;'
                    . 'proxy_request_buffering off;'
                    . 'error_page 502 503 504 = @unavailable;',
        server => 'location @unavailable { return 502 "none"; }');

    $edge->allow(qr/acr: (?:changes|origin)|upstream|connect\(\)/);

    # once it has no events, it is left alone for a minute
    ok(wait_for(sub { $edge->log_text() =~ /are not heard of/ }), 'a node');

    $proxied->has_image('lib/a', $_, 'layer') for qw(one two new);
    my ($one, $two, $new) = map { "/v2/lib/a/manifests/$_" } qw(one two new);

    clients_leave($edge);
    answers_of_5xx($edge, $two);

    # once it is down, its failures are the proxy's

    is($edge->get($one)->status(), 200, 'a tag');
    $proxied->stop();
    ok(wait_for(sub { $edge->get($new)->status() == 502 && opened($edge) }),
       'without it, it is assumed to be down');

    # it is found again by what renews the cache, and nobody waits for

    is(closed($edge), 0, 'and not to be back');
    $proxied->run();
    my %seen;
    ok(wait_for(sub {
        $seen{$edge->get($one)->status()}++;
        closed($edge) }), 'with it, it is found by nginx itself');
    is(join(' ', keys %seen), '200', 'while clients get what is there');
    ok(wait_for(sub { $edge->get($new)->status() == 200 }), 'and all else');
}


sub clients_leave {
    my ($edge) = @_;

    my $target = '/v2/lib/a/blobs/uploads/';

    $proxied->rule($target, wait => 1);
    my $http = $edge->connect();
    $http->send("POST $target HTTP/1.1\r\nHost: x\r\n"
                . "Content-Length: 0\r\n\r\n");
    ok(wait_for(sub { $proxied->asked(qr{^POST}) }), 'an upload begins');
    $http->close();
    ok(wait_for(sub { -e "$proxied->{dir}/left" }), 'its client leaves');
    $proxied->rule($target, wait => undef, status => 503);

    is($edge->post($target)->status(), 503, 'another one is refused');
    is($edge->get('/v2/lib/a/manifests/none')->status(), 404,
       'the origin is asked all the same');
    is(opened($edge), 0, 'it is not assumed to be down');
}


# of a registry that cannot, and of what stands before one that is not there
sub answers_of_5xx {
    my ($edge, $target) = @_;

    $proxied->rule($target, status => 503, headers => ['Retry-After: 5']);
    is($edge->get($target)->status(), 503, 'it wants to be asked later');
    $proxied->rule($target, status => 502,
                   headers => ['Docker-Distribution-Api-Version: '
                               . 'registry/2.0']);
    is($edge->get($target)->status(), 502, 'its own origin is down');
    is($edge->get('/v2/lib/a/manifests/none')->status(), 404, 'it is asked');
    is(opened($edge), 0, 'it is not assumed to be down');

    $proxied->rule($target, status => 502, headers => undef);
    is($edge->get($target)->status(), 502, 'somebody else says 502');
    ok(wait_for(sub { opened($edge) }), 'it is assumed to be down');
    $proxied->rule($target, status => undef);
    ok(wait_for(sub { $edge->get($target)->status() == 200 }), 'until it is '
       . 'there');
    ok(wait_for(sub { closed($edge) }), 'which is said');
    spew("$edge->{dir}/error.log", '');
}


# --- the memory that survives a reload is not that of another origin

sub another_origin {
    my $http = sub {
        return "acr_remote up.test $up_url;\n"
               . "acr_remote other.test $proxied_url;\nacr_origin $_[0];\n";
    };

    $up->put('/acr/v1/_events', '{"next":4}', type => 'application/json');
    $up->rule('/acr/v1/_events?after=4&n=100&wait=25', wait => 1);
    my $before = $proxied->asked(qr{/_events});

    my $edge = start(workers => 1, redis => undef, lines => { acr => '' },
                     http => $http->('up.test'),
                     location => "acr_edge on; proxy_pass $up_url;"
                                 . 'add_header X-Key $acr_cache_key always;');
    $edge->allow(qr/acr: (?:changes|remote|origin)/);

    my $key = sub { $edge->get('/v2/lib/a/manifests/0')->header('X-Key') };

    ok(wait_for(sub { $up->asked(qr{/_events\?after=4&}) }), 'an origin');
    my $first = $key->();

    $edge->reload(http => $http->('other.test'));
    ok(wait_for(sub { $proxied->asked(qr{/_events}) > $before }), 'another');
    is(scalar($proxied->asked(qr{/_events\?})), 0,
       'is not asked for events of the first');
    my ($old, $new) = map { /^(\d+)/ } $first, $key->();
    cmp_ok($new, '>', $old, 'what was kept is not its');
    like($key->(), qr/^\d+ other\.test manifest_get lib\/a  0$/, 'the key');
}


# --- conf/edge.conf before a registry

sub registry {
    my $log = work_dir() . '/origin.log';
    my $origin = start(fsync => 'off', redis => redis('--appendonly', 'yes'),
        http => "acr_remote up.test $up_url;\n"
                . "acr_auth on; acr_service origin.test;\n"
                . "log_format t '\$request_method \$request_uri';",
        location => "acr_cache_rule hub/* up.test/*; access_log $log t;",
        server => 'location /acr/admin/ { acr_admin; }');

    my $admin = change($origin, 'PUT', 'admin',
                       { enabled => JSON::PP::true });
    $admin = $origin->as('admin', $admin->{passwords}[0]{value});

    my $manifest = $admin->push_image('team/a', 'one', ['a layer']);
    $admin->push_image('team/a', 'two', ['another layer']);
    $up->has_image('team/a', 'secret', 'of hub/team/a');

    my $edge = edge($origin, sub {
        $_[0] =~ s{(proxy_cache_valid 200 365d;)}{$1 add_header X-Digest 1;}r
    });
    my $user = edge_token($origin, 'user', { 'team/a' => ['content/read',
                                                          'metadata/read'] });

    my $client = sub {
        my ($who, @scopes) = @_;
        my $answer = $edge->as($who->{name}, $who->{password})
            ->get('/oauth2/token?service=origin.test'
                  . join('', map { "&scope=$_" } @scopes));
        answers($answer, 200, "a token for @scopes");
        return $edge->as($answer->json()->{access_token});
    };
    my $asked = sub {
        my ($pattern) = @_;
        return scalar(grep { /$pattern/ } split(/\n/, slurp($log)));
    };

    my $reader = $client->($user, 'repository:team/a:pull');

    namespaces($client->($edge->{user}, 'repository:team/a:pull',
                         'repository:hub/team/a:pull'), $reader);
    keys_of_the_cache($reader, $asked);

    is($reader->get("/v2/team/a/manifests/$manifest")->header('X-Digest'), 1,
       'a digest is kept as such');
    is($reader->get('/v2/team/a/manifests/one')->header('X-Digest'), undef,
       'a tag is not');

    answers($client->($user)->get('/v2/_oci/ext/discover'), 200,
            'what the registry has needs no rights');
    is($edge->get('/v2/_oci/ext/discover')->status(), 401, 'but somebody');

    my $events = $client->($edge->{user}, 'registry:events:read')
        ->get('/acr/v1/_events');
    answers($events, 200, 'events go through');
    ok(defined $events->json()->{next}, 'as the origin has them');
    is($client->($user, 'registry:events:read')->get('/acr/v1/_events')
           ->status(), 401, 'for those who may');

    long_urls($edge, $reader);
    without_redis($origin, $edge, $reader);
    restart($admin, $edge, $reader);
}


# "ns" makes another repository of the path at the origin
sub namespaces {
    my ($all, $reader) = @_;

    my $target = '/v2/team/a/manifests/secret';

    for my $client ($all, $reader) {
        for my $args ('ns=up.test', 'x&n%73=up.test', '%zz&ns=up.test') {
            refused($client->get("$target?$args"), 404, 'NAME_UNKNOWN', $args);
        }
        is($client->get($target)->status(), 404, 'nor is it there without');
    }

    is($all->get('/v2/hub/team/a/manifests/secret')->status(), 200,
       'who may has it by its name');
    is($reader->get('/v2/hub/team/a/manifests/secret')->status(), 401,
       'others have not');
}


# what the answer does not depend on makes no other one
sub keys_of_the_cache {
    my ($reader, $asked) = @_;

    for my $args ('', '?x=1', '?x=2&n=3') {
        answers($reader->get("/v2/team/a/manifests/one$args"), 200,
                "a tag $args");
    }

    is($asked->(qr{GET /v2/team/a/manifests/one}), 1, 'was asked for once');

    my %tags = ('n=1' => 'one', 'x=1&n=1' => 'one', 'last=one' => 'two',
                'n=%31&last=one' => 'two', '' => 'one two', 'N=1' => 'one two');

    for my $args (sort keys %tags) {
        is(join(' ', @{ $reader->get("/v2/team/a/tags/list?$args")
                            ->json()->{tags} }), $tags{$args}, "tags, $args");
    }

    is($asked->(qr{/tags/list}), 4, 'so many lists were asked for');
}


# what our own client refuses says nothing of the origin
sub long_urls {
    my ($edge, $reader) = @_;

    is($edge->get('/oauth2/token?service=origin.test&scope=' . 'x' x 5000)
           ->status(), 400, 'a request for a token that is too long');
    is($reader->get('/v2/team/a/manifests/none')->status(), 404,
       'the origin is asked');
    is(opened($edge), 0, 'it is not assumed to be down');
}


# a registry without its index cannot write, nor list, but is pulled from
sub without_redis {
    my ($origin, $edge, $reader) = @_;

    $origin->allow(qr/acr: /);
    $origin->{redis}->kill();

    ok(wait_for(sub { $reader->get('/v2/team/a/tags/list?n=7')->status()
                      == 503 }), 'no lists without Redis');
    is($reader->get('/v2/team/a/manifests/two')->status(), 200,
       'but what was not pulled yet');
    is(opened($edge), 0, 'it is not assumed to be down');

    $origin->{redis}->run();
    ok(wait_for(sub { $reader->get('/v2/team/a/tags/list?n=7')->status()
                      == 200 }), 'lists with it');
}


# nginx's cache outlives the memory that says what is old
sub restart {
    my ($admin, $edge, $reader) = @_;

    my $target = '/v2/team/a/manifests/moves';
    my $now = sub {
        $reader->get($target)->header('Docker-Content-Digest') || '';
    };

    my $first = $admin->push_image('team/a', 'moves', ['first']);
    ok(wait_for(sub { $now->() eq $first }), 'a tag');
    my $second = $admin->push_image('team/a', 'moves', ['second']);
    ok(wait_for(sub { $now->() eq $second }), 'has moved');

    $edge->stop();
    $edge->run();
    is($now->(), $second, 'and does not move back, ' . $_) for 1 .. 3;
}
