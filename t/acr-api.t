#!/usr/bin/perl

# ACR's own API: what it tells of repositories, tags and manifests, what it
# changes, and what it refuses.  Lists are in acr-lists.t, deletion is in
# acr-delete.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use POSIX qw(strftime);

my $DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
my $LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
my $DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
my $none = 'sha256:' . '0' x 64;

my $acr = start(workers => 2, http2 => 1);
my $began = strftime('%Y-%m-%dT%H:%M:%S', gmtime());


# --- content

my ($amd, $arm) = map { encode($_) }
    { architecture => 'amd64', os => 'linux', config => {} },
    { os => 'linux', architecture => 'arm64', variant => 'v8' };
my @layers = (bytes(5000, 'one'), bytes(300, 'two'));

$acr->push_blob('lib/a', $_) for $amd, $arm, @layers, '{}';

my $image = image($amd, \@layers);
my $image_size = length($amd) + 5300;
my $digest = $acr->push_manifest('lib/a', 'latest', $image);
my $other = image($arm, [$layers[0]]);
my $other_digest = $acr->push_manifest('lib/a', undef, $other);
my $index = index_of([
    descriptor($image, $IMAGE,
               platform => { architecture => 'amd64', os => 'linux' }),
    descriptor($other, $IMAGE,
               platform => { architecture => 'arm64', os => 'linux',
                             variant => 'v8' })]);
my $index_digest = $acr->push_manifest('lib/a', 'multi', $index);


# --- a repository

my $answer = api($acr, 'GET', 'lib/a');
answers($answer, 200, 'a repository');
my $repository = $answer->json();
like($repository->{$_}, $TIME, "its $_") for qw(createdTime lastUpdateTime);
is_deeply($repository, {
    registry => 'registry.test', imageName => 'lib/a', manifestCount => 3,
    tagCount => 2, changeableAttributes => \%ALL,
    map { $_ => $repository->{$_} } qw(createdTime lastUpdateTime) },
    'has these members');
like($answer->body(), qr/"(?:manifest|tag)Count":\d+\b/, 'counts are numbers');
cmp_ok($repository->{createdTime}, 'lt', $repository->{lastUpdateTime},
       'it has changed since');
cmp_ok($repository->{createdTime}, 'ge', $began, 'it is of today');
cmp_ok($repository->{lastUpdateTime}, 'le',
       strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time() + 1)), 'not of tomorrow');

$acr->push_blob('lib/blobs', 'only a blob');
is_deeply(shape(api($acr, 'GET', 'lib/blobs')->json(), 'manifestCount',
                'tagCount'),
          { manifestCount => 0, tagCount => 0 }, 'one without manifests');


# --- a tag

$answer = api($acr, 'GET', 'lib/a/_tags/latest');
answers($answer, 200, 'a tag');
my $tag = $answer->json()->{tag};
like($tag->{$_}, $TIME, "its $_") for qw(createdTime lastUpdateTime);
is_deeply($answer->json(), {
    registry => 'registry.test', imageName => 'lib/a',
    tag => { name => 'latest', digest => $digest, signed => JSON::PP::false,
             changeableAttributes => \%ALL,
             map { $_ => $tag->{$_} } qw(createdTime lastUpdateTime) } },
    'has these members');
like($answer->body(), qr/"signed":false/, 'signed is false');

# createdTime stays, lastUpdateTime moves
tick();
$acr->push_manifest('lib/a', 'latest', $image);
my $again = tag('latest');
is($again->{createdTime}, $tag->{createdTime},
   'pushed again: when it was made');
cmp_ok($again->{lastUpdateTime}, 'gt', $tag->{lastUpdateTime},
       'and when it was changed');
tick();
my $before = api($acr, 'GET', 'lib/a')->json();
$acr->push_manifest('lib/a', 'latest', $other);
my $moved = tag('latest');
is($moved->{digest}, $other_digest, 'moved: where it is');
is($moved->{createdTime}, $tag->{createdTime}, 'when it was made');
cmp_ok($moved->{lastUpdateTime}, 'gt', $again->{lastUpdateTime},
       'when it was moved');
