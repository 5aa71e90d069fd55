#!/usr/bin/perl

# Sentinel as it is set up: the configurations of conf/sentinel, three Redis and
# three sentinels of them, with one that dies; and TLS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Conf;
use ACR::Fault;
use ACR::Sentinel;

my $server = $ENV{REDIS_SERVER} || 'redis-server';
my $dir = work_dir();
my $reserved = {};

conf_sentinel();

SKIP: {
    my ($said, $fine) = prepare(redis => undef, lines => {
        redis => 'acr_redis sentinel://127.0.0.1/acr ssl=on;' })->test();
    skip('no TLS in hiredis', 1) if $said =~ /has no TLS/;
    skip('no TLS in Redis', 1)
        if `$server --tls-port 0 --port x 2>&1` =~ /Bad directive.*tls/s;
    tls();
}

finish();


# --- conf/sentinel

sub conf_sentinel {
    my @port = map { ACR::Node::free_port($reserved) } 0 .. 2;
    my @redis = map { one_redis($_, $port[0]) } @port;

    ok(wait_for(sub {
        (() = said("$dir/redis-$port[0]/log")
                =~ /Synchronization with replica \S+ succeeded/g) == 2
    }), 'redis.conf is accepted, and two follow the first')
        or diag(said("$dir/redis-$port[0]/log"));

    my @sentinel = map { sentinel($port[0]) } 1 .. 3;

    ok(wait_for(sub {
        !grep { knows($_) < 4 } @sentinel
    }), 'sentinel.conf is accepted, and all know one another')
        or diag(map { said("$dir/sentinel-$_/log") } @sentinel);

    my $acr = shipped('sentinel/nginx.conf', ['10.0.0.5' => '127.0.0.1'],
        ['sentinel://10.0.0.11,10.0.0.12,10.0.0.13/acr'
         => 'sentinel://' . join(',', map { "127.0.0.1:$_" } @sentinel)
            . '/acr']);

    spew("$acr->{dir}/redis.password", "redis-password\n");
    spew("$acr->{dir}/sentinel.password", "sentinel-password\n");
    accepted($acr, 'nginx.conf is accepted');

    log_in($acr, admin($acr), 'repository:lib/a:pull,push');
    my $before = wait_for(sub { eval {
        $acr->push_image('lib/a', 'before', 'before')
    } });
    is(pulled($acr, 'before'), $before, 'an image is pushed and pulled');

    $redis[0]->kill_now();
    is(pulled($acr, 'before'), $before, 'the master dies: pulls go on');

    my $after = wait_for(sub { eval {
        $acr->push_image('lib/a', 'after', 'after')
    } }, 30);
    ok($after, 'another one takes its place: so do pushes')
        or diag($acr->tail());
    is(pulled($acr, 'after'), $after, 'the image is there');
    is(pulled($acr, 'before'), $before, 'and so is the other');
    $acr->forget();
}


# a Redis that listens there, and follows the one at MASTER
sub one_redis {
    my ($port, $master) = @_;

    # replicas that come soon after another are waited for, for five seconds
    return shipped_redis('sentinel/redis.conf', $port,
        [qr/^(repl-diskless-sync) yes/m => 'repl-diskless-sync yes'
                                           . "\nrepl-diskless-sync-delay 0"],
        $port == $master ? () : ['# replicaof 10.0.0.11 6379'
                                 => "replicaof 127.0.0.1 $master"]);
}


# the port of a new sentinel
sub sentinel {
    my ($master) = @_;

    my $port = ACR::Node::free_port($reserved);
    my $home = "$dir/sentinel-$port";

    mkdir($home) or die "$home: $!\n";
    spew("$home/conf", change(
        slurp("$ACR::Node::TREE/conf/sentinel/sentinel.conf"),
        [qr/10\.0\.0\.11 127\.0\.0\.1/ => '127.0.0.1'],
        [qr/^port \d+/m => "port $port"], [qr/^dir .*/m => "dir $home"],
        [qr/^(?:pid|log)file .*\n/m => ''],
        ['acr 10.0.0.11 6379' => "acr 127.0.0.1 $master"]));
    ACR::Process->spawn("$home/log", $server, "$home/conf", '--sentinel');

    return $port;
}


# how many replicas and sentinels one has found
sub knows {
    my ($port) = @_;

    my $log = said("$dir/sentinel-$port/log");

    return scalar(() = $log =~ / \+(?:slave|sentinel) /g);
}


# what is in a log, which may not be there yet
sub said {
    my ($name) = @_;

    return eval { slurp($name) } || '';
}


# the digest of the manifest that is there
sub pulled {
    my ($acr, $tag) = @_;

    return digest($acr->get("/v2/lib/a/manifests/$tag")->body());
}


# --- TLS

sub tls {
    my ($redis_port, $port) = map { ACR::Node::free_port($reserved) } 1, 2;

    mkdir("$dir/tls") or die "tls: $!\n";
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -subj /CN=localhost "
           . "-addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -days 2 "
           . "-keyout $dir/tls/key -out $dir/tls/crt 2> $dir/tls/log") == 0
        or die slurp("$dir/tls/log");

    my %tls = ('tls-cert-file' => "$dir/tls/crt",
               'tls-key-file' => "$dir/tls/key",
               'tls-ca-cert-file' => "$dir/tls/crt",
               'tls-auth-clients' => 'no', 'tls-replication' => 'yes');

    my $redis = redis('--tls-port', $redis_port, '--bind', '127.0.0.1',
                      map { ("--$_", $tls{$_}) } sort keys %tls);
    spew("$dir/tls/sentinel.conf", join("\n",
         'port 0', "tls-port $port", 'bind 127.0.0.1', "dir $dir/tls",
         "unixsocket $dir/tls/redis.sock", 'unixsocketperm 777',
         (map { "$_ $tls{$_}" } sort keys %tls),
         "sentinel monitor acr 127.0.0.1 $redis_port 1", ''));
    my $sentinel = ACR::Redis->sentinel("$dir/tls");
    my $acr = prepare(redis => $redis, fsync => 'off');

    begins($acr, "127.0.0.1:$port", "ssl=on ssl_ca=$dir/tls/crt");
    first_image($acr);
    goes_on($acr, 'with TLS');
    begins($acr, "localhost:$port", "ssl=on ssl_ca=$dir/tls/crt");
    goes_on($acr, 'with TLS and a name');
    $sentinel->kill();
    $sentinel->run();
    goes_on($acr, 'when the sentinel was started again');

    begins($acr, "127.0.0.1:$port", 'ssl=on');
    unavailable($acr, 'a certificate that is not trusted');
    logged($acr, qr/no sentinel .*: .*certificate/, 'why');
}
