#!/usr/bin/perl

# GET /acr/v1/_events: what has happened, in order, and from where on a reader
# may have missed something; requests that wait until something happens.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use ACR::HTTP2;
use ACR::Index;
use ACR::Metrics;

my $LIMIT = 1024;
my $MORE = 'location /acr/admin/ { acr_admin; }
            location = /metrics { acr_metrics; }';

my $acr = start(workers => 2, fsync => 'off', http2 => 1,
                redis => redis('--appendonly', 'yes'),
                redis_options => 'timeout=500ms',
                http => 'acr_gc_interval off;', server => $MORE);
my $redis = $acr->{redis};
$acr->allow(qr/\[alert\].*has lost changes/);

my $two = node($acr, fsync => 'off');
my $deaf = node($acr, node => 'deaf', fsync => 'off', lines => { zone => '' });
$_->allow(qr/\[alert\].*has lost changes/) for $two, $deaf;


# --- what is answered at once

my $begin = events('')->{next};
like($begin, qr/^[1-9]\d{15}\z/, 'without "after" it is where to begin');
is_deeply(events('after=' . $begin . '&wait=0'),
          { events => [], next => $begin, gap => JSON::PP::false },
          'nothing yet');

my $digest = $acr->push_image('lib/a', 'one', 'first');
$acr->put_manifest('lib/a', "$digest?tag=b&tag=c", image_of('first'));
is(api('PATCH', 'lib/a/_tags/b', '{"writeEnabled":true,"readEnabled":false}')
   ->status(), 200, 'an attribute');
is(api('DELETE', 'lib/a/_tags/b')->status(), 202, 'a tag is deleted');
is($acr->delete("/v2/lib/a/manifests/$digest")->status(), 202, 'a manifest');

my $all = events("after=$begin");
is($all->{gap}, JSON::PP::false, 'nothing was missed');
is_deeply([map { short($_) } @{ $all->{events} }],
          [["blob_commit", 'lib/a', digest('{"seed":"first"}'), []],
           ["blob_commit", 'lib/a', digest('layer of first'), []],
           ['manifest_put', 'lib/a', $digest, ['one']],
           ['manifest_put', 'lib/a', $digest, ['b', 'c']],
           ['attributes_set', 'lib/a', $digest, ['b']],
           ['tag_delete', 'lib/a', $digest, ['b']],
           ['manifest_delete', 'lib/a', $digest, []]], 'all that has happened');
is_deeply([map { join(' ', sort keys %$_) } @{ $all->{events} }],
          [('action actor digest repository seq tags time') x 7],
          'with what each has');
like($_->{time}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\z/, 'a time')
    for @{ $all->{events} };

my @seqs = map { $_->{seq} } @{ $all->{events} };
is_deeply(\@seqs, [sort { $a <=> $b } @seqs], 'in order');
is($all->{next}, $seqs[-1], 'a reader goes on behind the last');

for my $n (1, 3, 7, 8, 1000, 99999) {
    my ($at, @got) = ($begin);
    for (1 .. 9) {
        my $page = events("after=$at&n=$n&wait=0");
        push(@got, map { $_->{seq} } @{ $page->{events} });
        $at = $page->{next};
    }
    is_deeply(\@got, \@seqs, "pages of $n");
}

my $answer = $acr->get("/acr/v1/_events?after=$begin");
is($answer->header('Content-Type'), 'application/json; charset=utf-8', 'JSON');
is($answer->header('Cache-Control'), 'no-store', 'for no cache');
my $head = $acr->head("/acr/v1/_events?after=$begin");
is($head->status() . ' ' . $head->header('Content-Length'),
   '200 ' . length($answer->body()), 'HEAD is as GET');
is_deeply(events("after=$begin", $_), $all, 'any node tells the same')
    for $two, $deaf;


# --- what is no request

refused($acr->get("/acr/v1/_events?$_"), 400, 'UNSUPPORTED', $_)
    for 'after=', 'after=x', 'after=-1', 'after=1.5', 'after=1e3', 'after=0x1',
        'after=9007199254740993', 'after=99999999999999999999999', 'after=%00',
        "after=$begin%20", 'after=1&wait=', 'after=1&wait=-1',
        'after=1&wait=x', 'after=1&n=', 'after=1&n=x', 'after=1&n=-5',
        'after=%', 'n=%zz', 'after=1;XADD', 'after=1%0d%0aX';
refused($acr->get("/acr/v1/_events?after=1&n=0"), 400,
        'PAGINATION_NUMBER_INVALID', 'a page of nothing');
