package Clients::Session;

# What each client (Clients::Tools) does with a registry of conf/.

use strict;
use warnings;

use ACR::Conf;
use Clients;
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(session uploaded_once same_certificate);


# session(TOOL, NODE, PASSWORD, LAYOUT): everything, if nothing happens
sub session {
    my ($tool, $node, $password, $layout) = @_;

    my $repo = $tool->{repo};

    subtest($tool->{name}, sub {
        $tool->does('login', $tool->login($password));
        $tool->has($layout);

        $tool->pushes("$repo:first");
        my $digest = $tool->digest();
        $tool->pushes("$repo:first", 'push again');
        $tool->pushes("$repo:second", 'push by another tag');
        uploaded_once($node, $repo, $layout);

        log_in($node, $password, "repository:$repo:pull");
        is($node->resolve($repo, $_), $digest, "$_ is there")
            for qw(first second);

        $tool->pulls("$repo:second", 'pull by tag');
        $tool->pulls("$repo\@$digest", 'pull by digest');

        if (my @list = $tool->to_list($repo)) {
            my $output = $tool->does('list', @list);
            like($output, qr/\b$_\b/, "has $_") for qw(first second);
        }

        if (my @delete = $tool->to_delete($repo, 'second')) {
            $tool->does('delete', @delete);
            is($node->resolve($repo, 'second'), undef, 'it is gone');
        }
    });
}


# uploaded_once(NODE, REPOSITORY, LAYOUT): all blobs of its image were uploaded
# or mounted from another repository, as the log has it, and none was uploaded
# twice
sub uploaded_once {
    my ($node, $repository, $layout) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $manifest = $layout->manifest($layout->{image});
    my $n = 1 + @{ $manifest->{layers} };
    my (%uploaded, %came);

    # a line may come late
    wait_for(sub {
        my $log = slurp("$node->{dir}/access.log");
        my $begin = qr{"(?:POST|PUT) /v2/\Q$repository\E/blobs/uploads/\S*};
        my $digest = qr{=(sha256(?:%3A|:)\w+)\S* HTTP/1\.1" 201 };

        %uploaded = ();
        $uploaded{$_}++ for $log =~ /$begin\bdigest$digest/g;
        %came = (%uploaded, map { $_ => 1 } $log =~ /$begin\bmount$digest/g);

        return keys(%came) >= $n;
    });

    ok(keys(%came) == $n && !grep({ $_ > 1 } values(%uploaded)),
       'each blob was uploaded once')
        or diag(explain(\%came, \%uploaded));
}


# same_certificate(FIRST, NODE...): the others have that of the first
sub same_certificate {
    my ($first, @others) = @_;

    for my $node (@others) {
        spew("$node->{dir}/tls.$_", slurp("$first->{dir}/tls.$_"))
            for qw(crt key);
    }
}

1;
