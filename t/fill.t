#!/usr/bin/perl

# The fill engine under everything that may happen to it: many clients, workers
# that are killed, reloads, restarts, a disk that is full, an origin that is
# silent, an index that is away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Origin;
use ACR::Shim;

my $MIB = 1048576;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $other = ACR::Origin->start(work_dir());
my $other_url = $other->url();
my $shim = ACR::Shim->missing() ? undef : ACR::Shim->new();

my $http = <<"CONF";
    acr_remote up.test $url timeout=60s;
    acr_remote other.test $other_url timeout=60s;
CONF

my %rules = (http => $http,
             location => 'acr_cache_rule hub/* up.test/*;'
                         . ' acr_cache_rule other/* other.test/*;');
my $acr = start(workers => 2, fsync => 'off',
                redis => redis('--appendonly', 'yes'), %rules,
                $shim ? (env => $shim->env()) : ());

$acr->allow(qr/acr: (?:manifest|fetching|remote|the rest|what)/);

herd();
killed();
reloaded();
restarted();
lengths();
silent();
sources();
full() if $shim;
repositories();
turns();
away();
finish();


# begun(DIGEST, BYTES, N): a client that has got the first n bytes; a function
# that tells whether it gets the rest
sub begun {
    my ($digest, $bytes, $n) = @_;

    my $http = $acr->connect();
    $http->send("GET /v2/hub/lib/a/blobs/$digest HTTP/1.1\r\nHost: x\r\n\r\n");
    my $head = $http->answer_head();
    die 'status ' . $head->status() . "\n" if $head->status() != 200;

    my $got = '';
    $http->bytes($n, sub { $got .= $_[0] });

    return sub {
        my $whole = eval {
            $http->bytes(length($bytes) - $n, sub { $got .= $_[0] });
            1;
        };
        $http->close();
        return $whole ? $got eq $bytes ? 'whole' : 'wrong' : 'broken';
    };
}


sub is_kept {
    my ($repository, $digest, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(wait_for(sub { -e $acr->link_file($repository, 'layer',
                                                $digest) }), $name);
}


sub herd {
    my $bytes = bytes(32 * $MIB, 'herd');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 5 * $MIB);
    my $target = "/v2/hub/lib/a/blobs/$digest";
    my $sent = $origin->sent();

    my $release = sub {
        wait_for(sub { $acr->tail() && connections($acr) >= 60 });
        $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
        return 'released';
    };

    my %came;
    $came{ref($_) ? $_->{died} : $_}++
        for parallel($release, map { my $n = $_; sub {
            my ($http, $head, $rest) = throttled($acr, $target);
            return join(' ', $rest->());
        } } 1 .. 60);

    is_deeply(\%came, { released => 1, "$digest " . 32 * $MIB => 60 },
              'sixty clients at once');
    is($origin->sent() - $sent, 32 * $MIB, 'for each byte that was sent');
    is_kept('hub/lib/a', $digest, 'it is kept');
    is(digest_of($acr->blob_file($digest), 'sha256'), $digest, 'as it was');
}


# the worker that fetches is not known, so both are killed, one after the other
sub killed {
    my $bytes = bytes(8 * $MIB, 'killed');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 3 * $MIB);

    for my $n (0, 1) {
        my @rest = map { begun($digest, $bytes, 2 * $MIB) } 1 .. 6;

        kill('KILL', ($acr->workers())[$n]);
        wait_for(sub { $acr->workers() == 2 });

        my %came;
        $origin->rule("/v2/lib/a/blobs/$digest", hold => undef) if $n;
        is(begun($digest, $bytes, $MIB)->(), 'whole', 'a new client') if $n;
        $came{$_->()}++ for $n ? @rest : ();
        ok(!$came{wrong}, "worker $n is killed: nobody gets anything else");
    }

    is_kept('hub/lib/a', $digest, 'a fill whose workers were killed ends');
    $acr->allow(qr/signal 9/);
}


