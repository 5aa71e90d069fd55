#!/usr/bin/perl

# What the machine around nginx is given: conf/logrotate on a node that runs,
# and conf/apparmor as far as the parser of AppArmor goes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $TREE = $ACR::Node::TREE;
my $dir = work_dir();

SKIP: {
    my ($parser) = grep { -x } map { "$_/apparmor_parser" }
                   split(/:/, "$ENV{PATH}:/usr/sbin:/sbin");
    skip('no apparmor_parser', 1)
        if !$parser || !-e '/etc/apparmor.d/tunables/global';

    my $said = `$parser --skip-kernel-load --skip-cache --names \\
                $TREE/conf/apparmor 2>&1`;
    ok($? == 0 && $said =~ /^nginx$/m, 'AppArmor understands its profile')
        or diag($said);
}

SKIP: {
    my ($logrotate) = grep { -x } map { "$_/logrotate" }
                      split(/:/, "$ENV{PATH}:/usr/sbin:/sbin");
    skip("no logrotate", 7) if !$logrotate;
    skip('not root', 7) if $> != 0;

    my $acr = start();
    my $logs = $acr->{dir};
    my $user = ACR::Node::worker_user();

    spew("$dir/redis.log", "one\n");
    my $text = slurp("$TREE/conf/logrotate");
    $text =~ s{/var/lib/acr/logs/redis\.log}{$dir/redis.log};
    $text =~ s{/var/lib/acr/logs/}{$logs/}g;
    $text =~ s{/var/lib/acr/run/}{$logs/}g;
    $text =~ s{create 0640 \K.*}{$user root};
    spew("$dir/logrotate", $text);
    chmod(0644, "$dir/logrotate");

    my $has = sub { (eval { slurp("$logs/access.log") } || '') =~ /$_[0]/ };

    $acr->get('/v2/before');
    wait_for(sub { $has->('before') });
    my $rotate = "$logrotate -f -s $dir/state $dir/logrotate 2>&1";
    my $said = `$rotate`;
    ok($? == 0 && $said !~ /error/, 'logrotate runs') or diag($said);

    ok(wait_for(sub {
           $acr->get('/v2/after');
           $has->('after')
       }), 'nginx writes to a new file');
    like(slurp("$logs/access.log.1"), qr{/v2/before}, 'the old one is kept');
    is((stat("$logs/access.log"))[4], scalar(getpwnam($user)),
       'and the workers can open the new one again');

    is(slurp("$dir/redis.log"), '', 'what another one writes to is emptied');
    ok(-s "$dir/redis.log.1.gz", 'and kept');

    $said = `$rotate`;
    ok($? == 0 && -s "$logs/access.log.2.gz", 'the next time it is compressed')
        or diag($said);
}

finish();
