#!/bin/bash
# backup.sh: a copy of a registry's directory.  --help says the rest.

set -eu
umask 077

usage() {
    cat << USAGE
usage: $0 DIRECTORY BACKUPS

Copies what a registry's directory (acr_root) holds to BACKUPS/<time>.  The
registry may run, and take pushes and deletes, meanwhile.  What did not change
since the last copy there is a hard link to it, so that a copy costs little more
than what is new.  A copy under way, or one that failed, ends in ".part".

A copy has all that was there when it began and was not deleted until it ended.
What is deleted keeps its files for acr_gc_delay; a copy should not take longer.

With access control a copy is secret: it has hashes of passwords, and the key
that tokens are signed with (acr/access.json, acr/token.key).

Restore one by copying it to an empty directory; docs/recovery.md tells how.
USAGE
}

case ${1-} in
    -h|--help) usage; exit 0 ;;
esac
if [ $# != 2 ] || [ ! -d "$1/docker/registry/v2" ]; then
    usage >&2
    exit 2
fi
if ! command -v rsync > /dev/null; then
    echo "$0: needs rsync" >&2
    exit 1
fi

from=$(cd "$1" && pwd -P)
mkdir -p "$2"
to=$(cd "$2" && pwd -P)

name=$(date -u +%Y-%m-%dT%H%M%S.%3NZ)
part=$to/$name.part
last=$(find "$to" -mindepth 1 -maxdepth 1 -type d -name '*T*Z' | sort \
    | tail -n 1)

# copy BELOW OPTION... PATTERN: files below a directory whose path ends so
copy() {
    local below=$1 status=0

    shift
    [ -d "$from/$below" ] || return 0
    mkdir -p "$part/$below"

    set -- "${@:1:$#-1}" --include="${!#}"
    [ -z "$last" ] || set -- --link-dest="$last/$below" "$@"

    rsync -rltpog --prune-empty-dirs --include='*/' "$@" --exclude='*' \
        "$from/$below/" "$part/$below/" \
        2> >(grep -v vanished >&2) || status=$?

    # 24: a file has vanished, since it was deleted meanwhile
    [ $status = 0 ] || [ $status = 24 ] || exit $status
}

# copy_file FILE: one that is replaced as a whole, if it is there
copy_file() {
    local below

    below=$(dirname "$1")
    [ -f "$from/$1" ] || return 0

    set -- "$from/$1" "$part/$below/"
    [ -z "$last" ] || set -- --link-dest="$last/$below" "$@"

    rsync -ctpog "$@"
}

mkdir "$part" "$part/acr"

# Whatever names something is copied before what it names.  A push writes them
# the other way round, so what a name in the copy leads to was there before, and
# is copied later.  Links have all the same size, and two of one second may
# differ, so they are compared by content.
v2=docker/registry/v2
copy $v2/repositories -c '_manifests/tags/*/current/link'
copy $v2/repositories -c '_manifests/tags/*/index/*/*/link'
copy $v2/repositories -c '_manifests/revisions/*/*/link'
copy acr/repositories -c '*'
copy $v2/repositories -c '_layers/*/*/link'
copy $v2/blobs '/*/*/*/data'

# who may do what, the key of tokens, and cache rules
copy_file acr/access.json
copy_file acr/token.key
copy_file acr/rules.json

# the last, since it tells who may write to what the copy has
copy_file acr/version

sync -f "$part"
mv -T "$part" "$to/$name"
printf '%s\n' "$to/$name"
