package ACR::Fault;

# What the tests of faults look at beside answers: descriptors and memory of
# the workers, what is on the disk, and whether Redis says the same.

use strict;
use warnings;

use ACR;
use Digest::SHA;
use Exporter qw(import);
use File::Find ();

our @EXPORT = qw(descriptors connections leaves_nothing memory instrumented
                 half_written differences key session fresh large throttled
                 digest_of);

my $PREFIX = 'acr:{default}:';


# key(NAME): a key of the registry in Redis
sub key {
    my ($name) = @_;

    return "$PREFIX$name";
}


# session(NODE, LOCATION): the hash of an upload session
sub session {
    my ($acr, $location) = @_;

    my ($uuid) = $location =~ m{/uploads/([0-9a-f-]+)};

    return { @{ $acr->{redis}->command('HGETALL', key("upload:$uuid")) } };
}


# fresh(NODE, METHOD, TARGET, OPTIONS): the answer to a request that has a
# connection of its own; undef if it was closed without a word
sub fresh {
    my ($acr, $method, $target, %option) = @_;

    my $http = $acr->connect();
    my $answer = eval {
        $http->request($method, $target, %option,
                       headers => [@{ $option{headers} || [] },
                                   Connection => 'close']);
    };
    my $error = $@;
    $http->close();

    die $error if !$answer && $error !~ /closed without an answer/;

    return $answer;
}


# --- workers

# what the workers have open; anonymous files have their inode in the name
sub descriptors {
    my ($acr) = @_;

    return join("\n", sort($acr->fds()));
}


# connections(NODE): how many clients it has, also those that no worker has
# accepted yet
sub connections {
    my ($acr) = @_;

    my $port = sprintf(':%04X', $acr->port());

    return scalar(grep {
        my @field = split(' ');
        @field > 9 && $field[1] =~ /$port$/ && $field[3] ne '0A'
            && ($field[9] || $field[3] =~ /^0[18]$/)
    } split(/\n/, slurp('/proc/net/tcp')));
}


