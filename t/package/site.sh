#!/bin/bash
# site.sh DIRECTORY FIRST SECOND: the life of the package in a Debian of its
# own, beside a site.  t/package.sh runs it in a chroot, without a network; it
# ends at the first thing that is not as it should be.
#
# Lines that begin with "$" are what an operator does.  Without systemd, nginx
# is started by its init script, and Redis by hand, as its unit does.

set -eu

dir=$1
first=$2
second=$3

PACKAGE=libnginx-mod-http-acr
EXAMPLES=/usr/share/doc/$PACKAGE/examples
SO=/usr/lib/nginx/modules/ngx_http_acr_module.so
SITE=http://localhost:8080
REGISTRY=localhost:5000
ADMIN=http://$REGISTRY/acr/admin

export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=$dir/home
export DOCKER_HOST=unix://$dir/docker.sock

say() {
    printf 'site.sh: %s\n' "$*"
}

die() {
    say "$*"
    tail -n 20 /var/log/nginx/error.log
    exit 1
}

# what the operator does
does() {
    printf '$ %s\n' "$*"
    "$@"
}

# until_true COMMAND...: tries for a minute
until_true() {
    local i

    for ((i = 0; i < 600; i++)); do
        if "$@" > /dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

# --- nginx

master() {
    cat /run/nginx.pid
}

workers() {
    pgrep -P "$(master)" -f 'nginx: worker process$' || true
}

# which module a process has mapped: none, the file that is there, or another
mapped() {
    local line

    line=$(grep -m 1 "$SO" "/proc/$1/maps" || true)
    case $line in
        '') echo none ;;
        *'(deleted)') echo another ;;
        *) echo installed ;;
    esac
}

