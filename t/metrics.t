#!/usr/bin/perl

# acr_metrics: the counters say exactly what has happened, survive a reload,
# and are of a fixed number whatever a client sends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Metrics;

my $metrics = 'location = /metrics { acr_metrics; }'
              . ' location /acr/admin/ { acr_admin; }';
my $redis = redis();
my $acr = start(workers => 2, redis => $redis, http => 'acr_zone acr:1m;',
                server => $metrics, redis_options => 'timeout=500ms');


# --- what a few requests change

my $digest = $acr->push_blob('lib/a', bytes(100_000, 'metrics'));
$acr->push_image('lib/a', 'latest', 'metrics');

my %was = requests();

$acr->get("/v2/lib/a/blobs/$digest");
$acr->get("/v2/lib/a/blobs/$digest", headers => [Range => 'bytes=0-9']);
$acr->head('/v2/lib/a/manifests/latest');
$acr->get('/v2/lib/a/manifests/none');
$acr->get('/v2/lib/a/manifests/none');
$acr->get('/v2/lib/a/nothing');
$acr->put('/v2/lib/a/tags/list', body => 'x');
$acr->post(with('/v2/lib/a/blobs/uploads/', digest => digest('other')),
           body => 'x');
admin($acr, 'GET', 'stats');
admin($acr, 'GET', 'nothing');
my $location = $acr->upload('lib/a');
$acr->patch($location, 'abc');
$acr->delete($location);

my %expected = (
    'blob_get 200' => 1, 'blob_get 206' => 1, 'manifest_get 200' => 1,
    'manifest_get 404' => 2, 'none 404' => 1, 'none 405' => 1,
    'upload_post 400' => 1, 'upload_post 202' => 1, 'upload_patch 202' => 1,
    'upload_delete 204' => 1, 'admin_stats 200' => 1,
);

# a request is counted when its answer is on its way already
wait_for(sub { sum(difference(requests(), %was)) == sum(%expected) });
is_deeply({ difference(requests(), %was) }, \%expected,
          'requests are counted by operation and status');

