#!/usr/bin/perl

# The configurations of a container, with places of this test: nginx takes them
# all, and runs with those of the image and of compose.yaml, by the users that
# these name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Container;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json);

my $CONF = "$ACR::Node::TREE/conf/container";

plan(skip_all => 'no python3-yaml')
    if system('python3 -c "import yaml" 2> /dev/null') != 0;

my $dir = work_dir();
my $etc = "$dir/etc";
my $nginx = ACR::Node::slurp("$CONF/nginx.conf");
my ($stage) = reverse(dockerfile());
my ($compose) = yaml('compose.yaml');

my %user = (registry => instruction($stage, 'USER'),
            redis => $compose->{services}{redis}{user});

# what the image has, and what Kubernetes mounts over it
my %image = map { s{^\Q$CONF\E/}{}r => slurp($_) }
            glob("$CONF/{main,conf}.d/*");
my %kubernetes = of_kubernetes();
my %example = examples();

my $acr = prepare(redis => undef, text => '');
my $inner = ACR::Client->new($acr->free_port());
my $admin = ACR::Client->new($acr->free_port());
my $tls = $acr->free_port();
my $password = "$dir/redis.password";
spew($password, "secret\n");
$acr->{root} = "$dir/data";

places();
taken();
runs();
finish();


# --- directories as in the image

sub places {
    mkdir("$dir/$_") or die "$_: $!\n"
        for qw(etc etc/main.d etc/conf.d etc/tls data tmp socket index);

    own($user{registry}, map { "$dir/$_" } qw(data tmp));
    own($user{redis}, "$dir/index");

    # the volume of the socket as compose.yaml has it
    my %option = map { split(/=/) }
                 split(/,/, $compose->{volumes}{socket}{driver_opts}{o});
    own("$option{uid}:$option{gid}", "$dir/socket");
    chmod(oct($option{mode}), "$dir/socket") or die "socket: $!\n";

    # nginx opens its standard output by name: what runs a container gives that
    # to its user
    my $program = $ENV{ACR_NGINX} || '/usr/sbin/nginx';
    my $give = $> == 0 ? "chown $user{registry} /dev/stdout" : ':';
    spew("$dir/nginx", "#!/bin/sh\n$give && exec @{[ as($user{registry}) ]} "
         . "$program \"\$@\"\n");
    own($user{registry}, $acr->{dir});
    chmod(0755, "$dir/nginx") or die "nginx: $!\n";
    $ENV{ACR_NGINX} = "$dir/nginx";

    system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost "
           . "-keyout $etc/tls/tls.key -out $etc/tls/tls.crt "
           . "2> $dir/openssl") == 0 or die slurp("$dir/openssl");
    own($user{registry}, "$etc/tls/tls.key");
}


# a command that runs another one as USER:GROUP, which only root can
sub as {
    my ($uid, $gid) = split(/:/, $_[0]);

    return $> != 0 ? () : ('setpriv', '--reuid', $uid, '--regid', $gid,
                           '--clear-groups', '--no-new-privs', '--bounding-set',
                           '-all', '--inh-caps', '-all', '--');
}


sub own {
    my ($whose, @files) = @_;

    return if $> != 0;
    chown(split(/:/, $whose), @files) == @files or die "chown: $!\n";
}


# --- nginx -t

sub of_kubernetes {
    my %file;

    my @objects = yaml('kubernetes.yaml');
    my ($set) = grep { $_->{kind} eq 'StatefulSet'
                       && $_->{metadata}{name} eq 'acr' } @objects;
    my $pod = $set->{spec}{template}{spec};
    my %path = map { $_->{name} => $_->{mountPath} }
               @{ $pod->{containers}[0]{volumeMounts} };

    for my $volume (grep { $_->{configMap} } @{ $pod->{volumes} }) {
        my ($map) = grep { $_->{kind} eq 'ConfigMap' && $_->{metadata}{name}
                           eq $volume->{configMap}{name} } @objects;
        my $directory = $path{ $volume->{name} } =~ s{^/etc/acr/}{}r;
        $file{"$directory/$_->{path}"} = $map->{data}{ $_->{key} }
            for @{ $volume->{configMap}{items} };
    }

    return %file;
}


# here(TEXT): a configuration with our places
sub here {
    my ($text) = @_;

    my %place = ('modules/ngx_http_acr_module.so' => ACR::Node::module(),
                 'listen 5000' => "listen 127.0.0.1:$acr->{port}",
                 'listen 5001' => "listen 127.0.0.1:$inner->{port}",
                 'listen 127.0.0.1:5002' => "listen 127.0.0.1:$admin->{port}",
                 'listen 5443' => "listen 127.0.0.1:$tls",
                 'worker_processes auto' => 'worker_processes 1',
                 '/var/lib/acr' => "$dir/data",
                 '/run/redis' => "$dir/socket",
                 '/etc/acr/tls' => "$etc/tls",
                 '/etc/acr/secret/password' => $password,
                 '/etc/acr/redis.password' => $password,
                 'redis.example.com' => '127.0.0.1',
                 'acr-redis:' => '127.0.0.1:',
                 ' /tmp/' => " $dir/tmp/",
                 'include ' => "include $etc/");
    my $any = join('|', map { quotemeta }
                   sort { length($b) <=> length($a) } keys %place);

    return $text =~ s/($any)/$place{$1}/gr;
}


