#!/bin/bash
# chroot.sh: makes a directory with another Debian in it.
#
# t/clients runs the clients that Debian 12 does not have in one, t/matrix.sh
# builds the module in several.  Run again it installs what is missing.

set -eu

usage() {
    cat << 'USAGE'
usage: t/clients/chroot.sh [DIRECTORY [SUITE [PACKAGE...]]]

Without arguments, forky with the clients that the tests in t/clients use, in
/var/cache/acr-chroots/forky, where they look for it.  For another directory
set ACR_CHROOT when they run.
USAGE
}

# crane, oras, cosign and notation as they are; docker.io for buildx, since
# BuildKit is in dockerd; redis and nginx for t/matrix.sh.
CLIENTS=(
    skopeo crane oras cosign notation umoci buildah podman
    docker.io docker-cli docker-buildx containerd runc iproute2
)

case ${1-} in
    -*) usage; exit 0 ;;
esac

dir=${1:-/var/cache/acr-chroots/forky}
suite=${2:-forky}
shift $(($# < 2 ? $# : 2))
packages=("$@")
[ $# -gt 0 ] || packages=("${CLIENTS[@]}")

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() {
    printf 'chroot.sh: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# The mirror that this machine uses.
mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' \
        | awk '$1 == "main" && $2 ~ /\/debian\/$/ { print $2; exit }'
}

# debootstrap has a script for each suite that it knew when it was made; all
# of them are the one for sid.
make_debian() {
    local script=/usr/share/debootstrap/scripts/$suite mirror

    [ -e "$script" ] || script=${script%/*}/sid
    mirror=$(mirror)
    [ -n "$mirror" ] || die "no Debian mirror in apt's sources"

    say "$suite from $mirror"
    rm -rf "$dir.part"
    mkdir -p "$dir.part"
    debootstrap --variant=minbase "$suite" "$dir.part" "$mirror" "$script" \
        > "$dir.log" 2>&1 || die "debootstrap failed; see $dir.log"
    mv "$dir.part" "$dir"
}

# Nothing that is installed in there may start.
install_packages() {
    printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d"
    chmod 755 "$dir/usr/sbin/policy-rc.d"

    # a mount namespace of its own: the mount ends with it
    # shellcheck disable=SC2016
    unshare --mount --propagation private -- sh -euc '
        dir=$1; shift
        mount -t proc proc "$dir/proc"
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        install() {
            chroot "$dir" apt-get -q -y install --no-install-recommends "$@"
        }
        install "$@" || {
            chroot "$dir" apt-get -q update
            install "$@"
        }
        chroot "$dir" apt-get -q clean
    ' sh "$dir" "${packages[@]}" >> "$dir.log" 2>&1 < /dev/null \
        || die "packages cannot be installed; see $dir.log"
}

missing() {
    local package

    # shellcheck disable=SC2016
    for package in "${packages[@]}"; do
        chroot "$dir" dpkg-query -W -f '${db:Status-Status}\n' "$package" \
            2> /dev/null | grep -qx installed || return 0
    done
    return 1
}

[ "$(id -u)" = 0 ] || die "only root can make one"
command -v debootstrap > /dev/null || die "there is no debootstrap"

mkdir -p "$(dirname "$dir")"
exec 9> "$dir.lock"
flock 9

[ -d "$dir" ] || make_debian
missing && install_packages
say "$dir is ready"
