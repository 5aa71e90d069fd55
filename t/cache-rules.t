#!/usr/bin/perl

# Cache rules that are made while the registry runs, by the operator's API:
# every worker and node follows them, also without Redis and after a restart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;
use ACR::Remote;
use JSON::PP qw(decode_json encode_json);

my $RULES = '/acr/admin/cache-rules';

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();

my %conf = (workers => 2, fsync => 'off',
    http => "acr_remote up.test $url timeout=60s; acr_remote other.test $url;",
    server => 'acr_cache_rule written/* up.test/* valid=7 gone=404;'
              . ' acr_cache_rule written/one other.test/lib/a; ' . $ADMIN
              . ' location = /pid { return 200 $pid; }');
my $acr = start(redis => redis(), %conf);

made();
workers();
beside();
changed();
namespaces();
refusals();
removed();
restarted();
fleet();
broken();
unknown();
without();
finish();


sub put {
    my ($node, $name, %rule) = @_;

    return $node->request('PUT', "$RULES/$name", body => encode_json(\%rule));
}


# those that were made, by name; of a node, or of one of its workers
sub rules {
    my ($from) = @_;

    my $list = decode_json($from->request('GET', $RULES)->body())
                   ->{cacheRules};

    return { map { defined $_->{name} ? ($_->{name} => $_) : () } @$list };
}


# whether soon each worker says that of the rules
sub everywhere {
    my ($node, $says) = @_;

    my %worker;

    return wait_for(sub {
        my $http = ACR::HTTP->new($node->port());
        $worker{$http->request('GET', '/pid')->body()} = $http;
        return keys(%worker) == $conf{workers};
    }, 60) && wait_for(sub { !grep { !$says->(rules($_)) } values(%worker) });
}


sub is_made {
    my ($node, $name, %rule) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answers(put($node, $name, %rule), 204, "rule $name is made");
}


