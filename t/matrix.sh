#!/bin/bash
# matrix.sh: the module with the versions of nginx, hiredis and Redis that it
# supports: it is built without a warning, takes a push, serves the pull, and
# goes on through a reload.

set -eu

usage() {
    cat << 'USAGE'
usage: t/matrix.sh [SUITE|DIRECTORY]...

A SUITE is a Debian, in a chroot that is made if it is not there
(/var/cache/acr-chroots/SUITE; root only): bookworm, trixie, forky.  A
DIRECTORY has nginx's own source, with configure or auto/configure, and is
built by the compiler of this system.  Default: the three suites.
USAGE
}

TREE=$(cd "$(dirname "$0")/.." && pwd)
CHROOTS=/var/cache/acr-chroots
MODULE=ngx_http_acr_module.so

# nginx-dev brings what its own modules need.
PACKAGES=(
    nginx nginx-dev libhiredis-dev libjansson-dev libssl-dev libpcre2-dev
    libcurl4-openssl-dev zlib1g-dev gcc libc6-dev make perl curl
)

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() {
    printf 'matrix.sh: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# --- builds

# what is in the tree, without what was built in it
copy_tree() {
    mkdir -p "$1"
    tar -C "$TREE" --exclude=./build --exclude=./.git -cf - . \
        | tar -C "$1" -xf -
}

# in SUITE COMMAND...: with the work directory at the same place
in_suite() {
    local root=$CHROOTS/$1

    shift
    unshare --mount --propagation private -- \
        "$TREE/t/clients/lib/enter.sh" "$work" "$root" "$@"
}

servers() {
    case $1 in
        bookworm) echo redis-server ;;
        *) echo redis-server valkey-server ;;
    esac
}

# Debian's nginx, with nginx-dev, as "make" does it
run_suite() {
    local dir=$work/$1 server

    # shellcheck disable=SC2046
    "$TREE/t/clients/chroot.sh" "$CHROOTS/$1" "$1" "${PACKAGES[@]}" \
        $(servers "$1")
    copy_tree "$dir/tree"
    in_suite "$1" make -C "$dir/tree" > "$dir/build.log" 2>&1 \
        || { tail -n 30 "$dir/build.log" >&2; return 1; }

    for server in $(servers "$1"); do
        in_suite "$1" "$dir/tree/t/matrix.sh" --smoke "$dir/$server" \
            /usr/sbin/nginx "$dir/tree/build/$MODULE" "$server" || return 1
    done
}

# nginx as it comes from its authors, with the module beside it
run_source() {
    local dir=$work/source configure=./configure

    rm -rf "$dir"
    mkdir -p "$dir"
    cp -a "$1/." "$dir/nginx"
    copy_tree "$dir/tree"
    [ -x "$dir/nginx/configure" ] || configure=auto/configure

    (
        cd "$dir/nginx"
        $configure --prefix="$dir" --with-threads --with-http_ssl_module \
            --with-http_v2_module --add-dynamic-module="$dir/tree"
        make -j "$(nproc)"
    ) > "$dir/build.log" 2>&1 \
        || { tail -n 30 "$dir/build.log" >&2; return 1; }

    "$TREE/t/matrix.sh" --smoke "$dir/smoke" "$dir/nginx/objs/nginx" \
        "$dir/nginx/objs/$MODULE" redis-server
}

# --- the smoke test: --smoke DIRECTORY NGINX MODULE REDIS

configuration() {
    local user=

    [ "$(id -u)" != 0 ] || user='user www-data;'

    cat << CONF
load_module $module;
$user
worker_processes 2;
pid $dir/nginx.pid;
error_log $dir/error.log info;
thread_pool acr threads=2;
thread_pool acr_slow threads=4;
events { }
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/tmp/body;
    proxy_temp_path $dir/tmp/proxy;
    fastcgi_temp_path $dir/tmp/fastcgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    scgi_temp_path $dir/tmp/scgi;
    sendfile on;
    acr_redis unix:$dir/redis.sock;
    server {
        listen 127.0.0.1:$port;
        acr_root $dir/root;
        location / { acr; }
    }
}
CONF
}

free_port() {
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1,
        LocalAddr => "127.0.0.1")->sockport()'
}

