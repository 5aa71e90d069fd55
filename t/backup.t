#!/usr/bin/perl

# conf/backup.sh: a copy that is made while clients push, move and delete has
# all that was there before, and nothing that leads nowhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use JSON::PP qw(encode_json);

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
is(slurp("$second/acr/version"), "1\n", 'the version is copied');
ok(!-e "$second/acr/epoch" && !-e "$second/acr/nodes",
   'what belongs to the running registry is not copied');
is_deeply([glob("$backups/*.part")], [], 'and nothing is left over');
ok(!-e "$second/acr/access.json" && !-e "$second/acr/token.key",
   'nor is who may do what, without access control');


# --- who may do what

my $closed = start(fsync => 'off', server =>
                   'location /acr/admin/ { acr_admin; }',
                   http => 'acr_auth on; acr_remote up.test;');
my $password = access($closed, 'PUT', 'admin', { enabled => JSON::PP::true })
               ->{passwords}[0]{value};
my $admin = $closed->as('admin', $password);
my $rule = '/acr/admin/cache-rules/up';
answers($closed->request('PUT', $rule, body => '{"targetRepository":"up/*",'
                         . '"sourceRepository":"up.test/*"}'), 204,
        'a cache rule is made');
my $pushed = $admin->push_image('lib/a', 'v1', 'a');
my $token = $admin->get('/oauth2/token?scope=repository:lib/a:pull')
                  ->json()->{token};

# one that has the same size and time as the copy before
my $key = "$closed->{root}/acr/token.key";
my $kept = backup($closed);
utime(1e9, 1e9, $key, "$kept/acr/token.key") == 2 or die "utime: $!\n";
spew($key, slurp($key) =~ s/[a-z](?=\w+\n)/0/r);
utime(1e9, 1e9, $key) or die "utime: $!\n";
isnt(slurp(backup($closed) . '/acr/token.key'), slurp("$kept/acr/token.key"),
     'what it has is compared by content');

for my $name (qw(access.json token.key)) {
    my ($mode, $uid) = (stat("$kept/acr/$name"))[2, 4];
    is($mode & 0777, 0600, "only its owner reads $name");
    is($uid, (stat("$closed->{root}/acr/$name"))[4], 'who is the same');
}
is((stat($kept))[2] & 0777, 0700, 'and nobody else gets to it');

# on another machine
my $other = work_dir() . '/other';
mkdir($other) && chmod(0755, $other) or die "$other: $!\n";
system("cp -a $kept/* $other") == 0 or die "cp: $?\n";
system('chown', '-R', ACR::Node::worker_user() . ':', glob("$other/*")) == 0
    or die "chown: $?\n" if $> == 0;
my $restored = start(fsync => 'off', root => $other,
                     server => 'location /acr/admin/ { acr_admin; }',
                     http => 'acr_auth on; acr_remote up.test;');

is($restored->as('admin', $password)->resolve('lib/a', 'v1'), $pushed,
   'a copy that is restored knows the passwords');
answers($restored->get($rule), 200, 'and the cache rules');
answers($restored->as($token)->get('/v2/lib/a/manifests/v1'), 200,
        'and the tokens that were issued');
answers($restored->get('/v2/lib/a/manifests/v1'), 401, 'and nobody else');


# --- a machine that lacks something

my $bin = work_dir() . '/bin';
mkdir($bin) or die "$bin: $!\n";
for my $command (qw(mkdir date find sort tail dirname grep)) {
    my ($path) = grep { -x } map { "$_/$command" } split(/:/, $ENV{PATH});
    symlink($path, "$bin/$command") or die "$command: $!\n";
}

my $nowhere = work_dir() . '/nowhere';
my $said = `PATH=$bin /bin/bash $script $acr->{root} $nowhere 2>&1`;
isnt($?, 0, 'without rsync there is no copy');
like($said, qr/needs rsync/, 'and it is said why');
is_deeply([glob("$nowhere/*")], [], 'nothing is begun');

finish();


sub access {
    my ($node, $method, $what, $body) = @_;

    return fresh($node, $method, "/acr/admin/access/$what",
                 body => encode_json($body))->json();
}


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
    my ($node) = @_;

    my $from = ($node || $acr)->{root};
    my $to = $node ? "$backups-of-another" : $backups;
    my $out = `$script $from $to 2>&1`;
    chomp($out);
    like($out, qr{\A\Q$to/\E\S+\z}, 'a copy is made');

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
