#!/usr/bin/perl

# The lists of ACR's own API: tags and manifests by name and by time, in pages,
# and the catalogue.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;

my $acr = start(workers => 2, fsync => 'off');
my $none = 'sha256:' . '0' x 64;


# --- a repository without any

$acr->push_blob('lib/empty', 'x');
for my $kind (qw(tags manifests)) {
    my $answer = api($acr, 'GET', "lib/empty/_$kind");
    answers($answer, 200, "no $kind");
    is_deeply($answer->json(), { registry => 'registry.test',
                                 imageName => 'lib/empty', $kind => [] },
              'is an empty list');
    is($answer->header('Link'), undef, 'without more');
}


# --- tags and manifests in two orders that are not the same

my @times = qw(m b x-1 Z 1.0 _x latest a 1.10 A);
my @names = sort(@times);
my $config = '{}';
$acr->push_blob('lib/a', $config);
my %digest = map {
    tick();
    $_ => $acr->push_manifest('lib/a', $_,
                              image($config, [], annotations => { n => $_ }))
} @times;

my ($tags) = pages($acr, 'lib/a/_tags', 'tags');
is_deeply([map { $_->{name} } @$tags], \@names, 'tags by name');
is_deeply({ map { $_->{name} => $_->{digest} } @$tags }, \%digest,
          'with their digests');
my ($manifests) = pages($acr, 'lib/a/_manifests', 'manifests');
is_deeply([map { $_->{digest} } @$manifests], [sort values(%digest)],
          'manifests by digest');

# an item is what a single one is
is_deeply($_, api($acr, 'GET', "lib/a/_tags/$_->{name}")->json()->{tag},
          "the tag $_->{name}") for @$tags[0, 5];
for my $manifest (@$manifests[0, 5]) {
    my $one = api($acr, 'GET', "lib/a/_manifests/$manifest->{digest}")
                  ->json()->{manifest};
    delete $one->{references};
    is_deeply($manifest, $one, 'a manifest');
}

my %order = (
    tags => { '' => \@names, none => \@names, timeasc => \@times,
              timedesc => [reverse(@times)] },
    manifests => { '' => [sort values(%digest)],
                   none => [sort values(%digest)],
                   timeasc => [@digest{@times}],
                   timedesc => [reverse(@digest{@times})] });

