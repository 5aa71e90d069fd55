#!/usr/bin/perl

# Power loss, by replaying the order of syncs: strace shows every change of the
# directory, every sync, and the answers.  After each call the directory is
# made anew from what is durable by then.  A name is durable once its directory
# was synced, bytes once their file was; what was not synced may be there or
# not, each by itself.  Whatever of that happened, all that is acknowledged has
# to be there, and what was deleted has to be gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use File::Basename qw(basename dirname);

if (!grep { -x "$_/strace" } split(/:/, $ENV{PATH})) {
    plan(skip_all => 'no strace');
}

my $acr = start();
my ($log, $said) = map { work_dir() . "/strace.$_" } qw(log out);
my ($worker) = $acr->workers();
my @before = directories();

spew($said, '');
my $strace = ACR::Process->spawn(
    $said, 'strace', '-f', '-y', '-s', '400', '-o', $log, '-p', $worker, '-e',
    'trace=open,openat,creat,close,write,pwrite64,pwritev,pwritev2,writev,'
    . 'sendto,ftruncate,fallocate,copy_file_range,rename,renameat,renameat2,'
    . 'link,linkat,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync');

wait_for(sub { slurp($said) =~ /attached|not permitted|denied/ });
if (slurp($said) !~ /attached/) {
    my $why = slurp($said);
    $acr->stop();
    plan(skip_all => "strace: $why");
}


# --- what is asked, in this order, and what is acknowledged by the answer:
# paths with what they may say, or undef if they have to be gone

my @asked;
my $large = bytes(1_500_000, 'power');
my ($first, $second) = map {
    image('{}', [$large], annotations => { n => $_ })
} 'first', 'second';

ask('PUT of a blob', blob('new/repo', digest('{}')), sub {
    return $acr->close_upload($acr->upload('new/repo'), digest('{}'), '{}');
});
ask('POST of a blob', blob('new/other', digest('post')), sub {
    return $acr->post(with('/v2/new/other/blobs/uploads/',
                           digest => digest('post')), body => 'post');
});
ask('PATCH and PUT', blob('new/repo', digest($large)), sub {
    my $location = $acr->upload('new/repo');
    $acr->patch($location, substr($large, 0, 400_000), 0);
    $acr->patch($location, substr($large, 400_000, 300_000), 400_000);
    return $acr->close_upload($location, digest($large),
                              substr($large, 700_000));
});
ask('a blob that is there', blob('new/repo', digest('{}')), sub {
    return $acr->close_upload($acr->upload('new/repo'), digest('{}'), '{}');
});
ask('a blob that another repository has', blob('new/third', digest('{}')),
    sub {
        return $acr->close_upload($acr->upload('new/third'), digest('{}'),
                                  '{}');
    });
ask('a mount', blob('mount/repo', digest($large)), sub {
    return $acr->post(with('/v2/mount/repo/blobs/uploads/',
                           mount => digest($large), from => 'new/repo'),
                      body => '');
});
ask('a manifest by a tag',
    { manifest('new/repo', digest($first)), tag('new/repo', '1.0', $first) },
    sub { return $acr->put_manifest('new/repo', '1.0', $first) });
ask('the same once more',
    { manifest('new/repo', digest($first)), tag('new/repo', '1.0', $first) },
    sub { return $acr->put_manifest('new/repo', '1.0', $first) });
ask('a manifest by its digest, with tags',
    { manifest('new/repo', digest($second)), tag('new/repo', 'a', $second),
      tag('new/repo', 'b', $second) },
    sub {
        return $acr->put_manifest('new/repo',
                                  digest($second) . '?tag=a&tag=b', $second);
    });
ask('a tag that moves', { tag('new/repo', '1.0', $second) }, sub {
    return $acr->put_manifest('new/repo', '1.0', $second);
});
ask('a tag that moves back', { tag('new/repo', '1.0', $first) }, sub {
    return $acr->put_manifest('new/repo', '1.0', $first);
});
ask('deletion of a tag', { tag('new/repo', 'a', undef) }, sub {
    return $acr->delete('/v2/new/repo/manifests/a');
});
ask('the tag is made anew', { tag('new/repo', 'a', $first) }, sub {
    return $acr->put_manifest('new/repo', 'a', $first);
});
ask('deletion of a manifest',
    { $acr->link_file('new/repo', 'revision', digest($second)) => undef,
      tag('new/repo', 'b', undef) },
    sub {
        return $acr->delete('/v2/new/repo/manifests/' . digest($second));
    });
ask('deletion of a blob',
    { $acr->link_file('mount/repo', 'layer', digest($large)) => undef },
    sub {
        return $acr->delete('/v2/mount/repo/blobs/' . digest($large));
    });
ask('the blob again', blob('mount/repo', digest($large)), sub {
    return $acr->close_upload($acr->upload('mount/repo'), digest($large),
                              $large);
});

