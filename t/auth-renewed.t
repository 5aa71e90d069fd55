#!/usr/bin/perl

# What was granted a moment ago holds at every worker and node at once: who is
# refused by what a worker knows is looked up in the file first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Metrics;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $WORKERS = 2;
my $ROUNDS = 5;

my %conf = (workers => $WORKERS, fsync => 'off', http => 'acr_auth on;',
            server => 'location /acr/admin/ { acr_admin; }'
                      . ' location = /metrics { acr_metrics; }'
                      . ' location = /pid { return 200 $pid; }');
my $acr = start(%conf);
my $two = node($acr, %conf);

my @all = map { each_worker($_) } $acr, $two;
my $same = join(' ', ('%s') x @all);

passwords();
tokens();
rights();
refused_still();
finish();


# a connection to each worker
sub each_worker {
    my ($node) = @_;

    my %worker;
    ok(wait_for(sub {
        my $http = ACR::HTTP->new($node->port());
        $worker{$http->request('GET', '/pid')->body()} //= $http;
        return keys(%worker) == $WORKERS;
    }, 60), 'a connection to each worker');

    return values(%worker);
}


sub asks {
    my ($http, $authorization, $target) = @_;

    return $http->request('GET', $target || '/v2/',
                          headers => [Authorization => $authorization]);
}


sub basic { return 'Basic ' . encode_base64("$_[0]:$_[1]", '') }


# what all say to that, one after the other
sub everybody {
    return join(' ', map { asks($_, @_)->status() } @all);
}


sub all_say {
    my ($status, $name, @request) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(everybody(@request), $same =~ s/%s/$status/gr, $name);
}


sub passwords {
    change($acr, 'PUT', 'admin', { enabled => JSON::PP::true });

    for (1 .. $ROUNDS) {
        my $password = change($acr, 'POST', 'admin/passwords/password', {})
                           ->{value};

        all_say(200, 'a password that was just made', basic('admin',
                                                            $password));
    }
}


# by a token that one worker has given for a password that was just made
sub tokens {
    for my $n (1 .. $ROUNDS) {
        change($acr, 'PUT', "scope-maps/ci$n",
               { actions => ['repositories/lib/*/content/read'] });
        change($acr, 'PUT', "tokens/ci$n", { scopeMap => "ci$n" });
        my $password = change($acr, 'POST', "tokens/ci$n/passwords/password1",
                              {})->{value};
        my $answer = asks($all[$n % @all], basic("ci$n", $password),
                          '/oauth2/token?scope=repository:lib/a:pull');
        answers($answer, 200, 'a token');
        all_say(404, 'is good everywhere',
                'Bearer ' . $answer->json()->{access_token},
                '/v2/lib/a/manifests/none');
    }
}


# more than before
sub rights {
    my $password = change($acr, 'POST', 'tokens/ci1/passwords/password2', {})
                       ->{value};

    for my $n (1 .. $ROUNDS) {
        change($acr, 'PUT', 'scope-maps/ci1',
               { actions => ['repositories/lib/*/content/read',
                             map { "repositories/more$_/content/read" }
                                 1 .. $n] });
        all_say(404, 'a right that was just given', basic('ci1', $password),
                "/v2/more$n/manifests/none");
    }
}


# who is nobody goes on being nobody, and each wrong password counts once
sub refused_still {
    my $before = value($two, 'acr_logins_total', result => 'refused');

    answers(asks($_, basic('admin', 'wrong')), 401, 'a wrong password')
        for each_worker($two);
    is(value($two, 'acr_logins_total', result => 'refused'),
       $before + $WORKERS, 'counts once');
    all_say(401, 'rights that there are not', basic('ci2', 'wrong'),
            '/v2/lib/a/manifests/none');
}
