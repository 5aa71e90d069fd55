#!/usr/bin/perl

# The list of repositories.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start();
my $list = '/v2/_catalog';

my $empty = $acr->get($list);
answers($empty, 200, 'an empty registry');
is_deeply($empty->json(), { repositories => [] }, 'an empty list');
like($empty->header('Content-Type'), qr{^application/json\b}, 'JSON');

my @names = sort(qw(a a/b a-b a.b a_b ab b library/debian library/ubuntu 0 z/y/x
                    team/app team/app/cache));

$acr->push_blob($_, 'x') for reverse(@names);

my $all = $acr->get($list);
is_deeply($all->json()->{repositories}, \@names,
          'all, in the order of their bytes');
is($all->header('Link'), undef, 'no more');

for my $n (1, 3, @names - 1) {
    my ($target, @got, $pages) = "$list?n=$n";

    while ($target && ++$pages < 100) {
        my $answer = $acr->get($target);
        my $page = $answer->json()->{repositories};
        push(@got, @$page);
        $target = $answer->next_page();
        fail("a page of $n has " . @$page)
            if @$page > $n || ($target && @$page != $n);
    }

    is_deeply(\@got, \@names, "pages of $n, by Link");
}

is($acr->get("$list?n=" . @names)->header('Link'), undef, 'n is the number');
is_deeply($acr->get("$list?n=0")->json()->{repositories}, [], 'n=0');
is($acr->get("$list?n=0")->header('Link'), undef, 'n=0 has no more');
is_deeply($acr->get("$list?last=a%2Fb&n=1")->json()->{repositories}, ['a_b'],
          'last, exclusive');
is_deeply($acr->get("$list?last=zz")->json()->{repositories}, [],
          'nothing after the last');

refused($acr->get("$list?n=$_"), 400, undef, "n=$_") for 'x', '-1', '';

answers($acr->delete('/v2/z/y/x/blobs/' . digest('x')), 202,
        'the only blob of a repository deleted');
is_deeply($acr->get($list)->json()->{repositories},
          [grep { $_ ne 'z/y/x' } @names], 'removes it from the list');

# an upload is no repository yet
$acr->upload('begun');
is_deeply([grep { $_ eq 'begun' } @{ $acr->get($list)->json()
                                     ->{repositories} }], [], 'an upload');

finish();
