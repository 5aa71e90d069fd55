#!/usr/bin/perl

# What access control costs: a hot manifest by tag, for a token, a password and
# nobody in particular, beside the same registry without access control.

use strict;
use warnings;

use ACR::Content;
use Bench;
use JSON::PP qw(decode_json);

my $CONNECTIONS = 32;
my $TARGET = '/v2/team/app/manifests/latest';

my @contents = ('{"os":"linux"}', map { "layer $_" } 1 .. 3);
my $manifest = image($contents[0], [@contents[1 .. 3]]);

my $open = ours('open');
my $closed = ours('closed', http => 'acr_auth on; acr_service bench;
                                     acr_token_lifetime 1h;
                                     acr_anonymous_pull team/*;',
                  server => 'location /acr/admin/ { acr_admin; }');

my $admin = admin($closed);

for my $client ($open->{client}, $admin) {
    $client->push_blob('team/app', $_) for @contents;
    $client->push_manifest('team/app', 'latest', $manifest);
}

my $token = decode_json($admin->get(
    '/oauth2/token?service=bench&scope=repository:team/app:pull')->body());

my %login = (token => "Bearer $token->{token}",
             password => $admin->{authorization}, anonymous => undef);

title('auth', 'requests a second', 'CPU a request [and Redis]');

my $results = rounds({
    open => sub { load($open, 'GET', $TARGET, $CONNECTIONS, 'requests') },
    map {
        my $name = $_;
        ($name => sub {
            local $ENV{LOAD_AUTHORIZATION} = $login{$name};
            delete $ENV{LOAD_AUTHORIZATION} if !defined $login{$name};
            return load($closed, 'GET', $TARGET, $CONNECTIONS, 'requests');
        })
    } keys %login
});

row('GET by tag', $_, 'open', $results) for sort keys %login;
