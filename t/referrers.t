#!/usr/bin/perl

# Referrers: manifests with a subject, listed under it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my $repo = 'lib/app';
my $none = 'sha256:' . '0' x 64;

my $subject = $acr->push_image($repo, '1.0', 'subject');
my $bytes = $acr->get("/v2/$repo/manifests/$subject")->body();
my $list = "/v2/$repo/referrers/$subject";

$acr->push_blob($repo, '{}');


# --- nothing

for my $target ($list, "/v2/$repo/referrers/$none",
                "/v2/unknown/referrers/$none")
{
    my $answer = $acr->get($target);
    answers($answer, 200, "$target: nobody refers to it");
    is($answer->header('Content-Type'), $INDEX, 'an index');
    is_deeply($answer->json(), { schemaVersion => 2, mediaType => $INDEX,
                                 manifests => [] }, 'of nothing');
}

refused($acr->get("/v2/$repo/referrers/$_"), 400, 'DIGEST_INVALID',
        "$_ is no digest", $_) for 'sha256:x', 'latest', 'md5:' . '0' x 32;


# --- what is listed

my $sbom = artifact('sbom', artifactType => 'application/x-sbom',
                    annotations => { a => 'b',
                                     "k\x{20ac}" => "\"\\\x{1f433}" });
my $plain = artifact('plain');
my $empty = artifact('empty', artifactType => '', annotations => {});
my $index = index_of([$bytes], subject => descriptor($bytes, $IMAGE),
                     annotations => { i => '1' });
my $typed = index_of([$bytes], subject => descriptor($bytes, $IMAGE),
                     artifactType => 'application/x-index');

for my $json ($sbom, $plain, $empty, $index, $typed) {
    my $answer = $acr->put_manifest($repo, undef, $json);
    answers($answer, 201, 'PUT');
    is($answer->header('OCI-Subject'), $subject, 'OCI-Subject');
}

my %wanted = map { $_->{digest} => $_ } (
    described($sbom, $IMAGE, artifactType => 'application/x-sbom',
              annotations => { a => 'b', "k\x{20ac}" => "\"\\\x{1f433}" }),
    described($plain, $IMAGE, artifactType => $CONFIG),
    described($empty, $IMAGE, artifactType => $CONFIG),
    described($index, $INDEX, annotations => { i => '1' }),
    described($typed, $INDEX, artifactType => 'application/x-index'));

my $answer = $acr->get($list);
answers($answer, 200, 'GET');
is($answer->header('Content-Type'), $INDEX, 'an index');
is($answer->header('OCI-Filters-Applied'), undef, 'not filtered');
is_deeply(listed($answer), \%wanted,
          'type, digest, size, artifactType and annotations of each');

$acr->push_manifest($repo, 'sbom', $sbom);
is_deeply(listed($acr->get($list)), \%wanted,
          'a referrer pushed again is listed once');

is_deeply(listed($acr->get("/v2/other/referrers/$subject")), {},
          'another repository lists nothing');


# --- filtered

for my $type ('application/x-sbom', $CONFIG, 'application/x-none') {
    my $filtered = $acr->get(with($list, artifactType => $type));
    answers($filtered, 200, "artifactType=$type");
    is($filtered->header('OCI-Filters-Applied'), 'artifactType', 'is applied');
    is($filtered->header('Content-Type'), $INDEX, 'an index');
    my %some = map { $_->{digest} => $_ }
               grep { ($_->{artifactType} || '') eq $type } values(%wanted);
    is_deeply(listed($filtered), \%some, 'and leaves out the others');
}

is(scalar(keys %{ listed($acr->get("$list?artifactType=application/x-sbom")) }),
   1, 'an artifactType that is not encoded');


# --- before the subject

my $late = image('{}', [], annotations => { late => 'yes' });
my $early = artifact('early', subject => descriptor($late, $IMAGE));
$answer = $acr->put_manifest($repo, 'early', $early);
answers($answer, 201, 'a referrer before its subject');
is($answer->header('OCI-Subject'), digest($late), 'OCI-Subject');
my $target = "/v2/$repo/referrers/" . digest($late);
is_deeply([keys %{ listed($acr->get($target)) }], [digest($early)],
          'is listed at once');
