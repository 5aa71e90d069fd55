#!/usr/bin/perl

# Sentinel: the registry follows a failover under load; nothing that had its
# 201 is lost, nothing hangs, and all goes on by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Sentinel;
use Time::HiRes qw(time);

configuration();

my $sentinel = ACR::Sentinel->start(redis => ['--min-replicas-to-write', 1]);
my @sentinels = @{ $sentinel->{sentinels} };
my $acr = start(workers => 2, redis => $sentinel, fsync => 'off',
                redis_options => 'timeout=500ms');

my %first = first_image($acr);
$acr->allow(qr/\[alert\].*has lost changes/);
my $loads = 0;


# --- the master is killed

my $first = $sentinel->master();

under_load('a master that is killed', sub { $first->kill() });

my $second = $sentinel->master();
isnt($second->{port}, $first->{port}, 'there is another master');
like($acr->log_text(), qr/master 127\.0\.0\.1:$first->{port} is lost/,
     'the log has the old one');
like($acr->log_text(), qr/master 127\.0\.0\.1:$second->{port} is back/,
     'and the new one');


# --- it comes back, at first as a master without content, then as a replica

$first->run();
goes_on($acr, 'with the old master there');
$first->command('REPLICAOF', '127.0.0.1', $second->{port});
ok(wait_for(sub { replicas($second) == 2 }), 'it becomes a replica');
goes_on($acr, 'with the old master as a replica');
unlike($first->command('INFO', 'commandstats'), qr/cmdstat_evalsha/,
       'nobody has used it');


# --- another one is made the master

# The old master takes writes until the sentinels have made it a replica, as
# long as it has enough replicas itself; those are lost.
$second->command('CONFIG', 'SET', 'min-replicas-to-write', 2);

under_load('a failover that is asked for', sub {
    wait_for(sub {
        eval { $sentinels[1]->command('SENTINEL', 'FAILOVER', 'acr') };
    });
});

my $third = $sentinel->master();
isnt($third->{port}, $second->{port}, 'there is another master');
like($acr->log_text(), qr/another\ master:
     \ it\ was\ 127\.0\.0\.1:$second->{port},
     \ and\ is\ 127\.0\.0\.1:$third->{port}\ now/x, 'the log has both');


# --- reload

my @old = $acr->workers();
$acr->reload();
ok(wait_for(sub { !grep { -e "/proc/$_" && !ACR::Node::zombie($_) } @old }),
   'workers end, although they ask sentinels');
goes_on($acr, 'after a reload');


# --- no sentinels

$_->kill() for @sentinels;
logged($acr, qr/no sentinel of Redis "sentinel:.*" tells its master, at last/,
       'that no sentinel is there', lines => 2);
goes_on($acr, 'without sentinels');

$third->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
goes_on($acr, 'with a new connection and without sentinels');

# a start, also if the configuration is read meanwhile
my ($said, $fine) = $acr->test();
ok($fine, 'nginx -t') or diag($said);
$acr->stop();
$acr->run();
unavailable($acr, 'a start without sentinels');
$_->run() for @sentinels;
goes_on($acr, 'when there are some');
logged($acr, qr/a sentinel of Redis "sentinel:.*" tells its master again/,
       'that they are back');


# --- passwords

$sentinels[0]->command('ACL', 'SETUSER', 'asks', 'on', '>to ask', '-@all',
                       '+ping', '+sentinel|get-master-addr-by-name');
$sentinels[0]->command('ACL', 'SETUSER', 'default', 'resetpass', '>hidden');
my $guarded = "127.0.0.1:$sentinels[0]->{port}";

begins($acr, $guarded);
unavailable($acr, 'no password');
logged($acr, qr/no sentinel .*: check the sentinel_password .*: NOAUTH/,
       'why', lines => 2);
begins($acr, $guarded, 'sentinel_password=wrong');
unavailable($acr, 'a wrong password');
logged($acr, qr/no sentinel .*: check the sentinel_password .*: WRONGPASS/,
       'why', lines => 2);
begins($acr, $guarded, 'sentinel_password=hidden');
goes_on($acr, 'with a password');
spew("$acr->{dir}/password", "to ask\n");
begins($acr, $guarded,
       "sentinel_user=asks sentinel_password_file=$acr->{dir}/password");
