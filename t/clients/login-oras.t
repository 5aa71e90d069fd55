#!/usr/bin/perl

# oras with access control: login, artifacts, what is refused, logout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Clients::Login;
use Test::More;

my ($admin, $puller) = closed_registry();

clients(oras => sub {
    my ($c) = @_;

    my $at = registry() . "/team/$c->{name}";
    my $other = registry() . "/other/$c->{name}";
    my $dir = $c->{dir};
    my $layout = layout();
    my $known = '--registry-config';
    my @known = ($known, "$dir/known.json", '--plain-http');
    my @token = ($known, "$dir/none.json", '--plain-http', '-u', 'puller',
                 '-p', $puller);

    spew("$dir/$_.json", '{}') for qw(known none);

    my $copy = sub {
        my ($to, @flags) = @_;
        return ('oras', 'cp', '--from-oci-layout', @flags,
                "$layout->{dir}:image", $to);
    };
    my @to_known = ('--to-registry-config', "$dir/known.json",
                    '--to-plain-http');
    my @from_known = ('--from-registry-config', "$dir/known.json",
                      '--from-plain-http');

    my $output = $c->fails('nobody pushes', $copy->("$at/image:1", @to_known));
    like($output, qr/unauthorized|authentication required|no basic auth|401/i,
         'and is told why');
    $c->fails('a wrong password', 'oras', 'login', @known, '-u', 'admin', '-p',
              'wrong', registry());
    $c->runs('login', 'oras', 'login', @known, '-u', 'admin', '-p', $admin,
             registry());
    $c->runs('push', $copy->("$at/image:1", @to_known));
    $c->runs('copy to another repository', 'oras', 'cp', @from_known,
             @to_known, "$at/image:1", "$other/image:1");
    $c->runs('pull', 'oras', 'cp', @from_known, '--to-oci-layout',
             "$at/image:1", "$dir/image:1");
    is_deeply(digests("$dir/image/blobs/sha256"),
              $layout->digests($layout->{image}), 'the same bytes');
    $output = $c->runs('repo tags', 'oras', 'repo', 'tags', @known,
                       "$at/image");
    is($output, "1\n", 'has it');
    $output = $c->runs('repo ls', 'oras', 'repo', 'ls', @known, registry());
    like($output, qr{^team/$c->{name}/image$}m, 'has the repository');
    $c->runs('manifest delete', 'oras', 'manifest', 'delete', @known, '-f',
             "$other/image:1");
    $c->runs('push to it anew', $copy->("$other/image:1", @to_known));
    $c->runs('logout', 'oras', 'logout', $known, "$dir/known.json",
             registry());
    $c->fails('nobody pulls', 'oras', 'manifest', 'fetch', @known,
              "$at/image:1");

    $c->runs('a token pulls', 'oras', 'manifest', 'fetch', @token,
             "$at/image:1");
    $c->runs('and lists', 'oras', 'repo', 'tags', @token, "$at/image");
    $output = $c->fails('and does not push', 'oras', 'tag', @token,
                        "$at/image:1", '2');
    like($output, qr/unauthorized|authentication required|401/i,
         'and is told why');
    $c->fails('nor deletes', 'oras', 'manifest', 'delete', @token, '-f',
              "$at/image:1");
    $c->fails('nor pulls others', 'oras', 'manifest', 'fetch', @token,
              "$other/image:1");
    $c->fails('nor lists all', 'oras', 'repo', 'ls', @token, registry());
    $c->runs('all is as it was', 'oras', 'manifest', 'fetch', @token,
             "$at/image:1");
});
