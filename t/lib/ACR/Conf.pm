package ACR::Conf;

# The configurations of conf/, with places of a test, and what clients do first.
#
#   my $acr = shipped('tls-proxy/registry.conf', ['10.0.0.5' => '127.0.0.1']);
#   accepted($acr);
#   $acr->run();

use strict;
use warnings;

use ACR;
use ACR::Client;
use ACR::Process;
use ACR::Secure;
use Exporter qw(import);
use MIME::Base64 qw(encode_base64);

our @EXPORT = qw(shipped shipped_proxy shipped_redis change accepted admin
                 challenge log_in);


# shipped(FILE, PLACE, ...): a node with conf/FILE and these changes, an
# ACR::Secure if it has TLS.  What is the same in all files is changed anyway:
# the module, the user, ports, names of files, nothing with IPv6.  It is also a
# client of port 5000 or 443; $node->{ops} is one of port 5001.
sub shipped {
    my ($file, @places) = @_;

    my $node = prepare(redis => undef);
    my $text = slurp("$ACR::Node::TREE/conf/$file");

    $node->{ops} = ACR::Client->new($node->free_port());
    ACR::Secure->of($node) if $text =~ /^ *listen 443 ssl;/m;

    $node->configure(text => change(usual($text, $node), @places));

    return $node;
}


sub usual {
    my ($text, $node) = @_;

    my $dir = $node->{dir};
    my $module = ACR::Node::module();
    my $user = $> == 0 ? 'user ' . ACR::Node::worker_user() . ';' : '';
    my %port = (5000 => $node->port(), 5080 => $node->port(),
                5001 => $node->{ops}->port(), 443 => $node->{tls_port});

    my $temporary = join('', map { "    ${_}_temp_path $dir/$_;\n" }
                             qw(client_body proxy fastcgi uwsgi scgi));

    for ($text) {
        s/^user .*/$user/m;
        s/^worker_processes auto;/worker_processes 2;\ndaemon off;/m;
        s/^worker_rlimit_nofile .*//m;
        s/^load_module .*/load_module $module;/m;
        s{^pid .*}{pid $dir/nginx.pid;}m;
        s{^error_log .*}{error_log $dir/error.log info;}m;
        s{^( *access_log) \S+}{$1 $dir/access.log}m;
        s/worker_connections \d+/worker_connections 512/;
        s/^ *\w+_temp_path .*\n//mg;
        s/^http \{\n/http {\n$temporary/m;
        s/^ *listen \[.*\n//mg;
        s/^( *listen) (?:127\.0\.0\.1:)?(\d+)/$1 127.0.0.1:$port{$2}/mg;
        s{^( *acr_root) .*}{$1 $node->{root};}m;
        s{/etc/ssl/\w+\.(crt|key);}{$dir/tls.$1;}g;
        s{/etc/acr/}{$dir/}g;
    }

    return $text;
}


# the registry of conf/tls-proxy, and the proxy before it
sub shipped_proxy {
    my $acr = shipped('tls-proxy/registry.conf',
                      ['unix:/run/redis-acr/redis-server.sock'
                       => redis()->address()],
                      ['10.0.0.5' => '127.0.0.1']);

    return ($acr, shipped('tls-proxy/proxy.conf',
                          ['10.0.0.21:5000' => "127.0.0.1:$acr->{port}"]));
}


# shipped_redis(FILE, PORT, PLACE, ...): a Redis with conf/FILE that listens
# there and asks for the password "redis-password"; an ACR::Process
sub shipped_redis {
    my ($file, $port, @places) = @_;

    my $home = work_dir() . "/redis-$port";
    mkdir($home) or die "$home: $!\n";
    spew("$home/password.conf",
         "requirepass redis-password\nmasterauth redis-password\n");
    spew("$home/conf", change(
        slurp("$ACR::Node::TREE/conf/$file"),
        [qr/10\.0\.0\.11 127\.0\.0\.1/ => '127.0.0.1'],
        [qr/^port \d+/m => "port $port"],
        [qr{^include .*}m => "include $home/password.conf"],
        [qr{^(?:pid|log)file .*\n}m => ''], [qr{^dir .*}m => "dir $home"],
        @places));

    my $redis = ACR::Process->spawn("$home/log",
                                    $ENV{REDIS_SERVER} || 'redis-server',
                                    "$home/conf");
    wait_for(sub { (eval { slurp("$home/log") } || q()) =~ /Ready to accept/ })
        or die "no Redis of $file\n" . slurp("$home/log");

    return $redis;
}


# change(TEXT, [WHAT => WITH], ...): WHAT is a text or a pattern, is replaced
# wherever it is, and must be there
sub change {
    my ($text, @places) = @_;

    for my $place (@places) {
        my ($what, $with) = @$place;
        my $pattern = ref($what) ? $what : qr/\Q$what\E/;
        $text =~ s/$pattern/$with/g or die "no $what in the configuration\n";
    }

    return $text;
}


# accepted(NODE, NAME): nginx -t has nothing to say against it
sub accepted {
    my ($node, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($said, $fine) = $node->test();

    return ok($fine && $said !~ /\[(?:warn|error)\]/, $name)
        || diag($said);
}


# admin(NODE): runs it, with the admin user enabled, of whom each of its workers
# knows; the password
sub admin {
    my ($node) = @_;

    $node->run();

    my $answer = $node->{ops}->put('/acr/admin/access/admin',
                                   body => '{"enabled":true}');
    die 'no admin: ' . $answer->text() . "\n" if $answer->status() != 200;

    $node->{ops}->forget();
    $node->stop();
    $node->run();

    return $answer->json()->{passwords}[0]{value};
}


# challenge(ANSWER): what its challenge says, by name
sub challenge {
    my ($answer) = @_;

    my $challenge = $answer->header('WWW-Authenticate') || '';

    return $challenge =~ /^Bearer / ? $challenge =~ /(\w+)="([^"]*)"/g : ();
}


# log_in(CLIENT, PASSWORD, SCOPE): the client gets a token for the admin, where
# the challenge sends it, and has it from then on
sub log_in {
    my ($client, $password, $scope) = @_;

    delete($client->{authorization});
    my %challenge = challenge($client->get('/v2/'));
    my $path = $challenge{realm} =~ s{^\w+://[^/]+}{}r;
    my $basic = 'Basic ' . encode_base64("admin:$password", '');

    my $answer = $client->get("$path?service=$challenge{service}&scope=$scope",
                              headers => [Authorization => $basic]);
    die 'no token: ' . $answer->text() . "\n" if $answer->status() != 200;

    $client->{authorization} = 'Bearer ' . $answer->json()->{access_token};
}

1;
