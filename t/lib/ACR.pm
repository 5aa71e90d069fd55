package ACR;

# The registry under test.  A test begins and ends with
#
#   my $acr = start(workers => 2);
#   ...
#   finish();
#
# start() runs a Redis and an nginx with the module in a temporary directory
# and waits until the registry answers.  What it returns is an ACR::Node, which
# is also a client of it (ACR::Client).  finish() stops everything and fails if
# an error log has what must not be there.  Whatever happens, nothing is left
# running, and the directory is removed (kept with ACR_KEEP=1).
#
# ACR_MODULE is the module, else build/ngx_http_acr_module.so; ACR_NGINX the
# nginx (it may be a script that runs it under valgrind), else the installed.

use strict;
use warnings;

use ACR::Content;
use ACR::HTTP;
use ACR::Node;
use ACR::Process;
use ACR::Redis;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = (qw(start node redis prepare finish answers refused wait_for
                  parallel curl curl_from work_dir slurp spew),
               @ACR::Content::EXPORT, @Test::More::EXPORT);

my ($dir, @nodes, $count);
my $test = $$;

*slurp = \&ACR::Node::slurp;
*spew = \&ACR::Node::spew;


# a test that hangs ends all the same
$SIG{ALRM} = sub { print STDERR "the test hangs\n"; exit(1) };
$SIG{$_} = sub { exit(1) } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';
alarm($ENV{ACR_TIMEOUT} || 300);


END {
    if ($$ == $test) {
        my $status = $?;
        local ($!, $@);
        alarm(0);
        for my $node (@nodes) {
            eval { $node->kill_all() }
                if $node->{process} && $node->{process}->alive();
        }
        ACR::Process->kill_all();
        if ($dir && $ENV{ACR_KEEP}) {
            print STDERR "# $dir is kept\n";
        } elsif ($dir) {
            system('rm', '-rf', $dir);
        }
        $? = $status;
    }
}


sub work_dir {
    if (!$dir) {
        $dir = abs_path(tempdir('acr-XXXXXX', TMPDIR => 1));

        # as root, the workers have to get through
        chmod(0755, $dir) or die "chmod: $!\n";
    }

    return $dir;
}


# redis(ARGUMENT...): a Redis of its own
sub redis {
    my $home = work_dir() . '/redis' . ++$count;

    mkdir($home) or die "$home: $!\n";
    chmod(0755, $home);

    return ACR::Redis->start($home, @_);
}


# start(OPTIONS): a Redis and an nginx.  Options, with their defaults:
#   workers => 1, fsync => 'on', node => 'one', http2 => 0, tls => 0,
#   main, http, server, location, servers: more directives for these places,
#   lines => { root => '', ... }: other lines than the usual (ACR::Node),
#   redis => an ACR::Redis, redis_options: parameters of acr_redis,
#   root => a directory, env => { NAME => value }: its environment
sub start {
    my (%option) = @_;
    my $node = prepare(@_);

    $node->run();

    my $redis = $node->{redis};
    ready($node) if ref($redis) eq 'ACR::Redis' && $redis->{process}
                    && $redis->{process}->alive() && !$option{lines}
                    && ($option{redis_options} || '') !~ /\b(?:db|user)=/;

    return $node;
}


# A push that begins before a worker has joined the index leaves staging files
# first, and a volume that is not empty makes a new Redis begin with a rebuild.
# With the zone that a node has by itself its workers then subscribe; before
# that they have fewer descriptors than later.
sub ready {
    my ($node) = @_;

    my $redis = $node->{redis};
    my $workers = $node->has_zone() ? $node->{option}{workers} || 1 : 0;

    wait_for(sub { @{ $redis->command('KEYS', 'acr:{*}:state') } });
    wait_for(sub {
        my ($feed) = @{ $redis->command('PUBSUB', 'CHANNELS', 'acr:*:feed') };
        return !$workers
            || $feed && $redis->command('PUBSUB', 'NUMSUB', $feed)->[1]
                        >= $workers;
    });
}


# prepare(OPTIONS): as start, but nginx does not run
sub prepare {
    my (%option) = @_;

    $option{redis} ||= redis() if !exists $option{redis};

    my $node = ACR::Node->prepare(work_dir() . '/nginx' . ++$count, %option);
    push(@nodes, $node);

    return $node;
}


# node(FIRST, OPTIONS): a second nginx on the same directory and Redis
sub node {
    my ($first, %option) = @_;

    return start(root => $first->{root}, redis => $first->{redis},
                 node => 'two', %option);
}


# finish(): stops everything; the last test
sub finish {
    my @complaints = map { $_->stop() } @nodes;

    ok(!@complaints, 'nothing bad in the logs, and it stops')
        or diag(join("\n", @complaints));

    if (!Test::More->builder()->is_passing()) {
        diag($_->tail()) for grep { $_->{process} } @nodes;
    }

    done_testing();
}


