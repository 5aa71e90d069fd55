#!/usr/bin/perl

# Deletion through ACR's own API: a tag, and a repository with all that is in
# it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;

my $acr = start(workers => 2, fsync => 'off');


# --- a tag

my $digest = $acr->push_image('lib/a', 'one', 'delete');
my $json = $acr->get("/v2/lib/a/manifests/$digest")->body();
$acr->push_manifest('lib/a', $_, $json) for qw(two three);

my $answer = api($acr, 'DELETE', 'lib/a/_tags/one');
answers($answer, 202, 'a tag');
is($answer->body(), '', 'without a body');
is($answer->header('Content-Length'), 0, 'which is told');
is($acr->resolve('lib/a', 'one'), undef, 'it is gone');
ok(!-e $acr->link_file('lib/a', 'tag', 'one'), 'from the disk too');
is($acr->resolve('lib/a', $digest), $digest, 'its manifest stays');
is_deeply([sort $acr->tags('lib/a')], [qw(three two)], 'and other tags');
refused(api($acr, 'DELETE', 'lib/a/_tags/one'), 404, 'TAG_UNKNOWN',
        'it cannot go twice');
refused(api($acr, 'DELETE', 'lib/none/_tags/one'), 404, 'NAME_UNKNOWN',
        'nor from nowhere');
answers(api($acr, 'DELETE', 'lib%2Fa/_tags/t%77o'), 202, 'an encoded one');
answers(api($acr, 'DELETE', 'lib/a/_tags/three'), 202, 'the last one');
is($acr->resolve('lib/a', $digest), $digest, 'its manifest stays');
is_deeply(api($acr, 'GET', 'lib/a/_tags')->json()->{tags}, [], 'without tags');


# --- what was set goes with it

$acr->push_manifest('lib/a', 'one', $json);
my @objects = ('lib/a', 'lib/a/_tags/one', "lib/a/_manifests/$digest");
my %all = map { ("${_}Enabled" => 1) } qw(delete write read list);
change($acr, $_, listEnabled => 0, readEnabled => 0) for @objects;
change($acr, 'lib/a', readEnabled => 1);

answers(api($acr, 'DELETE', $objects[1]), 202, 'a tag with attributes');
$acr->push_manifest('lib/a', 'one', $json);
is_deeply(locks($acr, $objects[1]), \%all, 'a new one has none');
is(locks($acr, $objects[2])->{readEnabled}, 0, 'its manifest has its own');
change($acr, $objects[1], listEnabled => 0);
change($acr, $objects[2], quarantineState => 'Failed');
answers($acr->delete("/v2/lib/a/manifests/$digest"), 202,
        'a manifest with attributes');
$acr->push_manifest('lib/a', 'one', $json);
is_deeply(locks($acr, $_), \%all, "a new one has none: $_") for @objects[1, 2];
is(locks($acr, 'lib/a')->{listEnabled}, 0, 'its repository has its own');


# --- a repository

my ($config, $layer) = ('{"seed":"delete"}', 'layer of delete');
my $untagged = $acr->push_manifest('lib/a', undef,
                                   image($config, [], annotations =>
                                         { is => 'not tagged' }));
my $index = $acr->push_manifest('lib/a', 'index', index_of([$json]));
$acr->push_manifest('lib/a', 'also', $json);
$acr->push_image('lib/a/nested', 'x', 'delete');
$acr->push_image('lib', 'x', 'delete');
$acr->push_image('lib/b', 'x', 'delete');
change($acr, "lib/a/_manifests/$untagged", listEnabled => 0);
my $location = $acr->upload('lib/a');
answers($acr->patch($location, 'begun'), 202, 'an upload is under way');
my $made = api($acr, 'GET', 'lib/a')->json()->{createdTime};

$answer = api($acr, 'DELETE', 'lib/a');
answers($answer, 202, 'a repository');
is_deeply(sorted($answer->json()),
          { manifestsDeleted => [sort $digest, $untagged, $index],
            tagsDeleted => [qw(also index one)] }, 'tells what was in it');

refused(api($acr, 'GET', 'lib/a'), 404, 'NAME_UNKNOWN', 'it is gone');
refused(api($acr, 'GET', "lib/a/_$_"), 404, 'NAME_UNKNOWN', "with its $_")
    for qw(tags manifests tags/one), "manifests/$digest";
refused($acr->get('/v2/lib/a/tags/list'), 404, 'NAME_UNKNOWN', 'the list too');
refused($acr->get("/v2/lib/a/manifests/$_"), 404, 'MANIFEST_UNKNOWN',
        'and a pull') for qw(one also index), $digest, $untagged, $index;
refused($acr->get('/v2/lib/a/blobs/' . digest($_)), 404, 'BLOB_UNKNOWN',
        'and a blob') for $config, $layer;
is_deeply($acr->get('/v2/_catalog')->json()->{repositories},
          [qw(lib lib/a/nested lib/b)], 'others are listed');
for my $other (qw(lib lib/a/nested lib/b)) {
    is($acr->resolve($other, 'x'), $digest, "$other is there");
    answers($acr->get("/v2/$other/blobs/" . digest($layer)), 200, 'all of it');
}
is_deeply([grep { -e } $acr->link_file('lib/a', 'tag', 'one'),
           $acr->link_file('lib/a', 'revision', $untagged),
           $acr->link_file('lib/a', 'layer', digest($layer))], [],
          'nothing is on the disk');
ok(-e $acr->link_file('lib/a/nested', 'tag', 'x'), 'what is below is');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');
refused(api($acr, 'DELETE', 'lib/a'), 404, 'NAME_UNKNOWN',
        'it cannot go twice');
