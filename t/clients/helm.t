#!/usr/bin/perl

# helm: a chart as an OCI artifact, pushed and pulled.  Debian has no package
# of it: this needs one in the path, or in a chroot.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(helm => sub {
    my ($c) = @_;

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};
    my $chart = layout()->{dir} . '.chart/web';

    $c->runs('package', 'helm', 'package', $chart, '-d', $dir);
    my $output = $c->runs('push', 'helm', 'push', '--plain-http',
                          "$dir/web-0.1.0.tgz", "oci://$at/charts");
    like($output, qr/Digest: sha256:\w+/, 'it tells the digest');

    make_path("$dir/back");
    $c->runs('pull', 'helm', 'pull', '--plain-http', '--version', '0.1.0',
             '-d', "$dir/back", "oci://$at/charts/web");
    is(slurp("$dir/back/web-0.1.0.tgz"), slurp("$dir/web-0.1.0.tgz"),
       'the same bytes');
    $output = $c->runs('template', 'helm', 'template', '--plain-http', 'it',
                       "oci://$at/charts/web");
    like($output, qr/name: it/, 'it works');
});