# answers(ANSWER, STATUS, NAME): a test of the status that shows the answer
sub answers {
    my ($answer, $status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok($answer && $answer->status() == $status, $name)
        || diag("not $status: " . ($answer ? $answer->text() : 'closed'));
}


# The codes of the specification ("Error Codes", and two of "Legacy Docker
# support error codes"), and those that only ACR has.  4xx has no others.
my %codes = map { $_ => 1 } qw(
    BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID
    MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID
    NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED
    TOOMANYREQUESTS TAG_INVALID MANIFEST_UNVERIFIED
    TAG_UNKNOWN PAGINATION_NUMBER_INVALID REGISTRY_DISALLOWED_OPERATION);


# refused(ANSWER, STATUS, CODE, NAME, VALUE): an error in the OCI form.  CODE
# may be several (A|B), or undef for any of the specification; VALUE is
# somewhere in its detail.
sub refused {
    my ($answer, $status, $code, $name, $value) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @complaints = wrong($answer, $status, $code, $value);

    return ok(!@complaints, $name)
        || diag(join(', ', @complaints) . ': ' . $answer->text());
}


sub wrong {
    my ($answer, $status, $code, $value) = @_;
    my @complaints;

    my $type = $answer->header('Content-Type');
    my $error = $answer->error();

    push(@complaints, "not $status") if $answer->status() != $status;
    push(@complaints, 'no JSON type')
        if !defined $type || $type !~ m{^application/json\b};

    return (@complaints, 'no OCI error') if !$error;

    push(@complaints, "not $code")
        if defined $code && $error->{code} !~ /^(?:$code)$/;
    push(@complaints, 'not a code of the specification')
        if $status < 500 && !$codes{$error->{code}};
    push(@complaints, 'unknown members')
        if grep { !/^(?:code|message|detail)$/ } keys %$error;
    push(@complaints, "no \"$value\" in detail")
        if defined $value && index(detail($error), $value) < 0;

    return @complaints;
}


# all text in detail, whatever its shape
sub detail {
    my ($error) = @_;

    my $detail = $error->{detail};
    my $text = sub {
        my ($self, $value) = @_;
        return '' if !defined $value;
        return $value if !ref($value);
        return join(' ', map { $self->($self, $_) }
                    ref($value) eq 'HASH' ? %$value : @$value);
    };

    return $text->($text, $detail);
}


# wait_for(FUNCTION, SECONDS): what it returns, once that is true
sub wait_for {
    my ($condition, $seconds) = @_;

    my $deadline = time() + ($seconds || 15);

    while (1) {
        my $value = $condition->();
        return $value if $value || time() > $deadline;
        select(undef, undef, undef, 0.02);
    }
}


# parallel(FUNCTION, ...): runs each in a process of its own, all at once; what
# each returns (anything that JSON has), or { died => reason }
sub parallel {
    my (@functions) = @_;
    my @readers;

    for my $function (@functions) {
        pipe(my $reader, my $writer) or die "pipe: $!\n";
        my $pid = fork();
        die "fork: $!\n" if !defined $pid;

        if ($pid == 0) {
            my $value = eval { [$function->()] };
            $value = [{ died => "$@" }] if !$value;
            print $writer encode_json($value);
            close($writer);
            POSIX::_exit(0);
        }

        push(@readers, [$reader, $pid]);
    }

    return map {
        my ($reader, $pid) = @$_;
        local $/;
        my $text = <$reader>;
        waitpid($pid, 0);
        length($text) ? decode_json($text)->[0] : { died => 'no answer' };
    } @readers;
}


# curl(ARGUMENT...): an ACR::Answer.  With -T - it sends what is in the file
# that curl_from() has as its first argument, without a length.
sub curl {
    return curl_from('/dev/null', @_);
}


sub curl_from {
    my ($input, @arguments) = @_;

    my ($head, $body) = map { work_dir() . "/curl.$$.$_" } qw(head body);
    unlink($head, $body);

    my $process = ACR::Process->spawn(
        work_dir() . '/curl.log', 'sh', '-c', 'exec curl "$@" < "$0"', $input,
        '-sS', '-k', '--max-time', '60', '-H', 'Expect:', '-D', $head,
        '-o', $body, @arguments);
    $process->ended(70) or $process->kill_now();

    my @heads = split(/(?<=\r\n\r\n)/, eval { slurp($head) } || '');
    die "curl: $process->{status}\n" . slurp(work_dir() . '/curl.log')
        if !@heads;

    my $answer = ACR::Answer->parse($heads[-1]);
    $answer->{body} = eval { slurp($body) };
    $answer->{body} = '' if !defined $answer->{body};
    $answer->{exit} = $process->{status} >> 8;

    return $answer;
}

1;
