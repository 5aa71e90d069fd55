#!/usr/bin/perl

# ENOSPC, EDQUOT, EIO and EROFS in every call that writes: the client is told,
# the log tells where and why, pulls go on, nothing is left half-written, and
# the same push then works.  What could not be synced is never acknowledged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Shim;
use POSIX qw(strerror);

my $missing = ACR::Shim->missing();
plan(skip_all => $missing) if $missing;

my @ERRORS = ([ENOSPC => 507], [EIO => 500], [EDQUOT => 507],
              [EROFS => 500]);

my $shim = ACR::Shim->new();
my $acr = start(workers => 2, env => $shim->env());
my $log = "$acr->{dir}/error.log";

$acr->allow(qr/\[crit\].*(?:No\ space\ left\ on\ device|Disk\ quota\ exceeded
            |Input\/output\ error|Read-only\ file\ system)/x);

my $config = '{"seed":"fault"}';
my $kept = bytes(100_000, 'kept');
my $blob = $acr->push_blob('lib/kept', $kept);
my $manifest = $acr->push_image('lib/kept', 'kept', 'kept');
$acr->push_blob("lib/$_", $config) for qw(put delete);

# what no push may make anew is there already
$acr->push_blob('lib/blob', 'first');
$acr->push_image('lib/put', 'first', 'first');


# --- every call, and every error

my $n = 0;
my %of;

for my $path (blobs(), mounts(), manifests(), deletions()) {
    for my $error (@ERRORS) {
        attempt($path, @$error);
    }
}


# --- what could not be synced

synced_in_patch();
synced_in_put();
synced_on_the_way();


# --- a file system without links between files

for my $error (qw(EPERM EMLINK EOPNOTSUPP)) {
    my $bytes = bytes(1000, $error);
    $shim->rules("link /_uploads/ $error");
    is($acr->push_blob('lib/blob', $bytes), digest($bytes),
       "$error of link() is no failure");
    $shim->clear();
    is(digest($acr->get('/v2/lib/blob/blobs/' . digest($bytes))->body()),
       digest($bytes), 'and the blob is there');
}


# --- somebody else is settling one of the names: the digest, or the tag

$acr->push_blob('lib/busy', '{}');

for my $skip (1, 2) {
    my $json = image('{}', [], annotations => { n => "busy $skip" });

    $shim->rules("lock /acr/locks/ EAGAIN skip=$skip count=1");
    answers($acr->put_manifest('lib/busy', 't', $json), 201, 'it is put');
    is($shim->fired(), 1, 'although a lock was not to be had');
    is($acr->tag_on_disk('lib/busy', 't'), digest($json), 'and on the disk');

    $shim->rules('lock /acr/locks/ EAGAIN skip=1 count=1');
    my $digest = digest("busy $skip");
    is($acr->push_blob('lib/busy', "busy $skip"), $digest, 'so is a blob');
    is($shim->fired(), 1, 'in the same way');
    $shim->clear();
    answers($acr->get("/v2/lib/busy/blobs/$digest"), 200, 'it is there');
}


# --- after all that

wait_for(sub {
    !@{ $acr->{redis}->command('ZRANGE', key('pending'), 0, -1) }
}, 30);
nothing([differences($acr)], 'Redis and the disk have the same');
nothing([half_written($acr)], 'and nothing is half-written');

finish();


# Each path that writes: a name, a rule without its error, and a function that
# gets a number and returns functions: the request, and its repetition, which
# is for a client that sends the same again.  "status" has other statuses than
# usual for some errors, "again" for the repetition.

