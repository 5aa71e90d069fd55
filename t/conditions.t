#!/usr/bin/perl

# If-Match and If-None-Match of changes: RFC 9110 section 13.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();

my @manifests = map { image("{\"n\":$_}", ["layer $_"]) } 1, 2;
my ($one, $two) = map { digest($_) } @manifests;
for my $n (1, 2) {
    $acr->push_blob('lib/c', $_) for "{\"n\":$n}", "layer $n";
}

sub put_tag {
    my ($tag, $n, @headers) = @_;
    return $acr->put("/v2/lib/c/manifests/$tag", body => $manifests[$n - 1],
                     headers => ['Content-Type',
                                 'application/vnd.oci.image.manifest.v1+json',
                                 @headers]);
}

sub tag_is {
    my ($tag, $digest, $name) = @_;
    is($acr->resolve('lib/c', $tag), $digest, $name);
}

# --- a tag that must not be there

answers(put_tag('t', 1, 'If-None-Match' => '*'), 201, 'a new tag');
refused(put_tag('t', 2, 'If-None-Match' => '*'), 412, 'MANIFEST_INVALID',
        'a tag that is there');
tag_is('t', $one, 'it stays what it was');
answers($acr->get("/v2/lib/c/manifests/$two"), 404,
        'and nothing else was stored');

# --- a tag that must be what the client has seen

refused(put_tag('t', 2, 'If-Match' => "\"$two\""), 412, 'MANIFEST_INVALID',
        'a tag that is another');
refused(put_tag('t', 2, 'If-Match' => "W/\"$one\""), 412, 'MANIFEST_INVALID',
        'a weak tag never matches');
refused(put_tag('t', 2, 'If-Match' => '"x"'), 412, 'MANIFEST_INVALID',
        'what is no digest never matches');
refused(put_tag('u', 2, 'If-Match' => '*'), 412, 'MANIFEST_INVALID',
        'a tag that is not there');
tag_is('t', $one, 'it is still the same');
answers(put_tag('t', 2, 'If-Match' => "\"$two\", \"$one\""), 201,
        'one of a list');
tag_is('t', $two, 'now it is the other');
refused(put_tag('t', 1, 'If-None-Match' => "W/\"$two\""), 412,
        'MANIFEST_INVALID', 'it must not be this');
answers(put_tag('t', 1, 'If-None-Match' => "\"$one\""), 201,
        'but it may be another');

# --- deletion

my @if = ('If-Match' => "\"$two\"");
refused($acr->delete('/v2/lib/c/manifests/t', headers => \@if), 412,
        'MANIFEST_INVALID', 'a tag is not deleted');
tag_is('t', $one, 'it is there');
answers($acr->delete('/v2/lib/c/manifests/t',
                     headers => ['If-Match' => "\"$one\""]), 202,
        'a tag is deleted');
refused($acr->delete("/v2/lib/c/manifests/$one",
                     headers => ['If-None-Match' => '*']), 412,
        'MANIFEST_INVALID', 'a manifest is not deleted');
answers($acr->delete("/v2/lib/c/manifests/$one",
                     headers => ['If-Match' => "\"$one\""]), 202,
        'a manifest is deleted');

# --- of many writers who make a tag, one does

my @got = parallel(map {
    my $n = 1 + $_ % 2;
    sub { return put_tag('new', $n, 'If-None-Match' => '*')->status() }
} 1 .. 6);
is(scalar(grep { $_ == 201 } @got), 1, 'one of six makes a new tag')
    or diag("@got");
is(scalar(grep { $_ == 412 } @got), 5, 'the others are told');

finish();
