#!/usr/bin/perl

# The style of the tree: what a reader can rely on in every file.

use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Find qw(find);
use Test::More;

chdir(dirname(__FILE__) . '/..') or die "chdir: $!";

my $MAX_LINES = 1000;

# Every text file that is not made by a build.
my (%text, @files);

find({ no_chdir => 1, wanted => sub {
    if (-d && m{/(?:\.git|build[^/]*|corpus|data)$}) {
        $File::Find::prune = 1;
        return;
    }
    return if !-f || -l;

    open(my $fh, '<:raw', $_) or die "$_: $!";
    local $/;
    my $content = <$fh>;
    return if $content =~ /\0/;

    my $name = s{^\./}{}r;
    $text{$name} = $content;
    push(@files, $name);
} }, '.');

@files = sort @files;

# each test: a name, the files, a function that returns its complaints
my @c = grep { /\.[ch]$/ } @files;
my @headers = grep { m{^src/.*\.h$} } @files;
my @markdown = grep { /\.md$/ } @files;

check('lines end as they should', \@files, \&whitespace);
check('no line has more than 80 columns', [grep { !/\.(?:svg|json)$/ } @files],
      \&columns);
check('no file of src has more lines than one can read', \@c, \&length_of);
check('headers have a contract and a guard', \@headers, \&header);
check('headers of nginx are the first', \@c, \&first_include);
check('comments in C are /* */', \@c, \&comments);
check('functions in C stand as in nginx', \@c, \&functions);
check('links in documents lead somewhere', \@markdown, \&links);
check('nothing is left for later, no host of packages is named',
      [grep { $_ ne 't/style.t' } @files], \&words);

done_testing();


sub check {
    my ($name, $files, $complain) = @_;

    my @complaints = map {
        my $file = $_;
        map { "$file:$_" } $complain->($file, $text{$file})
    } @$files;

    ok(!@complaints, $name) or diag(join("\n", @complaints));
}


# lines(TEXT, FUNCTION): what the function says of a line, with its number
sub lines {
    my ($content, $complain) = @_;
    my ($number, @complaints) = (0);

    for (split(/\n/, $content)) {
        $number++;
        my $complaint = $complain->();
        push(@complaints, "$number: $complaint") if $complaint;
    }

    return @complaints;
}


sub whitespace {
    my ($file, $content) = @_;

    my $tabs = basename($file) eq 'Makefile' || $file eq 'debian/rules'
               || $file =~ /\.mk$/;

    my @complaints = lines($content, sub {
        return 'a tab' if /\t/ && !$tabs;
        return 'space at the end' if /[ \t\r]$/;
        return;
    });

    if ($content ne '' && $content !~ /\n\z/) {
        push(@complaints, ' no newline at the end');
    }
    if ($content =~ /\n\n\z/) {
        push(@complaints, ' an empty line at the end');
    }

    return @complaints;
}


