#!/usr/bin/perl

# Mounting blobs of other repositories.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my $none = 'sha256:' . '0' x 64;
my $bytes = bytes(20_000, 'mount');
my $digest = $acr->push_blob('from/a', $bytes);

sub mount {
    my ($to, @arguments) = @_;

    return $acr->post(with("/v2/$to/blobs/uploads/", @arguments), body => '');
}


# --- with from

my $answer = mount('to/a', mount => $digest, from => 'from/a');
answers($answer, 201, 'mount with from');
is($answer->location(), "/v2/to/a/blobs/$digest", 'the location of the blob');
is($answer->header('Docker-Content-Digest'), $digest, 'and its digest');
is($acr->get("/v2/to/a/blobs/$digest")->body(), $bytes, 'which can be pulled');
is(slurp($acr->link_file('to/a', 'layer', $digest)), $digest,
   'and has a link on the disk');
answers(mount('to/a', mount => $digest, from => 'from/a'), 201, 'again');
answers($acr->post("/v2/to/encoded/blobs/uploads/?from=from%2Fa&mount="
                   . ($digest =~ s/:/%3A/r), body => ''), 201,
        'encoded arguments');
answers($acr->put_manifest('to/a', 'x', image($bytes, [])), 201,
        'a manifest may name it');


# --- independent

answers($acr->delete("/v2/from/a/blobs/$digest"), 202, 'the source deleted');
is($acr->get("/v2/to/a/blobs/$digest")->body(), $bytes, 'the mounted stays');
answers($acr->delete("/v2/to/a/blobs/$digest"), 202, 'the mounted deleted');
answers($acr->get("/v2/to/a/blobs/$digest"), 404, 'is gone');
is($acr->get("/v2/to/encoded/blobs/$digest")->body(), $bytes,
   'another one is not');
$acr->delete("/v2/to/encoded/blobs/$digest");
answers(mount('to/b', mount => $digest, from => 'from/a'), 202,
        'what nobody has any more is not mounted');


# --- without from

my $other = $acr->push_blob('from/b', "$bytes other");
$answer = mount('to/c', mount => $other);
answers($answer, 201, 'mount without from');
is($answer->location(), "/v2/to/c/blobs/$other", 'the location of the blob');
is($acr->get("/v2/to/c/blobs/$other")->body(), "$bytes other", 'is pulled');

my $sha512 = $acr->push_blob('from/b', 'by 512', 'sha512');
answers(mount('to/c', mount => $sha512, from => 'from/b'), 201, 'by sha512');
is($acr->get("/v2/to/c/blobs/$sha512")->body(), 'by 512', 'is pulled');


# --- else an upload

for my $case (['unknown blob', mount => $none, from => 'from/b'],
              ['unknown blob, no from', mount => $none],
              ['unknown source', mount => $none, from => 'from/none'],
              ['no such blob there', mount => $digest, from => 'from/b'])
{
    my ($name, @arguments) = @$case;
    $answer = mount('to/d', @arguments);
    answers($answer, 202, "$name: an upload begins");
    like($answer->location(), qr{^/v2/to/d/blobs/uploads/}, 'its location');
    answers($acr->close_upload($answer->location(), digest('up'), 'up'), 201,
            'which can be used');
}


# --- refused

refused(mount('to/d', mount => 'sha256:x', from => 'from/b'), 400,
        'DIGEST_INVALID', 'no digest', 'sha256:x');
refused(mount('to/d', mount => 'md5:' . '0' x 32), 400, 'DIGEST_INVALID',
        'no known algorithm');
refused(mount('to/d', mount => $other, from => 'FROM'), 400, 'NAME_INVALID',
        'a source that is no name', 'FROM');
refused(mount('TO', mount => $other, from => 'from/b'), 400, 'NAME_INVALID',
        'a target that is no name', 'TO');

finish();
