#!/usr/bin/perl

# Versions, of the index in Redis and of the directory.  What a newer module has
# made this one does not change: it says so, answers pulls, and goes on when it
# may.  What an older one has made it takes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use ACR::Index;

my $META = "$FindBin::Bin/../src/meta";
my $SCHEMA = qr/: its index has schema 3, and this module knows none above 2: /;
my $VOLUME = qr/: the directory has version "2", and this module knows "1": /;
my $WORKERS = 2;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'always');
my $two;
my $acr = start(workers => $WORKERS, redis => $redis,
                redis_options => 'timeout=500ms', server => <<'CONF');
        acr_auth on;
        acr_role anonymous AcrPush;
        acr_role anonymous AcrDelete;
        location /acr/admin/ { acr_admin; }
CONF
$acr->allow(qr/\[alert\].*this module knows/, qr/\[alert\].*has lost changes/);

my $bytes = bytes(100_000, 'schema');
my $digest = $acr->push_blob('lib/a', $bytes);
my $image = image($bytes, []);
my $manifest = $acr->push_manifest('lib/a', '1.0', $image);
my $more = $acr->push_image('lib/b', '1.0', 'schema');


# --- equal

my $version = "$acr->{root}/acr/version";
is(slurp($version), "1\n", 'the directory has a version');
is(schema(), 2, 'so has the index');

my $state = state($acr);
$acr->reload();
works($acr, 'a reload');
$acr->stop();
$acr->run();
works($acr, 'a restart');
is(state($acr), $state, 'the index is the same');


# --- from before there were versions

$acr->stop();
unlink($version) or die "unlink: $!\n";
$acr->run();
works($acr, 'a directory without a version');
is(state($acr), $state, 'the index is the same');
is(slurp($version), "1\n", 'it has one now');

my $before = index_of_redis($acr);
$redis->command('SET', key('state'), $state =~ s/:f2\./:/r);
ok(wait_for(sub { works_now($acr) && state($acr) =~ /:f2\.\d+$/ }, 30),
   'an index without a version is made again') or diag($acr->tail());
is_deeply(index_of_redis($acr), $before, 'it is what it was');
like($acr->log_text(), qr/\[notice\].*has an index of an older schema/,
     'the log tells');
is_deeply([differences($acr)], [], 'nothing was lost');
unlike($acr->log_text(), qr/has lost changes|knows nothing of/,
       'and nobody says so');


# --- two nodes, of which the newer goes on with the older schema

$two = node($acr, redis_options => 'timeout=500ms');
# whichever node comes first tells of what was lost
$two->allow(qr/\[alert\].*this module knows/, qr/\[alert\].*has lost changes/);
$state = state($acr);
is(newer(2)->[0], 'complete', 'a newer module joins');
is(state($acr), $state, 'and leaves the index as it is');
works($_, 'it is there') for $acr, $two;


# --- a newer one that cannot

my $session = $acr->upload('lib/a');
is(newer(3)->[0], 'behind', 'a newer module makes the index anew');
is_refused($acr, $SCHEMA, $WORKERS);
is_refused($two, $SCHEMA, 1);

