#!/usr/bin/perl

# The Debian package: it is built, lintian has nothing to say, and what is in it
# works as it comes: the module's file, the file that enables a registry, that
# of its Redis.  t/package.sh installs, upgrades and removes it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use File::Basename qw(dirname);

my $name = 'libnginx-mod-http-acr';
my $tree = $ACR::Node::TREE;

for my $needed (qw(dpkg-buildpackage dh_nginx lintian readelf)) {
    plan(skip_all => "there is no $needed")
        if system("command -v $needed > /dev/null 2>&1");
}

my $dir = work_dir();
my $source = "$dir/source";
my $files = "$dir/files";
my $doc = "/usr/share/doc/$name";


# --- it is built, from a copy

mkdir($source) or die "$source: $!\n";
run("tar -C $tree --exclude=./build --exclude=./.git -cf - . "
    . "| tar -C $source -xf -");

# without what is for debuggers: that goes to a package of its own
my $built = run("cd $source && DEB_BUILD_OPTIONS='parallel=2 noautodbgsym' "
                . 'DEB_CFLAGS_APPEND=-g0 dpkg-buildpackage -us -uc -b');
is($?, 0, 'it is built') or BAIL_OUT(substr($built, -3000));

my $version = run("dpkg-parsechangelog -l $tree/debian/changelog -S Version");
chomp($version);
my ($deb) = glob("$dir/${name}_*.deb");
is(field('Version'), $version, 'its version is that of the changelog');
is($deb, "$dir/${name}_${version}_" . field('Architecture') . '.deb',
   'and so is its name');

unlike($built, qr/warning: /, 'without a warning of the compiler or of dpkg');
is(run("cd $dir && lintian --fail-on error,warning *.changes 2>&1 "
       . "| grep -v '^running with root privileges'"), '',
   'lintian has nothing to say');


# --- what is in it

my %mode;
for (split(/\n/, run("dpkg-deb -c $deb"))) {
    my ($mode, $owner, undef, undef, undef, $path) = split(' ', $_, 6);
    $mode{$path =~ s{^\.}{}r} = "$mode $owner";
}

is($mode{$_}, '-rw-r--r-- root/root', $_)
    for '/usr/lib/nginx/modules/ngx_http_acr_module.so',
        '/usr/share/nginx/modules-available/mod-http-acr.conf',
        '/usr/share/man/man8/acr-backup.8.gz', "$doc/README.md",
        (map { $doc . substr($_, length($tree)) } glob("$tree/docs/*.md")),
        map { "$doc/examples/$_" }
            qw(registry.conf redis-acr.conf nginx.conf edge.conf cdn.conf
               redis.conf sentinel/nginx.conf fleet/node.conf
               systemd/redis-server@acr.conf monitoring/alerts.yml);
is($mode{'/usr/sbin/acr-backup'}, '-rwxr-xr-x root/root', 'acr-backup');
is_deeply([grep { !m{^/(?:usr/.*)?$} } keys %mode], [],
          'nothing is outside of /usr, no directory of images');

my $depends = field('Depends');
my ($abi) = slurp('/usr/share/nginx/src/debian/libnginx-mod.abisubstvars')
            =~ /^nginx:abi=(\S+)/m;
like($depends, qr/(?:^| )\Q$abi\E(?:,|$)/, 'it depends on the ABI of nginx');
like($depends, qr/libcurl4.*libhiredis.*libjansson/, 'and on its libraries');
is(field('Recommends'), 'nginx, redis-server | valkey-server',
   'it recommends nginx and a Redis');

run("dpkg-deb -R $deb $files");
my $so = "$files/usr/lib/nginx/modules/ngx_http_acr_module.so";
my $elf = run("readelf -d --dyn-syms -W $so");
like($elf, qr/BIND_NOW|FLAGS.*NOW/, 'what it needs is bound when it is loaded');
like($elf, qr/__stack_chk_fail/, 'the stack is protected');
like($elf, qr/__\w+_chk\b(?!_fail)/, 'functions of libc check their buffers');

for my $script (qw(postinst prerm postrm)) {
    my $text = slurp("$files/DEBIAN/$script");
    is(system('sh', '-n', "$files/DEBIAN/$script"), 0, "$script is sh");
    unlike($text, qr{/var/lib}, "$script knows nothing of images");
    like($text, qr/dpkg-trigger --no-await nginx-reload/,
         "$script has nginx reloaded") if $script ne 'prerm';
}

my @told = slurp("$tree/docs/package.md") =~ m{($doc/[\w./\@-]*[\w])}g;
ok(@told > 2, 'docs/package.md tells where things are');
is_deeply([grep { !-e $files . $_ } @told], [], 'and there they are');

# copyright is what Debian has for LICENSE; an image is made from the tree
my @links = map { links($_) } "$files$doc/README.md",
                              glob("$files$doc/docs/*.md");
ok(@links > 100, 'documents link to files');
is_deeply([grep { !-e && !m{/(?:LICENSE|Dockerfile)$} } @links], [],
          'which are in the package');


# --- what is in it, as it comes