sub blobs {
    my $patch = sub {
        my $bytes = bytes(20_000, "patch $_[0]");
        my $location = $acr->upload('lib/blob');
        my $send = sub { return $acr->patch($location, $bytes) };

        return ($send, sub {
            my $answer = $send->();
            return $answer if $answer->status() != 202;
            return $acr->close_upload($location, digest($bytes));
        });
    };

    # in the same file, and in a copy since its owner has not let go
    my $second = sub {
        my ($number, $held) = @_;
        my $bytes = bytes(20_000, "second $number");
        my $location = $acr->upload('lib/blob');
        $acr->patch($location, substr($bytes, 0, 10_000));

        my $http = $held && $acr->connect();
        if ($held) {
            $http->begin('PATCH', $location,
                         headers => ['Content-Length' => 10_000]);
            $http->send('x');
            wait_for(sub { session($acr, $location)->{held} });
        }

        my $send = sub {
            my $answer = $acr->patch($location, substr($bytes, 10_000),
                                     10_000);
            $http->close() if $http;
            return $answer;
        };

        return ($send, sub {
            my $answer = $send->();
            return $answer if $answer->status() != 202;
            return $acr->close_upload($location, digest($bytes));
        });
    };

    my $put = sub {
        my $bytes = bytes(20_000, "put $_[0]");
        my $location = $acr->upload('lib/blob');
        $acr->patch($location, $bytes);

        return (sub { return $acr->close_upload($location, digest($bytes)) },
                sub {
                    return $acr->close_upload($acr->upload('lib/blob'),
                                              digest($bytes), $bytes);
                });
    };

    my $post = sub {
        my $bytes = bytes(20_000, "post $_[0]");

        return sub {
            return $acr->post(with('/v2/lib/blob/blobs/uploads/',
                                   digest => digest($bytes)), body => $bytes);
        };
    };

    my $new = sub {
        my ($number) = @_;

        return sub {
            return $acr->post(with("/v2/lib/new$number/blobs/uploads/",
                                   digest => digest('first')),
                              body => 'first');
        };
    };

    return (
        (map { ["PATCH: $_->[0]", $_->[1], $patch] }
             ['mkdir', 'mkdir /_uploads/'],
             ['open', 'open /_uploads/'],
             ['pwrite', 'pwrite /_uploads/'],
             ['fdatasync', 'fdatasync /_uploads/']),
        ['PATCH: the file goes on', 'ftruncate /_uploads/', $second],
        ['PATCH: a copy', 'copy_file_range /_uploads/',
         sub { return $second->($_[0], 1) },
         # what cannot be copied so is copied otherwise
         status => { EROFS => 202 }],
        (map { ["PUT: $_->[0]", $_->[1], $put] } commit()),
        (map { ["POST: $_->[0]", $_->[1], $post] }
             ['mkdir', 'mkdir /_uploads/'],
             ['open', 'open /_uploads/'],
             ['pwrite', 'pwrite /_uploads/'],
             commit()),
        ['POST: a new repository', 'mkdir /lib/new', $new],
    );
}


# from the staging file to the link of the repository
sub commit {
    return (
        ['fdatasync', 'fdatasync /_uploads/'],
        ['link', 'link /_uploads/'],
        ['mkdir for the blob', 'mkdir /blobs/'],
        ['open of the lock', 'open /acr/locks/'],
        ['lock', 'lock /acr/locks/'],
        ['rename', 'rename /blobs/'],
        ['fsync of what is above', 'fsync /blobs/*/??$'],
        ['fsync of the directory', 'fsync /blobs/*/??/'],
        links('layer', '/_layers/'),
        settle(),
    );
}


# a link: a temporary file that is renamed
sub links {
    my ($name, $path, $skip) = @_;

    my $more = $skip ? " skip=$skip" : '';

    return (
        ["$name: open", "open /acr/tmp/$more"],
        ["$name: write", "write /acr/tmp/$more"],
        ["$name: fdatasync", "fdatasync /acr/tmp/$more"],
        ["$name: close", "close /acr/tmp/$more"],
        ["$name: mkdir", "mkdir $path"],
        ["$name: rename", "rename $path"],
        ["$name: fsync of what is above", "fsync ${path}sha256\$"],
        ["$name: fsync of the directory", "fsync ${path}sha256/"],
    );
}


