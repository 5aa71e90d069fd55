package ACR::Load;

# Clients that push, move and delete as fast as they can while other things
# happen, and note what was acknowledged; and the check of all that.
#
#   my $load = ACR::Load->new([$acr, ...], seed => 1);
#   $load->begin(4);                # so many clients
#   ...
#   $load->end();
#   my @complaints = $load->check($acr);
#   $load->{checked}, $load->{resumed}
#
# Each request goes to the next node.  Content depends on nothing but the seed,
# the client and a number, so a blob is known by its digest.  A client that gets
# 5xx, or no answer, tries the next thing a little later.

use strict;
use warnings;

use ACR;
use ACR::Client;
use ACR::Fault;
use Time::HiRes qw(time);

my @REPOSITORIES = map { "load/r$_" } 0 .. 2;
my $CHUNK = 512 * 1024;
my $CHUNKED = 3 * 1048576;


sub new {
    my ($class, $nodes, %option) = @_;

    my $self = bless({ ports => [map { $_->port() } @$nodes],
                       seed => $option{seed} || 0, round => 0, checked => 0,
                       resumed => 0, dir => work_dir() . '/load' }, $class);

    mkdir($self->{dir}) or die "$self->{dir}: $!\n";

    return $self;
}


# begin(CLIENTS): they run until end()
sub begin {
    my ($self, $clients) = @_;

    unlink("$self->{dir}/stop", "$self->{dir}/lossy");
    $self->{round}++;
    $self->{pids} = [];

    for my $client (1 .. $clients) {
        my $pid = fork();
        die "fork: $!\n" if !defined $pid;
        push(@{ $self->{pids} }, $pid);
        next if $pid;

        eval { $self->client($client) };
        $self->jot('bad', "the client has died: $@" =~ s/\s+/ /gr) if $@;
        POSIX::_exit(0);
    }
}


sub end {
    my ($self) = @_;

    spew("$self->{dir}/stop", '');
    waitpid($_, 0) for @{ $self->{pids} };
    $self->read_notes();
}


# lossy(): from now on sessions may be behind what was acknowledged of them
sub lossy { spew("$_[0]{dir}/lossy", '') }

sub stopped { return -e "$_[0]{dir}/stop" }


# acknowledged(): how many things so far, also while clients are at work
sub acknowledged {
    my ($self) = @_;

    my $n = 0;
    $n += () = slurp($_) =~ /^ack /mg for glob("$self->{dir}/notes.*");

    return $n;
}


# --- a client

sub client {
    my ($self, $client) = @_;

    srand($self->{seed} * 1000 + $self->{round} * 100 + $client);

    my $name = "$self->{round}.$client";
    open($self->{notes}, '>>', "$self->{dir}/notes.$name")
        or die "notes: $!\n";

    $self->{client} = $client;
    $self->{nodes} = [map { ACR::Client->new($_) } @{ $self->{ports} }];
    $self->{next} = $client;

    my @things = (qw(blob shared picture picture picture move forget
                    chunked));

    for (my $n = 0; !$self->stopped(); $n++) {
        my $thing = $things[rand(@things)];
        my $seed = "$self->{seed} $name $n";

        $self->$thing($seed) or select(undef, undef, undef, 0.05);
    }
}


sub jot {
    my ($self, @words) = @_;

    my $line = join(' ', @words) . "\n";
    syswrite($self->{notes}, $line) == length($line) or die "note: $!\n";
}


# ask(METHOD, TARGET, OPTIONS): the answer, or undef if there was none or an
# error of the server
sub ask {
    my ($self, $method, $target, %option) = @_;

    my $node = $self->{nodes}[$self->{next}++ % @{ $self->{nodes} }];
    my $answer = eval { $node->request($method, $target, %option) };

    return if !$answer;

    if ($answer->status() >= 500) {
        $self->jot('bad', "$method $target:", $answer->text())
            if $answer->status() != 503;
        return;
    }

    return $answer;
}


