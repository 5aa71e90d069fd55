#!/bin/bash
# run.sh: installs what the tests need, builds the module, runs them.

set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

# to build, to test, to check, and the clients that t/clients drives
PACKAGES=(
    nginx nginx-dev redis-server gcc libc6-dev make
    libhiredis-dev libjansson-dev libssl-dev libcurl4-openssl-dev
    perl curl ca-certificates openssl python3 procps iproute2 strace
    clang libclang-rt-dev cppcheck valgrind
    docker.io containerd podman buildah skopeo umoci runc debootstrap jq
    docker-registry rsync prometheus redis-sentinel docker-compose python3-yaml
    logrotate build-essential debhelper lintian
)

usage() {
    cat << 'USAGE'
usage: t/run.sh [--no-install] [subject...]

Without a subject, every test.  A subject is the beginning of the name of a
file in t/ or t/clients/: "t/run.sh blob edge" runs t/blob*.t, t/edge*.t and
what t/clients has of both.  PROVE_OPTIONS goes to prove, for example -v.
USAGE
}

install=yes
subjects=()
for arg; do
    case $arg in
        --no-install) install=no ;;
        -h|--help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) subjects+=("${arg%.t}") ;;
    esac
done

if [ $install = yes ] && [ "$(id -u)" = 0 ]; then
    ./conf/install.sh "${PACKAGES[@]}"
fi

shopt -s nullglob
tests=()
for subject in "${subjects[@]-}"; do
    found=(t/"$subject"*.t t/clients/"$subject"*.t)
    if [ ${#found[@]} = 0 ]; then
        echo "run.sh: no test begins with $subject" >&2
        exit 2
    fi
    tests+=("${found[@]}")
done

# one build at a time in this tree
make -j "$(nproc)"

# shellcheck disable=SC2086
exec prove -j "$(nproc)" --timer ${PROVE_OPTIONS-} "${tests[@]}"
