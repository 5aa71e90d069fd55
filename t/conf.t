#!/usr/bin/perl

# The files of conf/: each is accepted by nginx as it is, but for places of this
# test, and some test works with it.  conf/production.conf is that of this one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Conf;
use File::Find qw(find);

my $tree = $ACR::Node::TREE;
my $dir = work_dir();

# who works with a file of conf/
my %user = (
    'apparmor' => 't/host.t',
    'backup.sh' => 't/backup.t',
    'cdn.conf' => 't/cdn.t',
    'container/compose.yaml' => 't/clients/container.sh',
    'container/conf.d/access.conf' => 't/container-conf.t',
    'container/conf.d/redis.conf' => 't/container-conf.t',
    'container/kubernetes.yaml' => 't/container-conf.t',
    'container/main.d/workers.conf' => 't/clients/container.t',
    'container/nginx.conf' => 't/container-conf.t',
    'container/redis.conf' => 't/container-conf.t',
    'edge.conf' => 't/lib/ACR/Edge.pm',
    'fleet/balancer.conf' => 't/conf-fleet.t',
    'fleet/node.conf' => 't/conf-fleet.t',
    'fleet/redis.conf' => 't/conf-fleet.t',
    'install.sh' => 't/run.sh',
    'log-format.conf' => 't/log-format.t',
    'logrotate' => 't/host.t',
    'monitoring/alerts-test.yml' => 't/monitoring.t',
    'monitoring/alerts.yml' => 't/monitoring.t',
    'monitoring/dashboard.json' => 't/monitoring.t',
    'nginx.conf' => 'conf/quickstart.sh',
    'production.conf' => 't/conf.t',
    'pull-through.conf' => 't/pull-through.t',
    'quickstart.sh' => 't/quickstart.t',
    'redis.conf' => 'conf/quickstart.sh',
    'sentinel/nginx.conf' => 't/sentinel-conf.t',
    'sentinel/redis.conf' => 't/sentinel-conf.t',
    'sentinel/sentinel.conf' => 't/sentinel-conf.t',
    'systemd/nginx.conf' => 't/systemd.t',
    'systemd/redis-server@acr.conf' => 't/systemd.t',
    'tls-proxy/proxy.conf' => 't/conf-proxy.t',
    'tls-proxy/registry.conf' => 't/conf-proxy.t',
);

# what nginx -t needs in place of what this machine does not have
my $redis = [qr{unix:/run/redis-acr/redis-server\.sock}
             => "unix:$dir/redis.sock"];
my $trusted = [qr/^http \{\n/m
               => "http {\n    acr_fetch_trusted_certificate $dir/ca.crt;\n"];
my %places = (
    'cdn.conf' => [['/var/cache/acr-data' => "$dir/cdn"]],
    'edge.conf' => [
        $trusted,
        ['server registry.example.com:443' => 'server 127.0.0.1:1'],
        ['/var/lib/acr-edge/manifests' => "$dir/manifests"],
        ['/etc/ssl/certs/ca-certificates.crt' => "$dir/ca.crt"]],
    'fleet/balancer.conf' => [],
    'fleet/node.conf' => [],
    'nginx.conf' => [['unix:/var/lib/acr/redis/redis.sock'
                      => "unix:$dir/redis.sock"]],
    'production.conf' => [$redis],
    'pull-through.conf' => [$redis, $trusted],
    'sentinel/nginx.conf' => [],
    'tls-proxy/proxy.conf' => [],
    'tls-proxy/registry.conf' => [$redis],
);

covered();
tested();
alike();
production();
finish();


sub covered {
    my @files;

    find({ no_chdir => 1, wanted => sub {
        push(@files, s{^\Q$tree\E/conf/}{}r) if -f;
    } }, "$tree/conf");
    @files = sort(@files);

    is_deeply([sort(keys(%user))], \@files, 'it is known who uses what');

    my @idle = grep {
        my ($name) = m{([^/]+)$};
        index(slurp("$tree/$user{$_}"), $name) < 0;
    } @files;
    is_deeply(\@idle, [], 'and they do');

    # those of containers have paths that only a container has
    my @nginx = grep { !m{^container/}
                       && slurp("$tree/conf/$_") =~ /^http \{$/m } @files;
    is_deeply([sort(keys(%places))], \@nginx, 'all of nginx are tested here');
}


sub tested {
    for my $file (sort(keys(%places))) {
        my $node = shipped($file, @{ $places{$file} });
        secrets($node);
        accepted($node, "conf/$file");
    }
}


# what configurations read at start
sub secrets {
    my ($node) = @_;

    my $home = $node->{dir};

    for my $name (qw(redis sentinel edge)) {
        spew("$home/$name.password", "password\n");
        chmod(0600, "$home/$name.password") or die "chmod: $!\n";
    }

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -subj /CN=origin -days 2 -keyout $home/origin.key "
           . "-out $dir/ca.crt 2> $home/openssl.log && openssl pkey -pubout "
           . "-in $home/origin.key -out $home/origin.pub") == 0
        or die slurp("$home/openssl.log");
}


# a node with Sentinel is one of a fleet but for its Redis
sub alike {
    my @node = map {
        slurp("$tree/conf/$_") =~ s/.*^(load_module)/$1/msr
            =~ s/^ +# (?:The file|The sent)[^#]*#?[^;]*acr_redis[^;]*;\n//mr
    } qw(fleet/node.conf sentinel/nginx.conf);

    is($node[1], $node[0], 'nodes with and without Sentinel are alike');
}


# --- conf/production.conf

sub production {
    my $acr = shipped('production.conf',
                      ['unix:/run/redis-acr/redis-server.sock'
                       => redis()->address()]);

    my $text = $acr->{option}{text};
    $acr->configure(text => change($text, [qr/# (limit_conn)/ => 'limit_conn'],
                                   [qr/# (ssl_conf_c)/ => 'ssl_conf_c'],
                                   ['# acr_anon' => 'acr_anon']));
    accepted($acr, 'it is accepted with what is in its comments, too');

    $acr->configure(text => $text);
    my $password = admin($acr);

    my $answer = $acr->get('/v2/');
    answers($answer, 401, 'nobody does anything without a password');
    is_deeply({ challenge($answer) },
              { realm => 'https://registry.example.com/oauth2/token',
                service => 'registry.example.com' },
              'clients are told where to get a token');

    my %challenge = challenge($acr->get('/v2/', headers => [
        Host => 'registry.example.com:8443']));
    is($challenge{service}, 'registry.example.com',
       'tokens are for one name');

    # the admin was made on this machine
    log_in($acr, $password, 'repository:lib/a:pull,push');
    my $digest = $acr->push_image('lib/a', 'latest', 'production');
    $answer = $acr->get('/v2/lib/a/manifests/latest');
    is(digest($answer->body()), $digest, 'an image is pushed and pulled');
    is($acr->get('/v2/lib/a/blobs/' . digest('layer of production'))->body(),
       'layer of production', 'with its layer');

    answers($acr->get('/health'), 200, 'it is well');
    answers($acr->get($_), 404, "others do not reach $_")
        for '/acr/admin/stats', '/metrics';
    answers($acr->{ops}->get($_), 200, 'this machine does')
        for '/acr/admin/stats', '/metrics';

    answers($acr->get('/v2/', headers => [Host => 'other.example.com']), 421,
            'another name is not served');
    my $http = $acr->connect('other.example.com');
    is(eval { $http->request('GET', '/v2/') }, undef,
       'and has no certificate');
    $http->close();
    $acr->forget();
}
