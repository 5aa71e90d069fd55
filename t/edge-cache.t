#!/usr/bin/perl

# What an edge node keeps: the limits of acr_edge_cache hold, what is used
# stays, and nobody who pulls notices what goes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Metrics;
use ACR::Origin;
use ACR::Shim;
use File::Path qw(make_path);

my $SIZE = 100_000;
my $HOUR = 3600;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $shim = ACR::Shim->new();

my $edge = start(workers => 2, redis => undef, lines => { acr => '' },
                 env => $shim->env(),
                 http => configuration('max_size=450000'),
                 server => 'location = /metrics { acr_metrics; }',
                 location => "acr_edge on; proxy_pass $url;");

max_size();
inactive();
restarted();
open_files();
refilled();
herd();
full();
swept();
min_free();
many();
finish();


sub configuration {
    my ($limits) = @_;

    return "acr_remote up.test $url timeout=5s; acr_origin up.test;\n"
           . ($limits ? "acr_edge_cache $limits;\n" : '');
}


sub limits {
    $edge->reload(http => configuration(@_));
}


sub blob {
    my ($name, $size, %rule) = @_;

    return $origin->has_blob('lib/a', bytes($size || $SIZE, $name), %rule);
}


# whether a client gets what it should
sub pull {
    my ($digest) = @_;

    my $answer = $edge->get("/v2/lib/a/blobs/$digest");

    return $answer->status() == 200 && digest($answer->body()) eq $digest;
}


sub here { return -e $edge->blob_file($_[0]) }

sub used { return (stat($edge->blob_file($_[0])))[9] }


# it was used so many hours ago
sub age {
    my ($digest, $hours) = @_;

    my $time = time() - $hours * $HOUR;
    utime($time, $time, $edge->blob_file($digest)) or die "utime: $!\n";
}


# how many there are, and their bytes
sub kept {
    my $blobs = $edge->path('blobs');
    my @files = split(/\n/, `find $blobs -type f -printf '%s\\n' 2> /dev/null`);
    my $sum = 0;
    $sum += $_ for @files;

    return scalar(@files) . " $sum";
}


# the gauges tell what is there
sub counted {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($told, $kept);
    ok(wait_for(sub {
        $told = join(' ', map { value($edge, "acr_edge_$_") }
                          qw(blobs bytes));
        $kept = kept();
        $told eq $kept;
    }), $name) or diag("$told instead of $kept");
}