# the master and all workers, as one word
runs() {
    local pid

    for pid in $(master) $(workers); do
        mapped "$pid"
    done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

is_running() {
    [ "$(runs)" = "$1" ]
}

only_new_workers() {
    local pid

    [ -n "$(workers)" ] || return 1
    for pid in $old; do
        ! kill -0 "$pid" || return 1
    done
}

reload() {
    old=$(workers)
    does service nginx reload
    until_true only_new_workers || die "no new workers after a reload"
}

site_answers() {
    [ "$(curl -fsS "$SITE/")" = 'a site of its own' ] || return 1
    curl -fsS http://localhost/ | grep -q 'Welcome to nginx'
}

site_goes_on() {
    site_answers || die "the site does not answer $*"
}

status() {
    curl -s -o /dev/null -w '%{http_code}' "$@" || true
}

registry_answers() {
    [ "$(status "http://$REGISTRY/v2/")" = 401 ]
}

nobody_answers() {
    [ "$(status "http://$REGISTRY/v2/")" = 000 ]
}

# --- the registry

curl_registry() {
    curl -fsS -u "admin:$password" "$@"
}

# As the unit does it, with the group of the example beside it.  Valkey has
# the same places with its own name in them.
start_redis() {
    local name=redis

    command -v redis-server > /dev/null || name=valkey
    does sh -c "sed s/redis/$name/g $EXAMPLES/redis-acr.conf \
        > /etc/$name/$name-acr.conf"

    install -d -o $name -g www-data -m 2755 /run/$name-acr
    (umask 007; exec setpriv --reuid $name --regid www-data --clear-groups \
        $name-server /etc/$name/$name-acr.conf) &
    until_true test -S /run/$name-acr/$name-server.sock \
        || die "$name does not start"
    redis=$name
}

start_docker() {
    dockerd -H "$DOCKER_HOST" --data-root "$dir/docker" \
        --exec-root "$dir/exec" --pidfile "$dir/docker.pid" \
        --storage-driver vfs --bridge=none --iptables=false \
        --ip6tables=false --ip-forward=false --ip-masq=false \
        > "$dir/dockerd.log" 2>&1 &
    until_true docker version || die "no dockerd: $(tail "$dir/dockerd.log")"
}

enable_registry() {
    does cp $EXAMPLES/registry.conf /etc/nginx/conf.d/
    [ $redis = redis ] || does sed -i "/acr_redis/s/redis-/$redis-/g" \
        /etc/nginx/conf.d/registry.conf
    does nginx -t
    reload
    until_true registry_answers || die "the registry does not answer"
    site_goes_on "with a registry beside it"
}

disable_registry() {
    does rm /etc/nginx/conf.d/registry.conf
    does nginx -t
    reload
    until_true nobody_answers || die "the registry still answers"
    site_goes_on "without the registry"
}

password() {
    curl -fsS -X PUT -d '{"enabled":true}' "$ADMIN/access/admin" \
        | sed 's/.*"name":"password","value":"\([^"]*\)".*/\1/'
}

# sign_in COMMAND...
sign_in() {
    printf '%s' "$password" \
        | does "$@" -u admin --password-stdin $REGISTRY
}

image_id() {
    docker image inspect -f '{{.Id}}' "$1"
}

push_and_pull() {
    tar -C /usr/share/perl5 -c . | docker import - local/image > /dev/null
    does docker tag local/image $REGISTRY/team/app:1.0
    does docker push -q $REGISTRY/team/app:1.0
    id=$(image_id local/image)
    docker rmi -f "$id" > /dev/null
    pull_again

    does skopeo copy -q --src-tls-verify=false --dest-tls-verify=false \
        docker://$REGISTRY/team/app:1.0 docker://$REGISTRY/team/app:2.0
}

pull_again() {
    does docker pull -q $REGISTRY/team/app:1.0
    [ "$(image_id $REGISTRY/team/app:1.0)" = "$id" ] || die "another image"
    docker rmi -f "$id" > /dev/null
}

# tags with their digests, and the names of all files of images
content() {
    local tag

    curl_registry "http://$REGISTRY/v2/team/app/tags/list"
    for tag in 1.0 2.0; do
        skopeo inspect --tls-verify=false -f '{{.Digest}}' \
            docker://$REGISTRY/team/app:$tag
    done
    files
}

files() {
    find /var/lib/acr/docker -path '*/repositories/team/*' -type f | sort
}

same_content() {
    [ "$(content)" = "$tags" ] || die "other tags than before: $(content)"
}

# --- load

# each PIECE... is a function that is called again and again; how it went is in
# load.PIECE, a line for each time
begin_load() {
    local piece

    rm -f "$dir/stop" "$dir"/load.*
    loops=()
    for piece; do
        (while [ ! -e "$dir/stop" ]; do
            if $piece > "$dir/$piece.out" 2>&1; then
                echo right
            else
                echo wrong
                cp "$dir/$piece.out" "$dir/$piece.failed"
            fi
        done > "$dir/load.$piece") &
        loops+=($!)
        load=("$@")
    done
    goes_on 5
}

# goes_on N: waits until each piece has been done N times more
goes_on() {
    local piece

    for piece in "${load[@]}"; do
        enough=$(($(wc -l < "$dir/load.$piece") + $1))
        until_true has_done "$piece" || die "no more of $piece"
    done
}

has_done() {
    [ "$(wc -l < "$dir/load.$1")" -ge "$enough" ]
}

end_load() {
    local piece wrong=0

    touch "$dir/stop"
    wait "${loops[@]}"
    for piece in "${load[@]}"; do
        say "$1: $piece:" \
            "$(grep -c right "$dir/load.$piece") right," \
            "$(grep -c wrong "$dir/load.$piece" || true) wrong"
        ! grep -q wrong "$dir/load.$piece" \
            || { wrong=1; cat "$dir/$piece.failed"; }
    done
    [ $wrong = 0 ] || die "$1: requests failed"
}

get_site() {
    curl -fsS "$SITE/"
}

pull_blob() {
    curl_registry "http://$REGISTRY/v2/load/app/blobs/$blob" \
        | sha256sum | grep -q "^${blob#sha256:} "
}

pull_image() {
    rm -rf "$dir/pulled"
    skopeo copy -q --src-tls-verify=false \
        docker://$REGISTRY/team/app:1.0 "dir:$dir/pulled"
}

# new_blob NAME BYTES: a file of random bytes, and its digest
new_blob() {
    head -c "$2" /dev/urandom > "$dir/$1"
    printf 'sha256:%s' "$(sha256sum "$dir/$1" | cut -d ' ' -f 1)"
}

push_blob() {
    put_blob pushed "$(new_blob pushed 300000)"
}

# put_blob NAME DIGEST CURL-OPTION...
put_blob() {
    local name=$1 digest=$2 to

    shift 2
    to=$(curl_registry -D - -o /dev/null -X POST \
        "http://$REGISTRY/v2/load/app/blobs/uploads/" \
        | sed -n 's/^[Ll]ocation: \([^\r]*\).*/\1/p')
    case $to in /*) to=http://$REGISTRY$to ;; esac
    case $to in *\?*) to="$to&" ;; *) to="$to?" ;; esac
    curl_registry "$@" -T "$dir/$name" \
        -H 'Content-Type: application/octet-stream' "${to}digest=$digest"
}

# docker tries again by itself what fails, so the log of nginx counts
push_image() {
    new_blob data 100000
    tar -C "$dir" -c data | docker import - $REGISTRY/load/app:new
    docker push -q $REGISTRY/load/app:new
}

# Transfers that last longer than the upgrade: nginx that began them ends them.
begin_slow() {
    slow=()
    curl_registry --limit-rate 3M -o "$dir/slow.pulled" \
        "http://$REGISTRY/v2/load/app/blobs/$large" &
    slow+=($!)
    put_blob slow "$(new_blob slow 40000000)" --limit-rate 3M &
    slow+=($!)
}

end_slow() {
    local pid

    for pid in "${slow[@]}"; do
        wait "$pid" || die "$1: a long transfer failed"
    done
    printf '%s  %s\n' "${large#sha256:}" "$dir/slow.pulled" \
        | sha256sum --check --quiet || die "$1: other bytes"
    say "$1: a pull and a push that lasted longer than it: right"
}

no_errors() {
    if grep -hE '" 5[0-9][0-9] ' /var/log/nginx/*access.log; then
        die "answers that are errors"
    fi
    if grep -E '\[(alert|emerg|crit)\]' /var/log/nginx/error.log; then
        die "nginx complains"
    fi
}

# under_load WHAT COMMAND...
under_load() {
    local what=$1 before

    shift
    before=$(master)
    begin_load get_site pull_blob pull_image push_blob push_image
    begin_slow

    "$@"

    [ "$(master)" != "$before" ] || die "$what: no new master"
    kill -0 "$before" || die "$what: the nginx of before did not go on"
    goes_on 5
    end_slow "$what"
    until_true gone "$before" || die "$what: the nginx of before does not end"
    goes_on 5
    end_load "$what"

    is_running installed || die "$what: nginx has the module: $(runs)"
    same_content
    no_errors
    say "$what: nginx runs the new module"
}

gone() {
    ! kill -0 "$1"
}

version() {
    dpkg-query -W -f '${Version}' $PACKAGE
}

has_version() {
    [ "$(version)" = "$(dpkg-deb -f "$1" Version)" ] \
        || die "the package is $(version)"
}

# --- the life of the package

apt() {
    does apt-get -q -y "$@"
}

a_site() {
    ip link set lo up
    printf '#!/bin/sh\nexit 0\n' > /usr/sbin/policy-rc.d
    mkdir -p "$HOME" /var/www/own
    echo 'a site of its own' > /var/www/own/index.html
    cat > /etc/nginx/sites-available/own << 'CONF'
server {
    listen 8080;
    listen [::]:8080;
    root /var/www/own;
}
CONF
    ln -s ../sites-available/own /etc/nginx/sites-enabled/own
    service nginx start
    until_true site_answers || die "the site does not answer"
}

install_package() {
    apt install --no-install-recommends "$1"
    until_true is_running installed || die "nginx has not loaded the module"
    site_goes_on "after the package was installed"
    has_version "$1"
}

# A reload alone runs the code of before, until nginx is there anew.
downgrade() {
    does dpkg --unpack "$first"
    reload
    is_running another || die "a reload has loaded the new module"
    say "after a reload: nginx still runs the module of before"
    under_load downgrade does dpkg --configure $PACKAGE
    has_version "$first"
}

# The nginx of before still has requests when the next version comes: it is
# said that this one has to wait (nginx itself logs that as critical).
hurry() {
    local before

    before=$(master)
    begin_slow
    does dpkg -i "$second"
    does dpkg -i "$first" | tee "$dir/hurry.out"
    grep -q 'goes on with the module of before' "$dir/hurry.out" \
        || die "nothing is said"
    kill -0 "$before" || die "the nginx of before was too fast"

    end_slow "two upgrades at once"
    until_true gone "$before" || die "the nginx of before does not end"
    is_running another || die "nginx has the module: $(runs)"
    does invoke-rc.d nginx upgrade
    until_true is_running installed || die "nginx has the module: $(runs)"
    same_content
    say "two upgrades at once: the second is told of, and is made up for"
}

a_site
say "$(nginx -v 2>&1 | sed 's/.*: //'), a site"

install_package "$first"
[ "$(readlink /etc/nginx/modules-enabled/50-mod-http-acr.conf)" \
    = /usr/share/nginx/modules-available/mod-http-acr.conf ] \
    || die "it is not enabled as others are"
say "installed: the site goes on"

start_redis
enable_registry
password=$(password)
start_docker
until_true curl_registry http://$REGISTRY/v2/ || die "no admin user"
sign_in skopeo login --tls-verify=false
sign_in docker login
push_and_pull
tags=$(content)
say "enabled by one file: docker has pushed and pulled ($redis)"

large=$(new_blob large 40000000)
put_blob large "$large"
blob=$(new_blob small 1000000)
put_blob small "$blob"

under_load upgrade does apt-get -q -y install "$second"
has_version "$second"
downgrade
hurry

backup=$(does acr-backup /var/lib/acr "$dir/backup" | tail -n 1)
[ -d "$backup/docker" ] || die "no back-up: $backup"

disable_registry
apt remove $PACKAGE
until_true is_running none || die "nginx still has the module"
does nginx -t
site_goes_on "after the package was removed"
files_kept=$(files)
[ -n "$files_kept" ] || die "no files are left"
say "removed: the site goes on"

install_package "$second"
enable_registry
until_true same_content
same_content
pull_again
say "installed again: the same tags"

# in the wrong order: the configuration still needs what is gone
before=$(master)
apt purge $PACKAGE | tee "$dir/purge.out"
grep -q 'still uses the module' "$dir/purge.out" || die "nothing is said"
[ "$(master)" = "$before" ] || die "another nginx"
! nginx -t 2> /dev/null || die "nginx needs no module"
registry_answers || die "the registry has ended"
site_goes_on "after a purge with the registry's file in place"
disable_registry
until_true is_running none || die "nginx still has the module"
[ ! -e /etc/nginx/modules-enabled/50-mod-http-acr.conf ] \
    && [ ! -L /etc/nginx/modules-enabled/50-mod-http-acr.conf.removed ] \
    || die "a link is left"
[ "$(files)" = "$files_kept" ] || die "files of images are gone"
service nginx restart
until_true site_answers || die "nginx does not start again"
say "purged: the site goes on, images stay"

install_package "$first"
enable_registry
until_true same_content
pull_again
say "installed once more: the same tags"
service nginx stop
! grep '\[alert\]' /var/log/nginx/error.log || die "nginx complains"
