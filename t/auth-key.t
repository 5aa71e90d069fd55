#!/usr/bin/perl

# The files of acr_token_key: which are taken, whatever stands in them beside
# the key, and which nginx -t refuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $MAX = 65536;

my $redis = redis();
my $dir = work_dir();

my $key = pem('key.pem');
my $other = pem('other.pem');

accepted('a key', $key);
accepted('several', $key, $other);
accepted('a key behind much else', file('a' x 20000 . "\n" . slurp($key)));
accepted('a key before much else', file(slurp($key) . 'a' x 20000));
accepted('the longest file', file('a' x ($MAX - length(slurp($key)) - 1)
                                  . "\n" . slurp($key)));

refuses(qr/longer than $MAX/, 'a longer one',
        file(slurp($key) . 'a' x ($MAX - length(slurp($key)) + 1)));
refuses(qr/no key in PEM/, 'a key that is cut',
        file(substr(slurp($key), 0, 100)));
refuses(qr/no key in PEM/, 'an empty file', file(''));
refuses(qr/open.*none\.pem/, 'no file', "$dir/none.pem");
refuses(qr/read.*failed/, 'a directory', $dir);
refuses(qr/cannot sign/, 'a public key first', public_of($key), $other);
accepted('a public key behind', $other, public_of($key));

finish();


sub pem {
    my ($name) = @_;

    system("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
           . " -out $dir/$name 2> /dev/null") == 0 or die "openssl: $?\n";
    return "$dir/$name";
}


sub public_of {
    my ($name) = @_;

    system("openssl pkey -in $name -pubout -out $name.pub") == 0
        or die "openssl: $?\n";
    return "$name.pub";
}


# a file with that text
sub file {
    my ($text) = @_;

    my $name = "$dir/some.pem";
    spew($name, $text);
    return $name;
}


# what nginx -t says, and whether it is content
sub conf {
    return prepare(redis => $redis, http => "acr_auth on;
                   acr_token_key @_;")->test();
}


sub accepted {
    my ($name, @files) = @_;

    my ($said, $fine) = conf(@files);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($fine, $name) or diag($said);
}


sub refuses {
    my ($why, $name, @files) = @_;

    my ($said, $fine) = conf(@files);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(!$fine && $said =~ $why, "$name is refused") or diag($said);
}
