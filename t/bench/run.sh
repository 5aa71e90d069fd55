#!/bin/bash
# run.sh: measures the module beside nginx with static files, Debian's
# docker-registry and dd, in one run and in shuffled order.

set -eu
cd "$(dirname "$0")/../.."

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

PACKAGES=(
    nginx nginx-dev redis-server docker-registry gcc libc6-dev make
    libhiredis-dev libjansson-dev libssl-dev perl
)
SUBJECTS=(manifest auth blob push memory rebuild)

usage() {
    cat << 'USAGE'
usage: t/bench/run.sh [--no-install] [-n rounds] [subject...]

The subjects are manifest, auth, blob, push, memory and rebuild; without one,
all.  With the default of 3 rounds that takes less than 3 minutes.  More rounds
make the medians surer.  What is pushed lies below TMPDIR, which should be on
the kind of disk that the registry is to have: 6 GiB are needed.
USAGE
}

install=yes
rounds=3
subjects=()
while [ $# != 0 ]; do
    case $1 in
        --no-install) install=no ;;
        -n) rounds=${2-}; shift ;;
        -h|--help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) subjects+=("$1") ;;
    esac
    shift
done

for subject in "${subjects[@]}"; do
    case " ${SUBJECTS[*]} " in
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
cc -O2 -Wall -Wextra -o "$BUILD/bench/load" t/bench/load.c

export BENCH_LOAD=$BUILD/bench/load BENCH_ROUNDS=$rounds
export PERL5LIB=$PWD/t/lib:$PWD/t/bench

# a connection of each slow client
ulimit -n 4096 2> /dev/null || true

echo "$(nproc) cores, $rounds rounds, load before:" \
    "$(cut -d ' ' -f 1 /proc/loadavg)"
echo "ratios: median (smallest-largest)"

if [ ${#subjects[@]} = 0 ]; then
    subjects=("${SUBJECTS[@]}")
fi

for subject in "${subjects[@]}"; do
    perl "t/bench/$subject.pl"
done
