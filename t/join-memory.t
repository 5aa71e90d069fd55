#!/usr/bin/perl

# A worker that has no memory for joining its Redis tries it again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Shim;

plan(skip_all => ACR::Shim->missing()) if ACR::Shim->missing();

my $shim = ACR::Shim->new();
my $redis = redis();
my $acr = start(redis => $redis, env => $shim->env());
my $serves = sub { $acr->get('/v2/_catalog')->status() == 200 };

ok(wait_for($serves), 'the catalogue is there');

# what the join begins with; the script by its name; its text, which a new
# Redis has to be told
my %command = (
    INFO => 'command INFO$',
    EVALSHA => 'command EVALSHA/',
    EVAL => 'command EVAL/*return_answer(why)_$',
);

for my $name (qw(INFO EVALSHA EVAL)) {
    $shim->rules("$command{$name} ENOMEM count=1");
    $redis->command('SCRIPT', 'FLUSH');
    $redis->command('CLIENT', 'KILL', 'TYPE', 'normal');

    ok(wait_for(sub { $shim->fired() == 1 }), "$name cannot be sent");
    ok(wait_for($serves), 'it is sent later');
}

like($acr->log_text(), qr/is not usable: no memory/, 'the log says why');

finish($acr);