is(events("after=000$begin")->{events}[0]{seq}, $seqs[0], 'zeros are nothing');
is(events("after=$begin&unknown=1&n=1")->{next}, $seqs[0], 'nor is another');
for my $method (qw(PUT POST PATCH DELETE)) {
    my $answer = $acr->request($method, '/acr/v1/_events', body => '');
    refused($answer, 405, 'UNSUPPORTED', $method);
    is($answer->header('Allow'), 'GET, HEAD', 'what there is');
}
refused($acr->get('/acr/v1/_events/'), 400, 'NAME_INVALID', 'nothing below');
answers($acr->request('GET', "/acr/v1/_events?after=$begin",
                      body => bytes(100_000, 'body')), 200, 'with a body');


# --- what was missed

missed('0', 'long before');
missed($begin - 10_000_000, 'before the log begins');
missed($seqs[-1] + 3600_000_000, 'of another Redis');
missed('9007199254740992', 'of none');
$redis->command('XTRIM', key('events'), 'MAXLEN', 3);
missed($seqs[0], 'the log was trimmed');
is(scalar(@{ events("after=$seqs[4]")->{events} }), 2, 'not what is there');


# --- those that wait

for my $case (['from this node', $acr, $acr], ['from another one', $acr, $two],
              ['without a feed', $deaf, $acr])
{
    my ($name, $at, $by) = @$case;
    my $after = events('')->{next};
    my @waiting = map { wait_at($at, "after=$after") } 1 .. 5;
    waits(5) if $at == $acr;

    my $blob = $by->push_blob('lib/w', $name);
    for (@waiting) {
        my $got = answered($_);
        is_deeply([map { short($_) } @{ $got->{events} }],
                  [['blob_commit', 'lib/w', $blob, []]], "a change $name");
    }
}

# after its time, with nothing
my $after = events('')->{next};
my @waiting = map { wait_at($acr, "after=$after&wait=1") } 1 .. 3;
is_deeply(answered($_), { events => [], next => $after,
                          gap => JSON::PP::false }, 'nothing has happened')
    for @waiting;

# one that reads is told of each, whatever comes meanwhile
my ($at, @got) = events('')->{next};
my $pusher = fork();
die "fork: $!\n" if !defined $pusher;
if ($pusher == 0) {
    $two->push_blob('lib/s', "stream $_") for 1 .. 60;
    POSIX::_exit(0);
}
while (@got < 60) {
    my $page = events("after=$at&n=7");
    last if $page->{gap} || !@{ $page->{events} };
    push(@got, map { $_->{digest} } @{ $page->{events} });
    $at = $page->{next};
}
waitpid($pusher, 0);
is_deeply(\@got, [map { digest("stream $_") } 1 .. 60], 'a stream of events');

# what is told is what a pull through this node gets
for my $i (1 .. 20) {
    $acr->resolve('lib/t', 'moves');
    my $at = events('')->{next};
    my $digest = $two->push_manifest('lib/t', 'moves', index_of([],
                                     annotations => { i => "$i" }));
    events("after=$at");
    is($acr->resolve('lib/t', 'moves'), $digest, "the tag has moved: $i");
}


# --- clients that leave

$after = events('')->{next};
@waiting = map { wait_at($acr, "after=$after&wait=60") } 1 .. 20;
waits(20);
$_ % 2 ? $waiting[$_]->abort() : $waiting[$_]->close() for 0 .. $#waiting;
waits(0);
my $h2 = ACR::HTTP2->new($acr->{http2_port});
my @streams = map { $h2->begin('GET', "/acr/v1/_events?after=$after&wait=60",
                               END => 1) } 1 .. 20;
waits(20);
$h2->reset($_) for @streams[0 .. 9];
waits(10);
$acr->push_blob('lib/w', 'http2');
is($h2->answer($_)->{status}, 200, 'a stream') for @streams[10 .. 19];
@streams = map { $h2->begin('GET', "/acr/v1/_events?after=$after&wait=0",
                            END => 1) } 1 .. 20;
is($h2->answer($_)->{status}, 200, 'at once') for @streams;
$after = events('')->{next};
@streams = map { $h2->begin('GET', "/acr/v1/_events?after=$after&wait=60",
                            END => 1) } 1 .. 20;
waits(20);
$h2->{http}->abort();
waits(0);

# those who have sent the next request already
my $http = $acr->connect();
$http->send(join('', map { $http->head('GET', $_) }
                     "/acr/v1/_events?after=$after", '/v2/'));
waits(1);
$acr->push_blob('lib/w', 'pipelined');
is($http->answer('GET')->status(), 200, 'a pipeline');
is($http->answer('GET')->status(), 200, 'goes on');


