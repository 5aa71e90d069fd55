#!/usr/bin/perl

# What Redis refuses, and what it should not say: whoever writes is told that
# it cannot be done now, whoever pulls gets what is there or is told the same,
# the log has one line with the advice, and all goes on by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fake;
use ACR::Fault;
use Time::HiRes qw(time);

# A question takes two seconds and two time-outs at most; the rest is for a
# machine that is busy.
my $DEADLINE = 2 + 2 * 0.5 + 4;

mkdir(work_dir() . '/dump') or die "mkdir: $!\n";

my $redis = redis('--lua-time-limit', '50', '--dbfilename', 'dump.rdb');
$redis->command('ACL', 'SETUSER', 'registry', 'on', '>secret', 'allkeys',
                'allchannels', 'allcommands');

my $fake = ACR::Fake->start(dir => work_dir(), redis => $redis);

# one worker, so that a line for each worker is one line
my $acr = start(redis => undef, fsync => 'off', lines => {
    redis => 'acr_redis ' . $fake->address()
             . ' timeout=500ms user=registry password=secret;' });
$acr->{redis} = $redis;
wait_for(sub { $acr->get('/v2/_catalog')->status() == 200 });

my $bytes = bytes(50_000, 'errors');
my $digest = $acr->push_blob('lib/a', $bytes);
my $image = image($bytes, []);
my $manifest = $acr->push_manifest('lib/a', 'latest', $image);
my $count = 0;


# --- what Redis itself says

fault('READONLY', qr/is lost: it is a replica: acr_redis needs the master/,
      sub { $redis->command('REPLICAOF', '127.0.0.1', 1) },
      sub { $redis->command('REPLICAOF', 'NO', 'ONE') });

fault('OOM', qr/refuses: it is full: raise its maxmemory: .*OOM/,
      sub { $redis->command('CONFIG', 'SET', 'maxmemory', 1) },
      sub { $redis->command('CONFIG', 'SET', 'maxmemory', 0) });

fault('NOREPLICAS', qr/refuses: too few of its replicas .*NOREPLICAS/,
      sub { $redis->command('CONFIG', 'SET', 'min-replicas-to-write', 1) },
      sub { $redis->command('CONFIG', 'SET', 'min-replicas-to-write', 0) });

fault('MISCONF', qr/refuses: it cannot write to its disk: .*MISCONF/,
      sub {
          # a dump that cannot be renamed to where it should be
          mkdir("$redis->{dir}/dump.rdb") or die "mkdir: $!\n";
          $redis->command('CONFIG', 'SET', 'save', '3600 1');
          $redis->command('BGSAVE');
          wait_for(sub { saved() eq 'err' });
      },
      sub {
          rmdir("$redis->{dir}/dump.rdb") or die "rmdir: $!\n";
          $redis->command('BGSAVE');
          wait_for(sub { saved() eq 'ok' });
          $redis->command('CONFIG', 'SET', 'save', '');
      });

my $busy;
fault('BUSY', qr/refuses: a script of another program blocks it: .*BUSY/,
      sub {
          my $script = 'while true do end';
          $busy = IO::Socket::UNIX->new(Peer => $redis->{socket});
          $busy->print(sprintf("*3\r\n\$4\r\nEVAL\r\n\$%d\r\n%s\r\n\$1\r\n"
                               . "0\r\n", length($script), $script));
          $busy->flush();
          wait_for(sub { !eval { $redis->command('PING') } && $@ =~ /BUSY/ });
      },
      sub { $redis->command('SCRIPT', 'KILL') });

fault('NOPERM', qr/refuses: its ACL has to allow/,
      sub { $redis->command('ACL', 'SETUSER', 'registry', '-@write') },
      sub { $redis->command('ACL', 'SETUSER', 'registry', '+@write') });

fault('WRONGPASS', qr/is not usable: check the password of acr_redis: WRONG/,
      sub {
          $redis->command('ACL', 'SETUSER', 'registry', 'resetpass', '>other');
          $redis->command('CLIENT', 'KILL', 'USER', 'registry');
      },
      sub { $redis->command('ACL', 'SETUSER', 'registry', '>secret') },
      more => qr/is lost: /);

for my $key ('tag:lib/a', 'manifests:lib/a', 'blobs:lib/a', 'events') {
    # a line in so many seconds is for all of them
    fault("WRONGTYPE of $key",
          $key eq 'tag:lib/a' ? qr/refuses: another program writes to keys/
                              : undef,
          sub {
              $redis->command('RENAME', key($key), 'kept');
              $redis->command('SET', key($key), 'a string');
          },
          sub { $redis->command('RENAME', 'kept', key($key)) });
}


# --- what it may say, and what it should not

sub says {
    my ($name, $line, $reply, $pattern, %option) = @_;

    fault($name, $line,
          sub { $fake->answers([$pattern || qr/^EVAL/ => $reply]) },
          sub { $fake->answers() }, %option);
}

says('LOADING', qr/is lost: it works as soon as it has read its data: LOAD/,
     "-LOADING Redis is loading the dataset in memory\r\n",
     qr/^(?:EVAL|PING|INFO)/);
says('LOADING in a script of Redis 6.2',
     qr/is lost: it works as soon as it has read its data: ERR/,
     "-ERR Error running script (call to f_0): \@user_script:1: "
     . "-LOADING Redis is loading the dataset in memory\r\n");
says('MASTERDOWN', qr/is lost: it is a replica: acr_redis needs the master/,
     "-MASTERDOWN Link with MASTER is down\r\n");
says('NOAUTH', qr/is lost: give acr_redis a password: NOAUTH/,
     "-NOAUTH Authentication required.\r\n", qr/^(?:EVAL|PING|INFO)/);
