package ACR::Answer;

# An HTTP answer: status, headers, body, and what a registry says in them.

use strict;
use warnings;

use JSON::PP qw(decode_json);


sub parse {
    my ($class, $head) = @_;

    my ($status, @lines) = split(/\r\n/, $head);

    # HTTP/2 has no reason
    $status =~ m{^HTTP/[\d.]+ (\d{3})(?: (.*))?$}
        or die "this is not HTTP: $status\n";

    my $self = bless({ status => $1, body => '', headers => [] }, $class);

    for (@lines) {
        /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or die "bad header: $_\n";
        push(@{ $self->{headers} }, [lc($1), $2]);
    }

    return $self;
}


sub status { return $_[0]->{status} }
sub body { return $_[0]->{body} }


# all headers of a name
sub headers {
    my ($self, $name) = @_;

    return map { $_->[1] } grep { $_->[0] eq lc($name) } @{ $self->{headers} };
}


# the only header of a name
sub header {
    my ($self, $name) = @_;

    my @values = $self->headers($name);
    die "$name is there twice\n" if @values > 1;

    return $values[0];
}


# the path and arguments of Location, whatever its form
sub location {
    my ($self) = @_;

    my $location = $self->header('Location');
    $location =~ s{^https?://[^/]*}{} if defined $location;

    return $location;
}


# the target of Link with rel="next"
sub next_page {
    my ($self) = @_;

    my $link = $self->header('Link');
    return if !defined $link;

    $link =~ m{^<([^>]+)>; rel="next"$} or die "bad Link: $link\n";

    return $1 =~ s{^https?://[^/]*}{}r;
}


sub json {
    my ($self) = @_;

    return decode_json($self->{body});
}


# the first error in the OCI form, or undef
sub error {
    my ($self) = @_;

    my $json = eval { $self->json() };

    return if ref($json) ne 'HASH' || ref($json->{errors}) ne 'ARRAY';

    return $json->{errors}[0];
}


sub code {
    my ($self) = @_;

    my $error = $self->error();

    return $error ? $error->{code} : undef;
}


# one line for a failed test
sub text {
    my ($self) = @_;

    my $body = substr($self->{body}, 0, 300) =~ s/[^ -~]/./gr;

    return join(' | ', $self->{status},
                (map { "$_->[0]: $_->[1]" } @{ $self->{headers} }), $body);
}

1;