# until COMMAND...: tries for ten seconds
until_true() {
    local i

    for ((i = 0; i < 100; i++)); do
        if "$@" > /dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

# expect STATUS CURL-ARGUMENTS...: the body is in $dir/body
expect() {
    local status=$1 got

    shift
    got=$(curl -sS -o "$dir/body" -D "$dir/headers" -w '%{http_code}' "$@")
    [ "$got" = "$status" ] || die "$got, not $status: $*
$(cat "$dir/headers" "$dir/body")"
}

digest() {
    printf 'sha256:%s' "$(sha256sum "$1" | cut -d' ' -f1)"
}

location() {
    sed -n 's/^[Ll]ocation: \([^\r]*\).*/\1/p' "$dir/headers"
}

# push_blob FILE: one request for the upload, one for the bytes
push_blob() {
    local to

    expect 202 -X POST "$url/v2/smoke/blobs/uploads/"
    to=$(location)
    case $to in
        /*) to=$url$to ;;
    esac
    case $to in
        *\?*) to="$to&digest=$(digest "$1")" ;;
        *) to="$to?digest=$(digest "$1")" ;;
    esac
    expect 201 -T "$1" -H 'Content-Type: application/octet-stream' "$to"
}

same() {
    cmp "$1" "$dir/body" || die "other bytes than those of $1"
}

pull() {
    expect 200 "$url/v2/smoke/blobs/$(digest "$dir/layer")"
    same "$dir/layer"
    expect 200 "$url/v2/smoke/manifests/1"
    same "$dir/manifest"
    expect 200 "$url/v2/smoke/manifests/$(digest "$dir/manifest")"
    same "$dir/manifest"
}

# manifest CONFIG LAYER
manifest() {
    local oci=application/vnd.oci.image

    printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' \
        "$oci.manifest.v1+json" \
        "$(descriptor "$oci.config.v1+json" "$1")" \
        "$(descriptor "$oci.layer.v1.tar" "$2")"
}

descriptor() {
    printf '{"mediaType":"%s","digest":"%s","size":%d}' "$1" \
        "$(digest "$2")" "$(stat -c %s "$2")"
}

# A worker that was there before is gone.
reloaded() {
    ! kill -0 "$worker"
}

reload() {
    local master

    master=$(cat "$dir/nginx.pid")
    worker=$(tr ' ' '\n' < "/proc/$master/task/$master/children" | head -n 1)
    kill -HUP "$master"
    until_true reloaded || die "workers do not end after a reload"
}

stop_smoke() {
    local pid

    for pid in "$dir/nginx.pid" "$dir/redis.pid"; do
        [ ! -s "$pid" ] || kill "$(cat "$pid")" 2> /dev/null || true
    done
    wait
}

smoke() {
    dir=$1
    nginx=$2
    module=$3
    redis=$4

    mkdir -p "$dir/root" "$dir/tmp"
    [ "$(id -u)" != 0 ] || chown www-data "$dir" "$dir/root" "$dir/tmp"
    port=$(free_port)
    url=http://127.0.0.1:$port
    trap stop_smoke EXIT

    "$redis" --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 777 \
        --save '' --dir "$dir" > "$dir/redis.log" 2>&1 &
    echo $! > "$dir/redis.pid"
    until_true test -S "$dir/redis.sock" || die "$redis does not start"

    configuration > "$dir/nginx.conf"
    "$nginx" -t -q -e "$dir/error.log" -c "$dir/nginx.conf"
    "$nginx" -e "$dir/error.log" -c "$dir/nginx.conf" -g 'daemon off;' &
    until_true curl -sf "$url/v2/" || die "nginx does not answer
$(tail -n 20 "$dir/error.log")"

    head -c 3000000 /dev/urandom > "$dir/layer"
    printf '{"architecture":"amd64","os":"linux"}' > "$dir/config"
    push_blob "$dir/layer"
    push_blob "$dir/config"
    manifest "$dir/config" "$dir/layer" > "$dir/manifest"
    expect 201 -T "$dir/manifest" "$url/v2/smoke/manifests/1" \
        -H 'Content-Type: application/vnd.oci.image.manifest.v1+json'
    pull

    reload
    until_true curl -sf "$url/v2/" || die "no answer after a reload"
    pull
    head -c 100000 /dev/urandom > "$dir/another"
    push_blob "$dir/another"
    expect 404 "$url/v2/smoke/manifests/2"

    if grep -E '\[(alert|emerg|crit)\]' "$dir/error.log" >&2; then
        die "nginx complains"
    fi

    say "ok: $("$nginx" -v 2>&1 | sed 's/.*: //')," \
        "$("$redis" --version | sed 's/ sha=.*//')"
}

# ---

case ${1-} in
    --smoke) shift; smoke "$@"; exit 0 ;;
    -*) usage; exit 0 ;;
esac

[ $# -gt 0 ] || set -- bookworm trixie forky

work=$(mktemp -d /tmp/acr-matrix-XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
failed=

for what; do
    say "$what"
    if [ -d "$what" ]; then
        run_source "$(cd "$what" && pwd)" || failed="$failed $what"
    else
        [ "$(id -u)" = 0 ] || die "only root can build in a chroot"
        run_suite "$what" || failed="$failed $what"
    fi
done

[ -z "$failed" ] || die "failed:$failed"
say "all of them"
