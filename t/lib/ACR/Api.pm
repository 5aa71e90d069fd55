package ACR::Api;

# ACR's own API, /acr/v1/: requests, attributes, pages, and what every one of
# its answers has.

use strict;
use warnings;

use ACR;
use Exporter qw(import);
use JSON::PP ();

our @EXPORT = qw(api set change pages locks same_headers tick disallowed
                 $TIME %ALL);

# as ACR writes times
our $TIME = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/;

# the attributes of what nobody has changed
our %ALL = map { ("${_}Enabled" => JSON::PP::true) } qw(delete write read list);

my $UUID = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

my (%ids, @complaints);


# api(CLIENT, METHOD, WHAT, more as for request): the answer; WHAT is what comes
# after /acr/v1/, or a whole path
sub api {
    my ($client, $method, $what, %option) = @_;

    my $target = $what =~ m{^/} ? $what : "/acr/v1/$what";
    my $answer = $client->request($method, $target, %option);

    check("$method $target", $answer);

    return $answer;
}


# what every answer has
sub check {
    my ($name, $answer) = @_;

    my $id = $answer->header('X-Ms-Correlation-Request-Id');
    my $type = $answer->header('Content-Type');
    my $version = $answer->header('Docker-Distribution-Api-Version');
    my @wrong;

    push(@wrong, 'no id') if !defined $id || $id !~ $UUID;
    push(@wrong, 'the id of another') if defined $id && $ids{$id}++;
    push(@wrong, 'no version')
        if !defined $version || $version ne 'registry/2.0';
    push(@wrong, 'another type')
        if $answer->body() ne ''
           && (!defined $type || $type ne 'application/json; charset=utf-8');

    push(@complaints, "$name: " . join(', ', @wrong) . ': ' . $answer->text())
        if @wrong;
}


# same_headers(): a test that all answers of api() had them
sub same_headers {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    splice(@complaints, 5) if @complaints > 5;

    return ok(keys(%ids) && !@complaints, 'every answer has the headers of ACR')
        || diag(join("\n", @complaints));
}


# set(CLIENT, WHAT, NAME => VALUE, ...): the answer to a PATCH; a value of an
# attribute that is enabled or not is true or false
sub set {
    my ($client, $what, %value) = @_;

    for (grep { /Enabled$/ } keys %value) {
        $value{$_} = $value{$_} ? JSON::PP::true : JSON::PP::false;
    }

    return api($client, 'PATCH', $what,
               headers => ['Content-Type' => 'application/json'],
               body => JSON::PP->new()->utf8()->canonical()->encode(\%value));
}


# change(as set): the object that it answers with
sub change {
    my $answer = set(@_);

    die "$_[1]: " . $answer->text() . "\n" if $answer->status() != 200;

    return $answer->json();
}


# locks(CLIENT, WHAT): the attributes of an object, as 1 and 0
sub locks {
    my ($client, $what) = @_;

    my $answer = api($client, 'GET', $what);
    return $answer->status() if $answer->status() != 200;

    my $json = $answer->json();
    my ($object) = grep { defined } @$json{'tag', 'manifest'}, $json;
    my %value = %{ $object->{changeableAttributes} };

    $_ = JSON::PP::is_bool($_) ? ($_ ? 1 : 0) : $_ for values(%value);

    return \%value;
}


# pages(CLIENT, WHAT, MEMBER): all items of a list, and on how many pages
sub pages {
    my ($client, $what, $member) = @_;

    my ($pages, @items) = (0);

    while ($what) {
        my $answer = api($client, 'GET', $what);
        die $answer->text() . "\n" if $answer->status() != 200;
        die "no end of pages: $what\n" if ++$pages > 500;

        my $page = $answer->json()->{$member};
        $what = $answer->next_page();

        die "an empty page, and more: $what\n" if $what && !@$page;
        push(@items, @$page);
    }

    return (\@items, $pages);
}


# tick(): what happens from now on has a later time, also on the disk, where the
# time is that of the kernel's last tick
sub tick {
    select(undef, undef, undef, 0.02);
}


# disallowed(ANSWER, NAME): refused by a lock
sub disallowed {
    my ($answer, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return refused($answer, 405, 'REGISTRY_DISALLOWED_OPERATION', $name);
}

1;
