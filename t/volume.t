#!/usr/bin/perl

# Volumes of CNCF Distribution: what docker-registry wrote is served as it is,
# also after a crash has spoilt some of it, and docker-registry serves what we
# wrote.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Distribution;
use ACR::Fault;
use File::Path qw(make_path);

my $DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
my $LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
my $ADMIN = '/acr/admin';
my $EMPTIED = 'lib/emptied';

plan(skip_all => 'there is no docker-registry')
    if !ACR::Distribution::program();

# what is below docker/registry/v2 of a directory
my $layout = 'docker/registry/v2';


# --- what docker-registry wrote, we serve

my $root = work_dir() . '/theirs';
my $theirs = ACR::Distribution->start(work_dir() . '/registry1', $root);
my $want = fill($theirs);

differs($theirs, $want, 'docker-registry serves what was pushed into it');

my $images = spoilt_content($theirs);
my $open = $theirs->upload('lib/a');
answers($theirs->patch($open, 'an upload left open'), 202, 'with an upload');
$theirs->stop();

my ($targets, $said) = spoil($root, $images, $want);
my ($old, $old_said) = schema1($root);
my @stray = stray($root);
ACR::Distribution::give_to_workers($root);

my $acr = prepare(root => $root, workers => 2, server => admin());
$acr->allow(qr/\[crit\].*does not match its digest/);
$acr->run();
ok(wait_for(sub { complete($acr) }, 60), 'the index is made')
    or diag($acr->tail());

differs($acr, $want, 'we serve what docker-registry was given');
referrers($acr, $want, 'and know the referrers');

for my $target (@$targets, @$old) {
    answers($acr->get($target), 404, "what is spoilt is not there: $target");
    answers($acr->head($target), 404, 'to HEAD neither');
}

my $log = $acr->log_text();
is_deeply([grep { index($log, $_) < 0 } @$said, @$old_said], [],
          'the log tells of each');