sub reloaded {
    my $bytes = bytes(8 * $MIB, 'reloaded');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 3 * $MIB);
    my $rest = begun($digest, $bytes, 2 * $MIB);

    $acr->reload();
    my $after = begun($digest, $bytes, 2 * $MIB);
    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);

    is($rest->(), 'whole', 'who began before a reload gets all');
    is($after->(), 'whole', 'who began after it, too');
    is(scalar($origin->asked(qr{^GET \S+$digest})), 1, 'of one request');
    is_kept('hub/lib/a', $digest, 'and it is kept');
}


sub restarted {
    my $bytes = bytes(72 * $MIB, 'restarted');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 70 * $MIB);

    begun($digest, $bytes, 69 * $MIB);
    wait_for(sub { glob("$acr->{root}/acr/fills/*.state") });
    $acr->kill_all();
    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
    $acr->run();

    is(digest($acr->get("/v2/hub/lib/a/blobs/$digest")->body()), $digest,
       'after a kill of all');
    like(($origin->asked(qr{^GET \S+$digest}))[-1],
         qr{ (?:6[4-9]|7\d)\d{6} "$digest" }, 'it goes on where it was saved');
    is_kept('hub/lib/a', $digest, 'and is kept');
    is_deeply([glob("$acr->{root}/acr/fills/*")], [], 'nothing else stays');
}


sub lengths {
    for my $n (0, 1, 2, 65535, 65536, 65537) {
        my $bytes = bytes($n, "length $n");
        my $digest = $origin->has_blob('lib/a', $bytes);
        my $answer = $acr->get("/v2/hub/lib/a/blobs/$digest");
        ok($answer->status() == 200 && $answer->body() eq $bytes,
           "$n bytes");
    }

    my $bytes = bytes(2 * $MIB, 'chunked');
    my $digest = $origin->has_blob('lib/a', $bytes, none => 1);
    ok($acr->get("/v2/hub/lib/a/blobs/$digest")->body() eq $bytes,
       'an origin that does not tell how many');

    # what it tells is wrong

    $bytes = bytes($MIB, 'too short');
    $digest = $origin->has_blob('lib/a', $bytes, size => 2 * $MIB);
    my $whole = eval { $acr->get("/v2/hub/lib/a/blobs/$digest")->body(); };
    ok(!defined $whole || $whole eq '' || $whole =~ /UNAVAILABLE/,
       'an origin that sends less than it says');
    $acr->forget();

    $bytes = bytes($MIB, 'too long');
    $digest = $origin->has_blob('lib/a', $bytes, size => $MIB / 2);
    $whole = eval { $acr->get("/v2/hub/lib/a/blobs/$digest")->body(); };
    ok(!defined $whole || $whole eq '' || $whole =~ /UNAVAILABLE/,
       'an origin that sends more');
    $acr->forget();
    ok(!-e $acr->blob_file($digest), 'is not kept');
}


sub silent {
    $acr->reload(%rules, http => "acr_remote up.test $url timeout=1s;\n");
    is_up();

    my $bytes = bytes(2 * $MIB, 'silent');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => $MIB);
    my $rest = begun($digest, $bytes, $MIB / 2);

    is($rest->(), 'broken', 'an origin that says nothing more');
    ok(!-e $acr->blob_file($digest), 'is no content');

    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
    is_up();
    is(digest($acr->get("/v2/hub/lib/a/blobs/$digest")->body()), $digest,
       'until it does');
    like(($origin->asked(qr{^GET \S+$digest}))[-1], qr{ \d+ "$digest" },
         'and then the rest');
    $acr->reload(%rules);
}


# who was down for a moment is asked again, after some time
my $ups;

sub is_up {
    my $tag = 'up' . ++$ups;

    $origin->has_image('lib/up', $tag, $tag);
    ok(wait_for(sub { $acr->get("/v2/hub/lib/up/manifests/$tag")->status()
                      == 200 }), 'the origin is asked again');
}


# who is silent, or sends something else, stops nobody else's pulls of the same
sub sources {
    my $bytes = bytes(4 * $MIB, 'from two');
    my $digest = $origin->has_blob('lib/a', $bytes, hold => 2 * $MIB);

    $other->has_blob('lib/a', $bytes);
    my $rest = begun($digest, $bytes, $MIB);
    my $answer = $acr->get("/v2/other/lib/a/blobs/$digest");
    is($answer->status(), 200, 'another source');
    ok($answer->body() eq $bytes, 'does not wait for a silent one');
    is_kept('other/lib/a', $digest, 'and is kept');

    $origin->rule("/v2/lib/a/blobs/$digest", hold => undef);
    is($rest->(), 'whole', 'and the silent one goes on');
    ok(wait_for(sub { my @fills = glob("$acr->{root}/acr/fills/*");
                      return !@fills }), 'nothing stays of either');
}


