#!/usr/bin/perl

# ctr: a real containerd, in a directory of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(containerd => sub {
    my ($c) = @_;

    my $name = $c->{repo};
    my $at = registry() . "/$name";
    my $dir = $c->{dir};
    my $layout = layout();
    my @ctr = $c->containerd() or return;

    # what it takes in is an archive of the layout

    system('tar', '-C', $layout->{dir}, '-cf', "$dir/layout.tar", '.');
    $c->runs('import', @ctr, 'images', 'import', '--no-unpack',
             '--all-platforms', '--base-name', 'local', "$dir/layout.tar");

    for my $kind (qw(image index chart)) {
        my $descriptor = $layout->{$kind};
        my $to = "$at/$kind:1";

        $c->runs("push of the $kind", @ctr, 'images', 'push', '--plain-http',
                 $to, "local:$kind");
        stored('it is there', "$name/$kind", 1, $descriptor);
    }

    # nothing may be left of it here

    my ($status, $output) = $c->run(@ctr, 'images', 'ls', '-q');
    $c->runs('remove all', @ctr, 'images', 'rm', '--sync',
             split(' ', $output));
    (undef, $output) = $c->run(@ctr, 'content', 'ls', '-q');
    is($output, '', 'no content is left');

    for my $kind (qw(image index)) {
        my $to = "$at/$kind:1";
        my $descriptor = $layout->{$kind};

        $c->runs("pull of the $kind", @ctr, 'images', 'pull', '--plain-http',
                 '--all-platforms', $to);
        like(($c->run(@ctr, 'images', 'ls', "name==$to"))[1],
             qr/\Q$descriptor->{digest}\E/, 'it is the same');
        $c->has_content(layout(), $descriptor, @ctr);
    }

    # by digest, and without unpacking

    my $digest = $layout->{chart}{digest};
    $c->runs('fetch the chart by digest', @ctr, 'content', 'fetch',
             '--plain-http', "$at/chart\@$digest");
    $c->has_content(layout(), $layout->{chart}, @ctr);

    $output = $c->fails('pull of an unknown tag', @ctr, 'images', 'pull',
                        '--plain-http', "$at/image:unknown");
    like($output, qr/not found/, 'the reason is told');
});
