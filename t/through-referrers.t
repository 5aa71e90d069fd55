#!/usr/bin/perl

# Referrers of repositories that fill themselves: what the origin lists and what
# is here, as one list.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Origin;

my $SBOM = 'application/x-sbom';
my $SIG = 'application/x-sig';

my $origin = ACR::Origin->start(work_dir());
my $url = $origin->url();
my $acr = start(workers => 2, fsync => 'off', http => <<"CONF",
    acr_remote up.test $url timeout=5s;
CONF
    location => 'acr_cache_rule hub/* up.test/*;'
                . ' acr_cache_rule short/* up.test/* valid=0;'
                . ' acr_max_manifest_size 256k;');

my $subject = image('{}', []);
my $digest = digest($subject);
my $list = "/v2/hub/lib/a/referrers/$digest";
my $short = "/v2/short/lib/a/referrers/$digest";

listed_there();
merged();
paged();
pages();
schema();
down();
wrong();
leaves();
finish();


# artifact(NAME, TYPE): a manifest that refers to the subject
sub artifact {
    my ($name, $type) = @_;

    return image('{}', [], annotations => { name => $name },
                 artifactType => $type,
                 subject => descriptor($subject, $IMAGE));
}


sub entry {
    my ($name, $type, %more) = @_;

    return descriptor(artifact($name, $type), $IMAGE, artifactType => $type,
                      annotations => { name => $name }, %more);
}


# offers(TARGET, [ENTRY, ...], RULE): the origin lists these there
sub offers {
    my ($target, $entries, %rule) = @_;

    $origin->put($target, index_of($entries), type => $INDEX, %rule);
}


sub names {
    my ($answer) = @_;

    return [map { $_->{annotations}{name} } @{ $answer->json()->{manifests} }];
}


# in the order of their digests
sub in_order {
    my %by = map { ref($_) ? ($_->{digest} => $_->{annotations}{name}) : () }
             @_;

    return [map { $by{$_} } sort keys %by];
}


sub listed_there {
    my @all = (entry('one', $SBOM), entry('two', $SIG),
               entry('three', $SIG, data => 'eA==', platform => { os => 'x' }));

    offers("/v2/lib/a/referrers/$digest", [@all, $all[0], { wrong => 1 }]);
    offers("/v2/lib/a/referrers/$digest?artifactType=application%2Fx-sig",
           \@all);

    my $answer = $acr->get($list);
    answers($answer, 200, 'referrers');
    is($answer->header('Content-Type'), $INDEX, 'an index');
    is_deeply(names($answer), in_order(@all), 'of what the origin lists');
    is($answer->header('Warning'), undef, 'without a warning');
    is($answer->header('OCI-Filters-Applied'), undef, 'without a filter');
    is_deeply([sort keys %{ $answer->json()->{manifests}[0] }],
              [sort qw(mediaType digest size artifactType annotations)],
              'with what the API has');

    $answer = $acr->get("$list?artifactType=$SIG");
    is_deeply(names($answer), in_order(@all[1, 2]), 'filtered');
    is($answer->header('OCI-Filters-Applied'), 'artifactType', 'as it says');

    is_deeply(names($acr->get($list)), in_order(@all), 'once more');
    is(scalar($origin->asked(qr{/referrers/$digest })), 1, 'is remembered');
    is(scalar($origin->asked(qr{/referrers/\S+x-sig })), 1,
       'each list by itself');

    $acr->get($short) for 1 .. 2;
    is(scalar($origin->asked(qr{/referrers/$digest })), 3,
       'or not, as the rule says');
}


# one of them is pulled, one is only here
sub merged {
    my $sbom = artifact('one', $SBOM);
    $origin->has_blob('lib/a', '{}');
    $origin->has_manifest('lib/a', $sbom);

    my $answer = $acr->get('/v2/hub/lib/a/manifests/' . digest($sbom));
    answers($answer, 200, 'one of them is pulled');
    is_deeply(names($acr->get($list)),
              in_order(entry('one', $SBOM), entry('two', $SIG),
                       entry('three', $SIG)), 'and is listed once');

    $acr->push_blob('hub/lib/a', '{}');
    answers($acr->put_manifest('hub/lib/a', undef, artifact('here', $SIG)),
            201, 'one is pushed here');

    is_deeply(names($acr->get($list)),
              in_order(map { entry(@$_) } ['one', $SBOM], ['two', $SIG],
                       ['three', $SIG], ['here', $SIG]), 'and is listed, too');
    is_deeply(names($acr->get("$list?artifactType=$SIG")),
              in_order(map { entry($_, $SIG) } qw(two three here)),
              'also with a filter');
}


# pages of the two together, of every size
sub paged {
    my @there = map { entry("there $_", $SIG) } 1 .. 20;
    my @here = map { artifact("here $_", $SIG) } 1 .. 20;
    my @both = (map { entry("here $_", $SIG) } 5 .. 9);

    $subject = image('{"paged":1}', []);
    @there = map { entry("there $_", $SIG) } 1 .. 20;
    @here = map { artifact("here $_", $SIG) } 1 .. 20;
    @both = map { entry("here $_", $SIG) } 5 .. 9;
    my $of = digest($subject);

    offers("/v2/lib/p/referrers/$of", [@there, @both]);
    $acr->push_blob('hub/lib/p', '{}');
    $acr->put_manifest('hub/lib/p', undef, $_) for @here;

    my $all = in_order(@there, map { entry("here $_", $SIG) } 1 .. 20);

    for my $n (1, 2, 3, 7, 19, 20, 39, 40, 41, 100) {
        my ($next, @got) = "/v2/hub/lib/p/referrers/$of?n=$n";
        my $pages = 0;

        while (defined $next && $pages++ < 60) {
            my $answer = $acr->get($next);
            my $names = names($answer);
            push(@got, @$names);
            die "more than $n\n" if @$names > $n;
            ($next) = ($answer->header('Link') || '') =~ /<(.*)>/;
        }

        is_deeply(\@got, $all, "pages of $n");
    }
}


