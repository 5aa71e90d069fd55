#!/usr/bin/perl

# Registries that others have written, and ours, as remotes: with a password and
# with tokens.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Distribution;
use ACR::Index;
use ACR::Remote;

my $dir = work_dir();

spew("$dir/password", "secret\n");
spew("$dir/wrong", "other\n");
chmod(0644, "$dir/password", "$dir/wrong");

distribution();
ours();
finish();


# remotes(URL): good.test, wrong.test and nobody.test, of the same registry
sub remotes {
    my ($url, $user, $good) = @_;

    return <<"CONF";
        acr_credential_set good user=$user password_file=$good;
        acr_credential_set wrong user=$user password_file=$dir/wrong;
        acr_remote good.test $url credentials=good;
        acr_remote wrong.test $url credentials=wrong;
        acr_remote nobody.test $url;
CONF
}


sub distribution {
    SKIP: {
        skip('docker-registry is not installed', 8)
            if !ACR::Distribution::program();

        # bcrypt is all that it knows
        my $line = `htpasswd -nbBC 4 me secret 2> $dir/htpasswd.log`;
        skip('htpasswd is not installed', 8) if $? != 0;

        spew("$dir/htpasswd", $line);

        my $registry = ACR::Distribution->start("$dir/registry",
                                                "$dir/volume",
                                                htpasswd => "$dir/htpasswd");
        my $digest = $registry->as('me', 'secret')->push_image('lib/a', 'x',
                                                               'x');
        my $acr = start(server => $ADMIN, http =>
            remotes("http://127.0.0.1:$registry->{port}", 'me',
                    "$dir/password"));

        my $outcome = check($acr, 'good.test');
        comes_of($outcome, 'ok', undef, 'docker-registry, with a password');
        is($outcome->{authentication}, 'basic', 'which it has asked for');
        $outcome = check($acr, 'good.test', repository => 'lib/a',
                         reference => 'x');
        comes_of($outcome, 'ok', undef, 'an image');
        is($outcome->{digest}, $digest, 'is found');
        comes_of(check($acr, 'good.test', repository => 'lib/a'), 'missing',
                 qr/^it answers 404$/, 'another is not');
        comes_of(check($acr, 'wrong.test'), 'denied', qr/^it answers 401$/,
                 'not with another password');
        comes_of(check($acr, 'nobody.test'), 'denied',
                 qr/^it wants a user and a password$/, 'nor without one');

        $registry->stop();
        comes_of(check($acr, 'good.test'), 'failed', qr/\w/,
                 'nor when it is gone');
    }
}


sub ours {
    my $key = "$dir/key.pem";
    system("openssl ecparam -name prime256v1 -genkey -noout -out $key "
           . "2> $dir/openssl.log") == 0
        or die "openssl\n";

    my $origin = start(server => $ADMIN, http => "acr_token_key $key;",
                       location => 'acr_auth on; acr_anonymous_pull open/*;');
    my $password = admin_password($origin);
    my $user = $origin->as('admin', $password);
    my $open = $user->push_image('open/a', 'latest', 'a');
    my $closed = $user->push_image('closed/a', 'latest', 'b');

    spew("$dir/admin", "$password\n");
    chmod(0644, "$dir/admin");

    my $acr = start(server => $ADMIN, http =>
        remotes("http://127.0.0.1:$origin->{port}", 'admin', "$dir/admin"));

    # what everybody may have is had without a token
    for my $case (['good', 'open/a', 'ok', undef, $open, 'none'],
                  ['good', 'closed/a', 'ok', undef, $closed, 'bearer'],
                  ['good', 'closed/b', 'missing', qr/404/],
                  ['good', 'open/a', 'ok', undef, $open, 'bearer'],
                  ['nobody', 'open/a', 'ok', undef, $open, 'none'],
                  ['nobody', 'closed/a', 'denied', qr/./],
                  ['wrong', 'open/a', 'ok', undef, $open, 'none'],
                  ['wrong', 'closed/a', 'denied',
                   qr/token service answers 401/])
    {
        my ($remote, $repository, $result, $error, $digest, $how) = @$case;

        my $outcome = check($acr, "$remote.test", repository => $repository);
        comes_of($outcome, $result, $error, "$remote: $repository");
        next if !defined $digest;
        is($outcome->{digest}, $digest, 'with its digest');
        is($outcome->{authentication}, $how, "with $how");
    }

    is(remote($acr, 'good.test')->{tokens}, 3, 'a token for each scope');
    comes_of(check($acr, 'good.test', repository => 'open/a',
                   reference => $open), 'ok', undef, 'by digest');

    my $layer = 'layer of b';
    my $outcome = check($acr, 'good.test', repository => 'closed/a',
                        blob => digest($layer));
    comes_of($outcome, 'ok', undef, 'a blob');
    is($outcome->{status}, 206, 'the begin of it');
    is($outcome->{received}, length($layer), 'which is all');
}


sub admin_password {
    my ($node) = @_;

    my $answer = $node->request('PUT', '/acr/admin/access/admin',
                                body => '{"enabled":true}');

    return $answer->json()->{passwords}[0]{value};
}