my $now = metrics($acr);
my %durations = map {
    /^acr_request_duration_seconds_count.*operation="(\w+)"/
        ? ($1 => $now->{$_}) : ()
} keys %$now;
my (%operations, %all);
%all = requests();
$operations{s/ .*//r} += $all{$_} for keys %all;
is_deeply(\%durations, \%operations, 'and their times by operation');

is(bytes_of('GET', "/v2/lib/a/blobs/$digest"), 'exact',
   'bytes of a pull are counted');
is(bytes_of('PATCH', $acr->upload('lib/a'), bytes(50_000, 'x')), 'exact',
   'and of a push');


# --- the rest

is(value($acr, 'acr_redis_connects_total'), 2, 'a connection of each worker');
is(value($acr, 'acr_redis_up'), 1, 'Redis is up');
is(value($acr, 'acr_index_behind'), 0, 'and complete');
is(value($acr, 'acr_requests_in_progress', operation => 'blob_get'), 0,
   'nothing is in progress');

for my $case (['acr_redis_calls_total'],
              ['acr_redis_call_duration_seconds_count'],
              ['acr_sync_duration_seconds_count'],
              ['acr_thread_tasks_total', pool => 'acr'],
              ['acr_thread_tasks_total', pool => 'acr_slow'])
{
    my $before = value($acr, @$case);
    my $bytes = "@$case";
    $acr->push_blob('lib/a', $bytes);
    cmp_ok(value($acr, @$case), '>', $before, "@$case rises with a push");
}

ok(wait_for(sub {
       !grep { value($acr, 'acr_thread_tasks', pool => $_) } qw(acr acr_slow)
   }), 'no task stays');
is(value($acr, 'acr_sync_errors_total'), 0, 'no sync has failed');


# --- how it is said

my $answer = $acr->get('/metrics');
answers($answer, 200, 'GET');
is($answer->header('Content-Type'), 'text/plain; version=0.0.4', 'its type');
is_deeply([metrics_wrong($answer->body())], [], 'its form');
is($acr->head('/metrics')->body(), '', 'HEAD');
my $refused = $acr->post('/metrics', body => 'x');
refused($refused, 405, 'UNSUPPORTED', 'POST is refused');
is($refused->header('Allow'), 'GET, HEAD', 'and what is allowed told');
is(count('none 405'), $all{'none 405'}, 'they do not count themselves');

my $documented = slurp("$ACR::Node::TREE/docs/metrics.md");
is_deeply([grep { $documented !~ /`$_[`{]/ }
           $answer->body() =~ /^# TYPE (\w+)/mg], [], 'all are documented');
is_deeply([grep { $answer->body() !~ /^# TYPE $_ /m }
           $documented =~ /^\| `(\w+)/mg], ['acr_origin_events_up'],
          'and no others but the one of edge nodes');

SKIP: {
    skip('no promtool', 1) if system('promtool --version > /dev/null 2>&1');
    spew(work_dir() . '/metrics', $answer->body());
    my $said = `promtool check metrics < @{[work_dir()]}/metrics 2>&1`;
    is("$? $said", '0 ', 'promtool accepts it');
}


# --- nothing that a client sends is a label

my @routes = map {
    slurp("$ACR::Node::TREE/src/api/ngx_http_acr_$_.c")
        =~ /^ +"(\w+)", ngx_http_acr_\w+ \},$/mg
} qw(router admin);

# what is below "access/", "remotes/" and "cache-rules/" of the administration
# has one for all, and neither "prewarm" nor acr_data has a table
my %known = map { $_ => 1 } qw(none admin_access admin_remotes
                               admin_cache_rules admin_prewarm data_get),
                            @routes;

cmp_ok(scalar(@routes), '>', 20, 'there are operations');
is_deeply([sort(keys(%known))], [sort(labels(metrics($acr), 'operation'))],
          'all of which can be counted');

hostile($_) for 0 .. 30;

my $after = metrics($acr);
is_deeply([grep { !$known{$_} } labels($after, 'operation')], [],
          'no other operation comes up');
is_deeply([grep { !/^(?:\d\d\d|[2-5]xx|none)$/ } labels($after, 'status')], [],
          'no other status');
is_deeply([metrics_wrong($acr->get('/metrics')->body())], [],
          'and the form is what it was');


# --- a push in progress; workers that end, in order or not

my $progress = sub {
    value($acr, 'acr_requests_in_progress', operation => 'upload_patch')
};

my $first = slow_patch();
ok(wait_for(sub { $progress->() == 1 }), 'a push is in progress');

my %before = requests();
my @old = $acr->workers();
$acr->reload();
is_deeply({ difference(requests(), %before) }, {}, 'a reload keeps counters');
is($progress->(), 1, 'and what is in progress');

my $second = slow_patch();
ok(wait_for(sub { $progress->() == 2 }), 'old and new workers count together');

$first->chunk('end');
$first->finish();
answers($first->answer('PATCH'), 202, 'the old one ends');
$first->close();
ok(wait_for(sub { $progress->() == 1 }), 'and is in progress no more');
ok(wait_for(sub {
       count('upload_patch 202') == $before{'upload_patch 202'} + 1
   }), 'but counted');

kill('KILL', $acr->workers());
$acr->forget();
$acr->allow(qr/\[alert\].*exited on signal 9/);
ok(wait_for(sub { defined eval { metrics($acr) } && $progress->() == 0 }),
   'killed workers leave nothing in progress');

# one that was killed when it was told to end has no successor
my $third = slow_patch();
ok(wait_for(sub { $progress->() == 1 }), 'a push once more');
@old = $acr->workers();
$acr->reload();
kill('KILL', @old);
ok(wait_for(sub { $progress->() == 0 }), 'nor does one that was to end');
$_->close() for $second, $third;

$acr->reload(http => 'acr_zone acr:2m;');
is(count('manifest_put 201'), 0, 'another zone begins anew');


# --- Redis

my $before = value($acr, 'acr_redis_connects_total');
my $errors = sub {
    return value($acr, 'acr_redis_errors_total', kind => $_[0]);
};

is($errors->($_), 0, "no $_ yet") for qw(down error deadline);

$redis->command('CONFIG', 'SET', 'maxmemory', 1);
refused($acr->post('/v2/lib/a/blobs/uploads/', body => ''), 503, undef,
        'Redis refuses');
cmp_ok($errors->('error'), '>=', 1, 'is counted');
is($errors->('down') + $errors->('deadline'), 0, 'as that');
$redis->command('CONFIG', 'SET', 'maxmemory', 0);

$redis->signal('STOP');
refused($acr->post('/v2/lib/a/blobs/uploads/', body => ''), 503, undef,
        'Redis says nothing');
ok(wait_for(sub { value($acr, 'acr_redis_up') == 0 }), 'it is not up');
cmp_ok($errors->('deadline'), '>=', 1, 'a passed deadline is counted');
refused($acr->post('/v2/lib/a/blobs/uploads/', body => ''), 503, undef,
        'it is away');
cmp_ok($errors->('down'), '>=', 1, 'is counted, too');

$redis->signal('CONT');
ok(wait_for(sub { value($acr, 'acr_redis_up') == 1 }), 'it is up again');
cmp_ok(value($acr, 'acr_redis_connects_total'), '>', $before,
       'by new connections');

# somebody else rebuilds, and takes his time
$acr->allow(qr/\[alert\].*has lost changes/);
$redis->command('MULTI');
$redis->command('FLUSHALL');
$redis->command('HSET', key('work:rebuild'), 'running', 1, 'owner', 'test',
                'until', time() + 3600);
$redis->command('EXEC');
ok(wait_for(sub { fresh($acr, 'GET', '/v2/lib/a/tags/list');
                  value($acr, 'acr_index_behind') == 1 }, 30),
   'a loss is told');
$redis->command('DEL', key('work:rebuild'));
ok(complete($acr), 'it is rebuilt');
ok(wait_for(sub { fresh($acr, 'GET', '/v2/lib/a/tags/list');
                  value($acr, 'acr_index_behind') == 0 }, 30), 'and told');


# --- two registries

my $port = $acr->free_port();
$acr->configure(http => '', server => "acr_zone acr:1m; $metrics",
                servers => "server { listen 127.0.0.1:$port;"
                           . " acr_root $acr->{root}2; acr_registry two;"
                           . " acr_zone two:1m; location / { acr; }"
                           . " $metrics }");
$acr->reload();
my $other = ACR::Client->new($port);
answers($other->get('/v2/'), 200, 'another registry');
$acr->get('/v2/_catalog');
ok(wait_for(sub {
       metrics($other)->{'acr_requests_total{registry="two",'
                         . 'operation="base_get",status="200"}'}
   }), 'has its own counters');
is_deeply([labels(metrics($other), 'registry')], ['two'], 'and no others');
is_deeply([labels(metrics($acr), 'registry')], ['default'],
          'nor has the first one its');

finish();


# "<operation> <status>" => number
sub requests {
    my $values = metrics($acr);

    return map {
        /^acr_requests_total\{.*operation="(\w+)",status="(\w+)"\}$/
            ? ("$1 $2" => $values->{$_}) : ()
    } keys %$values;
}


sub count {
    my ($name) = @_;

    my %requests = requests();

    return $requests{$name} || 0;
}


# difference(AFTER..., BEFORE...): what is more; each key of the latter is in
# the former, and comes first
sub difference {
    my (@pairs) = @_;

    my %difference;

    while (my ($name, $value) = splice(@pairs, 0, 2)) {
        $difference{$name} = exists $difference{$name}
                             ? $difference{$name} - $value : $value;
    }

    return map { $difference{$_} ? ($_ => $difference{$_}) : () }
           keys %difference;
}


sub sum {
    my (%values) = @_;

    my $sum = 0;
    $sum += $_ for values %values;

    return $sum;
}


# the values of a label
sub labels {
    my ($values, $label) = @_;

    my %labels = map { /[{,]$label="([^"]*)"/ ? ($1 => 1) : () } keys %$values;

    return keys %labels;
}


# whether the bytes of a request and its answer are what is counted
sub bytes_of {
    my ($method, $target, $body) = @_;

    my $was = metrics($acr);
    my $http = $acr->connect();
    my $request = $http->head($method, $target, headers => [
                                  Connection => 'close', defined $body
                                  ? ('Content-Length' => length($body)) : ()])
                  . (defined $body ? $body : '');

    $http->send($request);
    1 while $http->fill();

    my ($received, $sent) = (length($request), length($http->{in}));
    $http->close();

    my @names = map { series("acr_${_}_bytes_total") } qw(received sent);
    my @more;

    wait_for(sub {
        my $now = metrics($acr);
        @more = map { $now->{$_} - $was->{$_} } @names;
        $more[0] >= $received && $more[1] >= $sent;
    });

    return "@more" eq "$received $sent" ? 'exact'
           : "@more instead of $received $sent";
}


# a push whose last byte does not come
sub slow_patch {
    my $target = $acr->upload('lib/a');
    my $http = $acr->connect();

    $http->begin('PATCH', $target, chunked => 1);
    $http->chunk('begin');

    return $http;
}


sub hostile {
    my ($n) = @_;

    my $name = "a$n\"} 1\\n";
    my @requests = (
        ['GET', "/v2/lib/a/manifests/\"$n"], ['GET', "/v2/%22$n/tags/list"],
        ['GET', "/v2/x$n/y%0a/blobs/sha256:$n"], ["M$n", '/v2/'],
        ['GET', "/v2/lib/a$n/manifests/%22%7d%0a"], ['GET', "/$n"],
        ['PUT', "/v2/lib/a$n/manifests/latest"], ['DELETE', "/v2/a/b$n"],
        ['GET', "/v2/lib/a/blobs/sha256:$n?x=%22"], ['PROPFIND', "/v2/$n"],
        ['GET', "/v2/lib/a/tags/list?n=$n%22&last=%0a"],
    );

    for (@requests) {
        my ($method, $target) = @$_;
        fresh($acr, $method, $target,
              headers => ["X-$n" => $name, 'User-Agent' => $name]);
    }
}