# a repository has no manifest of that tag for as long as there is no rule
sub nowhere {
    my ($node, $repository, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    refused($node->get("/v2/$repository/manifests/1.0"), 404,
            'MANIFEST_UNKNOWN', $name);
}


sub made {
    $origin->has_image('lib/a', '1.0', bytes(100_000, 'a'));

    nowhere($acr, 'hub/lib/a', 'without a rule nothing is fetched');
    is_made($acr, 'hub', targetRepository => 'hub/*',
            sourceRepository => 'up.test/*');

    answers($acr->get('/v2/hub/lib/a/manifests/1.0'), 200,
            'an image comes by its tag');
    answers($acr->get('/v2/hub/lib/a/blobs/' . digest(bytes(100_000, 'a'))),
            200, 'and its layer');
    is_deeply([$acr->tags('hub/lib/a')], ['1.0'], 'it is here now');

    my $answer = $acr->get("$RULES/hub");
    answers($answer, 200, 'the rule is shown');

    my $rule = decode_json($answer->body());
    like(delete $rule->{created}, qr/^\d{10}$/, 'with its time');
    is_deeply($rule, { name => 'hub', targetRepository => 'hub/*',
                       sourceRepository => 'up.test/*', valid => 300,
                       gone => 'keep', active => JSON::PP::true },
              'and what it says');
}


sub workers {
    ok(everywhere($acr, sub { $_[0]->{hub} }), 'all workers have it');
}


sub beside {
    my $list = decode_json($acr->get($RULES)->body())->{cacheRules};

    is_deeply($list->[0],
              { name => undef, created => undef, valid => 7, gone => '404',
                targetRepository => 'written/*',
                sourceRepository => 'up.test/*', active => JSON::PP::true },
              'a rule of nginx.conf is there, too');
    is($list->[1]{sourceRepository}, 'other.test/lib/a', 'and the next');
    is($list->[1]{targetRepository}, 'written/one', 'of one repository');
    is($list->[2]{name}, 'hub', 'and then the one that was made');
    is(scalar(@$list), 3, 'and no more');
}


sub changed {
    my $path = '/v2/fresh/lib/a/manifests/1.0';

    is_made($acr, 'fresh', targetRepository => 'fresh/*',
            sourceRepository => 'up.test/*', valid => 3600);
    answers($acr->get($path), 200, 'a tag comes');

    my $first = $acr->get($path)->header('Docker-Content-Digest');
    my $second = $origin->has_image('lib/a', '1.0', bytes(1000, 'b'));

    is($acr->get($path)->header('Docker-Content-Digest'), $first,
       'and is good for an hour');
    is_made($acr, 'fresh', valid => 0);

    # what a worker knows may be half a second old
    ok(wait_for(sub {
        $acr->get($path)->header('Docker-Content-Digest') eq $second
    }), 'until the rule says otherwise');

    my $rule = rules($acr)->{fresh};
    is($rule->{targetRepository}, 'fresh/*', 'which has kept what it was');
    is($rule->{valid}, 0, 'but for that');

    # another source is another answer, whatever was said of the one before

    is_made($acr, 'fresh', valid => 3600);
    ok(everywhere($acr, sub { ($_[0]->{fresh}{valid} || 0) == 3600 }),
       'all workers have the next change');
    answers($acr->get($path), 200, 'the tag was looked at just now');

    my $third = $origin->has_image('else/lib/a', '1.0', bytes(1000, 'c'));

    is_made($acr, 'fresh', sourceRepository => 'up.test/else/*');
    ok(wait_for(sub {
        $acr->get($path)->header('Docker-Content-Digest') eq $third
    }), 'but not at its new source');
}


sub namespaces {
    $origin->has_image('team/x', '1.0', bytes(1000, 'x'));

    is_made($acr, 'named', targetRepository => 'named/x',
            sourceRepository => 'other.test/team/x');

    ok(wait_for(sub {
        my $answer = $acr->get('/v2/team/x/manifests/1.0?ns=other.test');
        return $answer->status() == 200
               && $answer->header('OCI-Namespace') eq 'other.test';
    }), 'clients of mirrors find it by its name there');
    is_deeply([$acr->tags('named/x')], ['1.0'], 'it is the repository here');
}


sub refusals {
    my %good = (targetRepository => 'a/*', sourceRepository => 'up.test/*');

    for my $case (
        [{ %good, sourceRepository => 'nobody.test/*' }, 400,
         qr/no "acr_remote" of the source's host/],
        [{ %good, sourceRepository => 'up.test/a' }, 400, qr/has a star/],
        [{ %good, sourceRepository => 'lib/*' }, 400, qr/no host/],
        [{ %good, targetRepository => '../*' }, 400, qr/no repository/],
        [{ %good, targetRepository => 'hub/a/*' }, 409, qr/another rule/],
        [{ %good, targetRepository => 'written/a/*' }, 409,
         qr/an "acr_cache_rule"/],
        [{ %good, valid => 'long' }, 400, qr/not of its type/],
        [{ %good, valid => -1 }, 400, qr/no number of seconds/],
        [{ %good, gone => 'maybe' }, 400, qr/neither/],
        [{ %good, name => 'b' }, 400, qr/member that is not known/],
        [{ targetRepository => 'a/*' }, 400, qr/lacks a member/],
    ) {
        my ($rule, $status, $reason) = @$case;

        my $answer = put($acr, 'a', %$rule);
        refused($answer, $status, 'UNSUPPORTED', "$reason");
        like($answer->body(), do {
            my $escaped = "$reason";
            $escaped =~ s/"/\\\\"/g;
            qr/$escaped/;
        }, 'with the reason');
    }

    for my $body ('', '[]', '{', '{"valid":1,"valid":2}',
                  '{"valid":' . '[' x 100 . ']' x 100 . '}') {
        refused($acr->request('PUT', "$RULES/a", body => $body), 400,
                'UNSUPPORTED', "body: $body");
    }

    refused(put($acr, '-a', %good), 400, 'UNSUPPORTED', 'a bad name');
    refused(put($acr, 'a/b', %good), 400, 'UNSUPPORTED', 'two names');
    refused(put($acr, 'a' x 129, %good), 400, 'UNSUPPORTED', 'a long name');
    refused(put($acr, '%FF', %good), 400, 'UNSUPPORTED', 'a name of no text');
    refused(put($acr, 'a', %good, gone => 'x' x 70_000), 413, 'SIZE_INVALID',
            'a long body');
    refused($acr->get("$RULES/a"), 404, 'UNSUPPORTED', 'none of these is one');
    refused($acr->request('DELETE', "$RULES/a"), 404, 'UNSUPPORTED',
            'nor can be removed');

    my $answer = $acr->request('POST', "$RULES/a", body => '{}');
    refused($answer, 405, 'UNSUPPORTED', 'POST');
    is($answer->header('Allow'), 'GET, HEAD, PUT, DELETE', 'what there is');

    $answer = $acr->request('PUT', $RULES, body => encode_json(\%good));
    refused($answer, 405, 'UNSUPPORTED', 'PUT of all');
    is($answer->header('Allow'), 'GET, HEAD', 'what there is');

    is_deeply([sort keys %{ rules($acr) }], ['fresh', 'hub', 'named'],
              'nothing has changed');
}


sub removed {
    $origin->has_image('lib/later', '1.0', bytes(1000, 'later'));

    answers($acr->request('DELETE', "$RULES/hub"), 204, 'a rule is removed');
    ok(everywhere($acr, sub { !$_[0]->{hub} }), 'at all workers');
    nowhere($acr, 'hub/lib/later', 'nothing more comes by it');
    answers($acr->get('/v2/hub/lib/a/manifests/1.0'), 200,
            'what has come stays');
    refused($acr->request('DELETE', "$RULES/hub"), 404, 'UNSUPPORTED',
            'it cannot be removed twice');
}


sub restarted {
    $acr->stop();
    $acr->run();
    is_deeply([sort keys %{ rules($acr) }], ['fresh', 'named'],
              'after a restart there are the same');

    my $path = '/v2/fresh/lib/a/manifests/1.0';
    answers($acr->get($path), 200, 'which are followed');

    # a change needs no Redis

    $acr->allow(qr/acr: (?:Redis|503)/);
    $acr->{redis}->shutdown();
    is_made($acr, 'down', targetRepository => 'down/*',
            sourceRepository => 'up.test/*');
    answers($acr->get("$RULES/down"), 200, 'without Redis, too');
    $acr->{redis}->run();
    ok(wait_for(sub {
        $acr->get('/v2/down/lib/a/manifests/1.0')->status() == 200
    }), 'and is followed when it is back');
}


# two nodes, and two operators at once
sub fleet {
    my $other = node($acr, %conf);

    my @wrote = parallel(map {
        my $i = $_;
        sub {
            my $answer = put($i % 2 ? $acr : $other, "many$i",
                             targetRepository => "many$i/*",
                             sourceRepository => 'up.test/*');
            return $answer->status();
        }
    } 1 .. 20);

    is_deeply(\@wrote, [(204) x 20], 'changes at two nodes');

    for my $node ($acr, $other) {
        ok(everywhere($node, sub { 20 == grep { /^many/ } keys %{ $_[0] } }),
           'a node has all of them');
    }

    ok(wait_for(sub {
        $other->get('/v2/many1/lib/a/manifests/1.0')->status() == 200
    }), 'and follows them');

    $other->stop();
}


# what somebody has written by hand
sub broken {
    my $file = "$acr->{root}/acr/rules.json";
    my $good = slurp($file);

    $acr->allow(qr/acr: (?:acr\/rules\.json is refused|500 UNKNOWN)/);
    spew($file, '{');
    ok(wait_for(sub {
        $acr->log_text() =~ /rules\.json is refused, .* stay as they were/
    }), 'a broken file is told of');
    is(scalar(grep { /^many/ } keys %{ rules($acr) }), 20,
       'the rules stay as they were');
    refused($acr->request('DELETE', "$RULES/many1"), 500, 'UNKNOWN',
            'and cannot be changed');

    spew($file, $good);
    ok(wait_for(sub {
        $acr->request('DELETE', "$RULES/many1")->status() == 204
    }), 'until it is put right');
}


# a rule whose remote nginx.conf does not have any more
sub unknown {
    my $conf = $conf{http};

    $acr->allow(qr/acr: cache rule "named" of acr\/rules\.json is not/);
    $acr->configure(%conf, http => "acr_remote up.test $url timeout=60s;",
                    server => $ADMIN);
    $acr->stop();
    $acr->run();

    ok(wait_for(sub {
        $acr->log_text() =~ /rule "named" .* there is no "acr_remote"/
    }), 'a rule without its remote is told of');
    ok(!rules($acr)->{named}{active}, 'and is not active');
    ok(rules($acr)->{fresh}{active}, 'others are');
    answers($acr->get('/v2/named/x/manifests/1.0'), 200,
            'what has come by it stays');
    nowhere($acr, 'named/y', 'nothing else comes');
}


sub without {
    my $path = "$RULES/none";

    $acr->configure(%conf, http => '', server => $ADMIN);
    $acr->stop();
    $acr->run();

    is_deeply(rules($acr), {}, 'without any remote there are no rules');
    refused(put($acr, 'none', targetRepository => 'none/*',
                sourceRepository => 'up.test/*'),
            400, 'UNSUPPORTED', 'and none can be made');
    answers($acr->request('DELETE', "$RULES/fresh"), 204,
            'one that there is can be removed');
}
