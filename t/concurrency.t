#!/usr/bin/perl

# Several clients at the same thing, through two nodes with two workers each.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $acr = start(workers => 2);
my $two = node($acr, workers => 2);
my @nodes = ($acr, $two);

my $config = '{"seed":"concurrency"}';
$acr->push_blob('lib/a', $config);
my @images = map { image($config, [], annotations => { n => "$_" }) } 0 .. 5;


# --- writers of one tag

my @answers = map { @$_ } parallel(map {
    my $n = $_;
    sub {
        return [map {
            $nodes[$_ % 2]->put_manifest('lib/a', 'latest',
                                         $images[($n + $_) % 6])->status()
        } 1 .. 12];
    }
} 0 .. 3);

is_deeply([grep { $_ != 201 } @answers], [], 'four writers of one tag');
is(scalar(@answers), 48, 'all are answered');

my $now = $acr->resolve('lib/a', 'latest');
is($two->resolve('lib/a', 'latest'), $now, 'the nodes agree');
is($acr->tag_on_disk('lib/a', 'latest'), $now, 'and so does the disk');
same('nothing else differs either');

my $last = $images[3];
$two->push_manifest('lib/a', 'latest', $last);
is($acr->get('/v2/lib/a/manifests/latest')->body(), $last,
   'the last writer wins');


# --- a tag that is written and deleted

my @puts_and_deletes = parallel(
    (map {
        my $n = $_;
        sub {
            return [map {
                $nodes[$n]->put_manifest('lib/a', 'moving', $images[$_ % 6])
                    ->status()
            } 1 .. 15];
        }
    } 0, 1),
    sub {
        return [map {
            $acr->delete('/v2/lib/a/manifests/moving')->status()
        } 1 .. 15];
    },
    sub {
        return [map {
            my $answer = $two->get('/v2/lib/a/manifests/moving');
            $answer->status() == 200
                ? (grep { $_ eq $answer->body() } @images) ? 200 : 'torn'
                : $answer->status()
        } 1 .. 30];
    });

only($puts_and_deletes[$_], qr/^201$/, 'a tag is written') for 0, 1;
only($puts_and_deletes[2], qr/^(?:202|404)$/, 'deleted');
only($puts_and_deletes[3], qr/^(?:200|404)$/, 'and read, all at once');
is($acr->tag_on_disk('lib/a', 'moving'), $acr->resolve('lib/a', 'moving'),
   'Redis and the disk have it or have it not');
same('nothing else differs');


# --- a manifest that is written and deleted

my $image = image($config, [], annotations => { n => 'both' });
my $digest = digest($image);

my @manifest = parallel(
    (map {
        my $n = $_;
        sub {
            return [map {
                $nodes[$n]->put_manifest('lib/a', "both$n", $image)->status()
            } 1 .. 12];
        }
    } 0, 1),
    (map {
        my $n = $_;
        sub {
            return [map {
                $nodes[$n]->delete("/v2/lib/a/manifests/$digest")->status()
            } 1 .. 12];
        }
    } 0, 1),
    sub {
        return [map {
            my $answer = $acr->get("/v2/lib/a/manifests/$digest");
            $answer->status() == 200 && $answer->body() ne $image
                ? 'torn' : $answer->status()
        } 1 .. 30];
    });

only($manifest[$_], qr/^201$/, 'a manifest is written') for 0, 1;
only($manifest[$_], qr/^(?:202|404)$/, 'deleted') for 2, 3;
only($manifest[4], qr/^(?:200|404)$/, 'and read, all at once');

my $there = $acr->get("/v2/lib/a/manifests/$digest")->status() == 200;
is(-f $acr->link_file('lib/a', 'revision', $digest) ? 1 : 0, $there ? 1 : 0,
   'Redis and the disk have it or have it not');
same('nothing else differs');
answers($acr->put_manifest('lib/a', 'both', $image), 201, 'it can be written');
answers($acr->delete("/v2/lib/a/manifests/$digest"), 202, 'and deleted');
same('and is gone everywhere');


# --- writers of one blob

my $bytes = bytes(700_000, 'one blob');
my $blob = digest($bytes);

my @blob = parallel(map {
    my $n = $_;
    sub {
        my $node = $nodes[$n % 2];
        return [map {
            $n < 4
                ? $node->close_upload($node->upload('lib/b'), $blob, $bytes)
                    ->status()
                : $node->post(with('/v2/lib/b/blobs/uploads/',
                                   digest => $blob), body => $bytes)->status()
        } 1 .. 3];
    }
} 0 .. 5);

only([map { @$_ } @blob], qr/^201$/, 'eighteen writers of one blob');
is(-s $acr->blob_file($blob), length($bytes), 'it is there');
is((stat($acr->blob_file($blob)))[3], 1, 'once');
is(digest($two->get("/v2/lib/b/blobs/$blob")->body()), $blob, 'and right');
same('Redis and the disk have the same');


# --- deleted while it is pulled

my ($piece, $size, $large) = large(24, 'pulled');
my $location = $acr->upload('lib/c');
answers($acr->request('PUT', with($location, digest => $large),
                      body => [map { $piece->($_) } 0 .. 23]), 201,
        'a large blob');

