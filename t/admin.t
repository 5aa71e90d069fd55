#!/usr/bin/perl

# The operator's API: what it tells and does, and what it refuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;

my $acr = start(server => 'location /acr/admin/ { acr_admin; }');


# --- stats

my $stats = admin($acr, 'GET', 'stats');
answers($stats, 200, 'stats');
is($stats->header('Content-Type'), 'application/json', 'are JSON');
is($stats->json()->{state}, 'complete', 'of an index that is complete');
is($stats->json()->{repositories}, 0, 'and empty');

$acr->push_image('lib/a', 'x', 'x');
$acr->push_blob('lib/b', 'y');
my $session = $acr->upload('lib/a');
$acr->patch($session, 'some bytes');
$stats = admin($acr, 'GET', 'stats')->json();
is($stats->{repositories}, 2, 'repositories are counted');
is($stats->{sessions}, 1, 'and open uploads');
is($stats->{pending}, 0, 'nothing is pending');
cmp_ok($stats->{sequence}, '>', 1e15, 'the sequence is a number');


# --- sessions

my $sessions = admin($acr, 'GET', 'sessions')->json();
my ($uuid) = $session =~ m{/uploads/([0-9a-f-]+)};
is(scalar(@{ $sessions->{sessions} }), 1, 'one session');
my $one = $sessions->{sessions}[0];
is($one->{uuid}, $uuid, 'with its uuid');
is($one->{repository}, 'lib/a', 'its repository');
is($one->{offset}, 10, 'how far it is');
ok(!$one->{held}, 'whether somebody is at it');
cmp_ok($one->{expires}, '>', $one->{started}, 'and when it ends');
ok(!$sessions->{more}, 'there are no more');

my @more = map { $acr->upload('lib/a') } 1 .. 4;
my $page = admin($acr, 'GET', 'sessions?n=2')->json();
is(scalar(@{ $page->{sessions} }), 2, 'a page of two');
ok($page->{more}, 'there are more');
my %seen = map { $_->{uuid} => 1 } @{ $page->{sessions} };
for my $offset (2, 4) {
    $page = admin($acr, 'GET', "sessions?n=2&offset=$offset")->json();
    $seen{$_->{uuid}} = 1 for @{ $page->{sessions} };
}
is(scalar(keys %seen), 5, 'pages have all of them');
ok(!$page->{more}, 'and end');
$acr->delete($session);
is(scalar(@{ admin($acr, 'GET', 'sessions')->json()->{sessions} }), 4,
   'one that is cancelled is none');
$acr->close_upload($more[0], digest('z'), 'z');
is(scalar(@{ admin($acr, 'GET', 'sessions')->json()->{sessions} }), 3,
   'nor is one that is complete');
refused(admin($acr, 'GET', 'sessions?offset=x'), 400, 'UNSUPPORTED',
        'an offset that is no number');
refused(admin($acr, 'GET', 'sessions?n=-1'), 400, 'UNSUPPORTED',
        'nor a length');


# --- work

for my $kind (qw(rebuild gc scrub)) {
    my $status = admin($acr, 'GET', $kind);
    answers($status, 200, "$kind has a status");
    ok(!$status->json()->{$_}, "nothing is $_") for qw(running requested);
    answers(admin($acr, 'POST', $kind), 202, 'it can be asked for');
    my %seen;
    ok(wait_for(sub {
           my $now = admin($acr, 'GET', $kind)->json();
           $seen{$_} = 1 for keys %$now;
           !$now->{running} && !$now->{requested} && $now->{finished};
       }), 'and ends');
    my $now = admin($acr, 'GET', $kind)->json();
    like($now->{owner}, qr{^one/\d+/\d+-\d+$}, 'it tells who did it');
    cmp_ok($now->{finished}, '>=', $now->{started}, 'and when');
    is(join(' ', grep { $seen{$_} } qw(request wanted until)), '',
       'and nothing of how that is kept');
}

answers(admin($acr, 'DELETE', $_), 204, "$_ can be stopped") for qw(gc scrub);


# --- what is not there

for my $what (['GET', ''], ['GET', 'nothing'], ['GET', 'stats/more'],
              ['POST', 'stats'], ['DELETE', 'rebuild'], ['PUT', 'gc'])
{
    refused(admin($acr, @$what), 404, 'UNSUPPORTED',
            "$what->[0] \"$what->[1]\" is nothing");
}
refused(admin($acr, 'POST', 'gc?dry_run=maybe'), 400, 'UNSUPPORTED',
        'dry_run is true or false');
refused(admin($acr, 'POST', 'scrub?dry_run=true'), 400, 'UNSUPPORTED',
        'and of gc alone');
answers(fresh($acr, 'POST', '/acr/admin/gc?dry_run=true', body => 'x' x 100),
        202, 'a body does not matter');
refused($acr->get('/v2/acr/admin/stats'), 404, undef,
        'the registry does not have it');


# --- without Redis

$acr->{redis}->kill();
refused(admin($acr, $_->[0], $_->[1]), 503, 'UNAVAILABLE',
        "$_->[0] $_->[1] waits for Redis")
    for ['GET', 'stats'], ['GET', 'gc'], ['POST', 'rebuild'];


# --- configuration

sub says {
    my ($pattern, $name, %option) = @_;

    my ($text, $ok) = prepare(redis => $acr->{redis}, %option)->test();

    ok(!$ok && $text =~ $pattern, $name) or diag($text);
}

says(qr/"acr_admin" .*duplicate/s, 'acr and acr_admin in one location',
     location => 'acr_admin;');
says(qr/"acr_gc_delay"/, 'a delay of nothing', http => 'acr_gc_delay 0;');
says(qr/"acr_gc_untagged"/, 'untagged manifests that go before blobs',
     http => 'acr_gc_untagged 1h;');
says(qr/"acr_gc_interval"/, 'an interval that is no time',
     http => 'acr_gc_interval never;');
says(qr/two different "acr_gc_delay"/, 'two delays of one registry',
     server => 'location /x/ { acr_admin; acr_gc_delay 2h; }');

finish();
