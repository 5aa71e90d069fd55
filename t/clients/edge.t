#!/usr/bin/perl

# An edge node (conf/edge.conf) before a registry with access control, by
# skopeo, podman, docker, containerd, crane, oras and cosign: they log in, push
# and pull through it as if it were the registry, what was pulled once is not
# asked for again, and it stays when the registry is away.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Edge;
use Clients;
use Clients::Content ();
use Clients::Login;
use Test::More;

my $log = ACR::work_dir() . '/origin.log';

# the registry has nothing but what edge.conf says it has to have
my ($admin, $puller) = closed_registry(http => <<"HTTP");
    acr_service origin.test;
    log_format origin '\$status \$request_method \$request_uri '
                      '"\$http_user_agent"';
    access_log $log origin;
HTTP

my $origin = Clients::own();
my $edge = edge($origin);
my $at = '127.0.0.1:' . $edge->port();
my $seen = 0;

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


# --- what all of them are asked

# a new image for two platforms
sub offer {
    my ($c, $client) = @_;

    return Clients::Content::layout("$c->{dir}/offer-$client",
                                    layout()->{tree});
}


# the registry has it, without the node
sub pushed {
    my ($client, $repository, $reference, $layout, $descriptor) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $direct = token($repository);
    my @wrong;

    for my $digest (@{$layout->digests($descriptor)}) {
        my $answer = $direct->get("/v2/$repository/blobs/$digest");
        $answer = $direct->get("/v2/$repository/manifests/$digest")
            if $answer->status() == 404;
        push(@wrong, "$digest: " . $answer->status())
            if 'sha256:' . sha256_hex($answer->body()) ne $digest;
    }
    ok(!@wrong, "$client: the registry has the same bytes")
        or diag(join("\n", @wrong));
    is($direct->resolve($repository, $reference), $descriptor->{digest},
       "$client: under its name");
}


# a client of the registry itself, with a token of the admin user
sub token {
    my ($repository) = @_;

    my $answer = $origin->as('admin', $admin)
        ->get('/oauth2/token?service=origin.test&scope=repository:'
              . "$repository:pull,push,delete");

    return $origin->as($answer->json()->{access_token});
}


# what the registry was asked of content, since the last time; its log has what
# is over, but a line may come late: a request of our own is the last
sub asked {
    my $mark = 'mark-' . ++$seen;
    my $at = my $text = '';

    $origin->get("/v2/$mark/tags/list");
    wait_for(sub { ($text = slurp($log)) =~ m{/v2/$mark/} });
    my $before = $seen - 1;
    $text =~ s{.*/v2/mark-$before/[^\n]*\n}{}s;

    return grep { m{/v2/\S+/(?:manifests|blobs)/} } split(/\n/, $text);
}


# unasked(CLIENT): nothing of that came to the registry
sub unasked {
    my ($client) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @asked = asked();
    ok(!@asked, "$client: the registry is not asked for content")
        or diag(join("\n", @asked));
}


# uncached(CLIENT): no client has got the content of a blob from the registry
sub uncached {
    my ($client) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @asked = asked();
    ok((grep { m{ GET /v2/\S+/blobs/sha256:} } @asked),
       "$client: blobs were fetched");
    is_deeply([grep { m{ GET /v2/\S+/blobs/sha256:}
                      && !m{"ngx_http_acr_module"$} } @asked], [],
              "$client: by the node");
}


# away(FUNCTION): while the registry is not there
sub away {
    my ($function) = @_;

    $origin->kill_all();
    $function->();
    $origin->run();

    # a push is let through when this is found out
    ok(wait_for(sub { $edge->get('/oauth2/keys')->status() == 200 }, 60),
       'the registry is back');
}


# moves(REPOSITORY, TAG, DIGEST): the tag is made another one's at the registry;
# the node is told
sub moves {
    my ($repository, $tag, $layout, $descriptor) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $direct = token($repository);
    my $manifest = slurp($layout->path($descriptor));
    my $heard = $edge->as($edge->as('admin', $admin)
        ->get('/oauth2/token?service=origin.test&scope=repository:'
              . "$repository:pull")->json()->{access_token});

    $direct->push_manifest($repository, $tag, $manifest,
                           $descriptor->{mediaType});
    ok(wait_for(sub { $heard->resolve($repository, $tag)
                      eq $descriptor->{digest} }), 'the tag moves');
}


# --- clients

