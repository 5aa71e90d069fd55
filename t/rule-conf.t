#!/usr/bin/perl

# acr_cache_rule, acr_fill_max and acr_fill_rate: what nginx -t says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = prepare(redis => redis());
my $rule = 'acr_cache_rule';

for my $case (
    ["$rule hub/* docker.io/*"],
    ["$rule * docker.io/*"],
    ["$rule hub/* docker.io/* valid=0; $rule hub/a quay.io/a/b valid=10m"],
    ["$rule a localhost/a; $rule b up.test:5000/b; $rule c/* up:5000/*"],
    ["$rule hub/ubuntu docker.io/ubuntu"],
    ["$rule a/* up.test/*; $rule ab/* up.test/*"],
    [$rule, qr/invalid number of arguments in "$rule"/],
    ["$rule a", qr/invalid number of arguments in "$rule"/],
    ["$rule a up.test/a valid=1 gone=404"],
    ["$rule a up.test/a gone=keep"],
    ["$rule a up.test/a gone=410", qr/invalid parameter "gone=410" of "$rule"/],
    ["$rule a up.test/a valid=1 gone=404 valid=2",
     qr/invalid number of arguments in "$rule"/],
    ["$rule a b", qr/the source has no host/],
    ["$rule a library/b", qr/the source begins with no host/],
    ["$rule a Up.test/b", qr/the source begins with no host/],
    ["$rule a https://up.test/b", qr/the source (?:begins|is no)/],
    ["$rule a up.test:0/b", qr/is no host of a registry/],
    ["$rule a up.test/", qr/the source is no repository/],
    ["$rule a up.test/B", qr/the source is no repository/],
    ["$rule A up.test/b", qr/the target is no repository/],
    ["$rule a* up.test/*", qr/the target is no repository/],
    ["$rule */a up.test/*", qr/the target is no repository/],
    ["$rule a/* up.test/b", qr/one has a star, the other has none/],
    ["$rule a up.test/*", qr/one has a star, the other has none/],
    ["$rule a up.test/a; $rule a other.test/a", qr/"a" overlaps with/],
    ["$rule a/* up.test/*; $rule a/b/* up.test/*", qr/"a\/b\/\*" overlaps/],
    ["$rule * up.test/*; $rule a/* up.test/*", qr/"a\/\*" overlaps/],
    ["$rule a up.test/a valid=soon", qr/"valid=soon" of "$rule" is no time/],
    ["$rule a up.test/a valid=", qr/"valid=" of "$rule" is no time/],
    ["$rule a up.test/a for=1", qr/invalid parameter "for=1" of "$rule"/],
    [join(';', map { "$rule r$_ up.test/r$_" } 1 .. 1000)],
    [join(';', map { "$rule r$_ up.test/r$_" } 1 .. 1001),
     qr/"$rule" directive is there too often/],
    ['acr_fill_max 1; acr_fill_rate 1m'],
    ['acr_fill_max 256'],
    ['acr_fill_max 0', qr/"acr_fill_max" must be between 1 and 256/],
    ['acr_fill_max 257', qr/"acr_fill_max" must be between 1 and 256/],
    ['acr_fill_max many', qr/invalid number/],
    ['acr_fill_rate fast', qr/"acr_fill_rate" directive invalid value/],
) {
    tried({ server => $case->[0] . ';' }, $case->[1],
          length($case->[0]) < 100 ? $case->[0] : 'many of them');
}

# what belongs together

my $two = "server { listen 127.0.0.1:1; acr_root $acr->{root};"
          . ' acr_fill_max 2; location / { acr; } }';

tried({ servers => $two, http => 'acr_zone two:4m;' },
      qr/two different "acr_fill_max" or "acr_fill_rate"/,
      'one registry, two maxima');
tried({ server => "$rule a up.test/a;", http => 'acr_zone small:1m;' },
      qr/"$rule" needs an "acr_zone" of 2m at least/, 'a small zone');
tried({ server => "$rule a up.test/a;", lines => { zone => '' } },
      qr/"$rule" needs an "acr_zone" of 2m at least/, 'no zone');

finish();


sub tried {
    my ($change, $error, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $acr->configure(map({ $_ => '' } qw(http server servers)), lines => {},
                    %$change);
    my ($said, $fine) = $acr->test();

    return ok(!$fine && $said =~ $error, "$name is refused") || diag($said)
        if $error;
    return ok($fine, $name) || diag($said);
}