refused($acr->get($open =~ s/\?.*//r), 404, 'BLOB_UPLOAD_UNKNOWN',
        'the upload is no more');


# --- and go on with it

push_more($acr, $want);
heal($acr, $images, $want);
differs($acr, $want, 'we go on with it');
referrers($acr, $want, 'also with the referrers');


# --- docker-registry goes on with what we have changed there

$acr->stop();
system('rm', '-rf', @stray);
$theirs->run();
differs($theirs, $want, 'docker-registry serves it again');
$theirs->stop();


# --- what we wrote, docker-registry serves

my $ours = start(workers => 2, server => admin());
my $written = fill($ours);

differs($ours, $written, 'we serve what was pushed into us');
referrers($ours, $written, 'with its referrers');
my $left = $ours->upload('lib/a');
$ours->patch($left, 'an upload left open');
$ours->stop();

my $other = ACR::Distribution->start(work_dir() . '/registry2',
                                     $ours->{root});
differs($other, $written, 'docker-registry serves what we wrote');

push_more($other, $written);
differs($other, $written, 'and goes on with it');
$other->stop();


# --- and we with what it has changed: our Redis has the old index

ACR::Distribution::give_to_workers($ours->{root});
$ours->run();
answers($ours->post("$ADMIN/rebuild", body => ''), 202,
        'a rebuild can be asked for');
ok(wait_for(sub {
       my $answer = $ours->get("$ADMIN/rebuild")->json();
       !$answer->{running} && !$answer->{requested} && $answer->{finished}
           && complete($ours)
   }, 60), 'and ends') or diag($ours->tail());

differs($ours, $written, 'then all is as the directory says');
referrers($ours, $written, 'the referrers too');
is_deeply([differences($ours)], [], 'to the last link');

finish();


sub admin {
    return "location $ADMIN/ { acr_admin; }";
}


sub complete {
    my ($acr) = @_;

    my $answer = $acr->get("$ADMIN/stats");

    return $answer->status() == 200
        && $answer->json()->{state} eq 'complete';
}


# --- content

# fill(CLIENT): pushes everything; what the registry has to have then:
#   repositories => { NAME => { tags => { TAG => DIGEST },
#                               manifests => { DIGEST => [TYPE, JSON] },
#                               blobs => { DIGEST => BYTES } } },
#   referrers => { "NAME SUBJECT" => { DIGEST => ARTIFACT TYPE } },
#   gone => [TARGET, ...]
sub fill {
    my ($client) = @_;

    my $want = { gone => [], referrers => {} };

    images($client, $want);
    indexes($client, $want);
    names($client, $want);
    artifacts($client, $want);
    removed($client, $want);

    return $want;
}


sub images {
    my ($client, $want) = @_;

    my $layer = bytes(3_000_000, 'a large layer');
    my ($image) = small($client, $want, 'lib/a', 'one', $layer);
    add($client, $want, 'lib/a', '1.0', $image, $IMAGE);
    add($client, $want, 'lib/a', 'latest', $image, $IMAGE);
    add($client, $want, 'lib/a', 'moved', $image, $IMAGE);

    my ($moved) = small($client, $want, 'lib/a', 'two');
    add($client, $want, 'lib/a', 'moved', $moved, $IMAGE);

    my ($config) = small($client, $want, 'lib/a', 'three');
    my ($json, @parts) = small($client, $want, 'lib/a', 'bare');
    add($client, $want, 'lib/a', 'bare',
        image($parts[0], [$parts[1]], mediaType => undef), $IMAGE);
    add($client, $want, 'lib/a', 'docker',
        image($parts[0], [$parts[1]], mediaType => $DOCKER), $DOCKER);

    # without a tag
    add($client, $want, 'lib/a', undef,
        image($parts[0], [$parts[1]], annotations => { 'no' => 'tag' }),
        $IMAGE);

    add_blob($client, $want, 'lib/a', 'by its sha512', 'sha512');

    # a layer of one repository in another
    mount($client, $want, 'lib/a/b', $layer, 'lib/a');
    add_blob($client, $want, 'lib/a/b', '{"seed":"mounted"}');
    add($client, $want, 'lib/a/b', 'mounted',
        image('{"seed":"mounted"}', [$layer]), $IMAGE);
}


sub indexes {
    my ($client, $want) = @_;

    my $repository = 'lib/a/b/c';
    my @images = map {
        my ($json) = small($client, $want, $repository, "part $_");
        add($client, $want, $repository, undef, $json, $IMAGE);
        $json;
    } 1 .. 2;

    my $index = index_of(\@images);
    add($client, $want, $repository, 'index', $index, $INDEX);
    add($client, $want, $repository, 'bare',
        index_of(\@images, mediaType => undef), $INDEX);

    my @docker = map {
        my ($json, @parts) = small($client, $want, $repository, "docker $_");
        $json = image($parts[0], [$parts[1]], mediaType => $DOCKER);
        add($client, $want, $repository, undef, $json, $DOCKER);
        $json;
    } 1 .. 2;

    add($client, $want, $repository, 'list',
        index_of([map { descriptor($_, $DOCKER) } @docker],
                 mediaType => $LIST), $LIST);
    add($client, $want, $repository, 'nested',
        index_of([descriptor($index, $INDEX),
                  descriptor($images[0], $IMAGE)]), $INDEX);
}


# names that look like parts of the layout
sub names {
    my ($client, $want) = @_;

    my ($image, @parts) = small($client, $want, 'lib', 'names');
    my @tags = ('current', 'index', 'link', '_layers', 'sha256', 'A.b-C_d',
                't' x 128);

    for my $repository ('lib', 'lib/tags/current', 'blobs/sha256',
                        'x-y/z__w/v.u', 'revisions')
    {
        add_blob($client, $want, $repository, $_) for @parts;
        add($client, $want, $repository, $_, $image, $IMAGE) for @tags;
    }

    add_blob($client, $want, 'only/blobs', 'nothing but a blob');
}


sub artifacts {
    my ($client, $want) = @_;

    my $repository = 'lib/signed';
    my ($image, @parts) = small($client, $want, $repository, 'signed');
    add($client, $want, $repository, '1.0', $image, $IMAGE);

    my $subject = descriptor($image, $IMAGE);
    my @artifacts = map {
        image($parts[0], [$parts[1]], subject => $subject,
              artifactType => "application/vnd.test.$_")
    } qw(sbom signature);

    add($client, $want, $repository, undef, $_, $IMAGE) for @artifacts;
    $want->{referrers}{"$repository $subject->{digest}"} = {
        digest($artifacts[0]) => 'application/vnd.test.sbom',
        digest($artifacts[1]) => 'application/vnd.test.signature',
    };

    # a subject that is not there
    my $absent = descriptor('{"absent":1}', $IMAGE);
    my $early = image($parts[0], [], subject => $absent);
    add($client, $want, $repository, 'early', $early, $IMAGE);
    $want->{referrers}{"$repository $absent->{digest}"} =
        { digest($early) => $CONFIG };

    # "Referrers Tag Schema"; the entry without a subject is no referrer
    my ($alone) = small($client, $want, $repository, 'alone');
    add($client, $want, $repository, undef, $alone, $IMAGE);
    add($client, $want, $repository, $subject->{digest} =~ s/:/-/r,
        index_of([(map { descriptor($_, $IMAGE) } @artifacts),
                  descriptor($alone, $IMAGE)], mediaType => $INDEX), $INDEX);

    # a signature under the name that cosign gives it
    my $signature = image($parts[0], [$parts[1]],
                          annotations => { made => 'by cosign' });
    add($client, $want, $repository, ($subject->{digest} =~ s/:/-/r) . '.sig',
        $signature, $IMAGE);
}


sub removed {
    my ($client, $want) = @_;

    my $repository = 'lib/removed';
    my ($kept) = small($client, $want, $repository, 'kept');
    my ($image, @parts) = small($client, $want, $repository, 'removed');

    add($client, $want, $repository, 'kept', $kept, $IMAGE);
    add($client, $want, $repository, $_, $image, $IMAGE) for 'a', 'b';
    add($client, $want, $repository, 'back', $image, $IMAGE);
    add($client, $want, $repository, 'back', $kept, $IMAGE);
    remove_manifest($client, $want, $repository, $image);
    remove_blob($client, $want, $repository, $parts[1]);

    add($client, $want, $repository, 'tag', $kept, $IMAGE);
    remove_tag($client, $want, $repository, 'tag');

    # one with nothing in it: Distribution goes on to list it
    add_blob($client, $want, $EMPTIED, 'the only blob');
    remove_blob($client, $want, $EMPTIED, 'the only blob');
    delete $want->{repositories}{$EMPTIED};
}


# push_more(CLIENT, WANT): changes what the other registry has written
sub push_more {
    my ($client, $want) = @_;

    my $had = $want->{repositories}{'lib/a'};
    my ($image, @parts) = small($client, $want, 'lib/a', 'more');
    add($client, $want, 'lib/a', $_, $image, $IMAGE) for '1.0', 'more';

    my ($new, @more) = small($client, $want, 'lib/more', 'new');
    add($client, $want, 'lib/more', 'new', $new, $IMAGE);
    mount($client, $want, 'lib/more', $parts[1], 'lib/a');

    remove_manifest($client, $want, 'lib/a',
                    $had->{manifests}{ $had->{tags}{bare} }[1]);
    remove_tag($client, $want, 'lib/a', 'moved');
    remove_blob($client, $want, 'only/blobs', 'nothing but a blob');
    add_blob($client, $want, 'only/blobs', 'nothing but another blob');

    my $signed = $want->{repositories}{'lib/signed'};
    my $subject = $signed->{tags}{'1.0'};
    my ($gone) = grep { $signed->{manifests}{$_}[1] =~ /vnd\.test\.sbom/ }
                 keys %{ $signed->{manifests} };
    remove_manifest($client, $want, 'lib/signed',
                    $signed->{manifests}{$gone}[1]);
    delete $want->{referrers}{"lib/signed $subject"}{$gone};

    my $referrer = image('{"seed":"signed"}', [],
                         artifactType => 'application/vnd.test.more',
                         subject => { mediaType => $IMAGE, size => 1,
                                      digest => $subject });
    add($client, $want, 'lib/signed', undef, $referrer, $IMAGE);
    $want->{referrers}{"lib/signed $subject"}{ digest($referrer) } =
        'application/vnd.test.more';
}


# small(CLIENT, WANT, REPOSITORY, SEED, LAYER): pushes what an image needs; the
# JSON of its manifest, and the bytes of its config and its layer
sub small {
    my ($client, $want, $repository, $seed, $layer) = @_;

    my $config = "{\"seed\":\"$seed\"}";
    $layer = "layer of $seed" if !defined $layer;

    add_blob($client, $want, $repository, $_) for $config, $layer;

    return (image($config, [$layer]), $config, $layer);
}


sub add_blob {
    my ($client, $want, $repository, $bytes, $algorithm) = @_;

    my $digest = $client->push_blob($repository, $bytes, $algorithm);
    $want->{repositories}{$repository}{blobs}{$digest} = $bytes;
}


sub mount {
    my ($client, $want, $repository, $bytes, $from) = @_;

    my $digest = digest($bytes);
    my $answer = $client->post("/v2/$repository/blobs/uploads/?mount=$digest"
                               . "&from=$from", body => '');

    die 'no mount: ' . $answer->text() . "\n" if $answer->status() != 201;

    $want->{repositories}{$repository}{blobs}{$digest} = $bytes;
}


sub add {
    my ($client, $want, $repository, $tag, $json, $type) = @_;

    my $digest = $client->push_manifest($repository, $tag, $json, $type);
    my $has = $want->{repositories}{$repository} ||= {};

    $has->{manifests}{$digest} = [$type, $json];
    $has->{tags}{$tag} = $digest if defined $tag;
    drop_gone($want, "/v2/$repository/manifests/$_")
        for $digest, defined $tag ? $tag : ();
}


sub drop_gone {
    my ($want, $target) = @_;

    @{ $want->{gone} } = grep { $_ ne $target } @{ $want->{gone} };
}


# with all its tags
sub remove_manifest {
    my ($client, $want, $repository, $json) = @_;

    my $digest = digest($json);
    my $has = $want->{repositories}{$repository};
    my @tags = grep { $has->{tags}{$_} eq $digest } keys %{ $has->{tags} };

    remove($client, $want, "/v2/$repository/manifests/$digest");
    delete $has->{manifests}{$digest};
    delete @{ $has->{tags} }{@tags};
    push(@{ $want->{gone} }, map { "/v2/$repository/manifests/$_" } @tags);
}


# Distribution has learnt it with 3.0.
sub remove_tag {
    my ($client, $want, $repository, $tag) = @_;

    my $answer = $client->delete("/v2/$repository/manifests/$tag");
    return if $answer->status() == 400
              && $client->isa('ACR::Distribution');

    die $answer->text() . "\n" if $answer->status() != 202;

    delete $want->{repositories}{$repository}{tags}{$tag};
    push(@{ $want->{gone} }, "/v2/$repository/manifests/$tag");
}


sub remove_blob {
    my ($client, $want, $repository, $bytes) = @_;

    my $digest = digest($bytes);

    remove($client, $want, "/v2/$repository/blobs/$digest");
    delete $want->{repositories}{$repository}{blobs}{$digest};
}


sub remove {
    my ($client, $want, $target) = @_;

    my $answer = $client->delete($target);
    die "$target: " . $answer->text() . "\n" if $answer->status() != 202;

    push(@{ $want->{gone} }, $target);
}


# --- what crashes leave

# spoilt_content(CLIENT): an image for each way in which it is to be spoilt; the
# JSON of each
sub spoilt_content {
    my ($client) = @_;

    my $all = {};

    return { map {
        my ($image) = small($client, $all, 'spoilt/a', $_);
        add($client, $all, 'spoilt/a', $_, $image, $IMAGE);
        $_ => $image;
    } qw(layer nolayer tag revision nodata empty) };
}


# spoil(ROOT, IMAGES, WANT): does it.  WANT gets what is left; returned are the
# targets that are no more, and what the log has to say.
sub spoil {
    my ($root, $image, $want) = @_;

    my $path = sub { return "$root/$layout/$_[0]" };
    my $of = sub { return digest($_[0]) =~ s{:}{/}r };
    my $data = sub {
        my ($hex) = digest($_[0]) =~ /:(.*)/;
        return $path->('blobs/sha256/' . substr($hex, 0, 2) . "/$hex/data");
    };

    my $home = 'repositories/spoilt/a';
    my $layer = "$home/_layers/" . $of->('layer of layer');
    my $nolayer = "$home/_layers/" . $of->('layer of nolayer');
    my %revision = map {
        $_ => "$home/_manifests/revisions/" . $of->($image->{$_})
    } keys %$image;
    my %tag = map { $_ => "$home/_manifests/tags/$_" } keys %$image;

    spew($path->("$layer/link"), '');
    unlink($data->('layer of nolayer')) or die "unlink: $!\n";
    spew($path->("$tag{tag}/current/link"), '');
    spew($path->("$revision{revision}/link"), '');
    unlink($data->($image->{nodata})) or die "unlink: $!\n";
    spew($data->($image->{empty}), '');

    my @lost = qw(nodata empty);
    my @kept = qw(layer nolayer tag revision);
    my %blobs = map { digest($_) => $_ }
                map { ("{\"seed\":\"$_\"}", "layer of $_") } keys %$image;
    delete $blobs{ digest('layer of nolayer') };

    $want->{repositories}{'spoilt/a'} = {
        tags => { map { $_ => digest($image->{$_}) }
                  qw(layer nolayer revision) },
        manifests => { map { digest($image->{$_}) => [$IMAGE, $image->{$_}] }
                       @kept },
        blobs => \%blobs,
    };

    my $base = '/v2/spoilt/a';

    return (["$base/blobs/" . digest('layer of nolayer'),
             (map { "$base/manifests/" . digest($image->{$_}) } @lost),
             (map { "$base/manifests/$_" } @lost, 'tag')],
            ["/$layer/link\" was mended",
             "/$revision{revision}/link\" was mended",
             "/$tag{tag}/current/link\"",
             'blob "' . digest('layer of nolayer') . '" of "spoilt/a"',
             (map { 'manifest "' . digest($image->{$_}) . '" of "spoilt/a"' }
              qw(nodata empty)),
             (map { "tag \"$_\" of \"spoilt/a\"" } @lost)]);
}


# schema1(ROOT): a manifest of a kind that nobody takes any more; as spoil()
sub schema1 {
    my ($root) = @_;

    my $json = '{"schemaVersion":1,"name":"old/a","tag":"1","fsLayers":[],'
               . '"history":[],"signatures":[]}';
    my $digest = digest($json);
    my ($hex) = $digest =~ /:(.*)/;
    my $blob = "$root/$layout/blobs/sha256/" . substr($hex, 0, 2) . "/$hex";
    my $home = 'repositories/old/a/_manifests';
    my @links = ("$home/revisions/sha256/$hex", "$home/tags/1/current");

    make_path($blob, map { "$root/$layout/$_" } @links);
    spew("$blob/data", $json);
    spew("$root/$layout/$_/link", $digest) for @links;

    return (['/v2/old/a/manifests/1', "/v2/old/a/manifests/$digest"],
            ["manifest \"$digest\" of \"old/a\""]);
}


# stray(ROOT): makes what is no part of a volume; its paths
sub stray {
    my ($root) = @_;

    my $top = "$root/$layout";
    my $link = digest('stray');
    my $path = $link =~ s{:}{/}r;
    my $lib = 'repositories/lib';

    my @links = (
        'repositories/Upper/_manifests/revisions/' . $path,
        "$lib/-/_manifests/tags/a/current",
        "$lib/a/_manifests/tags/bad tag/current",
        "$lib/a/_manifests/revisions/sha256/" . 'A' x 64,
        "$lib/a/_layers/md5/" . 'a' x 32,
        'repositories/' . 'long/' x 60 . '_manifests/tags/a/current',
    );
    my @directories = (
        "$lib/a/_layers/sha256/beef", "$lib/a/_uploads/no-uuid",
        "$lib/a/_other", 'repositories/stray/deep', 'blobs/sha256/zz/zz',
        'blobs/sha256/aa/aa', 'blobs/md5/aa',
    );
    my @files = (
        'repositories/README', "$lib/README", "$lib/a/_manifests/tags/README",
        'blobs/README', 'blobs/sha256/README',
    );

    make_path("$root/lost+found", map { "$top/$_" } @links, @directories);
    spew("$top/$_/link", $link) for @links;
    spew("$top/$_", 'stray') for @files;

    # nobody goes round in circles
    symlink('..', "$top/$lib/round") or die "symlink: $!\n";

    return ("$root/lost+found", map { s{/current$}{}r } map { "$top/$_" }
            @links, @directories, @files, "$lib/round");
}


# heal(CLIENT, IMAGES, WANT): all of it is pushed again
sub heal {
    my ($client, $image, $want) = @_;

    for my $way (sort keys %$image) {
        small($client, $want, 'spoilt/a', $way);
        add($client, $want, 'spoilt/a', $way, $image->{$way}, $IMAGE);
    }
}


# --- what is served

# differs(CLIENT, WANT, NAME): a test that the registry has exactly that
sub differs {
    my ($client, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $repositories = $want->{repositories};
    my @listed = grep { $_ ne $EMPTIED || !$client->isa('ACR::Distribution') }
                 @{ $client->get('/v2/_catalog?n=1000')->json()
                        ->{repositories} };

    my @wrong = difference('the catalog', [sort @listed],
                           [sort keys %$repositories]);

    for my $repository (sort keys %$repositories) {
        my $has = $repositories->{$repository};
        push(@wrong, tags_wrong($client, $repository, $has->{tags} || {}),
             manifests_wrong($client, $repository, $has),
             blobs_wrong($client, $repository, $has->{blobs} || {}));
    }

    for my $target (@{ $want->{gone} }) {
        my $answer = $client->get($target, headers => accept_all());
        push(@wrong, "$target is there: " . $answer->text())
            if $answer->status() != 404;
    }

    is_deeply(\@wrong, [], $name);
}


sub difference {
    my ($what, $got, $want) = @_;

    my ($is, $should) = map { join(' ', @$_) } $got, $want;

    return $is eq $should ? () : "$what is $is, not $should";
}


sub tags_wrong {
    my ($client, $repository, $tags) = @_;

    my $target = "/v2/$repository/tags/list";
    my $answer = $client->get($target);

    # Distribution says so if there never was one
    return if $answer->status() == 404 && !%$tags;
    return "$target: " . $answer->text() if $answer->status() != 200;

    return difference("the list of tags of $repository",
                      [sort @{ $answer->json()->{tags} || [] }],
                      [sort keys %$tags]);
}


sub manifests_wrong {
    my ($client, $repository, $has) = @_;

    my %target = map { $_ => $_ } keys %{ $has->{manifests} || {} };
    $target{$_} = $has->{tags}{$_} for keys %{ $has->{tags} || {} };

    return map {
        my ($type, $json) = @{ $has->{manifests}{ $target{$_} } };
        my $target = "/v2/$repository/manifests/$_";
        (wrong($client, $target, 'GET', $json, $target{$_}, $type),
         wrong($client, $target, 'HEAD', $json, $target{$_}, $type));
    } sort keys %target;
}


sub blobs_wrong {
    my ($client, $repository, $blobs) = @_;

    return map {
        my $target = "/v2/$repository/blobs/$_";
        (wrong($client, $target, 'GET', $blobs->{$_}, $_),
         wrong($client, $target, 'HEAD', $blobs->{$_}, $_));
    } sort keys %$blobs;
}


sub wrong {
    my ($client, $target, $method, $bytes, $digest, $type) = @_;

    my $answer = $client->request($method, $target,
                                  headers => accept_all());

    return "$method $target: " . $answer->text() if $answer->status() != 200;

    my %got = map { $_ => $answer->header($_) }
              'Docker-Content-Digest', 'Content-Type', 'Content-Length';
    my @wrong;

    push(@wrong, 'other bytes')
        if $method eq 'GET' && $answer->body() ne $bytes;
    push(@wrong, "size $got{'Content-Length'}")
        if $got{'Content-Length'} != length($bytes);
    push(@wrong, "digest $got{'Docker-Content-Digest'}")
        if $got{'Docker-Content-Digest'} ne $digest
           && !canonical($client, $bytes, $got{'Docker-Content-Digest'});
    push(@wrong, "type $got{'Content-Type'}")
        if $type && $got{'Content-Type'} ne $type;

    return map { "$method $target: $_" } @wrong;
}


# Distribution has a file for one digest only, and names that one.
sub canonical {
    my ($client, $bytes, $digest) = @_;

    return $client->isa('ACR::Distribution') && $digest eq digest($bytes);
}


# Distribution converts what a client does not say that it takes.
sub accept_all {
    return [map { (Accept => $_) } $IMAGE, $INDEX, $DOCKER, $LIST];
}


# referrers(NODE, WANT, NAME): a test of all of them
sub referrers {
    my ($client, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %got;
    for my $key (keys %{ $want->{referrers} }) {
        my ($repository, $subject) = split(/ /, $key);
        my $answer = $client->get("/v2/$repository/referrers/$subject");
        my $list = $answer->status() == 200 ? $answer->json()->{manifests}
                                            : [];
        $got{$key} = { map { $_->{digest} => $_->{artifactType} } @$list };
    }

    is_deeply(\%got, $want->{referrers}, $name);
}
