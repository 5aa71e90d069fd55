#!/usr/bin/perl

# From docker-registry to us and back, on one volume, as docs/deployments.md
# tells it: who answers what at each step, and what of ours waits in acr/ while
# docker-registry has the volume.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Distribution;
use ACR::Fault;
use ACR::Index;
use JSON::PP qw(encode_json);

plan(skip_all => 'there is no docker-registry')
    if !ACR::Distribution::program();

my $root = work_dir() . '/volume';


# --- before

my $theirs = ACR::Distribution->start(work_dir() . '/registry', $root);
my %image;                      # repository:tag => [digest, blob, ...]

push_($theirs, 'team/app', $_) for '1.0', '2.0', 'moves';
push_($theirs, 'base/debian', 'trixie');


# --- docker-registry is set to read-only: pulls go on, pushes are refused

$theirs->stop();
$theirs->run(readonly => 'true');
serves($theirs, 'read-only');
answers($theirs->post('/v2/team/app/blobs/uploads/', body => ''), 405,
        'it takes no push');


# --- we start beside it, and make the index while both answer pulls

ACR::Distribution::give_to_workers($root);
my $ours = prepare(root => $root, workers => 2, server => <<'CONF');
        acr_delete on;
        location /acr/admin/ { acr_admin; }
CONF
$ours->allow(qr/\[crit\].*does not match its digest/);
$ours->run();
serves($ours, 'from the first moment');
ok(complete($ours), 'the index is made');
serves($_, 'then too') for $ours, $theirs;
is_deeply($ours->get('/v2/_catalog')->json()->{repositories},
          ['base/debian', 'team/app'], 'with the catalogue');


# --- the address is switched: from now on pushes come to us

push_($ours, 'team/app', '3.0');
push_($ours, 'team/app', 'moves', 'moved by us');
serves($theirs, 'docker-registry would still have what is new');
$theirs->stop();

push_($ours, 'team/new', $_) for '1.0', 'locked';
my $index = index_of([image('{"seed":"child"}', [])]);
$ours->push_blob('team/new', '{"seed":"child"}');
my $child = $ours->push_manifest('team/new', undef,
                                 image('{"seed":"child"}', []));
$ours->push_manifest('team/new', 'index', $index);

my $sbom = image('{"seed":"child"}', [], artifactType => 'application/sbom',
                 subject => { mediaType => $IMAGE, size => 1,
                              digest => $image{'team/new:1.0'}[0] });
my $referrer = $ours->push_manifest('team/new', undef, $sbom);
my $loose = $ours->push_blob('team/new', 'a blob that no manifest needs');
my $sha512 = $ours->push_blob('team/new', 'by its sha512', 'sha512');

answers($ours->request('PATCH', '/acr/v1/team/new/_tags/locked',
                       body => encode_json({ deleteEnabled => JSON::PP::false,
                                             writeEnabled => JSON::PP::false
                                           })),
        200, 'a tag is locked');
is($ours->put_manifest('team/new', 'locked', $sbom)->status(), 405,
   'so it does not move');

removed($ours, 'team/app', '1.0');
serves($ours, 'all is here');


# --- back: we stop, docker-registry has the volume

$ours->stop();
my $acr = tree("$root/acr");

$theirs->run(readonly => 'false');
serves($theirs, 'back');
has($theirs, $child, $referrer, 'index');
answers($theirs->get("/v2/team/new/blobs/$_"), 200, 'blobs by themselves')
    for $loose, $sha512;
answers($theirs->get('/v2/team/new/referrers/' . $image{'team/new:1.0'}[0]),
        404, 'but version 2 has no referrers');

# what it does not know of
is($theirs->put_manifest('team/new', 'locked', $sbom)->status(), 201,
   'a lock holds nobody there');
$image{'team/new:locked'} = [$referrer, digest('{"seed":"child"}')];

push_($theirs, 'team/app', '4.0');
removed($theirs, 'team/app', '2.0');
serves($theirs, 'it goes on');


# --- its garbage-collect, of a volume that we wrote

$theirs->stop();
my $said = $theirs->collect();
like($said, qr/blob eligible for deletion: \Q$loose\E/,
     'what no manifest needs is gone');
