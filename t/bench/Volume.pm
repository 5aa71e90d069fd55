package Volume;

# Volumes that are filled directly, and background work on them.

use strict;
use warnings;

use ACR::Content;
use Bench;
use Exporter qw(import);
use File::Path qw(make_path);
use List::Util qw(max);
use Time::HiRes qw(time sleep);

our @EXPORT = qw(background begin work strays due file link_to put owned);

my $CANDIDATES = 'acr:{default}:candidates';

my ($server, $root);


# background(): a server for it, that the functions below are about, and the
# head of the table
sub background {
    $server = ours('ours', http => 'acr_gc_delay 1h; acr_gc_interval off;',
                   server => 'location /acr/admin/ { acr_admin; }');
    $root = "$server->{root}/docker/registry/v2";

    return $server;
}


sub begin {
    printf("\n%-22s %9s %9s %9s %9s %9s %9s\n", 'background work', 'number',
           'a minute', 'CPU, s', 'Redis, s', '+RssAnon', '+Rss');
}


# work(KIND, WHAT): asks for the work, and waits for its end; the seconds it has
# taken for one
sub work {
    my ($kind, $what) = @_;

    my @before = memory($server);
    my @most = @before;
    my ($cpu, $redis_cpu) = (cpu($server), redis_cpu($server));
    my $began = time();

    my $answer = $server->{client}->post("/acr/admin/$kind", body => '');
    die $answer->text() if $answer->status() != 202;

    my $now;
    do {
        sleep(0.2);
        my @memory = memory($server);
        @most = map { max($most[$_], $memory[$_]) } 0 .. $#most;
        $now = $server->{client}->get("/acr/admin/$kind")->json();
    } while ($now->{running} || $now->{requested});

    my $passed = time() - $began;

    printf("%-22s %9d %9d %9.1f %9.1f %9d %9d\n", "$kind, $what", $now->{$what},
           $now->{$what} * 60 / $passed, cpu($server) - $cpu,
           redis_cpu($server) - $redis_cpu,
           map { $most[$_] - $before[$_] } 0 .. $#most);

    return $passed / ($now->{$what} || 1);
}


# strays(N): contents that nothing refers to
sub strays {
    my ($n) = @_;

    file("stray $_") for 1 .. $n;
    owned();
}


# makes all candidates older than their delay
sub due {
    my $redis = $server->{node}{redis};
    my @all = @{ $redis->command('ZRANGE', $CANDIDATES, 0, -1) };

    while (my @some = splice(@all, 0, 1000)) {
        $redis->command('ZADD', $CANDIDATES, 'XX',
                        map { (1, $_) } @some);
    }
}


# a blob's file; its digest
sub file {
    my ($bytes) = @_;

    my $digest = digest($bytes);
    my $hex = substr($digest, 7);
    put("$root/blobs/sha256/" . substr($hex, 0, 2) . "/$hex", 'data', $bytes);

    return $digest;
}


sub link_to {
    my ($above, $digest) = @_;

    put("$above/sha256/" . substr($digest, 7), 'link', $digest);
}


sub put {
    my ($path, $name, $bytes) = @_;

    mkdir($path) or make_path($path);
    write_file("$path/$name", $bytes);
}


# the workers have to be able to remove it
sub owned {
    return if $> != 0;

    system('chown', '-R', ACR::Node::worker_user(), $root) == 0
        or die "chown has failed\n";
}

1;
