#!/usr/bin/perl

# Connections that are used again: for the same, by those who might have made
# them, and not for ever.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fetch;
use ACR::Provider;

plan(skip_all => ACR::Fetch::missing()) if ACR::Fetch::missing();

my $dir = work_dir();
my $server = ACR::Provider->start($dir);
my $other = ACR::Provider->start($dir);
my %fine = (status => 200, error => '');

for ($server, $other) {
    $_->answers('/keep' => { size => 100_000, keep => 1 },
                '/drop' => { size => 1000, drop => 1 },
                '/once' => { size => 1000, once => 1 },
                '/hang' => { size => 1000, cut => 10, hang => 1 },
                '/moved' => { status => 302, location => '/keep', keep => 1,
                              body => 'there' });
}

my @options = ACR::Fetch::options();
my $acr = start(@options);
my $idle = start(@options);

fetch($idle, $other, '/keep');

again($acr);
closed($acr);
encrypted();
proxy();
vetted();
ends($acr);

ok(wait_for(sub { !connections_to($other->{port}) }, 100),
   'without a request none is kept');
fetch($idle, $other, '/keep');
my @last = $other->connections(qr{/keep});
isnt($last[0], $last[-1], 'and the next has a new one');
finish();


sub fetch {
    my ($node, $to, $target, %argument) = @_;

    my $base = $argument{base} || $to->url();
    delete $argument{base};

    my $result = ACR::Fetch::result(
        ACR::Fetch::begin($node, $base, $target, %argument));

    # what the TLS server says of its connection
    return $1 if $result->{answer} =~ /^request (\d+)/;

    return { map { $_ => $result->{$_} } qw(status error) };
}


# established, or closed by the server and kept by the client
sub connections_to {
    my ($port) = @_;

    my $to = sprintf('0100007F:%04X', $port);

    return grep { /^ *\d+: \S+ $to 0[18] / }
           split(/\n/, slurp('/proc/net/tcp'));
}


# how many were used
sub used {
    my ($to, $pattern) = @_;

    my %used = map { $_ => 1 } $to->connections($pattern);

    return scalar(keys %used);
}


sub again {
    my ($node) = @_;

    is_deeply(fetch($node, $server, '/keep'), \%fine, 'a request') for 1 .. 3;
    is_deeply(fetch($node, $server, '/keep', method => 'HEAD'), \%fine,
              'HEAD');
    is_deeply(fetch($node, $server, '/keep', stream => 0, max => 100_000),
              \%fine, 'one that is collected');
    is_deeply(fetch($node, $server, '/moved'), \%fine, 'a redirect');
    is(used($server, qr{keep|moved}), 1, 'all have the same connection');

    is_deeply(fetch($node, $server, '/keep', method => 'POST'), \%fine,
              'POST');
    is(used($server, qr{keep}), 2, 'has a new one');

    is_deeply(fetch($node, $other, '/keep'), \%fine, 'another server');

    # at the same time
    my @both = map { ACR::Fetch::begin($node, $server->url(), '/keep',
                                       hold => 1) } 1 .. 2;
    ok(wait_for(sub { (() = $server->requests(qr{^GET /keep$})) == 7 }),
       'two at a time');
    $_->close() for @both;
    is_deeply(fetch($node, $server, '/keep', base => 'http://localhost:'
                    . $server->{port}), \%fine, 'another name');

    my @connections = $server->connections(qr{keep});
    my $last = pop(@connections);
    ok(!(grep { $_ == $last } @connections), 'has another one');
}


# the server closes them, before or when they are used again
sub closed {
    my ($node) = @_;

    is_deeply(fetch($node, $server, '/drop'), \%fine, 'closed after it')
        for 1 .. 5;
    is(used($server, qr{drop}), 5, 'so each has its own');

    my $first = fetch($node, $server, '/once');
    is_deeply(fetch($node, $server, '/once'), \%fine,
              'closed when there is a request') for 1 .. 3;
    is_deeply($first, \%fine, 'but the first');
    is(scalar($server->requests(qr{once})), 7, 'which is sent again');
}


