#!/usr/bin/perl

# docker and skopeo with access control: login, push, pull, what is refused,
# logout; as the admin user, and as a token of a scope map.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use HTTP::Tiny;
use Test::More;

plan(skip_all => 'a registry of somebody else') if $ENV{ACR_CLIENTS_REGISTRY};

my $OCI = 'oci:' . layout()->{dir};

# of several workers each would know of a change a moment later
registry(workers => 1, http => 'acr_auth on;',
         server => 'location /acr/admin/ { acr_admin; }');

my $admin = change('PUT', 'admin', '{"enabled":true}')->{passwords}[0]{value};
change('PUT', 'scope-maps/pull',
       '{"actions":["repositories/team/*/content/read"]}');
change('PUT', 'tokens/puller', '{"scopeMap":"pull"}');
my $puller = change('POST', 'tokens/puller/passwords/password1', '{}')->{value};

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


sub change {
    my ($method, $what, $body) = @_;

    my $answer = HTTP::Tiny->new()->request($method,
        url("/acr/admin/access/$what"), { content => $body });
    die "$method $what: $answer->{content}\n" if !$answer->{success};

    return $answer->{status} == 200 ? json($answer->{content}) : undef;
}
