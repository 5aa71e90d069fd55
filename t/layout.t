#!/usr/bin/perl

# The directory has the layout of CNCF Distribution, to the last file, and
# Distribution serves it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Distribution;
use File::Find qw(find);

my $acr = start();

my ($config, $layer) = ('{"layout":1}', 'a layer');
my $image = image($config, [$layer]);
my $moved = image($config, [$layer], annotations => { moved => 'yes' });
my $index = index_of([$image, $moved]);

$acr->push_blob('team/app', $_) for $config, $layer;
$acr->push_manifest('team/app', '1.0', $image);
$acr->push_manifest('team/app', '1.0', $moved);
$acr->push_manifest('team/app', 'index', $index);
$acr->push_blob('team/app/cache', $layer);
my $sha512 = $acr->push_blob('team/app/cache', 'by 512', 'sha512');


# --- every file

my %wanted = (
    (map { blob($_) => $_ } $config, $layer, $image, $moved, $index),
    blob('by 512', $sha512) => 'by 512',
    (map { link_of('team/app/_layers', $_) } $config, $layer),
    link_of('team/app/cache/_layers', $layer),
    link_of('team/app/cache/_layers', undef, $sha512),
    (map { link_of('team/app/_manifests/revisions', $_) }
     $image, $moved, $index),
    (map { link_of('team/app/_manifests/tags/1.0/index', $_) }
     $image, $moved),
    link_of('team/app/_manifests/tags/index/index', $index),
    'repositories/team/app/_manifests/tags/1.0/current/link' => digest($moved),
    'repositories/team/app/_manifests/tags/index/current/link'
        => digest($index),
);

my (%there, @wrong);
my $user = $> == 0 ? getpwnam(ACR::Node::worker_user()) : $>;

find({ no_chdir => 1, wanted => sub {
    return if $_ . '/' eq $acr->path('');
    my @stat = lstat;
    my $name = substr($_, length($acr->path('')));

    push(@wrong, "$name: owner $stat[4]") if $stat[4] != $user;
    push(@wrong, sprintf('%s: mode %o', $name, $stat[2] & 07777))
        if $stat[2] & 0022 || (-f _ && $stat[2] & 0111);
    $there{$name} = slurp($_) if -f _;
} }, $acr->path(''));

is_deeply(\%there, \%wanted, 'these files and no others, and their content');
is_deeply(\@wrong, [], 'they belong to the workers, others may not write');


# --- Distribution on the same directory

SKIP: {
    skip('no docker-registry', 1) if !ACR::Distribution::program();

    my $other = ACR::Distribution->start(work_dir() . '/distribution',
                                         $acr->{root});

    is_deeply([sort $other->tags('team/app')], ['1.0', 'index'],
              'Distribution lists the tags');

    my %type = ('1.0' => $IMAGE, index => $INDEX);
    my %json = ('1.0' => $moved, index => $index);
    for my $tag (sort keys %type) {
        my $answer = $other->get("/v2/team/app/manifests/$tag",
                                 headers => [Accept => $type{$tag}]);
        is($answer->body(), $json{$tag}, "serves the manifest of $tag");
        is($answer->header('Docker-Content-Digest'), digest($json{$tag}),
           'with its digest');
    }
    is($other->get("/v2/team/app/manifests/" . digest($image),
                   headers => [Accept => $IMAGE])->body(), $image,
       'and one without a tag');
    is($other->get("/v2/team/app/blobs/" . digest($_))->body(), $_, 'blobs')
        for $config, $layer;
    is($other->get("/v2/team/app/cache/blobs/" . digest($layer))->body(),
       $layer, 'of both repositories');
    is_deeply([sort @{ $other->get('/v2/_catalog')->json()->{repositories} }],
              ['team/app', 'team/app/cache'], 'and lists these');

    $other->stop();
}

finish();


sub blob {
    my ($bytes, $digest) = @_;

    my ($algorithm, $hex) = split(/:/, $digest || digest($bytes));

    return "blobs/$algorithm/" . substr($hex, 0, 2) . "/$hex/data";
}


# link_of(DIRECTORY, BYTES or undef, DIGEST): the name of a link, and its text
sub link_of {
    my ($directory, $bytes, $digest) = @_;

    $digest ||= digest($bytes);

    return ("repositories/$directory/" . ($digest =~ s{:}{/}r) . '/link',
            $digest);
}