my $after = api($acr, 'GET', 'lib/a')->json();
is($after->{createdTime}, $before->{createdTime}, 'the repository is as old');
cmp_ok($after->{lastUpdateTime}, 'gt', $before->{lastUpdateTime},
       'and has changed');
is($after->{$_}, $before->{$_}, "$_ is the same")
    for qw(tagCount manifestCount);
tick();
answers($acr->delete('/v2/lib/a/manifests/latest'), 202, 'a tag is deleted');
is(api($acr, 'GET', 'lib/a')->json()->{tagCount}, 1, 'it counts no more');
$acr->push_manifest('lib/a', 'latest', $image);
cmp_ok(tag('latest')->{createdTime}, 'gt', $moved->{lastUpdateTime},
       'a new one of its name is new');


# --- manifests

my $manifest = manifest('lib/a', $digest);
is_deeply($manifest, { described($manifest, $digest, $image_size, $IMAGE),
                       architecture => 'amd64', os => 'linux',
                       tags => ['latest'] }, 'an image');
$acr->push_manifest('lib/a', 'also', $image);
is_deeply([sort @{ manifest('lib/a', $digest)->{tags} }], [qw(also latest)],
          'all its tags');
is(manifest('lib/a', $digest)->{createdTime}, $manifest->{createdTime},
   'pushed again: when it was made');

$manifest = manifest('lib/a', $other_digest);
is_deeply($manifest, { described($manifest, $other_digest,
                                 length($arm) + 5000, $IMAGE),
                       architecture => 'arm64', os => 'linux' },
          'an untagged one has no tags');

$manifest = manifest('lib/a', $index_digest);
is_deeply($manifest, {
    described($manifest, $index_digest, $image_size + length($arm) + 5000,
              $INDEX),
    tags => ['multi'], references => [
        { digest => $digest, architecture => 'amd64', os => 'linux' },
        { digest => $other_digest, architecture => 'arm64', os => 'linux',
          variant => 'v8' }] }, 'an index');
like(api($acr, 'GET', "lib/a/_manifests/$digest")->body(),
     qr/"imageSize":$image_size\b/, 'sizes are numbers');

my @odd = ({ architecture => 7, os => 'linux' }, { architecture => 'amd64' },
           { os => ['x'], architecture => "a\"b\\\n" }, { config => {} });
my @says = ({ os => 'linux' }, { architecture => 'amd64' },
            { architecture => "a\"b\\\n" }, {});
for my $i (0 .. $#odd) {
    is_deeply(platform_of(image(pushed(encode($odd[$i])), [])), $says[$i],
              "a config that tells other things: $i");
}
is_deeply(platform_of(image(pushed($_), [])), {}, 'a config that tells nothing')
    for 'no JSON', '[]', '', '{"architecture":"amd64"', "{}\n";
is_deeply(platform_of(image($amd, [], config => descriptor(
              $amd, 'application/vnd.example.config.v1+json'))), {},
          'a config of another kind');
is_deeply(platform_of(encode({
              schemaVersion => 2, mediaType => $DOCKER,
              config => descriptor($amd, $DOCKER_CONFIG), layers => [] })),
          { architecture => 'amd64', os => 'linux' }, "one of Docker's");

my $bare = index_of([$image]);
$acr->push_manifest('lib/a', undef, $bare);
is_deeply(manifest('lib/a', digest($bare))->{references},
          [{ digest => $digest }], 'an index without platforms');
my $list = encode({ schemaVersion => 2, mediaType => $LIST, manifests => [] });
$acr->push_manifest('lib/a', undef, $list);
is_deeply(shape(manifest('lib/a', digest($list)), 'imageSize', 'mediaType'),
          { imageSize => 0, mediaType => $LIST }, 'an empty list');
my $thing = 'application/vnd.example.thing.v1+json';
$acr->push_manifest('lib/a', 'thing', '{"any":"thing"}', $thing);
is(manifest('lib/a', digest('{"any":"thing"}'))->{mediaType}, $thing,
   'something else');

