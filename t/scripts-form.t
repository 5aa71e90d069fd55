#!/usr/bin/perl

# The Lua scripts of src/meta as sources: how they are embedded, their form.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use ACR::Scripts;
use File::Basename qw(basename);

my $META = meta_dir();
my $dir = work_dir();
my %text = %{texts()};

# --- the embedder

subtest embed => sub {
    my @names = sort keys %text;
    is(system("$META/embed.sh", "$dir/s.h", $META), 0, 'it runs');
    is_deeply([glob("$dir/s.h*")], ["$dir/s.h"], 'and leaves only its output');
    my $header = slurp("$dir/s.h");
    my @lines = split(/\n/, $header);
    ok(!(grep { length > 110 } @lines), 'no long lines');

    mkdir("$dir/lua");
    my $body = "return c() .. '\\\\ \"q\" ??= %d\tx'\n";
    my $needed = "local e = 1\nlocal function c(x)\n    return e\nend\n";
    my $common = "-- no\nlocal b = 1\n$needed" . "local function x()\nend\n";
    for (['common', $common], ['odd', "-- KEYS\n  -- no\n$body"])
    {
        open(my $f, '>', "$dir/lua/$_->[0].lua") or die;
        print $f $_->[1];
        close($f);
    }
    is(system("$META/embed.sh", "$dir/odd.h", "$dir/lua"), 0, 'odd text');

    my $cc = $ENV{CC} || 'cc';
    if (system("command -v $cc >/dev/null 2>&1") != 0) {
        note("no $cc: the header is not compiled");
        return;
    }
    my $build = sub {
        my ($header) = @_;
        open(my $f, '>', "$dir/x.c") or die;
        print $f <<"END";
#include "$header"
#define ACR_SCRIPTS_TEXT
#include "$header"
#include "$header"
#include <stdio.h>

int
main(void)
{
    int i;

    for (i = 0; i < ACR_SCRIPT_MAX; i++) {
        printf("%s %lu\\n", acr_scripts[i].name,
               (unsigned long) acr_scripts[i].len);
        fwrite(acr_scripts[i].text, 1, acr_scripts[i].len, stdout);
    }
    return 0;
}
END
        close($f);
        open($f, '>', "$dir/y.c") or die;
        print $f "#include \"$header\"\n",
                 "int y(void); int y(void) { return ACR_SCRIPT_MAX; }\n";
        close($f);
        is(system("$cc -Wall -Wextra -Werror -Wno-unused -o $dir/x "
                  . "$dir/x.c $dir/y.c"), 0, "$header compiles");
        open(my $out, '-|', "$dir/x") or die;
        binmode($out);
        my %got;
        while (my $line = <$out>) {
            my ($name, $len) = split(' ', $line);
            read($out, $got{$name}, $len) == $len or die;
        }
        close($out);
        return \%got;
    };
    is_deeply($build->('s.h'), \%text, 'the texts');
    $needed .= "local function x()\nend\n";
    is_deeply($build->('odd.h'), {odd => "$needed$body"}, 'odd text');
    is(`$META/embed.sh --text odd $dir/lua`, "$needed$body", 'by itself');
};

# --- the form of the sources

subtest form => sub {
    my $schema = slurp("$META/schema.md");
    for my $path (glob("$META/*.lua"), "$META/embed.sh") {
        my $source = slurp($path);
        my @long = grep { length > 80 } split(/\n/, $source);
        ok(!@long && $source !~ /\t/, basename($path) . ': 80 columns, no tab');
        next if $path !~ /\.lua\z/;
        like($source, qr/\A-- (KEYS\[1\]|Helpers)/, 'its contract comes first');
        # Every key that a script makes is in the schema.
        while ($source =~ /\bP \.\. '([a-z]+)/g) {
            ok(0, "$1 is not in schema.md") if $schema !~ /`<p>:\Q$1\E\b/;
        }
    }
};

done_testing();