# the disk step takes a lock after that of the blob, and leaves a mark
sub settle {
    return (
        ['open of the step\'s lock', 'open /acr/locks/ skip=1'],
        ['the step\'s lock', 'lock /acr/locks/ skip=1'],
        ['open of the mark', 'open /acr/nodes/'],
        ['lock of the mark', 'lock /acr/nodes/'],
        ['pwrite of the mark', 'pwrite /acr/nodes/'],
    );
}


sub mounts {
    my $mount = sub {
        my $bytes = "mounted $_[0]";
        $acr->push_blob('lib/kept', $bytes);

        return sub {
            return $acr->post(with('/v2/lib/blob/blobs/uploads/',
                                   mount => digest($bytes),
                                   from => 'lib/kept'), body => '');
        };
    };

    return map { ["mount: $_->[0]", $_->[1], $mount] }
           links('layer', '/_layers/');
}


sub manifests {
    my $put = sub {
        my ($number) = @_;
        my $image = image($config, [], annotations => { n => "$number" });

        return sub {
            return $acr->put_manifest('lib/put', "t$number", $image);
        };
    };

    # a tag that is there already, and what it named stays
    my $move = sub {
        my ($number) = @_;
        my @images = map {
            image($config, [], annotations => { n => "$number $_" })
        } 0, 1;
        $acr->push_manifest('lib/put', "m$number", $images[0]);

        return sub {
            return $acr->put_manifest('lib/put', "m$number", $images[1]);
        };
    };

    # its media type has a file of its own
    my $typed = sub {
        my ($number) = @_;

        return sub {
            return $acr->put_manifest('lib/put', "y$number",
                                      "{\"schemaVersion\":2,\"n\":$number}",
                                      'application/vnd.test.fault+json');
        };
    };

    my @content = (
        ['open', 'open /acr/tmp/'],
        ['write', 'write /acr/tmp/'],
        ['fdatasync', 'fdatasync /acr/tmp/'],
        ['close', 'close /acr/tmp/'],
        ['mkdir for the blob', 'mkdir /blobs/'],
        ['open of the lock', 'open /acr/locks/'],
        ['lock', 'lock /acr/locks/'],
        ['rename', 'rename /blobs/'],
        ['fsync of the directory', 'fsync /blobs/*/??/'],
    );

    my @tag = (
        ['open of the temporary link', 'open /current/link.'],
        ['write of the temporary link', 'write /current/link.'],
        ['fdatasync of the temporary link', 'fdatasync /current/link.'],
        ['close of the temporary link', 'close /current/link.'],
        ['fsync of the tag\'s directory', 'fsync /current$ count=1'],
        ['rename of the tag\'s link', 'rename /current/link.'],
    );

    return (
        (map { ["manifest: $_->[0]", $_->[1], $put] }
             @content,
             links('revision', '/revisions/', 1),
             ['mkdir for the tag', 'mkdir /_manifests/tags/'],
             links('index', '/index/', 2),
             @tag, settle()),
        (map { ["manifest with a type: $_->[0]", $_->[1], $typed] }
             ['open', 'open /acr/tmp/ skip=1'],
             ['write', 'write /acr/tmp/ skip=1'],
             ['fdatasync', 'fdatasync /acr/tmp/ skip=1'],
             ['rename', 'rename /acr/repositories/'],
             ['fsync of the directory', 'fsync /acr/repositories/*/sha256$']),
        (map { ["tag that moves: $_->[0]", $_->[1], $move] }
             ['write', 'write /acr/tmp/'],
             ['rename', 'rename /blobs/'], @tag, settle()),
    );
}


