#!/usr/bin/perl

# Several writers of one thing, at two nodes: whatever the order, Redis and the
# disk end equal, and nobody reads half of anything.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(workers => 2);
my $other = node($acr, workers => 2);
my @nodes = ($acr, $other);
my $repo = 'lib/app';

$acr->push_blob($repo, '{}');

my @images = map { image('{}', [], annotations => { number => "$_" }) } 0 .. 3;


# --- one tag

my @results = parallel(map {
    my $i = $_;
    sub {
        my @bad;
        for (1 .. 25) {
            my $answer = $nodes[$i % 2]->put_manifest($repo, 'race',
                                                      $images[$i]);
            push(@bad, $answer->text()) if $answer->status() != 201;
        }
        return \@bad;
    }
} 0 .. 3);
is_deeply(\@results, [[], [], [], []], 'four writers of a tag');
same('race');

@results = parallel(map {
    my $i = $_;
    sub {
        my @bad;
        for (1 .. 25) {
            my $answer = $i % 2
                ? $nodes[$i / 2]->delete("/v2/$repo/manifests/gone")
                : $nodes[$i / 2]->put_manifest($repo, 'gone', $images[$i]);
            push(@bad, $answer->text())
                if $answer->status() !~ ($i % 2 ? qr/^(?:202|404)$/ : qr/^201$/);
        }
        return \@bad;
    }
} 0 .. 3);
is_deeply(\@results, [[], [], [], []], 'two writers, two that delete it');
same('gone');


# --- one manifest

@results = parallel(map {
    my $i = $_;
    sub {
        my @bad;
        for my $n (1 .. 15) {
            my $answer = $i < 3
                ? $nodes[$i % 2]->put_manifest($repo, "m$i-$n", $images[3])
                : $nodes[$i % 2]->delete("/v2/$repo/manifests/"
                                         . digest($images[3]));
            push(@bad, $answer->text())
                if $answer->status() !~ ($i < 3 ? qr/^201$/ : qr/^(?:202|404)$/);
        }
        return \@bad;
    }
} 0 .. 3);
is_deeply(\@results, [[], [], [], []], 'a manifest is pushed and deleted');

my $digest = digest($images[3]);
is(defined $acr->resolve($repo, $digest) ? 1 : 0,
   -e $acr->link_file($repo, 'revision', $digest) ? 1 : 0,
   'it is on the disk if and only if it is in the registry');
my @tags = grep { /^m/ } $acr->tags($repo);
my @links = sort map { m{/tags/(m[^/]+)/current/link$} }
            glob($acr->path("repositories/$repo/_manifests/tags/m*/current/link"));
is_deeply(\@links, \@tags, 'so are its tags');

$acr->push_manifest($repo, 'race', $images[0]);
my @readers = map {
    my $node = $_;
    sub {
        my $wrong = 0;
        for (1 .. 60) {
            my $answer = $node->get("/v2/$repo/manifests/race");
            $wrong++ if $answer->status() != 200 || digest($answer->body())
                        ne $answer->header('Docker-Content-Digest');
        }
        return $wrong;
    }
} @nodes;
@results = parallel(@readers, sub {
    $acr->put_manifest($repo, 'race', $images[$_ % 3]) for 1 .. 30;
    return 0;
});
is_deeply(\@results, [0, 0, 0], 'a reader sees one manifest or the other');


# --- one blob

for my $round (1 .. 3) {
    my $bytes = bytes(700_000 + $round, "blob $round");
    my $blob = digest($bytes);
    @results = parallel(map {
        my $i = $_;
        sub {
            my $node = $nodes[$i % 2];
            my $to = $i < 4 ? 'same/repo' : "other/repo$i";
            return $node->close_upload($node->upload($to), $blob, $bytes)
                ->status();
        }
    } 0 .. 5);
    is_deeply(\@results, [(201) x 6], 'six pushes of a blob at once');
    is(digest($acr->get("/v2/$_/blobs/$blob")->body()), $blob, "pulled from $_")
        for 'same/repo', 'other/repo4', 'other/repo5';
    is(digest(slurp($acr->blob_file($blob))), $blob, 'stored once and whole');
}