# --- many

# as many as there may be in a worker, and more: connections would not do
$acr->reload(workers => 1);
$after = events('')->{next};
my @h2 = map { ACR::HTTP2->new($acr->{http2_port}) } 1 .. 9;
my $n = 0;
my @many = map { [$h2[$n++ % 9]] } 1 .. $LIMIT;
for (@many) {
    push(@$_, $_->[0]->begin('GET', "/acr/v1/_events?after=$after&wait=60",
                             END => 1));
}
waits($LIMIT);
$answer = $acr->get("/acr/v1/_events?after=$after");
refused($answer, 503, 'UNAVAILABLE', 'too many wait');
is($answer->header('Retry-After'), 5, 'for a while');
answers($acr->get('/v2/'), 200, 'all else goes on');
my $blob = $acr->push_blob('lib/w', 'many');
my %told;
$told{ $_->[0]->answer($_->[1])->{body} }++ for @many;
is_deeply([values %told], [$LIMIT], 'all are told the same');
like((keys %told)[0], qr/"\Q$blob\E"/, 'which is what has happened');
waits(0);
$_->{http}->close() for @h2;


# --- a reload, and an end

$acr->reload(workers => 2);
$after = events('')->{next};
@waiting = map { wait_at($acr, "after=$after&wait=60") } 1 .. 20;
waits(20);
my @old = $acr->workers();
$acr->reload();
is_deeply(answered($_), { events => [], next => $after,
                          gap => JSON::PP::false }, 'a worker that exits')
    for @waiting;
ok(wait_for(sub { !grep { !ACR::Node::zombie($_) } @old }), 'does so');


# --- Redis goes, and comes back

$after = events('')->{next};
@waiting = map { wait_at($acr, "after=$after&wait=60") } 1 .. 10;
waits(10);
$redis->shutdown();
for (@waiting) {
    my $answer = $_->answer('GET');
    refused($answer, 503, 'UNAVAILABLE', 'Redis does not answer');
    is($answer->header('Retry-After'), 5, 'try again');
}
refused($acr->get("/acr/v1/_events?after=$after"), 503, 'UNAVAILABLE',
        'nor those who come then');
$redis->run();
ok(back(), 'it is back');
is_deeply(events("after=$after&wait=0"),
          { events => [], next => $after, gap => JSON::PP::false },
          'and has lost nothing');

# one that says nothing
@waiting = map { wait_at($acr, "after=$after&wait=60") } 1 .. 3;
waits(3);
$redis->signal('STOP');
refused($_->answer('GET'), 503, 'UNAVAILABLE', 'Redis says nothing')
    for @waiting;
$redis->signal('CONT');
ok(back(), 'it goes on');

# one that is emptied
for my $node ($acr, $deaf) {
    $after = events('')->{next};
    @waiting = map { wait_at($node, "after=$after&wait=60") } 1 .. 3;
    waits(3) if $node == $acr;
    $redis->command('FLUSHALL');
    for (@waiting) {
        my $got = answered($_);

        # its state may change twice while one question is asked
        $got = wait_for(sub {
            my $answer = $node->get("/acr/v1/_events?after=$after");
            $answer->status() == 200 && $answer->json();
        }) if ($got->{wrong} || '') =~ /^503/;

        is($got->{gap}, JSON::PP::true, 'Redis was emptied')
            or diag(explain($got));
        cmp_ok($got->{next}, '>', $after, 'and goes on');
    }
    ok(complete($acr) && back(), 'it is rebuilt');
    my $log = $redis->command('XRANGE', key('events'), '-', '+');
    is_deeply([map { $_->[1][3] } @$log], ['begin', 'begin'],
              'which is no event');
    missed($log->[0][1][1], 'but a reader of before is told');
    my $at = events('')->{next};
    my $blob = $two->push_blob('lib/w', "emptied $at");
    is(events("after=$at")->{events}[0]{digest}, $blob, 'a change after that');
}

$after = events('')->{next};
is(admin($acr, 'POST', 'rebuild')->status(), 202, 'a rebuild by the operator');
ok(wait_for(sub {
    my $answer = $acr->get("/acr/v1/_events?after=$after&wait=0");
    $answer->status() == 200 && $answer->json()->{gap};
}), 'is told');
ok(complete($acr), 'it is over');


# --- who may read them

# one worker: it has what it has changed at once
my $server = $acr->free_port();
$acr->reload(workers => 1, servers => "server { listen 127.0.0.1:$server;
                                  acr_root $acr->{root}; acr_auth on;
                                  acr_identity \$http_x_user;
                                  acr_anonymous_pull *;
                                  location / { acr; } }",
             lines => { zone => 'acr_zone acr:4m;' });