my ($http, $answer, $rest) = throttled($acr, "/v2/lib/c/blobs/$large");
answers($answer, 200, 'is being pulled');
answers($two->delete("/v2/lib/c/blobs/$large"), 202, 'it is deleted');
refused($acr->get("/v2/lib/c/blobs/$large"), 404, 'BLOB_UNKNOWN', 'and gone');
unlink($acr->blob_file($large)) or die "unlink: $!\n";
is_deeply([$rest->()], [$large, $size], 'the pull is completed');


# --- bodies that race on one session

# one comes while the other is under way
for my $method (qw(PATCH PUT)) {
    my $first = bytes(400_000, "$method first");
    my $second = bytes(300_000, "$method second");
    my $location = $acr->upload('lib/d');
    my $target = $method eq 'PUT' ? with($location, digest => digest($first))
                                  : $location;

    my $http = $acr->connect();
    $http->begin($method, $target, headers => ['Content-Length' => 400_000]);
    $http->send(substr($first, 0, 200_000));
    wait_for(sub { session($acr, $location)->{owner} });

    my $taken = $two->patch($location, $second);
    answers($taken, 202, "a body that comes during a $method takes over");
    is($taken->header('Range'), '0-299999', 'from what was saved');

    $http->send(substr($first, 200_000));
    my $late = $http->answer($method);
    my $end = $acr->close_upload($location, digest($second));
    $http->close();

    # a PUT may win all the same, as its bytes are complete
    my ($won, $lost) = $late->status() == 201 ? ($first, $end)
                                              : ($second, $late);
    answers($end, 201, 'the winner ends it') if $won eq $second;
    like($lost->status() . ' ' . $lost->code(),
         qr/^4(?:09 BLOB_UPLOAD_INVALID|04 BLOB_UPLOAD_UNKNOWN)$/,
         'the other is told');
    is(digest($two->get('/v2/lib/d/blobs/' . digest($won))->body()),
       digest($won), 'the bytes of the winner are stored');
    refused($acr->get('/v2/lib/d/blobs/'
                      . digest($won eq $first ? $second : $first)),
            404, 'BLOB_UNKNOWN', 'those of the other are not');
}

# chunks for the same place
my @bodies = map { bytes(150_000, "chunk $_") } 0 .. 3;

for my $round (1 .. 6) {
    my $location = $acr->upload('lib/d');
    my @got = parallel(map {
        my $n = $_;
        sub {
            my $answer = $nodes[$n % 2]->patch($location, $bodies[$n], 0);
            return { status => $answer->status(), code => $answer->code() };
        }
    } 0 .. 3);

    my @winners = grep { $got[$_]{status} == 202 } 0 .. 3;
    is(scalar(@winners), 1, 'one of four chunks wins')
        or diag(join(' ', map { $_->{status} } @got));
    only([map { "$_->{status} $_->{code}" } grep { $_->{status} != 202 } @got],
         qr/^(?:409|416) BLOB_UPLOAD_INVALID$/, 'the others are told');

    my $digest = digest($bodies[$winners[0]]);
    answers($acr->close_upload($location, $digest), 201, 'what is stored');
    is(digest($acr->get("/v2/lib/d/blobs/$digest")->body()), $digest,
       'is the bytes of the winner');
}

# the last request twice, as clients do that have lost the answer
for my $round (1 .. 6) {
    my $whole = bytes(200_000, "closed twice $round");
    my $digest = digest($whole);
    my $location = $acr->upload('lib/e');
    answers($acr->patch($location, substr($whole, 0, 120_000)), 202,
            'a session with data');

    my @got = parallel(map {
        my $n = $_;
        sub {
            my $answer = $nodes[$n % 2]->close_upload(
                $location, $digest, substr($whole, 120_000),
                headers => ['Content-Range' => '120000-199999']);
            return { status => $answer->status(), code => $answer->code() };
        }
    } 0 .. 2);

    my @lost = grep { $_->{status} != 201 } @got;
    cmp_ok(scalar(@lost), '<', 3, 'one of three PUT wins')
        or diag(join(', ', map { "$_->{status} $_->{code}" } @got));
    only([map { "$_->{status} $_->{code}" } @lost],
         qr/^4\d\d BLOB_UPLOAD_(?:INVALID|UNKNOWN)$/, 'the others are told');
    is(digest($two->get("/v2/lib/e/blobs/$digest")->body()), $digest,
       'what is stored is right');
}

# a session that is cancelled while its data comes
my $cancelled = $acr->upload('lib/d');
$http = $acr->connect();
$http->begin('PATCH', $cancelled, headers => ['Content-Length' => 200_000]);
$http->send(bytes(100_000, 'cancelled'));
wait_for(sub { session($acr, $cancelled)->{owner} });
answers($two->delete($cancelled), 204, 'an upload is cancelled');
$http->send(bytes(100_000, 'cancelled'));
refused($http->answer('PATCH'), 404, 'BLOB_UPLOAD_UNKNOWN',
        'its PATCH is told');
$http->close();

same('Redis and the disk have the same after all that');
is_deeply([half_written($acr)], [], 'and nothing is half-written');

finish();


sub same {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply([differences($acr)], [], $name);
}


sub only {
    my ($got, $pattern, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply([ref($got) eq 'ARRAY' ? grep { !/$pattern/ } @$got : $got], [],
              $name);
}
