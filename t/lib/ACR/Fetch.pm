package ACR::Fetch;

# The module's HTTP client, used by an owner that does what a test asks it to: a
# second module, t/lib/fetch.c, which is built with the headers of NGINX_SRC, as
# ours was.
#
#   plan(skip_all => ACR::Fetch::missing()) if ACR::Fetch::missing();
#   my $acr = start(ACR::Fetch::options());
#   my $result = ACR::Fetch::result(
#       ACR::Fetch::begin($acr, 'http://127.0.0.1:80', '/a', idle => 1000));
#
# A result has status, error, received, answer, length (Content-Length), sum
# (MD5 of what was received), heads (calls of head), told (the status then) and
# pauses.

use strict;
use warnings;

use ACR;
use ACR::Node;
use File::Basename qw(dirname);

my $nginx = $ENV{NGINX_SRC} || '/usr/share/nginx/src';


# missing(): why it cannot be used, or undef
sub missing {
    return 'no headers of nginx' if !-e "$nginx/src/core/nginx.h";
    return 'no gcc' if !grep { -x "$_/gcc" } split(/:/, $ENV{PATH});

    return;
}


# options(): of a node; our module is loaded first, since the other has its
# functions from there
sub options {
    my $module = ACR::Node::module();
    my $build = dirname($module);
    my $file = work_dir() . '/fetch.so';
    my @directories = grep { -d } map { "$nginx/src/$_" }
        qw(core event event/modules event/quic os/unix http http/modules
           http/v2 http/v3);

    system('gcc', '-O2', '-g', '-Wall', '-Wextra', '-Werror',
           '-Wno-unused-parameter', '-fPIC', '-shared', '-o', $file,
           (map { ('-isystem', $_) } @directories, $build, "$build/acr"),
           map({ "-I$ACR::Node::TREE/$_" } qw(src src/oci src/auth)),
           "$ACR::Node::TREE/t/lib/fetch.c") == 0
        or die "gcc has failed\n";

    return (lines => { load => "load_module $module; load_module $file;" },
            server => 'location ~ ^/(fetch|state|resume|cancel)$ '
                . '{ test_fetch; }');
}


# begin(NODE, BASE, TARGET, ARGUMENTS): a fetch that is under way; BASE is the
# beginning of a URL, and written by the operator
sub begin {
    my ($acr, $base, $target, %argument) = @_;

    my $http = $acr->connect();

    %argument = (url => "$base$target", written => $base, stream => 1,
                 max => 65536, %argument);
    $http->begin('GET', '/fetch?' . join('&', map {
        "$_=" . $argument{$_} =~ s/([^\w.-])/sprintf('%%%02X', ord($1))/ger
    } sort keys %argument));

    return $http;
}


# result(HTTP): what became of it
sub result {
    my ($http) = @_;

    my $answer = $http->answer('GET') or die "no answer\n";
    my $text = $answer->body();
    my %result;

    $http->close();

    ($result{answer}) = $text =~ /^answer (.*)\z/ms;
    $result{$1} = $2 while $text =~ /\G(?!answer )(\w+) (.*)\n/g;

    return \%result;
}

1;