sub deletions {
    my $deletion = sub {
        my ($what) = @_;

        return sub {
            my $digest = $acr->push_manifest(
                'lib/delete', "d$_[0]",
                image($config, [], annotations => { n => "$_[0]" }));
            my $target = "/v2/lib/delete/manifests/"
                         . ($what eq 'tag' ? "d$_[0]" : $digest);

            return sub { return $acr->delete($target) };
        };
    };

    my $blob = sub {
        my $digest = $acr->push_blob('lib/delete', "deleted $_[0]");

        return sub { return $acr->delete("/v2/lib/delete/blobs/$digest") };
    };

    # what was deleted in Redis is unknown by then
    my @again = (again => qr/^(?:202|404)$/);

    return (
        (map { ["DELETE of a tag: $_->[0]", $_->[1], $deletion->('tag'),
                @again] }
             ['open of the lock', 'open /acr/locks/'],
             ['unlink', 'unlink /current/link'],
             ['fsync of the directory', 'fsync /current$']),
        (map { ["DELETE of a manifest: $_->[0]", $_->[1],
                $deletion->('manifest'), @again] }
             ['open of the lock', 'open /acr/locks/'],
             ['unlink of the revision', 'unlink /revisions/'],
             ['fsync of the revision', 'fsync /revisions/sha256/'],
             ['unlink of the tag', 'unlink /current/link']),
        (map { ["DELETE of a blob: $_->[0]", $_->[1], $blob, @again] }
             ['unlink', 'unlink /_layers/'],
             ['fsync of the directory', 'fsync /_layers/sha256/']),
    );
}


# One path and one error.  The first two errors are followed by a repetition,
# the others are not: then what was left by them has to vanish by itself.
sub attempt {
    my ($path, $error, $status) = @_;

    my ($name, $rule, $prepare, %other) = @$path;
    my ($call, $where, @more) = split(' ', $rule);

    my ($request, $repeat) = $prepare->(++$n);
    my $begin = -s $log;
    my @complaints;

    $shim->rules(join(' ', $call, $where, $error, @more));

    my $answer = $request->();
    my $want = $other{status}{$error} || $status;

    push(@complaints, 'the rule has not fired') if !$shim->fired();
    push(@complaints, "not $want: " . $answer->text())
        if $answer->status() != $want;
    push(@complaints, 'no OCI error: ' . $answer->text())
        if $want >= 500 && !$answer->error();
    push(@complaints, "no line of the log tells it\n" . logged($begin))
        if $want >= 500 && !tells(logged($begin), $where, $error);

    push(@complaints, pulls());
    note_files("$name: $error");
    $shim->clear();

    if ($error =~ /^(?:ENOSPC|EIO)$/) {
        $answer = ($repeat || $request)->();
        push(@complaints, 'the repetition: ' . $answer->text())
            if $answer->status() !~ ($other{again} || qr/^201$/);
    }

    ok(!@complaints, "$name: $error")
        or diag("$rule\n" . join("\n", @complaints));
}


# a list of complaints, each with the attempt that it is of
sub nothing {
    my ($complaints, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $complaint (@$complaints) {
        my ($of) = grep { index($complaint, $_) >= 0 } keys %of;
        $complaint .= " ($of{$of})" if defined $of;
    }

    my $more = @$complaints - 10;
    splice(@$complaints, 10) if $more > 0;

    ok(!@$complaints, $name)
        or diag(join("\n", @$complaints, $more > 0 ? "and $more more" : ()));
}


# what appears on the disk is of this attempt
sub note_files {
    my ($name) = @_;

    for my $file (map { glob($acr->path("repositories/lib/*/$_")) }
                  '_uploads/*', '_layers/sha256/*',
                  '_manifests/revisions/sha256/*', '_manifests/tags/*')
    {
        $of{$file =~ s{.*/}{}r} ||= $name;
    }
}


sub logged {
    my ($begin) = @_;

    return substr(slurp($log), $begin);
}


# a line with the path and the cause
sub tells {
    my ($text, $where, $error) = @_;

    my $code = Errno->can($error)->();
    my $cause = quotemeta("failed ($code: " . strerror($code) . ')');
    my ($part) = map { quotemeta } $where =~ m{^/?([\w/]+?)/?(?:\W|$)};

    return grep { /acr: .*$cause/ && /"[^"]*$part/ } split(/\n/, $text);
}


# what was there before
sub pulls {
    my $pull = eval { digest($acr->get("/v2/lib/kept/blobs/$blob")->body()) };
    my $tag = eval { $acr->get('/v2/lib/kept/manifests/kept') };

    return ((defined $pull && $pull eq $blob ? () : 'a blob is not served'),
            ($tag && digest($tag->body()) eq $manifest
             ? () : 'a manifest is not served'));
}


