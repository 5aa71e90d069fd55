#!/usr/bin/perl

# conf/monitoring: what the dashboard and the alerts ask for is what running
# nodes say, a registry and an edge node, each question has an answer, and the
# alerts fire when they should.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;
use ACR::Access;
use ACR::Edge;
use ACR::Index;
use ACR::Metrics;
use ACR::Provider;
use JSON::PP ();

plan(skip_all => 'no promtool')
    if system('promtool --version > /dev/null 2>&1');

my $TREE = $ACR::Node::TREE;
my $DIR = "$TREE/conf/monitoring";
my $dir = work_dir();

# what is not of the module, and the labels that Prometheus gives
my %others = map { $_ => ['mountpoint'] }
    map { ("node_filesystem_$_") } qw(avail_bytes size_bytes files_free files);
$others{up} = [];
my %given = map { $_ => 1 } qw(job instance);

# a remote that tells its limits
my $up = ACR::Provider->start($dir);
$up->answers('/v2/' => { status => 200,
                         headers => ['RateLimit-Limit: 100;w=21600',
                                     'RateLimit-Remaining: 76;w=21600'] });

my $origin = start(http => 'acr_auth on; acr_service origin.test;'
                           . ' acr_gc_interval 1h;'
                           . " acr_remote up.test @{[$up->url()]};",
                   server => 'location /acr/admin/ { acr_admin; }'
                             . ' location = /metrics { acr_metrics; }');
my $made = change($origin, 'PUT', 'admin', { enabled => JSON::PP::true });
my $admin = $origin->as('admin', $made->{passwords}[0]{value});
my $edge = edge($origin);

traffic();

my %series = map { $_->{name} => scrape($_->{node}) }
    { name => 'registry', node => $origin }, { name => 'edge', node => $edge };
my %labels = %{ labels_of() };
my %values = %{ values_of() };

exposed();
dashboard();
alerts();
finish();


# --- what is asked for

sub traffic {
    my $bytes = bytes(100_000, 'monitoring');

    $admin->push_image('lib/app', 'latest', 'monitoring');
    my $digest = $admin->push_blob('lib/app', $bytes);
    $admin->get('/v2/lib/app/manifests/latest');

    my $answer = $admin->get('/oauth2/token?service=origin.test'
                             . '&scope=repository:lib/app:pull');
    my $token = $answer->json()->{access_token};
    for (1 .. 2) {
        my $pulled = $edge->get("/v2/lib/app/blobs/$digest", headers => [
                                    Authorization => "Bearer $token"]);
        answers($pulled, 200, 'a pull through the edge node');
    }

    admin($origin, 'POST', 'remotes/up.test/check');
    admin($origin, 'POST', 'gc');

    ok(wait_for(sub { value($edge, 'acr_origin_events_up') == 1 }),
       'the edge node hears of changes');

    # gauges of the index are looked at every five seconds
    ok(wait_for(sub {
           value($origin, 'acr_gc_finished_timestamp_seconds') > 1.7e9
       }, 30), 'when the collector has ended is told');
}


# the series of a node, as Prometheus would have them
sub scrape {
    my ($node) = @_;

    return [sort(keys(%{ metrics($node) }))];
}


# the labels of each metric, and what each of them has had
sub labels_of {
    my %labels = map { $_ => {} } keys %others;

    for my $series (map { @$_ } values %series) {
        my ($metric, $text) = $series =~ /^(\w+)\{(.*)\}$/;
        $labels{$metric}{$1} = 1 while $text =~ /(\w+)="/g;
    }

    $labels{$_} = { map { $_ => 1 } @{ $others{$_} } } for keys %others;

    return \%labels;
}


