#!/usr/bin/perl

# helm with access control: registry login, push, pull, what is refused, logout.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();

clients(helm => sub {
    my ($c) = @_;

    my $at = 'oci://' . registry() . "/team/$c->{name}";
    my $other = 'oci://' . registry() . "/other/$c->{name}";
    my $dir = $c->{dir};
    my @helm = ('helm', '--registry-config', "$dir/known.json");
    my @login = (@helm, 'registry', 'login', '--plain-http');
    my @push = (@helm, 'push', '--plain-http', "$dir/web-0.1.0.tgz");
    my @pull = (@helm, 'pull', '--plain-http', '--version', '0.1.0');

    make_path(map { "$dir/$_" } qw(back nobody token other));

    $c->runs('package', 'helm', 'package', layout()->{dir} . '.chart/web',
             '-d', $dir);
    my $output = $c->fails('nobody pushes', @push, $at);
    like($output, qr/unauthorized|authentication required|401/i,
         'and is told why');
    $c->fails('a wrong password', @login, '-u', 'admin', '-p', 'wrong',
              registry());

    $c->runs('login', @login, '-u', 'admin', '-p', $admin, registry());
    $c->runs('push', @push, $at);
    $c->runs('push elsewhere', @push, $other);
    $c->runs('pull', @pull, '-d', "$dir/back", "$at/web");
    is(slurp("$dir/back/web-0.1.0.tgz"), slurp("$dir/web-0.1.0.tgz"),
       'the same bytes');
    $c->runs('logout', @helm, 'registry', 'logout', registry());
    $c->fails('nobody pulls', @pull, '-d', "$dir/nobody", "$at/web");

    $c->runs('login of a token', @login, '-u', 'puller', '-p', $puller,
             registry());
    $c->runs('which pulls', @pull, '-d', "$dir/token", "$at/web");
    $c->runs('and finds versions', @helm, 'show', 'chart', '--plain-http',
             "$at/web");
    $output = $c->fails('and does not push', @push, $at);
    like($output, qr/unauthorized|authentication required|401/i,
         'and is told why');
    $c->fails('nor pulls others', @pull, '-d', "$dir/other", "$other/web");
    $c->runs('logout', @helm, 'registry', 'logout', registry());
});
