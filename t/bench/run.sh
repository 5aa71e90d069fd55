#!/bin/bash
# run.sh: measures the module beside nginx with static files, Debian's
# docker-registry and dd, in one run and in shuffled order.

set -eu
cd "$(dirname "$0")/../.."

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

PACKAGES=(
    nginx nginx-dev redis-server docker-registry gcc libc6-dev make
    libhiredis-dev libjansson-dev libssl-dev libcurl4-openssl-dev openssl perl
    skopeo
)
SUBJECTS=(manifest many auth blob push image memory)
SCALE=(rebuild lists collect)
OTHERS=(edge size)

usage() {
    cat << 'USAGE'
usage: t/bench/run.sh [--no-install] [-n rounds] [-r rows] [subject...]

The subjects are manifest, many, auth, blob, push, image and memory; without
one, all of these.  With the default of 5 rounds that takes less than 10
minutes; push has half the rounds.  More of them make the medians surer.  With
-r only the rows that match, for example -r 'by tag'.  What is pushed lies below
TMPDIR, which should be on the kind of disk that the registry is to have: 6 GiB
are needed, and 2.5 GiB of memory in /dev/shm.

ACR_BENCH_DISTRIBUTION and ACR_BENCH_ZOT name the programs of Distribution 3 and
zot, with which manifest and image compare, too.

The subjects rebuild, lists and collect have up to a million objects, and take
longer; "scale" is all three.

The subject edge pulls through a node, from a registry at the other end of a
line of 100 Mbit/s and 50 ms.  Such pulls take their time, so it is not one of
all of these either: 35 minutes with 5 rounds, of which the herd takes 20.  Its
rows are blob, clients, manifest, herd and down.

The subject size tells what an object takes of Redis, the disk and acr_zone, and
no time: some minutes, with BENCH_OBJECTS of each kind (2000).
USAGE
}

install=yes
rounds=5
rows=
subjects=()
while [ $# != 0 ]; do
    case $1 in
        --no-install) install=no ;;
        -n) rounds=${2-}; shift ;;
        -r) rows=${2-}; shift ;;
        scale) subjects+=("${SCALE[@]}") ;;
        -h|--help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) subjects+=("$1") ;;
    esac
    shift
done

for subject in "${subjects[@]}"; do
    case " ${SUBJECTS[*]} ${SCALE[*]} ${OTHERS[*]} " in
        *" $subject "*) ;;
        *) usage >&2; exit 2 ;;
    esac
done
case $rounds in
    ''|*[!0-9]*|0) usage >&2; exit 2 ;;
esac

if [ $install = yes ] && [ "$(id -u)" = 0 ]; then
    ./conf/install.sh "${PACKAGES[@]}"
fi

BUILD=${BUILD:-$PWD/build}
if [ -z "${ACR_MODULE-}" ]; then
    flock Makefile make -s -j "$(nproc)" BUILD="$BUILD"
    export ACR_MODULE=$BUILD/ngx_http_acr_module.so
fi

mkdir -p "$BUILD/bench"
cc -O2 -Wall -Wextra -o "$BUILD/bench/load" t/bench/load.c -lssl -lcrypto
cc -O2 -Wall -Wextra -o "$BUILD/bench/link" t/bench/link.c

export BENCH_LOAD=$BUILD/bench/load BENCH_LINK=$BUILD/bench/link
export BENCH_ROUNDS=$rounds BENCH_ROWS=$rows
export BENCH_RESULTS=$BUILD/bench/results
rm -f "$BENCH_RESULTS"
export PERL5LIB=$PWD/t/lib:$PWD/t/bench

# a connection of each slow client
ulimit -n 20000 2> /dev/null || true

echo "$(nproc) cores, $rounds rounds, load before:" \
    "$(cut -d ' ' -f 1 /proc/loadavg)"
echo "ratios: median (interval in which it lies)"

if [ ${#subjects[@]} = 0 ]; then
    subjects=("${SUBJECTS[@]}")
fi

for subject in "${subjects[@]}"; do
    # a push of 1 GiB takes its time
    if [ "$subject" = push ]; then
        BENCH_ROUNDS=$(((rounds + 1) / 2)) perl t/bench/push.pl
    else
        perl "t/bench/$subject.pl"
    fi
done

perl t/bench/report.pl "$BENCH_RESULTS" "$BUILD/bench"
