#!/usr/bin/perl

# A disk that is full, and one that must not be written: pushes are told, pulls
# go on, nothing is half-written, and it works again by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

# The small disk is a tmpfs that only this test and its processes see, so it
# vanishes with them.
BEGIN {
    if (!$ENV{ACR_SPACE} && $> == 0
        && system('unshare -m true 2> /dev/null') == 0)
    {
        $ENV{ACR_SPACE} = 1;
        exec('unshare', '-m', $^X, $0, @ARGV) or die "unshare: $!\n";
    }
}

use ACR;
use ACR::Fault;

my ($mounted, $test) = (undef, $$);

# before the directory is removed
END {
    system('umount', '-l', $mounted) if $mounted && $$ == $test;
}

SKIP: {
    skip('only root can have a small disk', 1) if !$ENV{ACR_SPACE};
    full();
}

read_only();

finish();


sub full {
    my $disk = work_dir() . '/disk';
    my $mib = 1048576;

    mkdir($disk) or die "$disk: $!\n";
    if (system("mount -t tmpfs -o size=12m tmpfs $disk 2> /dev/null") != 0) {
        return skip('no tmpfs can be mounted', 1);
    }

    $mounted = $disk;

    my $acr = start(root => "$disk/root", workers => 2);
    $acr->allow(qr/\[crit\].*No space left on device/);

    my $bytes = bytes($mib, 'kept');
    my $digest = $acr->push_blob('lib/a', $bytes);
    my $manifest = $acr->push_image('lib/a', 'kept', 'kept');
    my $location = $acr->upload('lib/a');
    answers($acr->patch($location, bytes($mib, 'session')), 202, 'a session');

    my $still = sub {
        my ($name) = @_;

        is(digest($acr->get("/v2/lib/a/blobs/$digest")->body()), $digest,
           "$name: a blob can be pulled");
        is($acr->resolve('lib/a', 'kept'), $manifest, 'and a manifest');
    };


    # --- blobs, larger than what is free

    my $large = bytes(16 * $mib, 'large');

    full_answer($acr->post(with('/v2/lib/a/blobs/uploads/',
                                digest => digest($large)), body => $large),
                'a blob that has no room');
    $still->('after it');
    refused($acr->get('/v2/lib/a/blobs/' . digest($large)), 404,
            'BLOB_UNKNOWN', 'it is not there');
    is_deeply([half_written($acr)], [], 'nothing is half-written');

    full_answer($acr->patch($location, $large), 'a chunk that has no room');
    $still->('after it');
    answers($acr->close_upload($acr->upload('lib/b'), digest('other'), 'other'),
            201, 'it does not keep the room from others');
    is($acr->get($location)->header('Range'), '0-' . ($mib - 1),
       'the session is where it was');
    full_answer($acr->close_upload($location, digest($large), $large),
                'a PUT that has no room');
    is($acr->get($location)->header('Range'), '0-' . ($mib - 1),
       'the session is where it was');

    my @together = parallel(map {
        my $n = $_;
        sub {
            my $answer = $acr->post(with('/v2/lib/a/blobs/uploads/',
                                         digest => digest($large)),
                                    body => $large);
            return $answer->status();
        }
    } 1 .. 3);
    is_deeply(\@together, [507, 507, 507], 'three at once');
    is_deeply([half_written($acr)], [], 'nothing is half-written');


    # --- nothing is free at all

    fill($disk);

    my $new = image('{"seed":"kept"}', ['layer of kept'],
                    annotations => { n => 'new' });
    full_answer($acr->put_manifest('lib/a', 'kept', $new),
                'a manifest that has no room');
    $still->('after it');
    is($acr->tag_on_disk('lib/a', 'kept'), $manifest, 'the link is the old');
    full_answer($acr->put_manifest('lib/a', undef, $new), 'by its digest');
    refused($acr->get('/v2/lib/a/manifests/' . digest($new)), 404,
            'MANIFEST_UNKNOWN', 'it is not there');
    full_answer($acr->post(with('/v2/lib/new/blobs/uploads/',
                                digest => digest('x')), body => 'x'),
                'a byte for a new repository');
    my $mount = $acr->post(with('/v2/lib/new/blobs/uploads/',
                                mount => $digest, from => 'lib/a'),
                           body => '');
    full_answer($mount, 'a mount');
    refused($acr->get("/v2/lib/new/blobs/$digest"), 404, undef,
            'which mounts nothing');
    my $small = $acr->upload('lib/a');
    full_answer($acr->patch($small, 'x' x 5000), 'a small chunk');
    is_deeply([half_written($acr)], [], 'nothing is half-written');
    is_deeply([differences($acr)], [], 'Redis and the disk have the same');

    my $deleted = $acr->delete('/v2/lib/a/manifests/kept');
    answers($deleted, 202, 'a tag can be deleted all the same');


    # --- space again

    unlink("$disk/fill") or die "unlink: $!\n";

    $acr->push_manifest('lib/a', 'kept', $new);
    is($acr->resolve('lib/a', 'kept'), digest($new), 'a push works again');
    answers($acr->patch($location, 'the end'), 202, 'the session goes on');
    my $whole = bytes($mib, 'session') . 'the end';
    answers($acr->close_upload($location, digest($whole)), 201, 'to its end');
    is(digest($acr->get('/v2/lib/a/blobs/' . digest($whole))->body()),
       digest($whole), 'with the right bytes');
    is_deeply([half_written($acr)], [], 'nothing is half-written');
    is_deeply([differences($acr)], [], 'Redis and the disk have the same');
}


