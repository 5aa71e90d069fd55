#!/usr/bin/perl

# What the registry fetches for itself takes time, or never comes: nobody else
# waits, keys that it has are kept, and a worker that is to end ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::OIDC;
use ACR::Provider;
use JSON::PP qw(encode_json);
use MIME::Base64 qw(encode_base64);
use Socket qw(SOMAXCONN);
use Time::HiRes qw(time);

my $NOBODY = '00000000-0000-0000-0000-000000000000';
my $WELL_KNOWN = '/.well-known/openid-configuration';

my $dir = work_dir();

stalls();
down();
rotates();
names();
finish();


# provider(OPTIONS): its server and its keys
sub provider {
    my $server = ACR::Provider->prepare($dir);
    my $url = $server->url();
    my $idp = ACR::OIDC->new($url, $dir, kid => 'first');

    $server->answers($WELL_KNOWN => { body => encode_json(
                         { issuer => $url, jwks_uri => "$url/keys" }) },
                     '/keys' => { body => $idp->jwks() });

    return ($server, $idp);
}


sub issuer {
    my ($url, $prefix) = @_;

    my ($parameter, $name) = defined $prefix
        ? ("prefix=$prefix", "${prefix}alice") : ('', 'alice');

    return "acr_oidc_issuer $url audience=acr $parameter;"
        . "acr_role user:$name AcrPull;";
}


# begin(NODE, TOKEN): a connection that has asked
sub begin {
    my ($acr, $token) = @_;

    my $http = $acr->connect();
    $http->begin('GET', '/v2/', headers => [
        Authorization => 'Basic ' . encode_base64("$NOBODY:$token", '')]);

    return $http;
}


# --- a provider that takes connections and says nothing

sub stalls {
    my ($server, $idp) = provider();
    my $url = $server->url();
    my %stall = (stall => 1);
    my $document = $server->{rules}{$WELL_KNOWN};

    $server->run();
    $server->answers($WELL_KNOWN => \%stall);

    my $acr = start(http => 'acr_auth on;' . issuer($url));
    my ($first) = $acr->workers();

    ok(wait_for(sub { $server->requests(qr/known/) == 1 }), 'it was asked');

    my @waiting = map { begin($acr, $idp->token()) } 1 .. 3;
    my $begun = time();
    answers($acr->get('/v2/'), 401, 'others are answered') for 1 .. 20;
    ok(time() - $begun < 5, 'at once');
    is(scalar($server->requests(qr/known/)), 1,
       'those that need the keys wait for the fetch that is under way');

    # one leaves; the others have a worker that is to end
    $waiting[0]->close();
    $acr->reload();
    is_deeply([grep { $_ == $first } $acr->workers()], [$first],
              'a request that waits keeps its worker');
    $server->answers($WELL_KNOWN => $document);
    answers($waiting[$_]->answer('GET'), 200, 'until it is answered')
        for 1, 2;
    gone($acr, $first, 'then that ends');

    # keys, this time; nobody waits
    $server->answers('/keys' => \%stall);
    my $asked = $server->requests(qr/keys/);
    $acr->reload();
    ok(wait_for(sub { $server->requests(qr/keys/) > $asked }),
       'keys were asked for');
    my $second = the_worker($acr);
    $acr->reload();
    gone($acr, $second, 'a fetch keeps no worker');

    # worker_shutdown_timeout
    $acr->reload(main => 'worker_shutdown_timeout 1s;');
    my $third = the_worker($acr);
    my $http = begin($acr, $idp->token());
    answers($acr->get('/v2/'), 401, 'a worker with a request that waits');
    $acr->reload();
    gone($acr, $third, 'ends when its time is up');
    $http->close();

    # no answer at all
    $http = begin($acr, $idp->token());
    ok(wait_for(sub {
           $acr->log_text() =~ /cannot get its keys: no whole answer in \d+ ms/
       }, 25), 'time is limited');
    answers($http->answer('GET'), 503, 'for those that wait, too');
    is_deeply([$acr->stop()], [], 'it stops');
}


# the only one, once those of before are gone
sub the_worker {
    my ($acr) = @_;

    return wait_for(sub {
        my @workers = $acr->workers();
        return @workers == 1 && $workers[0];
    });
}


# gone(NODE, PID, NAME): the worker ends before its fetch's time is up
sub gone {
    my ($acr, $pid, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { !grep { $_ == $pid } $acr->workers() }, 6), $name);
}


# --- a provider that comes later

sub down {
    my ($server, $idp) = provider();

    my $acr = start(http => 'acr_auth on;' . issuer($server->url()));

    ok(wait_for(sub { $acr->log_text() =~ /next try in 2 s/ }),
       'it is tried again');
    answers($acr->as($NOBODY, $idp->token())->get('/v2/'), 503,
            'a token that cannot be verified');
    $server->run();
    ok(wait_for(sub {
           $acr->as($NOBODY, $idp->token())->get('/v2/')->status() == 200
       }), 'once it is there');

    # it goes again
    $server->{process}->kill_now();
    answers($acr->as($NOBODY, $idp->token())->get('/v2/'), 200,
            'keys that are there are kept');
    is_deeply([$acr->stop()], [], 'it stops');
}


# --- other keys

