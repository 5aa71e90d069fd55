#!/usr/bin/perl

# Azure's own clients as they are, over TLS: the SDKs for JavaScript and Python,
# anonymous and with a token of an identity provider, and az acr with a name and
# a password.
#
# They are not Debian's: azure.sh gets them, and without them they are skipped.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

BEGIN { $ENV{ACR_TIMEOUT} ||= 900 }

use ACR;
use ACR::Api;
use ACR::OIDC;
use JSON::PP qw(decode_json);
use Time::Local qw(timegm);

# CI has nothing that was made by hand
my $clients = $ENV{ACR_AZURE} // ($ENV{CI} ? '' : '/var/cache/acr-azure');
my $LIB = "$FindBin::Bin/lib";
my $PYTHON = "$clients/python/bin/python3";
my $CLI = "$clients/cli/bin/python3";

plan(skip_all => "no clients of Azure here; t/clients/azure.sh gets them")
    if $clients eq '' || !-d $clients;


# --- a registry with TLS, a provider of identities, and something to look at

my $dir = work_dir();
my $ISSUER = 'https://login.test/v2.0';
my $idp = ACR::OIDC->new($ISSUER, $dir, type => 'RSA', kid => 'of a test');
spew("$dir/jwks.json", $idp->jwks());

# of several workers each would know of the admin user a moment later
my $acr = prepare(tls => 1,
                  server => 'location /acr/admin/ { acr_admin; }',
                  http => <<"CONF");
    acr_auth on;
    acr_role anonymous AcrPull;
    acr_oidc_issuer $ISSUER audience=https://containerregistry.test
                    jwks=$dir/jwks.json user=oid prefix=entra:;
    acr_role user:entra:someone Owner;
CONF
my $ca = certificate($acr->{dir});
$acr->run();

my $endpoint = "https://localhost:$acr->{tls_port}";
my $token = $idp->token({ oid => 'someone', tid => 'a tenant',
                          aud => 'https://containerregistry.test',
                          exp => time() + 3600 });
my $answer = $acr->put('/acr/admin/access/admin', body => '{"enabled":true}');
my $password = $answer->json()->{passwords}[0]{value};
my $admin = $acr->as('admin', $password);

my ($amd, $arm) = map { "{\"architecture\":\"$_\",\"os\":\"linux\"}" }
                  qw(amd64 arm64);
my $layer = bytes(100_000, 'azure');
my ($one, $two) = map { image($_, [$layer]) } $amd, $arm;
my $multi = index_of([
    descriptor($one, $IMAGE, platform => { architecture => 'amd64',
                                           os => 'linux' }),
    descriptor($two, $IMAGE, platform => { architecture => 'arm64',
                                           os => 'linux' })]);
my %digest = (one => digest($one), two => digest($two),
              multi => digest($multi));
my $size = 100_000 + length($amd);

fill();


# --- the SDKs

my @rights = (JSON::PP::true) x 4;
my $unknown = sub { return { error => { status => 404, code => $_[0] } } };
my $locked = { error => { status => 405,
                          code => 'REGISTRY_DISALLOWED_OPERATION' } };
my $nobody = { error => { status => 401, code => 'UNAUTHORIZED' } };
my $large = 9 * 1024 * 1024 + 10;
my @by_time = map { $_->{digest} }
              sort { $a->{lastUpdateTime} cmp $b->{lastUpdateTime} }
              @{ api($admin, 'GET', 'lib/a/_manifests')->json()->{manifests} };

