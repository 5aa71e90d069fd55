#!/usr/bin/perl

# What workers tell one another of credentials, in acr_zone: one that was
# verified need not be verified again, and failures are counted together.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Fault;
use ACR::Metrics;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $WORKERS = 3;

my $HTTP = 'acr_auth on; acr_auth_failures 3; acr_zone acr:1m;
            set_real_ip_from 127.0.0.1; real_ip_header X-From;';
my $acr = start(workers => $WORKERS, http => $HTTP,
                server => 'location /acr/admin/ { acr_admin; }
                           location = /metrics { acr_metrics; }
                           location = /pid { return 200 $pid; }');
my $admin = change($acr, 'PUT', 'admin', { enabled => JSON::PP::true })
                ->{passwords}[0]{value};

# a connection to each worker
my %worker;
ok(wait_for(sub {
    my $http = ACR::HTTP->new($acr->port());
    my $pid = $http->request('GET', '/pid')->body();
    $worker{$pid} //= $http;
    return keys(%worker) == $WORKERS;
}, 60), 'a connection to each worker');
my @all = map { $worker{$_} } sort keys %worker;

my $basic = 'Basic ' . encode_base64("admin:$admin", '');
ok(wait_for(sub {
    !grep { asks($_, $basic, '192.0.2.1')->status() != 200 } @all
}), 'all know the admin user');


# --- one has verified it: the others need not

for my $what ('a password', 'a token') {
    my $credential = $basic;

    if ($what eq 'a token') {
        my $answer = $all[0]->request('GET',
            '/oauth2/token?scope=repository:a/b:pull,push'
            . '%20repository:c:pull%20registry:catalog:*',
            headers => [Authorization => $basic]);
        $credential = 'Bearer ' . $answer->json()->{token};
    }

    asks($all[0], $credential, '192.0.2.1');
    my $verified = logins('verified');
    my $known = logins('known');

    answers(asks($_, $credential, '192.0.2.1'), 200, "$what at each")
        for @all;
    is(logins('verified'), $verified, 'none verifies it');
    is(logins('known'), $known + $WORKERS, 'all know it');

    my @may = map { may($_, $credential) } @all;
    is_deeply($may[$_], $may[0], 'and what it may do') for 1 .. $#all;
    is_deeply($may[0], $what eq 'a token' ? [404, 404, 401, 200]
                                          : [404, 404, 404, 200],
              'is what it is for');
}


# --- failures

my $refused = logins('refused');
for my $i (0 .. 5) {
    asks($all[$i % $WORKERS], wrong($i), '192.0.2.7');
}
is(logins('refused') - $refused, 3, 'three are wrong, the others come to none');
answers(asks($_, wrong('x'), '192.0.2.7'), 429, 'all workers know') for @all;
answers(asks($_, $basic, '192.0.2.7'), 200, 'what is right goes on') for @all;
answers(asks($all[0], wrong('x'), '192.0.2.8'), 401, 'so does another address');


# --- a password that is changed, and a worker that is killed

my $new = change($acr, 'POST', 'admin/passwords/password', {})->{value};
ok(wait_for(sub {
    !grep { asks($_, $basic, '192.0.2.1')->status() != 401 } @all
}), 'what is remembered of an old password is good for nothing');

my $again = 'Basic ' . encode_base64("admin:$new", '');
ok(wait_for(sub {
    !grep { asks($_, $again, '192.0.2.1')->status() != 200 } @all
}), 'the new one is');

$acr->allow(qr/exited on signal 9/);
my ($pid) = sort keys %worker;
kill('KILL', $pid) or die "kill: $!\n";
ok(wait_for(sub { !grep { $_ == $pid } $acr->workers() }), 'one is killed');
my $verified = logins('verified');
ok(wait_for(sub { fresh($acr, 'GET', '/pid')->body() !~ /^$pid$/ }),
   'another takes its place');
answers(fresh($acr, 'GET', '/v2/', headers => [Authorization => $again]), 200,
        'which is told') for 1 .. 20;
is(logins('verified'), $verified, 'by the others');



# --- a key that is taken out of the configuration

my $key = work_dir() . '/key';
system("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
       . " -out $key.$_ 2>/dev/null") == 0 or die for 1, 2;
chmod(0644, "$key.1", "$key.2");
$acr->reload(http => $HTTP . " acr_token_key $key.1;");
my $token = fresh($acr, 'GET', '/oauth2/token?scope=registry:catalog:*',
                  headers => [Authorization => $again])->json()->{token};
my @bearer = (headers => [Authorization => "Bearer $token"]);
answers(fresh($acr, 'GET', '/v2/_catalog', @bearer), 200, 'a token')
    for 1 .. 2;
$acr->reload(http => $HTTP . " acr_token_key $key.2;");
answers(fresh($acr, 'GET', '/v2/_catalog', @bearer), 401,
        'is not remembered beyond its key') for 1 .. 4;

finish();


sub asks {
    my ($http, $credential, $from) = @_;

    return $http->request('GET', '/v2/', headers => [
        Authorization => $credential, 'X-From' => $from]);
}


# what the credential may do: the status of each
sub may {
    my ($http, $credential) = @_;

    return [map { $http->request('GET', $_, headers => [
                      Authorization => $credential,
                      'X-From' => '192.0.2.1'])->status() }
            '/v2/a/b/tags/list', '/v2/c/tags/list', '/v2/d/tags/list',
            '/v2/_catalog'];
}


sub wrong {
    my ($what) = @_;

    return 'Basic ' . encode_base64('admin:' . substr("$what$admin", 0, 52),
                                    '');
}


sub logins {
    my ($result) = @_;

    return value($acr, 'acr_logins_total', result => $result);
}
