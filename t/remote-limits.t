#!/usr/bin/perl

# Registries elsewhere that want to be left alone for a while, or do not answer:
# neither is asked again before its time, and both are when it has come.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Provider;
use ACR::Remote;
use POSIX qw(strftime);

my $dir = work_dir();
my $up = ACR::Provider->start($dir);
my $service = ACR::Provider->start($dir);
my $url = $up->url();

my @names = qw(limited date long past none busy state tokens dead slow probe
               token large);
my $acr = start(workers => 2, server => $ADMIN,
                http => join('', map { "acr_remote $_.test $url "
                                       . "timeout=3s;\n" } @names));

limits();
numbers();
token_service();
breaker();
token_breaker();
not_down();
finish();


# logged(TEXT): a test that the error log has it
sub logged {
    my ($text) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok($acr->log_text() =~ /acr: \Q$text\E/, "logged: $text");
}


# --- Retry-After

sub limits {
    $up->answers('/v2/' => { status => 429, headers => ['Retry-After: 60'] });
    my $outcome = check($acr, 'limited.test');
    comes_of($outcome, 'limited', qr/^it answers 429$/, 'too many');
    my $left = $outcome->{retryAfter};
    ok($left > 50 && $left <= 60, 'with seconds') or diag($left);

    my $n = $up->requests();
    for (1 .. 4) {
        $outcome = check($acr, 'limited.test');
        comes_of($outcome, 'limited', qr/^it is not to be asked for another/,
                 'is believed by all workers');
        ok(!$outcome->{reachable}, 'nobody was reached');
    }
    is(scalar(@{[$up->requests()]}), $n, 'nothing was asked');
    ok(!remote($acr, 'limited.test')->{registry}{down}, 'it is not down');
    logged('remote "limited.test" answers 429, and is not asked for 60 s');

    $up->answers('/v2/' => { status => 503, headers => ['Retry-After: '
        . strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + 100))] });
    comes_of(check($acr, 'date.test'), 'limited', qr/^it answers 503$/,
             '503 with a date');
    $left = remote($acr, 'date.test')->{retryAfter};
    ok($left > 50 && $left <= 100, 'that is to come') or diag($left);

    $up->answers('/v2/' => { status => 429,
                             headers => ['Retry-After: ' . '9' x 20] });
    check($acr, 'long.test');
    $left = remote($acr, 'long.test')->{retryAfter};
    ok($left > 250 && $left <= 300, 'nobody is believed to be limited for ever')
        or diag($left);

    for my $value ('0', '-1', 'soon', '', 'Fri, 31 Dec 1999 23:59:59 GMT',
                   '1.5')
    {
        $up->answers('/v2/' => { status => 429,
                                 headers => ["Retry-After: $value"] });
        comes_of(check($acr, 'past.test'), 'limited', qr/^it answers 429$/,
                 "\"$value\"");
        is(remote($acr, 'past.test')->{retryAfter}, 0, 'is no time to wait');
    }

    $up->answers('/v2/' => { status => 429, headers => ['Retry-After: 1'] });
    check($acr, 'none.test');
    $up->answers('/v2/' => { body => '{}' });
    ok(wait_for(sub { check($acr, 'none.test')->{result} eq 'ok' }),
       'it is asked again when its time has come');
}


# --- RateLimit

sub numbers {
    my $limit = remote($acr, 'state.test')->{rateLimit};
    is_deeply($limit, { limit => undef, remaining => undef, window => undef },
              'nothing is known of its limits');

    my @headers = ('ratelimit-limit: 100;w=21600',
                   'ratelimit-remaining: 76;w=21600');
    $up->answers('/v2/' => { body => '{}', headers => \@headers });
    is_deeply(check($acr, 'state.test')->{rateLimit},
              { limit => 100, remaining => 76, window => 21600 },
              'until it tells them');
    is_deeply(remote($acr, 'state.test')->{rateLimit},
              { limit => 100, remaining => 76, window => 21600 },
              'which all workers know');

    $up->answers('/v2/' => { body => '{}',
                             headers => ['RateLimit-Remaining: 0'] });
    is(check($acr, 'state.test')->{rateLimit}{remaining}, 0, 'none is left');

    $up->answers('/v2/' => { body => '{}',
                             headers => ['RateLimit-Remaining: few'] });
    is(check($acr, 'state.test')->{rateLimit}{remaining}, 0,
       'what is no number says nothing');
}


# --- a token service that is limited

sub token_service {
    $up->answers('/v2/' => bearer($service->url() . '/token'));
    $service->answers('/token' => { status => 429,
                                    headers => ['Retry-After: 60'] });
    comes_of(check($acr, 'tokens.test'), 'limited',
             qr/^its token service answers 429$/, 'a limited token service');
    my $n = $service->requests();
    comes_of(check($acr, 'tokens.test'), 'limited',
             qr/^its token service is not to be asked yet$/, 'is believed');
    is(scalar(@{[$service->requests()]}), $n, 'and not asked');
    is(remote($acr, 'tokens.test')->{retryAfter}, 0,
       'the registry itself may be');
}


# --- down