# entries of an index that are not here do not count
my $sparse = start(location => 'acr_sparse_index on; acr_service my.acr;');
$sparse->push_blob('lib/a', $_) for $amd, @layers;
$sparse->push_manifest('lib/a', undef, $image);
$sparse->push_manifest('lib/a', 'multi', $index);
$answer = api($sparse, 'GET', "lib/a/_manifests/$index_digest")->json();
is($answer->{manifest}{imageSize}, $image_size, 'a sparse index');
is(scalar(@{ $answer->{manifest}{references} }), 2, 'names all the same');
is($answer->{registry}, 'my.acr', 'acr_service is the registry');
is(api($acr, 'GET', 'lib/a', headers => [Host => 'registry.test:5000'])
       ->json()->{registry}, 'registry.test:5000', 'or the host');


# --- headers and forms of the address

for my $id ('a-b_c.D9', 'x' x 128) {
    is(api($acr, 'GET', 'lib/a', headers => ['x-ms-client-request-id' => $id])
           ->header('x-ms-client-request-id'), $id, 'the id of a client');
    is(api($acr, 'GET', 'lib/none',
           headers => ['x-ms-client-request-id' => $id])
           ->header('x-ms-client-request-id'), $id, 'with an error too');
}
for my $id ('', 'x' x 129, 'a b', 'a"b', '<x>', "\xe4", 'a,b') {
    is(api($acr, 'GET', 'lib/a', headers => ['x-ms-client-request-id' => $id])
           ->header('x-ms-client-request-id'), undef, 'one that is not given');
}

for my $case (['lib/a', 'lib%2Fa'], ['lib/a/_tags', 'lib%2fa/_tags'],
              ['lib/a/_tags/latest', 'lib%2Fa/_tags/l%61test'],
              ['lib/a/_manifests', 'lib%2Fa/_manifests'],
              ["lib/a/_manifests/$digest",
               'lib%2Fa/_manifests/' . ($digest =~ s/:/%3A/r)])
{
    my ($raw, $encoded) = map { api($acr, 'GET', $_) } @$case;
    answers($encoded, 200, "an encoded $case->[0]");
    is($encoded->body(), $raw->body(), 'is the same');
    is(api($acr, 'GET', "$case->[0]?api-version=$_")->body(), $raw->body(),
       "api-version=$_ too") for '2021-07-01', '1999-01-01', '';
}


# --- changes

my @objects = (['lib/a', 'a repository'], ['lib/a/_tags/latest', 'a tag'],
               ["lib/a/_manifests/$digest", 'a manifest']);

