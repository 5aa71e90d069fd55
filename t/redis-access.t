#!/usr/bin/perl

# How a Redis is reached, and which one is refused: parameters of acr_redis.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

my $reserved = {};
my $port = ACR::Node::free_port($reserved);
my $redis = redis('--port', $port, '--bind', '127.0.0.1');
my $acr = prepare(redis => $redis, redis_options => 'timeout=500ms');
my $count = 0;


# --- addresses and databases

uses('acr_redis ' . $redis->address() . ';', 'a unix socket');
uses("acr_redis 127.0.0.1:$port;", 'an address with a port');
uses("acr_redis localhost:$port;", 'a name');

# another root: for this one another database would be one that has lost all
is(keys_in(3), 0, 'database 3 is empty');
my $three = start(redis => $redis, redis_options => 'db=3');
is($three->push_image('lib/a', 'three', 'three'),
   $three->resolve('lib/a', 'three'), 'it can be used');
cmp_ok(keys_in(3), '>', 0, 'and has the keys then');
$three->stop();
is($acr->resolve('lib/a', 'three'), undef, 'which the first has not');


# --- passwords

$redis->command('CONFIG', 'SET', 'requirepass', 'top secret');
$redis->command('ACL', 'SETUSER', 'registry', 'on', '>its own', 'allkeys',
                'allchannels', 'allcommands');
# what the registry does needs no more than this
$redis->command('ACL', 'SETUSER', 'little', 'on', '>little one',
                '~acr:{default}:*', '~acr:{default}', '&acr:{default}:*',
                '-@all', '+@read', '+@write', '+@scripting', '+@connection',
                '+publish', '+subscribe', '+info', '+time', '-flushall',
                '-flushdb');
$redis->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

refuses('acr_redis ' . $redis->address() . ';', qr/NOAUTH/, 'no password');
refuses("acr_redis 127.0.0.1:$port password=wrong;", qr/WRONGPASS/,
        'a wrong password');
unlike($acr->log_text(), qr/password=|wrong;/, 'the log does not have it');
uses("acr_redis 127.0.0.1:$port 'password=top secret';", 'a password');

open(my $fh, '>', "$acr->{dir}/password") or die "password: $!\n";
print $fh "top secret\nand another line\n";
close($fh);
uses("acr_redis 127.0.0.1:$port password_file=$acr->{dir}/password;",
     'a password in a file');

uses('acr_redis ' . $redis->address() . " user=registry 'password=its own';",
     'a user');
uses("acr_redis 127.0.0.1:$port user=little 'password=little one';",
     'a user who may do little else');
refuses("acr_redis 127.0.0.1:$port user=nobody 'password=its own';",
        qr/WRONGPASS/, 'an unknown user');
unlike($acr->log_text(), qr/top secret|its own|little one/,
       'no password is in the log');

$redis->command('CONFIG', 'SET', 'requirepass', '');


# --- one that must not be used

my $line = "acr_redis 127.0.0.1:$port timeout=500ms;";

$redis->command('CONFIG', 'SET', 'maxmemory', '1gb');
$acr->allow(qr/\[alert\].*it would evict keys/);

for my $policy ('allkeys-lru', 'volatile-ttl') {
    $redis->command('CONFIG', 'SET', 'maxmemory-policy', $policy);
    refuses($line, qr/noeviction/, "the policy $policy");
    $redis->command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    goes_on('after the policy is right');
}

$redis->command('REPLICAOF', '127.0.0.1', 1);
ok(wait_for(sub { pushed() == 503 }), 'a Redis that became a replica is left');
refuses($line, qr/replica/, 'a replica');
$redis->command('REPLICAOF', 'NO', 'ONE');
goes_on('after it is a master again');

$redis->command('CONFIG', 'SET', 'maxmemory', '1');
refused($acr->post(with('/v2/lib/a/blobs/uploads/', digest => digest('full')),
                   body => 'full'), 503, 'UNAVAILABLE',
        'a Redis without memory');
like($acr->log_text(), qr/OOM/, 'the log has the reason');
is($acr->resolve('lib/a', 'n1'), digest_now(1), 'what is there can be pulled');
$redis->command('CONFIG', 'SET', 'maxmemory', '0');
goes_on('after it has some');

finish();


# starts with this line, pushes and pulls
sub uses {
    my ($line, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    begin($line);
    goes_on($name);
}


# starts with this line; every request gets 503 and the log has the reason
sub refuses {
    my ($line, $reason, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $read = length($acr->log_text());
    begin($line);
    my $answer = fresh($acr, 'POST', '/v2/lib/a/blobs/uploads/', body => '');
    refused($answer, 503, 'UNAVAILABLE', "$name: refused");
    like($answer->header('Retry-After'), qr/^[1-9]\d*$/, 'with Retry-After');
    like(substr($acr->log_text(), $read), $reason, 'the log has the reason');
}


sub begin {
    my ($line) = @_;

    $acr->configure(lines => { redis => $line });
    $acr->stop();
    $acr->run();
}


sub goes_on {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { pushed() == 202 }), "$name: it goes on");
    $count++;
    is($acr->push_image('lib/a', "n$count", "image $count"),
       $acr->resolve('lib/a', "n$count"), 'an image is pushed and found');
}


sub pushed {
    return fresh($acr, 'POST', '/v2/lib/a/blobs/uploads/', body => '')
        ->status();
}


sub digest_now {
    my ($n) = @_;

    return digest(image("{\"seed\":\"image $n\"}", ["layer of image $n"]));
}


sub keys_in {
    my ($db) = @_;

    $redis->command('SELECT', $db);
    my $keys = $redis->command('DBSIZE');
    $redis->command('SELECT', 0);

    return $keys;
}