sub skopeo {
    my ($c) = @_;

    my $name = "team/$c->{name}-skopeo";
    my $layout = offer($c, 'skopeo');
    my $image = "docker://$at/$name";
    my @skopeo = ('skopeo', '--policy', work() . '/policy.json');
    my @plain = ('--src-tls-verify=false', '--dest-tls-verify=false');
    my @copy = (@skopeo, 'copy', '-q', @plain);
    my @login = ('--tls-verify=false', $at);
    my $gets = sub {
        my ($what, $kind, @from) = @_;
        my $to = "$c->{dir}/" . ($what =~ s/\W+/-/gr);
        $c->runs("skopeo: $what", @copy, @from, "dir:$to");
        is_deeply(digests($to), $layout->digests($layout->{$kind}),
                  'the same bytes');
    };

    $c->fails('skopeo: nobody pushes', @copy, "oci:$layout->{dir}:image",
              "$image:1");
    $c->fails('skopeo: a wrong password', @skopeo, 'login', '-u', 'admin',
              '-p', 'wrong', @login);
    $c->runs('skopeo: login', @skopeo, 'login', '-u', 'admin', '-p', $admin,
             @login);
    $c->runs('skopeo: push', @copy, '--all', "oci:$layout->{dir}:index",
             "$image:multi");
    pushed('skopeo', $name, 'multi', $layout, $layout->{index});
    $c->runs('skopeo: push again', @copy, '--all', "oci:$layout->{dir}:index",
             "$image:multi");

    asked();
    $gets->('pull', 'index', '--all', "$image:multi");
    uncached('skopeo');
    $gets->('pull again', 'index', '--all', "$image:multi");
    unasked('skopeo');
    $gets->('by digest', 'image', "$image\@$layout->{image}{digest}");

    $c->runs('skopeo: mount', @copy, "$image:multi", "$image-other:1");
    is(token("$name-other")->resolve("$name-other", '1'),
       $layout->{image}{digest}, 'it is there');
    $c->runs('skopeo: list', @skopeo, 'list-tags', '--tls-verify=false',
             $image);
    $c->runs('skopeo: delete', @skopeo, 'delete', '--tls-verify=false',
             "$image-other:1");
    is(token("$name-other")->resolve("$name-other", '1'), undef,
       'it is gone');

    my @puller = ('--src-creds', "puller:$puller");
    $gets->('a token pulls', 'index', @puller, '--all', "$image:multi");
    $c->fails('skopeo: and does not push', @copy, '--dest-creds',
              "puller:$puller", "oci:$layout->{dir}:image", "$image:2");

    away(sub {
        $gets->('pull without the registry', 'index', '--all', "$image:multi");
        $gets->('a token without it', 'index', @puller, '--all',
                "$image:multi");
        $c->fails('skopeo: a wrong one', @copy, '--src-creds', 'puller:wrong',
                  "$image:multi", "dir:$c->{dir}/wrong");
        $c->fails('skopeo: a push', @copy, "oci:$layout->{dir}:image",
                  "$image:2");
    });

    # as a mirror of the registry

    spew("$c->{dir}/registries.conf", <<"TOML");
[[registry]]
prefix = "registry.example.com"
location = "127.0.0.1:1/nobody"
insecure = true
[[registry.mirror]]
location = "$at"
insecure = true
TOML
    splice(@copy, 1, 0, '--registries-conf', "$c->{dir}/registries.conf");
    my $mirrored = "docker://registry.example.com/$name:multi";
    $gets->('registries.conf', 'index', '--all', $mirrored);
    away(sub {
        $gets->('registries.conf without it', 'index', '--all', $mirrored);
    });

    moves($name, 'multi', $layout, $layout->{image});
    $gets->('what has moved', 'image', '--all', "$image:multi");

    $c->runs('skopeo: logout', @skopeo, 'logout', $at);
    $c->fails('skopeo: nobody pulls', @copy, "$image:multi",
              "dir:$c->{dir}/nobody");
}


