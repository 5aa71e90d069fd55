package ACR::Edge;

# A node of conf/edge.conf before a registry with acr_auth and acr_admin.

use strict;
use warnings;

use ACR;
use ACR::Access;
use Exporter qw(import);

our @EXPORT = qw(edge edge_token);

my $CONF = "$ACR::Node::TREE/conf/edge.conf";


# edge(ORIGIN, CHANGE, OPTIONS): a node of ORIGIN, which runs, as a user "edge"
# of its own, when it hears of changes.  CHANGE, if given, is called with the
# text of the configuration, which has our addresses already, and with the node;
# it returns another text.  $edge->{user} has name and password of the user; it
# may not read events with the option "deaf".
sub edge {
    my ($origin, $change, %option) = @_;

    my $deaf = delete $option{deaf};
    my $edge = prepare(%option, redis => undef);
    my $dir = $edge->{dir};

    $edge->{user} = edge_token($origin, $deaf ? 'edge-deaf' : 'edge',
                               { '*' => ['content/read', 'metadata/read'] },
                               $deaf ? () : 'registry/events/read');

    readable("$dir/edge.password", $edge->{user}{password});
    readable("$dir/origin.pub", $origin->get('/oauth2/keys')->body());

    my $text = conf($edge, $origin->port());
    $text =~ s{user=edge }{user=$edge->{user}{name} };
    $edge->configure(text => $change ? $change->($text, $edge)
                                      : $text);
    $edge->run();
    $edge->allow(qr/acr: (?:fetching|origin|remote)|upstream|connect\(\)/);

    my $heard = $deaf ? qr/are not heard of/ : qr/are heard of/;
    wait_for(sub { $edge->log_text() =~ $heard })
        or die "the node does not watch\n" . $edge->tail();

    return $edge;
}


# conf/edge.conf with our addresses
sub conf {
    my ($edge, $port) = @_;

    my $text = slurp($CONF);
    my $dir = $edge->{dir};
    my $module = ACR::Node::module();
    my $edge_port = $edge->port();

    $text =~ s{^load_module .*$}{load_module $module;\ndaemon off;}m;
    $text =~ s{^user .*$}{$> == 0 ? 'user ' . ACR::Node::worker_user() . ';'
                                  : ''}me;
    $text =~ s{^worker_processes .*$}{worker_processes 2;}m;
    $text =~ s{^pid .*$}{pid $dir/nginx.pid;}m;
    $text =~ s{^error_log .*$}{error_log $dir/error.log info;}m;
    $text =~ s{access_log /var/log/nginx/}{access_log $dir/};
    $text =~ s{worker_connections \d+}{worker_connections 512};
    $text =~ s{/var/lib/acr-edge/data}{$edge->{root}}g;
    $text =~ s{/var/lib/acr-edge}{$dir}g;
    $text =~ s{/etc/acr}{$dir}g;
    $text =~ s{https://registry\.example\.com}{http://127.0.0.1:$port}g;
    $text =~ s{credentials=node}{credentials=node timeout=2s};
    $text =~ s{server registry\.example\.com:443}{server 127.0.0.1:$port}g;
    $text =~ s{registry\.example\.com}{origin.test}g;
    $text =~ s{https://\$acr_upstream}{http://\$acr_upstream}g;
    $text =~ s{^ *proxy_ssl_.*$}{}mg;
    $text =~ s{listen 127\.0\.0\.1:5001;}{listen 127.0.0.1:$edge_port;};
    $text =~ s{^ *listen \[::1\]:5001;$}{}m;
    $text =~ s{edge:64m}{edge:4m};
    $text =~ s{min_free=1g}{min_free=1};
    $text =~ s{manifests:16m}{manifests:1m};

    return $text;
}


# edge_token(ORIGIN, NAME, { REPOSITORY => [ACTION, ...] }, MORE ACTIONS):
# name and password of a token with these rights
sub edge_token {
    my ($origin, $name, $rights, @more) = @_;

    my @actions = map { my $repository = $_;
                        map { "repositories/$repository/$_" }
                            @{ $rights->{$repository} } } keys %$rights;

    done($origin, 'PUT', "scope-maps/$name",
         { actions => [@actions, @more] });
    done($origin, 'PUT', "tokens/$name", { scopeMap => $name });
    my $made = done($origin, 'POST', "tokens/$name/passwords/password1", {});

    return { name => $name, password => $made->json()->{value} };
}


sub done {
    my ($origin, $method, $what, $body) = @_;

    my $answer = ask_access($origin, $method, $what, $body);
    die "$method $what: " . $answer->text() . "\n"
        if $answer->status() !~ /^20[04]$/;

    return $answer;
}


sub readable {
    my ($name, $bytes) = @_;

    spew($name, $bytes);
    chmod(0644, $name) or die "chmod: $!\n";
}

1;
