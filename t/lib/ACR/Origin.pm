package ACR::Origin;

# A registry elsewhere that answers as it is told: repositories that others are
# filled from, by a server that breaks off, lies, waits and refuses.
#
#   my $origin = ACR::Origin->start(work_dir());
#   my $digest = $origin->has_blob('lib/a', $bytes, hold => 1_000_000);
#   $origin->rule('/v2/lib/a/blobs/...', cut => 100);
#   my @asked = $origin->asked(qr{/blobs/});
#
# A rule of a target has, all of them optional:
#   file      what is sent: has_blob() and has_manifest() make it
#   type, digest, etag, headers => [LINE, ...], status, location
#   no_range  Range is passed over
#   cut       the connection breaks at this offset; cuts => how often (always)
#   hold      at this offset it waits until the rule has none
#   wait      before the answer, the same; DIR/left is there if nobody did
#   shift     Content-Range is wrong by so much
#   part => { RULE }    changes it for ranges that begin beyond hold
#   size      what Content-Length says; none => 1: chunked
# A line of asked() is "METHOD TARGET RANGE IF-MATCH AUTHORIZATION"; sent() is
# how many bytes of bodies were sent.

use strict;
use warnings;

use parent 'ACR::Server';

use ACR::Content;
use ACR::Node;
use IO::Select;
use JSON::PP qw(decode_json);
use POSIX ();


sub start {
    my ($class, $dir) = @_;

    my $self = $class->prepare($dir);

    $self->{rules} = {};
    ACR::Node::spew("$self->{dir}/$_", '') for 'asked', 'sent';
    $self->tell({});
    $self->run();

    return $self;
}


# nobody listens until run()
sub stop { $_[0]->{process}->kill_now() }

sub url { return "http://127.0.0.1:$_[0]->{port}" }


# rule(TARGET, NAME => VALUE, ...): changes it; undef removes
sub rule {
    my ($self, $target, %change) = @_;

    my $rule = $self->{rules}{$target} ||= {};

    %$rule = (%$rule, %change);
    delete $rule->{$_} for grep { !defined $rule->{$_} } keys %$rule;
    $self->tell($self->{rules});
}


sub has_blob {
    my ($self, $repository, $bytes, %rule) = @_;

    my $digest = digest($bytes);

    $self->put("/v2/$repository/blobs/$digest", $bytes,
               type => 'application/octet-stream', digest => $digest,
               etag => "\"$digest\"", %rule);

    return $digest;
}


# by its digest and by its tags
sub has_manifest {
    my ($self, $repository, $text, @tags) = @_;

    my $digest = digest($text);
    my $type = decode_json($text)->{mediaType};

    for my $reference ($digest, @tags) {
        $self->put("/v2/$repository/manifests/$reference", $text,
                   type => $type, digest => $digest, etag => "\"$digest\"");
    }

    return $digest;
}


# an image of one layer: its manifest's digest
sub has_image {
    my ($self, $repository, $tag, $layer) = @_;

    my $config = "{\"tag\":\"$tag\"}";

    $self->has_blob($repository, $_) for $config, $layer;

    return $self->has_manifest($repository, image($config, [$layer]), $tag);
}


sub put {
    my ($self, $target, $bytes, %rule) = @_;

    my $file = "$self->{dir}/file" . ++$self->{files};

    ACR::Node::spew($file, $bytes);
    $self->rule($target, file => $file, %rule);
}


sub gone {
    my ($self, $target) = @_;

    delete $self->{rules}{$target};
    $self->tell($self->{rules});
}


sub asked {
    my ($self, $pattern) = @_;

    my @lines = split(/\n/, ACR::Node::slurp("$self->{dir}/asked"));

    return defined $pattern ? grep { /$pattern/ } @lines : @lines;
}


sub sent { return -s "$_[0]->{dir}/sent" ? sum("$_[0]->{dir}/sent") : 0 }


sub sum {
    my $sum = 0;

    $sum += $_ for split(/\n/, ACR::Node::slurp($_[0]));

    return $sum;
}


# --- in its process: each connection has one of its own

sub serve {
    my ($listen, $dir) = @_;

    $SIG{CHLD} = 'IGNORE';

    my $parent = $$;

    while (1) {
        my $fh = $listen->accept() or next;
        my $pid = fork();

        if (defined $pid && $pid == 0) {
            close($listen);
            eval {
                1 while getppid() == $parent && request($fh, $dir, $parent);
            };
            print STDERR $@ if $@;
            POSIX::_exit(0);
        }
    }
}


sub note {
    my ($file, $line) = @_;

    open(my $fh, '>>', $file) or die "$file: $!\n";
    syswrite($fh, "$line\n");
    close($fh);
}


