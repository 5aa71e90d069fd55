#!/usr/bin/perl

# Locks: what each attribute of a repository, tag and manifest refuses, and what
# it does not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;

my $acr = start(workers => 2, fsync => 'off');


# --- every repository of this test has the same in it

# t and same name the image that a lock may be on, other another one, and index
# one that names child
my ($config, $layer) = ('{"os":"linux"}', 'a layer');
my %image = map {
    $_ => image($config, [$layer], annotations => { name => $_ })
} qw(image other child new);
my $index = index_of([$image{child}]);
my $referrer = image($config, [], artifactType => 'application/x-test',
                     subject => descriptor($image{other}, $IMAGE));
my ($count, $prefix) = (0, 'r');


sub filled {
    my $repository = $prefix . ++$count;

    for my $blob ($config, $layer, 'alone') {
        my $answer = $acr->post("/v2/$repository/blobs/uploads/?digest="
                                . digest($blob), body => $blob);
        die $answer->text() if $answer->status() != 201;
    }
    $acr->push_manifest($repository, $_, $image{image}) for qw(t same);
    $acr->push_manifest($repository, 'other', $image{other});
    $acr->push_manifest($repository, undef, $image{child});
    $acr->push_manifest($repository, 'index', $index);
    $acr->push_manifest($repository, undef, $referrer);

    return $repository;
}


sub of_image { return "/v2/$_[0]/manifests/" . digest($image{$_[1]}) }


# GET, HEAD, a range and a condition: one status, or all of them
sub pull {
    my ($target, $etag) = @_;

    my %status = map { $_ => 1 } map { $_->status() == 206
                                       || $_->status() == 304 ? 200
                                       : $_->status() }
        fresh($acr, 'GET', $target), $acr->get($target), $acr->head($target),
        $acr->get($target, headers => [Range => 'bytes=0-1']),
        $acr->get($target, headers => ['If-None-Match' => "\"$etag\""]);

    return join('+', sort keys %status);
}


sub lists {
    my ($target, $member, $name) = @_;

    my $answer = $acr->get(with($target, n => 1000));
    return $answer->text() if $answer->status() != 200;

    return scalar(grep { $name eq (ref($_) ? $_->{name} || $_->{digest} : $_) }
                  @{ $answer->json()->{$member} }) ? 'there' : 'not there';
}


# what can be done with a repository: each returns an answer, or what to say of
# several
my %do = (
    'pull t' => sub { pull("/v2/$_[0]/manifests/t", digest($image{image})) },
    'pull same' => sub {
        pull("/v2/$_[0]/manifests/same", digest($image{image}))
    },
    'pull image' => sub {
        pull(of_image($_[0], 'image'), digest($image{image}))
    },
    'pull other' => sub {
        pull("/v2/$_[0]/manifests/other", digest($image{other}))
    },
    'pull blob' => sub {
        pull("/v2/$_[0]/blobs/" . digest($layer), digest($layer))
    },
    'put t' => sub { $acr->put_manifest($_[0], 't', $image{new}) },
    'put t as it is' => sub { $acr->put_manifest($_[0], 't', $image{image}) },
    'put new' => sub { $acr->put_manifest($_[0], 'new', $image{new}) },
    'put digest' => sub { $acr->put_manifest($_[0], undef, $image{new}) },
    'put t and newer' => sub {
        my $answer = $acr->put_manifest(
            $_[0], digest($image{new}) . '?tag=newer&tag=t', $image{new});
        # all or nothing
        return $answer->status() == 201 || !$acr->resolve($_[0], 'newer')
               ? $answer : 'half of it';
    },
    'put blob' => sub { $acr->close_upload($_[2], digest('begun'), '') },
    'post' => sub { $acr->post("/v2/$_[0]/blobs/uploads/", body => '') },
    'post blob' => sub {
        $acr->post("/v2/$_[0]/blobs/uploads/?digest=" . digest('whole'),
                   body => 'whole')
    },
    'patch blob' => sub { $acr->patch($_[1], 'more') },
    'mount to' => sub {
        $acr->push_blob('source', 'of another');
        $acr->post("/v2/$_[0]/blobs/uploads/?from=source&mount="
                   . digest('of another'), body => '');
    },
    'mount from' => sub {
        $acr->post("/v2/target/$_[0]/blobs/uploads/?from=$_[0]&mount="
                   . digest('alone'), body => '')
    },
    'delete t' => sub { $acr->delete("/v2/$_[0]/manifests/t") },
    'untag t' => sub { api($acr, 'DELETE', "$_[0]/_tags/t") },
    'delete other' => sub { $acr->delete("/v2/$_[0]/manifests/other") },
    'delete image' => sub { $acr->delete(of_image($_[0], 'image')) },
    'delete another' => sub { $acr->delete(of_image($_[0], 'other')) },
    'delete blob' => sub {
        $acr->delete("/v2/$_[0]/blobs/" . digest('alone'))
    },
    'delete child' => sub { $acr->delete(of_image($_[0], 'child')) },
    'delete index' => sub {
        $acr->delete("/v2/$_[0]/manifests/" . digest($index))
    },
    'delete all' => sub { api($acr, 'DELETE', $_[0]) },
    'see t' => sub { lists("/v2/$_[0]/tags/list", 'tags', 't') },
    'list t' => sub { lists("/acr/v1/$_[0]/_tags", 'tags', 't') },
    'list t by time' => sub {
        lists("/acr/v1/$_[0]/_tags?orderby=timedesc", 'tags', 't')
    },
    'see same' => sub { lists("/v2/$_[0]/tags/list", 'tags', 'same') },
    'list image' => sub {
        lists("/acr/v1/$_[0]/_manifests", 'manifests', digest($image{image}))
    },
    'list image by time' => sub {
        lists("/acr/v1/$_[0]/_manifests?orderby=timeasc", 'manifests',
              digest($image{image}))
    },
    'list referrer' => sub {
        lists("/v2/$_[0]/referrers/" . digest($image{other}), 'manifests',
              digest($referrer))
    },
    'see repository' => sub { lists('/v2/_catalog', 'repositories', $_[0]) },
    'list repository' => sub {
        lists('/acr/v1/_catalog', 'repositories', $_[0])
    },
    'get repository' => sub { api($acr, 'GET', $_[0]) },
    'get t' => sub { api($acr, 'GET', "$_[0]/_tags/t") },
    'get image' => sub {
        api($acr, 'GET', "$_[0]/_manifests/" . digest($image{image}))
    },
);

