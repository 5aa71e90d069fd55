#!/bin/sh
#
# check.sh [SECONDS]: what can be checked without running nginx: unit tests,
# each fuzz target for so many seconds (2), and static analysis of every C
# file by cppcheck and by clang's analyzer.  Installs nothing.
#
# "make" comes first: the analysis needs nginx as it was configured there.

set -eu
cd "$(dirname "$0")/.."

SECONDS_EACH=${1:-2}
BUILD=${BUILD:-$PWD/build}
NGINX_SRC=${NGINX_SRC:-/usr/share/nginx/src}
CLANG=${CLANG:-clang}
export CLANG

jobs=$(nproc)

if [ ! -f "$BUILD/Makefile" ]; then
    echo "$0: nothing is configured in $BUILD: run make first" >&2
    exit 1
fi

make -j "$jobs" -C t/unit run BUILD="$BUILD/unit"
make -j "$jobs" -C t/fuzz run BUILD="$BUILD/fuzz" SECONDS_EACH="$SECONDS_EACH"

# no path may have a space in it, as for nginx's own build

sources=$(ls ngx_http_acr_module.c src/*.c src/*/*.c)
quiet=
system=

for dir in core event event/modules event/quic os/unix http http/modules \
           http/v2 http/v3
do
    dir=$NGINX_SRC/src/$dir
    quiet="$quiet -I$dir --suppress=*:$dir/*"
    system="$system -isystem $dir"
done

echo "cppcheck"

# shellcheck disable=SC2086
cppcheck -j "$jobs" --quiet --error-exitcode=1 --std=c11 --max-configs=1 \
    --enable=warning,performance,portability --inline-suppr \
    --suppressions-list=t/cppcheck.txt \
    -D__GNUC__ -D__x86_64__ -D__linux__ -D_GNU_SOURCE $quiet \
    -I"$BUILD" -I"$BUILD/acr" -Isrc -Isrc/oci -Isrc/auth $sources

echo "clang --analyze"

# analyze SOURCE... -- OPTION...
analyze() {
    files=
    while [ "$1" != -- ]; do
        files="$files $1"
        shift
    done
    shift

    # shellcheck disable=SC2086
    echo $files | xargs -n 1 -P "$jobs" "$CLANG" --analyze \
        -Xclang -analyzer-werror -Xanalyzer -analyzer-output=text \
        -Wall -Wextra -Werror -Wno-unused-parameter -D_GNU_SOURCE $system \
        -isystem "$BUILD" -I"$BUILD/acr" -Isrc -Isrc/oci -Isrc/auth \
        -o /dev/null "$@"
}

# What is freed in a loop over ngx_queue_t: the analyzer takes the next element
# for the one before, as it does not see that this one was removed.

analyze src/oci/*.c --
# shellcheck disable=SC2046
analyze $(echo "$sources" | grep -v '^src/oci/') -- \
    -Xclang -analyzer-disable-checker=unix.Malloc

echo "check: ok"