my $closed = ACR::Client->new($server);
change($acr, 'PUT', 'scope-maps/edge',
       { actions => ['registry/events/read',
                     'repositories/*/content/read'] });
my %password;
for (['edge', 'edge'], ['pull', '_repositories_pull'],
     ['all', '_repositories_admin'])
{
    my ($name, $map) = @$_;
    change($acr, 'PUT', "tokens/$name", { scopeMap => $map });
    $password{$name} = change($acr, 'POST', "tokens/$name/passwords/password1",
                              {})->{value};
}
change($acr, 'PUT', "role-assignments/$_->[0]",
       { principal => "user:$_->[0]", role => $_->[1], scope => $_->[2] })
    for ['reader', 'AcrEventReader', '*'], ['owner', 'Owner', '*'],
        ['part', 'Owner', 'lib/*'], ['puller', 'AcrPull', '*'];

is($closed->as('edge', $password{edge})->get('/acr/v1/_events')->status(), 200,
   'a token whose scope map has them');
is(user('reader', '/acr/v1/_events'), 200, 'the role for it');
is(user('owner', '/acr/v1/_events'), 200, 'an owner');
is(user($_, '/acr/v1/_events'), 401, "not $_") for qw(part puller nobody);
is($closed->as($_, $password{$_})->get('/acr/v1/_events')->status(), 401,
   "nor a token that may $_") for qw(pull all);

$answer = $closed->get('/acr/v1/_events?after=1');
is($answer->status(), 401, 'nor the anonymous');
like($answer->header('WWW-Authenticate'),
     qr/^Bearer .*,scope="registry:events:read"$/, 'who are told the scope');
is_deeply($answer->error()->{detail},
          [{ Type => 'registry', Name => 'events', Action => 'read' }],
          'here, too');
$answer = $closed->as('pull', $password{pull})->get('/acr/v1/_events');
like($answer->header('WWW-Authenticate'),
     qr/scope="registry:events:read",error="insufficient_scope"$/,
     'as those with less');

for (['registry:events:read', 200], ['registry:events:*', 200],
     ['repository:lib/a:pull', 401], ['registry:catalog:*', 401])
{
    my ($scope, $status) = @$_;
    my $token = $closed->as('edge', $password{edge})
        ->get("/oauth2/token?service=registry.test&scope=$scope")
        ->json()->{access_token};
    is($closed->as($token)->get('/acr/v1/_events')->status(), $status,
       "a token for $scope");
}

finish();


sub events {
    my ($query, $node) = @_;

    my $answer = ($node || $acr)->get("/acr/v1/_events?$query");
    die "_events?$query: " . $answer->text() . "\n"
        if $answer->status() != 200;

    return $answer->json();
}


sub api {
    my ($method, $what, $body) = @_;

    return fresh($acr, $method, "/acr/v1/$what",
                 defined $body ? (body => $body) : ());
}


sub image_of {
    my ($seed) = @_;

    return image("{\"seed\":\"$seed\"}", ["layer of $seed"]);
}


sub short {
    my ($event) = @_;

    return [@$event{qw(action repository digest tags)}];
}


sub missed {
    my ($after, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return is_deeply(events("after=$after&wait=60"),
                     { events => [], next => events('')->{next},
                       gap => JSON::PP::true }, $name);
}


# a request that has been sent; its answer is taken by answered()
sub wait_at {
    my ($node, $query) = @_;

    my $http = $node->connect();
    $http->begin('GET', "/acr/v1/_events?$query");

    return $http;
}


sub answered {
    my ($http) = @_;

    my $answer = $http->answer('GET');
    $http->close();
    return { none => 1 } if !$answer;

    return $answer->status() == 200 ? $answer->json()
                                    : { wrong => $answer->text() };
}


# so many requests wait now
sub waits {
    my ($n) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $value;
    ok(wait_for(sub {
        $value = value($acr, 'acr_requests_in_progress',
                       operation => 'events_get');
        $value == $n;
    }), "$n wait") or diag("it is $value");
}


# all workers of all nodes have a Redis again
sub back {
    return wait_for(sub { value($acr, 'acr_redis_up') == 1 })
        && !grep { my $node = $_; !wait_for(sub {
            fresh($node, 'GET', '/acr/v1/_events')->status() == 200
        }) } $two, $deaf;
}


sub user {
    my ($name, $target) = @_;

    return $closed->get($target, headers => ['X-User' => $name])->status();
}
