package ACR::Index;

# The index as a whole: what Redis has, in a form in which two indexes of the
# same content are equal; and waiting for the registry to be complete.

use strict;
use warnings;

use ACR;
use ACR::Fault;
use Exporter qw(import);

our @EXPORT = qw(index_of_redis complete state admin);


# state(NODE): the state that Redis has, or ''
sub state {
    my ($acr) = @_;

    my $state = eval { $acr->{redis}->command('GET', key('state')) };

    return defined $state ? $state : '';
}


# complete(NODE, SECONDS): whether the index is complete by then
sub complete {
    my ($acr, $seconds) = @_;

    return wait_for(sub {
        my $state = state($acr);
        $state ne '' && $state !~ /:behind$/;
    }, $seconds || 30);
}


# admin(NODE, METHOD, WHAT): the answer of the operator's API, which the node
# has at /acr/admin/ (servers of ACR::Node: admin_location())
sub admin {
    my ($acr, $method, $what) = @_;

    return fresh($acr, $method, "/acr/admin/$what");
}


# all keys of the registry that tell what it has, without times and sequences
sub index_of_redis {
    my ($acr) = @_;

    my $ask = sub { return $acr->{redis}->command(@_) };
    my %index;

    for my $key (@{ $ask->('KEYS', key('*')) }) {
        my $name = substr($key, length(key('')));

        next if $name =~ /^(?:state|seq|events|pending|current|sessions
                             |rebuilding|collecting|work:|upload:)/x;

        my $type = $ask->('TYPE', $key);

        if ($type eq 'set') {
            $index{$name} = join(' ', sort @{ $ask->('SMEMBERS', $key) });
        } elsif ($type eq 'zset') {
            # Scores are times, or nothing.  Files that nobody refers to are
            # found by the collector, not by a rebuild.
            my @list = sort @{ $ask->('ZRANGE', $key, 0, -1) };
            @list = grep { / / } @list if $name eq 'candidates';
            $index{$name} = join(',', @list) if @list;
        } elsif ($type eq 'hash') {
            my %hash = @{ $ask->('HGETALL', $key) };
            s/(?: \d+)+$// for $name =~ /^tag:/ ? values(%hash) : ();
            s/.*/time/ for $name =~ /^repository:/ ? values(%hash) : ();
            $index{$name} = join(' ', map { "$_=$hash{$_}" } sort keys %hash);
        } else {
            $index{$name} = "$type?";
        }
    }

    return \%index;
}

1;