# what nobody expects is noted
sub unexpected {
    my ($self, $what, $answer) = @_;

    $self->jot('bad', "$what:", $answer->text()) if $answer;

    return 0;
}


sub repository {
    my ($self) = @_;

    return $REPOSITORIES[rand(@REPOSITORIES)];
}


# a blob in one request or in two; true if it was acknowledged
sub push_bytes {
    my ($self, $repository, $bytes) = @_;

    my $digest = digest($bytes);
    my $target = "/v2/$repository/blobs/uploads/";
    my $answer;

    if (rand() < 0.5) {
        $answer = $self->ask('POST', with($target, digest => $digest),
                             body => $bytes);

    } else {
        $answer = $self->ask('POST', $target, body => '') or return 0;
        return $self->unexpected('POST', $answer)
            if $answer->status() != 202;

        $answer = $self->ask('PUT', with($answer->location(),
                                         digest => $digest), body => $bytes);

        # a session may be lost with its Redis
        return 0 if $answer && $answer->status() == 404;
    }

    return 0 if !$answer;
    return $self->unexpected('PUT', $answer) if $answer->status() != 201;

    $self->jot('ack', 'blob', $repository, $digest);

    return 1;
}


sub blob {
    my ($self, $seed) = @_;

    return $self->push_bytes($self->repository(),
                             bytes(1 + int(rand(200_000)), $seed));
}


# the same as others push, at the same time
sub shared {
    my ($self) = @_;

    my $n = int(time() * 2);

    return $self->push_bytes($self->repository(),
                             bytes(50_000, "$self->{seed} shared $n"));
}


sub picture {
    my ($self, $seed) = @_;

    my $own = rand() < 0.7;
    my $repository = $self->repository();
    my $tag = $own ? "c$self->{client}-" . int(rand(4)) : 'shared';
    my $config = "{\"seed\":\"$seed\"}";
    my $layer = bytes(1 + int(rand(20_000)), "layer $seed");

    $self->push_bytes($repository, $_) || return 0 for $config, $layer;

    return $self->put($repository, $tag, image($config, [$layer]));
}


sub put {
    my ($self, $repository, $tag, $image) = @_;

    my $digest = digest($image);

    $self->jot('try', 'tag', $repository, $tag, $digest, time());
    my $answer = $self->ask('PUT', "/v2/$repository/manifests/$tag",
                            body => $image,
                            headers => ['Content-Type' => $IMAGE]);

    return $self->over($answer, 201, $repository, $tag, $digest);
}


# the attempt to change a tag has ended
sub over {
    my ($self, $answer, $status, $repository, $tag, $digest) = @_;

    my $done = $answer && $answer->status() == $status;

    $self->jot($done ? 'ack' : 'no', 'tag', $repository, $tag, $digest,
                time());

    if ($done) {
        $self->{had}{"$repository $tag"} = $digest if $tag ne 'shared';
        return 1;
    }

    delete($self->{had}{"$repository $tag"});

    return $self->unexpected("tag $tag of $repository", $answer);
}


# an image that is there gets another tag of this client
sub move {
    my ($self) = @_;

    my @tags = grep { $self->{had}{$_} ne 'gone' }
               sort keys %{ $self->{had} || {} };
    return 1 if !@tags;

    my ($repository, $tag) = split(/ /, $tags[rand(@tags)]);
    my $digest = $self->{had}{"$repository $tag"};

    my $answer = $self->ask('GET', "/v2/$repository/manifests/$tag");
    return 0 if !$answer;

    return $self->unexpected("GET of tag $tag of $repository", $answer)
        if $answer->status() != 200 || digest($answer->body()) ne $digest;

    return $self->put($repository, "c$self->{client}-" . int(rand(4)),
                      $answer->body());
}


