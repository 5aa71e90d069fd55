#!/usr/bin/perl

# docs/operations.md tells what nginx says of the mistakes of a first
# configuration: each is made here, and nginx says that, to the letter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $redis = redis();
my $dir = work_dir();
my $document = slurp("$ACR::Node::TREE/docs/operations.md");
my %rows = (test => rows('What `nginx -t` says'),
            log => rows('What the error log says'));

files();
module();
threads();
directory();
index_of_it();
units();
access();
elsewhere();
nginx_itself();
redis_itself();

for my $what (sort keys %rows) {
    is_deeply([grep { !$rows{$what}{$_} } sort(keys(%{ $rows{$what} }))], [],
              "each message of the $what has been seen");
}

finish();


# The first cells of the tables below a heading, which are to be met.  An
# ellipsis is anything.
sub rows {
    my ($heading) = @_;

    my ($text) = $document =~ /^### \Q$heading\E\n(.*?)^##/ms;

    return { map { $_ => 0 } $text =~ /^\| `(.*?)` \|/mg };
}


# told(WHAT, TEXT, NAME): some row is in the text, which is said of the mistake
sub told {
    my ($what, $text, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 2;

    my $rows = $rows{$what};
    my @met = grep { my $row = $_;
                     my $pattern = join('.*', map { quotemeta }
                                        split(/…/, $row, -1));
                     $text =~ /$pattern/ } keys %$rows;

    $rows->{$_}++ for @met;
    ok(@met, $name) or diag($text);
}


# mistake(NAME, OPTIONS of ACR::Node): nginx -t does not take it
sub mistake {
    my ($name, %option) = @_;

    my ($said, $fine) = prepare(redis => $redis, %option)->test();

    told('test', $said, $name . ($fine ? ', which is taken' : ''))
        if !$fine || $said =~ /\[warn\]/;
    ok(!$fine, "$name: not taken") if $said !~ /\[warn\]/;
}


sub files {
    spew("$dir/file", "x\n");
    system("cd $dir && openssl genpkey -algorithm ed25519 -out private.key"
           . ' 2> /dev/null && openssl pkey -in private.key -pubout'
           . ' -out public.key 2> /dev/null') == 0
        or die "openssl has failed\n";
}


sub module {
    my $module = slurp(ACR::Node::module());
    my ($major, $minor, $patch) = `@{[(prepare(redis => $redis)
        ->nginx())[0]]} -v 2>&1` =~ m{/(\d+)\.(\d+)\.(\d+)};
    my $version = $major * 1_000_000 + $minor * 1000 + $patch;

    my $newer = pack('Q<', $version + 1000);
    spew("$dir/newer.so", $module =~ s/\Q@{[pack('Q<', $version)]}/$newer/gr);
    spew("$dir/other.so", $module =~ s/\b(8,4,8,[01]+)(?=\0)
                                      /'1' x length($1)/erx);

    mistake('no module', lines => { load => '' });
    mistake('a module that is elsewhere',
            lines => { load => 'load_module modules/none.so;' });
    mistake('one for another nginx',
            lines => { load => "load_module $dir/newer.so;" });
    mistake('one with other options',
            lines => { load => "load_module $dir/other.so;" });
}


sub threads {
    mistake('no thread pools', lines => { threads => '', slow => '' });
    mistake('thread pools in http', lines => { threads => '' },
            http => 'thread_pool acr threads=4;');
    mistake('acr in a server', server => 'acr;');
    mistake('a semicolon is missing',
            server => "acr_delete on\nacr_sparse_index on;");
}


sub directory {
    my $server = 'server { listen 127.0.0.1:1; %s location / { acr; } }';
    my %none = (zone => '', root => "acr_root $dir/a;");

    mistake('no acr_root', lines => { root => '' });
    mistake('nothing above acr_root',
            lines => { root => "acr_root $dir/none/data;" });
    mistake('two acr_root', lines => { root => "acr_root $dir/a;"
                                               . " acr_root $dir/b;" });
    mistake('one with two Redis', lines => { %none }, servers => sprintf(
            $server, "acr_root $dir/a; acr_redis 127.0.0.1:1;"));
    mistake('one with acr_zone and without', lines => { %none },
            server => 'acr_zone acr:1m;',
            servers => sprintf($server, "acr_root $dir/a;"));
    mistake('two with one acr_zone', lines => { %none },
            http => 'acr_zone acr:1m;',
            servers => sprintf($server, "acr_root $dir/b; acr_registry b;"));
    mistake('two with one index', lines => { %none },
            servers => sprintf($server, "acr_root $dir/b;"));

    # as root the files of others can be made, and mounts
    my @rows = grep { /Permission|Read-only|one file system/ }
               keys %{ $rows{test} };
    is(scalar(@rows), 5, 'five messages are of the file system');

    if ($> != 0 || system("unshare -m true 2> /dev/null")) {
        $rows{test}{$_}++ for @rows;
        return;
    }

    mkdir("$dir/shut", 0700) or die "mkdir: $!\n";
    mistake('a directory that is shut',
            lines => { root => "acr_root $dir/shut/data;" });
    mkdir("$dir/strange") or die "mkdir: $!\n";
    mkdir("$dir/strange/$_", 0777), chmod(0777, "$dir/strange/$_")
        for 'docker', 'acr';
    chmod(0755, "$dir/strange", "$dir/strange/acr");
    mkdir("$dir/strange/acr/$_"), chmod(0777, "$dir/strange/acr/$_")
        for qw(tmp fills locks nodes quarantine);
    mistake('one of somebody else',
            lines => { root => "acr_root $dir/strange;" });

    my $node = prepare(redis => $redis);
    $node->test();
    chmod(0755, "$node->{root}/acr/tmp") && chown(0, 0, "$node->{root}/acr/tmp")
        or die "chown: $!\n";
    told('test', ($node->test())[0], 'a directory of somebody else in it');


    mounted('a disk that is read-only', '', '-o ro');
    mounted('a mount below it', '/docker/registry/v2/blobs', '-o mode=777');
}


# the mount is in a name space of its own, which ends with the shell
sub mounted {
    my ($name, $below, $options) = @_;

    my $node = prepare(redis => $redis);
    $node->test();

    my @command = $node->nginx('-t');
    my $said = `unshare -m sh -c 'mount -t tmpfs $options none \\
        $node->{root}$below && exec @command' 2>&1`;

    told('test', $said, $name);
    ok($? != 0, "$name: not taken");
}


sub index_of_it {
    mistake('no acr_redis', lines => { redis => '' });

    for my $address ('/run/redis.sock', 'redis://127.0.0.1:6379',
                     'no.such.host.invalid',
                     "127.0.0.1 password_file=$dir/none")
    {
        mistake("acr_redis $address",
                lines => { redis => "acr_redis $address;" });
    }
}


sub units {
    mistake($_, server => $_) for 'acr_max_blob_size 10gb;',
                                  'acr_gc_delay 1day;', 'acr_zone acr:64mb;',
                                  'acr_zone 64m;', 'acr_zone acr:512k;',
                                  'acr_gc_untagged 1h;';
    mistake('acr_metrics without acr_zone', lines => { zone => '' },
            server => 'location = /metrics { acr_metrics; }');
    mistake('acr_metrics beside acr', location => 'acr_metrics;');
}


sub access {
    my ($said, $fine) = prepare(redis => $redis,
                                server => 'acr_role user:alice AcrPush;')
                        ->test();
    told('test', $said, 'acr_role without acr_auth');

    mistake($_, server => $_) for 'acr_identity $remote_user;',
        'acr_auth on; acr_role user:alice Push;',
        'acr_auth on; acr_role alice AcrPush;',
        "acr_auth on; acr_token_key $dir/none;",
        "acr_auth on; acr_token_key $dir/public.key;",
        "acr_auth on; acr_token_key $dir/file;",
        'acr_data_endpoint https://data.test;';
}


sub elsewhere {
    my %edge = (lines => {
        acr => 'acr_edge on; proxy_pass http://127.0.0.1:1;' });
    my $up = 'acr_origin up.test;';

    mistake('acr_edge without acr_origin', %edge);
    mistake('acr_edge without proxy_pass', http => $up,
            lines => { acr => 'acr_edge on;' });
    mistake('acr_origin without acr_zone', http => $up,
            lines => { %{ $edge{lines} }, zone => '' });
    mistake('acr_auth without acr_token_key', %edge,
            http => "$up acr_auth on;");
    mistake('acr beside acr_origin', http => $up);
    mistake('a small acr_zone', http => 'acr_zone acr:1m;'
                                        . ' acr_cache_rule hub/* docker.io/*;');
    mistake('a source without a host', http => 'acr_cache_rule hub/* hub/*;');
    mistake('two rules for all', http => 'acr_cache_rule * docker.io/*;'
                                         . ' acr_cache_rule q/* quay.io/*;');
    mistake('no acr_credential_set',
            http => 'acr_remote docker.io credentials=hub;');
    mistake('no certificates',
            http => "acr_fetch_trusted_certificate $dir/none;");
}


sub nginx_itself {
    mistake('no such variable', http => 'log_format x "$acr_user";');

    my $node = prepare(redis => $redis);
    my $text = slurp("$node->{dir}/nginx.conf");
    $node->configure(text => $text =~ s/(worker_connections) \d+/$1 99999/r);
    my @command = $node->nginx('-t');
    told('test', scalar(`sh -c 'ulimit -n 1024; @command' 2>&1`),
         'too many connections');

    if ($> != 0) {
        my ($row) = grep { /"user" directive/ } keys %{ $rows{test} };
        $rows{test}{$row}++;
        return;
    }

    my $nobody = 'setpriv --reuid nobody --regid nogroup --clear-groups';
    told('test', scalar(`$nobody @command 2>&1`), 'nginx -t as nobody');
}


# what the error log says when it runs
sub redis_itself {
    my ($locked, $evicts) = map { redis() } 1, 2;
    $locked->command('CONFIG', 'SET', 'requirepass', 'secret');
    $evicts->command('CONFIG', 'SET', 'maxmemory', '100mb');
    $evicts->command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');

    running('no socket', "unix:$dir/none.sock");
    running('nobody listens', '127.0.0.1:1');
    running('no password', $locked->address());
    running('a cache', $evicts->address());

    if ($> != 0) {
        my ($row) = grep { /Permission denied/ } keys %{ $rows{log} };
        $rows{log}{$row}++;
        return;
    }

    chmod(0700, $redis->{socket}) or die "chmod: $!\n";
    running('a socket of root', $redis->address());
}


sub running {
    my ($name, $address) = @_;

    my $node = start(redis => $redis,
                     lines => { redis => "acr_redis $address;" });

    $node->allow(qr/\[alert\].*evict/);
    wait_for(sub { $node->log_text() =~ /is not usable/ });
    told('log', $node->log_text(), $name);
    $node->stop();
}
