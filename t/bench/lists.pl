#!/usr/bin/perl

# Pages of 100 among a million tags and a million repositories, and of referrers
# among 100,000, beside the same among 1,000, at random places: the index is
# filled directly.

use strict;
use warnings;

use ACR::Content;
use Bench;

my $FEW = 1_000;
my $PAGE = 100;
my $CONNECTIONS = 8;
my $KEY = 'acr:{default}:';
my $SUBJECT = digest('a subject');

my %case = (
    tags => [1_000_000, \&tags, '/v2/big/tags/list?n=%d&last=t%07d'],
    catalog => [1_000_000, \&catalog, '/v2/_catalog?n=%d&last=r%07d'],
    referrers => [100_000, \&referrers,
                  "/v2/big/referrers/$SUBJECT?n=%d&last=sha256:%064x"],
);

title('page of 100', 'pages a second', 'CPU a page [and Redis]');

for my $name (sort keys %case) {
    my ($many, $fill, $target) = @{ $case{$name} };
    my $title = "$name, $many";
    next if !wanted($title);

    my %subjects;
    for my $n ($FEW, $many) {
        my $server = ours($n == $FEW ? 'few' : 'many');
        my $list = work_dir() . "/$name$n";

        $server->{client}->push_blob('big', 'a blob');
        my $to = filler($server);
        print $to $fill->($_) for 0 .. $n - 1;
        filled($to);
        write_file($list, join('', map {
            sprintf("$target\n", $PAGE, int(rand($n - $PAGE)))
        } 1 .. 10_000));

        $subjects{ $server->{name} } = sub {
            load($server, 'GET', "\@$list", $CONNECTIONS, 'requests');
        };
    }

    row($title, 'many', 'few', rounds(\%subjects), rate => [1 / 1.2, undef]);
}


sub tags {
    my $tag = sprintf('t%07d', $_[0]);

    return command('ZADD', "${KEY}tags:big", 0, $tag)
         . command('HSET', "${KEY}tag:big", $tag, "$SUBJECT 1 1");
}


sub catalog {
    return command('ZADD', "${KEY}repos", 0, sprintf('r%07d', $_[0]));
}


sub referrers {
    my $digest = sprintf('sha256:%064x', $_[0]);

    return command('ZADD', "${KEY}referrers:big:$SUBJECT", 0, $digest)
         . command('HSET', "${KEY}descriptor:big", $digest,
                   qq({"mediaType":"application/vnd.oci.image.manifest.v1+json")
                   . qq(,"digest":"$digest","size":527}));
}
