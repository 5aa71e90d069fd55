#!/usr/bin/perl

# ACR's API in the middle of it: clients that leave, a Redis that pauses, a
# reload, workers that are killed.  Whatever is cut short, a repetition ends it,
# and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use Time::HiRes qw(sleep);

my $acr = start(workers => 2, fsync => 'off',
                redis_options => 'timeout=500ms');
my $redis = $acr->{redis};
my $REPOSITORIES = 12;

my $attributes = '{"writeEnabled":true,"listEnabled":false}';


# --- clients that leave, after some moment or other

for my $i (1 .. $REPOSITORIES) {
    my $repo = "lib/r$i";
    fill($repo, 4);
    leave(patch("$repo/_tags/t1"), $_ * 0.0007) for 0 .. 8;
    leave(substr(patch($repo), 0, -9), 0.002);
    leave(patch($repo), 0.0003 * $i);
    leave("GET /acr/v1/$repo/_manifests HTTP/1.1\r\nHost: a\r\n\r\n",
          $_ * 0.0004) for 0 .. 6;
    leave("GET /acr/v1/$repo/_tags?orderby=timedesc HTTP/1.1\r\nHost: a\r\n"
          . "\r\n", $_ * 0.0003) for 0 .. 3;
    leave(deletion($repo), 0.002 * $i);
}
nothing(map { "lib/r$_" } 1 .. $REPOSITORIES);


# --- a Redis that says nothing for a while, a reload, workers that are killed

fill('lib/x', 30);
cut('lib/x', sub { $redis->command('CLIENT', 'PAUSE', '1500', 'ALL') });
ok(wait_for(sub { fresh($acr, 'GET', '/v2/_catalog')->status() == 200 }),
   'Redis goes on');
cut('lib/x', sub { $acr->reload() });
nothing('lib/x');

$acr->allow(qr/exited on signal 9/);
fill('lib/y', 20);
cut('lib/y', sub { kill('KILL', $acr->workers()) });
ok(wait_for(sub {
    (eval { fresh($acr, 'GET', '/v2/')->status() } || 0) == 200
}), 'there are other workers');
nothing('lib/y');

is_deeply([differences($acr)], [], 'Redis and the disk are equal');
finish();


sub fill {
    my ($repo, $n) = @_;

    $acr->push_image($repo, "t$_", "$repo $_") for 1 .. $n;
}


sub patch {
    my ($what) = @_;

    return "PATCH /acr/v1/$what HTTP/1.1\r\nHost: a\r\nContent-Length: "
           . length($attributes) . "\r\n\r\n$attributes";
}


sub deletion { return "DELETE /acr/v1/$_[0] HTTP/1.1\r\nHost: a\r\n\r\n" }


sub leave {
    my ($request, $after) = @_;

    my $http = $acr->connect();
    $http->send($request);
    sleep($after);
    $http->abort();
}


# cut(REPOSITORY, WHAT): while the repository is deleted, something happens
sub cut {
    my ($repo, $what) = @_;

    my $http = $acr->connect();
    $http->send(deletion($repo));
    sleep(0.02);
    $what->();
    eval { $http->answer('DELETE') };
    $http->close();
}


# nothing(REPOSITORY...): they can be deleted, and are gone without a trace
sub nothing {
    my (@repositories) = @_;

    for my $repo (@repositories) {
        ok(wait_for(sub {
            my $answer = eval { fresh($acr, 'DELETE', "/acr/v1/$repo") };
            return $answer && $answer->status() =~ /^(?:202|404)$/;
        }), "a repetition ends it: $repo");
        is(fresh($acr, 'GET', "/acr/v1/$repo")->status(), 404, 'it is gone');
    }

    ok(wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30),
       'nothing is pending');
    is_deeply([grep { !/:(?:state|seq|events|candidates|in:.*|work.*)$/ }
               @{ $redis->command('KEYS', key('*')) }], [],
              'nothing is left in Redis');
    is_deeply([ACR::Fault::files("$acr->{root}/acr/repositories")], [],
              'nor on disk');
}