# a tag of this client goes
sub forget {
    my ($self) = @_;

    my @tags = grep { $self->{had}{$_} ne 'gone' }
               sort keys %{ $self->{had} || {} };
    return 1 if !@tags || rand() < 0.5;

    my ($repository, $tag) = split(/ /, $tags[rand(@tags)]);

    $self->jot('try', 'tag', $repository, $tag, 'gone', time());
    my $answer = $self->ask('DELETE', "/v2/$repository/manifests/$tag");

    return $self->over($answer, 202, $repository, $tag, 'gone');
}


# a large blob in chunks, which goes on where it was after a failure
sub chunked {
    my ($self, $seed) = @_;

    return 1 if rand() < 0.6;

    my $repository = $self->repository();
    my $bytes = bytes($CHUNKED, $seed);
    my $digest = digest($bytes);
    my ($location, $failed);
    my $acknowledged = 0;

    while (!$self->stopped()) {

        if (!$location) {
            my $answer = $self->ask('POST', "/v2/$repository/blobs/uploads/",
                                    body => '');
            return 0 if !$answer;
            return $self->unexpected('POST', $answer)
                if $answer->status() != 202;
            $location = $answer->location();
            $acknowledged = 0;
        }

        my $offset = $self->where($location, $acknowledged);

        if (!defined $offset) {
            select(undef, undef, undef, 0.05);
            next;
        }

        if ($offset < 0) {
            $location = undef;
            next;
        }

        $self->jot('resumed', $offset) if $failed && $offset;
        $failed = 1;

        my $answer = $self->send($location, $bytes, $offset, \$acknowledged)
            or next;

        if ($answer->status() == 201) {
            $self->jot('ack', 'blob', $repository, $digest);
            return 1;
        }

        # one that was closed by a PUT without an answer is no session any more;
        # another may have come before us that nobody waits for any more
        next if $answer->status() =~ /^(?:404|409|416)$/;

        return $self->unexpected("upload of $digest", $answer);
    }

    return 1;
}


# where(LOCATION, ACKNOWLEDGED): the offset of a session, -1 if there is none
sub where {
    my ($self, $location, $acknowledged) = @_;

    my $answer = $self->ask('GET', $location) or return;

    return -1 if $answer->status() == 404;

    my ($last) = ($answer->header('Range') || '') =~ /^0-(\d+)$/;

    if ($answer->status() != 204 || !defined $last) {
        $self->unexpected('GET of an upload', $answer);
        return -1;
    }

    my $offset = $last ? $last + 1 : 0;

    $self->jot('bad', "an upload is at $offset, not $acknowledged")
        if $offset < $acknowledged && !-e "$self->{dir}/lossy";

    return $offset;
}


# the chunks from an offset on, and the PUT
sub send {
    my ($self, $location, $bytes, $offset, $acknowledged) = @_;

    while ($offset < length($bytes)) {
        my $chunk = substr($bytes, $offset, $CHUNK);
        my $answer = $self->ask('PATCH', $location, body => $chunk, headers => [
            ACR::Client::range($chunk, $offset)]);

        return $answer if !$answer || $answer->status() != 202;

        $offset += length($chunk);
        $$acknowledged = $offset;
    }

    return $self->ask('PUT', with($location, digest => digest($bytes)),
                      body => '');
}


# --- what was noted

sub read_notes {
    my ($self) = @_;

    $self->{blobs} = {};
    $self->{tags} = {};
    $self->{bad} = [];
    $self->{resumed} = 0;

    for my $file (glob("$self->{dir}/notes.*")) {
        my %under_way;

        for (split(/\n/, slurp($file))) {
            my ($what, $kind, @words) = split(/ /);

            if ($what eq 'bad') {
                push(@{ $self->{bad} }, substr($_, 4));
            } elsif ($what eq 'resumed') {
                $self->{resumed}++;
            } elsif ($kind eq 'blob') {
                $self->{blobs}{"$words[0] $words[1]"} = 1;
            } else {
                $self->note_tag(\%under_way, $what, @words);
            }
        }
    }
}


