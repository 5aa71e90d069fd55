#!/usr/bin/perl

# Memory of all workers: while a blob of 1 GiB is pushed, with 500 slow pulls
# and with 200 slow pushes of 256 MiB in flight.  In KiB: the most that was
# seen, above what there was before.  Fails if the push of 1 GiB makes ours
# grow by 8 MiB or more.