sub breaker {
    for my $rule ({ status => 500 }, { status => 502 }, { status => 503 },
                  { close => 1 })
    {
        $acr->reload();
        $up->answers('/v2/' => $rule);
        my $name = join(' ', %$rule);
        comes_of(check($acr, 'dead.test'), 'failed', qr/\w/, $name);
        my $state = remote($acr, 'dead.test')->{registry};
        ok($state->{down}, 'it is assumed to be down');
        is($state->{failures}, 1, 'after one failure');
    }

    logged("remote \"dead.test\" is assumed to be down: it answers $_")
        for 500, 502, 503;

    # the operator's check insists; others do not ask
    my $n = () = $up->requests();
    comes_of(check($acr, 'dead.test', insist => 'false'), 'failed',
             qr/^it is assumed to be down$/, 'nobody asks it');
    is(scalar(@{[$up->requests()]}), $n, 'in vain');

    # each failure of a probe doubles the pause
    ok(wait_for(sub {
           check($acr, 'dead.test', insist => 'false');
           remote($acr, 'dead.test')->{registry}{failures} >= 2;
       }), 'a probe is let through after a while');
    is(scalar(@{[$up->requests()]}), $n + 1, 'one');

    $up->answers('/v2/' => { body => '{}' });
    ok(wait_for(sub {
           check($acr, 'dead.test', insist => 'false')->{result} eq 'ok';
       }), 'the next one finds that it is back');
    my $state = remote($acr, 'dead.test')->{registry};
    ok(!$state->{down}, 'it is up');
    is($state->{failures}, 0, 'nothing is held against it');
    logged('remote "dead.test" answers again');

    # a check closes it at once
    $up->answers('/v2/' => { status => 500 });
    check($acr, 'dead.test');
    $up->answers('/v2/' => { body => '{}' });
    comes_of(check($acr, 'dead.test'), 'ok', undef, 'an operator may insist');
    ok(!remote($acr, 'dead.test')->{registry}{down}, 'and it is up');

    # one that does not answer costs one time-out
    $up->answers('/v2/' => { stall => 1 });
    comes_of(check($acr, 'slow.test'), 'failed', qr/no whole answer in 3000 ms/,
             'one that does not answer');
    $n = () = $up->requests();
    my @outcomes = parallel(map { sub {
        check($acr, 'slow.test', insist => 'false')
    } } 1 .. 5);
    is(scalar(grep { $_->{error} =~ /assumed to be down/ } @outcomes), 5,
       'is not waited for by others');
    is(scalar(@{[$up->requests()]}), $n, 'nor asked');

    # while a probe is under way nobody else is let through
    wait_for(sub { !remote($acr, 'slow.test')->{registry}{nextTry} });
    my ($probe, @rest) = parallel(
        sub { check($acr, 'slow.test', insist => 'false') },
        (sub {
             wait_for(sub { $up->requests() > $n });
             check($acr, 'slow.test', insist => 'false');
         }) x 4);
    like($probe->{error}, qr/no whole answer/, 'a probe');
    is(scalar(grep { $_->{error} =~ /assumed to be down/ } @rest), 4,
       'is the only one');
    is(scalar(@{[$up->requests()]}), $n + 1, 'that is sent');

    # a probe that is given up is followed by another
    wait_for(sub { !remote($acr, 'slow.test')->{registry}{nextTry} });
    $n = () = $up->requests();
    my $http = $acr->connect();
    $http->send("POST /acr/admin/remotes/slow.test/check?insist=false "
                . "HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(sub { $up->requests() > $n });
    $acr->reload();
    $http->close();
    $up->answers('/v2/' => { body => '{}' });
    ok(wait_for(sub { check($acr, 'slow.test')->{result} eq 'ok' }),
       'a worker that ends meanwhile is no matter');
}


sub token_breaker {
    $up->answers('/v2/' => bearer($service->url() . '/token'));
    $service->answers('/token' => { status => 500 });
    comes_of(check($acr, 'token.test'), 'failed',
             qr/^its token service answers 500$/, 'a broken token service');
    my $state = remote($acr, 'token.test');
    ok($state->{tokenService}{down}, 'is assumed to be down');
    ok(!$state->{registry}{down}, 'by itself');
    my $n = $service->requests();
    comes_of(check($acr, 'token.test', insist => 'false'), 'failed',
             qr/^its token service is assumed to be down$/, 'and not asked');

    $service->answers('/token' => token('T'));
    $up->answers('/v2/' => bearer($service->url() . '/token',
                                  with => { 'Bearer T' => { body => '{}' } }));
    ok(wait_for(sub {
           check($acr, 'token.test', insist => 'false')->{result} eq 'ok';
       }), 'until a probe finds it');
    ok(!remote($acr, 'token.test')->{tokenService}{down}, 'back');
    logged('the token service of remote "token.test" is assumed to be down');
}


# --- what does not mean that it is down

sub not_down {
    for my $rule ({ blanks => 70000 }, { status => 404 }, { status => 400 },
                  { status => 302, location => 'http://localhost:1/' },
                  { status => 307, location => $service->url() . '/gone' })
    {
        $service->answers('/gone' => { status => 500 });
        $up->answers('/v2/' => $rule);
        check($acr, 'large.test');
        ok(!remote($acr, 'large.test')->{registry}{down},
           join(' ', %$rule) . ' does not mean that it is down');
    }
}
