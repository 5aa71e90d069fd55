#!/usr/bin/perl

# Repositories that fill themselves, by skopeo, podman, docker, containerd,
# crane, oras and cosign, each as it is pointed at a mirror: what they get is
# what the registries elsewhere have, of several platforms no more than was
# asked for, and it stays when these are away.
#
# docker.io is a node of ours that wants tokens and lets nobody in without a
# password, quay.io is Debian's docker-registry, if there is one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Client ();
use ACR::Content ();
use ACR::Distribution ();
use Clients;
use Clients::Content ();
use Test::More;

plan(skip_all => 'a registry of somebody else')
    if $ENV{ACR_CLIENTS_REGISTRY};

my $dir = ACR::work_dir();
my $root = "$dir/volume";
my $mirror = ACR::Node::free_port(\my %reserved);
my $log = "$dir/through.log";

my ($hub, $hub_client) = start_hub();
my $quay = ACR::Distribution::program()
           && ACR::Distribution->start("$dir/quay", "$dir/quay/data");
my $quay_is = $quay ? "acr_remote quay.io http://127.0.0.1:$quay->{port};" : '';

registry(root => $root, http => <<"HTTP", servers => <<"SERVER");
    acr_root $root;
    acr_zone acr:4m;
    acr_auth on;
    acr_anonymous_pull docker.io/* quay.io/*;
    acr_credential_set hub user=admin password_file=$dir/hub.password;
    acr_remote docker.io http://127.0.0.1:$hub->{port} credentials=hub;
    $quay_is
    acr_cache_rule docker.io/* docker.io/*;
    log_format through '\$acr_repository \$acr_cache_status \$status '
                       '\$request_method \$request_uri "\$http_user_agent"';
    access_log $log through;
HTTP
    server {
        listen 127.0.0.1:$mirror;
        location / {
            set \$args "ns=docker.io&\$args";
            acr_auth off;
            acr;
        }
        location /acr/admin/ {
            acr_admin;
        }
    }
SERVER

my $at = registry();

rule() if $quay;

clients(skopeo => sub {
    my ($c) = @_;

    skopeo($c);
    podman($c) if $c->has('podman');
    docker($c) if $c->has('dockerd') && $c->has('docker');
    containerd($c) if $c->has('containerd') && $c->has('ctr');
    crane($c) if $c->has('crane');
    oras($c) if $c->has('oras');
    cosign($c) if $c->has('cosign');
});


# --- the registries elsewhere

# the second rule is made while the registry runs; every worker follows it soon
sub rule {
    my $ops = ACR::Client->new($mirror);
    my $path = '/acr/admin/cache-rules/quay';

    is($ops->put($path, body => '{"targetRepository":"quay.io/*",'
                                . '"sourceRepository":"quay.io/*"}')->status(),
       204, 'a rule is made');
    ok(wait_for(sub {
        !grep { $ops->connect()->request('GET', $path)->status() != 200 }
             1 .. 10
    }), 'and followed');
}


# a node, and its client with a password
sub start_hub {
    my $node = ACR::start(fsync => 'off', http => 'acr_auth on;',
                          server => 'location /acr/admin/ { acr_admin; }');
    my $answer = $node->put('/acr/admin/access/admin',
                            body => '{"enabled":true}');
    my $password = $answer->json()->{passwords}[0]{value};

    spew("$dir/hub.password", $password);

    return ($node, $node->as('admin', $password));
}


# a new image for two platforms, of which the index is "multi" and the first one
# "1" in a repository of that registry: its layout
sub offer {
    my ($c, $client, $to, $repository) = @_;

    my $layout = Clients::Content::layout("$c->{dir}/offer-$client",
                                          layout()->{tree});

    give($to, $repository, $layout, 'multi', $layout->{index});
    give($to, $repository, $layout, '1', $layout->{image});

    return $layout;
}


sub give {
    my ($to, $repository, $layout, $reference, $descriptor) = @_;

    my $manifest = $layout->manifest($descriptor);

    give($to, $repository, $layout, $_->{digest}, $_)
        for @{$manifest->{manifests} // []};
    $to->push_blob($repository, slurp($layout->path($_)))
        for grep { defined } $manifest->{config},
            @{$manifest->{layers} // []};
    $to->push_manifest($repository, $reference,
                       slurp($layout->path($descriptor)),
                       $descriptor->{mediaType});
}


# what was asked of it, of a repository: METHOD PATH
sub hub_log {
    my ($repository) = @_;

    return map { m{"(\w+ /v2/\Q$repository\E/\S+) HTTP[^"]*" 2} ? $1 : () }
           split(/\n/, slurp("$hub->{dir}/access.log"));
}


# The image of this platform was fetched, once, no layer of the other one, and
# nothing that the client has not asked for: containerd 2 asks for manifests and
# configs of all platforms.  The layer that all images here share may have been
# there.
sub fetched_one {
    my ($client, $repository, $layout) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($one, $other) = @{$layout->manifest($layout->{index})->{manifests}};
    my $shared = $layout->manifest($one)->{layers}[0]{digest};
    my %one = map { $_ => 1 } @{$layout->digests($one)};
    my (%count, @log);

    # a line is written when its client may have gone on already
    ok(ACR::wait_for(sub {
        @log = hub_log($repository);
        %count = ();
        $count{$_}++ for map { m{^GET .*/(sha256:\w+)$} ? $1 : () } @log;
        return !grep { $_ ne $shared && !$count{$_} } keys %one;
    }), "$client: this platform was fetched") or diag(join("\n", @log));

    is_deeply([grep { $count{$_} > 1 } keys %count], [], "$client: once");
    is_deeply([grep { !$one{$_} && $count{$_} } map { $_->{digest} }
               @{$layout->manifest($other)->{layers}}], [],
              "$client: and no layer of the other one");

    my %asked = map { m{/(sha256:\w+)[? ]} ? ($1 => 1) : () }
                front_log("docker.io/$repository", '');
    is_deeply([grep { !$asked{$_} } keys %count], [],
              "$client: nothing but what it has asked for");
}