$acr->get('/v2/');
$strace->signal('INT');
$strace->ended(10);


# --- the replay

# Of a directory: names that are durable, to inodes, and the changes since, in
# their order.  Of a file: its bytes if it is short (a link), how often it was
# written, how often that was so when it was synced last.
my (%directory, %content, %inode, %fds, %unfinished, $inodes);
my ($syncs, $states, %complaints) = (0, 0);
my ($answered, %acknowledged) = (0);
my $top = $acr->{root};

known($_) for @before;

for my $line (split(/\n/, slurp($log))) {
    my ($pid, $call) = $line =~ /^(\d+) +(.*)$/ or next;

    # a sync covers what was written before it began, and no more
    if ($call =~ s/ <unfinished \.\.\.>$//) {
        $unfinished{$pid} = { call => $call };
        begins($call, $unfinished{$pid});
        next;
    }

    my $state = {};
    if ($call =~ /^<\.\.\. \w+ resumed>,? ?(.*)$/) {
        $state = delete($unfinished{$pid}) || next;
        $call = $state->{call} . $1;
    } else {
        begins($call, $state);
    }

    ends($call, $state);
}

is($answered, scalar(@asked), 'all answers were seen');
cmp_ok($syncs, '>', 50, "$syncs syncs were seen");
cmp_ok($states, '>', 200, "$states states of the directory were looked at");