$acr->push_manifest($repo, 'late', $late);
is_deeply([keys %{ listed($acr->get($target)) }], [digest($early)],
          'and when the subject has come');
answers($acr->delete("/v2/$repo/manifests/" . digest($late)), 202,
        'the subject deleted');
is_deeply([keys %{ listed($acr->get($target)) }], [digest($early)],
          'leaves it');

my $chain = artifact('chain', subject => descriptor($early, $IMAGE));
$acr->push_manifest($repo, undef, $chain);
is_deeply([keys %{ listed($acr->get("/v2/$repo/referrers/"
                                    . digest($early))) }],
          [digest($chain)], 'a referrer of a referrer');


# --- sha512

my $long = artifact('sha512');
my $digest512 = digest($long, 'sha512');
answers($acr->put_manifest($repo, $digest512, $long), 201,
        'a referrer by sha512');
ok(exists listed($acr->get($list))->{$digest512}, 'is listed by sha512');
my $none512 = 'sha512:' . '0' x 128;
$answer = $acr->put_manifest($repo, undef, artifact('to512', subject => {
    mediaType => $IMAGE, size => 1, digest => $none512 }));
is($answer->header('OCI-Subject'), $none512, 'a subject by sha512');
is(scalar(keys %{ listed($acr->get("/v2/$repo/referrers/$none512")) }), 1,
   'is listed');


# --- delete

answers($acr->delete("/v2/$repo/manifests/sbom"), 202, 'a tag deleted');
ok(exists listed($acr->get($list))->{digest($sbom)}, 'its manifest is listed');
answers($acr->delete("/v2/$repo/manifests/" . digest($sbom)), 202,
        'a referrer deleted');
ok(!exists listed($acr->get($list))->{digest($sbom)}, 'is not listed');


# --- pages

my %many;
for my $i (1 .. 60) {
    my $json = artifact("many $i", subject => { mediaType => $IMAGE, size => 1,
                                                digest => $none },
                        artifactType => 'application/x-' . $i % 2,
                        annotations => { text => 'x' x 100_000 });
    $acr->push_manifest($repo, undef, $json);
    $many{digest($json)} = $i;
}

for my $query ('', '?artifactType=application/x-1') {
    my ($next, $pages, $filters, %got) = ("/v2/$repo/referrers/$none$query",
                                          0, 0);

    while ($next && $pages < 100) {
        my $page = $acr->get($next);
        $pages++;
        fail('a page is too large for clients')
            if length($page->body()) > 4 * 1024 * 1024;
        $filters++ if $page->header('OCI-Filters-Applied');
        %got = (%got, %{ listed($page) });
        $next = $page->next_page();
    }

    my @all = grep { $query eq '' || $many{$_} % 2 } keys(%many);
    is_deeply([sort keys %got], [sort @all],
              '6 MB of descriptors, by Link' . $query);
    ok($query || $pages > 1, "on $pages pages");
    is($filters, $query ? $pages : 0, 'filtered on each');
}


# --- the tag of clients without this API

my $old = image('{}', [], subject => { mediaType => $IMAGE, size => 1,
                                       digest => 'sha256:' . '1' x 64 });
$acr->push_manifest($repo, undef, $old);
my $tag = 'sha256-' . '1' x 64;
$acr->push_manifest($repo, $tag, index_of([$old]));
is_deeply([keys %{ listed($acr->get("/v2/$repo/referrers/sha256:"
                                    . '1' x 64)) }],
          [digest($old)], 'what the fallback tag names is there, once');
answers($acr->get("/v2/$repo/manifests/$tag"), 200,
        'the fallback tag can be pulled');

finish();


# the JSON of an image with our subject
sub artifact {
    my ($name, %more) = @_;

    return image('{}', [], subject => descriptor($bytes, $IMAGE),
                 name => $name, %more);
}


# the descriptor that is to be listed
sub described {
    my ($json, $type, %more) = @_;

    return { mediaType => $type, digest => digest($json),
             size => length($json), %more };
}


# the descriptors of an answer by digest
sub listed {
    my ($answer) = @_;

    return { map { $_->{digest} => $_ } @{ $answer->json()->{manifests} } };
}
