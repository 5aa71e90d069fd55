#!/usr/bin/perl

# conf/backup.sh: a copy that is made while clients push, move and delete has
# all that was there before, and nothing that leads nowhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;

plan(skip_all => 'there is no rsync') if system('rsync --version > /dev/null');

my $script = "$ACR::Node::TREE/conf/backup.sh";
my $acr = start(workers => 2, fsync => 'off');
my $backups = work_dir() . '/backups';

my %before = map { ("kept-$_", $acr->push_image('lib/a', "kept-$_", $_)) }
             1 .. 20;
$acr->push_image('lib/a', 'moved', 'before');


# --- two copies under load

my $stop = work_dir() . '/stop';
my @pids = map { busy($_) } 1 .. 2;
wait_for(sub { $acr->resolve('lib/busy1', 'tag-7') });

my $first = backup();
my $second = backup();

spew($stop, '');
my $status = 0;
for (@pids) {
    waitpid($_, 0);
    $status |= $?;
}
is($status, 0, 'all goes on meanwhile');

# a link that was replaced by one of the same size, at the same time
my $link = $acr->link_file('lib/a', 'tag', 'moved');
$acr->push_image('lib/a', 'moved', 'last');
utime(1e9, 1e9, $link, $second . substr($link, length($acr->{root}))) == 2
    or die "utime: $!\n";

my $third = backup();
is_deeply(links($third), links($acr->{root}),
          'when nothing changes, all is as it is in the directory');

is_deeply([wrong($_)], [], 'nothing in the copy leads nowhere')
    for $first, $second;
is_deeply([grep { !defined tag_in($_, 'lib/a', 'moved') } $first, $second], [],
          'a tag that moves is there');

for my $copy ($first, $second) {
    is_deeply([grep { (tag_in($copy, 'lib/a', $_) || '') ne $before{$_} }
               keys %before], [], 'and all that was there before');
}

my $digest = $before{'kept-1'};
is((stat(blob_in($first, $digest)))[1], (stat(blob_in($second, $digest)))[1],
   'what did not change is not copied again');
ok(!-e "$second/acr/epoch" && !-e "$second/acr/nodes",
   'what belongs to the running registry is not copied');
is_deeply([glob("$backups/*.part")], [], 'and nothing is left over');

finish();


# busy(NUMBER): pushes, moves and deletes until it is to stop
sub busy {
    my ($number) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    eval {
        for (my $n = 0; !-e $stop; $n++) {
            my $repository = "lib/busy$number";
            $acr->push_image($repository, "tag-$n", "$number $n");
            $acr->push_image('lib/a', 'moved', "moved $number $n");
            $acr->delete("/v2/$repository/manifests/tag-" . int($n / 2))
                if $n % 3 == 0;
            select(undef, undef, undef, 0.03);
        }
    };
    POSIX::_exit($@ ? 1 : 0);
}


sub backup {
    my $out = `$script $acr->{root} $backups 2>&1`;
    chomp($out);
    like($out, qr{\A\Q$backups/\E\S+\z}, 'a copy is made');

    return $out;
}


# the links of a directory, and what they say
sub links {
    my ($root) = @_;

    my $top = "$root/docker/registry/v2/repositories";

    return { map { substr($_, length($top)) => slurp($_) }
             grep { m{/link$} } ACR::Fault::files($top) };
}


sub link_in {
    my ($copy, $name) = @_;

    return eval { slurp("$copy/docker/registry/v2/repositories/$name/link") };
}


sub tag_in {
    my ($copy, $repository, $tag) = @_;

    return link_in($copy, "$repository/_manifests/tags/$tag/current");
}


sub blob_in {
    my ($copy, $digest) = @_;

    my ($hex) = $digest =~ /:(.*)/;

    return "$copy/docker/registry/v2/blobs/sha256/" . substr($hex, 0, 2)
           . "/$hex/data";
}


# wrong(COPY): what is named there and is not there
sub wrong {
    my ($copy) = @_;
    my @wrong;

    my $top = "$copy/docker/registry/v2/repositories";

    for my $file (ACR::Fault::files($top)) {
        my ($name) = $file =~ m{^\Q$top\E/(.*)/link$};
        my $digest = slurp($file);
        my $path = $digest =~ s{:}{/}r;

        if (!-f blob_in($copy, $digest)) {
            push(@wrong, "$name has no blob");
            next;
        }
        next if $name !~ m{^(.*)/_manifests/(tags/.*/current|revisions/)};

        my $repository = $1;
        push(@wrong, "$name has no revision")
            if !link_in($copy, "$repository/_manifests/revisions/$path");

        my $json = JSON::PP::decode_json(slurp(blob_in($copy, $digest)));
        push(@wrong, map { "$name has no layer $_" }
             grep { !link_in($copy, "$repository/_layers/" . s{:}{/}r) }
             map { $_->{digest} } $json->{config}, @{ $json->{layers} });
    }

    return @wrong;
}
