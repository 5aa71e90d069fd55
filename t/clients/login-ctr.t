#!/usr/bin/perl

# ctr of containerd with access control: it has no login, the name and password
# come with each command.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();

clients(containerd => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my $other = registry() . "/other/$c->{name}";
    my $dir = $c->{dir};
    my $layout = layout();
    my @ctr = $c->containerd() or return;
    my @push = (@ctr, 'images', 'push', '--plain-http');
    my @pull = (@ctr, 'images', 'pull', '--plain-http', '--all-platforms');
    my @admin = ('--user', "admin:$admin");
    my @puller = ('--user', "puller:$puller");

    system('tar', '-C', $layout->{dir}, '-cf', "$dir/layout.tar", '.');
    $c->runs('import', @ctr, 'images', 'import', '--no-unpack',
             '--all-platforms', '--base-name', 'local', "$dir/layout.tar");

    my $output = $c->fails('nobody pushes', @push, "$at:1", 'local:image');
    like($output, qr/authorization failed|unauthorized|401/i,
         'and is told why');
    $c->fails('nor with a wrong password', @push, '--user', 'admin:wrong',
              "$at:1", 'local:image');
    $c->runs('push', @push, @admin, "$at:1", 'local:image');
    $c->runs('push of an index', @push, @admin, "$at:index", 'local:index');
    $c->runs('push elsewhere', @push, @admin, "$other:1", 'local:image');
    $c->fails('a token does not push', @push, @puller, "$at:2",
              'local:image');

    # nothing may be left of it here

    my ($status, $list) = $c->run(@ctr, 'images', 'ls', '-q');
    $c->runs('remove all', @ctr, 'images', 'rm', '--sync', split(' ', $list));

    $c->fails('nobody pulls', @pull, "$at:1");
    $c->fails('a token does not pull others', @pull, @puller, "$other:1");
    $c->runs('a token pulls', @pull, @puller, "$at:1");
    $c->runs('and an index', @pull, @puller, "$at:index");
    like(($c->run(@ctr, 'images', 'ls', "name==$at:1"))[1],
         qr/\Q$layout->{image}{digest}\E/, 'it is the same');
    $c->runs('the admin user pulls all', @pull, @admin, "$other:1");
});
