#!/usr/bin/perl

# report.pl RESULTS DIRECTORY: what the subjects have noted (one JSON object a
# line) as a table, and as bench.json and bench.svg in the directory.

use strict;
use warnings;

use ACR::Node;
use JSON::PP ();
use POSIX ();

my ($results, $dir) = @ARGV;
die "usage: report.pl RESULTS DIRECTORY\n" if @ARGV != 2;

my $json = JSON::PP->new()->canonical();
open(my $fh, '<', $results) or exit(0);
my @rows = map { $json->decode($_) } <$fh>;
close($fh);

my @goals = grep { $_->{verdict} } @rows;

ACR::Node::spew("$dir/bench.json", $json->pretty()->encode({
    date => POSIX::strftime('%Y-%m-%d', gmtime()), machine => machine(),
    rows => \@rows }));
ACR::Node::spew("$dir/bench.svg", svg(@goals));

if (@goals) {
    printf("\n%-22s %-20s %-8s %-8s %-18s\n", 'goal', '', '', '',
           'measured');
    printf("%-22s %-20s %-8s %-8s %-18s %s\n", $_->{case},
           "$_->{name} / $_->{base}", $_->{what}, limit($_), spread($_),
           $_->{verdict}) for @goals;
}
print("\n$dir/bench.json, $dir/bench.svg\n");


sub limit {
    my ($row) = @_;

    return defined $row->{least} ? sprintf('>= %.2f', $row->{least})
                                 : sprintf('<= %.2f', $row->{most});
}


sub spread {
    my ($row) = @_;

    return sprintf('%.2f (%.2f-%.2f)', @$row{qw(median low high)});
}


sub machine {
    my ($cpu) = ACR::Node::slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    my $cores = () = ACR::Node::slurp('/proc/cpuinfo') =~ /^processor/mg;

    return sprintf('%d cores, %s, Linux %s', $cores, $cpu || 'unknown',
                   (POSIX::uname())[2]);
}


# How far each is from its goal, which is the line in the middle; better is to
# the right, in steps of two.
sub svg {
    my (@rows) = @_;

    my ($left, $width, $height) = (330, 420, 22);
    my $bottom = 30 + $height * @rows;
    my %color = (met => '#2a7', missed => '#c33', open => '#b80');

    my $x = sub {
        my ($row, $value) = @_;
        my $better = defined $row->{least} ? $value / $row->{least}
                                           : $row->{most} / $value;
        my $log = log($better) / log(2);
        $log = $log < -2.5 ? -2.5 : $log > 2.5 ? 2.5 : $log;
        return sprintf('%.1f', $left + $width / 2 + $log * $width / 6);
    };

    my $svg = '<svg xmlns="http://www.w3.org/2000/svg" width="' . ($left
        + $width + 150) . "\" height=\"" . ($bottom + 30)
        . '" font-family="sans-serif" font-size="12">' . "\n";

    for my $step (-2 .. 2) {
        my $at = $left + $width / 2 + $step * $width / 6;
        $svg .= sprintf('<path d="M%.1f 20V%d" stroke="%s"/>'
                        . '<text x="%.1f" y="%d" text-anchor="middle">%s'
                        . "</text>\n", $at, $bottom, $step ? '#ddd' : '#555',
                        $at, $bottom + 18, $step ? 2 ** $step : 'goal');
    }

    my $y = 10;
    for my $row (@rows) {
        $y += $height;
        my ($low, $middle, $high) = map { $x->($row, $row->{$_}) }
                                    qw(low median high);
        my $c = $color{ $row->{verdict} };
        my $name = text("$row->{case}, $row->{what}, $row->{name}"
                        . " / $row->{base}");
        $svg .= "<text x=\"" . ($left - 8) . "\" y=\"" . ($y + 4)
            . "\" text-anchor=\"end\">$name</text>"
            . "<path d=\"M$low ${y}H$high\" stroke=\"$c\" stroke-width=\"2\"/>"
            . "<circle cx=\"$middle\" cy=\"$y\" r=\"4\" fill=\"$c\"/>"
            . '<text x="' . ($left + $width + 8) . '" y="' . ($y + 4) . '">'
            . text(sprintf('%.2f, goal %s', $row->{median}, limit($row)))
            . "</text>\n";
    }

    return "$svg</svg>\n";
}


sub text {
    my ($text) = @_;

    my %entity = ('&' => 'amp', '<' => 'lt', '>' => 'gt');

    return $text =~ s/([&<>])/&$entity{$1};/gr;
}