# away(FUNCTION): while the registries elsewhere do not answer
sub away {
    my ($function) = @_;

    $hub->stop();
    $quay->stop() if $quay;
    $function->();
    $quay->run() if $quay;
    $hub->run();

    # who is back is used at once when this has found out
    my $client = ACR::Client->new($mirror);
    for my $host ('docker.io', $quay ? 'quay.io' : ()) {
        my $answer = $client->post("/acr/admin/remotes/$host/check");
        is($answer->json()->{result}, 'ok', "$host is back");
    }
}


# what the front has logged of a repository, by a client
sub front_log {
    my ($repository, $agent) = @_;

    return grep { /^\Q$repository\E .*"[^"]*\Q$agent\E[^"]*"$/i }
           split(/\n/, slurp($log));
}


# --- clients

# by a name with a prefix, and by registries.conf
sub skopeo {
    my ($c) = @_;

    my $name = "$c->{name}-skopeo";
    my $layout = offer($c, 'skopeo', $hub_client, "library/$name");
    my $image = "docker://$at/docker.io/library/$name";
    my @skopeo = ('skopeo', '--policy', work() . '/policy.json', 'copy', '-q',
                  '--src-tls-verify=false');
    my $gets = sub {
        my ($what, $kind, @from) = @_;
        my $to = "$c->{dir}/" . ($what =~ s/\W+/-/gr);
        $c->runs("skopeo: $what", @skopeo, @from, "dir:$to");
        is_deeply(digests($to), $layout->digests($layout->{$kind}),
                  'the same bytes');
    };

    my %extra = signatures($name, $layout);

    # "dir" has the manifest of the image, and not the index
    $gets->('one platform of an index', 'image', "$image:multi");
    fetched_one('skopeo', "library/$name", $layout);
    $gets->('all of it', 'index', '--all', "$image:multi");
    $gets->('by digest', 'image', "$image\@$layout->{image}{digest}");

    for my $what (sort keys %extra) {
        my ($reference, $digest) = @{ $extra{$what} };
        $c->runs("skopeo: $what", @skopeo, "$image$reference",
                 "dir:$c->{dir}/$what");
        ok((grep { $_ eq $digest } @{ digests("$c->{dir}/$what") }),
           'the same bytes');
    }

    splice(@skopeo, 1, 0, '--registries-conf', mirrors($c));
    my $mirrored = "docker://docker.io/library/$name";
    $gets->('registries.conf', 'image', "$mirrored:multi");

    away(sub {
        $gets->('without the upstream', 'index', '--all', "$image:multi");
        $gets->('registries.conf without it', 'image', "$mirrored:multi");
        my ($reference, $digest) = @{ $extra{signature} };
        $c->runs('skopeo: the signature', @skopeo, "$image$reference",
                 "dir:$c->{dir}/away");
        my $output = $c->fails('skopeo: what is not here', @skopeo,
                               "$image:none", "dir:$c->{dir}/none");
        like($output, qr/502 Bad Gateway|the origin does not answer/,
             'the reason is told');
    });
    my $output = $c->fails('skopeo: an unknown tag', @skopeo, "$image:none",
                           "dir:$c->{dir}/none");
    like($output, qr/manifest unknown/, 'the reason is told');

    if ($quay) {
        $layout = offer($c, 'quay', $quay, "team/$name");
        $gets->('docker-registry', 'index', '--all',
                "docker://$at/quay.io/team/$name:multi");
        $gets->('it by registries.conf', 'image',
                "docker://quay.io/team/$name:multi");
    }
}


