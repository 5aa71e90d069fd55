#!/usr/bin/perl

# A scrub finds content that is not what its digest says: it is moved away and
# given to nobody, and a push heals it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $acr = start(workers => 2, http => 'acr_scrub_rate 100m;',
                server => 'location /acr/admin/ { acr_admin; }
                           open_file_cache max=100;
                           open_file_cache_valid 60s;');
my $redis = $acr->{redis};

my $bytes = bytes(6_000_000, 'scrub');
my $config = '{"seed":"scrub"}';
my $blob = $acr->push_blob('lib/a', $bytes);
$acr->push_blob('lib/a', $config);
my $good = $acr->push_blob('lib/a', 'good');
my $long = $acr->push_blob('lib/a', bytes(3000, 'sha512'), 'sha512');
my $image = image($config, [$bytes]);
my $manifest = $acr->push_manifest('lib/a', 'latest', $image);
$acr->push_blob('lib/b', $config);


# --- nothing is wrong

my $scrub = scrub();
is($scrub->{blobs}, 5, 'all content is read');
cmp_ok($scrub->{bytes}, '>', 6_000_000, 'every byte of it');
is($scrub->{broken} || 0, 0, 'nothing is broken');


# --- one bit, in the middle of a large blob

answers($acr->get("/v2/lib/a/blobs/$blob"), 200, 'it is served before');
spoil($blob, 3_000_000);
$acr->allow(qr/\[(?:alert|crit)\].*(?:broken|does not match|quarantine)/);
$scrub = scrub();
is($scrub->{broken}, 1, 'it is found');
refused($acr->get("/v2/lib/a/blobs/$blob"), 404, 'BLOB_UNKNOWN',
        'nobody is given it, though it was served a moment ago');
answers($acr->head("/v2/lib/a/blobs/$blob"), 404, 'HEAD says so too');
answers($acr->post("/v2/lib/b/blobs/uploads/?mount=$blob&from=lib/a",
                   body => ''), 202, 'it cannot be mounted');
refused($acr->put_manifest('lib/a', 'more', image($config, [$bytes])), 404,
        'MANIFEST_BLOB_UNKNOWN', 'or be part of a new manifest');
like($acr->log_text(), qr/\[alert\].*\Q$blob\E.*quarantine/,
     'the log tells which');
my @kept = glob("$acr->{root}/acr/quarantine/sha256-*");
is(scalar(@kept), 1, 'its file is kept aside');
is(admin($acr, 'GET', 'stats')->json()->{broken}, 1, 'the operator is told');
answers($acr->get('/v2/lib/a/manifests/latest'), 200, 'all else is served');
answers($acr->get("/v2/lib/a/blobs/$good"), 200, 'as before');

is($acr->push_blob('lib/a', $bytes), $blob, 'a push heals it');
ok($acr->get("/v2/lib/a/blobs/$blob")->body() eq $bytes, 'it is served');
is(admin($acr, 'GET', 'stats')->json()->{broken}, 0, 'and not broken');
$scrub = scrub();
is($scrub->{broken} || 0, 0, 'a scrub is content');


# --- a manifest, and one by sha512

spoil($manifest, 10);
spoil($long, 0);
$scrub = scrub();
is($scrub->{broken}, 2, 'a manifest is found, and a digest by sha512');
refused($acr->get('/v2/lib/a/manifests/latest'), 404, 'MANIFEST_UNKNOWN',
        'its tag leads nowhere');
refused($acr->get("/v2/lib/a/manifests/$manifest"), 404, 'MANIFEST_UNKNOWN',
        'nor does its digest');
is($acr->push_manifest('lib/a', 'latest', $image), $manifest,
   'a push heals it too');
is($acr->get('/v2/lib/a/manifests/latest')->body(), $image, 'it is served');


# --- it is short

truncate($acr->blob_file($good), 2) or die;
is(scrub()->{broken}, 1, 'a file that is too short is found');
refused($acr->get("/v2/lib/a/blobs/$good"), 404, 'BLOB_UNKNOWN',
        'and not served');


# --- Redis forgets what is broken: so does the disk not

$acr->allow(qr/has lost changes/);
$redis->command('FLUSHALL');
refused($acr->get("/v2/lib/a/blobs/$good"), 404, 'BLOB_UNKNOWN',
        'not from the directory');
ok(complete($acr), 'nor after a rebuild');
refused($acr->get("/v2/lib/a/blobs/$good"), 404, 'BLOB_UNKNOWN',
        'is it served');


# --- it can be stopped, and goes on after a kill

$acr->reload(http => 'acr_scrub_rate 1m;');
$acr->push_blob('lib/a', bytes(4_000_000, "more $_")) for 1 .. 3;
answers(admin($acr, 'POST', 'scrub'), 202, 'a slow one is asked for');
ok(wait_for(sub { status()->{running} }), 'it runs');
answers(admin($acr, 'DELETE', 'scrub'), 204, 'and is stopped');
ok(!status()->{running}, 'it does not run');
answers(admin($acr, 'POST', 'scrub'), 202, 'another one');
ok(wait_for(sub { (status()->{bytes} || 0) > 0 }), 'is at work');
$acr->allow(qr/exited on signal 9/);
$acr->kill_all();
$acr->configure(http => 'acr_scrub_rate 0;');
$acr->run();
ok(wait_for(sub { !status()->{running} }, 40), 'and goes on after kill -9');
is(status()->{broken} || 0, 0, 'to its end');


# --- a directory that cannot be read is no reason not to go on

my ($unread) = grep { !-e } map { sprintf('%s/%02x', $acr->path('blobs/sha256'),
                                          $_) } 0 .. 255;
mkdir($unread, 0) or die "mkdir: $!\n";
$acr->allow(qr/\[crit\].*opendir\(\) "\Q$unread\E" failed/);
$scrub = scrub();
is($scrub->{failed}, 1, 'it is told');
cmp_ok($scrub->{blobs}, '>', 5, 'and all else is read');
rmdir($unread) or die "rmdir: $!\n";


# --- a very slow one keeps its lease, and no worker that exits

$acr->reload(http => 'acr_scrub_rate 1k;');
answers(admin($acr, 'POST', 'scrub'), 202, 'a very slow one is asked for');
ok(wait_for(sub { (status()->{bytes} || 0) > 0 }), 'it is at work');
my %worker = map { $_ => 1 } $acr->workers();
$acr->reload(http => 'acr_scrub_rate 0;');
ok(wait_for(sub { !grep { $worker{$_} } $acr->workers() }), 'a worker exits');
ok(wait_for(sub { !status()->{running} }, 40), 'another one goes on');

finish();


sub status {
    return admin($acr, 'GET', 'scrub')->json();
}


# a whole scrub, and what it tells
sub scrub {
    my $before = status()->{finished} || 0;

    answers(admin($acr, 'POST', 'scrub'), 202, 'a scrub is asked for');
    my $now;
    ok(wait_for(sub {
           $now = status();
           !$now->{running} && !$now->{requested} && defined $now->{finished};
       }), 'and ends');

    return $now;
}


# one bit of the file is another
sub spoil {
    my ($digest, $offset) = @_;

    my $file = $acr->blob_file($digest);

    open(my $fh, '+<:raw', $file) or die "$file: $!\n";
    seek($fh, $offset, 0);
    read($fh, my $byte, 1);
    seek($fh, $offset, 0);
    print $fh $byte ^ "\x01";
    close($fh) or die;
}
