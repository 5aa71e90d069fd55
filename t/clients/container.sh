#!/bin/bash
# container.sh: makes the images that container.t runs.

set -eu
cd "$(dirname "$0")/../.."

usage() {
    cat << 'USAGE'
usage: t/clients/container.sh [DIRECTORY]

Builds the Dockerfile with buildah, on a Debian 12 that debootstrap makes of
this machine's mirror and that has the name of the Dockerfile's base image; and
a stand-in for the image of Redis, with Debian's.  Needs root, and a gigabyte in
/var/cache/acr-container, where container.t looks for them; for another
directory set ACR_CONTAINER when it runs.  Without it, and in CI, container.t is
skipped.  Run again it builds what has changed.
USAGE
}

case ${1-} in
    -*) usage; exit 0 ;;
esac

dir=${1:-/var/cache/acr-container}
base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
redis=$(sed -n 's/^ *image: \(.*redis.*\)/\1/p' conf/container/compose.yaml)

say() {
    printf 'container.sh: %s\n' "$*" >&2
}

# chroot isolation needs no cgroups
bud() {
    buildah "${storage[@]}" bud --format docker --isolation chroot \
        --network host --pull-never --layers "$@" >> "$dir/log" 2>&1 || {
        tail -n 20 "$dir/log" >&2
        say "an image cannot be built; see $dir/log"
        exit 1
    }
}

# As Debian's own image: no services start, and packages bring no documents.
# The sources of apt are those of debootstrap, so that builds use its mirror.
base() {
    local container root

    t/clients/chroot.sh "$dir/debian" bookworm apt
    say "$base"
    container=$(buildah "${storage[@]}" from scratch)
    root=$(buildah "${storage[@]}" mount "$container")
    cp -a "$dir/debian/." "$root"
    rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,info,locale,man}/*
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    printf 'path-exclude=/usr/share/%s/*\n' doc info locale man \
        > "$root/etc/dpkg/dpkg.cfg.d/slim"
    buildah "${storage[@]}" umount "$container" > /dev/null
    buildah "${storage[@]}" config --cmd bash "$container"
    buildah "${storage[@]}" commit --quiet --rm "$container" "$base" \
        >> "$dir/log"
}

[ "$(id -u)" = 0 ] || { say "only root can make them"; exit 1; }
for command in buildah debootstrap; do
    command -v $command > /dev/null || { say "there is no $command"; exit 1; }
done

mkdir -p "$dir/empty"
exec 9> "$dir/lock"
flock 9
: > "$dir/log"
storage=(--root "$dir/storage" --runroot "$dir/run" --storage-driver overlay)

buildah "${storage[@]}" inspect --type image "$base" > /dev/null 2>&1 || base

say "$redis"
bud -t "$redis" -f - "$dir/empty" << REDIS
FROM $base
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 999 -g 999 /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
REDIS

say "ngx-acr"
bud -t ngx-acr .

buildah "${storage[@]}" images ngx-acr
say "t/run.sh container runs them"