my %expected = (
    'repositories' => [qw(b c d/e lib/a z)],
    'repositories in pages' => [[qw(b c)], [qw(d/e lib/a)], ['z']],
    'repository' => { name => 'lib/a', tags => 4, manifests => 3,
                      rights => \@rights, times => millis('') },
    'unknown repository' => $unknown->('NAME_UNKNOWN'),
    'tags' => [map { tag($_) } qw(a multi v1 z)],
    'tags by time' => [qw(z a multi v1)],
    'tags in pages' => [[qw(v1 multi)], [qw(a z)]],
    'tag' => tag('v1'),
    'unknown tag' => $unknown->('TAG_UNKNOWN'),
    'manifests' => [map { manifest($_) }
                    sort { $digest{$a} cmp $digest{$b} } keys %digest],
    'manifests in pages' => [[@by_time[0, 1]], [$by_time[2]]],
    'manifest' => manifest('one'),
    'index' => manifest('multi'),

    'repository is not listed' => rights(2),
    'repositories without it' => [qw(b c d/e z)],
    'repository is listed' => \@rights,
    'tag is locked' => rights(1),
    'locked tag: delete' => $locked,
    'tag is unlocked' => \@rights,
    'manifest is locked' => rights(0, 2),
    'locked manifest: delete' => $locked,
    'manifest is unlocked' => \@rights,

    'upload' => [JSON::PP::true, 12],
    'upload in chunks' => [JSON::PP::true, $large],
    'upload of a config' => [JSON::PP::true, 39],
    'download' => [JSON::PP::true, JSON::PP::true],
    'unknown blob' => $unknown->('BLOB_UNKNOWN'),
    'manifest by tag' => JSON::PP::true,
    'manifest by digest' => [JSON::PP::true, 'untagged'],
    'get manifest' => [JSON::PP::true, $IMAGE, JSON::PP::true, 39],
    'unknown manifest' => $unknown->('MANIFEST_UNKNOWN'),
    'what was made' => { architecture => 'riscv64', os => 'linux',
                         size => $large + 39, tags => ['one'],
                         manifests => 2 },
    (map { ("delete $_" => undef) } 'blob', 'blob again', 'tag', 'manifest',
                                    'repository', 'repository again'),
    'deleted blob' => $unknown->('BLOB_UNKNOWN'),
    'deleted tag' => $unknown->('TAG_UNKNOWN'),
    'deleted manifest' => $unknown->('MANIFEST_UNKNOWN'),
    'deleted repository' => $unknown->('NAME_UNKNOWN'),
);
my @reads = ('repositories', 'repositories in pages', 'repository', 'tags',
             'unknown repository', 'tags by time', 'tags in pages', 'tag',
             'unknown tag', 'manifests', 'manifests in pages', 'manifest',
             'index');
my %anonymous = (map({ $_ => $expected{$_} } @reads),
                 map { ("not allowed: $_" => $nobody) } qw(update delete));

for my $who ('anonymous', 'of a user') {
    my %wanted = $who eq 'anonymous' ? %anonymous : %expected;

    subtest("JavaScript, $who" => sub {
        local %ENV = (%ENV, NODE_EXTRA_CA_CERTS => $ca);
        my ($node) = grep { -x } map { "$_/node" } split(/:/, $ENV{PATH});
        plan(skip_all => 'no Node.js') if !$node;

        my @sdk = ("$clients/js", $endpoint);
        my $module = '@azure/container-registry';
        plan(skip_all => "$module does not run here")
            if (run($node, '-e', "require('$clients/js/node_modules/$module')"))
               [0] != 0;

        same_steps({
            %wanted,
            index => { %{ manifest('multi') }, references => [
                [$digest{one}, 'amd64', 'linux'],
                [$digest{two}, 'arm64', 'linux']] },
            $who eq 'anonymous' ? () : (
                # version 1.1.2 downloads what is large, as Python's cannot
                'download of what is large' => $expected{download}) },
            $node, "$LIB/azure.mjs", @sdk, $who eq 'anonymous' ? () : $token);
    });

    subtest("Python, $who" => sub {
        plan(skip_all => 'no SDK for Python')
            if (run($PYTHON, '-I', '-c', 'import azure.containerregistry'))[0]
               != 0;

        same_steps({ %wanted, $who eq 'anonymous'
                                  ? ('anonymous pull' => $IMAGE) : () },
                   # -I: a script named azure would hide the package azure
                   $PYTHON, '-I', "$LIB/azure.py", $endpoint, $ca,
                   $who eq 'anonymous' ? () : $token);
    });
}

