#!/usr/bin/perl

# acr_credential_set and acr_remote: what nginx -t says, and what operators see.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Fault;
use ACR::Index;
use ACR::Remote;

my $dir = work_dir();

spew("$dir/word", "word\n");
spew("$dir/bare", 'word');
spew("$dir/empty", '');
spew("$dir/line", "\n");
spew("$dir/two", "one\ntwo\n");
spew("$dir/colon", "a:b\n");
spew("$dir/most", 'x' x 16384 . "\r\n");
spew("$dir/long", 'x' x 16385);
spew("$dir/user256", 'x' x 256 . "\n");
spew("$dir/user257", 'x' x 257);
system('mkfifo', "$dir/pipe") == 0 or die "mkfifo\n";

configuration();
shown();
finish();


sub configuration {
    my $acr = prepare(redis => redis());
    my $set = 'acr_credential_set';
    my $good = "$set a user=u password_file=$dir/word";
    my $names = qr/"$set" "a"/;

    for my $case (
        [$good],
        ["$set a user=u password_file=$dir/bare"],
        ["$set a user_file=$dir/user256 password_file=$dir/most"],
        ["$set a token_file=$dir/word"],
        ["$good; $set b user=u password_file=$dir/word"],
        ["$good; $good", qr/"$set" directive is duplicate/],
        [$set, qr/invalid number of arguments in "$set"/],
        ["$set '' token_file=$dir/word", qr/"$set" .*has an empty name/],
        ["$set a user=u", qr/$names has neither "password_file" nor/],
        ["$set a password_file=$dir/word", qr/$names has neither "user" nor/],
        ["$set a user=u token_file=$dir/word", qr/$names has both a user and/],
        ["$set a user=u user=v password_file=$dir/word",
         qr/$names has a second user/],
        ["$set a user=u user_file=$dir/word password_file=$dir/word",
         qr/$names has a second user/],
        ["$set a token_file=$dir/word password_file=$dir/word",
         qr/$names has a second password or token/],
        ["$set a user=u password=secret-word",
         qr/$names has an unknown parameter: known are/],
        ["$set a user= password_file=$dir/word", qr/$names has an empty user/],
        ["$set a user=a:b password_file=$dir/word",
         qr/$names has a user with a colon/],
        ["$set a user=" . 'x' x 257 . " password_file=$dir/word",
         qr/$names has too long a user/],
        ["$set a user=u password_file=", qr/$names has a file without a name/],
        ["$set a user_file=$dir/colon password_file=$dir/word",
         qr/$names: ".*colon" has a user with a colon/],
        ["$set a user_file=$dir/user257 password_file=$dir/word",
         qr/$names: ".*user257" is too large/],
        ["$set a token_file=$dir/none", qr/$names: ".*none" cannot be opened/],
        ["$set a token_file=$dir/empty", qr/$names: ".*empty" is empty/],
        ["$set a token_file=$dir/line", qr/$names: ".*line" is empty/],
        ["$set a token_file=$dir/two", qr/$names: ".*two" has control/],
        ["$set a token_file=$dir/long", qr/$names: ".*long" is too large/],
        ["$set a token_file=$dir/pipe", qr/$names: ".*pipe" is no file/],
        ["$set a token_file=$dir", qr/$names: "$dir" is no file/],

        ['acr_remote docker.io'],
        ["$good; acr_remote docker.io credentials=a"],
        ["acr_remote docker.io credentials=a; $good"],
        ['acr_remote ghcr.io https://ghcr.io/'],
        ['acr_remote a.test:5000 http://127.0.0.1:5000 timeout=1m'],
        ['acr_remote a.test connect_timeout=500ms realm=https://auth.test/x'],
        ['acr_remote a.test; acr_remote b.test'],
        ['acr_remote', qr/invalid number of arguments in "acr_remote"/],
        ['acr_remote a.test; acr_remote A.test https://b.test',
         qr/"acr_remote" directive is duplicate/],
        ["acr_remote ''", qr/"acr_remote": "" is no host of a registry/],
        ['acr_remote a/b', qr/"acr_remote": "a\/b" is no host/],
        ['acr_remote .a', qr/"acr_remote": ".a" is no host/],
        ['acr_remote a:', qr/"acr_remote": "a:" is no host.*port/],
        ['acr_remote a:65536', qr/is no host of a registry: .*port/],
        ['acr_remote a:0', qr/is no host of a registry: .*port/],
        ['acr_remote ' . 'x' x 256, qr/is no host of a registry: .*too long/],
        ['acr_remote a.test ftp://a.test', qr/"ftp:.*" is an unknown param/],
        ['acr_remote a.test https://', qr/"acr_remote" "a.test": "https:/],
        ['acr_remote a.test https://u:p@b.test', qr/has a user or a password/],
        ['acr_remote a.test https://b.test/v2/', qr/more than a host and a p/],
        ['acr_remote a.test https://b.test?x', qr/more than a host and a port/],
        ['acr_remote a.test timeout=0', qr/"timeout=0" is no time/],
        ['acr_remote a.test timeout=2h', qr/"timeout=2h" is no time/],
        ['acr_remote a.test connect_timeout=x', qr/is no time between/],
        ['acr_remote a.test credentials=', qr/"credentials=" has no name/],
        ["$good; acr_remote a.test credentials=a credentials=a",
         qr/"credentials=a" is duplicate/],
        ['acr_remote a.test credentials=b',
         qr/"acr_remote" "a.test": there is no "$set" "b"/],
        ['acr_remote a.test realm=b.test', qr/"acr_remote" .*"realm=b.test"/],
        ['acr_remote a.test credential=a', qr/"credential=a" is an unknown/],
    ) {
        my ($lines, $complaint) = @$case;

        $acr->configure(http => "$lines;");
        my ($said, $fine) = $acr->test();
        my $name = substr($lines =~ s/\Q$dir\E/DIR/gr, 0, 70);

        if ($complaint) {
            ok(!$fine, "not \"$name\"");
            like($said, $complaint, 'as it says');
        } else {
            ok($fine, "\"$name\"") or diag($said);
        }

        unlike($said, qr/secret-word/, 'no password is shown')
            if $lines =~ /secret-word/;
    }

    $acr->allow(qr/\[emerg\]/);
}


sub shown {
    my $acr = start(server => $ADMIN);

    is_deeply(admin($acr, 'GET', 'remotes')->json(), { remotes => [] },
              'there are no remotes');
    refused(admin($acr, 'GET', 'remotes/docker.io'), 404, 'UNSUPPORTED',
            'not even the best known');

    $acr->reload(http => 'acr_remote docker.io; acr_remote GHCR.io:443'
                 . ' credentials=a;'
                 . "acr_credential_set a user=u password_file=$dir/word;");

    my $list = admin($acr, 'GET', 'remotes/');
    answers($list, 200, 'a list of them');
    is(join(' ', map { $_->{host} } @{ $list->json()->{remotes} }),
       'docker.io ghcr.io:443', 'has their hosts');

    my $idle = { down => JSON::PP::false(), failures => 0, nextTry => 0 };
    is_deeply(remote($acr, 'docker.io'), {
        host => 'docker.io', url => 'https://registry-1.docker.io',
        credentials => undef, registry => $idle, tokenService => $idle,
        retryAfter => 0, tokens => 0,
        rateLimit => { limit => undef, remaining => undef, window => undef },
    }, 'all that is known of one');
    is(remote($acr, 'ghcr.io:443')->{url}, 'https://ghcr.io:443',
       'the URL is made of the host');
    is(remote($acr, 'GHCR.IO:443')->{credentials}, 'a', 'in any case');
    unlike($list->body(), qr/word|"u"/, 'and nothing that is secret');

    for my $what (['GET', 'remotes/other.test'], ['POST', 'remotes/docker.io'],
                  ['GET', 'remotes/docker.io/check'], ['POST', 'remotes'],
                  ['POST', 'remotes/other.test/check'],
                  ['POST', 'remotes/docker.io/checks'],
                  ['DELETE', 'remotes/docker.io'])
    {
        refused(admin($acr, @$what), 404, 'UNSUPPORTED',
                "$what->[0] $what->[1] is nothing");
    }

    my $check = 'remotes/docker.io/check';
    refused(admin($acr, 'POST', "$check?repository=A"), 400, 'NAME_INVALID',
            'a repository that has no good name');
    refused(admin($acr, 'POST', "$check?repository=a&reference=-"), 400,
            'UNSUPPORTED', 'nor does a reference');
    refused(admin($acr, 'POST', "$check?repository=a&blob=latest"), 400,
            'UNSUPPORTED', 'a blob that is no digest');
    refused(admin($acr, 'POST', "$check?repository=%"), 400, undef,
            'a query that is none');
}