# --- after a sync has failed, the kernel may take what it could not write for
# written: it has to be written once more, or to be sent once more

sub synced_in_patch {
    my $bytes = bytes(60_000, 'synced in PATCH');
    my $location = $acr->upload('lib/blob');
    answers($acr->patch($location, substr($bytes, 0, 20_000)), 202,
            'a session with data');

    for my $error (qw(EIO ENOSPC)) {
        $shim->rules("fdatasync /_uploads/ $error count=1");
        isnt($acr->patch($location, substr($bytes, 20_000, 20_000), 20_000)
             ->status(), 202, "$error of a sync: its PATCH is refused");
        is($acr->get($location)->header('Range'), '0-19999',
           'and has to be sent again');
    }

    $shim->rules('pwrite /_uploads/ DELAY=0', 'fdatasync /_uploads/ DELAY=0');
    answers($acr->patch($location, substr($bytes, 20_000), 20_000), 202,
            'it can be');
    cmp_ok($shim->fired(0), '>', 0, 'it is written anew');
    cmp_ok($shim->fired(1), '>', 0, 'and synced');
    $shim->clear();

    answers($acr->close_upload($location, digest($bytes)), 201,
            'the upload ends');
    is(digest($acr->get('/v2/lib/blob/blobs/' . digest($bytes))->body()),
       digest($bytes), 'with the right bytes');
}


sub synced_in_put {
    for my $own (0, 20_000) {
        my $bytes = bytes(60_000, "synced in PUT $own");
        my $digest = digest($bytes);
        my $location = $acr->upload('lib/blob');
        my $sent = 60_000 - $own;

        # what the PUT has itself
        my $rest = substr($bytes, $sent);
        my @range = $own ? (headers => ['Content-Range' => "$sent-59999"])
                         : ();

        $acr->patch($location, substr($bytes, 0, $sent));
        $shim->rules('fdatasync /_uploads/ EIO count=1');
        answers($acr->close_upload($location, $digest, $rest, @range), 500,
                "EIO of a sync: a PUT with $own bytes is refused");
        refused($acr->get("/v2/lib/blob/blobs/$digest"), 404, 'BLOB_UNKNOWN',
                'its blob is not there');
        is($acr->get($location)->header('Range'), '0-' . ($sent - 1),
           'the session is where it was');

        my %dirty = map { (stat($_))[1] => $_ }
                    glob($acr->path('repositories/lib/blob/_uploads/*/data*'));

        $shim->rules("pwrite /_uploads/ DELAY=0",
                     'fdatasync /_uploads/ DELAY=0');
        answers($acr->close_upload($location, $digest, $rest, @range), 201,
                'it can be repeated');
        cmp_ok($shim->fired(1), '>', 0, 'with a sync of its own');
        ok(!$dirty{(stat($acr->blob_file($digest)))[1]}
           || $own && $shim->fired(0),
           'what was not synced is not what is stored');
        $shim->clear();

        is(digest($acr->get("/v2/lib/blob/blobs/$digest")->body()), $digest,
           'with the right bytes');
    }
}


sub synced_on_the_way {
    my ($piece, $size, $digest) = large(70, 'on the way');
    my $location = $acr->upload('lib/blob');

    $shim->rules('fdatasync /_uploads/ EIO count=1');
    my $answer = $acr->request('PUT', with($location, digest => $digest),
                               body => [map { $piece->($_) } 0 .. 69]);
    answers($answer, 500, 'EIO of a sync on the way: the push is refused');
    is($shim->fired(), 1, 'once');
    $shim->clear();

    is($acr->get($location)->header('Range'), '0-0', 'nothing was saved');
    refused($acr->get("/v2/lib/blob/blobs/$digest"), 404, 'BLOB_UNKNOWN',
            'the blob is not there');
    answers($acr->delete($location), 204, 'the session can be cancelled');
}
