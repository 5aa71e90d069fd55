package ACR::Sentinel;

# A master, its replicas and the sentinels that watch them, each a process of
# the test's own.  It can be given to ACR::start() as its Redis: it has the
# address with all sentinels, and command() asks whoever is the master now.
#
# And what tests of sentinels say of a registry.

use strict;
use warnings;

use ACR qw(redis wait_for work_dir spew digest image bytes refused ok like
           cmp_ok diag);
use ACR::Fault qw(fresh);
use ACR::Process;
use ACR::Redis;
use Exporter qw(import);
use Time::HiRes qw(time);

our @EXPORT = qw(first_image there goes_on begun unavailable told begins news
                 logged $DEADLINE);

# A question takes two seconds and two time-outs (of 500 ms) at most; the rest
# is for a machine that is busy.
our $DEADLINE = 2 + 2 * 0.5 + 4;

my $NAME = 'acr';


# start(OPTIONS): replicas => 2, sentinels => 3, redis => [ARGUMENT...] for
# each Redis; returns when every sentinel knows all the others
sub start {
    my ($class, %option) = @_;

    my $self = bless({ reserved => [], redis => [], sentinels => [] }, $class);

    my @common = ('--bind', '127.0.0.1', '--repl-diskless-sync-delay', '0',
                  '--repl-ping-replica-period', '1',
                  @{ $option{redis} || [] });
    my @ports = map { ACR::Node::free_port($self) }
                0 .. ($option{replicas} || 2);

    for my $port (@ports) {
        my @of = $port == $ports[0] ? ()
                 : ('--replicaof', "127.0.0.1 $ports[0]");
        push(@{ $self->{redis} }, redis('--port', $port, @common, @of));
        $self->{redis}[-1]{port} = $port;
    }

    # their reports of each other begin once there is something to report
    wait_for(sub { $self->replicas() == @ports - 1 })
        or die "the replicas do not follow\n";

    for (1 .. $option{sentinels} || 3) {
        my $port = ACR::Node::free_port($self);
        my $dir = work_dir() . "/sentinel$_";

        mkdir($dir) or die "$dir: $!\n";
        spew("$dir/sentinel.conf", <<"CONF");
port $port
bind 127.0.0.1
unixsocket $dir/redis.sock
unixsocketperm 777
dir $dir
sentinel monitor $NAME 127.0.0.1 $ports[0] 2
sentinel down-after-milliseconds $NAME 500
sentinel failover-timeout $NAME 2000
sentinel parallel-syncs $NAME 2
CONF
        push(@{ $self->{sentinels} },
             ACR::Redis->sentinel($dir, port => $port));
    }

    wait_for(sub { $self->complete(scalar(@ports) - 1) })
        or die "the sentinels do not find one another\n";

    return $self;
}


sub replicas {
    my ($self) = @_;

    return scalar(grep { /^slave\d+:.*state=online/ }
                  split(/\r?\n/, $self->{redis}[0]->command('INFO')));
}


# whether every sentinel knows all the others and all replicas
sub complete {
    my ($self, $replicas) = @_;

    my $others = @{ $self->{sentinels} } - 1;

    for my $sentinel (@{ $self->{sentinels} }) {
        my %about = eval {
            @{ $sentinel->command('SENTINEL', 'MASTER', $NAME) };
        };
        return 0 if !%about || $about{'num-other-sentinels'} != $others
                    || $about{'num-slaves'} != $replicas
                    || $about{flags} ne 'master';
    }

    return 1;
}


sub name { return $NAME }


sub address {
    my ($self) = @_;

    return 'sentinel://'
        . join(',', map { "127.0.0.1:$_->{port}" } @{ $self->{sentinels} })
        . "/$NAME";
}


# the one that all sentinels that run hold for the master, or undef
sub master {
    my ($self) = @_;

    my %port;
    for my $sentinel (@{ $self->{sentinels} }) {
        my $addr = eval {
            $sentinel->command('SENTINEL', 'get-master-addr-by-name', $NAME);
        };
        $port{ $addr->[1] } = 1 if $addr;
    }

    return if keys(%port) != 1;

    my ($master) = grep { $port{ $_->{port} } } @{ $self->{redis} };
    my $role = eval { $master->command('ROLE') };

    return $role && $role->[0] eq 'master' ? $master : undef;
}


