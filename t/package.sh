#!/bin/bash
# package.sh: the Debian package, from its build to its end: with Debian's
# nginx of each release, beside a site that goes on.  docs/package.md has the
# commands for operators; they are what t/package/site.sh runs.

set -eu

usage() {
    cat << 'USAGE'
usage: t/package.sh [--chroots DIRECTORY] [--output DIRECTORY] [SUITE...]

For each Debian SUITE (bookworm, trixie and forky if there is none) it builds
the package without a network, runs lintian, and puts it into a clean Debian
with nginx, Redis (Valkey in forky), docker and skopeo: installed, upgraded
under load, downgraded, removed, installed again.  Root only, some 5 minutes a
suite, more if the chroots have to be made.

  --chroots DIRECTORY  where two chroots of each suite are made, and found the
                       next time; /var/cache/acr-package.  They are copied, not
                       changed.  A suite takes 2 GB
  --output DIRECTORY   where packages and logs are left; without it, nowhere
USAGE
}

TREE=$(cd "$(dirname "$0")/.." && pwd)
PACKAGE=libnginx-mod-http-acr

TOOLS=(build-essential debhelper fakeroot lintian)

# what an operator has before the package comes, and what the test needs
SITE=(nginx rsync docker.io skopeo curl procps iproute2)

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() {
    printf 'package.sh: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# logged LOG COMMAND...: the end of the log is shown if the command fails
logged() {
    local log=$1

    shift
    "$@" > "$log" 2>&1 < /dev/null \
        || { tail -n 40 "$log" >&2; return 1; }
}

# alone DIRECTORY COMMAND...: in the chroot, without any network, with its own
# processes, which end with it
alone() {
    local root=$1

    shift
    unshare --mount --net --pid --fork --kill-child --propagation private -- \
        "$TREE/t/clients/lib/enter.sh" "$work" "$root" "$@"
}

# --- build

# packages, where the names are virtual
build_depends() {
    sed -n '/^Build-Depends:/,/^[A-Z]/p' "$TREE/debian/control" \
        | sed -n 's/^\(Build-Depends:\)\? \+\([a-z0-9.+-]*\).*/\2/p' \
        | sed '/^debhelper-compat$/d; s/^dh-sequence-nginx$/nginx-dev/'
}

# the tree as it is now, without what was built in it
copy_tree() {
    mkdir -p "$1"
    tar -C "$TREE" --exclude=./build --exclude=./.git -cf - . \
        | tar -C "$1" -xf -
}

# build ROOT DIRECTORY: leaves the packages in DIRECTORY
build() {
    # shellcheck disable=SC2016
    logged "$2/build.log" alone "$1" sh -euc '
        [ -z "$(sed 1d /proc/net/route)" ] || { echo "a network"; exit 1; }
        cd "$1/source"
        DEB_BUILD_OPTIONS=parallel=$(nproc) dpkg-buildpackage -us -uc
    ' sh "$2"
}

# both packages, and the source package
check() {
    # shellcheck disable=SC2016
    logged "$2/lintian.log" alone "$1" sh -euc '
        cd "$1"
        lintian -i --fail-on error,warning ./*.changes
    ' sh "$2" && ! grep -E '^[EW]: ' "$2/lintian.log" >&2
}

# A later version: its shared memory is of another form.
raise() {
    local version zone=$1/source/src/ngx_http_acr_zone.c

    version=$(dpkg-parsechangelog -l "$1/source/debian/changelog" -S Version)
    {
        printf '%s (%s+1) unstable; urgency=medium\n\n' $PACKAGE "$version"
        printf '  * Another form of the shared memory.\n\n'
        sed -n '/^ -- /{p;q}' "$TREE/debian/changelog"
        printf '\n'
        cat "$TREE/debian/changelog"
    } > "$1/source/debian/changelog"

    sed -i 's/^\(#define NGX_HTTP_ACR_ZONE_VERSION\) .*/\1  1000000/' "$zone"
    grep -q 'ZONE_VERSION  1000000$' "$zone"
}

deb() {
    find "$1" -maxdepth 1 -name "${PACKAGE}_*.deb"
}

# --- the suites

# libraries that the package depends on, which apt would fetch
libraries() {
    dpkg-deb -f "$1" Depends | tr ',' '\n' \
        | sed 's/^ *//; s/[ (].*//; /^nginx-abi-/d; /^libc6$/d'
}

run_suite() {
    local suite=$1 dir=$work/$1 more

    # docker's client is a package of its own from trixie on
    case $suite in
        bookworm) more=redis-server ;;
        trixie) more='redis-server docker-cli' ;;
        *) more='valkey-server docker-cli' ;;
    esac

    mkdir -p "$dir/first" "$dir/second"

    # shellcheck disable=SC2046
    "$TREE/t/clients/chroot.sh" "$chroots/$suite-build" "$suite" \
        "${TOOLS[@]}" $(build_depends)

    say "$suite: the package"
    copy_tree "$dir/first/source"
    build "$chroots/$suite-build" "$dir/first"
    check "$chroots/$suite-build" "$dir/first"

    say "$suite: a later one"
    copy_tree "$dir/second/source"
    raise "$dir/second"
    build "$chroots/$suite-build" "$dir/second"

    # shellcheck disable=SC2046,SC2086
    "$TREE/t/clients/chroot.sh" "$chroots/$suite" "$suite" \
        "${SITE[@]}" $more $(libraries "$(deb "$dir/first")")

    say "$suite: beside a site"
    cp -a "$chroots/$suite" "$dir/root"
    cp -a "$TREE/t/package/site.sh" "$dir/"
    logged "$dir/site.log" alone "$dir/root" "$dir/site.sh" "$dir" \
        "$(deb "$dir/first")" "$(deb "$dir/second")"
    sed -n 's/^site.sh: //p' "$dir/site.log"
}

# keep SUITE: what was made of it
keep() {
    local dir=$work/$1

    rm -rf "$dir"/{first,second}/source
    [ -z "$output" ] || cp -a "$dir"/{first,second} "$dir"/*.log "$output/$1/"
    rm -rf "$dir"
}

# ---

chroots=/var/cache/acr-package
output=
suites=()

while [ $# -gt 0 ]; do
    case $1 in
        --chroots|--output)
            [ $# -ge 2 ] || die "$1 needs a directory"
            mkdir -p "$2"
            if [ "$1" = --chroots ]; then
                chroots=$(cd "$2" && pwd)
            else
                output=$(cd "$2" && pwd)
            fi
            shift
            ;;
        -h|--help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) suites+=("$1") ;;
    esac
    shift
done

[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie forky)
[ "$(id -u)" = 0 ] || die "only root can build in a chroot"

work=$(mktemp -d /tmp/acr-package-XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
failed=

for suite in "${suites[@]}"; do
    [ -z "$output" ] || mkdir -p "$output/$suite"
    mkdir -p "$work/$suite"
    set +e
    (set -e; run_suite "$suite")
    # shellcheck disable=SC2181
    [ $? = 0 ] || failed="$failed $suite"
    set -e
    keep "$suite"
done

[ -z "$failed" ] || die "failed:$failed"
say "all of them"