cmp_ok($acr->close_upload($location, digest('begun'))->status(), '<', 500,
       'the upload ends somehow');

tick();
is($acr->push_image('lib/a', 'one', 'delete'), $digest, 'it is pushed again');
is_deeply(locks($acr, $_), \%all, "a new one has no attributes: $_")
    for @objects;
my $new = api($acr, 'GET', 'lib/a')->json();
cmp_ok($new->{createdTime}, 'gt', $made, 'and is new');
is_deeply([@$new{qw(tagCount manifestCount)}], [1, 1], 'with one image');
is_deeply([$acr->tags('lib/a')], ['one'], 'of one tag');
is($acr->resolve('lib/a', $untagged), undef, 'and nothing from before');

$acr->push_blob('lib/blobs', 'only a blob');
is_deeply(api($acr, 'DELETE', 'lib%2Fblobs')->json(),
          { manifestsDeleted => [], tagsDeleted => [] }, 'one without images');
refused(api($acr, 'GET', 'lib/blobs'), 404, 'NAME_UNKNOWN', 'is gone');


# --- more than one script removes

my @tags = map { sprintf('t%04d', $_) } 1 .. 1500;
my @rest = @tags;
my $many = image($config, []);
$acr->push_blob('lib/many', $config);
while (my @some = splice(@rest, 0, 100)) {
    $acr->put_manifest('lib/many', digest($many) . '?'
                       . join('&', map { "tag=$_" } @some), $many);
}
my @manifests = (digest($many), map {
    $acr->push_manifest('lib/many', undef,
                        image($config, [], annotations => { n => "$_" }))
} 1 .. 110);

$answer = api($acr, 'DELETE', 'lib/many');
answers($answer, 202, 'a repository with 1500 tags and 111 manifests');
is_deeply(sorted($answer->json()), { manifestsDeleted => [sort @manifests],
                                     tagsDeleted => \@tags }, 'tells all');
refused(fresh($acr, 'GET', "/v2/lib/many/manifests/$_"), 404,
        'MANIFEST_UNKNOWN', 'it is gone')
    for @tags[0, 700, 1499], @manifests[0, 1, 110];
refused(fresh($acr, 'GET', '/v2/lib/many/tags/list'), 404, 'NAME_UNKNOWN',
        'with its tags');
ok(!(grep { $_ eq 'lib/many' }
     @{ $acr->get('/v2/_catalog')->json()->{repositories} }), 'in no list');
$acr->push_image('lib/many', 'new', 'new');
is_deeply([$acr->tags('lib/many')], ['new'], 'a new one has what is new');
is(api($acr, 'GET', 'lib/many')->json()->{manifestCount}, 1, 'and one image');
ok(wait_for(sub { !differences($acr) }), 'Redis and the disk are equal');
is_deeply([grep { -e $acr->link_file('lib/many', 'tag', $_) } @tags], [],
          'nothing is left on the disk');


# --- pushes meanwhile: what is there then is whole, and nothing old

for my $round (1 .. 5) {
    $acr->push_image('lib/race', "old$_", "old $_") for 1 .. 20;

    my @answers = parallel(
        sub { api($acr, 'DELETE', 'lib/race')->status() },
        map { my $n = $_; sub { push_again("new$n") } } 1 .. 3);

    is($answers[0], 202, 'a repository that is being pushed to goes');
    is_deeply([@answers[1 .. 3]], [201, 201, 201], 'and pushes do not fail');

    my $list = $acr->get('/v2/lib/race/tags/list');
    my @left = $list->status() == 404 ? () : @{ $list->json()->{tags} };
    is_deeply([grep { !/^new/ } @left], [], 'what was in it is gone');
    for my $tag (@left) {
        answers($acr->get("/v2/lib/race/manifests/$tag"), 200,
                'what is listed is there');
        answers($acr->get('/v2/lib/race/blobs/' . digest($config)), 200,
                'all of it');
    }
    ok(wait_for(sub { !differences($acr) }), 'Redis and the disk are equal')
        or diag(join("\n", differences($acr)));
}


# --- acr_delete off

my $off = start(location => 'acr_delete off;');
my $kept = $off->push_image('lib/a', 'one', 'kept');
for my $what ('lib/a', 'lib/a/_tags/one', 'lib/none', 'lib/a/_tags/none') {
    $answer = api($off, 'DELETE', $what);
    refused($answer, 405, 'UNSUPPORTED', "acr_delete off: $what");
    unlike($answer->header('Allow') || '', qr/DELETE/, 'Allow has no DELETE');
    like($answer->header('Allow') || '', qr/PATCH/, 'but PATCH');
}
is($off->resolve('lib/a', 'one'), $kept, 'nothing is gone');
answers(set($off, 'lib/a', listEnabled => 0), 200, 'PATCH works');

same_headers();
finish();


# push_again(TAG): the status of a push that begins anew when what it has pushed
# has gone with the repository
sub push_again {
    my ($tag) = @_;

    my $image = image($config, [], annotations => { tag => $tag });

    for (1 .. 50) {
        my $blob = eval { $acr->push_blob('lib/race', $config) };
        die $@ if !$blob && $@ !~ /^no (?:blob|upload): 404/;
        next if !$blob;
        my $answer = $acr->put_manifest('lib/race', $tag, $image);
        return 201 if $answer->status() == 201;
        return $answer->text() if $answer->status() != 404;
    }

    return 'no push';
}


sub sorted {
    my ($json) = @_;

    return { map { $_ => [sort @{ $json->{$_} }] } keys %$json };
}