sub max_size {
    my @digests = map { blob("max $_") } 0 .. 5;

    ok(pull($digests[$_]), "a blob, $_") for 0 .. 3;
    counted('they are counted');
    is(value($edge, 'acr_edge_blobs'), 4, 'all of them');
    is(value($edge, 'acr_origin_events_up'), 0, 'this origin has no events');

    age($digests[$_], 10 - $_) for 0 .. 3;
    ok(pull($digests[0]), 'one is used');
    ok(wait_for(sub { used($digests[0]) > time() - $HOUR }),
       'which is noted');

    ok(pull($digests[4]), 'another one is too much');
    ok(wait_for(sub { !here($digests[1]) }), 'the one used least is gone');
    counted('and counted no more');
    is_deeply([map { here($digests[$_]) ? 1 : 0 } 0 .. 4], [1, 0, 1, 1, 1],
              'all others stay');

    my $before = $origin->asked(qr{^GET});
    ok(pull($digests[1]), 'it comes again');
    is(scalar($origin->asked(qr{^GET})), $before + 1, 'from the origin');
    ok(wait_for(sub { !here($digests[2]) }), 'for the next one');
    counted('which is counted');
    is_deeply([map { here($digests[$_]) ? 1 : 0 } 0 .. 4], [1, 1, 0, 1, 1],
              'all others stay');

    is(value($edge, 'acr_edge_evicted_blobs_total'), 2, 'two have gone');
    is(value($edge, 'acr_edge_evicted_bytes_total'), 2 * $SIZE, 'with bytes');
    is(value($edge, 'acr_fetched_bytes_total'), 6 * $SIZE, 'of what came');
    is(value($edge, 'acr_fills'), 0, 'nothing comes');

    # a request is counted when its answer is on its way already
    for (['MISS', 6], ['HIT', 1]) {
        my ($cache, $n) = @$_;
        ok(wait_for(sub { value($edge, 'acr_cache_requests_total',
                                cache => $cache) == $n }), "$cache: $n");
    }
    cmp_ok(value($edge, 'acr_cache_sent_bytes_total', cache => 'HIT'), '>',
           $SIZE, 'with its bytes');

    my $text = $edge->get('/metrics')->body();
    is_deeply([metrics_wrong($text)], [], 'the form of all that');
    is(value($edge, 'acr_remote_up', remote => 'up.test'), 1,
       'the origin is up');
    is(value($edge, 'acr_remote_wait_seconds', remote => 'up.test'), 0,
       'and may be asked');
    unlike($text, qr/^acr_remote_(?:limit|remaining)\{/m,
           'as often as we like');

    # one that is larger than all that may be here

    my $large = blob('large', 10 * $SIZE);
    ok(pull($large), 'one that is too large');
    ok(wait_for(sub { kept() eq '0 0' }), 'costs all others, and itself');
    counted('nothing is counted');
}


sub inactive {
    my @digests = map { blob("inactive $_") } 0 .. 2;

    ok(pull($_), 'a blob') for @digests;
    age($digests[1], 3);
    limits('inactive=2h');

    ok(wait_for(sub { !here($digests[1]) }), 'what is not used goes');
    ok(here($digests[0]) && here($digests[2]), 'all others stay');
    counted('and are counted');

    age($digests[2], 1);
    limits('');
    counted('without limits, too');
    ok(here($digests[2]), 'nothing goes');
}


# the counters were lost, the files were not
sub restarted {
    my $digest = blob('restarted');

    ok(pull($digest), 'a blob');
    $edge->kill_all();
    $edge->run();
    counted('after a restart all are counted');
    cmp_ok(value($edge, 'acr_edge_blobs'), '>', 0, 'there are some');

    my $before = $origin->asked(qr{^GET});
    ok(pull($digest), 'it is still here');
    is(scalar($origin->asked(qr{^GET})), $before, 'and not fetched');
}


# those who have a file open get all of it
sub open_files {
    limits('max_size=20000000');

    my $bytes = bytes(16_000_000, 'open');
    my $digest = $origin->has_blob('lib/a', $bytes);
    ok(pull($digest), 'a large blob');

    my $http = $edge->connect();
    my $got = '';
    $http->send("GET /v2/lib/a/blobs/$digest HTTP/1.1\r\nHost: x\r\n\r\n");
    is($http->answer_head()->status(), 200, 'somebody has it open');
    $http->bytes(1000, sub { $got .= $_[0] });

    age($digest, 5);
    ok(pull(blob('other', 15_000_000)), 'another one');
    ok(wait_for(sub { !here($digest) }), 'has its place');

    $http->bytes(length($bytes) - 1000, sub { $got .= $_[0] });
    $http->close();
    ok($got eq $bytes, 'who had it open has all');
    ok(pull($digest), 'and others have it again');
}


# what has no bytes is opened when it is whole, if it is still there then: each
# look for it opens it twice
sub refilled {
    limits('max_size=20000000');

    my $digest = $origin->has_blob('lib/a', '');
    my ($hex) = $digest =~ /:(.*)/;

    for my $case ([' count=4', 200], ['', 503]) {
        my ($count, $status) = @$case;

        $shim->rules("read_open /$hex/data ENOENT$count");
        is($edge->get("/v2/lib/a/blobs/$digest")->status(), $status,
           $count ? 'what was gone before it was opened is fetched again'
                  : 'but not for ever');
        $shim->clear();

        ok(pull($digest), 'then it is here');
        unlink($edge->blob_file($digest)) or die "unlink: $!\n";
    }
}


# many clients, of more than there is room for
sub herd {
    limits('max_size=1000000');

    my @digests = map { blob("herd $_", 300_000) } 0 .. 9;

    my %came;
    $came{ref($_) ? $_->{died} : $_}++
        for parallel(map { my $n = $_; sub {
            $edge->forget();
            for my $k (0 .. 39) {
                return 'wrong' if !pull($digests[($n * 7 + $k * 3) % 10]);
            }
            return 'right';
        } } 1 .. 8);

    is_deeply(\%came, { right => 8 }, 'everybody gets what he should');
    ok(wait_for(sub { (split(' ', kept()))[1] <= 1_000_000 }),
       'and there is not too much');
    counted('which is counted');
    is_deeply([glob("$edge->{root}/acr/fills/* $edge->{root}/acr/tmp/*")], [],
              'nothing else stays');
}


sub full {
    limits('max_size=20000000');

    my $digest = blob('full', 3_000_000);

    $shim->rules('pwrite /acr/fills/ ENOSPC skip=2');
    ok(!eval { pull($digest) }, 'a disk that is full');
    $edge->forget();
    ok(!here($digest), 'has no blob');
    counted('nothing is counted');
    $shim->clear();

    ok(wait_for(sub { eval { pull($digest) } }), 'and is not any more');
    counted('it is counted');
    is_deeply([glob("$edge->{root}/acr/fills/*")], [], 'nothing else stays');
    $edge->allow(qr/No space left|acr: (?:fetching|the rest)/);
}


# what was begun long ago, and nobody asks for any more
sub swept {
    my @files = map { "$edge->{root}/acr/$_" }
                ('fills/one.sha256-' . '0' x 64, 'tmp/left');

    for my $file (@files, "$files[0].state") {
        spew($file, 'x');
        utime(1, time() - 30 * $HOUR, $file) or die "utime: $!\n";
    }

    spew("$files[0].new", 'x');

    limits('max_size=20000000');
    ok(wait_for(sub { !-e $files[0] && !-e "$files[0].state"
                      && !-e $files[1] }), 'what was left behind is removed');
    ok(-e "$files[0].new", 'what is new is not');
    unlink("$files[0].new");
}


# no file system has so much
sub min_free {
    limits('min_free=8000000g');
    $edge->allow(qr/\[warn\].*limits of "acr_edge_cache"/);

    ok(wait_for(sub { kept() eq '0 0' }), 'no space may be taken');
    counted('and none is');

    for my $n (0 .. 3) {
        ok(pull(blob("free $n")), "a blob comes all the same, $n");
    }

    ok(wait_for(sub { kept() eq '0 0' }), 'and goes');
    counted('and is not counted');

    limits('min_free=1');
    ok(pull(blob('little')), 'a little space');
    counted('a blob stays');
    is(value($edge, 'acr_edge_blobs'), 1, 'it is here');
}


# more than a walk remembers, so that it takes two
sub many {
    my ($n, $left) = (5000, 100);
    my @digests = map { digest("many $_") } 1 .. $n;
    my $time = time() - 10 * $HOUR;

    limits('max_size=1000000');
    unlink($edge->blob_file(blob('little'))) or die "unlink: $!\n";

    my $mask = umask(0);
    for my $digest (@digests) {
        my $file = $edge->blob_file($digest);
        make_path($file =~ s{/data$}{}r);
        spew($file, 'x');
        utime($time, ++$time, $file) or die "utime: $!\n";
    }
    umask($mask);

    limits("max_size=$left");
    ok(wait_for(sub { kept() eq "$left $left" }, 60), 'many have to go');
    counted('the rest is counted');
    is_deeply([map { here($_) ? 1 : 0 } @digests],
              [(0) x ($n - $left), (1) x $left], 'it is the newest');
}
