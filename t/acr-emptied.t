#!/usr/bin/perl

# A repository that was emptied and pushed again has none of the attributes that
# it had, whatever Redis loses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use JSON::PP;

my $acr = start(workers => 2, redis_options => 'timeout=500ms',
                location => 'acr_delete on;');

sub set {
    my ($path, %set) = @_;
    return $acr->request('PATCH', "/acr/v1/$path", body => encode_json({
        map { $_ => $set{$_} ? JSON::PP::true : JSON::PP::false } keys %set
    }));
}

$acr->allow(qr/\[alert\].*has lost changes/);


# --- a repository that was emptied, and pushed again

my $digest = $acr->push_image('lib/a', '1', 'a');
answers(set('lib/a', readEnabled => 0, listEnabled => 0), 200, 'attributes');

answers($acr->delete("/v2/lib/a/manifests/$digest"), 202, 'its manifest');
answers($acr->delete("/v2/lib/a/blobs/" . digest($_)), 202, 'its blob')
    for '{"seed":"a"}', 'layer of a';
answers($acr->get('/acr/v1/lib/a'), 404, 'it is gone');

$acr->push_image('lib/a', '1', 'a');
answers($acr->get('/v2/lib/a/manifests/1'), 200, 'pushed again');
ok(!-e "$acr->{root}/acr/repositories/lib/a/_attributes.json",
   'the disk has forgotten as well');

$acr->{redis}->command('FLUSHALL');
answers($acr->get('/v2/lib/a/manifests/1'), 200,
        'and it can be read when Redis was emptied');
ok(complete($acr), 'rebuilt');
answers($acr->get('/v2/lib/a/manifests/1'), 200, 'still');

finish();