# tls(PORT): directives of a server, and how to ask it
sub tls {
    my ($port) = @_;

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . '-nodes -subj /CN=reuse -addext subjectAltName=IP:127.0.0.1 '
           . "-days 2 -keyout $dir/tls.key -out $dir/tls.crt "
           . "2> $dir/openssl.log") == 0
        or die "openssl has failed\n";

    return (servers => <<"CONF", http => <<"TRUST");
        server {
            listen 127.0.0.1:$port ssl;
            ssl_certificate $dir/tls.crt;
            ssl_certificate_key $dir/tls.key;
            location / { return 200 "request \$connection_requests"; }
        }
CONF
        acr_fetch_trusted_certificate $dir/tls.crt;
TRUST
}


sub encrypted {
    my $port = ACR::Node::free_port($server);
    my $node = start(@options, tls($port));

    is(fetch($node, $server, '/', stream => 0,
             base => "https://127.0.0.1:$port"), $_, "https, request $_")
        for 1 .. 3;
}


sub proxy {
    my $proxy = ACR::Provider->start($dir);
    my $port = ACR::Node::free_port($proxy);
    my %tls = tls($port);

    $proxy->answers('/keep' => { size => 1000, keep => 1 });

    my $node = start(@options, %tls, http => $tls{http}
                     . "acr_fetch_proxy http://127.0.0.1:$proxy->{port};");

    is(fetch($node, $server, '/', stream => 0,
             base => "https://127.0.0.1:$port"), $_,
       "https through a proxy, request $_") for 1 .. 2;
    is(scalar($proxy->requests(qr{^CONNECT})), 1, 'with one tunnel');
    is_deeply(fetch($node, $server, '/keep'), \%fine, 'http through a proxy')
        for 1 .. 2;
    is(used($proxy, qr{keep}), 2, 'has a connection for each');
}


# One that was made for somebody who may ask this machine: for another the same
# name has another address, at which it only seems to be.
sub vetted {
    SKIP: {
        skip('ACR_NGINX has libraries of its own', 1) if $ENV{ACR_NGINX};

        system('gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared',
               '-o', "$dir/names.so", "$FindBin::Bin/lib/names.c") == 0
            or die "gcc has failed\n";

        vetted_with("$dir/names");
    }
}


sub vetted_with {
    my ($file) = @_;

    my $to = ACR::Provider->start($dir);
    my $base = "http://same.test:$to->{port}";

    $to->answers('/keep' => { size => 1000, keep => 1 });
    spew($file, "same.test 127.0.0.1\n");

    my $node = start(@options, env => {
        LD_PRELOAD => join(' ', split(/[ :]/, $ENV{LD_PRELOAD} || ''),
                           "$dir/names.so"),
        ACR_NAMES => $file });

    is_deeply(fetch($node, $to, '/keep', base => $base), \%fine,
              'the one of this machine') for 1 .. 2;
    is(used($to, qr{keep}), 1, 'has its connection');
    is_deeply(fetch($node, $to, '/keep', base => $base, written => ''),
              { status => 0, error => 'its address must not be asked' },
              'another may not ask it');

    spew($file, "same.test 11.22.33.44\n11.22.33.44 127.0.0.1\n");
    is_deeply(fetch($node, $to, '/keep', base => $base, written => ''),
              \%fine, 'another address') for 1 .. 2;

    my @connections = $to->connections(qr{keep});
    isnt($connections[2], $connections[1], 'has a connection of its own');
    is($connections[3], $connections[2], 'which is used again');
    is_deeply(fetch($node, $to, '/keep', base => $base), \%fine,
              'also by who may ask more');
    is(($to->connections(qr{keep}))[4], $connections[2], 'the same one');
}


sub ends {
    my ($node) = @_;

    my ($first) = $node->workers();

    fetch($node, $server, '/keep');
    cmp_ok(scalar(connections_to($server->{port})), '>', 0, 'one is kept');
    $node->reload();
    ok(wait_for(sub { !grep { $_ == $first } $node->workers() }),
       'but not a worker that is to end');
    ok(wait_for(sub { !connections_to($server->{port}) }), 'and not by it');
}
