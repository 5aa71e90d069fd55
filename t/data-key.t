#!/usr/bin/perl

# The files of acr_data_key: which are taken, which are warned of, and which
# nginx -t refuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $redis = redis();
my $dir = work_dir();
my $secret = '0123456789abcdef' x 2;
my $count = 0;

accepted('a secret', file($secret));
accepted('a line', file("$secret\n"));
accepted('what openssl rand -hex prints', openssl('-hex 32'));
accepted('what openssl rand -base64 prints', openssl('-base64 48'));
accepted('the longest', file('x' x 1024 . "\r\n"));
accepted('several', file($secret), file("${secret}x"));
accepted('16 of them', map { file($secret . chr(97 + $_)) } 0 .. 15);

my $line = qr/acr_data_key.*is not one line of 32 to 1024 printable/;
refuses($line, 'an empty file', file(''));
refuses($line, 'a short one', file(substr($secret, 1)));
refuses($line, 'one that is short but for its line end',
        file(substr($secret, 1) . "\n"));
refuses($line, 'a long one', file('x' x 1025));
refuses($line, 'a very long one', file('x' x 100_000));
refuses($line, 'two lines', file("$secret\n$secret\n"));
refuses($line, 'bytes', file("\0" x 64));
refuses($line, 'a second one that is short', file($secret), file('short'));
refuses(qr/acr_data_key.*is there twice/, 'the same twice', file($secret),
        file("$secret\n"));
refuses(qr/acr_data_key.*more than 16/, '17 of them',
        map { file($secret . chr(97 + $_)) } 0 .. 16);
refuses(qr/open.*none\.key/, 'no file', "$dir/none.key");
refuses(qr/read.*failed/, 'a directory', $dir);

my $open = file($secret);
chmod(0644, $open) or die "chmod: $!";
my ($said, $fine) = conf($open);
ok($fine, 'one that all can read works') or diag($said);
like($said, qr/\[warn\].*acr_data_key.*can read.*\Q$open\E/, 'with a warning');
unlike($said, qr/\Q$secret\E/, 'that does not tell it');
($said) = conf(file($secret));
unlike($said, qr/\[warn\]/, 'others have none');

finish();


# a file with that text, for its owner
sub file {
    my ($text) = @_;

    my $name = "$dir/" . ++$count . '.key';
    spew($name, $text);
    chmod(0600, $name) or die "chmod: $!";
    return $name;
}


sub openssl {
    my ($how) = @_;

    my $text = `openssl rand $how`;
    die "openssl: $?\n" if $?;
    return file($text);
}


# what nginx -t says, and whether it is content
sub conf {
    return prepare(redis => $redis, http => "acr_data_key @_;",
                   server => 'location /acr/data/ { acr_data; }')->test();
}


sub accepted {
    my ($name, @files) = @_;

    my ($text, $ok) = conf(@files);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($ok, $name) or diag($text);
}


sub refuses {
    my ($reason, $name, @files) = @_;

    my ($text, $ok) = conf(@files);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(!$ok, "$name is refused");
    like($text, $reason, 'with the reason');
}
