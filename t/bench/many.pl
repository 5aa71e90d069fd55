#!/usr/bin/perl

# Manifests of 10,000 repositories with 10 tags each, asked for by Zipf's law:
# the n-th of all tags 1/n times as often as the first.  The index and the files
# are filled directly.

use strict;
use warnings;

use ACR::Content;
use ACR::Metrics;
use Bench;
use Digest::SHA qw(sha256_hex);
use List::Util qw(shuffle);

my $REPOSITORIES = 10_000;
my $TAGS = 10;
my $CASE = '100,000 tags, Zipf';
my $TYPE = 'application/vnd.oci.image.manifest.v1+json';

exit(0) if !wanted($CASE);

my $ours = ours('ours', server => 'location = /metrics { acr_metrics; }');
my $static = static('file', {}, 'sendfile off;');

my $layout = "$ours->{root}/docker/registry/v2/blobs/sha256";
my $files = $static->{root};
my @targets;

$ours->{client}->push_blob('team/app', 'a blob');

my $to = filler($ours);
mkdir("$layout/$_") for map { sprintf('%02x', $_) } 0 .. 255;
mkdir("$files/v2");

for my $n (1 .. $REPOSITORIES) {
    my $repository = "r$n";
    my $manifest = image("config $n", ["layer $n"]);
    my $hex = sha256_hex($manifest);
    my $dir = "$layout/" . substr($hex, 0, 2) . "/$hex";
    my @tags = map { "v$_" } 1 .. $TAGS;

    mkdir($dir) or die "$dir: $!\n";
    write_file("$dir/data", $manifest);

    mkdir("$files/v2/$repository");
    mkdir("$files/v2/$repository/manifests");
    link("$dir/data", "$files/v2/$repository/manifests/$_") or die "link: $!\n"
        for @tags;

    print $to command('HSET', "acr:{default}:manifests:$repository",
                      "sha256:$hex", length($manifest) . " $TYPE"),
              command('HSET', "acr:{default}:tag:$repository",
                      map { ($_ => "sha256:$hex 1 1") } @tags);
    push(@targets, map { "/v2/$repository/manifests/$_\n" } @tags);
}

filled($to);
write_file(work_dir() . '/targets', join('', shuffle(@targets)));

my $targets = '@' . work_dir() . '/targets';

title('manifest', 'requests a second', 'CPU a request [and Redis]');

# a second of each, so that what is compared is what is in use
load($_, 'GET', $targets, 32, 'requests') for ($ours, $static) x 2;

my $client = $ours->{client};
my %before = map { $_ => value($client, 'acr_lookups_total', source => $_) }
             qw(memory redis);
my $results = rounds({ map {
    my $server = $_;
    ($server->{name} => sub { load($server, 'GET', $targets, 32, 'requests') })
} $ours, $static });
my %asked = map { $_ => value($client, 'acr_lookups_total', source => $_)
                        - $before{$_} } qw(memory redis);

row($CASE, 'ours', 'file', $results, rate => [1, undef]);
printf("%-22s %.2f %% of the lookups from memory\n", '',
       100 * $asked{memory} / ($asked{memory} + $asked{redis}));