says('MOVED', qr/refuses: Redis Cluster is not supported: MOVED/,
     "-MOVED 3999 127.0.0.1:6381\r\n");
says('an unknown error', qr/refuses: ERR what \?\?\[31m is this/,
     "-ERR what \t\e[31m is this\r\n");

says('NOPERM in a script of Redis 7.2', qr/refuses: its ACL has to allow/,
     "-ERR ACL failure in script: User registry has no permissions to run "
     . "the 'set' command script: f_0, on \@user_script:1.\r\n");

says('an error without a word', undef, "-\r\n");
says('no error code but the word in the text', undef,
     "-ERR NOT READONLYLIKE\r\n");

$acr->allow(qr/\[alert\].*gave an answer to \w+\.lua that is not known/,
            qr/\[alert\].*its answer to join\.lua is not known/);

my $odd = qr/gave an answer to \w+\.lua that is not known/;
for my $reply ("+OK\r\n", ":1\r\n", "*0\r\n", "\$-1\r\n", "*-1\r\n",
               "*1\r\n\$3\r\nfoo\r\n", "*1\r\n:1\r\n", "*1\r\n\$2\r\nok\r\n",
               "*3\r\n\$2\r\nok\r\n*1\r\n\$1\r\na\r\n:1\r\n",
               "\$5\r\nstate\r\n", "*1\r\n*1\r\n\$2\r\nok\r\n",
               "*2\r\n\$4\r\nmiss\r\n\$0\r\n\r\n")
{
    says(join(' ', 'the answer', split(/\r\n/, $reply)), $odd, $reply);
    $odd = undef;
}

# but for join.lua
says('another state for ever', undef, "*1\r\n\$5\r\nstate\r\n",
     qr/^EVALSHA \w+ 1 \S+ (?![0-9a-f]{40} \d+ )/);

says('no protocol', qr/is lost: Protocol error/,
     "HTTP/1.1 400 Bad Request\r\n\r\n");
says('too deep an answer', undef, "*1\r\n" x 12 . ":1\r\n");
says('a closed connection', qr/is lost: Server closed/, undef);
says('no answer', qr/is lost: no answer within the time-out/, '');
says('half an answer', qr/is lost: no answer within the time-out/,
     "*4\r\n\$2\r\nok\r\n\$1000\r\nsha256:");

crafted(@$_) for [file => '../../../../etc/data'], [file => 'data./x'],
                 [file => 'database'], [offset => '-1'],
                 [alg => 'md5'], [hash => 'x'];

finish();


sub saved {
    my ($status) = $redis->command('INFO', 'persistence')
                   =~ /^rdb_last_bgsave_status:(\w+)/m;

    return $status;
}


# fault(NAME, LINE, CAUSE, CURE, OPTIONS): what clients see and the log says
# between the two, and that it goes on after that
sub fault {
    my ($name, $line, $cause, $cure, %option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $read = length($acr->log_text());

    $cause->();

    for (1, 2) {
        writes_get_503("$name: ");
        pulls("$name: ");
    }

    my @lines;
    wait_for(sub {
        @lines = grep { /acr: Redis "/ }
                 split(/\n/, substr($acr->log_text(), $read));
        return !$line || grep { $_ =~ $line } @lines;
    });

    if ($line) {
        is(scalar(grep { $_ =~ $line } @lines), 1,
           "$name: the log has one line with the advice")
            or diag(join("\n", @lines));
    }

    @lines = grep { !$line || $_ !~ $line } @lines;
    @lines = grep { $_ !~ $option{more} } @lines if $option{more};
    is_deeply(\@lines, [], "$name: and no other") if $line;
    cmp_ok(scalar(@lines), '<', 3, "$name: the log is not flooded");

    $cure->();

    $count++;
    my $pushed;
    ok(wait_for(sub {
           $pushed = eval { $acr->push_image('lib/a', "n$count", $count) };
       }), "$name: pushes go on") or diag($acr->tail());
    is($acr->resolve('lib/a', "n$count"), $pushed, "$name: and pulls");
    is($acr->get('/v2/lib/a/manifests/latest')->body(), $image,
       "$name: and nothing is lost");
}


# a session that somebody has written into Redis
sub crafted {
    my ($field, $value) = @_;

    my $location = $acr->upload('lib/a');
    $redis->command('HSET', key("upload:" . ($location =~ m{([^/]+)$})[0]),
                    $field, $value);
    $acr->allow(qr/has no usable/);
    refused($acr->patch($location, 'x'), 500, 'UNKNOWN',
            "an upload with $field $value is refused");
}


sub writes_get_503 {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $begun = time();
    my $answer = $acr->put_manifest('lib/a', 'latest', $image);

    refused($answer, 503, 'UNAVAILABLE', "${name}a push gets 503");
    like($answer->header('Retry-After') || '', qr/^[1-9]\d*$/,
         "${name}with Retry-After");
    cmp_ok(time() - $begun, '<', $DEADLINE, "${name}in time");
}


sub pulls {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $target ('manifests/latest', "manifests/$manifest",
                    "blobs/$digest")
    {
        my $begun = time();
        my $answer = $acr->get("/v2/lib/a/$target");
        my $wanted = $target =~ /blobs/ ? $bytes : $image;

        ok($answer->status() == 503 && $answer->header('Retry-After')
           || $answer->status() == 200 && $answer->body() eq $wanted,
           "${name}a pull gets what is there, or 503")
            or diag($answer->text());
        cmp_ok(time() - $begun, '<', $DEADLINE, "${name}in time");
    }
}
