#!/usr/bin/perl

# conf/production.conf and conf/tls-proxy by skopeo, podman, docker, containerd,
# crane and oras: under the registry's name and at its port, with TLS that they
# verify and passwords.

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
    ['unix:/var/lib/acr/redis/redis.sock' => ACR::redis()->address()]);
my ($registry, $proxy) = shipped_proxy();

same_certificate($production, $proxy);

my @tools = tools($HOST, "$proxy->{dir}/tls.crt");
my $line = ACR::Line->start(ACR::work_dir(), "$ADDRESS:443");
my $password;

note('conf/production.conf');
$password = admin($production);
$line->set(to => $production->{tls_port});
session($_, $production, $password, layout()) for @tools;

note('conf/tls-proxy');
$password = admin($registry);
$proxy->run();
$line->set(to => $proxy->{tls_port});
session($_, $proxy, $password, layout()) for @tools;

ACR::finish();
