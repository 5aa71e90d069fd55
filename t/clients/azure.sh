#!/bin/bash
# azure.sh: gets Azure's SDKs and az, which azure.t drives.

set -eu

usage() {
    cat << 'USAGE'
usage: t/clients/azure.sh [DIRECTORY]

Installs Azure's clients with npm and pip into /var/cache/acr-azure, where
azure.t looks for them; for another directory set ACR_AZURE when it runs.  It
needs Debian's npm and python3-venv, and a gigabyte.  Run again it installs what
is missing.  Without it, and in CI, azure.t is skipped.
USAGE
}

JS=@azure/container-registry@1.1.2
PYTHON=azure-containerregistry==1.2.0
CLI=azure-cli==2.91.0

case ${1-} in
    -*) usage; exit 0 ;;
esac

dir=${1:-/var/cache/acr-azure}

say() {
    printf 'azure.sh: %s\n' "$*" >&2
}

# run WHAT COMMAND...: into WHAT.part first, so that none is half there
run() {
    local what=$1
    shift

    [ ! -d "$dir/$what" ] || return 0
    say "$what"
    rm -rf "$dir/$what.part"
    mkdir "$dir/$what.part"
    (cd "$dir/$what.part" && "$@") > "$dir/$what.log" 2>&1 < /dev/null || {
        say "$what cannot be installed; see $dir/$what.log"
        return 1
    }
    mv "$dir/$what.part" "$dir/$what"
}

# nothing that a package brings with it is run
javascript() {
    echo '{"private":true}' > package.json
    npm install --no-audit --no-fund --ignore-scripts "$JS"
}

# Scripts of a virtual environment have its path in them, so they are not used.
python() {
    python3 -m venv . && bin/python3 -m pip install "$1"
}

mkdir -p "$dir"
exec 9> "$dir/lock"
flock 9

failed=0
run js javascript || failed=1
run python python "$PYTHON" || failed=1
run cli python "$CLI" || failed=1
[ $failed = 0 ] && say "$dir is ready"
exit $failed