sub podman {
    my ($c) = @_;

    my $dir = "$c->{dir}/podman";
    my $name = "team/$c->{name}-podman";
    my $layout = offer($c, 'podman');
    my $image = "$at/$name:1";
    my $id = $layout->manifest($layout->{image})->{config}{digest};
    my @podman = ('podman', '--root', "$dir/root", '--runroot', "$dir/run",
                  '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
                  '--events-backend', 'none');
    my @plain = ('--tls-verify=false');
    my @policy = ('-q', @plain, '--signature-policy', work() . '/policy.json');
    my $gets = sub {
        my ($what, @from) = @_;
        $c->runs("podman: $what", @podman, 'pull', @policy, @from);
        my $output = $c->runs('it is there', @podman, 'image', 'inspect', '-f',
                              '{{.Id}}', $from[-1]);
        is("sha256:$output", "$id\n", 'the same image');
        $c->runs('remove it', @podman, 'image', 'rm', '-a', '-f');
    };

    $c->fails('podman: a wrong password', @podman, 'login', @plain, '-u',
              'admin', '-p', 'wrong', $at);
    $c->runs('podman: login', @podman, 'login', @plain, '-u', 'admin', '-p',
             $admin, $at);
    $c->runs('podman: load', @podman, 'pull', '-q', '--signature-policy',
             work() . '/policy.json', "oci:$layout->{dir}:image");
    my $output = $c->runs('it is there', @podman, 'image', 'ls', '-q');
    $c->runs('podman: push', @podman, 'push', @policy, split(' ', $output),
             "docker://$image");
    $c->runs('remove it', @podman, 'image', 'rm', '-a', '-f');

    # it has compressed the layers anew
    asked();
    $gets->('pull', $image);
    uncached('podman');
    $gets->('pull again', $image);
    unasked('podman');
    $gets->('a token pulls', '--creds', "puller:$puller", $image);
    $output = $c->runs('podman: search', @podman, 'search', @plain,
                       "$at/team/");
    like($output, qr/\Q$name\E/, 'has it');
    away(sub { $gets->('pull without the registry', $image) });
    $c->runs('podman: logout', @podman, 'logout', $at);
    $c->fails('podman: nobody pulls', @podman, 'pull', @policy, $image);
}


sub docker {
    my ($c) = @_;

    my $name = "team/$c->{name}-docker";
    my $layout = offer($c, 'docker');
    my $image = "$at/$name:1";
    my @docker = $c->dockerd() or return;
    my ($id, $output);
    my $gets = sub {
        my ($what, $from) = @_;
        $c->runs("docker: $what", @docker, 'pull', '-q', $from);
        $output = $c->runs('it is there', @docker, 'image', 'inspect', '-f',
                           '{{.Id}}', $from);
        is($output, $id, 'the same image');
        $c->runs('remove it', @docker, 'image', 'rm', '-f', $from);
    };

    system('tar', '-C', $layout->{tree}, '-cf', "$c->{dir}/docker.tar", '.');
    $c->runs('docker: import', @docker, 'import', "$c->{dir}/docker.tar",
             $image);
    $id = $c->runs('it is there', @docker, 'image', 'inspect', '-f', '{{.Id}}',
                   $image);

    $c->fails('docker: nobody pushes', @docker, 'push', '-q', $image);
    $c->fails('docker: a wrong password', @docker, 'login', '-u', 'admin',
              '-p', 'wrong', $at);
    $c->runs('docker: login', @docker, 'login', '-u', 'admin', '-p', $admin,
             $at);
    $output = $c->runs('docker: push', @docker, 'push', $image);
    my ($digest) = $output =~ /digest: (sha256:\w+)/;
    is(token($name)->resolve($name, '1'), $digest, 'it is there');
    $c->runs('docker: tag', @docker, 'tag', $image, "$at/$name/other:1");
    $output = $c->runs('docker: push', @docker, 'push', "$at/$name/other:1");
    like($output, qr/Mounted from \Q$name\E/, 'layers are mounted');
    $c->runs('remove it', @docker, 'image', 'rm', '-f', $image,
             "$at/$name/other:1");

    asked();
    $gets->('pull', $image);
    uncached('docker');
    $gets->('pull again', $image);
    unasked('docker');
    $gets->('pull by digest', "$at/$name\@$digest");
    manifests($c, $image, @docker);
    away(sub {
        $gets->('pull without the registry', $image);
        $c->runs('docker: login without it', @docker, 'login', '-u', 'admin',
                 '-p', $admin, $at);
    });

    moves($name, '1', $layout, $layout->{image}) if give($name, $layout);
    $c->runs('docker: pull what has moved', @docker, 'pull', '-q', $image);
    $output = $c->runs('it is there', @docker, 'image', 'inspect', '-f',
                       '{{.Id}}', $image);
    my $config = $layout->manifest($layout->{image})->{config}{digest};
    like($output, qr/^(?:$config|$layout->{image}{digest})$/, 'the new one');

    $c->runs('docker: logout', @docker, 'logout', $at);
    $c->runs('remove it', @docker, 'image', 'rm', '-f', $image);
    $c->fails('docker: nobody pulls', @docker, 'pull', '-q', $image);
}