# 0: the connection is over
sub request {
    my ($fh, $dir, $parent) = @_;

    my $in = '';

    while ($in !~ /\r\n\r\n/) {
        sysread($fh, $in, 65536, length($in)) or return 0;
    }

    # after stop() nobody is there, for those with an old connection either
    return 0 if getppid() != $parent;

    my ($method, $target) = $in =~ /^(\S+) (\S+)/;
    my ($range, $last) = $in =~ /^Range: *bytes=(\d+)-(\d*)\r$/mi;
    my $asked = defined $range ? $range . ($last ne '' ? "-$last" : '') : '-';
    my ($match) = $in =~ /^If-Match: *(.*?)\r$/mi;
    my ($secret) = $in =~ /^Authorization: *(.*?)\r$/mi;

    note("$dir/asked", join(' ', $method, $target,
                            map { defined $_ ? $_ : '-' }
                            $asked, $match, $secret));

    my $rule = rule_of($dir, $target, $range);
    my $status = $rule ? $rule->{status} || 200 : 404;

    while ($rule && $rule->{wait} && getppid() == $parent) {
        if (IO::Select->new($fh)->can_read(0.01)) {
            ACR::Node::spew("$dir/left", '');
            return 0;
        }
        $rule = rule_of($dir, $target, $range);
    }

    if (!$rule || !$rule->{file} || $status >= 300) {
        my $body = "{\"errors\":[]}\n";
        print $fh head($status, length($body), $rule)
            . ($method eq 'HEAD' ? '' : $body);
        $fh->flush();
        return 1;
    }

    my $size = -s $rule->{file};
    my $from = 0;
    my $end = $size;

    if (defined $match && $rule->{etag} && $match ne $rule->{etag}) {
        print $fh head(412, 0, $rule);
        $fh->flush();
        return 1;
    }

    my @part;

    if (defined $range && !$rule->{no_range}) {
        if ($range >= $size) {
            print $fh head(416, 0, $rule);
            $fh->flush();
            return 1;
        }
        $from = $range;
        $end = $last + 1 if $last ne '' && $last < $size;
        $status = 206;
        my $shift = $rule->{shift} || 0;
        @part = (sprintf('Content-Range: bytes %d-%d/%d', $from + $shift,
                         $end - 1 + $shift, $rule->{size} || $size));
    }

    my $length = ($end == $size && $rule->{size} || $end) - $from;
    print $fh head($status, $rule->{none} ? undef : $length, $rule, @part);
    $fh->flush();

    return 1 if $method eq 'HEAD';

    my $sent = body($fh, $dir, $parent, $target, $from, $end);
    note("$dir/sent", $sent);

    return !$rule->{none} && $sent == $length;
}


sub rule_of {
    my ($dir, $target, $from) = @_;

    my $rule = ACR::Server::told($dir)->{$target};

    return $rule if !$rule || !$rule->{part} || !defined $from
                    || $from <= $rule->{hold};

    return { %$rule, hold => undef, %{ $rule->{part} } };
}


sub head {
    my ($status, $length, $rule, @more) = @_;

    push(@more, "Content-Length: $length") if defined $length;
    push(@more, 'Transfer-Encoding: chunked') if !defined $length;
    push(@more, "Content-Type: $rule->{type}") if $rule->{type};
    push(@more, "Docker-Content-Digest: $rule->{digest}") if $rule->{digest};
    push(@more, "ETag: $rule->{etag}") if $rule->{etag};
    push(@more, "Location: $rule->{location}") if $rule->{location};
    push(@more, @{ $rule->{headers} || [] });

    return join("\r\n", "HTTP/1.1 $status As told", @more, '', '');
}


# the bytes that were sent
sub body {
    my ($fh, $dir, $parent, $target, $at, $end) = @_;

    my $from = $at;
    my $rule = rule_of($dir, $target, $from);

    open(my $file, '<:raw', $rule->{file}) or die "$rule->{file}: $!\n";
    seek($file, $at, 0);

    my $cut = $rule->{cut};
    $cut = undef if defined $cut && defined $rule->{cuts}
                    && !once($dir, $rule->{cuts});

    while (1) {
        my $stop = defined $cut ? $cut : 9e15;

        if (defined $rule->{hold} && $at >= $rule->{hold}) {
            while (defined($rule = rule_of($dir, $target, $from))
                   && defined $rule->{hold})
            {
                return $at - $from
                    if getppid() != $parent
                       || IO::Select->new($fh)->can_read(0.01);
            }
            return $at - $from if !$rule;
        }

        return $at - $from if $at >= $stop;

        my $n = 65536;
        $n = $stop - $at if $stop - $at < $n;
        $n = $end - $at if $end - $at < $n;
        $n = $rule->{hold} - $at
            if defined $rule->{hold} && $rule->{hold} - $at < $n;

        my $got = sysread($file, my $bytes, $n);
        last if !$got;

        $bytes = sprintf("%x\r\n", $got) . "$bytes\r\n" if $rule->{none};
        put_all($fh, $bytes) or return $at - $from;
        $at += $got;
    }

    put_all($fh, "0\r\n\r\n") if $rule->{none};

    return $at - $from;
}


sub put_all {
    my ($fh, $bytes) = @_;

    while (length($bytes)) {
        my $n = syswrite($fh, $bytes);
        return 0 if !defined $n;
        substr($bytes, 0, $n, '');
    }

    return 1;
}


# one of so many times
sub once {
    my ($dir, $times) = @_;

    for my $n (1 .. $times) {
        return 1 if mkdir("$dir/cut$n");
    }

    return 0;
}

1;