goes_on($acr, 'with a user who may only ask');
unlike($acr->log_text(), qr/hidden|to ask/, 'no password is in the log');

finish();


# --- the configuration

sub configuration {
    my $s = 'sentinel://127.0.0.1';
    my $many = join(',', ('127.0.0.1') x 15);

    for my $value ("$s/m", "$s:1/a-b_c.D1", "$s:1,localhost:2,[::1]:3,[::1]/m",
                   'sentinel://' . $many . ',[::1]/m',
                   "$s/m db=3 timeout=500ms user=u password=p",
                   "$s/m sentinel_password=p",
                   "$s/m sentinel_user=u sentinel_password=p ssl=off")
    {
        my ($text, $ok) = conf("acr_redis $value;");
        ok($ok, "acr_redis $value") or diag($text);
    }

    my $none = work_dir() . '/none';
    my %bad = (
        'sentinel://' => 'no host', 'sentinel:///m' => 'no host',
        $s => 'no name', "$s/" => 'no name', "$s/a/b" => 'characters',
        "'$s/a b'" => 'characters', "$s/" . 'x' x 256 => 'too long a name',
        "$s,/m" => 'no host', 'sentinel://,127.0.0.1/m' => 'no host',
        "$s:0/m" => 'port', "$s:65536/m" => 'port', "$s:x/m" => 'port',
        'sentinel://[::1/m' => 'invalid',
        'sentinel://no.such.host.invalid/m' => 'host not found',
        'sentinel://unix:/tmp/x.sock/m' => 'unix socket',
        "$s,unix:/m" => 'unix socket',
        "sentinel://$many,127.0.0.1,127.0.0.1/m" => 'more than 16',
        "$s/m sentinel_user=u" => 'without a password',
        "$s/m sentinel_user= sentinel_password=p" => 'empty',
        "$s/m sentinel_password=" => 'empty',
        "$s/m sentinel_password=a sentinel_password=b" => 'second',
        "$s/m sentinel_password_file=$none" => 'failed',
        "$s/m sentinel=1" => 'unknown',
        '127.0.0.1 sentinel_password=p' => 'sentinel://',
        '127.0.0.1 sentinel_user=u sentinel_password=p' => 'sentinel://',
    );

    for my $value (sort keys %bad) {
        my ($text, $ok) = conf("acr_redis $value;");
        my ($line) = $text =~ /\[emerg\] (.*)/;
        my $name = length($value) > 60 ? substr($value, 0, 57) . '...' : $value;
        ok(!$ok && $line =~ /"acr_redis"/ && $line =~ /\Q$bad{$value}\E/,
           "acr_redis $name is refused, and named") or diag($text);
    }

    # other locations of the same acr_root
    for my $case (["sentinel://127.0.0.1:2,127.0.0.1:1/m", 1],
                  ["sentinel://127.0.0.1:2/m", 1],
                  ["sentinel://127.0.0.1:3/m", 0],
                  ["sentinel://127.0.0.1:1/other", 0],
                  ["sentinel://127.0.0.1:1/m db=1", 0], ['127.0.0.1:1', 0])
    {
        my ($value, $same) = @$case;
        my $node = prepare(redis => undef, lines => {
            redis => 'acr_redis sentinel://127.0.0.1:1,127.0.0.1:2/m;' });
        my $other = 'server { listen 127.0.0.1:1; acr_root %s; acr_redis %s; '
                    . '%s location / { acr; } }';

        $node->configure(servers => sprintf($other, $node->{root}, $value,
                                            ''));
        my ($text, $ok) = $node->test();
        is($ok ? 1 : 0, $same, "the same acr_root and $value");

        $node->configure(servers => sprintf($other, "$node->{dir}/more",
                                            $value, ''));
        ($text, $ok) = $node->test();
        is($ok ? 0 : 1, $same, "another acr_root and $value");
    }
}


sub conf {
    my ($line) = @_;

    return prepare(redis => undef, lines => { redis => $line })->test();
}


# --- load

