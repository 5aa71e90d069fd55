#!/usr/bin/perl

# Pulls that are sent to a data endpoint on another host, by skopeo, podman,
# docker and containerd: all content comes from there, and no client takes its
# credentials along.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Data ();
use Clients;
use Clients::Login;
use Test::More;

# Another host than 127.0.0.1 for every client.  What reserves the port here
# does so there as well, in all likelihood.
my $host = '127.0.0.2';
my $port = ACR::Node::free_port(\my %reserved);
my $data = "$host:$port";
my $log = ACR::work_dir() . '/data.log';
my $root = ACR::work_dir() . '/volume';
my $key = ACR::Data::secret('clients');

my ($admin) = closed_registry(root => $root, http => <<"HTTP", servers =>
    acr_root $root;
    acr_zone acr:4m;
    acr_data_key $key;
    acr_data_endpoint http://$data;
    log_format data '\$request_method \$status "\$http_user_agent" '
                    'authorization="\$http_authorization" \$uri';
HTTP
    <<"SERVER");
    server {
        listen $data;
        access_log $log data;
        location /acr/data/ {
            acr_data;
        }
    }
SERVER

my $OCI = 'oci:' . layout()->{dir};
my $seen = 0;

clients(skopeo => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my $layout = layout();
    my @skopeo = ('skopeo', '--policy', work() . '/policy.json', 'copy', '-q',
                  '--src-tls-verify=false', '--dest-tls-verify=false');
    my @creds = ("admin:$admin");

    $c->runs('skopeo: push', @skopeo, '--dest-creds', @creds, "$OCI:image",
             "docker://$at:1");
    is_deeply([pulled()], [], 'nothing of which comes from there');
    $c->runs('skopeo: pull', @skopeo, '--src-creds', @creds, "docker://$at:1",
             "dir:$c->{dir}/image");
    is_deeply(digests("$c->{dir}/image"), $layout->digests($layout->{image}),
              'the same bytes');
    from_there($c, 'skopeo');

    podman($c, $at) if $c->has('podman');
    docker($c, $at) if $c->has('dockerd') && $c->has('docker');
    containerd($c, $at) if $c->has('containerd') && $c->has('ctr');
});


sub podman {
    my ($c, $at) = @_;

    my $dir = "$c->{dir}/podman";

    $c->runs('podman: pull', 'podman', '--root', "$dir/root", '--runroot',
             "$dir/run", '--storage-driver', 'vfs', '--cgroup-manager',
             'cgroupfs', '--events-backend', 'none', 'pull', '-q',
             '--tls-verify=false', '--signature-policy',
             work() . '/policy.json', '--creds', "admin:$admin", "$at:1");
    from_there($c, 'podman');
}


sub docker {
    my ($c, $at) = @_;

    my @docker = $c->dockerd() or return;

    $c->runs('docker: login', @docker, 'login', '-u', 'admin', '-p', $admin,
             registry());
    $c->runs('docker: pull', @docker, 'pull', '-q', "$at:1");
    from_there($c, 'docker');
    $c->runs('docker: logout', @docker, 'logout', registry());
}


sub containerd {
    my ($c, $at) = @_;

    my @ctr = $c->containerd() or return;

    $c->runs('containerd: pull', @ctr, 'images', 'pull', '--plain-http',
             '--all-platforms', '--user', "admin:$admin", "$at:1");
    from_there($c, 'containerd');
}


# what the data host has logged since the last call
sub pulled {
    my @lines = split(/\n/, eval { slurp($log) } || '');
    my @new = @lines[$seen .. $#lines];

    $seen = @lines;

    return @new;
}


sub from_there {
    my ($c, $client) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my (@lines, %from);

    # A config and a layer, at least.  A line is written when its client may
    # have gone on already.
    ok(wait_for(sub {
        push(@lines, pulled());
        %from = map { m{ (?:200|206) .* /acr/data/(sha256/\w+)$}
                      ? ($1 => 1) : () } @lines;
        return keys %from >= 2;
    }), "$client: blobs come from there") or diag(join("\n", @lines));
    is_deeply([grep { !/authorization="-"/ } @lines], [],
              "$client: without credentials");
}
