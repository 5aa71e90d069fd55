#!/usr/bin/perl

# The Dockerfile and conf/container: what one file says of another is so, and
# the image has what the module needs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR::Container;
use ACR::Node;
use Cwd qw(realpath);
use File::Spec;
use File::Temp;
use JSON::PP;
use Test::More;

my $TREE = $ACR::Node::TREE;
my $CONF = "$TREE/conf/container";

chdir($TREE) or die "$TREE: $!";
plan(skip_all => 'no python3-yaml')
    if system('python3 -c "import yaml" 2> /dev/null') != 0;

my ($build, $image) = dockerfile();
my @nginx = blocks(slurp('nginx.conf'));
my %included = map { $_ => slurp($_) } glob_conf('main.d/*'),
               glob_conf('conf.d/*');
my ($compose) = yaml('compose.yaml');
my @kubernetes = yaml('kubernetes.yaml');

my $data = instruction($image, 'VOLUME');
my ($uid, $gid) = (instruction($image, 'USER') || '') =~ /^(\d+):(\d+)$/;
my ($name) = slurp('../../Dockerfile') =~ /docker build -t (\S+) \./;

# the servers by their port; those of the container's own loopback are apart
my (%outer, %inner);

for my $server (find('server', @nginx)) {
    my $listen = value('listen', $server);
    my ($host, $port) = $listen =~ /^(?:(.*):)?(\d+)$/;
    ($host ? \%inner : \%outer)->{$port} = $server;
}

image();
packages();
context();
servers();
in_compose();
in_kubernetes();
documented();
done_testing();


# --- the image