# under_load(NAME, CHANGE): pushes and pulls go on while something changes
sub under_load {
    my ($name, $change) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $old = $sentinel->master();
    my $base = "$acr->{dir}/load" . ++$loads;
    my @pids = map { child("$base.$_", $_ < 4 ? \&pusher : \&puller) } 1 .. 6;

    wait_for(sub { noted($base) >= 20 });
    $change->();

    my $new;
    ok(wait_for(sub {
           $new = $sentinel->master();
           return $new && $new->{port} != $old->{port};
       }, 30), "$name: the sentinels have another one");

    my $before = noted($base);
    ok(wait_for(sub { noted($base) >= $before + 20 }), "$name: pushes go on");

    spew("$base.stop", '');
    waitpid($_, 0) for @pids;

    my @clients = map { JSON::PP::decode_json(slurp("$base.$_.result")) }
                  1 .. 6;

    is_deeply([map { @{ $_->{wrong} } } @clients], [],
              "$name: no answer is wrong");
    is(scalar(grep { $_->{longest} >= $DEADLINE } @clients), 0,
       "$name: none takes too long");

    my %noted = map { split(/ /) } map { split(/\n/, slurp("$base.$_")) }
                1 .. 3;

    # a worker that has not yet heard of the new master asks the old one
    my @lost = sort keys %noted;
    wait_for(sub {
        @lost = grep { !there($acr, 'lib/load', $_, $noted{$_}) } @lost;
        return !@lost;
    });
    is_deeply(\@lost, [], "$name: nothing that had its 201 is lost, of "
                          . keys(%noted))
        or diag(map { "$_ is now, on disk and for a client: "
                      . ($acr->tag_on_disk('lib/load', $_) || 'nothing')
                      . "\n"
                      . $acr->get("/v2/lib/load/manifests/$_")->text() }
                @lost);

    diag(sprintf("%s: pushes wait %.1f s at most, one request %.1f s", $name,
                 (sort { $b <=> $a } map { $_->{gap} } @clients)[0],
                 (sort { $b <=> $a } map { $_->{longest} } @clients)[0]));
}


sub child {
    my ($base, $work) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;
    return $pid if $pid;

    my %result = (wrong => [], longest => 0, gap => 0);
    my $stop = $base =~ s/\d+$/stop/r;
    my $ask = \&ACR::Client::request;

    no warnings 'redefine';
    local *ACR::Client::request = sub {
        my $begun = time();
        my $answer = eval { $ask->(@_) };
        my $took = time() - $begun;
        $result{longest} = $took if $took > $result{longest};
        push(@{ $result{wrong} }, $answer ? $answer->text() : $@)
            if !$answer || !right($answer);
        return $answer || die $@;
    };

    open(my $fh, '>>', $base) or POSIX::_exit(1);

    my $last = time();
    for (my $n = 1; !-e $stop; $n++) {
        my $note = eval { $work->($base =~ s/.*\D//r . "-$n") };
        push(@{ $result{wrong} }, $@) if $@ =~ /wrong bytes/;
        if (!defined $note) {
            select(undef, undef, undef, 0.05);
            next;
        }
        my $gap = time() - $last;
        $result{gap} = $gap if $gap > $result{gap};
        $last = time();
        syswrite($fh, "$note\n") if length($note);
    }

    spew("$base.result", JSON::PP::encode_json(\%result));
    POSIX::_exit(0);
}


# An upload session may be lost with the old master.
sub right {
    my ($answer) = @_;

    my $error = $answer->error() || { code => '' };

    return $answer->status() =~ /^2/
           || ($answer->status() == 503 && $answer->header('Retry-After'))
           || $error->{code} eq 'BLOB_UPLOAD_UNKNOWN';
}


sub pusher {
    my ($name) = @_;

    return "$loads-$name " . $acr->push_image('lib/load', "$loads-$name",
                                              "$loads $name");
}


sub puller {
    for my $target (keys %first) {
        my $answer = $acr->get($target);

        return if $answer->status() != 200;
        die "$target: wrong bytes\n" if $answer->body() ne $first{$target};
    }

    return '';
}


sub noted {
    my ($base) = @_;

    my $n = 0;
    for (1 .. 3) {
        my $text = eval { slurp("$base.$_") } || '';
        $n += $text =~ tr/\n//;
    }

    return $n;
}


sub replicas {
    my ($redis) = @_;

    return scalar(grep { /^slave\d+:.*state=online/ }
                  split(/\r?\n/, $redis->command('INFO', 'replication')));
}
