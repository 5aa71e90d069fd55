#!/usr/bin/perl

# The same content by several clients at once, in one repository and in several,
# with deletes between.  More on writers of one thing is in concurrency.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(workers => 2);
my $two = node($acr, workers => 2);
my @nodes = ($acr, $two);


# --- one blob, several repositories

for my $round (1 .. 3) {
    my $bytes = bytes(700_000 + $round, "blob $round");
    my $digest = digest($bytes);
    my @to = ('same/repo', 'same/repo', 'same/repo', map { "other/$_" } 1 .. 3);

    my @status = parallel(map {
        my ($node, $to) = ($nodes[$_ % 2], $to[$_]);
        sub {
            return $node->close_upload($node->upload($to), $digest, $bytes)
                ->status();
        }
    } 0 .. 5);
    is_deeply(\@status, [(201) x 6], 'six pushes of a blob at once');

    is(digest($acr->get("/v2/$_/blobs/$digest")->body()), $digest,
       "pulled from $_") for @to[2 .. 5];
    is(digest(slurp($acr->blob_file($digest))), $digest,
       'stored once and whole');
}


# --- one blob, pushed and mounted, and deleted

my $bytes = bytes(100_000, 'up and down');
my $digest = $acr->push_blob('source', $bytes);
my $target = "/v2/up/down/blobs/$digest";

my @done = parallel(
    wanted(qr/^(?:202|404)$/, sub { return $acr->delete($target) }),
    wanted(qr/^201$/, sub {
        return $two->close_upload($two->upload('up/down'), $digest, $bytes);
    }),
    wanted(qr/^201$/, sub {
        return $acr->post(with('/v2/up/down/blobs/uploads/',
                               from => 'source', mount => $digest),
                          body => '');
    }),
    wanted(qr/^(?:200|404)$/, sub {
        my $answer = $two->get($target);
        return $answer->status() == 404 || $answer->body() eq $bytes
            ? $answer : undef;
    }));
is_deeply(\@done, [[], [], [], []],
          'a blob is pushed, mounted, deleted and pulled');
is($acr->head($target)->status() == 200 ? 1 : 0,
   -e $acr->link_file('up/down', 'layer', $digest) ? 1 : 0,
   'its link is on the disk if and only if the registry has it');


# --- one image under many tags, and its deletion

my $image = image('{}', []);
$acr->push_blob('lib/app', '{}');
my $manifest = digest($image);

@done = parallel(
    (map {
        my ($node, $name) = ($nodes[$_ % 2], "t$_");
        my $n = 0;
        wanted(qr/^201$/, sub {
            return $node->put_manifest('lib/app', $name . '-' . $n++, $image);
        });
    } 0 .. 2),
    wanted(qr/^(?:202|404)$/, sub {
        return $acr->delete("/v2/lib/app/manifests/$manifest");
    }));
is_deeply(\@done, [[], [], [], []], 'an image is tagged and deleted');

my @links = sort map { m{/tags/([^/]+)/current/link$} }
            glob($acr->path('repositories/lib/app/_manifests/tags/*/current'
                            . '/link'));
is_deeply(\@links, [$acr->tags('lib/app')],
          'the disk has the tags that the registry lists');
is(defined $two->resolve('lib/app', $manifest) ? 1 : 0,
   -e $acr->link_file('lib/app', 'revision', $manifest) ? 1 : 0,
   'and the manifest if and only if the registry has it');


# --- two bodies of one session that begin before one ends

for my $round (1 .. 6) {
    my @bytes = map { bytes(300_000, "session $round $_") } 0, 1;
    my $half = 50_000 * $round - 25_000;
    my $location = $acr->upload('lib/app');
    my @http = map { $_->connect() } @nodes;

    $http[$_]->begin('PATCH', $location, headers => [
        'Content-Length' => 300_000]) for 0, 1;
    $http[$_]->send(substr($bytes[$_], 0, $half)) for 0, 1;

    # both have taken the session
    my ($uuid) = $location =~ m{/uploads/([0-9a-f-]{36})};
    wait_for(sub {
        $acr->{redis}->command('HGET', "acr:{default}:upload:$uuid", 'owner')
            == 2
    }) or die "only one has taken $uuid\n";

    $http[$_]->send(substr($bytes[$_], $half)) for 1, 0;

    my @answer = map { $_->answer('PATCH') } @http;
    my @won = grep { $answer[$_]->status() == 202 } 0, 1;
    is(scalar(@won), 1, 'of two bodies one wins')
        or diag(map { $_->text() . "\n" } @answer);
    next if @won != 1;

    my $lost = $answer[1 - $won[0]];
    refused($lost, $lost->status(), 'BLOB_UPLOAD_INVALID', 'the other is told');
    like($lost->status(), qr/^4/, 'that it is its fault');

    is($acr->get($location)->header('Range'), '0-299999',
       'what the winner has sent is there');
    answers($two->close_upload($location, digest($bytes[$won[0]])), 201,
            'with the right digest');
    $_->close() for @http;
}


# --- all is settled

ok(wait_for(sub {
    $acr->{redis}->command('ZCARD', 'acr:{default}:pending') == 0
}), 'no link is pending') or diag(explain(
    $acr->{redis}->command('ZRANGE', 'acr:{default}:pending', 0, -1)));
is_deeply([grep { !-d } glob("$acr->{root}/acr/tmp/*")], [],
          'no temporary file is left');

finish();


# a function that makes fifteen requests and returns the answers that are not
# as wanted
sub wanted {
    my ($status, $request) = @_;

    return sub {
        my @bad;
        for (1 .. 15) {
            my $answer = $request->();
            push(@bad, $answer ? $answer->text() : 'wrong')
                if !$answer || $answer->status() !~ $status;
        }
        return \@bad;
    };
}