# what happens without a lock
my %free = (
    (map { $_ => 200 } grep { /^(?:pull|get) / } keys %do),
    (map { $_ => 'there' } grep { /^(?:see|list) / } keys %do),
    (map { $_ => 201 } grep { /^put |^mount |^post blob/ } keys %do),
    (map { $_ => 202 } grep { /^delete |^untag /} keys %do),
    'post' => 202, 'patch blob' => 202);


# --- the table: an object, an attribute of it that is set to false, what is
# --- refused by that, what is not listed, and what nobody has decided

my $digest = digest($image{image});
my %object = (repository => '', tag => '/_tags/t',
              image => "/_manifests/$digest",
              index => '/_manifests/' . digest($index),
              referrer => '/_manifests/' . digest($referrer));

my @pulls = grep { /^pull / } keys %do;
my @pushes = grep { /^put |^post|^patch |^mount to/ } keys %do;
my @deletes = grep { /^delete |^untag / } keys %do;
my @puts_t = grep { /^put t/ } keys %do;
my @tag_ends = ('delete t', 'untag t', 'delete image', 'delete all');
my @tag_lists = ('see t', 'list t', 'list t by time');

# what ends or changes t, and so needs a repository of its own; and all, with
# deletions in an order in which each finds something
my %ends = map { $_ => 1 } 'put t', 'put t and newer', @tag_ends;
my @order = ((sort grep { !$ends{$_} && !/^delete / } keys %do),
             'delete blob', 'delete other', 'delete another', 'delete child',
             'delete index', sort keys %ends);

my @table = (
    ['tag', 'write', [@puts_t, @tag_ends]],
    ['tag', 'delete', \@tag_ends],
    ['tag', 'read', ['pull t'], [], ['delete all']],
    ['tag', 'list', [], \@tag_lists],

    ['image', 'write', ['delete image', 'delete all'], [],
     ['delete t', 'untag t', @puts_t]],
    ['image', 'delete', ['delete image', 'delete all']],
    ['image', 'read', ['pull t', 'pull same', 'pull image'], [],
     ['delete all']],
    ['image', 'list', [], ['list image', 'list image by time'],
     ['see same', @tag_lists]],

    ['index', 'write', ['delete index', 'delete child', 'delete all']],
    ['index', 'delete', ['delete index', 'delete child', 'delete all']],
    ['index', 'read', [], [], ['delete all']],
    ['index', 'list', []],
    ['referrer', 'list', [], ['list referrer']],
    ['referrer', 'delete', ['delete all']],

    ['repository', 'write', [@pushes, @deletes]],
    ['repository', 'delete', ['delete all']],
    ['repository', 'read', \@pulls, [], ['delete all', 'list referrer']],
    ['repository', 'list', [], ['see repository', 'list repository']],
);

