#!/usr/bin/perl

# Cache rules while something goes wrong: changes that meet a look at the file,
# a request, a pre-warming; files that cannot be read; no zone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;
use ACR::Remote;
use ACR::Shim;
use JSON::PP qw(decode_json encode_json);

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $RULES = '/acr/admin/cache-rules';
my $FILE = '/acr/rules.json';

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $shim = ACR::Shim->new();

my $remotes = join(' ', map { "acr_remote $_.test $url timeout=60s;" }
                        qw(up other));
my %conf = (fsync => 'off', http => $remotes, server => $ADMIN,
            env => $shim->env());
my $acr = start(redis => redis(), %conf);
my $file = "$acr->{root}$FILE";

overtaken();
moved();
named();
full();
unreadable();
empty();
prewarming();
idle();
zones();
finish();


sub put {
    my ($name, %rule) = @_;

    return $acr->request('PUT', "$RULES/$name", body => encode_json(\%rule));
}


sub is_made {
    my ($name, %rule) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answers(put($name, %rule), 204, "rule $name is made");
}


# how often a line is in the log
sub told { return scalar(() = $acr->log_text() =~ /$_[0]/g) }


# what a look has read, and has not yet given, is older than a change
sub overtaken {
    is_made('hub', targetRepository => 'hub/*',
            sourceRepository => 'up.test/*');

    $shim->rules("close $FILE DELAY=1000 count=1", "close $FILE DELAY=0");
    ok(wait_for(sub { $shim->fired() }), 'a look is under way');
    answers($acr->request('DELETE', "$RULES/hub"), 204, 'the rule is removed');

    # the change reads the file itself, then comes the next look
    my ($changed, @seen) = ($shim->fired(1));
    wait_for(sub {
        push(@seen, $acr->get("$RULES/hub")->status());
        return $shim->fired(1) > $changed + 1;
    });
    $shim->clear();

    is(scalar(grep { $_ != 404 } @seen), 0, 'and never comes back');
}


# another source is not waited for, nor believed
sub moved {
    my $old = '/v2/old/a/manifests/1.0';
    my $path = '/v2/moved/a/manifests/1.0';

    $origin->has_image('old/a', '1.0', bytes(1000, 'old'));
    $origin->rule($old, wait => 1);

    my $digest = $origin->has_image('new/a', '1.0', bytes(1000, 'new'));

    is_made('moved', targetRepository => 'moved/*',
            sourceRepository => 'up.test/old/*');

    my $first = ACR::HTTP->new($acr->port());
    $first->begin('GET', $path);
    $first->finish();
    ok(wait_for(sub { $origin->asked(qr{\Q$old\E }) }), 'a source is asked');

    is_made('moved', sourceRepository => 'other.test/new/*');
    my $answer = $acr->get($path);
    answers($answer, 200, 'the next one answers before it does');
    is($answer->header('Docker-Content-Digest'), $digest, 'with what it has');

    $origin->rule($old, wait => undef);
    answers($first->answer('GET'), 200, 'who has asked before is answered');
}


# whatever else is below the same location
sub named {
    for my $name (qw(remotes access prewarm gc stats check)) {
        is_made($name, targetRepository => "$name/*",
                sourceRepository => 'up.test/*');
        is(decode_json($acr->get("$RULES/$name")->body())->{name}, $name,
           'it is shown');
        answers($acr->request('DELETE', "$RULES/$name"), 204,
                'and is removed');
    }
}


sub full {
    my @rule = (targetRepository => 'full/*', sourceRepository => 'up.test/*');
    my $before = slurp($file);

    $acr->allow(qr/acr: (?:507|500) |No space|Input\/output/);

    $shim->rules('write /acr/tmp/ ENOSPC');
    refused(put('full', @rule), 507, 'STORAGE_FULL', 'a full disk');
    $shim->rules("rename $FILE EIO");
    refused(put('full', @rule), 500, 'UNKNOWN', 'a broken one');
    $shim->clear();

    is(slurp($file), $before, 'nothing has changed');
    is_deeply([glob("$acr->{root}/acr/tmp/*")], [], 'and nothing is left');
    refused($acr->get("$RULES/full"), 404, 'UNSUPPORTED', 'it is not there');
}


