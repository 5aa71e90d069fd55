#!/usr/bin/perl

# docker and skopeo with access control: login, push, pull, what is refused,
# logout; as the admin user, and as a token of a scope map.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();
my $OCI = 'oci:' . layout()->{dir};

clients(skopeo => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my @skopeo = ('skopeo', '--policy', work() . '/policy.json');
    my @plain = ('--src-tls-verify=false', '--dest-tls-verify=false');
    my @copy = (@skopeo, 'copy', '-q', @plain);
    my @login = ('--tls-verify=false', registry());

    $c->fails('nobody pushes', @copy, "$OCI:image", "docker://$at:1");
    $c->fails('nor with a wrong password', @skopeo, 'login', '-u', 'admin',
              '-p', 'wrong', @login);
    $c->runs('login', @skopeo, 'login', '-u', 'admin', '-p', $admin, @login);
    $c->runs('push', @copy, "$OCI:image", "docker://$at:1");
    $c->runs('pull', @copy, "docker://$at:1", "dir:$c->{dir}/image");
    $c->runs('mount', @copy, "docker://$at:1",
             "docker://" . registry() . "/other/$c->{name}:1");
    $c->runs('list', @skopeo, 'list-tags', '--tls-verify=false',
             "docker://$at");
    $c->runs('delete', @skopeo, 'delete', '--tls-verify=false',
             "docker://" . registry() . "/other/$c->{name}:1");
    $c->runs('logout', @skopeo, 'logout', registry());

    my @puller = ('--src-creds', "puller:$puller");
    $c->runs('a token pulls', @copy, @puller, "docker://$at:1",
             "dir:$c->{dir}/again");
    $c->fails('and does not push', @copy, '--dest-creds', "puller:$puller",
              "$OCI:image", "docker://$at:2");
    $c->fails('nor pulls others', @copy, @puller,
              "docker://" . registry() . "/other/$c->{name}:1",
              "dir:$c->{dir}/other");
    $c->fails('nobody pulls', @copy, "docker://$at:1",
              "dir:$c->{dir}/nobody");

    docker($c, $at) if $c->has('dockerd') && $c->has('docker');
});


sub docker {
    my ($c, $at) = @_;

    my @docker = $c->dockerd() or return;

    my $output = $c->fails('docker: nobody pulls', @docker, 'pull', '-q',
                           "$at:1");
    like($output, qr/authentication required|denied|unauthorized/,
         'and is told why');
    $c->fails('a wrong password', @docker, 'login', '-u', 'admin', '-p',
              'wrong', registry());
    $c->runs('login', @docker, 'login', '-u', 'admin', '-p', $admin,
             registry());
    $c->runs('pull', @docker, 'pull', '-q', "$at:1");
    $c->runs('tag', @docker, 'tag', "$at:1", "$at/of/docker:1");
    $c->runs('push', @docker, 'push', '-q', "$at/of/docker:1");
    $c->runs('logout', @docker, 'logout', registry());
    $c->fails('nobody pushes', @docker, 'push', '-q', "$at/of/docker:1");

    $c->runs('login of a token', @docker, 'login', '-u', 'puller', '-p',
             $puller, registry());
    $c->runs('which pulls', @docker, 'pull', '-q', "$at/of/docker:1");
    $output = $c->fails('and does not push', @docker, 'push', '-q',
                        "$at/of/docker:1");
    $c->runs('logout', @docker, 'logout', registry());
}