for my $object (@objects) {
    my ($what, $name) = @$object;
    my $was = api($acr, 'GET', $what)->json();
    my %now = map { ("${_}Enabled" => 1) } qw(delete write read list);

    for my $attribute (sort keys %now) {
        $now{$attribute} = 0;
        $answer = set($acr, $what, $attribute => 0);
        answers($answer, 200, "$name: $attribute is set");
        is_deeply($answer->json(), api($acr, 'GET', $what)->json(),
                  'the answer is what GET says');
        is_deeply(locks($acr, $what), \%now, 'and nothing else has changed');
    }

    answers(set($acr, $what), 200, 'nothing to change');
    is_deeply(locks($acr, $what), \%now, 'changes nothing');
    answers(set($acr, $what, map { $_ => 1 } keys %now), 200, 'all at once');
    is_deeply(api($acr, 'GET', $what)->json(), $was,
              'all is as it was, the times too');

    my @changes = ('', 'x', '[]', '"x"', 'null', '{', '{"deleteEnabled":',
        '{"deleteEnabled":false}x', '{"deleteEnabled":"false"}',
        '{"deleteEnabled":0}', '{"deleteEnabled":null}',
        '{"deleteEnabled":{}}', '{"deleteEnabled":false,"other":true}',
        '{"deleteEnabled":false,"writeEnabled":1}', '{"DeleteEnabled":false}',
        '{"changeableAttributes":{"deleteEnabled":false}}',
        '{"name":"x"}', '{"deleteEnabled":false,"digest":"' . $digest . '"}',
        '{"quarantineState":1}', '{"quarantineDetails":{}}',
        '{"quarantineState":"Other"}');
    push(@changes, '{"quarantineState":"Passed"}', '{"quarantineDetails":"{}"}')
        if $name ne 'a manifest';

    for my $body (@changes) {
        refused(api($acr, 'PATCH', $what, body => $body), 400, undef,
                "$name: $body");
    }
    is_deeply(api($acr, 'GET', $what)->json(), $was, 'has changed nothing');

    my $full = '{"listEnabled":false}';
    $full .= ' ' x (65536 - length($full));
    $answer = api($acr, 'PATCH', $what, body => "$full ");
    like($answer->status(), qr/^4(?:00|13)$/, 'more than 64 KiB');
    ok($answer->code(), 'is an error');
    is(locks($acr, $what)->{listEnabled}, 1, 'and no change');
    answers(api($acr, 'PATCH', $what, body => $full), 200, '64 KiB');
    is(locks($acr, $what)->{listEnabled}, 0, 'is a change');
    my $http = $acr->connect();
    answers($http->request('PATCH', "/acr/v1/$what", chunked => 1,
                           body => ['{"list', 'Enabled":t', 'rue}']), 200,
            'a body in chunks');
    $http->close();
    is_deeply(api($acr, 'GET', $what)->json(), $was, 'and back');
}

# over HTTP/2, with and without a length
my ($latest, $change) = ('lib/a/_tags/latest', work_dir() . '/change');
spew($change, '{"readEnabled":false}');
for my $input ('-', $change) {
    change($acr, $latest, readEnabled => 1);
    $answer = curl_from($change, '--http2-prior-knowledge', '-X', 'PATCH',
                        '-T', $input, 'http://127.0.0.1:' . $acr->{http2_port}
                                      . "/acr/v1/$latest");
    answers($answer, 200, 'HTTP/2');
    is(locks($acr, $latest)->{readEnabled}, 0, 'changes it');
}
change($acr, $latest, readEnabled => 1);

# who leaves in the middle has changed nothing
my $http = $acr->connect();
$http->begin('PATCH', "/acr/v1/$latest", headers => ['Content-Length' => 100]);
$http->send('{"readEnabled":false}');
$http->close();
answers($acr->get('/v2/lib/a/manifests/latest'), 200, 'half a body');
is(locks($acr, $latest)->{readEnabled}, 1, 'is no change');


# --- quarantine

my $what = "lib/a/_manifests/$digest";
my $details = '{"state":"Scan","result":{"text":"a \"b\" \u00e4"}}';
$answer = set($acr, $what, quarantineState => 'Failed',
              quarantineDetails => $details);
answers($answer, 200, 'quarantine is set');
is_deeply($answer->json()->{manifest}{changeableAttributes},
          { %ALL, quarantineState => 'Failed', quarantineDetails => $details },
          'and told');
is_deeply(change($acr, $what, quarantineState => 'Passed')
              ->{manifest}{changeableAttributes},
          { %ALL, quarantineState => 'Passed', quarantineDetails => $details },
          'one of both is changed');


# --- what is not there, and what cannot be

my %unknown = (
    'lib/none' => 'NAME_UNKNOWN', 'lib/none/_tags/latest' => 'NAME_UNKNOWN',
    "lib/none/_manifests/$digest" => 'NAME_UNKNOWN',
    'lib/a/_tags/none' => 'TAG_UNKNOWN',
    "lib/a/_manifests/$none" => 'MANIFEST_UNKNOWN',
    'lib/a/_manifests/' . digest($amd) => 'MANIFEST_UNKNOWN');
