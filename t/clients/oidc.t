#!/usr/bin/perl

# Users of a real OpenID provider: the package oidc-provider of npm.  What it
# issues is found by discovery, exchanged, and used by skopeo and docker.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Node;
use ACR::Process;
use Clients;
use HTTP::Tiny;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $NOBODY = '00000000-0000-0000-0000-000000000000';
my $AUDIENCE = 'https://registry.test';

plan(skip_all => 'a registry of somebody else') if $ENV{ACR_CLIENTS_REGISTRY};

my $npm = npm('oidc-provider@8.8.1')
    or plan(skip_all => 'no node, or no package oidc-provider');

my $port = ACR::Node::free_port({});
my $issuer = "http://127.0.0.1:$port";
my $log = work() . '/provider.log';

# it may come later than the registry
registry(workers => 1, http => <<"CONF");
    acr_auth on;
    acr_oidc_issuer $issuer audience=$AUDIENCE prefix=idp:;
    acr_role group:idp:dev AcrPush team/*;
    acr_role user:idp:RS256 AcrPull;
CONF

my $node = ACR::Process->spawn($log, 'node',
                               "$FindBin::Bin/lib/provider.mjs", $npm,
                               $issuer, $AUDIENCE);

my $http = HTTP::Tiny->new();
my $OCI = 'oci:' . layout()->{dir};

clients(skopeo => sub {
    my ($c) = @_;

    ok(wait_for(sub { slurp($log) =~ /it listens/ }, 30), 'the provider runs')
        or diag(slurp($log));

    my %refresh = map { $_ => exchange($_) } qw(RS256 ES256 EdDSA);
    my $at = registry() . "/team/$c->{name}";
    my @skopeo = ('skopeo', '--policy', work() . '/policy.json');
    my @copy = (@skopeo, 'copy', '-q', '--src-tls-verify=false',
                '--dest-tls-verify=false');

    $c->runs('login', @skopeo, 'login', '-u', $NOBODY, '-p', $refresh{ES256},
             '--tls-verify=false', registry());
    $c->runs('push', @copy, "$OCI:image", "docker://$at:1");
    $c->runs('pull', @copy, "docker://$at:1", "dir:$c->{dir}/image");
    $c->fails('not elsewhere', @copy, "$OCI:image",
              'docker://' . registry() . "/other/$c->{name}:1");
    $c->runs('logout', @skopeo, 'logout', registry());
    $c->fails('nobody pulls', @copy, "docker://$at:1",
              "dir:$c->{dir}/nobody");

    docker($c, $at, $refresh{EdDSA})
        if $c->has('dockerd') && $c->has('docker');
});


# a refresh token for a token that the provider's client of this name gets
sub exchange {
    my ($alg) = @_;

    my $token = json($http->post_form("$issuer/token", {
        grant_type => 'client_credentials', client_id => $alg,
        client_secret => 'secret' })->{content})->{access_token};
    ok($token, "$alg: a token of the provider");

    my $answer;
    ok(wait_for(sub {
        $answer = $http->post_form(url('/oauth2/exchange'), {
            grant_type => 'access_token', access_token => $token });
        return $answer->{success};
    }), "$alg: is exchanged") or diag($answer->{content});

    my $password = $http->get(url('/v2/'), { headers => {
        Authorization => 'Basic ' . encode_base64("$NOBODY:$token", '') } });
    is($password->{status}, 200, "$alg: is a password");

    return json($answer->{content})->{refresh_token};
}


sub docker {
    my ($c, $at, $password) = @_;

    my @docker = $c->dockerd() or return;

    $c->runs('docker: login', @docker, 'login', '-u', $NOBODY, '-p',
             $password, registry());
    $c->runs('pull', @docker, 'pull', '-q', "$at:1");
    $c->runs('tag', @docker, 'tag', "$at:1", "$at/of/docker:1");
    $c->runs('push', @docker, 'push', '-q', "$at/of/docker:1");
    $c->runs('logout', @docker, 'logout', registry());
    $c->fails('nobody pulls', @docker, 'pull', '-q', "$at/of/docker:1");
}
