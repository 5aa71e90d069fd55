#!/usr/bin/perl

# What an edge node has is given to those who ask in a repository of which the
# origin has said that it has it, and not said later that it has not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();

# one worker, so that all is known to the one that is asked; each is asked again
my $edge = start(redis => undef, lines => { acr => '' },
                 http => "acr_remote up.test $url timeout=2s;\n"
                         . "acr_origin up.test valid=0;\n",
                 location => "acr_edge on; proxy_pass $url;");

$edge->allow(qr/acr: (?:fetching|origin|remote|50[23])/);

gone(404, 404);
gone(403, 502);
finish();


sub gone {
    my ($status, $seen) = @_;

    my $bytes = bytes(100_000, $status);
    my $digest = $origin->has_blob('lib/a', $bytes);
    my $target = "/v2/lib/a/blobs/$digest";

    ok(wait_for(sub { $edge->get($target)->status() == 200 }), 'a blob');

    # a connection that is open may be good for one more answer

    $origin->stop();
    ok(wait_for(sub { ($edge->get($target)->header('Warning') || '')
                      =~ /^299 / }), 'without the origin it has a warning');
    answers($edge->get($target), 200, 'and is there');

    $origin->run();
    ok(wait_for(sub { !$edge->get($target)->header('Warning') }),
       'with it, without');

    $origin->rule($target, status => $status);
    answers($edge->get($target), $seen, "the origin says $status");
    answers($edge->head($target), $seen, 'of HEAD, too');

    $origin->stop();
    $edge->get($target);
    answers($edge->get($target), 502, 'without it, it does not come back');

    $origin->run();
    $origin->rule($target, status => undef);
    ok(wait_for(sub { $edge->get($target)->status() == 200 }),
       'but when it says so');
    is(scalar($origin->asked(qr{^GET $target})), 1, 'and it was kept');
}
