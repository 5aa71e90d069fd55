#!/usr/bin/perl

# conf/quickstart.sh: what its --help promises, but for installing packages.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $script = abs_path(dirname(__FILE__) . '/../conf/quickstart.sh');
my $dir = tempdir('acr-quick-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# as root, nginx's workers have to get through
chmod(0755, $dir) or die "chmod: $!";

my ($first, $second) = ("$dir/a", "$dir/b");
my ($port, $other, $third) = map { free_port() } 1 .. 3;

END {
    my $status = $?;
    local $!;
    for ($first, $second) {
        system("$script --stop --data $_ > /dev/null 2>&1") if $_ && -d;
    }
    $? = $status;
}


# --- start, and start again

my $out = run("--port $port --data $first --open");
is($?, 0, 'it starts') or BAIL_OUT("quickstart: $out");
like($out, qr{docker push localhost:$port/}, 'and says what to do next');
ok(answers($port), 'the registry answers');

SKIP: {
    skip('no IPv6 here', 1) if !has_ipv6();
    ok(answers($port, '[::1]'), 'over IPv6 too');
}

SKIP: {
    skip('not root', 2) if $> != 0;
    my ($nginx, $redis) = pids($first);
    my @users = map { owner($_) } children($nginx), $redis;
    ok(@users >= 2, 'there are workers');
    is_deeply([grep { $_ == 0 } @users], [], 'no worker is root, nor Redis');
}

my @before = pids($first);
run("--port $port --data $first");
is_deeply([pids($first)], \@before, 'a second time changes nothing');
run("--data $first");
is_deeply([pids($first)], \@before, 'the port is remembered, and --open');


# --- after a crash

my $upload = post("http://127.0.0.1:$port/v2/quick/blobs/uploads/?digest="
                  . 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e'
                  . '73043362938b9824', 'hello');
is($upload, 201, 'a blob is pushed');

# The master's workers stay, and have the port.
kill('KILL', @before);
run("--data $first");
is($?, 0, 'it starts after nginx and Redis were killed');
ok(answers($port), 'and answers');
is(get("http://127.0.0.1:$port/v2/quick/blobs/sha256:2cf24dba5fb0a30e26e83b2a"
       . 'c5b9e29e1b161e5c1fa7425e73043362938b9824'), 'hello',
   'the blob is there');

my @workers = grep { state($_) ne 'Z' && group($_) == $before[0] } processes();
is_deeply(\@workers, [], 'the workers of the killed nginx are gone');

my ($nginx, $redis) = pids($first);
kill('KILL', $redis);
run("--data $first");
ok(answers($port), 'Redis alone is started again');
is((pids($first))[0], $nginx, 'and nginx left alone');


# --- several, and other ports

$out = run("--port $port --data $second");
isnt($?, 0, 'a port that is used is refused');
like($out, qr/port $port is used/, 'with the reason');

run("--port $other --data $second --open");
ok(answers($port) && answers($other), 'two run side by side');

run("--port $third --data $second");
ok(answers($third), 'one can move to another port');


# --- access control

$out = run("--data $second --login");
my $file = "$second/admin.password";
like($out, qr{docker login localhost:$third .*\n.*< \Q$file\E$}m,
     'with access control it says how to log in');
is(sprintf('%o', (stat($file))[2] & 07777), '600',
   'the password is for its owner alone');
my $password = read_file($file);
ok(soon(sub { status($third) == 401 }), 'without it nobody does anything');
ok(soon(sub { status($third, "admin:$password") == 200 }),
   'with it the admin does');
is(status($third, 'admin:' . 'A' x 52), 401, 'not with another');
unlike($out, qr/\Q$password\E/, 'it is not printed');

run("--data $second");
is(read_file($file), $password, 'a second time it is the same');
is(status($third), 401, 'and access control stays');
unlink($file) or die "$file: $!";
run("--data $second");
isnt(read_file($file), $password, 'one that was lost is made anew');
ok(soon(sub { status($third, 'admin:' . read_file($file)) == 200 }),
   'and right');
$out = run("--data $second --open");
ok(soon(sub { answers($third) }), 'without access control again');


# --- foreign process ids

run("--stop --data $second");
is($?, 0, 'it stops');
ok(!answers($third) && answers($port), 'and only that one');

for my $name (qw(nginx redis)) {
    write_file("$second/run/$name.pid", read_file("$first/run/$name.pid"));
}
run("--stop --data $second");
ok(answers($port), 'process ids of others are not believed');

run("--stop --data $second");
is($?, 0, 'to stop twice is no error');


# --- bad arguments

like(run("--port 0 --data $second"), qr/not a port/, 'a bad port');
like(run("--data $dir/" . 'x' x 100), qr/too long/, 'a long directory');
like(run("--data '$dir/a b'"), qr/special character/, 'a space');
like(run('--nonsense'), qr/unknown option/, 'an unknown option');

done_testing();


sub run {
    my ($arguments) = @_;

    return scalar(`$script --no-install $arguments 2>&1 < /dev/null`);
}


sub pids {
    my ($data) = @_;

    return map { read_file("$data/run/$_.pid") =~ s/\s//gr } qw(nginx redis);
}


sub processes {
    return map { m{(\d+)} } glob('/proc/[0-9]*');
}


# the fields of /proc/PID/stat from the state on
sub stat_of {
    my ($pid) = @_;

    my $stat = eval { read_file("/proc/$pid/stat") };
    return split(' ', defined $stat ? $stat =~ s/^.*\) //r : 'Z 0 0');
}


sub state { return (stat_of(@_))[0] }
sub group { return (stat_of(@_))[2] }

sub children {
    my ($parent) = @_;

    return grep { (stat_of($_))[1] == $parent } processes();
}


sub owner {
    my ($pid) = @_;

    return (stat("/proc/$pid"))[4];
}


sub has_ipv6 {
    my $all = eval { read_file('/proc/net/if_inet6') };

    return defined $all && $all =~ /^0{31}1 /m;
}


sub answers {
    my ($port, $host) = @_;

    $host ||= '127.0.0.1';
    my $answer = HTTP::Tiny->new(timeout => 10)->get("http://$host:$port/v2/");

    return $answer->{status} == 200;
}


# a worker from before a reload may answer still
sub soon {
    my ($function) = @_;

    for (1 .. 200) {
        return 1 if $function->();
        select(undef, undef, undef, 0.05);
    }

    return 0;
}


sub status {
    my ($port, $user) = @_;

    return HTTP::Tiny->new(timeout => 10)->get("http://127.0.0.1:$port/v2/", {
        headers => $user
            ? { authorization => 'Basic ' . encode_base64($user, '') } : {} })
        ->{status};
}


sub get {
    my ($url) = @_;

    return HTTP::Tiny->new(timeout => 10)->get($url)->{content};
}


sub post {
    my ($url, $content) = @_;

    my $type = { 'content-type' => 'application/octet-stream' };
    return HTTP::Tiny->new(timeout => 10)
        ->post($url, { headers => $type, content => $content })->{status};
}


sub free_port {
    my $s;

    # not one of those that clients get by themselves
    for (1 .. 1000) {
        $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                                   LocalPort => 10000 + int(rand(22000)));
        last if $s;
    }

    die "no port: $!" if !$s;

    # kept open until the last is chosen, so that they differ
    push(our @taken, $s);
    my $port = $s->sockport();
    @taken = () if @taken == 3;

    return $port;
}


sub read_file {
    my ($name) = @_;

    open(my $fh, '<', $name) or die "$name: $!";
    local $/;
    return scalar(<$fh>);
}


sub write_file {
    my ($name, $content) = @_;

    open(my $fh, '>', $name) or die "$name: $!";
    print $fh $content;
    close($fh) or die "$name: $!";
}