# also when that is complete
$redis->command('SET', key('state'), state($acr) =~ s/:behind$//r);
is_refused($acr, $SCHEMA, $WORKERS);

my ($said, $fine) = $acr->test();
ok($fine, 'nginx -t is content') or diag($said);
my $lines = refusals($acr, $SCHEMA);
$acr->reload();
is_refused($acr, $SCHEMA, $lines + $WORKERS);
$acr->stop();
$acr->run();
is_refused($acr, $SCHEMA, $lines + 2 * $WORKERS);


# --- back to the older: the index of the newer is removed

my @commands = downgrade();
is(scalar(@commands), 2, 'docs/deployments.md tells how');
run_shell($commands[0]);
is_deeply($redis->command('KEYS', key('*')), [key('state')],
          'as long as keys are removed');
is_refused($_, $SCHEMA, refusals($_, $SCHEMA)) for $acr, $two;
run_shell($commands[1]);
ok(wait_for(sub { works_now($_) }, 30), 'it goes on by itself')
    for $acr, $two;
ok(complete($acr), 'the index is made again');
is(schema(), 2, 'in the schema that is known');
works($_, 'without the index of the newer') for $acr, $two;
refused($acr->patch($session, 'x'), 404, 'BLOB_UPLOAD_UNKNOWN',
        'an open upload is lost');
is_deeply([differences($acr)], [], 'and nothing else');
like($acr->log_text(), qr/ is back$/m, 'the log tells');


# --- a Redis that was emptied

$redis->command('FLUSHALL');
works($acr, 'it was emptied');
ok(complete($acr), 'the index is made again');
is(schema(), 2, 'in this schema');
$two->stop();


# --- the directory

$lines = refusals($acr, $VOLUME);
spew($version, "2\n");
answers(fresh($acr, 'PUT', '/acr/admin/access/tokens/ci',
              body => '{"scopeMap":"_repositories_pull"}'),
        500, 'access is not changed');

# whoever joins from now on looks at it
$redis->command('CLIENT', 'KILL', 'TYPE', $_) for 'pubsub', 'normal';
is_refused($acr, $VOLUME, $lines + $WORKERS);

($said, $fine) = $acr->test();
ok($fine, 'nginx -t is content') or diag($said);
is(scalar(() = $said =~ /\[alert\].*acr_root.*$VOLUME.*upgrade/g), 1,
   'and tells') or diag($said);

my $nodes = "$acr->{root}/acr/nodes";
my $key = "$acr->{root}/acr/token.key";
my $old = "$acr->{root}/acr/tmp/old";
rename($_, "$_.2") or die "rename: $!\n" for $nodes, $key;
spew($old, 'of a newer module');
utime(1, 1, $old) or die "utime: $!\n";
$lines = refusals($acr, $VOLUME);
$acr->stop();
$acr->run();
is_refused($acr, $VOLUME, $lines + $WORKERS);
ok(!-e $_, 'nothing is made that may have another place') for $nodes, $key;
is(slurp($version), "2\n", 'least of all a version');
ok(-e $old, 'and nothing is removed');
rename("$_.2", $_) or die "rename: $!\n" for $nodes, $key;

spew($version, "1\n");
ok(wait_for(sub { works_now($acr) }, 30), 'it goes on by itself');
works($acr, 'with version 1');

# a crash has left it empty, or a thing of another kind is there
$acr->stop();
spew($version, '');
$acr->run();
works($acr, 'an empty version is none');
ok(wait_for(sub { !-e $old }), 'what is old is removed');
is(slurp($version), "1\n", 'it is written again');

spew($version, "\e[1m\n");
($said, $fine) = $acr->test();
ok($fine && $said =~ /the directory has version "\?\[1m"/,
   'what is no version is none that is known') or diag($said);

# --- an edge node has nothing there that is worth a look

my $edge = prepare(redis => undef, lines => { acr => '' },
                   http => 'acr_remote up.test http://127.0.0.1:1;'
                           . ' acr_origin up.test;',
                   location => 'acr_edge on; proxy_pass http://127.0.0.1:1;');
($said, $fine) = $edge->test();
ok($fine, 'an edge node') or diag($said);
spew("$edge->{root}/acr/version", "2\n");
($said, $fine) = $edge->test();
ok(!$fine, 'is refused in a directory of a newer module');
like($said, qr/an edge node needs another directory/, 'with what to do');

finish();


# the commands that remove the index, one a line
sub downgrade {
    my ($text) = slurp("$FindBin::Bin/../docs/deployments.md")
        =~ /^    S=\S+\n((?:    .*\n)+)/m;

    return split(/\n/, $text =~ s/ \\\n */ /gr);
}


sub run_shell {
    my ($command) = @_;

    my $said = `S=$redis->{socket}\n$command 2>&1`;
    is($?, 0, 'it is removed') or diag($said);
}


# the schema that the index has, as the operator's API says
sub schema { return admin($acr, 'GET', 'stats')->json()->{schema} }


# newer(OLDEST): what a module does that makes indexes of schema 3, and can
# write those from OLDEST on
sub newer {
    my ($oldest) = @_;

    my $script = `$META/embed.sh --text join $META`;
    die "embed.sh\n" if $? || $script !~ s/SCHEMA = 2$/SCHEMA = 3/m
                        || $script !~ s/OLDEST = 2$/OLDEST = $oldest/m;

    my ($run) = $redis->command('INFO', 'server') =~ /^run_id:(\w+)/m;

    return $redis->command('EVAL', $script, 1, key('') =~ s/:$//r, $run, '0',
                           slurp("$acr->{root}/acr/epoch") =~ s/\n//r, 1, 0);
}


sub pulls {
    my ($node) = @_;

    return grep {
        my ($target, $wanted) = @$_;
        my $answer = fresh($node, 'GET', $target);
        $answer->status() != 200 || $answer->body() ne $wanted;
    } ['/v2/lib/a/manifests/1.0', $image],
      ["/v2/lib/a/manifests/$manifest", $image],
      ["/v2/lib/a/blobs/$digest", $bytes];
}


# whether all workers of all nodes have joined, and know the repository
sub works_now {
    my ($node) = @_;

    my $all = $two && $two->{process}->alive() ? $WORKERS + 1 : $WORKERS;
    my $feed = $redis->command('PUBSUB', 'NUMSUB', key('feed'))->[1];

    return $feed >= $all
        && fresh($node, 'GET', '/v2/lib/a/tags/list')->status() == 200;
}


sub works {
    my ($node, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for(sub { works_now($node) });
    is_deeply([pulls($node)], [], "$name: pulls");
    is($node->push_image('lib/b', 'more', $name),
       $node->resolve('lib/b', 'more'), 'pushes');
    is_deeply([$node->tags('lib/a')], ['1.0'], 'and lists');
}


sub refusals {
    my ($node, $line) = @_;

    return scalar(grep { /acr: Redis .*$line/ } split(/\n/, $node->log_text()));
}


# is_refused(NODE, LINE, N): it takes nothing, pulls go on, nothing changes, and
# the log has said so N times, however often it is tried again
sub is_refused {
    my ($node, $line, $n) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for(sub { refusals($node, $line) >= $n });

    my $before = dump_of();

    for (['POST', '/v2/lib/a/blobs/uploads/', body => ''],
         ['PUT', '/v2/lib/a/manifests/1.0', body => $image],
         ['DELETE', "/v2/lib/b/manifests/$more"],
         ['GET', '/v2/lib/a/tags/list'],
         ['GET', '/v2/_catalog'])
    {
        my ($method, $target, @body) = @$_;
        my $answer = fresh($node, $method, $target, @body);
        refused($answer, 503, 'UNAVAILABLE',
                "$method " . ($target =~ s/[0-9a-f]{20,}/.../gr) . ' gets 503');
        like($answer->header('Retry-After'), qr/^[1-9]\d*$/,
             'with Retry-After');
    }

    is_deeply([pulls($node)], [], 'pulls go on') for 1 .. 3;

    my $tried = connections_of_redis();
    wait_for(sub { connections_of_redis() > $tried + $WORKERS }, 30);

    is(refusals($node, $line), $n, 'each worker says it once');
    like($node->log_text(), qr/\[alert\].*$line.*upgrade the module of this/,
         'with what to do');
    is_deeply(dump_of(), $before, 'Redis is as it was');
}


sub connections_of_redis {
    my ($n) = $redis->command('INFO', 'stats')
              =~ /^total_connections_received:(\d+)/m;

    return $n;
}


sub dump_of {
    return { map { $_ => unpack('H*', $redis->command('DUMP', $_)) }
             @{ $redis->command('KEYS', '*') } };
}
