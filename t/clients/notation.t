#!/usr/bin/perl

# notation: signs an image with a certificate, finds the signature by its
# subject, and verifies it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Clients;
use Test::More;

clients(notation => sub {
    my ($c) = @_;

    plan(skip_all => 'no skopeo') if !$c->has('skopeo');

    my $at = registry() . "/$c->{repo}";
    my $dir = $c->{dir};
    my $layout = layout();
    my $image = "$at/signed\@$layout->{image}{digest}";
    my $http = '--insecure-registry';
    my $output;

    # It wants a directory of its own for keys and policies.
    my @notation = ('env', "XDG_CONFIG_HOME=$dir", 'notation');

    spew("$dir/policy.json", <<'POLICY');
{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],
"signatureVerification":{"level":"strict"},"trustStores":["ca:example.org"],
"trustedIdentities":["*"]}]}
POLICY

    $c->runs('push an image', 'skopeo', '--policy', work() . '/policy.json',
             'copy', '-q', '--dest-tls-verify=false',
             "oci:$layout->{dir}:image", "docker://$at/signed:1");
    $c->runs('make a certificate', @notation, 'cert', 'generate-test',
             '--default', 'example.org');
    $c->runs('import the policy', @notation, 'policy', 'import',
             "$dir/policy.json");

    $output = $c->fails('verify fails', @notation, 'verify', $http, $image);
    like($output, qr/no signature/, 'since nothing is signed');

    for my $format (qw(jws cose)) {
        $c->runs("sign with $format", @notation, 'sign', $http,
                 '--force-referrers-tag=false', '--signature-format', $format,
                 $image);
    }
    $c->runs('verify', @notation, 'verify', $http, $image);
    $output = $c->runs('list', @notation, 'list', $http, $image);
    my @found = $output =~ /^\W+sha256:\w+$/mg;
    is(scalar(@found), 2, 'has both');
    $c->runs('inspect', @notation, 'inspect', $http, $image);

    # with the tag that stands for the referrers of a digest

    $c->runs('sign by tag', @notation, 'sign', $http,
             '--force-referrers-tag', $image);
    $c->runs('verify', @notation, 'verify', $http, $image);
});
