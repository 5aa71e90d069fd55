#!/usr/bin/perl

# Attributes that are on their way to the disk while Redis loses everything:
# what was answered with 200 is there after the rebuild.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;
use JSON::PP;

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $shim = ACR::Shim->new();
my $acr = start(workers => 2, env => $shim->env(),
                redis_options => 'timeout=500ms');

$acr->allow(qr/\[alert\].*has lost changes/, qr/is not acknowledged/);

sub race {
    my ($repo, $path, $rule, $get) = @_;

    $acr->push_image($repo, '1', 'a');
    $shim->rules($rule);

    my $patch = $acr->connect();
    $patch->send("PATCH /acr/v1/$path HTTP/1.1\r\nHost: a\r\n"
                 . "Content-Length: 22\r\n\r\n{\"writeEnabled\":false}");

    ok(wait_for(sub { $shim->hits() }), "$path: it is being written");
    $acr->{redis}->command('FLUSHALL');

    # somebody needs the repository
    my $other = fresh($acr, 'GET', "/v2/$repo/tags/list");
    answers($other, 200, 'which is rebuilt');

    my $answer = $patch->answer('PATCH');
    $shim->clear();
    ok(complete($acr), 'rebuilt');

    SKIP: {
        skip('it was not acknowledged', 1) if $answer->status() != 200;
        my $now = $acr->get("/acr/v1/$path");
        like($now->body(), qr/"writeEnabled":false/,
             'what was answered with 200 is there');
    }
}

race('lib/tag', 'lib/tag/_tags/1',
     'mkdir /acr/repositories DELAY=3000 count=1');
race('lib/itself', 'lib/itself',
     'rename /_attributes.json DELAY=3000 count=1');

finish();
