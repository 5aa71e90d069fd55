#!/usr/bin/perl

# Users whom nginx has verified, with a token that nginx has verified, at an
# address from which somebody else guesses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use ACR;

my $acr = start(http => 'acr_auth on; acr_auth_failures 1;
                acr_identity $arg_who; acr_role user:alice AcrPull;');

answers($acr->as('foreign')->get('/v2/?who=alice'), 200, 'a user');
$acr->as('guess')->get('/v2/') for 1 .. 10;
answers($acr->get('/v2/?who=alice'), 200, 'without the token');
answers($acr->as('foreign')->get('/v2/?who=alice'), 200, 'with it');

finish();