sub image {
    is($build->[0][1], '$BASE AS build', 'the module is built in a stage');
    is($image->[0][1], '$BASE', 'of the same Debian as the image');
    ok($uid, 'the image has a user that is a number, and not root');
    is(getpwuid($uid), 'www-data', 'that of nginx in Debian');
    is(instruction($image, 'STOPSIGNAL'), 'SIGQUIT',
       'transfers may end before nginx does');
    is($data, value('acr_root', @nginx), 'the volume is acr_root');
    is(join(' ', sort split(' ', instruction($image, 'EXPOSE'))),
       join(' ', sort keys %outer), 'the ports are those of nginx.conf');
    like(instruction($image, 'ENTRYPOINT'), qr{"/etc/acr/nginx\.conf"\]$},
         'it starts with our nginx.conf');
    is(value('daemon', @nginx), 'off', 'which has nginx in the foreground');
    is(value('error_log', @nginx), 'stderr', 'and errors on standard error');
    is(value('access_log', @nginx), '/dev/stdout',
       'and requests on standard output');
    ok(!find('user', @nginx), 'and no user, which only root can change');

    for my $directory ('main.d', 'conf.d') {
        ok((grep { $_->[0][1] eq "$directory/*.conf" }
            find('include', @nginx)), "$directory is included");
        ok((grep { $_ eq "conf/container/$directory /etc/acr/$directory" }
            instruction($image, 'COPY')), 'and in the image');
    }

    my @check = instruction($image, 'HEALTHCHECK') =~ /"([^"]*)"/g;
    ok((grep { $_ eq $check[0] } installs($image)),
       "the health check's $check[0] is in the image");
    ok(probed($check[-1] =~ m{^http://127\.0\.0\.1:(\d+)(/.*)}),
       'and asks what is there');
}


# whether a path of a port is one of acr_health
sub probed {
    my ($port, $path) = @_;

    my $server = $outer{$port} or return;
    my ($location) = grep { $path =~ m{^\Q$_->[0][-1]\E(?:[/?]|$)} }
                     grep { $_->[0][-1] ne '/' } find('location', $server);

    return $location && find('acr_health', @{ $location->[1] });
}


# --- what is installed in it

sub packages {
    my ($quickstart) = slurp('../quickstart.sh') =~ /^PACKAGES=\((.*?)\)/ms;
    is_deeply([installs($build)],
              [sort grep { $_ ne 'redis-server' } split(' ', $quickstart)],
              'it is built with what conf/quickstart.sh builds with');

    my @installed = installs($image);
    my @tools = grep { /-dev$|^(?:gcc|make|cpp|binutils|clang)\b/ && !/-base$/ }
                closure(@installed);

  SKIP: {
        skip('not the Debian of the image', 3)
            if ACR::Node::slurp('/etc/os-release') !~ /CODENAME=bookworm/;

        is("@tools", '', 'the image has no build tools');

        my %has = map { $_ => 1 } closure(@installed);
        my @libraries = map { m{=> (/\S+)} } `ldd @{[ ACR::Node::module() ]}`;
        ok(@libraries > 5, 'the module is linked with libraries');
        is_deeply([grep { !$has{$_} } map { owner($_) } @libraries], [],
                  'the image has all of them');

        my %named = map { $_ => 1 } @installed, 'libc6';
        my $needed = join('|', map { quotemeta }
            `objdump -p @{[ ACR::Node::module() ]}` =~ /NEEDED\s+(\S+)/g);
        is_deeply([grep { !$named{$_} } map { owner($_) }
                   grep { m{/(?:$needed)$} } @libraries], [],
                  'and names those that the module itself asks for');
    }
}


# packages and what they depend on, as far as it is installed here
sub closure {
    my @queue = @_;
    my (%depends, %provides, %seen);

    my $format = join('\t', '${Package}', '${Pre-Depends}, ${Depends}',
                      '${Provides}\n');

    for (`dpkg-query -W -f '$format'`) {
        chomp;
        my ($package, $depends, $provides) = split(/\t/, $_, 3);
        $depends{$package} = $depends;
        push(@{ $provides{$_} }, $package)
            for map { /^\s*([\w.+-]+)/ } split(/,/, $provides || '');
    }

    while (@queue) {
        my $package = shift(@queue);

        next if $seen{$package}++;

        for my $any (split(/,/, $depends{$package} // '')) {
            my ($first) = map { $depends{$_} ? $_ : @{ $provides{$_} || [] } }
                          $any =~ /(?:^|\|)\s*([\w.+-]+)/g;
            push(@queue, $first) if defined $first;
        }
    }

    return sort keys %seen;
}


# the package of a file, which may have moved from /lib to /usr/lib
sub owner {
    my ($file) = @_;

    my $path = realpath($file);
    my @paths = ($path, $path =~ m{^/usr(/.*)} ? $1 : "/usr$path");

    return (map { /^([\w.+-]+)(?::\w+)?: / } `dpkg -S @paths 2> /dev/null`)[0]
           // "no package of $file";
}


# --- the context of the build

sub context {
    my %let = map { $_ => 1 }
              ACR::Node::slurp('.dockerignore') =~ /^!(.*)/mg;
    like(ACR::Node::slurp('.dockerignore'), qr/^\*$/m,
         'only what is named goes into a build');

    my @sources = map { (split(' '))[0] }
                  grep { !/^--from|^\./ } instruction($image, 'COPY');
    is_deeply([grep { !-e } @sources], [], 'what is copied is there');

    # what the module is built of
    push(@sources, 'config', 'Makefile',
         glob('ngx_*.c src/*.[ch] src/*/*.[ch] src/*/*.lua src/*/*.sh'));
    is_deeply([grep { !passes($_, \%let) } @sources], [],
              'the build gets it');
    is_deeply([grep { passes($_, \%let) } 't/run.sh', 'docs/api.md',
               'README.md', 'build/Makefile', '.git/config'], [],
              'and nothing that it does not need');
    is_deeply([grep { !-e } keys %let], [], 'all that is named is there');
}


sub passes {
    my ($path, $let) = @_;

    return grep { $path eq $_ || index($path, "$_/") == 0 } keys %$let;
}


# --- who answers where

sub servers {
    my %handlers;

    for my $port (keys %outer) {
        $handlers{$port} = [grep { find($_, $outer{$port}) }
                            qw(acr acr_health acr_metrics acr_admin)];
    }

    is_deeply(\%handlers, { 5000 => ['acr'],
                            5001 => ['acr_health', 'acr_metrics'] },
              'what can be reached from outside');
    ok(find('acr_admin', values %inner), 'the operator is inside');

    is(value('acr_auth', blocks($included{'conf.d/access.conf'})), 'on',
       'access control is on');
    is(redis_socket(), compose_socket(), 'Redis is where redis.conf says');
}


sub redis_socket {
    my ($path) = (value('acr_redis', blocks($included{'conf.d/redis.conf'}))
                  || '') =~ /^unix:(.*)/;

    return $path;
}


sub compose_socket { return line('unixsocket', slurp('redis.conf')) }


# what a redis.conf says of a parameter
sub line {
    my ($parameter, $text) = @_;

    return ($text =~ /^\s*\Q$parameter\E (.*)/m)[0];
}


# everything that nginx writes to
sub written {
    return map { value($_, @nginx) // "no $_" } 'acr_root', 'pid',
           map { $_ . '_temp_path' } qw(client_body proxy fastcgi uwsgi scgi);
}


sub below {
    my ($path, @directories) = @_;

    return grep { index("$path/", "$_/") == 0 } @directories;
}


# --- compose.yaml

sub in_compose {
    my ($registry, $redis) = @{ $compose->{services} }{'registry', 'redis'};

  SKIP: {
        skip('no docker-compose', 1)
            if system('docker-compose version > /dev/null 2>&1') != 0;
        my $said = `docker-compose -f $CONF/compose.yaml config 2>&1`;
        is($?, 0, 'docker-compose takes it') or diag($said);
    }

    is($registry->{image}, $name, 'it has the name of the image');
    is(realpath("$CONF/$registry->{build}"), realpath($TREE),
       'and builds it from here');

    my %mount;

    for my $service ('registry', 'redis') {
        my $is = $compose->{services}{$service};

        ok($is->{read_only}, "$service: nothing of the image can be changed");
        is_deeply($is->{cap_drop}, ['ALL'], 'it has no capabilities');
        is_deeply($is->{security_opt}, ['no-new-privileges:true'],
                  'and gets none');

        for my $volume (@{ $is->{volumes} }) {
            my ($from, $to) = split(/:/, $volume);
            $mount{$service}{$to} = $from;
            ok($from =~ m{^\./(.*)} ? -f "$CONF/$1"
               : exists $compose->{volumes}{$from}, "$from is there");
        }
    }

    my %used = map { $_ => 1 } map { values %$_ } values %mount;
    is_deeply([grep { !$used{$_} } keys %{ $compose->{volumes} }], [],
              'each volume is used');

    ok($mount{registry}{$data}, 'the registry has its volume');
    is_deeply([grep { !below($_, @{ $registry->{tmpfs} },
                             keys %{ $mount{registry} }) } written()], [],
              'whatever nginx writes to is a volume or memory');
    ok($registry->{hostname}, "the node's name stays");
    is_deeply($registry->{ports}, ['127.0.0.1:5000:5000'],
              'nobody but this machine reaches it, and the registry only');

    my ($directory) = compose_socket() =~ m{^(.*)/};
    my $volume = $mount{registry}{$directory};
    ok($volume && $volume eq $mount{redis}{$directory},
       'both have the directory of the socket');
    my %option = map { split(/=/) }
                 split(/,/, $compose->{volumes}{$volume}{driver_opts}{o});
    is("$option{uid}:$option{gid} $option{mode}", "$uid:$gid 770",
       "it is for the registry's user and group");
    like($redis->{user}, qr/^[1-9]\d*:$gid$/, 'of which Redis is');
    is(line('unixsocketperm', slurp('redis.conf')), '770',
       'and so is the socket');
    is(line('port', slurp('redis.conf')), '0', 'there is no port');

    like($mount{redis}{$redis->{command}[1]}, qr{/redis\.conf$},
         'Redis has its configuration');
    ok($mount{redis}{line('dir', slurp('redis.conf'))}, 'and its volume');
    is($redis->{healthcheck}{test}[4], compose_socket(),
       'its health check asks at the socket');
    remembers(slurp('redis.conf'), 'Redis of compose.yaml');
}


# a Redis that is to be an index
sub remembers {
    my ($conf, $which) = @_;

    is(line('appendonly', $conf), 'yes', "$which keeps what it has");
    is(line('maxmemory-policy', $conf), 'noeviction', 'and forgets nothing');
}


# --- kubernetes.yaml

sub object {
    my ($kind, $called) = @_;

    my ($object) = grep { $_->{kind} eq $kind
                          && $_->{metadata}{name} eq $called } @kubernetes;
    ok($object, "there is a $kind $called");

    return $object;
}


sub in_kubernetes {
    my %version = (ConfigMap => 'v1', Service => 'v1',
                   NetworkPolicy => 'networking.k8s.io/v1',
                   StatefulSet => 'apps/v1');
    is_deeply([grep { ($version{$_->{kind}} || '') ne $_->{apiVersion} }
               @kubernetes], [], 'objects are of versions that stay');
    known();

    my ($registry, $redis) = map { object('StatefulSet', $_) }
                             'acr', 'acr-redis';
    set($_) for $registry, $redis;
    service($_) for grep { $_->{kind} eq 'Service' } @kubernetes;

    registry_of($registry->{spec}{template}{spec}, $redis);
    redis_of($redis->{spec}{template}{spec});

    my $policy = object('NetworkPolicy', 'acr-redis')->{spec};
    is_deeply($policy->{podSelector}{matchLabels}, labels($redis),
              'Redis is reached');
    is_deeply($policy->{ingress}[0]{from}[0]{podSelector}{matchLabels},
              labels($registry), 'by the registry only');
    is($policy->{ingress}[0]{ports}[0]{port}, 'redis', 'at its port');
}


sub labels { return $_[0]->{spec}{template}{metadata}{labels} }


# kubectl reads a StatefulSet into its own types, and prints what it has read
sub known {
    my @command = (qw(kubectl set image --local --kubeconfig=/dev/null -o json
                      -f - *=any));
    my $json = JSON::PP->new()->canonical();

  SKIP: {
        skip('no kubectl', 2) if !grep { -x "$_/kubectl" } File::Spec->path();

        for my $set (grep { $_->{kind} eq 'StatefulSet' } @kubernetes) {
            my $in = File::Temp->new();
            print $in $json->encode($set);
            close($in) or die "$in: $!";

            my $out = `exec < $in; @{[ map { quotemeta } @command ]} 2>&1`;
            my %kept = map { $_ => 1 } keys_of(eval { $json->decode($out) });
            is_deeply([grep { !$kept{$_} } keys_of($set)], [],
                      "$set->{metadata}{name}: kubectl knows every field")
                or diag($out);
        }
    }
}


# keys_of(DATA): the path of every member
sub keys_of {
    my ($value, $path) = @_;

    $path //= '';

    return ref($value) eq 'HASH'
        ? map { ("$path/$_", keys_of($value->{$_}, "$path/$_")) } keys %$value
        : ref($value) eq 'ARRAY' ? map { keys_of($_, "$path/-") } @$value : ();
}


# what must be so of any of our pods
sub set {
    my ($set) = @_;

    my $is = $set->{metadata}{name};
    my $pod = $set->{spec}{template}{spec};
    my ($container, @others) = @{ $pod->{containers} };

    ok(!@others, "$is: one container");
    is_deeply($set->{spec}{selector}{matchLabels}, labels($set),
              'the set finds its pods');
    ok((grep { $_->{kind} eq 'Service'
               && $_->{metadata}{name} eq $set->{spec}{serviceName} }
        @kubernetes), 'its service is there');

    my $pods = $pod->{securityContext};
    my $own = $container->{securityContext};
    ok($pods->{runAsNonRoot} && $pods->{runAsUser}
       && $pods->{fsGroup} == $pods->{runAsGroup},
       'it is not root, and its volumes are for its group');
    is($pods->{seccompProfile}{type}, 'RuntimeDefault', 'a seccomp profile');
    ok($own->{readOnlyRootFilesystem} && !$own->{allowPrivilegeEscalation},
       'nothing of the image can be changed');
    is_deeply($own->{capabilities}, { drop => ['ALL'] }, 'no capabilities');
    ok(!$pod->{automountServiceAccountToken}, 'no token of the cluster');
    ok($container->{resources}{requests}{memory}
       && $container->{resources}{limits}{memory}, 'its memory is limited');

    my %volume = map { $_->{name} => $_ } @{ $pod->{volumes} };
    my %claim = map { $_->{metadata}{name} => $_ }
                @{ $set->{spec}{volumeClaimTemplates} };
    my %mounted = map { $_->{name} => 1 } @{ $container->{volumeMounts} };
    is_deeply([sort keys %mounted], [sort keys %volume, keys %claim],
              'what is mounted is there, and the other way round');

    for my $map (grep { $_ } map { $_->{configMap} } values %volume) {
        my $object = object('ConfigMap', $map->{name});
        is_deeply([grep { !exists $object->{data}{$_->{key}} }
                   @{ $map->{items} || [] }], [], 'with what is taken of it');
    }

    # secrets are made by the command at the beginning of the file
    my ($secret, $key) = slurp('kubernetes.yaml')
        =~ /create secret generic (\S+) \\\n#\s+--from-literal=(\w+)=/;
    my @wants = ((map { $_->{secret}{secretName} }
                  grep { $_->{secret} } values %volume),
                 (map { $_->{valueFrom}{secretKeyRef}{name} }
                  @{ $container->{env} || [] }));
    is_deeply([grep { $_ ne $secret } @wants], [], 'secrets can be made');
    is_deeply([grep { $_ ne $key } map { $_->{valueFrom}{secretKeyRef}{key} }
               @{ $container->{env} || [] }], [], 'with their keys');

    my %port = map { $_->{name} => 1 } @{ $container->{ports} };
    is_deeply([grep { !$port{$_} } map { $_->{httpGet}{port} }
               grep { $_ && $_->{httpGet} }
               map { $container->{"${_}Probe"} }
               qw(startup liveness readiness)], [], 'probes are of its ports');
}


sub service {
    my ($service) = @_;

    my $is = $service->{metadata}{name};
    my @sets = grep { $_->{kind} eq 'StatefulSet' } @kubernetes;
    my ($set) = grep { labels($_)->{app} eq $service->{spec}{selector}{app} }
                @sets;

    ok($set, "service $is: it has pods") or return;

    my %port = map { $_->{name} => 1 }
               @{ $set->{spec}{template}{spec}{containers}[0]{ports} };
    is_deeply([grep { !$port{$_->{targetPort}} } @{ $service->{spec}{ports} }],
              [], 'and they its ports');
}


sub registry_of {
    my ($pod, $redis) = @_;

    my ($container) = @{ $pod->{containers} };
    my %at = map { $_->{mountPath} => $_->{name} }
             @{ $container->{volumeMounts} };
    my %volume = map { $_->{name} => $_ } @{ $pod->{volumes} };
    my %port = map { $_->{name} => $_->{containerPort} }
               @{ $container->{ports} };

    is($container->{image}, $name, 'the image is ours');
    is_deeply([sort values %port], [sort keys %outer],
              'its ports are those of nginx.conf');
    is($port{registry}, 5000, 'the registry is where it is');
    is("$pod->{securityContext}{runAsUser}:"
       . $pod->{securityContext}{runAsGroup}, "$uid:$gid",
       'the user is that of the image');
    ok($at{$data} && !$volume{$at{$data}}, 'the data is in a claim');
    is_deeply([grep { !below($_, keys %at) } written()], [],
              'whatever nginx writes to is a volume');

    for my $probe (qw(startup liveness readiness)) {
        my $get = $container->{"${probe}Probe"}{httpGet};
        ok(probed($port{$get->{port}}, $get->{path}),
           "what the $probe probe asks for is there");
    }
    like($container->{livenessProbe}{httpGet}{path}, qr{/live$},
         'a pod is not restarted for what others do');

    my ($sleep) = $container->{lifecycle}{preStop}{exec}{command}[1];
    ok($pod->{terminationGracePeriodSeconds} > 10 * $sleep,
       'transfers have time to end');

    # A directory that is mounted hides all that the image has there.
    my $map = object('ConfigMap', 'acr')->{data};
    for my $file (sort keys %included) {
        my ($directory, $base) = split(m{/}, $file);
        my $volume = $volume{$at{"/etc/acr/$directory"} || ''};
        ok((grep { $_->{path} eq $base } @{ $volume->{configMap}{items} }),
           "$file is in its place");
        isnt($map->{$base} // '', '', 'with something in it');
    }

    is(value('acr_auth', blocks($map->{'access.conf'})), 'on',
       'access control is on');

    my ($address, $file) = $map->{'redis.conf'}
        =~ /acr_redis (\S+) password_file=(\S+);/;
    my ($service) = grep { $_->{kind} eq 'Service'
                           && $_->{metadata}{name} eq 'acr-redis' }
                    @kubernetes;
    is($address, "$service->{metadata}{name}:"
       . $service->{spec}{ports}[0]{port}, 'Redis is asked at its service');
    isnt($service->{spec}{clusterIP} // '', 'None',
         'whose address does not change');
    my ($directory, $key) = $file =~ m{^(.*)/([^/]+)$};
    ok($volume{$at{$directory}}{secret}, 'the password is in the secret');
    is($key, $redis->{spec}{template}{spec}{containers}[0]{env}[0]
             {valueFrom}{secretKeyRef}{key}, 'and that of Redis');
}


sub redis_of {
    my ($pod) = @_;

    my ($container) = @{ $pod->{containers} };
    my $conf = object('ConfigMap', 'acr-redis')->{data}{'redis.conf'};
    my %at = map { $_->{mountPath} => $_->{name} }
             @{ $container->{volumeMounts} };

    is($container->{image}, $compose->{services}{redis}{image},
       'Redis is that of compose.yaml');
    my ($directory) = $container->{args}[1] =~ m{^(.*)/redis\.conf$};
    is($at{$directory}, 'conf', 'it has its configuration');
    is($at{line('dir', $conf)}, 'data', 'and its volume');
    is_deeply([@{ $container->{args} }[2, 3]],
              ['--requirepass', "\$($container->{env}[0]{name})"],
              'it asks for the password');
    remembers($conf, 'Redis of kubernetes.yaml');

    my %unit = (gb => 2 ** 30, Gi => 2 ** 30);
    my ($most, $a) = line('maxmemory', $conf) =~ /^(\d+)(\w+)/;
    my ($limit, $b) = $container->{resources}{limits}{memory}
        =~ /^(\d+)(\w+)/;
    ok($most * $unit{$a} < $limit * $unit{$b},
       'it is full before it is killed');
}


# --- what the documents say

sub documented {
    my $text = ACR::Node::slurp("$TREE/docs/container.md");

    for my $file (sort keys %included) {
        my ($directive) = $included{$file} =~ /^(\w.*;)$/m;
        like($text, qr{\| `/etc/acr/\Q$file\E` \| `\Q$directive\E` \|},
             "docs: $file");
    }

    my ($run) = $text =~ /(docker run -d --name acr --.*?\n)\n/s;
    my @volumes = $run =~ /-v \S+:(\S+)/g;
    is_deeply([sort @volumes], [sort map { (split(/:/))[1] }
               @{ $compose->{services}{registry}{volumes} }],
              'by hand it gets the same volumes as by compose.yaml');
    like($run, qr/ \Q$name\E$/, 'and is the same image');

    my $user = "--network none --user $compose->{services}{redis}{user} ";
    ok(index($text, "acr-redis $user") > 0, 'Redis has the same user');
    my $options = $compose->{volumes}{socket}{driver_opts}{o};
    ok(index($text, "o=$options acr-socket") > 0,
       'and the socket the same directory');
}


sub slurp {
    return ACR::Node::slurp("$CONF/$_[0]");
}


sub glob_conf {
    return map { s{^\Q$CONF\E/}{}r } glob("$CONF/$_[0]");
}
