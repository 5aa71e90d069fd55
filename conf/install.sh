#!/bin/sh
# install.sh PACKAGE...: installs the Debian packages that are missing.
#
# The services in them are not started, neither now nor at the next boot: the
# registry runs its own nginx and Redis.  Needs root if something is missing.

set -eu

POLICY=/usr/sbin/policy-rc.d
MARK='made by install.sh of ngx_http_acr_module'

missing() {
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null \
            | grep -qx installed || printf '%s ' "$package"
    done
}

# What invoke-rc.d asks before it starts a service.  An administrator's own
# is put back, also by the next run if this one is killed.
forbid() {
    if [ -e $POLICY ] || [ -L $POLICY ]; then
        mv $POLICY $POLICY.acr
    fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$MARK" > $POLICY
    chmod 755 $POLICY
}

restore() {
    if grep -qs "$MARK" $POLICY; then
        rm -f $POLICY
    fi
    if [ -e $POLICY.acr ] || [ -L $POLICY.acr ]; then
        mv $POLICY.acr $POLICY
    fi
}

# What starts at boot: init scripts, and what systemd's targets want.
services() {
    for file in /etc/init.d/* /etc/systemd/system/*.wants/*; do
        [ ! -e "$file" ] || printf '%s\n' "${file##*/}"
    done | sort -u
}

disable() {
    case $1 in
        *.*) ! command -v systemctl > /dev/null || systemctl disable "$1" ;;
        *) update-rc.d "$1" disable ;;
    esac > /dev/null 2>&1
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=600 "$@" < /dev/null >> "$log" 2>&1 9>&-
}

packages=$(missing "$@")
if [ -z "$packages" ] && ! grep -qs "$MARK" $POLICY; then
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    echo "install.sh: not installed: $packages" >&2
    echo "install.sh: root can install it, with apt-get install" >&2
    exit 1
fi

exec 9> /run/acr-install.lock
flock 9
restore

packages=$(missing "$@")
if [ -z "$packages" ]; then
    exit 0
fi

before=$(services)
log=$(mktemp)
trap 'restore; rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM
forbid

echo "install.sh: apt-get install $packages"

# The lists of packages may be missing, or older than what there is.
set -- install --no-install-recommends
# shellcheck disable=SC2086
if ! apt "$@" $packages && ! { apt update && apt "$@" $packages; }; then
    cat "$log" >&2
    exit 1
fi

for service in $(services); do
    printf '%s\n' "$before" | grep -qxF -- "$service" \
        || disable "$service" \
        || echo "install.sh: $service starts at the next boot" >&2
done
