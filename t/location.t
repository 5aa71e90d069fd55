#!/usr/bin/perl

# acr_location: the form of Location and Link; and the variables for logs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $format = '$request_method|$status|$acr_operation|$acr_registry'
             . '|$acr_repository|$acr_reference|$acr_digest|$acr_error';

my $acr = start(http => "log_format acr escape=none '$format';",
                server => 'access_log logs.log acr;', tls => 1);
my $repo = 'lib/app';

my %prefix = (
    relative => '',
    absolute => 'http://registry.test:5000',
    forwarded => 'https://public.example:8443',
);

for my $form (qw(relative absolute forwarded)) {
    $acr->{process}->signal('QUIT');
    $acr->{process}->ended(20);
    $acr->configure(location => "acr_location $form;");
    $acr->run();

    my @host = (Host => 'registry.test:5000', 'X-Forwarded-Proto' => 'https',
                'X-Forwarded-Host' => 'public.example:8443');
    my $prefix = quotemeta($prefix{$form});

    my $begun = $acr->post("/v2/$repo/blobs/uploads/", body => '',
                           headers => \@host);
    like($begun->header('Location'), qr{^$prefix/v2/$repo/blobs/uploads/},
         "$form: POST");

    my $patched = $acr->request('PATCH', $begun->location(), body => '{}',
                                headers => \@host);
    like($patched->header('Location'), qr{^$prefix/v2/$repo/blobs/uploads/},
         'PATCH');

    my $status = $acr->get($patched->location(), headers => \@host);
    like($status->header('Location'), qr{^$prefix/v2/$repo/blobs/uploads/},
         'status');

    my $made = $acr->put(with($status->location(), digest => digest('{}')),
                         headers => \@host, body => '');
    is($made->header('Location'),
       "$prefix{$form}/v2/$repo/blobs/" . digest('{}'), 'PUT');

    my $manifest = $acr->put("/v2/$repo/manifests/$form",
                             body => image('{}', []), headers => [
                                 @host, 'Content-Type' => $IMAGE]);
    like($manifest->header('Location'), qr{^$prefix/v2/$repo/manifests/},
         'a manifest');
}

my $plain = $acr->post("/v2/$repo/blobs/uploads/", body => '',
                       headers => [Host => 'direct.test']);
like($plain->header('Location'), qr{^(?:http://direct\.test)?/v2/},
     'forwarded, but nobody has forwarded it');

for my $evil ("evil\"<x>", 'a b', 'a/b', 'a,b') {
    my $answer = $acr->post("/v2/$repo/blobs/uploads/", body => '', headers => [
        Host => 'direct.test', 'X-Forwarded-Host' => $evil,
        'X-Forwarded-Proto' => 'javascript']);
    unlike($answer->header('Location'), qr/evil|javascript|a b|,/,
           "X-Forwarded-Host: $evil is not believed");
}


# --- TLS

$acr->{process}->signal('QUIT');
$acr->{process}->ended(20);
$acr->configure(location => 'acr_location absolute;');
$acr->run();

my $secure = curl('-X', 'POST', '-d', '', "https://127.0.0.1:$acr->{tls_port}"
                  . "/v2/$repo/blobs/uploads/");
like($secure->header('Location'), qr{^https://127\.0\.0\.1:\d+/v2/},
     'https over TLS');


# --- variables

my $digest = digest('{}');
$acr->get("/v2/$repo/blobs/" . ($digest =~ s/:/%3A/r));
$acr->get("/v2/$repo/manifests/none");
$acr->get('/v2/UP/tags/list');
$acr->put_manifest($repo, 'logged', image('{}', []));
$acr->get('/v2/');
$acr->forget();

# a line is written after its answer was sent
my $log = wait_for(sub {
    my $text = slurp("$acr->{dir}/logs.log");
    return $text =~ /manifest_put.*logged.*\n(?:.*\n)*GET\|200\|base/
        ? $text : undef;
}) || slurp("$acr->{dir}/logs.log");

like($log, qr/^GET\|200\|blob_get\|default\|lib\/app\|$digest\|$digest\|$/m,
     'a blob');
like($log, qr/^GET\|404\|manifest_get\|default\|lib\/app\|none\|
              \|MANIFEST_UNKNOWN$/mx, 'an error');
like($log, qr/^GET\|400\|.*\|NAME_INVALID$/m, 'a bad name');
my $image = digest(image('{}', []));
like($log, qr/^PUT\|201\|manifest_put\|default\|lib\/app\|logged\|$image\|$/m,
     'a manifest');

finish();
