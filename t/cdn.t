#!/usr/bin/perl

# conf/cdn.conf: an nginx without the module before the data endpoint.  What it
# has is not asked for again, and nobody gets it without a signature that is
# good.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Data;

my $SLICE = 4 * 1024 * 1024;

my $key = secret('one');
my $acr = prepare();
my ($nginx) = $acr->nginx();

plan(skip_all => 'nginx has no slice module')
    if `$nginx -V 2>&1` !~ /with-http_slice_module/;

my ($seen, $markers) = (0, 0);
my $cdn_port = $acr->free_port();
$acr->configure(server => 'location /acr/data/ { acr_data; }',
                http => "acr_data_key $key;
                         acr_data_endpoint http://127.0.0.1:$cdn_port;");
$acr->run();

my $process = cdn_start();
my $cdn = ACR::Client->new($cdn_port);

my $bytes = bytes(2 * $SLICE + 100_000, 'cdn');
my $blob = wait_for(sub { eval { $acr->push_blob('lib/a', $bytes) } });
my $small = $acr->push_blob('lib/a', 'small');


# --- a pull, and another

my ($first, $good) = pull();
is(digest($first->body()), $blob, 'a pull through it');
is(trips(), 3, 'of three parts');
is($first->header('Docker-Content-Digest'), $blob, 'with the digest');
is($first->header('ETag'), "\"$blob\"", 'the ETag');
is($first->header('Content-Length'), length($bytes), 'the length');
is($first->header('Accept-Ranges'), 'bytes', 'the ranges');
is($first->header('Cache-Control'), 'public, immutable', 'and for whom it is');

my $again = $cdn->get($good);
answers($again, 200, 'another pull');
is(digest($again->body()), $blob, 'is the same');
is(trips(), 0, 'and takes no trip to the registry');
is($again->header('Expires'), $first->header('Expires'),
   'until the same time: whoever keeps it behind keeps it no longer');
is($again->header($_), undef, "no $_") for qw(Age Vary Set-Cookie);

my $head = $cdn->head($good);
answers($head, 200, 'HEAD');
is($head->header('Content-Length'), length($bytes), 'tells the length');

for my $case ([0, 9], [$SLICE - 5, $SLICE + 4],
              [2 * $SLICE, length($bytes) - 1])
{
    my ($from, $to) = @$case;
    my $part = $cdn->get($good, headers => [Range => "bytes=$from-$to"]);
    answers($part, 206, "a range from $from");
    is(digest($part->body()), digest(substr($bytes, $from, $to - $from + 1)),
       'has its bytes');
    is($part->header('Content-Range'), "bytes $from-$to/" . length($bytes),
       'and says so');
}

my $tail = $cdn->get($good, headers => [Range => 'bytes=-10']);
is(substr($tail->body(), -10), substr($bytes, -10), 'the last bytes');
my $many = $cdn->get($good, headers => [Range => 'bytes=0-9,100-109']);
answers($many, 200, 'several ranges are all of it, as slices have it');
is(digest($many->body()), $blob, 'every byte');
answers($cdn->get($good, headers => ['If-None-Match' => "\"$blob\""]), 304,
        'a condition');
is(trips(), 0, 'all without a trip');
answers($cdn->get($good, headers => [Range => 'bytes=99999999-']), 416,
        'a range of nothing');
trips();

my $part = signed('one', $blob, time() + 1000);
$cdn->get($part, headers => [Range => "bytes=$SLICE-" . ($SLICE + 9)]);
is(trips(), 1, 'a range fetches its part only');

is($cdn->get(signed('one', $small, time() + 1000))->body(), 'small',
   'a small blob');
is(trips(), 1, 'in one');


# --- nothing without a signature

my %bad = (
    'another signature' => $good =~ s/sig=./sig=!/r,
    'none' => $good =~ s/&sig=.*//r,
    'no arguments' => $good =~ s/\?.*//r,
    'another time' => $good =~ s/expires=(\d+)/'expires=' . ($1 + 1)/er,
    'another key' => signed('two', $blob, time() + 1000),
    'an argument more' => "$good&x=1",
    'another form' => $good =~ s{/data/}{/data/./}r,
    'an encoded form' => $good =~ s{sha256}{%73ha256}r,
    'over' => signed('one', $blob, time() - 1),
);

for my $name (sort keys %bad) {
    my $answer = $cdn->get($bad{$name});
    refused($answer, 403, 'DENIED', "$name is refused");
    answers($cdn->get($bad{$name}), 403, 'again');
    is(trips(), 2, 'by the registry, each time');
}

answers($cdn->get($good), 200, 'the good one still is');
is(trips(), 0, 'and still there');
answers($cdn->post($good, body => 'x'), 403, 'nothing can be sent to it');
answers($cdn->get('/v2/'), 404, 'there is nothing else');
is(trips(), 0, 'of which the registry hears');

my $gone = signed('one', digest('never'), time() + 1000);
refused($cdn->get($gone), 404, 'BLOB_UNKNOWN', 'what is not there');
my $come = $acr->push_blob('lib/a', 'never');
trips();
answers($cdn->get($gone), 200, 'may come: that it was not is not kept');


# --- the time of an address ends at the cache, too

my ($short, $answer);

for my $seconds (2, 5, 20) {
    $short = signed('one', $blob, time() + $seconds);
    $answer = $cdn->get($short);
    last if $answer->status() == 200;
}

answers($answer, 200, 'an address that is over soon');
ok(wait_for(sub { time() > expires_of($short) }, 30), 'it is over');
refused($cdn->get($short), 403, 'DENIED',
        'nobody gets it then, though it is in the cache');


# --- without the registry

$acr->kill_all();
$again = $cdn->get($good);
is(digest($again->body()), $blob, 'the registry is away: the cache goes on');
answers($cdn->get("${good}x"), 502, 'with nothing else');
$acr->run();

$process->signal('QUIT');
ok($process->ended(20), 'it stops');
is(join("\n", grep { /\[(?:alert|emerg|crit)\]/ }
                   split(/\n/, slurp(work_dir() . '/cdn/error.log'))), '',
   'nothing bad in its log');
unlike(slurp(work_dir() . '/cdn/access.log'), qr/sig=/,
       'which has no signature');

finish();


# conf/cdn.conf with places of this test
sub cdn_start {
    my $dir = work_dir() . '/cdn';
    my $conf = slurp("$ACR::Node::TREE/conf/cdn.conf");
    my $user = $> == 0 ? 'user ' . ACR::Node::worker_user() . ';' : '';

    mkdir($dir) or die "$dir: $!\n";
    chmod(0755, $dir);

    for (['user www-data;', $user],
         ['127.0.0.1:5000', "127.0.0.1:$acr->{port}"],
         ['127.0.0.1:5080', "127.0.0.1:$cdn_port"],
         ['/run/acr-data.pid', "$dir/pid"],
         ['/var/log/nginx/acr-data.error.log', "$dir/error.log"],
         ['/var/log/nginx/acr-data.access.log', "$dir/access.log"],
         ['/var/cache/acr-data', "$dir/cache"],
         ['min_free=2g ', ''],
         ['worker_processes auto;', 'worker_processes 2; daemon off;'])
    {
        my ($from, $to) = @$_;
        # in the comments, too
        $conf =~ s/\Q$from\E/$to/g or die "no \"$from\" in cdn.conf\n";
    }

    $conf =~ s/^http \{\n/http {\n@{[ join('', map {
        "    ${_}_temp_path $dir\/$_;\n"
    } qw(client_body proxy fastcgi uwsgi scgi)) ]}/m;

    spew("$dir/nginx.conf", $conf);

    my $started = ACR::Process->spawn("$dir/out", $nginx, '-p', "$dir/", '-c',
                                      "$dir/nginx.conf", '-e',
                                      "$dir/error.log");
    wait_for(sub {
        $started->alive() or die 'no cdn: ' . slurp("$dir/out");
        eval { ACR::Client->new($cdn_port)->get('/')->status() == 404 };
    });

    return $started;
}


# the answer to a pull as clients do it, and the address that it took
sub pull {
    my $redirect = $acr->get("/v2/lib/a/blobs/$blob");
    answers($redirect, 307, 'the registry sends a pull to the cache');

    my $target = $redirect->header('Location')
                 =~ s{^http://127\.0\.0\.1:$cdn_port}{}r;
    trips();

    return ($cdn->get($target), $target);
}


# how many requests of data the registry has answered since the last call; each
# is in its log when the next one is answered, since there is one worker
sub trips {
    my $marker = '/v2/?marker' . ++$markers;
    my $log = "$acr->{dir}/access.log";

    $acr->get($marker);
    wait_for(sub { slurp($log) =~ /\Q$marker / });

    my $count = () = slurp($log) =~ m{"GET /acr/data/}g;
    my $since = $count - $seen;
    $seen = $count;

    return $since;
}
