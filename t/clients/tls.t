#!/usr/bin/perl

# conf/production.conf and conf/tls-proxy by skopeo, podman, docker, containerd,
# crane and oras: under the registry's name and at its port, with TLS that they
# verify and passwords.  Also while nginx is reloaded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use ACR::Conf;
use ACR::Line;
use Clients;
use Clients::Network;
use Clients::Session;
use Clients::Tools;
use Test::More;

my $HOST = 'registry.example.com';
my $ADDRESS = '10.0.0.5';

own_network($HOST, $ADDRESS);

my $production = shipped('production.conf',
    ['unix:/run/redis-acr/redis-server.sock' => ACR::redis()->address()]);
my ($registry, $proxy) = shipped_proxy();

same_certificate($production, $proxy);

my @tools = tools($HOST, "$proxy->{dir}/tls.crt");
my $line = ACR::Line->start(ACR::work_dir(), "$ADDRESS:443");

note('conf/production.conf');
my $password = admin($production);
works($production);

# clients may have connections to it still
$production->stop();

note('conf/tls-proxy');
$password = admin($registry);
$proxy->run();
works($proxy, $registry);

ACR::finish();


# works(NODE, MORE): clients come to the first
sub works {
    my (@nodes) = @_;

    $line->leads($nodes[0]{tls_port});
    session($_, $nodes[0], $password) for @tools;

    offer(@tools);
    my $reload = sub { $_->reload() for @nodes };

    in_the_middle('push', 'reload:1', $line, $reload, @tools);
    $_->ends('push during a reload') for @tools;
    uploaded_once($nodes[0], "$_->{repo}/reload", $_->{layout}) for @tools;

    in_the_middle('pull', 'reload:1', $line, $reload, @tools);
    $_->ends('pull during a reload') && $_->same("$_->{repo}/reload:1")
        for @tools;
}