my @rows = (['nothing', 'at all', []], @table);
my $rows = 0;

while (my @some = splice(@rows, 0, 5)) {
    my @results = parallel(map { my $row = $_; my $n = ++$rows; sub {
        $prefix = "row$n/r";
        return tried($row);
    } } @some);

    for my $row (@some) {
        my $result = shift(@results);
        my %got = %{ $result->{got} || $result };
        my $wanted = wanted($row);
        my $lock = "$row->[0] $row->[1]";

        is_deeply(\%got, $wanted, $lock)
            or diag(map { "$lock, $_: $got{$_}, not "
                          . ($wanted->{$_} || 'anything') . "\n" }
                    grep { $got{$_} ne ($wanted->{$_} || '') } sort keys %got);
        is_deeply($result->{words}, [], "$lock: refused in the words of ACR");
    }
}


# wanted(ROW): what each operation says
sub wanted {
    my ($object, $attribute, $refused, $hidden, $open) = @{ $_[0] };

    my %wanted = %free;
    $wanted{$_} = 405 for @$refused;
    $wanted{$_} = 'not there' for @{ $hidden || [] };
    # a mount would show what cannot be pulled: an upload begins
    $wanted{'mount from'} = 202 if "$object $attribute" eq 'repository read';
    delete @wanted{@{ $open || [] }};

    return \%wanted;
}


# tried(ROW): what each operation has said; refusals that are not in the words
# of ACR.  What is to be refused, and what ends nothing that others need, is
# tried in one repository; the rest each in one of its own.
sub tried {
    my ($row) = @_;
    my ($object, $attribute) = @$row;

    my $wanted = wanted($row);
    my @alone = grep { $ends{$_} && $wanted->{$_} != 405 } sort keys %$wanted;
    my %alone = map { $_ => 1 } @alone;
    my @together = grep { exists $wanted->{$_} && !$alone{$_} } @order;
    my (%got, @words);

    for my $try (\@together, map { [$_] } @alone) {
        my $repository = filled();
        my @uploads = map { $acr->upload($repository) } 1, 2;
        $acr->patch($_, 'begun') for @uploads;

        # what was pulled before is in caches
        $acr->get("/v2/$repository/manifests/t");
        $acr->get(of_image($repository, 'image'));

        my $what = $object{$object};
        $what = "$repository$what" if defined $what;
        change($acr, $what, "${attribute}Enabled" => 0) if defined $what;

        for my $name (@$try) {
            my $got = $do{$name}->($repository, @uploads);
            $got{$name} = ref($got) ? $got->status() : $got;
            push(@words, "$name: " . $got->body())
                if ref($got) && $got->status() == 405 && !in_words($got);
        }

        # it can be taken off, if there still is something
        next if !defined $what
                || grep { /^(?:delete|untag) / && $got{$_} eq '202' } @$try;
        my $answer = set($acr, $what, "${attribute}Enabled" => 1);
        $got{"unlock after $_"} = $answer->text()
            for $answer->status() == 200 ? () : @$try;
    }

    return { got => \%got, words => \@words };
}


# --- what was refused has changed nothing, and goes when the lock does

my $repository = filled();
my $location = $acr->upload($repository);
answers($acr->patch($location, 'begun', 0), 202, 'an upload');
my $tag = "$repository/_tags/t";
change($acr, $repository, writeEnabled => 0);

disallowed($acr->patch($location, 'more', 5), 'it cannot go on');
disallowed($acr->close_upload($location, digest('begun')), 'nor end');
disallowed($acr->put_manifest($repository, 't', $image{new}), 'no push');
disallowed($acr->delete("/v2/$repository/manifests/t"), 'no deletion');
disallowed(api($acr, 'DELETE', $tag), 'in neither way');
disallowed(api($acr, 'DELETE', $repository), 'of nothing');
is($acr->resolve($repository, 't'), $digest, 'nothing has changed');
is($acr->tag_on_disk($repository, 't'), $digest, 'on the disk neither');
is_deeply([differences($acr)], [], 'Redis and the disk are equal');

