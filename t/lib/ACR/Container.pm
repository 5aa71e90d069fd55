package ACR::Container;

# What stands in the Dockerfile and in conf/container, as data.

use strict;
use warnings;

use ACR::Node;
use Exporter qw(import);
use JSON::PP qw(decode_json);

our @EXPORT = qw(dockerfile instruction installs yaml blocks find value
                 examples);

my $TREE = $ACR::Node::TREE;


# dockerfile(): its stages, each a list of [INSTRUCTION, ARGUMENTS]
sub dockerfile {
    my $text = ACR::Node::slurp("$TREE/Dockerfile");
    my @stages;

    $text =~ s/^\s*#.*\n//mg;
    $text =~ s/\\\n\s*/ /g;

    for my $line (split(/\n/, $text)) {
        my ($name, $arguments) = $line =~ /^(\w+)\s+(.*)/ or next;
        push(@stages, []) if $name eq 'FROM';
        push(@{ $stages[-1] }, [$name, $arguments]) if @stages;
    }

    return @stages;
}


# instruction(STAGE, NAME): the arguments of each of this name
sub instruction {
    my ($stage, $name) = @_;

    my @arguments = map { $_->[1] } grep { $_->[0] eq $name } @$stage;

    return wantarray ? @arguments : $arguments[-1];
}


# installs(STAGE): the packages that it installs
sub installs {
    my ($stage) = @_;

    return sort grep { !/^-/ } map { split(' ') }
           map { /apt-get install ([^&]*)/g } instruction($stage, 'RUN');
}


# yaml(FILE): the documents of a file of conf/container
sub yaml {
    my ($name) = @_;

    my $script = 'import json, sys, yaml; '
        . 'print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))';

    open(my $fh, '-|', 'python3', '-c', $script,
         "$TREE/conf/container/$name") or die "python3: $!\n";
    my $json = do { local $/; <$fh> };
    close($fh) or die "$name cannot be read\n";

    return @{ decode_json($json) };
}


# blocks(TEXT): of a configuration of nginx, a list of
# [[WORD, ...], [[WORD, ...], ...]]: a directive, and for a block what is in it
sub blocks {
    my ($text) = @_;

    my @tokens = map { s/^'(.*)'$/$1/sr }
                 $text =~ /\G(?:\s+|#[^\n]*)*('[^']*'|[{};]|[^\s{};']+)/g;

    return block(\@tokens);
}


sub block {
    my ($tokens) = @_;
    my (@directives, @words);

    while (@$tokens) {
        my $token = shift(@$tokens);

        return @directives if $token eq '}';

        if ($token eq ';' || $token eq '{') {
            push(@directives, [[@words], $token eq '{' ? [block($tokens)]
                                                       : undef]);
            @words = ();
        } else {
            push(@words, $token);
        }
    }

    return @directives;
}


# find(NAME, DIRECTIVES): those of this name, at any depth
sub find {
    my ($name, @directives) = @_;

    return map {
        my ($words, $inside) = @$_;
        ($words->[0] eq $name ? $_ : (),
         $inside ? find($name, @$inside) : ())
    } @directives;
}


# value(NAME, DIRECTIVES): the first argument of the first of this name
sub value {
    my ($first) = find(@_);

    return $first ? $first->[0][1] : undef;
}


# examples(): the files in docs/container.md that begin with their name, and
# their content
sub examples {
    my $text = ACR::Node::slurp("$TREE/docs/container.md");

    return map { s/^    //mgr }
           $text =~ /^    # (\w+\.conf)\n((?:    .*\n|\n(?=    ))+)/mg;
}

1;
