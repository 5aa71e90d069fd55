#!/usr/bin/perl

# The drop-ins of conf/systemd, with the units that Debian's packages have.

use strict;
use warnings;

use FindBin;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $CONF = "$FindBin::Bin/../conf/systemd";
my $UNITS = '/lib/systemd/system';
my %unit = ('nginx.conf' => 'nginx.service',
            'redis-server@acr.conf' => 'redis-server@.service');

plan(skip_all => 'there is no systemd-analyze')
    if system('command -v systemd-analyze > /dev/null') != 0;

for (values(%unit)) {
    plan(skip_all => "there is no $UNITS/$_") if !-e "$UNITS/$_";
}

is_deeply([map { s{.*/}{}r } glob("$CONF/*")], [sort keys %unit],
          'each drop-in is one of a unit');
is(verify(), '', 'systemd has nothing to say of them');

my $wrong = verify(sub { s/^(TimeoutStopSec=).*/${1}never/mr });
like($wrong, qr/\Q$_\E.*never/, "it would of $_")
    for 'nginx.service.d', 'redis-server@acr.service.d';

# "stop" has to give nginx the time that each ExecStop takes.  The one from
# before an upgrade is the parent of the other, which takes the name of its pid
# file when that has ended, so it has to be waited for first.
my $nginx = slurp("$CONF/nginx.conf") =~ s/\\\n\s*//gr;
my ($timeout) = $nginx =~ /^TimeoutStopSec=(\d+)$/m;
my @stops = $nginx =~ m{^ExecStop=-.* --retry (\S+) --pidfile (\S+)$}mg;
is_deeply([@stops[1, 3]], ['/run/nginx.pid.oldbin', '/run/nginx.pid'],
          'what ends the requests of before an upgrade is waited for');
cmp_ok($timeout, '>', $_, 'nginx has the time to end')
    for map { m{^QUIT/(\d+)/TERM/(\d+)$} ? $1 + $2 : 1e9 } @stops[0, 2];

done_testing();


# verify(CHANGE): what systemd-analyze says of the units with the drop-ins,
# which CHANGE makes others of; a bad status is said, too
sub verify {
    my ($change) = @_;

    my $dir = tempdir('acr-systemd-XXXXXX', TMPDIR => 1, CLEANUP => 1);

    for my $name (keys %unit) {
        my $service = $name =~ /\@/ ? $name =~ s/\.conf$/.service/r
                                    : $unit{$name};
        local $_ = slurp("$CONF/$name");
        $_ = $change->() if $change;
        make_path("$dir/$service.d");
        open(my $fh, '>', "$dir/$service.d/acr.conf") or die "$dir: $!\n";
        print $fh $_;
        close($fh) or die "$dir: $!\n";
    }

    local $ENV{SYSTEMD_UNIT_PATH} = "$dir:$UNITS";
    my $said = `systemd-analyze verify --man=no nginx.service \\
                redis-server\@acr.service 2>&1`;

    return $said . ($? ? "status $?" : '');
}


sub slurp {
    my ($path) = @_;

    open(my $fh, '<', $path) or die "$path: $!\n";
    local $/;
    return scalar(<$fh>);
}