change($acr, $repository, writeEnabled => 1);
answers($acr->patch($location, ' more', 5), 202, 'without the lock it goes on');
answers($acr->close_upload($location, digest('begun more')), 201, 'and ends');
answers($acr->put_manifest($repository, 't', $image{new}), 201, 'a push');

# write stands for both, whatever delete says, and delete for itself
for my $delete (0, 1) {
    change($acr, $tag, writeEnabled => 0, deleteEnabled => $delete);
    disallowed(api($acr, 'DELETE', $tag), "write off, delete $delete");
    disallowed($acr->put_manifest($repository, 't', $image{image}), 'no push');
}
change($acr, $tag, writeEnabled => 1, deleteEnabled => 0);
answers($acr->put_manifest($repository, 't', $image{image}), 201,
        'delete off: a push');
is(locks($acr, $tag)->{deleteEnabled}, 0, 'the lock stays with the tag');
disallowed(api($acr, 'DELETE', $tag), 'but no deletion');
change($acr, $tag, deleteEnabled => 1);
answers(api($acr, 'DELETE', $tag), 202, 'then it goes');

# a lock of an image is not one of another tag's image
my $image_lock = "$repository/_manifests/$digest";
$acr->push_manifest($repository, 't', $image{image});
change($acr, $image_lock, readEnabled => 0);
disallowed($acr->get("/v2/$repository/manifests/$_"), "pull of $_")
    for 't', 'same', $digest;
answers($acr->put_manifest($repository, 't', $image{new}), 201, 'a tag moves');
answers($acr->get("/v2/$repository/manifests/t"), 200, 'and can be pulled');
$acr->push_manifest($repository, 't', $image{image});
disallowed($acr->get("/v2/$repository/manifests/t"), 'until it moves back');
answers($acr->get("/v2/source/blobs/" . digest('of another')), 200,
        'another repository is not concerned');
change($acr, $image_lock, readEnabled => 1);
answers($acr->get("/v2/$repository/manifests/t"), 200, 'and is unlocked');

# an error of a lock stands in a HEAD without a body
change($acr, $tag, readEnabled => 0);
my $head = $acr->head("/v2/$repository/manifests/t");
answers($head, 405, 'HEAD');
is($head->body(), '', 'has no body');
is($head->header('Docker-Content-Digest'), undef, 'and tells no digest');
change($acr, $tag, readEnabled => 1);

# who pushes asks what is there already, which a lock of reads does not stop
change($acr, $repository, readEnabled => 0);
is($acr->head("/v2/$repository/$_")->status(), 404, "$_ is not there")
    for 'manifests/none', 'blobs/' . digest('none');
change($acr, $repository, readEnabled => 1);


# --- pages have no gaps where something is not listed

$acr->push_manifest($repository, "p$_", $image{new}) for 1 .. 9;
change($acr, "$repository/_tags/p$_", listEnabled => 0) for 1, 2, 5, 6, 7, 9;
for my $list ("/v2/$repository/tags/list", "/acr/v1/$repository/_tags",
              "/acr/v1/$repository/_tags?orderby=timedesc")
{
    for my $n (1, 2, 3) {
        my ($target, @names) = $list . ($list =~ /\?/ ? '&' : '?') . "n=$n";
        for (1 .. 30) {
            my $answer = $acr->get($target);
            my $tags = $answer->json()->{tags};
            push(@names, map { ref($_) ? $_->{name} : $_ } @$tags);
            $target = $answer->next_page() or last;
        }
        is_deeply([sort grep { /^p/ } @names], [qw(p3 p4 p8)],
                  "pages of $n: $list");
    }
}


# --- everywhere: at each worker at once, at another node soon

my $two = node($acr);
for my $value (0, 1, 0) {
    $two->get("/v2/$repository/manifests/t");
    change($acr, $tag, readEnabled => $value);
    my $status = $value ? 200 : 405;
    is_deeply([map { fresh($acr, 'GET', "/v2/$repository/manifests/t")
                         ->status() } 1 .. 10], [($status) x 10],
              "each worker says $status at once");
    ok(wait_for(sub { $two->get("/v2/$repository/manifests/t")
                          ->status() == $status }), 'and another node');
}

same_headers();
finish();


# in_words(ANSWER): whether it is refused as ACR does it
sub in_words {
    my ($answer) = @_;

    my $error = $answer->error();
    my $words = qr/operation is disallowed on this registry, repository or/;

    return $error && $error->{code} eq 'REGISTRY_DISALLOWED_OPERATION'
        && $error->{message} =~ $words;
}
