#!/usr/bin/perl

# Blobs that are in the page cache, that are not, and that are in part: whatever
# a transfer meets, its bytes are right, over HTTP/1.1, HTTP/2 and TLS, with
# sendfile and without, with "aio threads" and without, with kTLS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $size = 12_000_000;
my $bytes = bytes($size, 'ahead');
my $digest = digest($bytes);
my $target = "/v2/lib/a/blobs/$digest";

my $acr = start(workers => 2, fsync => 'off', http2 => 1, tls => 1,
                location => 'sendfile on; sendfile_max_chunk 256k;');
$acr->push_blob('lib/a', $bytes);
my $file = $acr->blob_file($digest);
system('sync', $file) == 0 or die "sync\n";

my %way = (
    'HTTP/1.1' => ["http://127.0.0.1:$acr->{port}"],
    'HTTP/2' => ['--http2-prior-knowledge',
                 "http://127.0.0.1:$acr->{http2_port}"],
    'TLS' => ['-k', '--http1.1', "https://127.0.0.1:$acr->{tls_port}"],
    'HTTP/2 over TLS' => ['-k', '--http2',
                          "https://127.0.0.1:$acr->{tls_port}"],
);

for my $directives ('sendfile on; sendfile_max_chunk 256k;', 'sendfile off;',
                    'sendfile on; aio threads;')
{
    $acr->reload(location => $directives);
    ways($_, $directives) for sort keys %way;
}

# the kernel encrypts what it sends; one that cannot has OpenSSL do it
my $ktls = 'ssl_conf_command Options KTLS;';
$acr->reload(location => 'sendfile on;', server => $ktls);
ways($_, $ktls) for grep { /TLS/ } sort keys %way;

$acr->stop();


# --- several ranges

$acr = start(workers => 2, fsync => 'off', location => 'sendfile on;');
$acr->push_blob('lib/a', $bytes);
$file = $acr->blob_file($digest);
system('sync', $file) == 0 or die "sync\n";
my $before = leaves_nothing($acr);

forget(0, 12);
my $answer = $acr->get($target,
                       headers => [Range => 'bytes=5-6,3000000-5000000']);
like($answer->header('Content-Type'), qr/multipart/, 'two ranges');
ok(index($answer->body(), substr($bytes, 3_000_000, 2_000_001)) > 0,
   'have their bytes');


# --- all at once, while the cache is emptied

my @wrong = grep { $_ } map { ref($_) ? $_->{died} : $_ } parallel(
    (sub { forget(int(rand(12)), 1 + rand(4)) for 1 .. 40; 0 }) x 2,
    map { my $n = $_; sub {
        srand($n);
        for (1 .. 6) {
            my $from = int(rand($size));
            my $part = fresh($acr, 'GET', $target,
                             headers => [Range => "bytes=$from-"])->body();
            return "from $from" if $part ne substr($bytes, $from);
        }
        return 0;
    } } 1 .. 6);
is_deeply(\@wrong, [], 'many at once');


# --- a slow client, clients that leave, and workers that end

forget(0, 12);
my ($http, $head, $rest) = throttled($acr, $target);
forget(0, 12);
is_deeply([$rest->()], [$digest, $size], 'a slow client');

for my $n (1 .. 20) {
    forget(0, 12) if $n % 2;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    eval { $http->fill(0.05) } for 1 .. $n % 4;
    $http->close();
}
leaves_nothing($acr, $before, 'clients that leave leave nothing');

forget(0, 12);
($http, $head, $rest) = throttled($acr, $target);
$acr->reload(location => 'sendfile on;');
forget(0, 12);
is_deeply([$rest->()], [$digest, $size], 'a reload in the middle');
is(digest($acr->get($target)->body()), $digest, 'it is as it was');

finish();


sub ways {
    my ($way, $directives) = @_;

    my $name = "$way, $directives";

    is(digest(curl_get($way)), $digest, "$name: all is in the cache");
    forget(0, 12);
    is(digest(curl_get($way)), $digest, "$name: nothing is");

    for my $case (['the begin', 0, 4], ['the middle', 4, 4],
                  ['every second MiB', map { $_, 1 } 0, 2, 4, 6, 8, 10])
    {
        my ($what, @parts) = @$case;

        forget(0, 12);
        while (my ($from, $n) = splice(@parts, 0, 2)) {
            system('dd', "if=$file", 'bs=1M', "skip=$from", "count=$n",
                   'of=/dev/null', 'status=none') == 0 or die "dd\n";
        }
        is(digest(curl_get($way)), $digest, "$name: $what is");
    }

    forget(2, 3);
    for my $range ([0, 0], [1, 65_536], [2_000_000, 6_000_000],
                   [$size - 1, $size - 1], [$size - 70_000, $size - 1])
    {
        my ($from, $last) = @$range;

        ok(curl_get($way, '-r', "$from-$last")
           eq substr($bytes, $from, $last - $from + 1),
           "$name: bytes $from to $last");
    }
}


sub curl_get {
    my ($way, @more) = @_;

    my ($address, @arguments) = reverse(@{ $way{$way} });

    return curl(@arguments, @more, "$address$target")->body();
}


# what the file has of these MiB is not in the page cache (on a file system in
# memory it stays there)
sub forget {
    my ($from, $n) = @_;

    system('dd', "if=$file", 'iflag=nocache', 'bs=1M', "skip=$from",
           'count=' . int($n), 'of=/dev/null', 'status=none') == 0
        or die "dd\n";
}
