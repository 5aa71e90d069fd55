#!/usr/bin/perl

# Pulls through a node, from a registry at the other end of a line (link.c): how
# long a client waits for the first byte and for the last, and what crosses the
# line for it.  The nodes are ours, nginx with proxy_cache and its lock, the
# same in slices, and docker-registry as a mirror; "direct" is the line itself.
# Everything that is pulled cold was pulled by nobody before; all of them pull
# the same, one after the other.
#
# The herd is at a line of a quarter, too: what 500 clients get of 100 Mbit/s is
# more than some machines can send to themselves.

use strict;
use warnings;

use ACR::Content;
use ACR::HTTP;
use Bench;
use List::Util qw(max shuffle sum);
use Time::HiRes qw(sleep time);

my $BITS = 100_000_000;
my $SLOW = $BITS / 4;
my $DELAY = 0.025;
my $MIB = 1 << 20;

# how long a tag is good, and how long nobody waits for an origin
my $VALID = 5;
my $PATIENCE = 5;

my ($ONE, $MANY, $HERD) = map { $_ * $MIB } 64, 16, 256;
my ($CLIENTS, $CROWD, $FEW) = (20, 500, 50);

my $made = 0;
my $image;

exit(0) if !grep { wanted($_) } 'blob', 'clients', 'manifest', 'herd', 'down';

my $origin = docker();
my ($line, $slow) = map { line($_) } $BITS, $SLOW;
my @subjects = nodes();

printf("\nthrough a line of %d Mbit/s and %d ms\n", $BITS / 1e6, 2e3 * $DELAY);

blobs() if wanted('blob');
clients() if wanted('clients');
manifests() if wanted('manifest') || wanted('down');
herd() if wanted('herd');
down() if wanted('down');


# --- who is compared

# a line to the origin
sub line {
    my ($bits) = @_;

    my $reserve = {};
    my $port = ACR::Node::free_port($reserve);
    my $file = work_dir() . "/line$bits";
    my $process = ACR::Process->spawn("$file.log", $ENV{BENCH_LINK}, $port,
                                      $origin->{port}, $bits, $DELAY, $file);

    my $client = ACR::Client->new($port);
    my $deadline = time() + 20;

    while (!eval { $client->get('/v2/')->status() == 200 }) {
        die "no line\n" if time() > $deadline || !$process->alive();
        sleep(0.05);
    }

    return { port => $port, client => $client, counters => $file,
             bits => $bits, process => $process, reserve => $reserve,
             url => "http://127.0.0.1:$port" };
}