sub rotates {
    my ($server, $idp) = provider();

    $server->run();

    my $acr = start(http => 'acr_auth on; acr_auth_failures 100000;'
                    . issuer($server->url()));

    ok(wait_for(sub { $acr->log_text() =~ /: 1 keys/ }), 'one key');

    my $old = $idp->token({ jti => 'old' });
    my $begun = time();
    my $http = $acr->connect();

    for my $n (1 .. 1000) {
        my $token = ACR::OIDC::unsigned($idp->claims(),
                                        { alg => 'ES256', kid => "x$n" });
        my $answer = $http->request('GET', '/v2/', headers => [
            Authorization => 'Basic '
                . encode_base64("$NOBODY:$token.AAAA", '')]);
        if ($answer->status() != 401) {
            fail("number $n is refused");
            last;
        }
        if (!$http->usable()) {
            $http = $acr->connect();
        }
    }

    $http->close();

    my $fetches = $server->requests(qr/keys/);
    my $most = 1 + (time() - $begun) / 10 + 1;
    ok($fetches <= $most, '1,000 keys that are not known')
        or diag("$fetches fetches");

    # an answer that is no good changes nothing
    $server->answers('/keys' => { body => '{"keys":[]}' });
    $idp->rotate('second');
    my $token = $idp->token();
    ok(wait_for(sub {
           $acr->as($NOBODY, $token)->get('/v2/');
           $acr->log_text() =~ /there is none that can be used/;
       }, 30), 'a set without keys');
    answers($acr->as($NOBODY, $old)->get('/v2/'), 200,
            'does not take those that there are');

    $server->answers('/keys' => { body => $idp->jwks() });
    ok(wait_for(sub {
           $acr->as($NOBODY, $idp->token())->get('/v2/')->status() == 200
       }, 30), 'a new key');
    answers($acr->as($NOBODY, $old)->get('/v2/'), 200, 'and the old one');
    is_deeply([$acr->stop()], [], 'it stops');
}


# --- names, which somebody else looks up

sub names {
    SKIP: {
        skip('ACR_NGINX has libraries of its own', 1) if $ENV{ACR_NGINX};

        system('gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared',
               '-o', "$dir/names.so", "$FindBin::Bin/lib/names.c") == 0
            or die "gcc has failed\n";

        names_with("$dir/names", "$dir/names.log");
    }
}


sub names_with {
    my ($file, $log) = @_;

    my ($server, $idp) = provider();
    my $port = ACR::Node::free_port($server);
    my %preload = (LD_PRELOAD => join(' ', split(/[ :]/, $ENV{LD_PRELOAD}
                                                         || ''),
                                      "$dir/names.so"),
                   ACR_NAMES => $file, ACR_NAMES_LOG => $log);

    $server->run();
    certificate(map { "$_.test" } qw(here gone meta mixed second stall));

    my $tls = <<"CONF";
        server {
            listen 127.0.0.1:$port ssl;
            ssl_certificate $dir/names.crt;
            ssl_certificate_key $dir/names.key;
            location / { proxy_pass @{[ $server->url() ]}; }
        }
CONF

    # an address where connections are not taken: its queue is full
    my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.2',
                                     LocalPort => $port, Listen => 1)
        or die "127.0.0.2: $@\n";
    my @queue = map {
        IO::Socket::INET->new(PeerAddr => '127.0.0.2', PeerPort => $port,
                              Timeout => 0.2)
    } 1 .. 4;

    my %url = map { $_ => "https://$_.test:$port/$_" }
              qw(here gone meta mixed second stall);

    for my $name (keys %url) {
        $server->answers("/$name$WELL_KNOWN" => { body => encode_json(
            { issuer => $url{$name}, jwks_uri => "$url{$name}/keys" }) },
            "/$name/keys" => { body => $idp->jwks() });
    }

    my %names = (here => '127.0.0.1', gone => 'fail',
                 meta => '169.254.169.254', mixed => '169.254.1.1,127.0.0.1',
                 second => '127.0.0.2,127.0.0.1', stall => 'stall');

    spew($log, '');
    chmod(0666, $log);
    name_file($file, %names);

    my $acr = start(env => \%preload, servers => $tls, http => 'acr_auth on;'
                    . "acr_fetch_trusted_certificate $dir/names.crt;"
                    . join('', map { issuer($url{$_}, "$_:") } sort keys %url));

    for my $case ([here => '1 keys'], [mixed => '1 keys'],
                  [second => '1 keys'],
                  [gone => 'cannot get .*: its name was not found: .*;'],
                  [meta => 'cannot get .*: its address must not be asked;'])
    {
        my ($name, $said) = @$case;
        ok(wait_for(sub {
               $acr->log_text() =~ /issuer "\Q$url{$name}\E": $said/
           }), "$name: $names{$name}");
    }

    # a look-up may be longer than who asked is there
    answers($acr->get('/v2/'), 401, 'while a name is looked up');
    my ($first) = $acr->workers();
    $acr->reload();
    is_deeply([grep { $_ == $first } $acr->workers()], [$first],
              'a look-up cannot be ended');
    ok(wait_for(sub {
           $acr->log_text() =~ /\/stall": .*its name was not found in \d+ ms/
       }), 'but nobody waits for it');
    name_file($file, %names, stall => '127.0.0.1');
    gone($acr, $first, 'when it is over the worker ends');
    ok(wait_for(sub { $acr->log_text() =~ /\/stall": 1 keys/ }),
       'a name that is found at last');

    my @looked = split(/\n/, slurp($log));
    ok((grep { /^thread here\.test$/ } @looked),
       'names are looked up in threads');
    is_deeply([grep { /^main .*\.test$/ } @looked], [], 'and nowhere else');
    close($_) for $full, grep { $_ } @queue;
    is_deeply([$acr->stop()], [], 'it stops');
}


sub name_file {
    my ($file, %names) = @_;

    spew("$file.new", join('', map { "$_.test $names{$_}\n" } keys %names));
    rename("$file.new", $file) or die "rename: $!\n";
}


sub certificate {
    my $names = join(',', map { "DNS:$_" } @_);

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -subj /CN=names -addext subjectAltName=$names "
           . "-days 2 -keyout $dir/names.key -out $dir/names.crt "
           . "2> $dir/openssl.log") == 0
        or die "openssl has failed\n";
}