# What cosign makes of an image: a signature under a tag; and what refers to it.
# WHAT => [REFERENCE, DIGEST]
sub signatures {
    my ($name, $layout) = @_;

    my $repository = "library/$name";
    my ($signature, $referrer) = map { ACR::Content::image($_, ["of $_"]) }
                                 map { "{\"$_\":\"$name\"}" } 1, 2;
    my $subject = ',"subject":{"digest":"' . $layout->{image}{digest}
                  . '","mediaType":"' . $layout->{image}{mediaType}
                  . '","size":' . $layout->{image}{size} . '}}';
    my $tag = $layout->{image}{digest} =~ s/:/-/r . '.sig';

    $referrer =~ s/\}\n?$/$subject/;

    $hub_client->push_blob($repository, $_)
        for map { my $s = "{\"$_\":\"$name\"}"; ($s, "of $s") } 1, 2;

    my $signed = $hub_client->push_manifest($repository, $tag, $signature);
    my $referring = $hub_client->push_manifest($repository, undef, $referrer);

    return (signature => [":$tag", $signed],
            referrer => ["\@$referring", $referring]);
}


# a registries.conf in which ours is the mirror of both
sub mirrors {
    my ($c) = @_;

    spew("$c->{dir}/registries.conf", join('', map { <<"TOML" }
[[registry]]
prefix = "$_"
location = "127.0.0.1:1/nobody"
insecure = true
[[registry.mirror]]
location = "$at/$_"
insecure = true
TOML
        qw(docker.io quay.io)));

    return "$c->{dir}/registries.conf";
}


sub podman {
    my ($c) = @_;

    my $dir = "$c->{dir}/podman";
    my $name = "$c->{name}-podman";
    my $layout = offer($c, 'podman', $hub_client, "library/$name");
    my $image = "docker.io/library/$name:multi";
    my $id = $layout->manifest($layout->{image})->{config}{digest};
    my @podman = ('env', 'CONTAINERS_REGISTRIES_CONF=' . mirrors($c), 'podman',
                  '--root', "$dir/root", '--runroot', "$dir/run",
                  '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
                  '--events-backend', 'none');
    my $gets = sub {
        $c->runs("podman: $_[0]", @podman, 'pull', '-q', '--signature-policy',
                 work() . '/policy.json', $image);
        my $output = $c->runs('it is there', @podman, 'image', 'inspect', '-f',
                              '{{.Id}}', $image);
        is("sha256:$output", "$id\n", 'the same image');
    };

    $gets->('pull by registries.conf');
    fetched_one('podman', "library/$name", $layout);
    $c->runs('remove it', @podman, 'image', 'rm', '-a', '-f');
    away(sub { $gets->('pull without the upstream') });
}