# leaves_nothing(NODE, DESCRIPTORS, NAME): nobody is connected, and the
# descriptors are what they were; without them it returns what they are
sub leaves_nothing {
    my ($acr, $before, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $acr->forget();

    my $now;
    my $same = wait_for(sub {
        return 0 if connections($acr);
        $now = descriptors($acr);
        return !defined $before || $now eq $before;
    });

    return $now if !defined $before;

    my %had = map { $_ => 1 } split(/\n/, $before);

    return ok($same, $name)
        || diag('more than before: '
                . join(', ', grep { !$had{$_} } split(/\n/, $now || '')));
}


# memory(NODE): bytes that the workers have in memory and share with nobody
sub memory {
    my ($acr) = @_;

    my $sum = 0;

    for my $pid ($acr->workers()) {
        my $status = eval { slurp("/proc/$pid/smaps_rollup") } || '';
        $sum += 1024 * $_ for $status =~ /^Private_\w+:\s+(\d+) kB/mg;
    }

    return $sum;
}


# instrumented(NODE): whether a tool looks at its memory, and keeps some of it
sub instrumented {
    my ($acr) = @_;

    return scalar(grep {
        (eval { slurp("/proc/$_/maps") } || '') =~ /lib[at]san|vgpreload/
    } $acr->workers());
}


# --- content

# large(MIB, SEED): a function that gives the bytes piece by piece (from an
# offset on), their size and their digest
sub large {
    my ($mib, $seed) = @_;

    my $block = bytes(1048576, $seed);
    my $sha = Digest::SHA->new(256);
    my $piece = sub { return substr($block, 8) . pack('Q', $_[0]) };

    $sha->add($piece->($_)) for 0 .. $mib - 1;

    return ($piece, $mib * 1048576, 'sha256:' . $sha->hexdigest());
}


# throttled(NODE, TARGET): a client that has asked for it and takes little: the
# connection, the head of the answer, and a function that reads what is left
# and returns its digest and its size
sub throttled {
    my ($acr, $target, %option) = @_;

    my $http = $acr->connect(receive_buffer => 16384);
    $http->begin('GET', $target, %option);
    my $answer = $http->answer('GET', head => 1);

    my $rest = sub {
        my ($sha, $size) = (Digest::SHA->new(256), 0);
        $http->body($answer, 'GET', to => sub {
            $sha->add($_[0]);
            $size += length($_[0]);
        });
        $http->close();
        return ('sha256:' . $sha->hexdigest(), $size);
    };

    return ($http, $answer, $rest);
}


# digest_of(FILE, ALGORITHM)
sub digest_of {
    my ($file, $algorithm) = @_;

    my $sha = Digest::SHA->new($algorithm =~ s/\D//gr);
    $sha->addfile($file, 'b');

    return "$algorithm:" . $sha->hexdigest();
}


# --- the disk

# half_written(NODE): complaints about what is below its root: content that is
# not what its name says, links that are no links, files without an owner
sub half_written {
    my ($acr) = @_;
    my @complaints;

    for my $file (files("$acr->{root}/docker/registry/v2/blobs")) {
        if ($file !~ m{/(sha\d+)/([0-9a-f]{2})/(\2[0-9a-f]+)/data$}) {
            push(@complaints, "$file is in the way");
        } elsif (digest_of($file, $1) ne "$1:$3") {
            push(@complaints, "$file has another digest");
        }
    }

    for my $file (files("$acr->{root}/docker/registry/v2/repositories")) {
        if ($file =~ m{/_uploads/([0-9a-f-]{36})/data[.\d]*$}) {
            push(@complaints, "$file has no session") if !$acr->{redis}
                ->command('EXISTS', key("upload:$1"));
            next;
        }

        if ($file !~ m{/(?:(sha\d+)/([0-9a-f]+)|current)/link$}) {
            push(@complaints, "$file is in the way");
            next;
        }

        my $named = $1 ? "$1:$2" : undef;
        my $digest = slurp($file);

        push(@complaints, "$file says $digest")
            if $digest !~ /^sha\d+:[0-9a-f]+$/
               || defined $named && $digest ne $named;
        push(@complaints, "$file leads to nothing")
            if !-f $acr->blob_file($digest);
    }

    push(@complaints, map { "$_ is left" } files("$acr->{root}/acr/tmp"));

    return @complaints;
}


sub files {
    my ($top) = @_;
    my @files;

    return if !-d $top;

    # what vanishes meanwhile is no file
    local $SIG{__WARN__} = sub { };
    File::Find::find({ no_chdir => 1,
                       wanted => sub { push(@files, $_) if -f } }, $top);

    return sort @files;
}


# differences(NODE): where Redis and the links on disk differ, and what is
# still pending
sub differences {
    my ($acr) = @_;

    my (%redis, %disk);
    my $ask = sub { return $acr->{redis}->command(@_) };

    for my $repository (@{ $ask->('ZRANGE', key('repos'), 0, -1) }) {
        my %tag = @{ $ask->('HGETALL', key("tag:$repository")) };

        $redis{"$repository layer $_"} = $_
            for @{ $ask->('HKEYS', key("blobs:$repository")) };
        $redis{"$repository revision $_"} = $_
            for @{ $ask->('HKEYS', key("manifests:$repository")) };
        $redis{"$repository tag $_"} = $tag{$_} =~ s/ .*//r for keys %tag;
    }

    my $top = "$acr->{root}/docker/registry/v2/repositories";

    for my $file (files($top)) {
        my $name = substr($file, length($top) + 1);

        if ($name =~ m{^(.+)/_layers/(\w+)/(\w+)/link$}) {
            $disk{"$1 layer $2:$3"} = slurp($file);
        } elsif ($name =~ m{^(.+)/_manifests/revisions/(\w+)/(\w+)/link$}) {
            $disk{"$1 revision $2:$3"} = slurp($file);
        } elsif ($name =~ m{^(.+)/_manifests/tags/([^/]+)/current/link$}) {
            $disk{"$1 tag $2"} = slurp($file);
        }
    }

    my @pending = @{ $ask->('ZRANGE', key('pending'), 0, -1) };
    my %all = (%redis, %disk);

    return ((map { "$_ is pending" } @pending),
            grep { !exists $redis{$_} || !exists $disk{$_}
                   || $redis{$_} ne $disk{$_} } sort keys %all);
}

1;