# the origin has pages, too
sub pages {
    my $of = digest('pages');
    my $base = "/v2/lib/q/referrers/$of";

    for my $page (1 .. 12) {
        my $next = $page % 2 ? "$base?p=" . ($page + 1)
                             : $url . "$base?p=" . ($page + 1);
        offers($page == 1 ? $base : "$base?p=$page", [entry("q$page", $SIG)],
               headers => ["Link: <$next>; rel=\"next\""]);
    }

    is_deeply(names($acr->get("/v2/hub/lib/q/referrers/$of")),
              in_order(map { entry("q$_", $SIG) } 1 .. 10),
              'ten pages of the origin');

    # not of somebody else

    $of = digest('elsewhere');
    offers("/v2/lib/q/referrers/$of", [entry('here', $SIG)],
           headers => ['Link: <http://127.0.0.1:1/v2/x>; rel="next"']);
    is_deeply(names($acr->get("/v2/hub/lib/q/referrers/$of")), ['here'],
              'a page elsewhere is not asked for');
}


# an origin without the API
sub schema {
    my $of = digest('schema');
    my $tag = $of =~ s/:/-/r;

    offers("/v2/lib/s/manifests/$tag", [entry('old', $SIG),
                                        entry('older', $SBOM)]);
    is_deeply(names($acr->get("/v2/hub/lib/s/referrers/$of")),
              in_order(entry('old', $SIG), entry('older', $SBOM)),
              'by the tag of old clients');
    is_deeply(names($acr->get("/v2/hub/lib/s/referrers/$of"
                              . "?artifactType=$SBOM")), ['older'],
              'filtered here');

    $of = digest('nothing');
    my $answer = $acr->get("/v2/hub/lib/s/referrers/$of");
    is_deeply(names($answer), [], 'or nothing');
    is($answer->header('Warning'), undef, 'which is no error');
    $acr->get("/v2/hub/lib/s/referrers/$of");
    is(scalar($origin->asked(qr{$of})), 1, 'and remembered');

    $of = digest('refused');
    $origin->rule("/v2/lib/s/referrers/$of", status => 405, file => 'none');
    is($acr->get("/v2/hub/lib/s/referrers/$of")->header('Warning'), undef,
       'nor is 405');
}


# clients that ask for the same share an answer, whoever leaves
sub leaves {
    my $of = digest('leaves');
    my $there = "/v2/lib/l/referrers/$of";
    my $here = "/v2/hub/lib/l/referrers/$of";

    offers($there, [entry('waits', $SIG)], wait => 1);

    my @clients = map { $acr->connect() } 1 .. 4;
    $_->begin('GET', $here) for @clients;
    ok(wait_for(sub { $origin->asked(qr{$there }) }), 'it is asked for');
    shift(@clients)->close();
    shift(@clients)->abort();
    $acr->reload();
    $origin->rule($there, wait => undef);

    is_deeply([map { names($_->answer('GET')) } @clients],
              [['waits'], ['waits']], 'those who stay get it');
    wait_for(sub { $acr->get($here)->status() == 200 });
    is_deeply(names($acr->get($here)), ['waits'], 'and those after them');
}


sub down {
    $origin->stop();

    my $answer = $acr->get($short);
    answers($answer, 200, 'without the origin');
    is_deeply(names($answer), [], 'there is what is here');
    like($answer->header('Warning'), qr/^299 - /, 'with a warning');

    $answer = $acr->get($list);
    is(scalar(@{ names($answer) }), 4, 'or remembered');
    is($answer->header('Warning'), undef, 'without one');

    $origin->run();
    ok(wait_for(sub { !$acr->get($short)->header('Warning') }),
       'until it is back');
    is(scalar(@{ names($acr->get($short)) }), 3, 'with its list');
    $acr->allow(qr/acr: (?:referrers|the referrers|remote)/);
}


sub wrong {
    for my $case (['no JSON', 'x'], ['no index', '[]'], ['nothing', ''],
                  ['too much', '{"manifests":[' . '{},' x 100_000 . '{}]}'])
    {
        my ($name, $text) = @$case;
        my $of = digest("wrong $name");

        $origin->put("/v2/lib/w/referrers/$of", $text, type => $INDEX);
        my $answer = $acr->get("/v2/hub/lib/w/referrers/$of");
        answers($answer, 200, "the origin sends $name");
        is_deeply(names($answer), [], 'that lists nothing');
        like($answer->header('Warning'), qr/^299 - /, 'with a warning');
    }

    my $of = digest('denied');
    $origin->rule("/v2/lib/w/referrers/$of", status => 403, file => 'none');
    like($acr->get("/v2/hub/lib/w/referrers/$of")->header('Warning'),
         qr/^299 - /, 'the origin says 403');
    ok(wait_for(sub { !$acr->get($short)->header('Warning') }), 'it is there');
}