sub nodes {
    my $times = "connect_timeout=2s timeout=${PATIENCE}s";
    my $ours = ours('ours', http => <<"HTTP", location => <<"LOCATION");
    acr_remote up.test $line->{url} $times;
    acr_remote slow.test $slow->{url} $times;
HTTP
            acr_cache_rule hub/* up.test/* valid=${VALID}s;
            acr_cache_rule slow/* slow.test/* valid=${VALID}s;
LOCATION

    return ({ name => 'direct', port => $line->{port} },
            { name => 'ours', port => $ours->{port}, prefix => 'hub/' },
            cache('cache'), cache('slice', 'slice 1m;', '$slice_range'),
            mirror($line->{url}));
}


# nginx, which has a lock for as long as any blob may take; what it would ask
# again for is a tag
sub cache {
    my ($name, $slice, $range) = @_;

    my $more = $slice ? "$slice proxy_set_header Range $range;" : '';
    my $key = '$uri' . ($range || '');
    my $pass = 'proxy_pass http://origin; proxy_http_version 1.1; '
             . 'proxy_set_header Connection "";';

    return static($name, {}, <<"SERVER", http => <<"HTTP", location => <<"AT");
        sendfile on;
        proxy_connect_timeout 2s;
        proxy_read_timeout ${PATIENCE}s;
        proxy_cache blobs;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 880s;
        proxy_cache_lock_age 880s;
        proxy_cache_revalidate on;
        proxy_cache_use_stale error timeout http_500 http_502 http_504
                              http_429;
        proxy_ignore_client_abort on;
        proxy_ignore_headers Cache-Control Expires Set-Cookie;

        location ~ /manifests/[^:]+\$ {
            proxy_cache_key \$uri;
            proxy_cache_valid 200 ${VALID}s;
            $pass
        }
SERVER
    proxy_cache_path @{[ work_dir() ]}/$name levels=1:2 keys_zone=blobs:8m
                     inactive=1d use_temp_path=off;
    upstream origin {
        server 127.0.0.1:$line->{port};
        keepalive 32;
    }
HTTP
            $more
            proxy_cache_key $key;
            proxy_cache_valid 200 206 60d;
            $pass
AT
}


# --- what is measured

# the origin gets a new blob
sub blob {
    my ($size) = @_;

    return $origin->{client}->push_blob('lib/app', bytes($size, ++$made));
}


# of all subjects, what is there to be pulled by each in a round
sub compared {
    my ($make, $function) = @_;

    my @made = map { $make->() } 1 .. $ROUNDS;
    my %round;

    return rounds({ map {
        my $subject = $_;
        ($subject->{name} => sub {
            $function->($subject, $made[$round{ $subject->{name} }++])
        })
    } @subjects });
}


# pull(SUBJECT, WHAT, CLIENTS): { first, last: seconds, of the one who has
# waited longest; crossed: bytes that came over the line; failed: clients }
sub pull {
    my ($subject, $what, $clients) = @_;

    my $over = $subject->{line} || $line;

    quiet($over);

    my $target = '/v2/' . ($subject->{prefix} || '') . "lib/app/$what";
    my $before = crossed($over);
    my @lines = `$ENV{BENCH_LOAD} $subject->{port} GET $target $clients 0`;
    die "load has failed\n" if $?;

    quiet($over);

    my @failed = grep { /^failed/ } @lines;
    my @times = map { [split(' ')] } grep { !/^failed/ } @lines;

    if (@failed) {
        print STDERR "$subject->{name}: ", scalar(@failed),
            " of $clients have failed, $failed[0]";
    }
    die "$subject->{name}: nobody got anything\n" if !@times;

    return { first => max(map { $_->[0] } @times),
             last => max(map { $_->[1] } @times),
             crossed => crossed($over) - $before, failed => scalar(@failed) };
}


sub crossed {
    my ($over) = @_;

    return (unpack('QQ', ACR::Node::slurp($over->{counters})))[0];
}


# until nothing has crossed the line for a while
sub quiet {
    my ($over) = @_;
    my $before = -1;

    for (1 .. 1000) {
        my $now = crossed($over);
        return if $now == $before;
        $before = $now;
        sleep(0.3);
    }

    die "the line is never quiet\n";
}


# --- tables

sub head {
    printf("\n%-30s %-7s %-22s %-22s %s\n", $_[0], '', 'first byte, s',
           'last byte, s', 'crossed the line');
}


# the line alone: a round trip for the connection and one for the answer
sub ideal {
    my ($case, $size, $bits) = @_;

    printf("%-30s %-7s %-22.3f %-22.3f\n", $case, 'ideal', 4 * $DELAY,
           4 * $DELAY + 8 * $size / ($bits || $BITS));
}


# table(CASE, SIZE, RESULTS, KEY): a line of each
sub table {
    my ($case, $size, $results, $key) = @_;

    for my $name (map { $_->{name} } @subjects) {
        my @pulls = map { $_->{$key} } @{ $results->{$name} };

        line_of($case, $name, $size, \@pulls, $key);
    }
}


# what crosses the line is counted in contents, if these are much longer than
# the heads of answers, else in bytes
sub line_of {
    my ($case, $name, $size, $pulls, $key) = @_;

    my %of = map { my $what = $_; ($what => [map { $_->{$what} } @$pulls]) }
             qw(first last crossed failed);
    my $large = $size >= $MIB;
    my @crossed = map { $large ? $_ / $size : $_ } @{ $of{crossed} };
    my $failed = sum(@{ $of{failed} });

    printf("%-30s %-7s %-22s %-22s %s%s\n", $case, $name,
           spread($of{first}, 3), spread($of{last}, 3),
           $large ? spread(\@crossed) : spread(\@crossed, 0) . ' bytes',
           $failed ? " ($failed failed)" : '');

    goal($case, 's', 'first byte', $of{first}, undef, $name);
    goal($case, 's', 'last byte', $of{last}, undef, $name);
    goal($case, $large ? 'blob' : 'bytes', 'crossed', \@crossed,
         $name eq 'ours' && $large && $key eq 'cold' ? [undef, 1.05] : undef,
         $name);
}


# against(CASE, RESULTS, KEY, WHAT, { BASE => MOST, ... }): ours with others
sub against {
    my ($case, $results, $key, $what, $most) = @_;

    my $name = $what eq 'first' ? 'first byte' : 'last byte';
    my %rows = map { my $r = $results->{$_}; ($_ => [map { $_->{$key} } @$r]) }
               keys %$results;

    for my $base (grep { defined $most->{$_} } map { $_->{name} } @subjects) {
        my $ratio = ratio($rows{ours}, $what, $rows{$base}, $what);

        printf("%-30s %-32s %s\n", $case, "$name, ours / $base",
               spread($ratio));
        goal($case, $base, $name, $ratio, [undef, $most->{$base}]);
    }
}


# --- the cases

sub blobs {
    my $results = compared(sub { blob($ONE) }, sub {
        my ($subject, $digest) = @_;
        my %pulls;

        $pulls{$_} = pull($subject, "blobs/$digest", 1) for qw(cold warm);
        return \%pulls;
    });

    my $case = 'blob of ' . $ONE / $MIB . ' MiB';

    head('one client');
    ideal("$case, cold", $ONE);
    table("$case, cold", $ONE, $results, 'cold');
    table("$case, warm", $ONE, $results, 'warm');
    against("$case, cold", $results, 'cold', 'first', { direct => 1.05 });
    against("$case, cold", $results, 'cold', 'last',
            { direct => 1.05, cache => 1.05, slice => 1, docker => 1 });
}


sub clients {
    my $results = compared(sub { blob($MANY) }, sub {
        my ($subject, $digest) = @_;
        return { cold => pull($subject, "blobs/$digest", $CLIENTS) };
    });

    my $case = "$CLIENTS clients, " . $MANY / $MIB . ' MiB';

    head('the last of many clients');
    ideal($case, $MANY);
    table($case, $MANY, $results, 'cold');
    against($case, $results, 'cold', $_,
            { direct => 1.05, cache => 1, slice => 1, docker => 1 })
        for qw(first last);
}


# an image with a tag of its own
sub manifests {
    my $results = compared(sub {
        my $tag = 'v' . ++$made;
        my $digest = $origin->{client}->push_image('lib/app', $tag, $tag);
        return $image = { tag => $tag, digest => $digest };
    }, sub {
        my ($subject, $made) = @_;
        my %pulls;

        $pulls{$_} = pull($subject, "manifests/$made->{tag}", 1)
            for qw(cold warm);
        return \%pulls;
    });

    return if !wanted('manifest');

    head('a manifest by its tag');
    ideal('manifest, cold', 0);
    table('manifest, cold', 0, $results, 'cold');
    table('manifest, warm', 0, $results, 'warm');
    against('manifest, cold', $results, 'cold', 'last', { direct => 1.05 });
}


# how much longer the last of many needs than one alone; this takes long, so it
# has half the rounds
sub herd {
    my $mib = $HERD / $MIB;
    my @cases = (['ours', $CROWD, $line], ['ours', $CROWD, $slow],
                 ['cache', $FEW, $line]);
    my @results;

    for (1 .. ($ROUNDS + 1) / 2) {
        for my $n (shuffle(0 .. $#cases)) {
            push(@{ $results[$n] }, gathered(@{ $cases[$n] }));
        }
    }

    for my $n (0 .. $#cases) {
        my ($name, $clients, $over) = @{ $cases[$n] };
        my $case = sprintf('herd of %d, %d Mbit/s', $clients,
                           $over->{bits} / 1e6);

        head("$mib MiB");
        ideal($case, $HERD, $over->{bits});

        for my $key (grep { $results[$n][0]{$_} } qw(one cold warm)) {
            line_of($key eq 'one' ? "$case: one" : "$case: $key", $name,
                    $HERD, [map { $_->{$key} } @{ $results[$n] }], $key);
        }

        my ($one, $all) = map { my $key = $_;
                                [map { $_->{$key} } @{ $results[$n] }] }
                          qw(one cold);
        my $ratio = ratio($all, 'last', $one, 'last');

        printf("%-30s %-32s %s\n", $case, "$name, last byte / one alone",
               spread($ratio));
        goal($case, 'one alone', 'last byte', $ratio,
             $name eq 'ours' ? [undef, 1.2] : undef, $name);
    }
}


# one client, and all of them; at the faster line what is there by then once
# more, for what this machine can do
sub gathered {
    my ($name, $clients, $over) = @_;

    my %digest = map { $_ => blob($HERD) } qw(one cold);
    my ($subject) = grep { $_->{name} eq $name } @subjects;
    my %pulls;

    $subject = { %$subject, line => $over };
    $subject->{prefix} = 'slow/' if $over == $slow;

    for my $key (shuffle(keys %digest)) {
        $pulls{$key} = pull($subject, "blobs/$digest{$key}",
                            $key eq 'one' ? 1 : $clients);
    }
    if ($over == $line) {
        $pulls{warm} = pull($subject, "blobs/$digest{cold}", $clients);
    }

    return \%pulls;
}


# --- without the origin

# the tags are old by now; what they are asked for, they have been asked before
sub down {
    my $digest = blob($MIB);
    my $what = { 'by tag' => "manifests/$image->{tag}",
                 'by digest' => "manifests/$image->{digest}",
                 'blob' => "blobs/$digest" };

    for my $subject (@subjects) {
        pull($subject, $what->{$_}, 1) for sort keys %$what;
    }
    sleep($VALID + 1);

    # nothing comes any more, nobody says so
    $line->{process}->signal('STOP');
    without('silent', $what);

    $line->{process}->kill_now();
    stop($origin);
    sleep($VALID + 1);
    without('refused', $what);
}


sub without {
    my ($how, $what) = @_;

    my @names = ('by digest', 'blob', 'by tag', 'once more');

    printf("\n%-30s %-7s", "the origin is $how", '');
    printf(' %-18s', $_) for @names;
    print("\n");

    for my $subject (@subjects[1 .. $#subjects]) {
        printf("%-30s %-7s", '', $subject->{name});

        for my $name (@names) {
            my $target = $what->{$name} || $what->{'by tag'};
            my ($said, $passed) = asked($subject, $target);

            printf(' %-18s', $said eq '200'
                             ? sprintf('%s in %.3f s', $said, $passed) : $said);
            goal("$how: $name", 's', $said, [$passed], undef,
                 $subject->{name});
        }
        print("\n");
    }
}


# what it says, in twice the time that nginx and ours wait, and when
sub asked {
    my ($subject, $what) = @_;

    local $ACR::HTTP::TIMEOUT = 2 * $PATIENCE;

    my $start = time();
    my $answer = eval {
        my $http = ACR::HTTP->new($subject->{port});
        $http->request('GET', '/v2/' . ($subject->{prefix} || '')
                              . "lib/app/$what",
                       headers => [Accept => "$IMAGE, */*"])
    };
    my $passed = time() - $start;

    return ($passed >= 2 * $PATIENCE ? 'no answer' : 'closed', $passed)
        if !$answer;

    return ($answer->status(), $passed);
}
