#!/usr/bin/perl

# Locks of what could not be read when the index was made again: they hold, and
# nothing is deleted that comes back later without its parts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Shim;

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $shim = ACR::Shim->new();
my $acr = start(workers => 2, env => $shim->env());
$acr->allow(qr/has lost changes/, qr/Input\/output error/);


# --- a tag of a manifest that cannot be read

my $digest = locked('lib/a', '_tags/1', '{"writeEnabled":false}');
my $other = $acr->get('/v2/lib/a/manifests/2')->body();
refused($acr->put_manifest('lib/a', '1', $other), 405,
        'REGISTRY_DISALLOWED_OPERATION', 'a lock of a tag');
unread($digest);
refused($acr->put_manifest('lib/a', '1', $other), 405,
        'REGISTRY_DISALLOWED_OPERATION', 'holds');
refused($acr->delete('/acr/v1/lib/a'), 405, 'REGISTRY_DISALLOWED_OPERATION',
        'for the repository, too');
ok(-e "$acr->{root}/acr/repositories/lib/a/_tags/1.json",
   'it is there on disk');


# --- the manifest itself

$digest = locked('lib/b', undef, '{"deleteEnabled":false}');
unread($digest);
refused($acr->delete('/acr/v1/lib/b'), 405, 'REGISTRY_DISALLOWED_OPERATION',
        'a lock of a manifest holds');
refused($acr->delete('/v2/lib/b/blobs/' . digest('layer of lib/b 1')), 405,
        'REGISTRY_DISALLOWED_OPERATION', 'for what it may need');
$acr->{redis}->command('FLUSHALL');
answers($acr->get('/v2/lib/b/tags/list'), 200, 'it can be read again');
ok(complete($acr), 'the index is complete');
is($acr->resolve('lib/b', '1'), $digest, 'the tag is there');
answers($acr->get('/v2/lib/b/blobs/' . digest($_)), 200, 'with all blobs')
    for '{"seed":"lib/b 1"}', 'layer of lib/b 1';

finish();


# a repository with two tags, and attributes of one or its manifest
sub locked {
    my ($repo, $what, $attributes) = @_;

    my $digest = $acr->push_image($repo, '1', "$repo 1");
    $acr->push_image($repo, '2', "$repo 2");
    $what //= "_manifests/$digest";
    answers($acr->request('PATCH', "/acr/v1/$repo/$what",
                          body => $attributes), 200, 'attributes');
    return $digest;
}


# the index is made again while that cannot be read
sub unread {
    my ($digest) = @_;

    my ($hex) = $digest =~ /:(.*)/;
    $shim->rules("read_open /$hex/data EIO");
    $acr->{redis}->command('FLUSHALL');
    ok(complete($acr), 'rebuilt without it');
    $shim->clear();
}