# what cannot be read is told of once, and changes nothing
sub unreadable {
    my $good = slurp($file);

    $acr->allow(qr/acr: acr\/rules\.json cannot be read|500 UNKNOWN|stat\(\)/);

    for my $case (['a directory', sub { mkdir($file) or die "mkdir: $!\n" },
                   sub { rmdir($file) }],
                  ['too large', sub { spew($file, ' ' x 5_000_000) },
                   sub { unlink($file) }])
    {
        my ($what, $make, $undo) = @$case;
        my $before = told(qr/rules\.json cannot be read/);

        unlink($file) or die "unlink: $!\n";
        $make->();
        ok(wait_for(sub { told(qr/rules\.json cannot be read/) > $before }),
           "$what is told of");

        refused(put('bad', targetRepository => 'bad/*',
                    sourceRepository => 'up.test/*'), 500, 'UNKNOWN',
                'no rule can be made') for 1 .. 3;

        is(told(qr/rules\.json cannot be read/), $before + 1, 'once');
        answers($acr->get("$RULES/moved"), 200, 'the rules stay');

        $undo->();
        spew($file, $good);
        chmod(0644, $file) or die "chmod: $!\n";
        ok(wait_for(sub {
            put('well', targetRepository => 'well/*',
                sourceRepository => 'up.test/*')->status() == 204
        }), 'until it is put right');
        answers($acr->request('DELETE', "$RULES/well"), 204, 'as before');
    }
}


# somebody writes it by hand, and is not ready
sub empty {
    my $good = slurp($file);

    $acr->allow(qr/acr: acr\/rules\.json is refused/);

    spew($file, '');
    ok(wait_for(sub { told(qr/rules\.json is refused/) }),
       'an empty file is broken');
    answers($acr->get("$RULES/moved"), 200, 'and takes no rule away');
    spew($file, $good);
}


sub prewarming {
    my @names = map { "p$_" } 1 .. 5;

    $origin->has_image("lib/$_", '1.0', bytes(1000, $_)) for @names;
    $origin->rule('/v2/lib/p1/manifests/1.0', wait => 1);

    is_made('warm', targetRepository => 'warm/*',
            sourceRepository => 'up.test/lib/*');

    my $http = ACR::HTTP->new($acr->port());
    my $body = encode_json({ references => [map { "warm/$_:1.0" } @names] });

    $http->begin('POST', '/acr/admin/prewarm',
                 headers => ['Content-Length', length($body)]);
    $http->send($body);
    ok(wait_for(sub { $origin->asked(qr{/lib/p1/manifests/}) }),
       'a pre-warming begins');

    answers($acr->request('DELETE', "$RULES/warm"), 204, 'its rule goes');
    $origin->rule('/v2/lib/p1/manifests/1.0', wait => undef);

    my @lines = split(/\n/, $http->answer('POST')->body());
    is(decode_json($lines[-1])->{result}, 'ok',
       'it ends by the rule with which it has begun');
}


# a rule that is not followed is none
sub idle {
    is_made('idle', targetRepository => 'idle/*',
            sourceRepository => 'other.test/*');
    answers($acr->request('DELETE', "$RULES/moved"), 204, 'but for one');
    $acr->push_image('own/a', 'v1', 'a');

    $acr->allow(qr/"idle" of .* is not followed/);
    $acr->configure(http => "acr_remote up.test $url;");
    $acr->stop();
    $acr->run();

    answers($acr->get('/v2/own/a/manifests/v1?ns=docker.io'), 200,
            'without any rule "ns" is nothing');

    ok(wait_for(sub { told(qr/"idle" of .* is not followed/) }),
       'it is told of');

    is_made("more$_", targetRepository => "more$_/*",
            sourceRepository => 'up.test/*') for 1 .. 3;

    $shim->rules("close $FILE DELAY=0");
    ok(wait_for(sub { $shim->fired() }), 'and the next look');
    $shim->clear();
    is(told(qr/"idle" of .* is not followed/), 1, 'says nothing new');
}


sub zones {
    for my $zone ('', 'acr_zone small:1m;') {
        $acr->configure(http => "acr_remote up.test $url; $zone",
                        lines => { zone => '' });
        $acr->stop();
        $acr->run();

        my $answer = put('zone', targetRepository => 'zone/*',
                         sourceRepository => 'up.test/*');
        refused($answer, 400, 'UNSUPPORTED', "with \"$zone\"");
        like($answer->body(), qr/acr_zone/, 'with the reason');
        is_deeply([grep { defined $_->{name} }
                   @{ decode_json($acr->get($RULES)->body())->{cacheRules} }],
                  [], 'and none is followed');
    }
}