# the blobs of an image, at the registry
sub give {
    my ($repository, $layout) = @_;

    my $manifest = $layout->manifest($layout->{image});
    my $direct = token($repository);

    $direct->push_blob($repository, slurp($layout->path($_)))
        for $manifest->{config}, @{$manifest->{layers}};

    return 1;
}


# a manifest list of docker's own
sub manifests {
    my ($c, $image, @docker) = @_;

    my @manifest = ('env', 'DOCKER_CLI_EXPERIMENTAL=enabled', @docker,
                    'manifest');
    my $list = $image =~ s/:1$/:list/r;

    $c->runs('docker: manifest create', @manifest, 'create', '--insecure',
             $list, $image);
    $c->runs('docker: manifest push', @manifest, 'push', '--insecure', $list);
    my $output = $c->runs('docker: manifest inspect', @manifest, 'inspect',
                          '--insecure', $list);
    is(eval { scalar(@{json($output)->{manifests}}) }, 1, 'has its entry');
}


# by its name, and as a mirror of the registry
sub containerd {
    my ($c) = @_;

    my $name = "team/$c->{name}-ctr";
    my $layout = offer($c, 'ctr');
    my @ctr = $c->containerd() or return;
    my @creds = ('--user', "admin:$admin");
    my @pull = (@ctr, 'images', 'pull', '--all-platforms');
    my $remove = sub {
        my ($status, $output) = $c->run(@ctr, 'images', 'ls', '-q');
        $c->runs('remove it', @ctr, 'images', 'rm', '--sync',
                 split(' ', $output));
    };
    my $gets = sub {
        my ($what, @from) = @_;
        $c->runs("containerd: $what", @pull, @from);
        $c->has_content($layout, $layout->{index}, @ctr);
        $remove->();
    };

    $c->runs('containerd: import', @ctr, 'images', 'import',
             '--all-platforms', '--base-name', 'local/ctr',
             archive($c, $layout, 'ctr'));
    my ($local) = grep { /index/ } split(' ', $c->runs('it is there', @ctr,
                                                       'images', 'ls', '-q'));
    $c->runs('containerd: push', @ctr, 'images', 'push', '--plain-http',
             @creds, "$at/$name:multi", $local);
    pushed('containerd', $name, 'multi', $layout, $layout->{index});
    $remove->();

    my @plain = ('--plain-http', @creds, "$at/$name:multi");
    $c->fails('containerd: nobody pulls', @pull, '--plain-http',
              "$at/$name:multi");
    asked();
    $gets->('pull', @plain);
    uncached('containerd');
    $gets->('pull again', @plain);
    unasked('containerd');
    away(sub { $gets->('pull without the registry', @plain) });

    spew("$c->{dir}/certs.d/origin.test/hosts.toml", <<"TOML");
server = "http://127.0.0.1:1"

[host."http://$at"]
  capabilities = ["pull", "resolve"]
TOML
    my @mirror = ('--hosts-dir', "$c->{dir}/certs.d", @creds,
                  "origin.test/$name:multi");
    $gets->('pull by hosts.toml', @mirror);
    $gets->('and again', @mirror);
    away(sub { $gets->('without the registry', @mirror) });
}


# an index, as "ctr images import" takes it
sub archive {
    my ($c, $layout, $client) = @_;

    my $dir = "$c->{dir}/only-$client";

    $layout->only($dir, 'index');
    spew("$dir/index.json", <<"JSON");
{"schemaVersion":2,"manifests":[{
"mediaType":"$layout->{index}{mediaType}",
"digest":"$layout->{index}{digest}","size":$layout->{index}{size},
"annotations":{"org.opencontainers.image.ref.name":"index"}}]}
JSON
    system('tar', '-C', $dir, '-cf', "$dir.tar", '.') == 0 or die "tar: $?";

    return "$dir.tar";
}


sub crane {
    my ($c) = @_;

    my $name = "team/$c->{name}-crane";
    my $layout = offer($c, 'crane');
    my $image = "$at/$name:multi";
    my @crane = ('crane', '--insecure');
    my $validates = sub {
        $c->runs("crane: $_[0]", @crane, 'validate', '--remote', $image);
    };

    $layout->only("$c->{dir}/only-crane", 'index');
    $c->runs('crane: login', @crane, 'auth', 'login', '-u', 'admin', '-p',
             $admin, $at);
    $c->runs('crane: push', @crane, 'push', '--index', "$c->{dir}/only-crane",
             $image);
    my $direct = token($name);
    my $digest = $c->runs('crane: digest', @crane, 'digest', $image) =~
                 s/\n//r;
    is($direct->resolve($name, 'multi'), $digest, 'it is there');
    asked();
    $validates->('pull all');
    uncached('crane');
    $validates->('pull again');
    unasked('crane');
    $c->runs('crane: copy', @crane, 'copy', $image, "$at/$name/other:1");
    $c->runs('crane: tag', @crane, 'tag', $image, '2');
    my $output = $c->runs('crane: ls', @crane, 'ls', "$at/$name");
    is($output, "2\nmulti\n", 'it is there');
    away(sub { $validates->('pull without the registry') });
    $c->runs('crane: delete', @crane, 'delete', "$at/$name/other:1");
    $c->runs('crane: logout', @crane, 'auth', 'logout', $at);
    $c->fails('crane: nobody pulls', @crane, 'digest', $image);
}