my $port = ACR::Node::free_port({});
my %at = ('/var/lib/acr' => "$dir/images",
          '/run/redis-acr' => "$dir/run", '/var/log/redis' => "$dir/run",
          '/var/lib/redis' => "$dir/redis", '/var/log/nginx' => "$dir/run");

for (qw(images run redis conf.d)) {
    mkdir("$dir/$_") or die "$_: $!\n";
}

my $available = "$files/usr/share/nginx/modules-available/mod-http-acr.conf";
my $registry = example('registry.conf')
               =~ s/\b(127\.0\.0\.1|\[::1\]):5000;/$1:$port;/gr;
$registry =~ s/^ *listen \[::1\].*\n//m if !has_ipv6();
spew("$dir/conf.d/registry.conf", $registry);
spew("$dir/redis.conf", example('redis-acr.conf'));

# nginx's prefix has a directory "modules", as Debian's has
symlink("$files/usr/lib/nginx/modules", "$dir/modules") or die "modules: $!\n";

like(nginx_says("thread_pool acr threads=9;\n"),
     qr/duplicate thread pool "acr"/, 'a pool is taken once');
like(nginx_says("load_module modules/ngx_http_acr_module.so;\n"),
     qr/module "ngx_http_acr_module" is already loaded/, 'so is the module');
like(nginx_says(''), qr/test is successful/, 'nginx takes the two files');

# the group of the workers, as the unit has it by the example for that
my @group = $> == 0 ? qw(setpriv --regid www-data --clear-groups --) : ();
my $redis = ACR::Process->spawn("$dir/redis.log", @group, 'redis-server',
                                "$dir/redis.conf");
ok(wait_for(sub { -S "$dir/run/redis-server.sock" }), 'Redis starts');
my $nginx = ACR::Process->spawn("$dir/nginx.log", nginx(),
                                '-g', 'daemon off;');
my $answer = '';
ok(wait_for(sub { ($answer = ask('/v2/')) =~ / 401$/ }), 'a registry answers')
    or diag($answer, slurp("$dir/nginx.log"));
ok(wait_for(sub { ask('/health') =~ / 200$/ }), 'it is well')
    or diag(ask('/health'));
like(ask('/acr/admin/stats'), qr/"state":"complete"/, 'with its Redis');
ok(-d "$dir/images/docker/registry/v2", 'it has made its directory');
unlike(slurp("$dir/run/error.log"), qr/\[(?:emerg|alert|crit|error)\]/,
       'nothing is wrong');

for ($nginx, $redis) {
    $_->signal('TERM');
    $_->ended(20);
}


# --- the Redis of a registry in Debian

my %there = map { $_ => 1 } settings('redis-acr.conf');
my $place = qr/^(?:unixsocket|logfile|dir|set-proc-title) /;
is_deeply([grep { !$there{$_} && !/$place/ } settings('redis.conf')], [],
          'but for its places, redis-acr.conf is redis.conf');

done_testing();


# run(COMMAND): what it prints, its status is in $?
sub run {
    my ($command) = @_;

    return scalar(`($command) 2>&1`);
}


sub field {
    my ($field) = @_;

    return run("dpkg-deb -f $deb $field") =~ s/\n\z//r;
}


# a file of the package, at the places that the test has for all
sub example {
    my ($file) = @_;

    my $text = slurp("$files$doc/examples/$file");
    $text =~ s/\Q$_\E/$at{$_}/g for keys %at;

    return $text;
}


# the files that a document links to
sub links {
    my ($file) = @_;

    my $text = slurp($file) =~ s/`[^`\n]*`//gr;

    return map { dirname($file) . "/$_" }
               grep { !/^[a-z]+:/ } $text =~ /\]\(([^)#]+)/g;
}


# the settings of a Redis in the examples
sub settings {
    my ($file) = @_;

    return grep { /^\w/ } split(/\n/, slurp("$files$doc/examples/$file"));
}


sub nginx {
    return ('nginx', '-p', "$dir/", '-c', "$dir/nginx.conf", '-e',
            "$dir/run/error.log");
}


# nginx_says(MORE): of its configuration with these lines after ours.  Other
# pools and modules may come first.
sub nginx_says {
    my ($more) = @_;
    my $user = $> == 0 ? "user www-data;\n" : '';
    my @temp = map { "    ${_}_temp_path $dir/run/$_;\n" }
               qw(client_body proxy fastcgi uwsgi scgi);

    spew("$dir/nginx.conf", <<"CONF");
${user}pid $dir/run/nginx.pid;
error_log $dir/run/error.log;
thread_pool other threads=1;
include $available;
$more
events { }
http {
@temp    include $dir/conf.d/*.conf;
}
CONF

    my $said = run(join(' ', nginx(), '-t'));
    unlink("$dir/run/error.log");

    return $said;
}


sub ask {
    my ($path) = @_;

    return run("curl -s -w ' %{http_code}' http://127.0.0.1:$port$path");
}


sub has_ipv6 {
    open(my $fh, '<', '/proc/net/if_inet6') or return 0;
    return scalar(grep { /^0{31}1 / } <$fh>);
}
