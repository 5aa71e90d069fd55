#!/bin/sh
# enter.sh DIRECTORY CHROOT COMMAND...: runs a client where it can mount what
# it likes, and finds no other daemon's socket in /run.
#
# To be started by "unshare --mount --propagation private --": all mounts end
# with the last process in the namespace.  DIRECTORY lies in /tmp and has the
# same name inside and outside.  An empty CHROOT is this system.

set -eu

dir=$1
root=$2
shift 2

case $dir in
    /tmp/?*) ;;
    *) echo "enter.sh: not in /tmp: $dir" >&2; exit 2 ;;
esac

# "/" must be a mount for dockerd, which makes namespaces of its own.
if [ -n "$root" ]; then
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root$dir"
    mount --bind "$dir" "$root$dir"
fi

# Hierarchies of version 1 are hidden: daemons look for one or the other.
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"

# where tools that share storage and caches have them when root runs them
if [ -d "$root/var/lib/containers" ]; then
    mkdir -p "$dir/containers"
    mount --bind "$dir/containers" "$root/var/lib/containers"
fi

# What the test has for /etc lies over what is there.
if [ -d "$dir/etc" ]; then
    mount -t tmpfs tmpfs "$root/mnt"
    mkdir "$root/mnt/work"
    cp -R "$dir/etc" "$root/mnt/etc"
    mount -t overlay -o "lowerdir=$root/etc,upperdir=$root/mnt/etc" \
        -o "workdir=$root/mnt/work" overlay "$root/etc"
fi

if [ -n "$root" ]; then
    exec chroot "$root" "$@"
fi
exec "$@"