# as ACR::Redis::command(), to the master
sub command {
    my ($self, @words) = @_;

    my $master = wait_for(sub { $self->master() }) or die "no master\n";

    return $master->command(@words);
}


# --- a registry

my ($bytes, $image, $manifest, $pushes);


# first_image(NODE): pushes one that is pulled from then on; its paths, and what
# is there
sub first_image {
    my ($acr) = @_;

    $bytes = bytes(50_000, 'sentinel');
    $image = image($bytes, []);

    wait_for(sub { begun($acr) == 202 });
    my $digest = $acr->push_blob('lib/a', $bytes);
    $manifest = $acr->push_manifest('lib/a', 'latest', $image);

    return ('/v2/lib/a/manifests/latest' => $image,
            "/v2/lib/a/manifests/$manifest" => $image,
            "/v2/lib/a/blobs/$digest" => $bytes);
}


# there(NODE, REPOSITORY, TAG, DIGEST): in the index, on the disk, as it was
sub there {
    my ($acr, $repository, $tag, $expected) = @_;

    my $answer = $acr->get("/v2/$repository/manifests/$tag");

    return $answer->status() == 200
           && digest($answer->body()) eq $expected
           && ($acr->tag_on_disk($repository, $tag) || '') eq $expected;
}


# goes_on(NODE, NAME): it pushes and pulls; one worker may be later than others
sub goes_on {
    my ($acr, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $in_a_row = 0;
    ok(wait_for(sub {
           $in_a_row = begun($acr) == 202 ? $in_a_row + 1 : 0;
           return $in_a_row == 10;
       }), "it goes on $name") or diag($acr->tail());

    my $tag = 'n' . ++$pushes;
    my $pushed = wait_for(sub {
        eval { $acr->push_image('lib/b', $tag, $pushes) };
    });
    ok($pushed && wait_for(sub { there($acr, 'lib/b', $tag, $pushed) }),
       'an image is pushed and found');
    ok(wait_for(sub { there($acr, 'lib/a', 'latest', $manifest) }),
       'and what was there');
}


sub begun {
    my ($acr) = @_;

    return fresh($acr, 'POST', '/v2/lib/b/blobs/uploads/', body => '')
        ->status();
}


# unavailable(NODE, NAME): it says that it cannot be done now
sub unavailable {
    my ($acr, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for (1 .. 2) {
        my $begun = time();
        my $answer = fresh($acr, 'POST', '/v2/lib/b/blobs/uploads/',
                           body => '');
        refused($answer, 503, 'UNAVAILABLE', "$name: a push gets 503");
        like($answer->header('Retry-After') || '', qr/^[1-9]\d*$/,
             'with Retry-After');
        $answer = fresh($acr, 'GET', '/v2/lib/a/manifests/latest');
        ok($answer->status() == 503 || $answer->body() eq $image,
           'a pull gets what is there, or 503');
        cmp_ok(time() - $begun, '<', 2 * $DEADLINE, 'in time');
    }
}


# told(ADDRESS, PORT): what a sentinel answers
sub told {
    return "*2\r\n" . join('', map { '$' . length($_) . "\r\n$_\r\n" } @_);
}


# begins(NODE, SENTINELS, OPTIONS): nginx is started with other sentinels
sub begins {
    my ($acr, $hosts, $options) = @_;

    $hosts .= "/$NAME" if $hosts !~ m{/};

    $acr->configure(lines => {
        redis => "acr_redis sentinel://$hosts timeout=500ms "
                 . ($options || '') . ';' });
    $acr->stop() if $acr->{process};
    news($acr);
    $acr->run();
}


# what the log has since the last call
sub news {
    my ($acr) = @_;

    my $text = substr($acr->log_text(), $acr->{seen} || 0);
    $acr->{seen} += length($text);

    return $text;
}


# logged(NODE, PATTERN, NAME, lines => N): the log has since then N lines of
# that, or some
sub logged {
    my ($acr, $pattern, $name, %option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $seen = $acr->{seen} || 0;
    my $least = $option{lines} || 1;
    my @lines;

    my $enough = wait_for(sub {
        @lines = grep { $_ =~ $pattern }
                 split(/\n/, substr($acr->log_text(), $seen));
        return @lines >= $least;
    });

    ok($enough && (!$option{lines} || @lines == $least),
       "the log says $name") or diag(substr($acr->log_text(), $seen));
}

1;
