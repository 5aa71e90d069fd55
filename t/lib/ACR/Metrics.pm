package ACR::Metrics;

# What a location with acr_metrics says.
#
#   my $metrics = metrics($acr);               # GET /metrics
#   $metrics->{'acr_sent_bytes_total{registry="default"}'}
#   value($acr, 'acr_sent_bytes_total')        # of the registry "default"
#   value($acr, 'acr_lookups_total', source => 'redis')

use strict;
use warnings;

use ACR;
use Exporter qw(import);

our @EXPORT = qw(metrics value series metrics_wrong);


# metrics(NODE, TARGET): the values by their series
sub metrics {
    my ($acr, $target) = @_;

    my $answer = $acr->get($target || '/metrics');

    die 'no metrics: ' . $answer->text() . "\n" if $answer->status() != 200;

    return { map { /^([^#].*) (\S+)$/ ? ($1, $2) : () }
             split(/\n/, $answer->body()) };
}


# series(METRIC, LABEL => VALUE, ...): its name, of the registry "default"
sub series {
    my ($metric, @labels) = @_;

    my $name = "$metric\{registry=\"default\"";

    while (my ($label, $value) = splice(@labels, 0, 2)) {
        $name .= ",$label=\"$value\"";
    }

    return "$name}";
}


# value(NODE, METRIC, LABEL => VALUE, ...): 0 if there is no such series
sub value {
    my ($acr, @names) = @_;

    return metrics($acr)->{series(@names)} || 0;
}


# metrics_wrong(TEXT): complaints about the form of what was answered
sub metrics_wrong {
    my ($text) = @_;

    my (@complaints, %type, %seen, $metric);

    push(@complaints, 'no newline at the end') if $text !~ /\n\z/;

    for (split(/\n/, $text)) {
        if (/^# HELP (acr_\w+) \S.*\.$/) {
            $metric = $1;
            push(@complaints, "$metric twice") if $type{$metric};
            next;
        }
        if (/^# TYPE (acr_\w+) (counter|gauge|histogram)$/) {
            push(@complaints, "no HELP of $1") if $1 ne $metric;
            $type{$metric} = $2;
            next;
        }
        if (!/^(\w+)\{registry="[\w.-]+"(?:,\w+="[^"]+")*\} \d+(?:\.\d{6})?$/) {
            push(@complaints, "what is this: $_");
            next;
        }

        my $name = $1;
        my ($series) = split(/ /);

        push(@complaints, "$series twice") if $seen{$series}++;
        $name =~ s/_(?:bucket|sum|count)$// if $type{$metric} eq 'histogram';
        push(@complaints, "$name is not below its TYPE") if $name ne $metric;
    }

    return (@complaints, histograms_wrong($text));
}


# buckets are cumulative, and the last one is all
sub histograms_wrong {
    my ($text) = @_;

    my (%buckets, %count, %sum, @complaints);

    for (split(/\n/, $text)) {
        if (/^(\w+)_bucket\{(.*),le="([^"]+)"\} (\d+)$/) {
            push(@{ $buckets{"$1 $2"} }, [$3, $4]);
        } elsif (/^(\w+)_count\{(.*)\} (\d+)$/) {
            $count{"$1 $2"} = $3;
        } elsif (/^(\w+)_sum\{(.*)\} ([\d.]+)$/) {
            $sum{"$1 $2"} = $3;
        }
    }

    push(@complaints, 'no histograms') if !%buckets;

    for my $name (sort keys %buckets) {
        my ($le, $n, $least) = (0, 0, 0);

        for (@{ $buckets{$name} }) {
            my ($bound, $value) = @$_;
            $bound = 9e9 if $bound eq '+Inf';
            push(@complaints, "$name: $_->[0] after $le") if $bound <= $le;
            push(@complaints, "$name: $value after $n") if $value < $n;
            $least += ($value - $n) * $le;
            ($le, $n) = ($bound, $value);
        }

        push(@complaints, "$name has no +Inf") if $le != 9e9;
        push(@complaints, "$name has another count")
            if !defined $count{$name} || $count{$name} != $n;
        push(@complaints, "$name has an impossible sum")
            if !defined $sum{$name} || $sum{$name} + 1e-5 * $n < $least;
    }

    return @complaints;
}

1;
