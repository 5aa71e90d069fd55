#!/usr/bin/perl

# cosign: signatures and attestations beside an image, without a
# transparency log.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(cosign => sub {
    my ($c) = @_;

    plan(skip_all => 'no skopeo') if !$c->has('skopeo');

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};
    my $layout = layout();
    my $image = "$at/signed\@$layout->{image}{digest}";
    my $bare = "$at/bare\@$layout->{image}{digest}";
    my $output;

    my @key = ('--key', "$dir/cosign.key", '--tlog-upload=false', '-y',
               '--allow-http-registry', offline($c));
    my @public = ('--key', "$dir/cosign.pub", '--insecure-ignore-tlog',
                  '--allow-http-registry');

    $c->runs('push an image', 'skopeo', '--policy', work() . '/policy.json',
             'copy', '-q', '--dest-tls-verify=false',
             "oci:$layout->{dir}:image", "docker://$at/$_:1")
        for qw(signed bare);
    $c->runs('make a key', 'env', 'COSIGN_PASSWORD=', 'cosign',
             'generate-key-pair', '--output-key-prefix', "$dir/cosign");

    $output = $c->fails('verify fails', 'cosign', 'verify', @public, $image);
    like($output, qr/no (?:matching )?signatures/, 'since nothing is signed');

    $c->runs('sign', 'env', 'COSIGN_PASSWORD=', 'cosign', 'sign', @key,
             $image);
    $output = $c->runs('verify', 'cosign', 'verify', @public, $image);
    like($output, qr/\Q$layout->{image}{digest}\E/, 'tells what is signed');
    $c->fails('another repository has no signature', 'cosign', 'verify',
              @public, $bare);

    spew("$dir/predicate.json", '{"builder":"none"}');
    $c->runs('attest', 'env', 'COSIGN_PASSWORD=', 'cosign', 'attest', @key,
             '--type', 'custom', '--predicate', "$dir/predicate.json", $image);
    $c->runs('verify it', 'cosign', 'verify-attestation', @public, '--type',
             'custom', $image);

    $output = $c->runs('tree', 'cosign', 'tree', '--allow-http-registry',
                       $image);
    like($output, qr/sha256:\w+/, 'shows them');

    spew("$dir/file", "a file\n" x 1000);
    $c->runs('upload a file', 'cosign', 'upload', 'blob',
             '--allow-http-registry', '-f', "$dir/file", "$at/file:1");
});


# What keeps it from asking others; the options differ between versions.
sub offline {
    my ($c) = @_;

    my ($status, $output) = $c->run('cosign', 'sign', '--help');
    return $output =~ /--use-signing-config/
           ? '--use-signing-config=false' : ();
}