# a configuration of nginx.conf with these files beside it
sub set_up {
    my (%file) = @_;

    unlink(glob("$etc/main.d/*"), glob("$etc/conf.d/*"));
    spew("$etc/$_", here($file{$_})) for keys %file;
    spew("$acr->{dir}/nginx.conf", here($nginx));
}


sub accepted {
    my ($name, %file) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    set_up(%file);
    my ($said, $fine) = $acr->test();
    ok($fine && $said !~ /\[(?:warn|alert|emerg)\]/, $name) or diag($said);
}


sub taken {
    accepted('that of the image', %image);
    accepted('that of kubernetes.yaml', %kubernetes);

    is(join(' ', sort keys %example), 'proxy.conf redis.conf tls.conf',
       'docs/container.md has examples');
    accepted("with $_ of the documents", %image,
             "conf.d/$_" => $example{$_}) for sort keys %example;
    accepted('without access control', %image,
             'conf.d/access.conf' => "acr_auth off;\n");
    accepted('without a log of requests', %image,
             'conf.d/log.conf' => "access_log off;\n");

    set_up(%image, 'conf.d/access.conf' => "acr_auth maybe;\n");
    my ($said, $fine) = $acr->test();
    ok(!$fine && $said =~ m{conf\.d/access\.conf:1$}m,
       'what is wrong is named');
    $acr->allow(qr{conf\.d/access\.conf:1$});
}


# --- as compose.yaml has it

sub runs {
    my $conf = ACR::Node::slurp("$CONF/redis.conf");
    spew("$dir/redis.conf", $conf =~ s{/run/redis}{$dir/socket}gr
                                  =~ s{/data$}{$dir/index}mr);
    my $redis = ACR::Process->spawn("$dir/redis.log", as($user{redis}),
        $ENV{REDIS_SERVER} || 'redis-server', "$dir/redis.conf");

    # the password is tried until the worker knows it
    set_up(%image, 'conf.d/tls.conf' => $example{'tls.conf'},
           'conf.d/failures.conf' => "acr_auth_failures 0;\n");
    $acr->run();

  SKIP: {
        skip('not root', 1) if $> != 0;
        is_deeply([grep { (stat("/proc/$_"))[4] . ':' . (stat(_))[5]
                          ne $user{registry} }
                   $acr->{process}->pid(), $acr->workers()], [],
                  'all of nginx is the user of the image');
    }

    my ($port, $path) = instruction($stage, 'HEALTHCHECK')
        =~ m{"http://127\.0\.0\.1:(\d+)(/[^"]*)"};
    my %probe = ('the health check' => $path, map { ($_ => probe($_)) }
                 qw(startupProbe livenessProbe readinessProbe));

    ok(wait_for(sub { $inner->get('/health')->status() == 200 }),
       'the registry works');
    is($inner->get($probe{$_})->status(), 200, "$_ is content")
        for sort keys %probe;
    is($inner->get('/health/x/../../nothing')->status(), 404,
       'what is not there is not found');
    like($inner->get('/metrics')->{body}, qr/^acr_redis_up\S* 1$/m, 'metrics');

    # who is let in, and where

    is($acr->get('/v2/')->status(), 401, 'nobody is let in');
    is($_->get('/acr/admin/stats')->status(), 404, 'no operator there')
        for $acr, $inner;
    is($acr->get('/metrics')->status(), 404, 'no metrics there');

    my $made = decode_json($admin->put('/acr/admin/access/admin',
                                       body => '{"enabled":true}')->{body});
    my $client = $acr->as('admin', $made->{passwords}[0]{value});
    ok(wait_for(sub { $client->get('/v2/')->status() == 200 }),
       'the admin is, with the password that was shown');
    answers($client->post('/v2/app/blobs/uploads/?digest=' . digest('bytes'),
                          body => 'bytes'), 201, 'and pushes');
    is(curl('-u', "admin:$made->{passwords}[0]{value}", '-L',
            "https://127.0.0.1:$tls/v2/app/blobs/" . digest('bytes'))->{body},
       'bytes', 'which can be pulled over TLS');
    ok(wait_for(sub { slurp("$acr->{dir}/nginx.out") =~ m{"POST /v2/app/} }),
       'requests stand on standard output');

    # without Redis

    $redis->signal('TERM');
    ok($redis->ended(20), 'Redis ends');
    ok(wait_for(sub { $inner->get('/health')->status() == 503 }),
       'without Redis it does not take pushes');
    is($inner->get($probe{$_})->status(), 200, "$_ is content all the same")
        for sort keys %probe;
    is($client->get('/v2/app/blobs/' . digest('bytes'))->{body}, 'bytes',
       'since pulls go on');
}


sub probe {
    my ($name) = @_;

    my ($set) = grep { $_->{kind} eq 'StatefulSet'
                       && $_->{metadata}{name} eq 'acr' }
                yaml('kubernetes.yaml');

    return $set->{spec}{template}{spec}{containers}[0]{$name}{httpGet}{path};
}
