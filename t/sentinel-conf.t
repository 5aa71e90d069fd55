#!/usr/bin/perl

# Sentinel as it is set up: the configurations of conf/sentinel, and TLS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Sentinel;

my $server = $ENV{REDIS_SERVER} || 'redis-server';
my $dir = work_dir();
my $reserved = {};

shipped();

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

sub shipped {
    my @redis = map { ACR::Node::free_port($reserved) } 1, 2;
    my $sentinel = ACR::Node::free_port($reserved);
    my $acr = prepare(redis => undef);

    mkdir("$dir/$_") or die "$_: $!\n"
        for qw(run logs tmp redis sentinel one two);
    spew("$dir/redis-password.conf",
         "requirepass redis-password\nmasterauth redis-password\n");
    spew("$dir/redis.password", "redis-password\n");
    spew("$dir/sentinel.password", "sentinel-password\n");

    # the commented line is for the second
    my $conf = with_paths('redis.conf');
    spew("$dir/one.conf", $conf =~ s/^port \d+$/port $redis[0]/mr
                                =~ s{^dir .*}{dir $dir/one}mr);
    spew("$dir/two.conf", $conf =~ s/^port \d+$/port $redis[1]/mr
                                =~ s{^dir .*}{dir $dir/two}mr
                                =~ s/^# (replicaof \S+) \d+/$1 $redis[0]/mr);
    spew("$dir/sentinel.conf",
         with_paths('sentinel.conf') =~ s/^port \d+$/port $sentinel/mr
         =~ s/^(sentinel monitor acr \S+) \d+/$1 $redis[0]/mr);

    for my $one (['one.conf'], ['two.conf'], ['sentinel.conf', '--sentinel']) {
        my ($name, @more) = @$one;
        my $process = ACR::Process->spawn("$dir/$name.log", $server,
                                          "$dir/$name", @more);
        ok(wait_for(sub {
               said($name) =~ /Ready to accept|monitor master acr/
           }), "$name is accepted") or diag(said($name));
    }
    ok(wait_for(sub { said('one.conf') =~ /onization with replica.*succ/ }),
       'the second follows the first');

    my $module = ACR::Node::module();
    spew("$acr->{dir}/nginx.conf",
         with_paths('nginx.conf')
         =~ s{modules/ngx_http_acr_module\.so}{$module}r
         =~ s{sentinel://[^/]+/}{sentinel://127.0.0.1:$sentinel/}r
         =~ s/listen 5000;/listen 127.0.0.1:$acr->{port};/r
         =~ s/^ *listen \[::\].*\n//mr =~ s{/srv/acr}{$acr->{root}}r
         =~ s/^/daemon off;/r
         =~ s/^user .*/'user ' . ACR::Node::worker_user() . ';'/emr
         =~ s{^pid .*}{pid $acr->{dir}/nginx.pid;}mr);

    my ($said, $fine) = $acr->test();
    ok($fine, 'nginx.conf is accepted') or diag($said);
    $acr->run();
    ok(wait_for(sub { begun($acr) == 202 }), 'and all of them work together')
        or diag(slurp("$dir/logs/error.log"));
    $acr->stop();
    unlike(slurp("$dir/logs/error.log"), qr/\[(?:alert|crit|emerg)\]/,
           'with nothing bad in the log');
}


# what a Redis has logged
sub said {
    my ($name) = @_;

    return eval { slurp("$dir/$name.log") } || '';
}


sub with_paths {
    my ($name) = @_;

    return slurp("$ACR::Node::TREE/conf/sentinel/$name")
        =~ s{/var/lib/acr|/etc/acr}{$dir}gr
        =~ s/10\.0\.0\.\d+ 127\.0\.0\.1/127.0.0.1/gr
        =~ s/10\.0\.0\.\d+/127.0.0.1/gr;
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