# the attempts to change each tag: [digest, begun, ended or undef, acknowledged]
sub note_tag {
    my ($self, $under_way, $what, $repository, $tag, $digest, $time) = @_;

    my $name = "$repository $tag";

    if ($what eq 'try') {
        $under_way->{$name} = [$digest, $time, undef, 0];
        push(@{ $self->{tags}{$name} }, $under_way->{$name});
        return;
    }

    $under_way->{$name}[2] = $time;
    $under_way->{$name}[3] = $what eq 'ack';
}


# allowed(NAME): what the tag may name by now: what was put after all that was
# acknowledged before it began
sub allowed {
    my ($self, $name) = @_;

    my @attempts = @{ $self->{tags}{$name} };
    my @acknowledged = grep { $_->[3] } @attempts;
    my %allowed = @acknowledged ? () : (gone => 1);

    for my $attempt (@attempts) {
        my $end = $attempt->[2];
        next if defined $end && grep { $_->[1] > $end } @acknowledged;
        $allowed{$attempt->[0]} = 1;
    }

    return \%allowed;
}


# check(NODE): everything that was acknowledged, byte for byte; complaints
sub check {
    my ($self, $acr) = @_;

    my @tags = sort keys %{ $self->{tags} };
    my %manifests;

    for my $name (@tags) {
        my ($repository) = split(/ /, $name);
        $manifests{"$repository $_->[0]"} = 1
            for grep { $_->[3] && $_->[0] ne 'gone' }
                @{ $self->{tags}{$name} };
    }

    my @work = ((map { ['blob', $_] } sort keys %{ $self->{blobs} }),
                (map { ['manifest', $_] } sort keys %manifests),
                (map { ['tag', $_] } @tags));

    $self->{checked} += @work;

    # three at once
    my @complaints = map { ref($_) eq 'ARRAY' ? @$_ : $_->{died} } parallel(
        map {
            my $n = $_;
            sub {
                return [map { $self->complaints($acr, @$_) }
                        @work[grep { $_ % 3 == $n } 0 .. $#work]];
            }
        } 0 .. 2);

    return (@{ $self->{bad} }, @complaints);
}


sub complaints {
    my ($self, $acr, $kind, $name) = @_;

    my ($repository, $what) = split(/ /, $name);
    my $answer = $acr->get("/v2/$repository/"
                           . ($kind eq 'blob' ? 'blobs' : 'manifests')
                           . "/$what");
    my $status = $answer->status();

    if ($kind eq 'tag') {
        my $now = $status == 404 ? 'gone' : $status == 200
                  ? digest($answer->body()) : $answer->text();
        my $allowed = $self->allowed($name);

        return $allowed->{$now}
            ? () : "tag $what of $repository is $now, not "
                   . join(' or ', sort keys %$allowed);
    }

    return "$kind $what of $repository: " . $answer->text() if $status != 200;

    return digest($answer->body()) eq $what
        ? () : "$kind $what of $repository has other bytes";
}


# apart(NODE): where Redis and the disk differ, without what is pending.  What
# nobody was told of may be on the disk alone: links that were made before
# their node died.
sub apart {
    my ($self, $acr) = @_;

    my (@differences, %pending);

    for (differences($acr)) {
        if (/^(.*?)([:@])(.*) is pending$/) {
            $pending{"$1 $3"} = 1;
        } else {
            push(@differences, $_);
        }
    }

    return grep {
        my ($repository, $kind, $what) = split(/ /);
        !$pending{"$repository $what"}
            && ($kind eq 'tag' || $self->known($acr, $repository, $what));
    } @differences;
}


# whether Redis has it
sub known {
    my ($self, $acr, $repository, $digest) = @_;

    return grep {
        $acr->{redis}->command('HEXISTS', key("$_:$repository"), $digest)
    } qw(blobs manifests);
}

1;
