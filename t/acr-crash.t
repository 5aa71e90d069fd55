#!/usr/bin/perl

# Attributes are changed while everything is killed: what was acknowledged is
# there, and what was under way is there as a whole or not at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Api;
use ACR::Fault;
use ACR::Index;

my $ROUNDS = 6;

my $redis = redis('--appendonly', 'yes', '--appendfsync', 'everysec');
my $acr = start(workers => 2, redis => $redis);

$acr->allow(qr/\[alert\].*has lost changes/, qr/exited on signal 9/,
            qr/\[crit\].*connect\(\).*redis\.sock/);

my $digest = $acr->push_image('lib/a', 't', 'crash');
$acr->push_image('lib/b', 't', 'crash');
my @objects = ('lib/a', 'lib/a/_tags/t', "lib/a/_manifests/$digest",
               'lib/b/_tags/t');
my %now = map { $_ => [locks($acr, $_)] } @objects;
my $acknowledged = 0;

for my $round (1 .. $ROUNDS) {
    my $file = work_dir() . "/acknowledged$round";
    spew($file, '');

    my @results = parallel(
        sub {
            my $more = 3 + 7 * $round;
            wait_for(sub { -s $file >= $more }) or return;
            # no order, no time to end anything
            my $master = $acr->{process}->pid();
            kill('STOP', $master);
            kill('KILL', $master, $acr->workers());
            $redis->command('FLUSHALL') if $round % 3 == 1;
            return -s $file;
        },
        map { my $n = $_; sub { return changes($n, $round, $file) } }
        0 .. $#objects);

    ok(shift(@results), "round $round: all are killed meanwhile");
    $acr->kill_all();
    if ($round % 3 == 2) {
        $redis->kill();
        $redis->run();
    }
    $acr->run();
    ok(wait_for(sub { fresh($acr, 'GET', '/acr/v1/lib/a')->status() == 200 }),
       'and are back');

    for my $object (@objects) {
        my ($answered, $under_way, $count) = @{ shift(@results) };
        my @may = ($answered ? $answered : @{ $now{$object} },
                   $under_way ? $under_way : ());
        my $is = locks($acr, $object);

        $acknowledged += $count;
        ok((grep { same($_, $is) } @may), "what was acknowledged: $object")
            or diag(explain($is, \@may));
        $now{$object} = [$is];
    }

    ok(complete($acr), 'the index is complete');
    is_deeply(locks($acr, $_), $now{$_}[0], "and says so: $_") for @objects;
}

ok(wait_for(sub { !$redis->command('ZCARD', key('pending')) }, 30),
   'nothing stays pending');
my $index = index_of_redis($acr);
$redis->command('FLUSHALL');
$acr->tags('lib/a');
ok(complete($acr), 'the index is made again');
is_deeply(index_of_redis($acr), $index, 'and equals the one before');
# what was under way may have left files of its own
is_deeply([grep { !m{/acr/tmp/} } half_written($acr)], [],
          'nothing is half-written');
diag("$acknowledged changes");

same_headers();
finish();


# changes(NUMBER, ROUND, FILE): changes an object until the registry is gone:
# the attributes that were acknowledged last, those under way then, and how many
# changes were acknowledged, each a byte in the file
sub changes {
    my ($n, $round, $file) = @_;

    my ($answered, $under_way, $count) = (undef, undef, 0);
    open(my $fh, '>>', $file) or die "$file: $!\n";
    $fh->autoflush(1);

    while ($count < 5000) {
        # never the same twice, and some of them all as they were at first
        my $bits = ($round + $n + 5 * $count) % 16;
        my %value = map { ((qw(delete write read list))[$_] . 'Enabled'
                           => $bits >> $_ & 1) } 0 .. 3;

        $under_way = { map { $_ => $value{$_} } keys %value };
        my $answer = eval { set($acr, $objects[$n], %value) };
        last if !$answer || $answer->status() >= 500;
        die $answer->text() if $answer->status() != 200;

        ($answered, $under_way) = ($under_way, undef);
        $count++;
        print $fh '.';
    }

    return [$answered, $under_way, $count];
}


sub same {
    my ($one, $other) = @_;

    return !grep { $one->{$_} != $other->{$_} } keys %$one;
}