# the values that a label can have, by the lists of the source
sub values_of {
    my $text = slurp("$TREE/src/ngx_http_acr_zone.h");
    my %lists = (operation => 'OPERATIONS', status => 'STATUSES',
                 source => 'SOURCES', result => 'RESULTS', kind => 'KINDS',
                 pool => 'POOLS', cache => 'CACHES');
    my %values;

    for my $label (keys %lists) {
        my $list = $text =~ /^#define NGX_HTTP_ACR_$lists{$label}\(X\)/m
                   ? $' : die "no $label\n";
        $list =~ s/(?<!\\)\n.*//s;
        $values{$label} = [$list =~ /X\((\w+)\)/g];
    }

    return \%values;
}


sub exposed {
    my ($registry, $edge_says) = @series{qw(registry edge)};

    ok(!grep(/^acr_redis_up|^acr_feed_up/, @$edge_says),
       'an edge node does not say that a Redis is down');
    is(scalar(grep(/^acr_redis_up/, @$registry)), 1, 'a registry does');
}


# asked(EXPRESSION): complaints about what it asks for
sub asked {
    my ($expression) = @_;

    my (%known, @complaints);
    my $text = $expression =~ s/"(?:[^"\\]|\\.)*"/""/gr;

    for my $metric ($text =~ /\b((?:acr|node)_\w+|up)\b/g) {
        push(@complaints, "no metric $metric") if !$labels{$metric};
        %known = (%known, %{ $labels{$metric} || {} });
    }

    while ($expression =~ /\b(\w+)\{([^}]*)\}/g) {
        my ($metric, $matchers) = ($1, $2);

        while ($matchers =~ /(\w+)(=~|!~|!=|=)"([^"]*)"/g) {
            my ($label, $operator, $value) = ($1, $2, $3);
            next if $given{$label};
            push(@complaints, "$metric has no label $label")
                if !$labels{$metric}{$label};
            push(@complaints, "no $label is $value") if $values{$label}
                && !grep { $operator =~ /~/ ? /^(?:$value)$/ : $_ eq $value }
                    @{ $values{$label} };
        }
    }

    while ($text =~ /\b(?:by|without|on|ignoring) \(([^)]*)\)/g) {
        push(@complaints, "nothing has the label $_")
            for grep { !$given{$_} && !$known{$_} } split(/, */, $1);
    }

    push(@complaints, 'it asks for nothing') if $text !~ /\w\w_\w+|\bup\b/;

    return map { "$expression: $_" } @complaints;
}


# --- the dashboard

sub dashboard {
    my $board = JSON::PP->new()->utf8()
        ->decode(slurp("$DIR/dashboard.json"));
    my @panels = grep { $_->{type} ne 'row' } @{ $board->{panels} };
    my @expressions = map { $_->{expr} }
                      map { @{ $_->{targets} } } @panels;

    cmp_ok(scalar(@panels), '>', 30, 'the dashboard has panels');
    is(scalar(@expressions), scalar(grep { /\$registry/ && /\$instance/ }
       @expressions), 'each for the registry and node that are chosen');
    is_deeply([map { asked($_) } @expressions], [],
              'they ask for what nodes say');

    my %ids = map { $_->{id} => 1 } @{ $board->{panels} };
    is(scalar(keys(%ids)), scalar(@{ $board->{panels} }), 'have numbers');
    is_deeply([grep { $_->{datasource}{uid} ne '${datasource}' } @panels], [],
              'and take the Prometheus that is chosen');
    is_deeply([overlaps(@{ $board->{panels} })], [], 'none is above another');

    my @variables = @{ $board->{templating}{list} };
    is(join(' ', map { $_->{name} } @variables),
       'datasource registry instance', 'what can be chosen');
    is_deeply([map { /^label_values\((.*), (\w+)\)$/
                     ? asked("sum by ($2) ($1)") : "what is $_" }
               map { $_->{query}{query} } @variables[1, 2]], [],
              'is what nodes say');

    answered(@expressions);
}


sub overlaps {
    my (%taken, @overlaps);

    for my $panel (@_) {
        my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};
        push(@overlaps, "$panel->{title}: too wide") if $x + $w > 24;

        for my $place (map { my $at = $_; map { "$at $_" } $y .. $y + $h - 1 }
                       $x .. $x + $w - 1)
        {
            push(@overlaps, "$panel->{title} at $place") if $taken{$place}++;
        }
    }

    return @overlaps;
}