# whose mirrors have no names of hosts
sub docker {
    my ($c) = @_;

    my $name = "$c->{name}-docker";
    my $layout = offer($c, 'docker', $hub_client, "library/$name");
    my $id = $layout->manifest($layout->{image})->{config}{digest};
    my @docker = $c->dockerd('--registry-mirror',
                             "http://127.0.0.1:$mirror") or return;
    my $gets = sub {
        my ($what, $image, $expected) = @_;
        $c->runs("docker: $what", @docker, 'pull', '-q', $image);
        my $output = $c->runs('it is there', @docker, 'image', 'inspect', '-f',
                              '{{.Id}}', $image);
        like($output, qr/^(?:$id|$layout->{image}{digest}|\Q$expected\E)\n/,
             'the same image');
    };

    $gets->('pull through a mirror', "$name:multi", $layout->{index}{digest});
    fetched_one('docker', "library/$name", $layout);
    ok((grep { m{ 200 GET /v2/library/\Q$name\E/} }
        front_log("docker.io/library/$name", 'docker')),
       'by its name at Docker Hub');
    $c->runs('docker: remove it', @docker, 'image', 'rm', '-f', "$name:multi");
    away(sub {
        $gets->('pull without the upstream', "$name:multi",
                $layout->{index}{digest});
    });
    $gets->('pull by a name with a prefix', "$at/docker.io/$name:1",
            $layout->{image}{digest});
}


# by hosts.toml: with "ns", and with a path besides
sub containerd {
    my ($c) = @_;

    my $name = "$c->{name}-ctr";
    my $layout = offer($c, 'ctr', $hub_client, "library/$name");
    my @ctr = $c->containerd() or return;
    my @pull = (@ctr, 'images', 'pull', '--hosts-dir', "$c->{dir}/certs.d");
    my $gets = sub {
        my ($what, $image, $descriptor, @more) = @_;
        $c->runs("containerd: $what", @pull, @more, $image);
        $c->has_content($layout, $descriptor, @ctr);
    };
    my $remove = sub {
        my ($status, $output) = $c->run(@ctr, 'images', 'ls', '-q');
        $c->runs('remove it', @ctr, 'images', 'rm', '--sync',
                 split(' ', $output));
    };

    hosts($c, 'docker.io', "http://$at", '');
    my $image = "docker.io/library/$name:multi";
    $gets->('pull', $image, $layout->{image});
    fetched_one('containerd', "library/$name", $layout);
    ok((grep { m{ 20[06] GET /v2/library/\S+ns=docker\.io} }
        front_log("docker.io/library/$name", 'containerd')),
       'by its name at Docker Hub, with "ns"');
    $gets->('all platforms', $image, $layout->{index}, '--all-platforms');
    $remove->();
    away(sub {
        $gets->('without the upstream', $image, $layout->{index},
                '--all-platforms');
    });
    $remove->();

    hosts($c, 'docker.io', "http://$at/v2/docker.io", 'override_path = true');
    $gets->('pull with a path', $image, $layout->{image});
    ok((grep { m{ 20[06] GET /v2/docker\.io/library/\S+ns=docker\.io} }
        front_log("docker.io/library/$name", 'containerd')),
       'which is in the name, too');

    $c->runs('containerd: pull by a name with a prefix', @ctr, 'images',
             'pull', '--plain-http', "$at/docker.io/library/$name:multi");

    if ($quay) {
        $layout = offer($c, 'ctr-quay', $quay, "team/$name");
        hosts($c, 'quay.io', "http://$at", '');
        $gets->('pull from docker-registry', "quay.io/team/$name:multi",
                $layout->{image});
    }

    # nobody is behind the mirror here, of which version 2 says nothing
    hosts($c, 'ghcr.io', "http://$at", '');
    my $output = $c->fails('containerd: no rule is for it', @pull,
                           "ghcr.io/team/$name:multi");
    like($output, qr/127\.0\.0\.1:1\b|not found/, 'it is told');
}