my $again = bytes(100_000, 'again');
@results = parallel(map {
    my $i = $_;
    sub {
        my @bad;
        for (1 .. 15) {
            my $node = $nodes[$i % 2];
            my $answer = $i == 0
                ? $node->delete('/v2/up/down/blobs/' . digest($again))
                : $node->close_upload($node->upload('up/down'), digest($again),
                                      $again);
            push(@bad, $answer->text()) if $answer->status()
                !~ ($i == 0 ? qr/^(?:202|404)$/ : qr/^201$/);
        }
        return \@bad;
    }
} 0 .. 2);
is_deeply(\@results, [[], [], []], 'a blob is pushed and deleted');
is($acr->head('/v2/up/down/blobs/' . digest($again))->status() == 200 ? 1 : 0,
   -e $acr->link_file('up/down', 'layer', digest($again)) ? 1 : 0,
   'it is on the disk if and only if it is in the registry');


# --- one session

for my $round (1 .. 6) {
    my @bytes = map { bytes(300_000, "session $round $_") } 0, 1;
    my $location = $acr->upload($repo);
    my @http = map { $_->connect() } @nodes;

    # both have begun before one ends
    $http[$_]->begin('PATCH', $location, headers => [
        'Content-Length' => 300_000]) for 0, 1;
    $http[$_]->send(substr($bytes[$_], 0, 100_000 * $round / 2)) for 0, 1;
    $http[$_]->send(substr($bytes[$_], 100_000 * $round / 2)) for 1, 0;

    my @answer = map { $_->answer('PATCH') } @http;
    my @won = grep { $answer[$_]->status() == 202 } 0, 1;
    is(scalar(@won), 1, 'of two bodies one wins')
        or diag(map { $_->text() . "\n" } @answer);
    next if @won != 1;

    my $lost = $answer[1 - $won[0]];
    like($lost->status(), qr/^4/, 'the other is told');
    refused($lost, $lost->status(), undef, 'clearly');

    is($acr->get($location)->header('Range'), '0-299999',
       'what the winner sent is there');
    answers($other->close_upload($location, digest($bytes[$won[0]])), 201,
            'with the right digest');
    $_->close() for @http;
}

for my $round (1 .. 3) {
    my $bytes = bytes(200_000, "ends $round");
    my $location = $acr->upload($repo);
    $acr->patch($location, $bytes, 0);
    @results = parallel(map {
        my $node = $_;
        sub { return $node->close_upload($location, digest($bytes))->status() }
    } @nodes, @nodes);
    cmp_ok(scalar(grep { $_ == 201 } @results), '>=', 1, 'one PUT of four wins');
    is_deeply([grep { !/^(?:201|4\d\d)$/ } @results], [], 'the others are told')
        or diag("@results");
    is(digest($acr->get("/v2/$repo/blobs/" . digest($bytes))->body()),
       digest($bytes), 'the blob is whole');
}


# --- delete while pulling

my $large = bytes(16 * 1024 * 1024, 'large');
my $blob = $acr->push_blob($repo, $large);
my $http = $acr->connect(receive_buffer => 65_536);
$http->begin('GET', "/v2/$repo/blobs/$blob");
my $pull = $http->answer('GET', head => 1);
answers($pull, 200, 'a pull begins');
answers($acr->delete("/v2/$repo/blobs/$blob"), 202, 'the blob is deleted');
answers($acr->get("/v2/$repo/blobs/$blob"), 404, 'and gone');
$http->body($pull, 'GET');
is(digest($pull->body()), $blob, 'the pull ends with the right bytes');
$http->close();


# --- all is settled

ok(wait_for(sub {
    $acr->{redis}->command('ZCARD', 'acr:{default}:pending') == 0
}), 'no link is pending') or diag(explain(
    $acr->{redis}->command('ZRANGE', 'acr:{default}:pending', 0, -1)));
is_deeply([grep { !-l && !-d } glob("$acr->{root}/acr/tmp/*")], [],
          'no temporary file is left');

finish();


# what Redis, the disk and both nodes say of a tag
sub same {
    my ($tag) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $said = $acr->{redis}->command('HGET', "acr:{default}:tag:$repo", $tag);
    my ($digest) = split(/ /, defined $said ? $said : 'none');
    my @told = map { defined $_ ? $_ : 'none' }
               $acr->tag_on_disk($repo, $tag), $acr->resolve($repo, $tag),
               $other->resolve($repo, $tag);

    is_deeply(\@told, [($digest) x 3],
              "$tag: Redis, the disk and both nodes agree");
}
