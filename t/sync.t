#!/usr/bin/perl

# What is acknowledged has been synced: strace shows every change of the
# directory, every sync, and the answers.  When one goes out that says 201, or
# 202 to a DELETE, no file and no directory of the layout may be left unsynced.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use File::Basename qw(dirname);

if (!grep { -x "$_/strace" } split(/:/, $ENV{PATH})) {
    plan(skip_all => 'no strace');
}

my $acr = start();
my ($log, $said) = map { work_dir() . "/strace.$_" } qw(log out);
my ($worker) = $acr->workers();

spew($said, '');
my $strace = ACR::Process->spawn(
    $said, 'strace', '-f', '-y', '-s', '400', '-o', $log, '-p', $worker, '-e',
    'trace=open,openat,creat,write,pwrite64,pwritev,pwritev2,writev,sendto,'
    . 'ftruncate,fallocate,copy_file_range,rename,renameat,renameat2,link,'
    . 'linkat,symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,'
    . 'fdatasync,syncfs,sync');

wait_for(sub { slurp($said) =~ /attached|not permitted|denied/ });
if (slurp($said) !~ /attached/) {
    my $why = slurp($said);
    $acr->stop();
    plan(skip_all => "strace: $why");
}


# --- everything that changes something

my @asked;
my $large = bytes(1_500_000, 'sync');

ask(201, 'PUT of a blob', sub {
    return $acr->close_upload($acr->upload('new/repo'), digest('{}'), '{}');
});
ask(201, 'POST of a blob', sub {
    return $acr->post(with('/v2/new/other/blobs/uploads/',
                           digest => digest('post')), body => 'post');
});
ask(201, 'PATCH and PUT', sub {
    my $location = $acr->upload('new/repo');
    $acr->patch($location, substr($large, 0, 700_000), 0);
    return $acr->close_upload($location, digest($large),
                              substr($large, 700_000));
});
ask(201, 'a blob that another repository has', sub {
    return $acr->close_upload($acr->upload('new/third'), digest('{}'), '{}');
});
ask(201, 'a blob that is there', sub {
    return $acr->close_upload($acr->upload('new/repo'), digest('{}'), '{}');
});
ask(201, 'a mount', sub {
    return $acr->post(with('/v2/new/mount/blobs/uploads/',
                           mount => digest('{}'), from => 'new/repo'),
                      body => '');
});

my $image = image('{}', [$large]);
my $moved = image('{}', [$large], annotations => { a => 'b' });
ask(201, 'a manifest', sub {
    return $acr->put_manifest('new/repo', '1.0', $image);
});
ask(201, 'a manifest with tags', sub {
    return $acr->put_manifest('new/repo', digest($moved) . '?tag=a&tag=b',
                              $moved);
});
ask(201, 'a tag that moves', sub {
    return $acr->put_manifest('new/repo', '1.0', $moved);
});
ask(202, 'deletion of a tag', sub {
    return $acr->delete('/v2/new/repo/manifests/a');
});
ask(202, 'deletion of a manifest', sub {
    return $acr->delete('/v2/new/repo/manifests/' . digest($moved));
});
ask(202, 'deletion of a blob', sub {
    return $acr->delete('/v2/new/mount/blobs/' . digest('{}'));
});

$acr->get('/v2/');
$strace->signal('INT');
$strace->ended(10);


# --- what was done before each answer

my ($root) = $acr->path('');
my (%inode, %file, %directory, %unfinished, $inodes, @found, $syncs);

for my $line (split(/\n/, slurp($log))) {
    my ($pid, $call) = $line =~ /^(\d+) +(.*)$/ or next;

    # a call of one thread that others have interrupted
    if ($call =~ s/ <unfinished \.\.\.>$//) {
        $unfinished{$pid} = $call;
        next;
    }
    $call = delete($unfinished{$pid}) . $1
        if $call =~ /^<\.\.\. \w+ resumed>,? ?(.*)$/;

    follow($call);
}

cmp_ok($syncs, '>', 20, "$syncs syncs were seen");

is(scalar(@found), scalar(@asked), 'all answers were seen');

for my $n (0 .. $#asked) {
    my $left = $found[$n] || ['no answer'];
    is_deeply($left, [], "$asked[$n]: all is synced before the answer");
}

finish();


sub ask {
    my ($status, $name, $request) = @_;

    push(@asked, $name);
    answers($request->(), $status, $name);
}


sub follow {
    my ($call) = @_;

    my ($name, $arguments, $result) = $call =~ /^(\w+)\((.*)\)\s+= (-?\d+)/
        or return;

    # what answers 202 with a Location is a session, which may be lost
    if ($arguments =~ m{"HTTP/1\.1\ (?:201|202(?!.*Location:))}x) {
        push(@found, [unsynced()]);
        return;
    }

    return if $result < 0;

    my ($fd) = $arguments =~ /^\d+<([^>]*)>/;
    my @paths = $arguments =~ /"((?:\/)[^"]*)"/g;

    if ($name =~ /^(?:fsync|fdatasync)$/) {
        $syncs++;
        delete($directory{$fd});
        delete($file{inode($fd)});

    } elsif ($name =~ /^sync/) {
        (%file, %directory) = ();

    } elsif ($name =~ /^(?:p?write|ftruncate|fallocate|copy_file)/) {
        $file{inode($fd)} = $fd if defined $fd && $fd =~ m{^/};

    } elsif ($name =~ /^(?:open|creat)/ && $arguments =~ /O_EXCL/) {
        $inode{$paths[0]} = ++$inodes;
        $directory{dirname($paths[0])} = 1;

    } elsif ($name =~ /^rename/) {
        $inode{$paths[1]} = inode($paths[0]);
        delete($inode{$paths[0]});
        $file{$inode{$paths[1]}} = $paths[1] if $file{$inode{$paths[1]}};
        $directory{dirname($_)} = 1 for @paths[0, 1];

    } elsif ($name =~ /^link/) {
        $inode{$paths[1]} = inode($paths[0]);
        $directory{dirname($paths[1])} = 1;

    } elsif ($name =~ /^(?:mkdir|symlink)/) {
        $directory{dirname($paths[-1])} = 1;

    } elsif ($name =~ /^(?:unlink|rmdir)/) {
        my $path = $paths[0];
        $path = $1 . '/' . $2
            if !defined $path && $arguments =~ /^\d+<([^>]*)>, "([^"]*)"/;
        delete($inode{$path});

        # An empty directory may come back, but not with what was in it; the
        # history of a tag means nothing without the tag's link.
        return if $path =~ m{/tags/[^/]+/index(?:/|$)};
        $directory{dirname($path)} = 1
            if $name !~ /dir/ && $arguments !~ /REMOVEDIR/
               || delete($directory{$path});
    }
}


sub inode {
    my ($path) = @_;

    return $inode{$path} ||= ++$inodes;
}


# what of the layout is not synced; sessions need not be
sub unsynced {
    my %names = reverse(%inode);

    return sort grep { index($_, $root) == 0 && !m{/_uploads(?:/|$)} }
           keys(%directory),
           map { defined $names{$_} ? $names{$_} : () } keys(%file);
}