$theirs->run();
serves($theirs, 'and nothing else');
has($theirs, $child, $referrer, 'index');
answers($theirs->get("/v2/team/new/blobs/$_"), 404, 'a loose blob is not')
    for $loose, $sha512;
$theirs->stop();
is_deeply(tree("$root/acr"), $acr, 'what is in acr/ is as it was');


# --- and to us again

ACR::Distribution::give_to_workers($root);
$ours->run();
answers($ours->post('/acr/admin/rebuild', body => ''), 202, 'a rebuild');
ok(wait_for(sub {
       my $answer = admin($ours, 'GET', 'rebuild');
       my $rebuild = $answer->status() == 200 ? $answer->json() : {};
       $rebuild->{finished} && !$rebuild->{running}
           && !$rebuild->{requested};
   }, 60), 'is made') or diag($ours->tail());
serves($ours, 'us again');
has($ours, $child, $referrer, 'index');
is_deeply([map { $_->{digest} } @{ $ours->get(
              '/v2/team/new/referrers/' . $image{'team/new:1.0'}[0]
          )->json()->{manifests} }], [$referrer], 'with referrers');
is($ours->put_manifest('team/new', 'locked', $index)->status(), 405,
   'and the lock, for what the tag is now');
answers($ours->get("/v2/team/new/blobs/$_"), 404, 'a loose blob is unknown')
    for $loose, $sha512;

my @nowhere = differences($ours);
my $log = $ours->log_text();
is_deeply([grep { !/^\S+ layer (\S+)$/ || -e $ours->blob_file($1) } @nowhere],
          [], 'links of layers that it took lead nowhere, and no others');
is_deeply([grep { m{^(\S+) layer (\S+)$}
                  && $log !~ /blob "$2" of "$1" is passed over/ } @nowhere],
          [], 'the log names each');


# --- garbage-collect --delete-untagged

$ours->stop();
$theirs->run();
$theirs->stop();
$said = $theirs->collect('--delete-untagged');
$theirs->run();
answers($theirs->get("/v2/team/new/manifests/$referrer"), 404,
        'with --delete-untagged a referrer without a tag is gone');
$theirs->stop();

finish();


# push_(CLIENT, REPOSITORY, TAG, SEED)
sub push_ {
    my ($client, $repository, $tag, $seed) = @_;

    $seed = "$repository $tag" if !defined $seed;
    $image{"$repository:$tag"} =
        [$client->push_image($repository, $tag, $seed),
         digest("{\"seed\":\"$seed\"}"), digest("layer of $seed")];
}


# the manifest is deleted
sub removed {
    my ($client, $repository, $tag) = @_;

    my $image = delete $image{"$repository:$tag"};
    answers($client->delete("/v2/$repository/manifests/$image->[0]"), 202,
            "$repository:$tag is deleted");
}


# serves(CLIENT, NAME): a test that it has all images, by tag and by digest
sub serves {
    my ($client, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @wrong;
    for my $key (sort keys %image) {
        my ($repository, $tag) = split(/:/, $key);
        my ($manifest, @blobs) = @{ $image{$key} };
        for (["manifests/$tag", $manifest], ["manifests/$manifest", $manifest],
             map { ["blobs/$_", $_] } @blobs)
        {
            my ($what, $digest) = @$_;
            my $answer = $client->get("/v2/$repository/$what",
                                      headers => [Accept => $IMAGE]);
            push(@wrong, "$key $what: " . $answer->status())
                if $answer->status() != 200
                   || digest($answer->body()) ne $digest;
        }
    }

    is_deeply(\@wrong, [], "$name: all images by tag and digest");
}


# has(CLIENT, REFERENCE...): a test that these are manifests of team/new
sub has {
    my ($client, @references) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answers($client->get("/v2/team/new/manifests/$_", headers => [
                Accept => $IMAGE, Accept => $INDEX]), 200, "$_ is there")
        for @references;
}


# all files of a directory, with what they say
sub tree {
    my ($top) = @_;

    return { map { $_ => unpack('H*', slurp($_)) } ACR::Fault::files($top) };
}