for my $kind (qw(tags manifests)) {
    my $member = $kind eq 'tags' ? 'name' : 'digest';

    for my $order ('', qw(none timeasc timedesc)) {
        my $list = $order{$kind}{$order};
        my $what = "lib/a/_$kind?orderby=$order";
        my $name = "$kind by \"$order\"";
        my $names = sub { return [map { $_->{$member} } @{ $_[0] }] };

        my ($all, $pages) = pages($acr, $what, $kind);
        is_deeply($names->($all), $list, $name);
        is($pages, 1, 'on one page');

        if ($order =~ /time/) {
            my @time = map { $_->{lastUpdateTime} } @$all;
            @time = reverse(@time) if $order eq 'timedesc';
            is_deeply(\@time, [sort @time], 'their times are in this order');
        }

        for my $n (1, 3, @$list - 1) {
            my ($some, $count) = pages($acr, "$what&n=$n", $kind);
            is_deeply($some, $all, "$name: pages of $n");
            is($count, int((@$list + $n - 1) / $n), 'as many as it takes');
        }
        for my $n (scalar(@$list), 500, 1000, 1001, 99_999_999) {
            my $answer = api($acr, 'GET', "$what&n=$n");
            is_deeply($answer->json()->{$kind}, $all, "n=$n has all");
            is($answer->header('Link'), undef, 'and no more');
        }
        for my $i (0, 4, $#$list) {
            my $last = $list->[$i] =~ s/:/%3A/r;
            is_deeply(api($acr, 'GET', "$what&last=$last")->json()->{$kind},
                      [@$all[$i + 1 .. $#$all]], 'last, exclusive');
        }
    }
}

my $link = api($acr, 'GET', 'lib/a/_manifests?n=1')->header('Link');
my $first = (sort values(%digest))[0] =~ s/:/%3A/r;
is($link, "</acr/v1/lib%2Fa/_manifests?last=$first&n=1&orderby=>; rel=\"next\"",
   'Link, as ACR has it');
is(api($acr, 'GET', 'lib%2Fa/_manifests?n=1&api-version=2021-07-01')
       ->header('Link') =~ s/&api-version=[^&>]*//r, $link,
   'of an encoded name too');
like(api($acr, 'GET', 'lib/a/_tags?orderby=timedesc&n=2')->header('Link'),
     qr{^</acr/v1/lib%2Fa/_tags\?(?=.*\blast=1\.10\b)(?=.*\bn=2\b)
        (?=.*\borderby=timedesc\b)[^<>"]*>;\ rel="next"$}x, 'with an order');

# last need not be there by name; by time it may have gone meanwhile
is_deeply([map { $_->{name} } @{ api($acr, 'GET', 'lib/a/_tags?last=1.00&n=2')
                                     ->json()->{tags} }], ['1.10', 'A'],
          'after what is not there');
is_deeply(api($acr, 'GET', 'lib/a/_tags?last=zz')->json()->{tags}, [],
          'after all');
cmp_ok(api($acr, 'GET', 'lib/a/_tags?orderby=timedesc&last=none')->status(),
       '<', 500, 'after what has no time');

for my $kind (qw(tags manifests)) {
    for my $n ('0', '-1', 'x', '', '1x', '1.5', '%20') {
        refused(api($acr, 'GET', "lib/a/_$kind?n=$n"), 400,
                'PAGINATION_NUMBER_INVALID', "$kind?n=$n");
    }
    for my $order ('time', 'name', 'TIMEDESC', 'timedesc,timeasc', '%00') {
        refused(api($acr, 'GET', "lib/a/_$kind?orderby=$order"), 400, undef,
                "$kind?orderby=$order");
    }
}


# --- a tag that changes goes to the end of time

tick();
$acr->push_manifest('lib/a', 'm', image($config, [],
                                        annotations => { n => 'm' }));
is_deeply([map { $_->{name} }
           @{ (pages($acr, 'lib/a/_tags?orderby=timeasc', 'tags'))[0] }],
          [@times[1 .. $#times], 'm'], 'pushed again');
tick();
change($acr, 'lib/a/_tags/b', listEnabled => 0);
change($acr, 'lib/a/_tags/b', listEnabled => 1);
is_deeply([map { $_->{name} }
           @{ (pages($acr, 'lib/a/_tags?orderby=timeasc', 'tags'))[0] }],
          [@times[1 .. $#times], 'm'], 'attributes are no change');


# --- the tags of a digest

my $image = $acr->get('/v2/lib/a/manifests/latest')->body();
tick(), $acr->push_manifest('lib/a', $_, $image) for qw(zz 0 n);
for my $digest ($digest{latest}, $digest{latest} =~ s/:/%3A/r) {
    my $what = "lib/a/_tags?digest=$digest";
    is_deeply([map { $_->{name} } @{ (pages($acr, $what, 'tags'))[0] }],
              [qw(0 latest n zz)], 'tags of a digest');
    my ($some, $pages) = pages($acr, "$what&n=1", 'tags');
    is_deeply([map { $_->{name} } @$some], [qw(0 latest n zz)], 'in pages');
    is($pages, 4, 'of one each');
}
is_deeply([map { $_->{name} }
           @{ (pages($acr, "lib/a/_tags?digest=$digest{latest}&n=2"
                     . '&orderby=timedesc', 'tags'))[0] }],
          [qw(n 0 zz latest)], 'by time');
is_deeply(api($acr, 'GET', "lib/a/_tags?digest=$none")->json()->{tags}, [],
          'an unknown digest has none');
refused(api($acr, 'GET', 'lib/a/_tags?digest=sha256:x'), 400, 'DIGEST_INVALID',
        'a malformed one');


# --- more than a page, and more than any page

my @many = map { sprintf('t%04d', $_) } 1 .. 1010;
my @rest = @many;
$acr->push_blob('lib/many', $config);
while (my @some = splice(@rest, 0, 100)) {
    $acr->put_manifest('lib/many', digest($image) . '?'
                       . join('&', map { "tag=$_" } @some), $image);
}
for my $case (['', 100, 11], ['?n=100', 100, 11], ['?n=150', 150, 7],
              map { ["?n=$_", 200, 6] } 200, 201, 1000, 100000)
{
    my ($query, $size, $count) = @$case;
    my ($all, $pages) = pages($acr, "lib/many/_tags$query", 'tags');
    is_deeply([map { $_->{name} } @$all], \@many, "1010 tags$query");
    is($pages, $count, "on $count pages");
    is(scalar(@{ api($acr, 'GET', "lib/many/_tags$query")->json()->{tags} }),
       $size, "of $size");
}

my $changed = image($config, [], annotations => { n => 'changed' });
for my $tag (@many[700, 20, 1004]) {
    tick();
    $acr->push_manifest('lib/many', $tag, $changed);
}
for my $order (qw(timedesc timeasc)) {
    my ($all) = pages($acr, "lib/many/_tags?orderby=$order&n=400", 'tags');
    is(scalar(@$all), 1010, "all $order");
    is_deeply([sort map { $_->{name} } @$all], \@many, 'each once');
    my @ends = map { $_->{name} } $order eq 'timedesc' ? @$all[2, 1, 0]
                                                       : @$all[-3 .. -1];
    is_deeply(\@ends, [@many[700, 20, 1004]], 'and the latest at its end');
}
is(scalar(@{ api($acr, 'GET', 'lib/many/_manifests/' . digest($image))
                 ->json()->{manifest}{tags} }), 1000,
   'a manifest names so many of its tags');
is_deeply([map { $_->{name} } @{ (pages($acr, 'lib/many/_tags?digest='
                                        . digest($changed), 'tags'))[0] }],
          [@many[20, 700, 1004]], 'a few of many, of a digest');


# --- the catalogue

my @repositories = sort('lib/a', 'lib/empty', 'lib/many', 'b', 'a/b', 'a-b');
$acr->push_blob($_, 'x') for 'b', 'a/b', 'a-b';
my $catalog = api($acr, 'GET', '_catalog');
answers($catalog, 200, 'the catalogue');
is_deeply($catalog->json(), { repositories => \@repositories }, 'has all');
is($catalog->body(), $acr->get('/v2/_catalog')->body(), 'as /v2/ has it');
is($catalog->header('Link'), undef, 'and no more');
for my $n (1, 2, 5) {
    my ($all) = pages($acr, "_catalog?n=$n", 'repositories');
    is_deeply($all, \@repositories, "pages of $n");
}
is_deeply(api($acr, 'GET', '_catalog?last=a%2Fb&n=1')->json(),
          { repositories => ['b'] }, 'after one');
refused(api($acr, 'GET', "_catalog?n=$_"), 400, undef, "_catalog?n=$_")
    for 'x', '-1', '';
like(api($acr, 'GET', '_catalog?n=2')->next_page(),
     qr{^/(?:acr/v1|v2)/_catalog\?}, 'its Link has a path of its own');

same_headers();
finish();
