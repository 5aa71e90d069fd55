package Clients::Session;

# What each client (Clients::Tools) does with a registry of conf/.

use strict;
use warnings;

use ACR::Conf;
use Clients;
use Clients::Content ();
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(session in_the_middle offer uploaded_once same_certificate);


# of a layer that does not compress
my $PART = 2_000_000;


# session(TOOL, NODE, PASSWORD): everything, if nothing happens
sub session {
    my ($tool, $node, $password) = @_;

    my $repo = $tool->{repo};

    subtest($tool->{name}, sub {
        $tool->does('login', $tool->login($password));
        offer($tool);

        $tool->pushes("$repo:first");
        my $digest = $tool->digest();
        $tool->pushes("$repo:first", 'push again');
        $tool->pushes("$repo:second", 'push by another tag');
        uploaded_once($node, $repo, $tool->{layout});

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


# in_the_middle(WHAT, REFERENCE, LINE, FUNCTION, TOOL...): WHAT is "push" or
# "pull".  All of them begin with it, then the function is called, then it goes
# on, for ends().
sub in_the_middle {
    my ($what, $reference, $line, $function, @tools) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $begins = "begins_$what";

    $line->hold($what eq 'push' ? 'up' : 'down', $PART);
    $_->$begins("$_->{repo}/$reference") for @tools;
    ok(wait_for(sub { $line->held() >= @tools }, 60),
       "all are in the middle of a $what");
    $function->();
    $line->release();
}


# offer(TOOL...): each has an image of its own, so that it has to be uploaded.
# No layer is one of another image: skopeo and podman remember all that they
# have seen, and may push the same files as they were compressed by the other.
sub offer {
    for my $tool (@_) {
        my $dir = $tool->place('offer');
        my $tree = Clients::Content::make_tree("$dir.files");
        spew("$tree/etc/hostname", "$dir\n");
        $tool->has(Clients::Content::layout($dir, $tree));
    }
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
