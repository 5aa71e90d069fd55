#!/usr/bin/perl

# Manifests: requests a second and CPU a request over 32 connections.  The
# file that it is compared with is served in nginx's faster way for so small a
# one: without sendfile, from the cache of open files.

use strict;
use warnings;

use ACR::Content;
use Bench;

my $CONNECTIONS = 32;

my @contents = ('{"os":"linux"}', map { "layer $_" } 1 .. 3);
my $manifest = image($contents[0], [@contents[1 .. 3]]);
my %reference = (tag => 'latest', digest => digest($manifest));

my $ours = ours('ours');
my $docker = docker();
my $static = static('file',
                    { map { ("v2/team/app/manifests/$_" => $manifest) }
                      values %reference },
                    'sendfile off;');

for my $server ($ours, $docker) {
    $server->{client}->push_blob('team/app', $_) for @contents;
    $server->{client}->push_manifest('team/app', 'latest', $manifest);
}

title('manifest', 'requests a second', 'CPU a request [and Redis]');

for my $kind (qw(tag digest)) {
    for my $method (qw(GET HEAD)) {
        my $target = "/v2/team/app/manifests/$reference{$kind}";

        my $results = rounds({ map {
            my $server = $_;
            ($server->{name} => sub {
                load($server, $method, $target, $CONNECTIONS, 'requests')
            })
        } $ours, $static, $docker });

        row("$method by $kind", 'ours', $_, $results) for 'file', 'docker';
    }
}