# Tables, links and examples in documents cannot be broken.
sub columns {
    my ($file, $content) = @_;

    my $document = $file =~ /\.md$/;
    my $fenced = 0;

    utf8::decode($content);

    return lines($content, sub {
        $fenced = !$fenced if $document && /^\s*```/;
        return if $document && ($fenced || /^\s*\||\]\(|:\/\//);
        my $width = 0;
        $width += $_ eq "\t" ? 8 - $width % 8 : 1 for split(//);
        return $width > 80 ? "$width columns" : undef;
    });
}


sub length_of {
    my ($file, $content) = @_;

    my $n = ($content =~ tr/\n//);

    return $file =~ m{^src/} && $n > $MAX_LINES ? " $n lines" : ();
}


# nginx's headers come first: they choose what the system's headers declare
sub first_include {
    my ($file, $content) = @_;

    return if basename($file) !~ /^ngx_/ || $file !~ m{^(?:src/|ngx_)};

    my ($first) = $content =~ /^#include (.*)$/m;

    return !defined $first || $first =~ m{^<ngx_config\.h>|^"(?:[^"]*/)?ngx_}
        ? () : " its first header is $first";
}


sub header {
    my ($file, $content) = @_;
    my @complaints;

    my $guard = uc(basename($file)) =~ s/\./_/r;

    if ($content !~ m{\A\n/\*\n \* .*?\*/\n}s) {
        push(@complaints, ' does not begin with its contract');
    }
    if ($content !~ m{^\#ifndef $guard\n\#define $guard\n}m
        || $content !~ m{^\#endif /\* $guard \*/\n*\z}m)
    {
        push(@complaints, " has no guard $guard");
    }

    return @complaints;
}


# the code with comments and the insides of literals blanked
sub code {
    my ($content) = @_;

    $content =~ s{
        ( /\* .*? \*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    }{ blank($1) }gsex;

    return $content;
}


sub blank {
    my ($piece) = @_;

    return $piece if $piece =~ m{^//};
    $piece =~ s/[^\n]/~/g;
    return $piece;
}


sub comments {
    my ($file, $content) = @_;

    return lines(code($content), sub { m{//} ? 'a // comment' : undef });
}


# A brace in the first column begins a function, but for initializers after "=".
# Its name is in the first column too, under its type, and two empty lines are
# above, or one and a line of the preprocessor or a comment for several.
sub functions {
    my ($file, $content) = @_;
    my @complaints;

    my @lines = split(/\n/, code($content));

    for my $brace (grep { $lines[$_] eq '{' } 0 .. $#lines) {
        next if $brace == 0 || $lines[$brace - 1] =~ /=$/;

        my $name = $brace - 1;
        $name-- while $name > 0 && $lines[$name] =~ /^\s/;

        if ($lines[$name] !~ /^\w+\(/ || $lines[$name - 1] !~ /^\w.*[\w*]$/) {
            push(@complaints,
                 $brace + 1 . ': the name is not below its type');
            next;
        }

        my $first = $name;
        $first-- while $first > 0 && $lines[$first - 1] ne '';

        next if $first < 2;
        next if $lines[$first - 2] =~ /^#|~$/;

        if ($lines[$first - 2] ne ''
            || ($first > 2 && $lines[$first - 3] eq ''))
        {
            push(@complaints, $first + 1 . ': not two empty lines above');
        }
    }

    return @complaints;
}


sub links {
    my ($file, $content) = @_;
    my @complaints;

    for my $link (targets($content)) {
        my ($target, $anchor) = $link =~ /^([^#]*)#?(.*)$/;
        my $path = $target eq '' ? $file
                                 : leads(dirname($file) . "/$target");

        if (!-e $path) {
            push(@complaints, " no $target");

        } elsif ($anchor ne '' && !anchors($text{$path})->{$anchor}) {
            push(@complaints, " no #$anchor in $path");
        }
    }

    return @complaints;
}


# what a document links to, but for other hosts
sub targets {
    my ($content) = @_;

    $content =~ s/^```.*?^```//gms;
    $content =~ s/`[^`\n]*`//g;

    return grep { !/^[a-z]+:/ } $content =~ /\]\(\s*([^)\s]+)/g;
}


# a path without "." and ".."
sub leads {
    my ($path) = @_;

    1 while $path =~ s{(?:^|/)\K[^/.][^/]*/\.\./}{};
    $path =~ s{^(?:\./)+}{};

    return $path;
}


# the places of a document that a link may name: its headings, as GitHub calls
# them, and what has an id
sub anchors {
    my ($content) = @_;

    my %anchors = map { $_ => 1 } $content =~ /<a id="([^"]+)">/g;

    for ($content =~ /^#+ +(.+)$/mg) {
        my $heading = lc(s/\[([^]]*)\]\([^)]*\)/$1/gr);
        $heading =~ s/[^\w\- ]//g;
        $anchors{$heading =~ tr/ /-/r} = 1;
    }

    return \%anchors;
}


sub words {
    my ($file, $content) = @_;

    return lines($content, sub {
        return "\"$1\"" if /\b(TODO|FIXME|HACK)\b/;
        return "\"$1\"" if /\b((?:deb|ftp|security|snapshot)\.debian\.\w+)/;
        return;
    });
}