sub oras {
    my ($c) = @_;

    my $name = "team/$c->{name}-oras";
    my $layout = offer($c, 'oras');
    my $image = "$at/$name:multi";
    my $config = "$c->{dir}/oras.json";
    my @known = ('--registry-config', $config, '--plain-http');
    my @from = ('--from-registry-config', $config, '--from-plain-http');
    my $copies = sub {
        my ($what, $to) = @_;
        $c->runs("oras: $what", 'oras', 'cp', @from, $image,
                 '--to-oci-layout', "$c->{dir}/$to:1");
        is_deeply(digests("$c->{dir}/$to/blobs/sha256"),
                  $layout->digests($layout->{index}), 'the same bytes');
    };

    spew($config, '{}');
    $c->runs('oras: login', 'oras', 'login', @known, '-u', 'admin', '-p',
             $admin, $at);
    $c->runs('oras: push', 'oras', 'cp', '--from-oci-layout',
             "$layout->{dir}:index", '--to-registry-config', $config,
             '--to-plain-http', $image);
    pushed('oras', $name, 'multi', $layout, $layout->{index});
    asked();
    $copies->('pull', 'oras');
    uncached('oras');
    $copies->('pull again', 'oras-again');
    unasked('oras');

    # what refers to an image is not known to the node before

    spew("$c->{dir}/sbom", "{}\n");
    my $subject = "$at/$name\@$layout->{image}{digest}";
    my @discover = ('oras', 'discover', @known, '--format', 'json', $subject);
    $c->runs('oras: discover nothing', @discover);
    $c->runs('oras: attach', 'oras', 'attach', @known, '--artifact-type',
             'text/sbom', '--disable-path-validation', $subject,
             "$c->{dir}/sbom:text/plain");
    my $output;
    ok(wait_for(sub { $output = ($c->run(@discover))[1]; $output =~ /sbom/ }),
       'oras: discover') or diag($output);

    away(sub { $copies->('pull without the registry', 'oras-away') });
    $c->runs('oras: logout', 'oras', 'logout', '--registry-config', $config,
             $at);
    $c->fails('oras: nobody pulls', 'oras', 'manifest', 'fetch', @known,
              $image);
}


sub cosign {
    my ($c) = @_;

    my $name = "team/$c->{name}-cosign";
    my $layout = offer($c, 'cosign');
    my $image = "$at/$name\@$layout->{image}{digest}";
    my ($status, $help) = $c->run('cosign', 'sign', '--help');
    my @offline = $help =~ /--use-signing-config/
                  ? '--use-signing-config=false' : ();
    my @creds = ('--allow-http-registry', '--registry-username', 'admin',
                 '--registry-password', $admin);
    my $verifies = sub {
        my $output = $c->runs("cosign: $_[0]", 'cosign', 'verify', '--key',
                              "$c->{dir}/cosign.pub", '--insecure-ignore-tlog',
                              @creds, $image);
        like($output, qr/\Q$layout->{image}{digest}\E/, 'what is signed');
    };

    give($name, $layout);
    token($name)->push_manifest($name, '1',
                                slurp($layout->path($layout->{image})),
                                $layout->{image}{mediaType});
    $c->runs('cosign: make a key', 'env', 'COSIGN_PASSWORD=', 'cosign',
             'generate-key-pair', '--output-key-prefix', "$c->{dir}/cosign");
    $c->fails('cosign: nothing is signed', 'cosign', 'verify', '--key',
              "$c->{dir}/cosign.pub", '--insecure-ignore-tlog', @creds,
              $image);
    $c->runs('cosign: sign', 'env', 'COSIGN_PASSWORD=', 'cosign', 'sign',
             @offline, '--key', "$c->{dir}/cosign.key", '--tlog-upload=false',
             '-y', @creds, $image);
    $verifies->('verify');
    away(sub { $verifies->('verify without the registry') });
}