sub full {
    my $bytes = bytes(2 * $MIB, 'full');
    my $digest = $origin->has_blob('lib/a', $bytes);

    $shim->rules('pwrite /acr/fills/ ENOSPC skip=2');

    my $whole = eval { $acr->get("/v2/hub/lib/a/blobs/$digest")->body() };
    ok(!defined $whole || $whole ne $bytes, 'a disk that is full');
    $acr->forget();

    $shim->clear();
    ok(wait_for(sub { my $body = eval {
        $acr->get("/v2/hub/lib/a/blobs/$digest")->body() };
        defined $body && $body eq $bytes }), 'and is not any more');
    $acr->allow(qr/No space left/);
}


# one content, in three repositories, of which one does not have it
sub repositories {
    my $bytes = bytes(2 * $MIB, 'repositories');
    my $digest = $origin->has_blob($_, $bytes, hold => $MIB)
        for 'lib/a', 'lib/b';
    $digest = digest($bytes);

    my $rest = begun($digest, $bytes, $MIB / 2);
    my $other = $acr->connect();
    $other->send("GET /v2/hub/lib/b/blobs/$digest HTTP/1.1\r\n"
                 . "Host: x\r\n\r\n");
    $other->answer_head();
    $origin->rule("/v2/$_/blobs/$digest", hold => undef)
        for 'lib/a', 'lib/b';
    is($rest->(), 'whole', 'a content of two repositories');
    $other->bytes(2 * $MIB, sub {});

    is(scalar($origin->asked(qr{^GET \S+$digest})), 1, 'is fetched once');
    is_kept($_, $digest, "and is in $_") for 'hub/lib/a', 'hub/lib/b';
}


sub turns {
    $acr->reload(%rules, location => "$rules{location} acr_fill_max 1;");

    my @bytes = map { bytes($MIB, "turn $_") } 0, 1;
    my @digest = map { $origin->has_blob('lib/a', $_, hold => $MIB / 2) }
                 @bytes;
    my $first = begun($digest[0], $bytes[0], $MIB / 4);

    my $http = $acr->connect();
    $http->send("GET /v2/hub/lib/a/blobs/$digest[1] HTTP/1.1\r\n"
                . "Host: x\r\n\r\n");
    $origin->rule("/v2/lib/a/blobs/$digest[0]", hold => undef);
    is($first->(), 'whole', 'one at a time');
    $origin->rule("/v2/lib/a/blobs/$digest[1]", hold => undef);
    is($http->answer_head()->status(), 200, 'and then the other');
    $http->close();

    $acr->reload(%rules, location => "$rules{location} acr_fill_rate 4m;");
    my $digest = $origin->has_blob('lib/a', bytes($MIB, 'rate'));
    is(digest($acr->get("/v2/hub/lib/a/blobs/$digest")->body()), $digest,
       'at a rate');
}


# without the index what is not here cannot be kept, and is not fetched
sub away {
    my $bytes = bytes($MIB, 'away');
    my $digest = $origin->has_blob('lib/a', $bytes);
    my $kept = $origin->has_blob('lib/a', 'kept');
    is($acr->get("/v2/hub/lib/a/blobs/$kept")->body(), 'kept', 'a blob');
    is_kept('hub/lib/a', $kept, 'that is kept');

    $acr->{redis}->kill();
    is($acr->get("/v2/hub/lib/a/blobs/$kept")->body(), 'kept',
       'is there without Redis');
    refused($acr->get("/v2/hub/lib/a/blobs/$digest"), 503, 'UNAVAILABLE',
            'another one is not');
    $acr->{redis}->run();
    ok(wait_for(sub { $acr->get("/v2/hub/lib/a/blobs/$digest")->status()
                      == 200 }), 'with it, it is');
}