for my $n (0 .. $#asked) {
    my @all = @{ $complaints{$n} || [] };
    ok(!@all, "$asked[$n]{name}: a power loss takes nothing away")
        or diag(join("\n", @all[0 .. ($#all > 9 ? 9 : $#all)]));
}

finish();


sub ask {
    my ($name, $paths, $request) = @_;

    push(@asked, { name => $name, paths => $paths });
    my $answer = $request->();
    answers($answer, $name =~ /^deletion/ ? 202 : 201, $name);
}


# what a 201 promises of a blob, a manifest, a tag

sub blob {
    my ($repository, $digest) = @_;

    return { $acr->blob_file($digest) => $digest,
             $acr->link_file($repository, 'layer', $digest) => $digest };
}


sub manifest {
    my ($repository, $digest) = @_;

    return ($acr->blob_file($digest) => $digest,
            $acr->link_file($repository, 'revision', $digest) => $digest);
}


sub tag {
    my ($repository, $tag, $image) = @_;

    return ($acr->link_file($repository, 'tag', $tag)
            => defined $image ? digest($image) : undef);
}


sub directories {
    my @found;

    File::Find::find({ no_chdir => 1,
                       wanted => sub { push(@found, $_) if -d } },
                     $acr->{root});

    return sort @found;
}


# a directory that was there before
sub known {
    my ($path) = @_;

    my $inode = $inode{$path} = ++$inodes;

    $directory{$inode} = { durable => {}, changes => [] };
    $directory{$inode{dirname($path)}}{durable}{basename($path)} = $inode
        if $path ne $top;
}


# --- calls: at their beginning, and at their end

sub begins {
    my ($call, $state) = @_;

    my ($name, $arguments) = $call =~ /^(\w+)\((.*)/ or return;

    if ($name =~ /^(?:fsync|fdatasync)$/) {
        my ($inode) = of_fd($arguments) or return;
        my $directory = $directory{$inode};
        my $file = $content{$inode};

        $state->{inode} = $inode;
        $state->{changes} = $directory ? @{ $directory->{changes} } : 0;
        $state->{written} = $file ? $file->{written} : 0;

    } elsif ($name =~ /^(?:p?write|ftruncate|fallocate)/) {
        touched(of_fd($arguments));

    } elsif ($name eq 'copy_file_range') {
        touched(of_fd($arguments =~ s/^[^,]*, [^,]*, //r));
    }

    # the answer leaves: from here on it holds
    if ($arguments =~ m{"HTTP/1\.1\ (?:201|202(?!.*Location:))}x) {
        %acknowledged = (%acknowledged, %{ $asked[$answered]{paths} })
            if $answered < @asked;
        look('its answer');
        $answered++;
    }
}


sub ends {
    my ($call, $state) = @_;

    my ($name, $arguments, $result) = $call =~ /^(\w+)\((.*)\)\s+= (-?\d+)/
        or return;

    return if $result < 0;

    my @paths = $arguments =~ /"((?:\/)[^"]*)"/g;

    if ($name =~ /^(?:fsync|fdatasync)$/) {
        my $inode = $state->{inode} or return;
        $syncs++;

        if ($directory{$inode}) {
            my @done = splice(@{ $directory{$inode}{changes} }, 0,
                              $state->{changes});
            change($directory{$inode}{durable}, @$_) for @done;

        } elsif ($content{$inode}) {
            my $file = $content{$inode};
            $file->{synced} = $state->{written}
                if $state->{written} > $file->{synced};
        }

    } elsif ($name =~ /^(?:p?write|ftruncate|fallocate)/) {
        my $inode = of_fd($arguments) or return;
        touched($inode);

        # of what is written the text is of interest if it is that of a link
        my ($text) = $arguments =~ /, "(sha\d+:[0-9a-f]+)", /;
        $content{$inode}{text} = $text;

    } elsif ($name eq 'copy_file_range') {
        touched(of_fd($arguments =~ s/^[^,]*, [^,]*, //r));

    } elsif ($name =~ /^(?:open|creat)/) {
        my ($path) = $call =~ /= \d+<([^>]*)>$/;
        return if !defined $path || index($path, $top) != 0;

        if (!$inode{$path}) {
            appears($path);
            $content{$inode{$path}} = { written => 1, synced => 0 };
        }
        $fds{$result} = $inode{$path};

    } elsif ($name eq 'close') {
        my ($fd) = $arguments =~ /^(\d+)/;
        delete($fds{$fd});

    } elsif ($name =~ /^rename/) {
        my $inode = $inode{$paths[0]} or return;
        return if ($inode{$paths[1]} || 0) == $inode;
        vanishes($paths[0]);
        appears($paths[1], $inode);

    } elsif ($name =~ /^link/) {
        appears($paths[1], $inode{$paths[0]}) if $inode{$paths[0]};

    } elsif ($name =~ /^mkdir/) {
        appears($paths[-1]);
        $directory{$inode{$paths[-1]}} = { durable => {}, changes => [] };

    } elsif ($name =~ /^(?:unlink|rmdir)/) {
        my $path = $paths[0];
        $path = "$1/$2"
            if !defined $path && $arguments =~ /^\d+<([^>]*)>, "([^"]*)"/;
        vanishes($path) if defined $path && $inode{$path};

    } else {
        return;
    }

    look($call);
}


# the inode behind the descriptor that comes first
sub of_fd {
    my ($arguments) = @_;

    my ($fd, $path) = $arguments =~ /^(\d+)<([^>]*)>/ or return;

    return if index($path, $top) != 0;

    return $fds{$fd} || $inode{$path};
}


sub touched {
    my ($inode) = @_;

    return if !$inode || $directory{$inode};

    $content{$inode} ||= { written => 0, synced => 0 };
    $content{$inode}{written}++;
}


sub appears {
    my ($path, $inode) = @_;

    $inode{$path} = $inode || ++$inodes;
    noted($path, $inode{$path});
}


sub vanishes {
    my ($path) = @_;

    delete($inode{$path});
    noted($path, undef);
}


sub noted {
    my ($path, $inode) = @_;

    my $above = $inode{dirname($path)} or die "nothing above $path\n";

    push(@{ $directory{$above}{changes} }, [basename($path), $inode]);
}


sub change {
    my ($names, $name, $inode) = @_;

    if (defined $inode) {
        $names->{$name} = $inode;
    } else {
        delete($names->{$name});
    }
}


# --- a power loss now

sub look {
    my ($when) = @_;

    my $n = $answered < @asked ? $answered : $#asked;
    my $under_way = $asked[$n]{paths};
    $states++;

    for my $path (sort keys %acknowledged) {
        my %allowed = map { defined $_ ? ($_ => 1) : (gone => 1) }
                      $acknowledged{$path},
                      exists $under_way->{$path} ? $under_way->{$path} : ();

        for my $state (states($path)) {
            next if $allowed{$state};
            push(@{ $complaints{$n} },
                 substr($path, length($top) + 1) . " is $state, after "
                 . ($when =~ s/<[^>]*>|\Q$top\E//gr));
        }
    }
}


# states(PATH): what may be there: "gone", "torn", or the digest that it has
sub states {
    my ($path) = @_;

    # each directory on the way may be one of several, or missing
    my @names = split(m{/}, substr($path, length($top) + 1));
    my @inodes = ($inode{$top});
    my %states;

    for my $name (@names) {
        my %next;

        for my $inode (@inodes) {
            my $directory = $directory{$inode} or next;
            $next{defined $_ ? $_ : 'gone'} = 1
                for $directory->{durable}{$name},
                    map { $_->[1] } grep { $_->[0] eq $name }
                    @{ $directory->{changes} };
        }

        $states{gone} = 1 if delete($next{gone}) || !%next;
        @inodes = keys %next;
    }

    for my $inode (@inodes) {
        my $file = $content{$inode};

        $states{!$file || $file->{synced} < $file->{written} ? 'torn'
                : defined $file->{text} ? $file->{text}
                : named($path)} = 1;
    }

    return sort keys %states;
}


# whole content is what its name says
sub named {
    my ($path) = @_;

    return $path =~ m{/blobs/(\w+)/../(\w+)/data$} ? "$1:$2" : 'no link';
}
