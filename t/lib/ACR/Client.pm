package ACR::Client;

# What a registry's client does, over one connection that is kept.  ACR::Node
# is one; another registry can be asked with ACR::Client->new($port).

use strict;
use warnings;

use ACR::Content;
use ACR::HTTP;
use MIME::Base64 qw(encode_base64);


sub new {
    my ($class, $port) = @_;

    return bless({ port => $port }, $class);
}


# as(NAME, PASSWORD) or as(TOKEN): another client of the same registry, with
# Basic or with Bearer
sub as {
    my ($self, $name, $password) = @_;

    my $client = ACR::Client->new($self->port());
    $client->{authorization} = defined $password
        ? 'Basic ' . encode_base64("$name:$password", '') : "Bearer $name";

    return $client;
}


sub port { return $_[0]->{port} }


# a connection of its own
sub connect {
    my ($self, %option) = @_;

    return ACR::HTTP->new($self->{port}, %option);
}


# the kept connection; a child of the test gets another
sub kept {
    my ($self) = @_;

    my $http = $self->{http};

    if (!$http || $http->{pid} != $$ || !$http->usable()) {
        $http = $self->{http} = $self->connect();
    }

    return $http;
}


sub forget {
    my ($self) = @_;

    $self->{http}->close() if $self->{http} && $self->{http}{pid} == $$;
    $self->{http} = undef;
}


# as ACR::HTTP::request
sub request {
    my ($self, $method, $target, %option) = @_;

    if (defined $self->{authorization}) {
        $option{headers} = [Authorization => $self->{authorization},
                            @{ $option{headers} || [] }];
    }

    my $answer = eval { $self->kept()->request($method, $target, %option) };

    if (!$answer) {
        my $error = $@;
        $self->forget();
        die "$method $target: $error";
    }

    # It has been asked to close, or says so.
    my $connection = join(',', $answer->headers('Connection'));
    $self->forget() if $connection =~ /close/;

    return $answer;
}


sub get { return shift->request('GET', @_) }
sub head { return shift->request('HEAD', @_) }
sub post { return shift->request('POST', @_) }
sub put { return shift->request('PUT', @_) }
sub delete { return shift->request('DELETE', @_) }


# patch(LOCATION, BYTES, OFFSET or undef, more as for request)
sub patch {
    my ($self, $location, $bytes, $offset, %option) = @_;

    return $self->request('PATCH', $location, body => $bytes, %option,
                          headers => [range($bytes, $offset),
                                      @{ $option{headers} || [] }]);
}


# the headers of a chunk at an offset
sub range {
    my ($bytes, $offset) = @_;

    my @headers = ('Content-Type' => 'application/octet-stream');

    if (defined $offset) {
        push(@headers, 'Content-Range' =>
             sprintf('%d-%d', $offset, $offset + length($bytes) - 1));
    }

    return @headers;
}


# upload(REPOSITORY, QUERY): the location of a new session
sub upload {
    my ($self, $repository, $query) = @_;

    my $target = "/v2/$repository/blobs/uploads/"
                 . (defined $query ? "?$query" : '');
    my $answer = $self->post($target, body => '');

    die 'no upload: ' . $answer->text() . "\n" if $answer->status() != 202;

    return $answer->location();
}


# close_upload(LOCATION, DIGEST, BYTES or undef): the answer
sub close_upload {
    my ($self, $location, $digest, $bytes, %option) = @_;

    return $self->put(with($location, digest => $digest),
                      body => defined $bytes ? $bytes : '', %option);
}


# push_blob(REPOSITORY, BYTES, ALGORITHM): its digest
sub push_blob {
    my ($self, $repository, $bytes, $algorithm) = @_;

    my $digest = digest($bytes, $algorithm);
    my $answer = $self->close_upload($self->upload($repository), $digest,
                                     $bytes);

    die 'no blob: ' . $answer->text() . "\n" if $answer->status() != 201;

    return $digest;
}


# put_manifest(REPOSITORY, REFERENCE or undef for its digest, JSON, TYPE):
# the answer.  The type is the manifest's own if none is given.
sub put_manifest {
    my ($self, $repository, $reference, $json, $type) = @_;

    if (!defined $type) {
        ($type) = $json =~ /^\{[^{}]*?"mediaType":"([^"]+)"/;
    }
    $reference = digest($json) if !defined $reference;

    return $self->put("/v2/$repository/manifests/$reference", body => $json,
                      headers => [defined $type ? ('Content-Type' => $type)
                                                : ()]);
}


# push_manifest(as put_manifest): its digest
sub push_manifest {
    my ($self, $repository, $reference, $json, $type) = @_;

    my $answer = $self->put_manifest($repository, $reference, $json, $type);

    die 'no manifest: ' . $answer->text() . "\n" if $answer->status() != 201;

    return digest($json);
}


# push_image(REPOSITORY, REFERENCE, SEED, MORE): a small image with a config and
# a layer of its own; its digest
sub push_image {
    my ($self, $repository, $reference, $seed, %more) = @_;

    my $config = "{\"seed\":\"$seed\"}";
    my $layer = "layer of $seed";

    $self->push_blob($repository, $_) for $config, $layer;

    return $self->push_manifest($repository, $reference,
                                image($config, [$layer], %more));
}


# the digest that a tag has, or undef
sub resolve {
    my ($self, $repository, $tag) = @_;

    my $answer = $self->head("/v2/$repository/manifests/$tag");

    return $answer->status() == 200
        ? $answer->header('Docker-Content-Digest') : undef;
}


sub tags {
    my ($self, $repository) = @_;

    return @{ $self->get("/v2/$repository/tags/list")->json()->{tags} };
}

1;