subtest('az acr' => \&cli);

finish();


# --- az

sub cli {
    plan(skip_all => 'only root can give the registry a name') if $> != 0;

    my $az = "$dir/az";
    my $suffix = "acr.test:$acr->{tls_port}";
    mkdir($az) or die "$az: $!\n";
    spew("$az/hosts", "127.0.0.1 localhost myreg.acr.test\n");

    local %ENV = (%ENV, AZURE_CONFIG_DIR => $az, REQUESTS_CA_BUNDLE => $ca,
                  HOME => $az, AZURE_CORE_COLLECT_TELEMETRY => 'no',
                  AZURE_CORE_ONLY_SHOW_ERRORS => 'yes');

    my @program = ('unshare', '--mount', '--propagation', 'private', '--',
                   'sh', '-c', 'mount --bind "$0/hosts" /etc/hosts
                                exec "$@"', $az, $CLI, '-m', 'azure.cli');
    plan(skip_all => 'no az, or no mount namespace')
        if (run(@program, 'cloud', 'update', '-n', 'AzureCloud',
                '--suffix-acr-login-server-endpoint', ".$suffix"))[0] != 0;

    my @login = ('-u', 'admin', '-p', $password, '-o', 'json');
    my $acr_az = sub {
        my ($name, @command) = @_;

        local $Test::Builder::Level = $Test::Builder::Level + 1;
        my ($status, $output) = run(@program, 'acr', @command, @login);
        ok($status == 0, $name) or diag("az acr @command\n$output");

        my $json = eval { JSON::PP->new()->utf8()->allow_nonref()
                              ->decode($output) };
        return $json // {};
    };
    my $fails = sub {
        my ($name, $text, @command) = @_;

        local $Test::Builder::Level = $Test::Builder::Level + 1;
        my ($status, $output) = run(@program, 'acr', @command, @login);
        ok($status != 0, $name);
        like($output, $text, 'and says why');
    };
    my @in = ('-n', 'myreg');
    my @of = ('-r', 'myreg');
    fill();
    my $json = sub { return api($admin, 'GET', "lib/a$_[0]", headers => [
                         Host => "myreg.$suffix"])->json() };

    is_deeply($acr_az->('list', 'repository', 'list', @in),
              $expected{repositories}, 'all repositories');
    is_deeply($acr_az->('show', 'repository', 'show', @in, '--repository',
                        'lib/a'), $json->(''), 'what is told');
    is_deeply($acr_az->('show of a tag', 'repository', 'show', @in, '--image',
                        'lib/a:v1'), $json->('/_tags/v1')->{tag},
              'what is told');
    is_deeply($acr_az->('show of a digest', 'repository', 'show', @in,
                        '--image', "lib/a\@$digest{two}"),
              $json->("/_manifests/$digest{two}")->{manifest}, 'what is told');
    is_deeply($acr_az->('show-tags', 'repository', 'show-tags', @in,
                        '--repository', 'lib/a'), [qw(a multi v1 z)],
              'all tags');
    is_deeply($acr_az->('by time', 'repository', 'show-tags', @in,
                        '--repository', 'lib/a', '--orderby', 'time_desc',
                        '--top', 2), [qw(z a)], 'the latest');
    is_deeply($acr_az->('show-tags --detail', 'repository', 'show-tags', @in,
                        '--repository', 'lib/a', '--detail'),
              $json->('/_tags')->{tags}, 'with details');
    is_deeply($acr_az->('list-metadata', 'manifest', 'list-metadata', @of,
                        '-n', 'lib/a'), $json->('/_manifests')->{manifests},
              'all manifests');
    is_deeply($acr_az->('manifest show', 'manifest', 'show', @of, '-n',
                        'lib/a:multi'), decode_json($multi), 'a manifest');
    is_deeply($acr_az->('list-referrers', 'manifest', 'list-referrers', @of,
                        '-n', 'lib/a:v1')->{manifests}, [], 'no referrers');
    $admin->push_manifest('lib/a', undef, encode({
        schemaVersion => 2, mediaType => $IMAGE,
        artifactType => 'application/vnd.test', layers => [],
        config => descriptor($amd, $CONFIG),
        subject => descriptor($one, $IMAGE) }));
    is($acr_az->('list-referrers', 'manifest', 'list-referrers', @of, '-n',
                 'lib/a:v1')->{manifests}[0]{artifactType},
       'application/vnd.test', 'and one');

    # what is changed
    is_deeply($acr_az->('update', 'repository', 'update', @in, '--image',
                        'lib/a:v1', '--write-enabled', 'false',
                        '--delete-enabled', 'false')->{changeableAttributes},
              { %ALL, writeEnabled => JSON::PP::false,
                deleteEnabled => JSON::PP::false }, 'a tag is locked');
    is_deeply(locks($admin, 'lib/a/_tags/v1'),
              { deleteEnabled => 0, writeEnabled => 0, readEnabled => 1,
                listEnabled => 1 }, 'it is');
    $fails->('untag of a locked tag', qr/disallowed/, 'repository', 'untag',
             @in, '--image', 'lib/a:v1');
    $fails->('delete of it', qr/disallowed/, 'repository', 'delete', @in,
             '--image', 'lib/a:v1', '--yes');
    $acr_az->('unlocked', 'repository', 'update', @in, '--image', 'lib/a:v1',
              '--write-enabled', 'true', '--delete-enabled', 'true');
    is($acr_az->('a repository', 'repository', 'update', @in, '--repository',
                 'lib/a', '--list-enabled', 'false')
           ->{changeableAttributes}{listEnabled}, JSON::PP::false,
       'is not listed');
    is_deeply($acr_az->('list', 'repository', 'list', @in), [qw(b c d/e z)],
              'it is not');
    $acr_az->('a manifest', 'manifest', 'update-metadata', @of, '-n',
              "lib/a\@$digest{two}", '--delete-enabled', 'false');
    is(locks($admin, "lib/a/_manifests/$digest{two}")->{deleteEnabled}, 0,
       'is locked');
    $fails->('delete of a repository with it', qr/disallowed/, 'repository',
             'delete', @in, '--repository', 'lib/a', '--yes');
    $acr_az->('unlocked', 'manifest', 'update-metadata', @of, '-n',
              "lib/a\@$digest{two}", '--delete-enabled', 'true');

    # what is deleted
    $acr_az->('untag', 'repository', 'untag', @in, '--image', 'lib/a:a');
    is($admin->resolve('lib/a', 'a'), undef, 'a tag is gone');
    is($admin->resolve('lib/a', 'z'), $digest{one}, 'its manifest is not');
    $acr_az->('delete of a tag', 'repository', 'delete', @in, '--image',
              'lib/a:z', '--yes');
    is($admin->resolve('lib/a', $digest{one}), undef,
       'the manifest goes with it');
    $acr_az->('manifest delete', 'manifest', 'delete', @of, '-n',
              "lib/a\@$digest{multi}", '--yes');
    is($admin->resolve('lib/a', $digest{multi}), undef, 'a manifest is gone');
    is_deeply([sort @{ $acr_az->('delete', 'repository', 'delete', @in,
                                 '--repository', 'd/e', '--yes')
                           ->{manifestsDeleted} || [] }],
              [digest(image('{"seed":"d/e"}', ['layer of d/e']))],
              'a repository is told');
    refused(api($admin, 'GET', 'd/e'), 404, 'NAME_UNKNOWN', 'and gone');
    $fails->('show of what is gone', qr/not known|not found/i, 'repository',
             'show', @in, '--repository', 'd/e');
}


# --- what is there

# the repositories, as new, in this order of times
sub fill {
    for my $repository (qw(b c d/e z)) {
        $admin->push_image($repository, 'x', $repository);
    }

    api($admin, 'DELETE', 'lib/a');
    $admin->push_blob('lib/a', $_) for $amd, $arm, $layer;
    for my $push (['v1', $one], [undef, $two], ['multi', $multi], ['a', $one],
                  ['z', $one])
    {
        $admin->push_manifest('lib/a', @$push);
        tick();
    }
}


# millis(WHAT): when it was made and changed, in milliseconds
sub millis {
    my ($what) = @_;

    my $json = api($admin, 'GET', "lib/a$what")->json();
    my ($object) = grep { defined } @$json{qw(tag manifest)}, $json;

    return [map {
        /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d{3})/
            ? 1000 * timegm($6, $5, $4, $3, $2 - 1, $1) + $7 : 'no time';
    } map { $_ // '' } @$object{qw(createdTime lastUpdateTime)}];
}


sub tag {
    my ($name) = @_;

    return { name => $name, rights => [@rights],
             digest => $name eq 'multi' ? $digest{multi} : $digest{one},
             times => millis("/_tags/$name") };
}


sub manifest {
    my ($name) = @_;

    my %platform = (one => 'amd64', two => 'arm64');
    my %tags = (one => [qw(a v1 z)], two => [], multi => ['multi']);

    return { digest => $digest{$name}, repository => 'lib/a',
             size => $name eq 'multi' ? 2 * $size : $size,
             architecture => $platform{$name},
             os => $name eq 'multi' ? undef : 'linux', tags => $tags{$name},
             rights => [@rights],
             times => millis("/_manifests/$digest{$name}") };
}


# rights(NUMBER...): delete, write, list and read, without these
sub rights {
    my @value = (JSON::PP::true) x 4;
    $value[$_] = JSON::PP::false for @_;
    return \@value;
}


# --- programs

# same_steps(WANTED, COMMAND...): each step that it prints is as it should be,
# and none is missing
sub same_steps {
    my ($wanted, @command) = @_;

    my ($status, $output) = run(@command);
    ok($status == 0, 'it ends') or diag($output);

    my %left = %$wanted;
    for my $line (grep { /^\{"step/ } split(/\n/, $output)) {
        my $got = decode_json($line);
        my $step = $got->{step};

        if (!exists $left{$step}) {
            fail("$step is not expected");
            next;
        }
        my $want = delete $left{$step};

        ref($want) eq 'HASH' && $want->{error}
            ? is_deeply($got->{error}, $want->{error}, $step)
            : is_deeply($got->{value}, $want, $step);
        diag($line) if !exists $got->{value}
                       && !(ref($want) eq 'HASH' && $want->{error});
    }
    is_deeply([sort keys %left], [], 'no step is missing');
}


# run(COMMAND...): its status, and what it prints
sub run {
    my (@command) = @_;

    my $log = "$dir/output";
    unlink($log);
    my @unset = map { ('-u', $_) } grep { /^(?:https?|all|no)_proxy$/i }
                keys %ENV;

    my $process = ACR::Process->spawn($log, 'env', @unset, 'LC_ALL=C.UTF-8',
                                      @command);
    $process->ended(180) or $process->kill_now();

    return ($process->{status}, eval { slurp($log) } // '');
}


# certificate(DIR): one for localhost and *.acr.test, for the nginx in there,
# by an authority of its own, whose certificate is in the file returned
sub certificate {
    my ($nginx) = @_;

    spew("$nginx/ext", "subjectAltName=DNS:localhost,DNS:*.acr.test\n");
    my $key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';

    for my $command (
        "req -x509 $key -subj /CN=test-ca -days 2 -keyout ca.key -out ca.crt",
        "req $key -subj /CN=localhost -keyout tls.key -out tls.csr",
        'x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial'
        . ' -days 2 -extfile ext -out tls.crt')
    {
        system("cd $nginx && openssl $command > openssl.log 2>&1") == 0
            or die "openssl $command: " . slurp("$nginx/openssl.log");
    }

    return "$nginx/ca.crt";
}