# hosts.toml of a host; nobody is behind the mirror
sub hosts {
    my ($c, $host, $url, $more) = @_;

    spew("$c->{dir}/certs.d/$host/hosts.toml", <<"TOML");
server = "http://127.0.0.1:1"

[host."$url"]
  capabilities = ["pull", "resolve"]
  $more
TOML
}


sub crane {
    my ($c) = @_;

    my $name = "$c->{name}-crane";
    my $layout = offer($c, 'crane', $hub_client, "library/$name");
    my $image = "$at/docker.io/library/$name";
    my @crane = ('crane', '--insecure');

    is($c->runs('crane: digest', @crane, 'digest', "$image:multi"),
       "$layout->{index}{digest}\n", 'is what it should be');
    $c->runs('crane: pull', @crane, 'pull', '--format', 'oci', '--platform',
             'linux/amd64', "$image:multi", "$c->{dir}/crane");
    fetched_one('crane', "library/$name", $layout);
    $c->runs('crane: validate', @crane, 'validate', '--remote',
             "$image:multi");
    away(sub {
        $c->runs('crane: validate without the upstream', @crane, 'validate',
                 '--remote', "$image:multi");
    });
}


sub oras {
    my ($c) = @_;

    my $name = "$c->{name}-oras";
    my $layout = offer($c, 'oras', $hub_client, "library/$name");
    my $image = "$at/docker.io/library/$name";
    my %extra = signatures($name, $layout);
    my $copies = sub {
        my ($what, $to) = @_;
        $c->runs("oras: $what", 'oras', 'cp', '--from-plain-http',
                 "$image:multi", '--to-oci-layout', "$c->{dir}/$to:1");
        my @have = @{ digests("$c->{dir}/$to/blobs/sha256") };
        is_deeply(\@have, $layout->digests($layout->{index}),
                  'the same bytes');
    };

    $copies->('copy', 'oras');
    away(sub { $copies->('copy without the upstream', 'oras-away') });

    # what refers to an image is known when it was pulled

    my ($reference, $digest) = @{ $extra{referrer} };
    $c->runs('oras: a referrer', 'oras', 'manifest', 'fetch', '--plain-http',
             "$image$reference");
    my $output = $c->runs('oras: discover', 'oras', 'discover', '--plain-http',
                          '--format', 'json',
                          "$image\@$layout->{image}{digest}");
    like($output, qr/\Q$digest\E/, 'has it');
}


# signatures under tags; those that refer to an image are not listed before they
# were pulled
sub cosign {
    my ($c) = @_;

    my $name = "$c->{name}-cosign";
    my $layout = offer($c, 'cosign', $hub_client, "library/$name");
    my $image = "library/$name\@$layout->{image}{digest}";
    my $password = slurp("$dir/hub.password");
    my ($status, $help) = $c->run('cosign', 'sign', '--help');
    my @tags = '--new-bundle-format=false';
    @tags = () if ($c->run('cosign', 'sign', @tags, '--help'))[0];
    my @offline = $help =~ /--use-signing-config/
                  ? '--use-signing-config=false' : ();
    my $verifies = sub {
        my $output = $c->runs("cosign: $_[0]", 'cosign', 'verify', @tags,
                              '--key', "$c->{dir}/cosign.pub",
                              '--insecure-ignore-tlog',
                              '--allow-http-registry',
                              "$at/docker.io/$image");
        like($output, qr/\Q$layout->{image}{digest}\E/, 'what is signed');
    };

    $c->runs('cosign: make a key', 'env', 'COSIGN_PASSWORD=', 'cosign',
             'generate-key-pair', '--output-key-prefix', "$c->{dir}/cosign");
    $c->runs('cosign: sign at the upstream', 'env', 'COSIGN_PASSWORD=',
             'cosign', 'sign', @tags, @offline, '--key',
             "$c->{dir}/cosign.key", '--tlog-upload=false', '-y',
             '--allow-http-registry', '--registry-username', 'admin',
             '--registry-password', $password,
             "127.0.0.1:$hub->{port}/$image");

    $verifies->('verify');
    away(sub { $verifies->('verify without the upstream') });
}
