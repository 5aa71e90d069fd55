#!/usr/bin/perl

# Blobs with "aio threads": what is in the page cache is sent without threads,
# what is not by them, and whatever a transfer meets of both, its bytes are
# right.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $acr = start(workers => 2, fsync => 'off',
                location => 'sendfile on; aio threads;'
                            . ' sendfile_max_chunk 256k;');
my $size = 12_000_000;
my $bytes = bytes($size, 'sendfile');
my $digest = $acr->push_blob('lib/a', $bytes);
my $target = "/v2/lib/a/blobs/$digest";
my $file = $acr->blob_file($digest);
my $before = leaves_nothing($acr);

system('sync', $file) == 0 or die "sync\n";

is(digest($acr->get($target)->body()), $digest, 'all of it is there');
forget(0, 12);
is(digest($acr->get($target)->body()), $digest, 'nothing is');

for my $case (['the begin is there', 0, 4], ['the middle', 4, 4],
              ['the end', 8, 4], ['every second MiB', map { $_, 1 }
                                  0, 2, 4, 6, 8, 10])
{
    my ($name, @parts) = @$case;

    forget(0, 12);
    while (my ($from, $n) = splice(@parts, 0, 2)) {
        $acr->get($target, headers => [Range => sprintf('bytes=%d-%d',
            $from * 1048576, ($from + $n) * 1048576 - 1)]);
    }
    is(digest($acr->get($target)->body()), $digest, $name);
}

forget(2, 3);
for my $range ([0, 0], [1, 65_536], [2_000_000, 6_000_000], [$size - 1, $size],
               [$size - 70_000, $size + 5])
{
    my ($from, $last) = @$range;
    my $answer = $acr->get($target, headers => [Range => "bytes=$from-$last"]);

    answers($answer, 206, "bytes $from to $last");
    ok($answer->body() eq substr($bytes, $from, $last - $from + 1),
       'are those');
}

forget(0, 12);
my $answer = $acr->get($target,
                       headers => [Range => 'bytes=5-6,3000000-5000000']);
like($answer->header('Content-Type'), qr/multipart/, 'two ranges');
ok(index($answer->body(), substr($bytes, 3_000_000, 2_000_001)) > 0,
   'have their bytes');

# all at once, while the cache is emptied
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

# clients that leave
for my $n (1 .. 20) {
    forget(0, 12) if $n % 2;
    my $http = $acr->connect();
    $http->send("GET $target HTTP/1.1\r\nHost: x\r\n\r\n");
    eval { $http->fill(0.05) } for 1 .. $n % 4;
    $http->close();
}
leaves_nothing($acr, $before, 'clients that leave leave nothing');
is(digest($acr->get($target)->body()), $digest, 'it is as it was');

finish();


# what the file has of these MiB is not in the page cache (on a file system in
# memory it stays there)
sub forget {
    my ($from, $n) = @_;

    system('dd', "if=$file", 'iflag=nocache', 'bs=1M', "skip=$from",
           'count=' . int($n), 'of=/dev/null', 'status=none') == 0
        or die "dd\n";
}
