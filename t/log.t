#!/usr/bin/perl

# What Redis has may be anything: it makes no lines of the error log, and no
# colours on the terminal of who reads it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fake;
use ACR::Fault;
use ACR::Index;

my $redis = redis();
my $fake = ACR::Fake->start(dir => work_dir(), redis => $redis);
my $acr = start(redis => undef, http => 'acr_gc_delay 1s;',
                server => 'location /acr/admin/ { acr_admin; }', lines => {
    redis => 'acr_redis ' . $fake->address() . ' timeout=5s;' });
$acr->{redis} = $redis;
wait_for(sub { $acr->get('/v2/_catalog')->status() == 200 });

my $evil = "\e[2Jx\nforged";

# a line with the text in its place, and nothing of it as it was
my $safe = sub {
    my ($line, $name) = @_;

    $acr->allow($line);
    ok(wait_for(sub { $acr->log_text() =~ $line }, 30), $name);
    unlike($acr->log_text(), qr/^forged/m, 'which is one line');
    unlike($acr->log_text(), qr/[^\n -~]/, 'that can be read');
};

$acr->push_image('lib/a', 'x', 'log');
ok(wait_for(sub { !@{ $redis->command('ZRANGE', key('pending'), 0, -1) } }),
   'all is settled');

$redis->command('ZADD', key('collecting'), 1, $evil);
$safe->(qr/a candidate is no digest: "\?\[2Jx\?forged"/, 'a digest');

$redis->command('DEL', key('collecting'));
$redis->command('ZADD', key('candidates'), 1, $evil);
answers(admin($acr, 'POST', 'gc'), 202, 'a collection');
$safe->(qr/an entry of the candidates is no name: "\?\[2Jx\?forged"/,
        'a candidate');

$redis->command('ZREM', key('candidates'), $evil);
$redis->command('HSET', key('tag:lib/a'), 'bad', "\e[2Jx 1");
$redis->command('HSET', key('manifests:lib/a'), "\e[2Jx", '1 x');
$redis->command('ZADD', key('pending'), 1, 'lib/a:bad');
$safe->(qr/tag "bad" of "lib\/a" names "\?\[2Jx", no digest/,
        'what a tag names');

$redis->command('HDEL', key('tag:lib/a'), 'bad');
$redis->command('ZADD', key('pending'), 1, $evil);
$safe->(qr/unfinished work is no name: "\?\[2Jx\?forged"/, 'a name');

$redis->command('ZADD', key('pending'), 1, 'z' x 5000);
$safe->(qr/unfinished work is no name: "z{100,1000}"/, 'a long one');

# an answer to rebuild_tags, whose last words are tag, digest and two times
$acr->allow(qr/\[alert\].*has lost changes/);
$fake->answers([qr/:behind lib\/a \S+ x sha256:\S+ \d+ \d+$/
                => "*2\r\n\$2\r\nok\r\n\$" . length($evil) . "\r\n$evil\r\n"]);
$redis->command('FLUSHALL');
$safe->(qr/rebuild: tag "\?\[2Jx\?forged" of "lib\/a" is passed over/, 'a tag');

$fake->answers();
ok(complete($acr), 'it is complete');

finish($acr);