for my $what (sort keys %unknown) {
    refused(api($acr, 'GET', $what), 404, $unknown{$what}, "GET $what");
    refused(set($acr, $what, readEnabled => 0), 404, $unknown{$what},
            "PATCH $what");
}
for my $list (qw(_tags _manifests)) {
    my $error = api($acr, 'GET', "lib/none/$list");
    refused($error, 404, 'NAME_UNKNOWN', "$list of an unknown repository",
            'lib/none');
    is($error->error()->{message}, 'repository name not known to registry',
       'in the words of ACR');
    is_deeply($error->error()->{detail}, { name => 'lib/none' }, 'and form');
}
is(api($acr, 'GET', 'lib/a/_tags/none')->error()->{message},
   'the specified tag does not exist', 'so is an unknown tag');

refused(api($acr, 'GET', $_), 400, 'NAME_INVALID', $_)
    for 'LIB/_tags', 'lib//a/_tags', 'a' x 256 . '/_manifests', 'LIB', 'a--/x',
        'lib%2F%2Fa', "LIB/_manifests/$digest";
refused(set($acr, 'LIB', readEnabled => 0), 400, 'NAME_INVALID', 'PATCH LIB');
for my $bad ('sha256:x', 'sha256%3Ax', 'x', 'md5:' . '0' x 32, "$digest%20",
             uc($digest), 'latest')
{
    refused(api($acr, 'GET', "lib/a/_manifests/$bad"), 400, 'DIGEST_INVALID',
            "_manifests/$bad");
}
for my $bad ('-x', 'x%2Fy', 'x' x 129, 'a%20b', '.x') {
    like(api($acr, 'GET', "lib/a/_tags/$bad")->status(), qr/^40[04]$/,
         '_tags/' . substr($bad, 0, 10));
}
for my $case (['POST', 'lib/a'], ['PUT', 'lib/a'], ['POST', 'lib/a/_tags'],
              ['PATCH', 'lib/a/_tags'], ['DELETE', 'lib/a/_tags'],
              ['PUT', 'lib/a/_tags/latest'], ['DELETE', 'lib/a/_manifests'],
              ['DELETE', "lib/a/_manifests/$digest"],
              ['PATCH', '_catalog'], ['DELETE', '_catalog'])
{
    my ($method, $what) = @$case;
    my $error = api($acr, $method, $what, body => '{"readEnabled":false}');
    refused($error, 405, 'UNSUPPORTED', "$method $what");
    like($error->header('Allow'), qr/\bGET\b/, 'Allow tells what is');
    unlike($error->header('Allow'), qr/\b$method\b/, 'and what is not');
}
like(api($acr, 'GET', $_)->status(), qr/^40[04]$/, "no $_")
    for 'lib/a/_other', 'lib/a/_tags/', 'lib/a/_tags/latest/more', '',
        '_catalog/x';

same_headers();
finish();


sub tag { return api($acr, 'GET', "lib/a/_tags/$_[0]")->json()->{tag} }


# manifest(REPOSITORY, DIGEST): its object
sub manifest {
    my ($repository, $digest) = @_;

    my $json = api($acr, 'GET', "$repository/_manifests/$digest")->json();
    die 'no manifest: ' . encode($json) if !$json->{manifest};

    return $json->{manifest};
}


# what all manifests have; its times, and what only some say, as they are
sub described {
    my ($got, $digest, $size, $type) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like($got->{$_}, $TIME, "its $_") for qw(createdTime lastUpdateTime);

    return (digest => $digest, imageSize => $size, mediaType => $type,
            changeableAttributes => \%ALL, map { $_ => $got->{$_} }
            qw(createdTime lastUpdateTime),
            exists $got->{configMediaType} ? 'configMediaType' : ());
}


sub shape {
    my ($got, @names) = @_;

    return { map { $_ => $got->{$_} } @names };
}


sub pushed {
    $acr->push_blob('lib/odd', $_[0]);
    return $_[0];
}


# platform_of(JSON): what is told of the platform of an image
sub platform_of {
    my ($json) = @_;

    $acr->push_blob('lib/odd', $amd);
    my $got = manifest('lib/odd', $acr->push_manifest('lib/odd', undef, $json));

    return { map { $_ => $got->{$_} }
             grep { exists $got->{$_} } qw(architecture os variant) };
}
