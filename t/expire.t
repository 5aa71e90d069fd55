#!/usr/bin/perl

# Sessions that nobody goes on with expire.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(location => 'acr_upload_expires 2s;');

my $idle = $acr->upload('lib/app');
my $used = $acr->upload('lib/app');
$acr->patch($idle, 'idle', 0);
answers($acr->get($idle), 204, 'a session');

my $size = 0;
ok(wait_for(sub {
    # each use keeps a session
    die 'the session that is in use has gone'
        if $acr->patch($used, 'x', $size++)->status() != 202;
    return $acr->{redis}->command('EXISTS', key($idle)) == 0;
}, 10), 'one that is idle expires');

refused($acr->get($idle), 404, 'BLOB_UPLOAD_UNKNOWN', 'GET');
refused($acr->patch($idle, 'x', 4), 404, 'BLOB_UPLOAD_UNKNOWN', 'PATCH');
refused($acr->close_upload($idle, digest('idle')), 404, 'BLOB_UPLOAD_UNKNOWN',
        'PUT');

answers($acr->close_upload($used, digest('x' x $size)), 201,
        'one that is in use does not');

finish();


sub key {
    my ($location) = @_;

    my ($uuid) = $location =~ m{([0-9a-f-]{36})};

    return "acr:{default}:upload:$uuid";
}
