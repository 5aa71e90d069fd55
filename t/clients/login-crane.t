#!/usr/bin/perl

# crane with access control: login, push, pull, what is refused, logout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();

clients(crane => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my $other = registry() . "/other/$c->{name}";
    my $dir = $c->{dir};
    my $layout = layout();
    my @crane = ('crane', '--insecure');
    my @login = (@crane, 'auth', 'login');

    $layout->only("$dir/image", 'image');

    my $output = $c->fails('nobody pushes', @crane, 'push', "$dir/image",
                           "$at:1");
    like($output, qr/unauthorized/i, 'and is told why');
    $c->runs('login with a wrong password', @login, '-u', 'admin', '-p',
             'wrong', registry());
    $c->fails('which does not push', @crane, 'push', "$dir/image", "$at:1");

    $c->runs('login', @login, '-u', 'admin', '-p', $admin, registry());
    $c->runs('push', @crane, 'push', "$dir/image", "$at:1");
    $output = $c->runs('digest', @crane, 'digest', "$at:1");
    is($output, "$layout->{image}{digest}\n", 'is what it should be');
    $c->runs('validate', @crane, 'validate', '--remote', "$at:1");
    $c->runs('copy to another repository', @crane, 'copy', "$at:1",
             "$other:1");
    $c->runs('tag', @crane, 'tag', "$at:1", 'more');
    $output = $c->runs('catalog', @crane, 'catalog', registry());
    like($output, qr{^team/$c->{name}$}m, 'has the repository');
    $c->runs('delete', @crane, 'delete', "$at:more");
    $c->runs('push again', @crane, 'push', "$dir/image", "$at:1");
    $c->runs('logout', @crane, 'auth', 'logout', registry());
    $c->fails('nobody pulls', @crane, 'digest', "$at:1");

    $c->runs('login of a token', @login, '-u', 'puller', '-p', $puller,
             registry());
    $c->runs('which pulls', @crane, 'pull', '--format', 'oci', "$at:1",
             "$dir/back");
    is_deeply(digests("$dir/back/blobs/sha256"),
              $layout->digests($layout->{image}), 'the same bytes');
    $output = $c->runs('and lists', @crane, 'ls', $at);
    like($output, qr/^1$/m, 'has the tag');
    $output = $c->fails('and does not push', @crane, 'tag', "$at:1", 'x');
    like($output, qr/unauthorized/i, 'and is told why');
    $c->fails('nor deletes', @crane, 'delete', "$at:1");
    $c->fails('nor pulls others', @crane, 'digest', "$other:1");
    $c->fails('nor lists all', @crane, 'catalog', registry());
    $c->runs('logout', @crane, 'auth', 'logout', registry());
});
