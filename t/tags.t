#!/usr/bin/perl

# The list of tags.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(fsync => 'off');
my $list = '/v2/lib/app/tags/list';

refused($acr->get($list), 404, 'NAME_UNKNOWN', 'no repository', 'lib/app');


# --- a repository without tags

my $digest = $acr->push_image('lib/app', undef, 'tags');
my $empty = $acr->get($list);
answers($empty, 200, 'a repository without tags');
is_deeply($empty->json(), { name => 'lib/app', tags => [] }, 'an empty list');
like($empty->header('Content-Type'), qr{^application/json\b}, 'JSON');


# --- order and pages

my @tags = sort(qw(latest 1.0 1.10 1.2 Latest LATEST _x x-1 x.1 x_1 9 10 0 a Z z
                   v1.0.0-rc.1 v1.0.0), 'm' x 128);
my $image = $acr->get("/v2/lib/app/manifests/$digest")->body();
$acr->push_manifest('lib/app', $_, $image) for reverse(@tags);

my $all = $acr->get($list);
is_deeply($all->json()->{tags}, \@tags, 'all, in the order of their bytes');
is($all->header('Link'), undef, 'no more');

for my $n (1, 2, 5, scalar(@tags) - 1) {
    my ($target, @got, $pages) = "$list?n=$n";

    while ($target && ++$pages < 100) {
        my $answer = $acr->get($target);
        my $page = $answer->json()->{tags};
        push(@got, @$page);
        $target = $answer->next_page();
        fail("a page of $n has " . @$page)
            if @$page > $n || ($target && @$page != $n);
    }

    is_deeply(\@got, \@tags, "pages of $n, by Link");
}

for my $n (scalar(@tags), @tags + 1, 500, 1000) {
    my $answer = $acr->get("$list?n=$n");
    is_deeply($answer->json()->{tags}, \@tags, "n=$n has all");
    is($answer->header('Link'), undef, 'and no more');
}

my $zero = $acr->get("$list?n=0");
answers($zero, 200, 'n=0');
is_deeply($zero->json()->{tags}, [], 'is an empty list');
is($zero->header('Link'), undef, 'without a Link');

is_deeply($acr->get("$list?last=$tags[4]")->json()->{tags},
          [@tags[5 .. $#tags]], 'last without n, exclusive');
is_deeply($acr->get("$list?n=3&last=$tags[4]")->json()->{tags},
          [@tags[5 .. 7]], 'last with n');
is_deeply($acr->get("$list?last=1.1&n=1")->json()->{tags}, ['1.10'],
          'last need not exist');
is_deeply($acr->get("$list?n=2&last=zz")->json()->{tags}, [],
          'nothing after the last');
is_deeply($acr->get("$list?last=$tags[-1]")->json()->{tags}, [],
          'nothing after the last one');
is_deeply($acr->get("$list?last=%78%2D1&n=1")->json()->{tags}, ['x.1'],
          'an encoded last');

for my $n (99_999_999, '99999999999999999999999') {
    like($acr->get("$list?n=$n")->status(), qr/^(?:200|400)$/, "n=$n");
}

for my $n ('x', '-1', '1x', '', '1.5') {
    refused($acr->get("$list?n=$n"), 400, undef, "n=$n");
}


# --- more than one answer holds

my @many = map { sprintf('t%04d%s', $_, 'x' x 100) } 1 .. 1500;
my @rest = @many;
$acr->push_image('lib/many', undef, 'tags');
while (my @some = splice(@rest, 0, 50)) {
    $acr->put_manifest('lib/many', digest($image) . '?'
                       . join('&', map { "tag=$_" } @some), $image);
}

my ($target, @got, $pages) = '/v2/lib/many/tags/list';
while ($target && ++$pages < 100) {
    my $answer = $acr->get($target);
    push(@got, @{ $answer->json()->{tags} });
    $target = $answer->next_page();
}
is_deeply(\@got, \@many, '1500 long tags without n');

($target, @got) = '/v2/lib/many/tags/list?n=1200';
while ($target) {
    my $answer = $acr->get($target);
    push(@got, @{ $answer->json()->{tags} });
    $target = $answer->next_page();
}
is_deeply(\@got, \@many, 'n=1200');


# --- changes

$acr->push_manifest('lib/app', 'latest', $image);
is_deeply($acr->get($list)->json()->{tags}, \@tags, 'a tag pushed again');
answers($acr->delete("/v2/lib/app/manifests/1.10"), 202, 'a tag deleted');
is_deeply($acr->get($list)->json()->{tags}, [grep { $_ ne '1.10' } @tags],
          'is in the list no more');

my $head = $acr->head($list);
answers($head, 200, 'HEAD');
is($head->body(), '', 'has no body');

finish();
