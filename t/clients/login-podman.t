#!/usr/bin/perl

# podman with access control: login, push, pull, what is refused, logout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();

clients(podman => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my $other = registry() . "/other/$c->{name}";
    my $dir = $c->{dir};
    my $layout = layout();

    my @podman = ('podman', '--root', "$dir/root", '--runroot', "$dir/run",
                  '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
                  '--events-backend', 'none');
    my @plain = ('--tls-verify=false');
    my @policy = ('--signature-policy', work() . '/policy.json');
    my @push = (@podman, 'push', '-q', @plain, @policy);
    my @pull = (@podman, 'pull', '-q', @plain, @policy);
    my @puller = ('--creds', "puller:$puller");

    system('tar', '-C', $layout->{tree}, '-cf', "$dir/tree.tar", '.');
    $c->runs('import', @podman, 'import', '-q', "$dir/tree.tar",
             'local/image:1');

    my $output = $c->fails('nobody pushes', @push, 'local/image:1',
                           "docker://$at:1");
    like($output, qr/unauthorized|authentication required|denied/,
         'and is told why');
    $c->fails('a wrong password', @podman, 'login', @plain, '-u', 'admin',
              '-p', 'wrong', registry());

    $c->runs('login', @podman, 'login', @plain, '-u', 'admin', '-p', $admin,
             registry());
    $c->runs('push', @push, 'local/image:1', "docker://$at:1");
    $c->runs('push elsewhere', @push, 'local/image:1', "docker://$other:1");
    $c->runs('pull', @pull, "$at:1");
    $output = $c->runs('search', @podman, 'search', @plain,
                       registry() . '/team/');
    like($output, qr/\Q$at\E/, 'finds it in the catalogue');
    $c->runs('logout', @podman, 'logout', registry());
    $c->runs('remove all', @podman, 'image', 'rm', '-a', '-f');
    $c->fails('nobody pulls', @pull, "$at:1");

    $c->runs('a token pulls', @pull, @puller, "$at:1");
    $output = $c->fails('and does not push', @push, @puller, "$at:1",
                        "docker://$at:2");
    like($output, qr/unauthorized|authentication required|denied/,
         'and is told why');
    $c->fails('nor pulls others', @pull, @puller, "$other:1");
    $c->runs('login of a token', @podman, 'login', @plain, '-u', 'puller',
             '-p', $puller, registry());
    $c->runs('which pulls', @pull, "$at:1");
    $c->runs('logout', @podman, 'logout', registry());
});