# Each expression gives something, of the series that the nodes have: they are
# played to promtool, one more every minute.
sub answered {
    my (@expressions) = @_;

    for (@expressions) {
        s/\$__rate_interval/5m/g;
        s/\$(?:registry|instance)/.*/g;

        # what is 0 or 1 only is nothing on a good day
        s/ == 0\)/ >= 0)/;
    }

    my $rules = join('', "groups:\n- name: dashboard\n  rules:\n", map {
        "  - record: dashboard:panel$_\n    expr: "
        . quoted($expressions[$_]) . "\n" } 0 .. $#expressions);
    spew("$dir/dashboard.yml", $rules);
    my $said = `promtool check rules $dir/dashboard.yml 2>&1`;
    ok($? == 0, 'promtool understands the dashboard') or diag($said);

    my $test = "rule_files: [dashboard.yml]\nevaluation_interval: 1m\n"
               . "tests:\n- interval: 1m\n  input_series:\n";

    for my $name (sort keys %series) {
        for my $series (@{ $series{$name} }) {
            my $more = $series =~ s/\}$/,job="acr",instance="$name"}/r;
            $test .= '  - series: ' . quoted($more) . "\n"
                     . "    values: 1+1x20\n";
        }
    }

    $test .= "  promql_expr_test:\n";
    $test .= '  - expr: ' . quoted("count(dashboard:panel$_) > bool 0")
             . "\n    eval_time: 15m\n    exp_samples: "
             . "[{labels: '{}', value: 1}]\n" for 0 .. $#expressions;
    spew("$dir/dashboard-test.yml", $test);
    $said = `promtool test rules $dir/dashboard-test.yml 2>&1`;
    ok($? == 0, 'and each of its questions has an answer')
        or diag($said =~ s/panel(\d+)/panel$1 = $expressions[$1]/gr);
}


sub quoted {
    my ($text) = @_;

    return "'" . $text =~ s/'/''/gr . "'";
}


# --- alerts

sub alerts {
    my $text = slurp("$DIR/alerts.yml");
    my $tests = slurp("$DIR/alerts-test.yml");
    my @rules = split(/^  - alert: /m, $text);
    shift(@rules);

    my @names = map { /^(\w+)/ } @rules;
    my @expressions = map { expression($_) } @rules;

    cmp_ok(scalar(@names), '>=', 10, 'there are alerts');
    is_deeply([map { asked($_) } @expressions], [],
              'they ask for what nodes say');

    my $said = `promtool check rules $DIR/alerts.yml 2>&1`;
    ok($? == 0, 'promtool understands them') or diag($said);
    $said = `promtool test rules $DIR/alerts-test.yml 2>&1`;
    ok($? == 0, 'they fire when they should') or diag($said);
    is_deeply([grep { $tests !~ /alertname="$_"/ } @names], [],
              'each of them');

    for my $rule (@rules) {
        my ($name) = $rule =~ /^(\w+)/;
        is(join(' ', $rule =~ /^ {6}(severity|summary|description|runbook):/mg),
           'severity summary description runbook', "$name says what it is");

        my ($file, $anchor) = $rule =~ /^      runbook: (\S+)#(\S+)$/m;
        my $document = eval { slurp("$TREE/$file") } || '';
        is($anchor, lc($name), 'and where to read on');
        ok((grep { lc eq $anchor } $document =~ /^### (\w+)$/mg),
           'where there is something');
    }

    my %documented = map { $_ => 1 }
        slurp("$TREE/docs/operations.md") =~ /^### (Acr\w+)$/mg;
    is_deeply([sort(keys(%documented))], [sort(@names)],
              'and there is nothing else');
}


# the lines of expr: in one
sub expression {
    my ($rule) = @_;

    my ($expression) = $rule =~ /^    expr: ((?:.*\n)(?:      .*\n)*)/m;

    return $expression =~ s/^>-\n//r =~ s/\s+/ /gr;
}
