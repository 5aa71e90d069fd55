#!/usr/bin/perl

# Pushes: in one request (POST, PUT) and as docker does it (POST, PATCH with
# chunks, PUT), beside dd that writes and syncs a file of the same size; to a
# file system in memory, beside SHA-256 and dd; then blobs of 4 MiB from eight
# clients at once.  With acr_fsync off ("unsynced") nothing is synced;
# docker-registry stands between, since it syncs the file but no directory.

use strict;
use warnings;

use ACR::Content;
use ACR::HTTP;
use Bench;
use Digest::SHA;
use POSIX ();

my $CLIENTS = 8;
my $BLOBS = 8;

# a blob is this block again and again, with an end of its own
my $BLOCK = 1 << 20;
my $END = 32;

my $block = bytes($BLOCK);
my $short = substr($block, 0, $BLOCK - $END);

# as Go's client sends it
my $chunks = chunks($block);

my $number = 0;
my %state;

my %GOAL = (
    '1 GiB, one request, ours / dd' => [rate => [0.85, undef]],
    "4 MiB, $CLIENTS at once, ours / docker" => [rate => [2, undef]],
    "4 MiB, $CLIENTS at once, unsynced / docker" => [rate => [5, undef]],
);

$ACR::HTTP::TIMEOUT = 60;

my @servers = (ours('ours'), ours('unsynced', fsync => 'off'), docker());

title('push', 'throughput', 'CPU a byte [and Redis]');

alone('256 MiB', 256);
alone('1 GiB', 1024);
in_memory('1 GiB', 1024);
together('4 MiB', 4);


# one push at a time
sub alone {
    my ($name, $blocks) = @_;

    my %way = ('one request' => \&one_request, 'as docker' => \&as_docker);
    my @ways = grep { wanted("$name, $_") } sort { $b cmp $a } keys %way
        or return;
    my $state = state_of($blocks);
    my $source = source(work_dir(), $blocks);

    for my $way (@ways) {
        my %subjects = (dd => sub { dd($source, work_dir(), $blocks) });

        for my $server (@servers) {
            $subjects{$server->{name}} = sub {
                push_measured($server, $way{$way}, [fresh($state, $blocks)])
            };
        }

        show("$name, $way", rounds(\%subjects), 'dd', 'docker');
    }

    unlink($source);
}


# Without a disk: beside SHA-256 of a file of the same size, and a copy of it,
# one after the other.
sub in_memory {
    my ($name, $blocks) = @_;

    return if !wanted("$name, in memory");

    # what is read, and what is written
    my $dir = memory_dir(2 * $blocks + 512);

    if (!$dir) {
        print("$name, in memory: left out, /dev/shm has no room in memory\n");
        return;
    }

    my $state = state_of($blocks);
    my $source = source($dir, $blocks);
    my $server = ours('ours', root => "$dir/data");

    my $results = rounds({
        ours => sub {
            push_measured($server, \&one_request, [fresh($state, $blocks)])
        },
        'SHA-256 + dd' => sub {
            dd($source, $dir, $blocks, sub { sha256($source) })
        },
    });

    row("$name, in memory", 'ours', 'SHA-256 + dd', $results,
        cpu => [undef, 1.3]);
    printf("%-22s %-19s %-18s %s\n", '', 'in seconds', '',
           join(' / ', map { sprintf('%.2f', seconds($results->{$_}, $blocks)) }
                       'ours', 'SHA-256 + dd'));

    stop($server);
    unlink($source);
}


# of CPU, for all
sub seconds {
    my ($results, $blocks) = @_;

    return $blocks * median([map { $_->{cpu} } @$results]);
}


# many at once
sub together {
    my ($name, $blocks) = @_;

    return if !wanted("$name, $CLIENTS at once");

    my $state = state_of($blocks);
    my %subjects = map {
        my $server = $_;
        ($server->{name} => sub {
            push_measured($server, \&as_docker,
                          map { [map { fresh($state, $blocks) } 1 .. $BLOBS] }
                          1 .. $CLIENTS)
        })
    } @servers;

    show("$name, $CLIENTS at once", rounds(\%subjects), 'docker');
}