sub full_answer {
    my ($answer, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return refused($answer, 507, undef, $name);
}


# takes all that is free
sub fill {
    my ($disk) = @_;

    open(my $fh, '>', "$disk/fill") or die "fill: $!\n";

    for my $size (65536, 4096, 1) {
        while (syswrite($fh, 'x' x $size)) {
        }
    }
}


sub read_only {
    my $acr = start(workers => 2);

    $acr->allow(qr/\[crit\].*Permission denied/);

    my $bytes = bytes(100_000, 'read-only');
    my $digest = $acr->push_blob('lib/a', $bytes);
    my $manifest = $acr->push_image('lib/a', 'kept', 'read-only');
    my $location = $acr->upload('lib/a');

    # of everything that there is; the workers are not root
    my @mode = map { [$_, (stat($_))[2] & 07777] } directories($acr->{root});
    chmod(0555, map { $_->[0] } @mode) == @mode or die "chmod: $!\n";

    my $new = image('{"seed":"read-only"}', ['layer of read-only'],
                    annotations => { n => 'new' });

    failed($acr->post(with('/v2/lib/a/blobs/uploads/', digest => digest('x')),
                      body => 'x'), 'a blob');
    failed($acr->patch($location, 'x'), 'a chunk');
    failed($acr->put_manifest('lib/a', 'kept', $new), 'a manifest');
    failed($acr->put_manifest('lib/new', undef, '{}', 'application/x'),
           'an artifact in a new repository');
    is($acr->get("/v2/lib/a/blobs/$digest")->body(), $bytes,
       'a blob can be pulled');
    is($acr->resolve('lib/a', 'kept'), $manifest, 'and a manifest');
    is($acr->tag_on_disk('lib/a', 'kept'), $manifest, 'the link is the old');
    is_deeply([half_written($acr)], [], 'nothing is half-written');

    chmod($_->[1], $_->[0]) for @mode;

    $acr->push_manifest('lib/a', 'kept', $new);
    is($acr->resolve('lib/a', 'kept'), digest($new), 'a push works again');
    answers($acr->close_upload($location, digest('x'), 'x'), 201,
            'the session goes on');
    is_deeply([half_written($acr)], [], 'nothing is half-written');
}


sub failed {
    my ($answer, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return refused($answer, 500, undef, "$name fails");
}


sub directories {
    my ($top) = @_;
    my @directories;

    File::Find::find({ no_chdir => 1, wanted => sub {
        push(@directories, $_) if -d;
    } }, $top);

    return @directories;
}