# Every client pushes its list of blobs, all at once.  What they have left is
# removed and written back, so that the next one begins as this one did.
sub push_measured {
    my ($server, $way, @lists) = @_;

    my $result = measure($server, sub {
        my @pids = map { client($server, $way, $_) } @lists;

        for (@pids) {
            waitpid($_, 0);
            die "a push to $server->{name} has failed\n" if $?;
        }

        return @lists * @{ $lists[0] } * $lists[0][0]{blocks};
    });

    for my $blob (map { @$_ } @lists) {
        my ($file) = $server->{root} . '/docker/registry/v2/blobs/'
            . $blob->{digest} =~ s{^(\w+):(..)(.*)}{$1/$2/$2$3/data}r;
        unlink($file) or die "$file: $!\n";
    }

    settle();

    return $result;
}


sub client {
    my ($server, $way, $blobs) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    my $done = eval {
        my $http = ACR::HTTP->new($server->{port});
        $way->($http, $_) for @$blobs;
        1;
    };
    print STDERR $@ if !$done;
    POSIX::_exit($done ? 0 : 1);
}


sub one_request {
    my ($http, $blob) = @_;

    my $target = with(session($http), digest => $blob->{digest});

    $http->begin('PUT', $target, headers => [
        'Content-Length' => $blob->{blocks} * $BLOCK,
        'Content-Type' => 'application/octet-stream']);
    $http->send($block) for 2 .. $blob->{blocks};
    $http->send($short . $blob->{end});
    expect($http->answer('PUT'), 201);
}


sub as_docker {
    my ($http, $blob) = @_;

    $http->begin('PATCH', session($http), chunked => 1);
    $http->send($chunks) for 2 .. $blob->{blocks};
    $http->send(chunks($short . $blob->{end}));
    $http->finish();

    my $answer = $http->answer('PATCH');
    expect($answer, 202);

    my $target = with($answer->location(), digest => $blob->{digest});
    expect($http->request('PUT', $target, body => ''), 201);
}


sub session {
    my ($http) = @_;

    my $answer = $http->request('POST', '/v2/team/app/blobs/uploads/',
                                body => '');
    expect($answer, 202);

    return $answer->location();
}


sub expect {
    my ($answer, $status) = @_;

    die 'not ' . $status . ': ' . ($answer ? $answer->text() : 'closed') . "\n"
        if !$answer || $answer->status() != $status;
}


sub chunks {
    my ($bytes) = @_;

    return join('', map { sprintf("%x\r\n%s\r\n", length, $_) }
                    unpack('(a32768)*', $bytes));
}


# SHA-256 of a blob but for its end
sub state_of {
    my ($blocks) = @_;

    if (!$state{$blocks}) {
        my $state = $state{$blocks} = Digest::SHA->new(256);
        $state->add($block) for 2 .. $blocks;
        $state->add($short);
    }

    return $state{$blocks};
}


# a blob that nobody has pushed yet
sub fresh {
    my ($state, $blocks) = @_;

    my $end = sprintf('%0*d', $END, ++$number);

    return { blocks => $blocks, end => $end,
             digest => 'sha256:' . $state->clone()->add($end)->hexdigest() };
}


# a file for dd to read, in memory
sub source {
    my ($dir, $blocks) = @_;

    my $name = "$dir/source";

    open(my $fh, '>:raw', $name) or die "$name: $!\n";
    print $fh $block for 1 .. $blocks;
    close($fh) or die "$name: $!\n";

    settle();

    return $name;
}


# dd(SOURCE, DIRECTORY, BLOCKS, BEFORE): BEFORE is measured with it
sub dd {
    my ($source, $dir, $blocks, $before) = @_;

    my $target = "$dir/target";

    my $result = measure(undef, sub {
        $before->() if $before;
        system("dd if=$source of=$target bs=256k conv=fsync 2> /dev/null") == 0
            or die "dd has failed\n";
        return $blocks;
    });

    unlink($target);
    settle();

    return $result;
}


sub sha256 {
    my ($source) = @_;

    system("openssl dgst -sha256 $source > /dev/null") == 0
        or die "openssl has failed\n";
}


sub settle {
    system('sync', '-f', work_dir());
}


sub show {
    my ($name, $results, @bases) = @_;

    for my $base (@bases) {
        for my $server (grep { $_->{name} ne $base } @servers) {
            row($name, $server->{name}, $base, $results,
                @{ $GOAL{"$name, $server->{name} / $base"} || [] });
        }
    }
}
