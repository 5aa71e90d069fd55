#!/bin/bash
# quickstart.sh: a registry on this machine.  --help says the rest.

set -eu
umask 022

TREE=$(cd "$(dirname "$0")/.." && pwd -P)
MODULE=ngx_http_acr_module.so
PACKAGES=(nginx nginx-dev redis-server gcc libc6-dev make
          libhiredis-dev libjansson-dev libssl-dev libcurl4-openssl-dev)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

usage() {
    cat << USAGE
usage: conf/quickstart.sh [option...]

Installs what is needed, builds the module, starts Redis and nginx, and waits
until the registry answers at http://localhost:5000/v2/.  Once more, it
starts what is not running and takes over a new build or another port.

  --port N       another port (default 5000, or that of the data directory)
  --data DIR     where everything is kept that it writes: images, index,
                 logs, configuration, process ids in run/.  The default is
                 /var/lib/acr for root, ~/.local/share/acr for others, with
                 "-N" at its end for a port N other than 5000.  Several
                 registries on different ports and directories do not
                 disturb one another.
  --no-install   install no Debian packages
  --open         without access control: whoever is on this machine may push,
                 pull and delete.  It stays so until --login
  --login        with access control, as at the first time without --open: the
                 password of the user "admin" is in the data directory, in
                 admin.password
  --stop         stop nginx and Redis; the data stays
USAGE
}

say() {
    printf 'quickstart: %s\n' "$*"
}

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# --- options

options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --port|--data)
                [ $# -ge 2 ] || die "$1 needs a value"
                if [ "$1" = --port ]; then port=$2; else data=$2; fi
                shift
                ;;
            --port=*) port=${1#*=} ;;
            --data=*) data=${1#*=} ;;
            --no-install) install=no ;;
            --open) open=yes ;;
            --login) open=no ;;
            --stop) stop=yes ;;
            -h|--help) usage; exit 0 ;;
            *) usage >&2; die "unknown option: $1" ;;
        esac
        shift
    done

    case $port in
        '') ;;
        *[!0-9]*|0*|??????*) die "--port: not a port: $port" ;;
        *) [ "$port" -le 65535 ] || die "--port: not a port: $port" ;;
    esac

    if [ -z "$data" ]; then
        if [ "$(id -u)" = 0 ]; then
            data=/var/lib/acr
        else
            data=${XDG_DATA_HOME:-$HOME/.local/share}/acr
        fi
        if [ -n "$port" ] && [ "$port" != 5000 ]; then
            data=$data-$port
        fi
    fi

    data=$(realpath -m -- "$data")
    conf=$data/conf/nginx.conf
    socket=$data/redis/redis.sock

    case $data in
        /) die "--data: not the root directory" ;;
        *[!A-Za-z0-9/._,:@%+=-]*)
            die "--data: a space or special character in $data" ;;
    esac

    # the length that the kernel has room for
    [ ${#socket} -le 107 ] \
        || die "--data: too long for a unix socket in it: $data"

    if [ -z "$port" ]; then
        port=$(running_port)
        port=${port:-5000}
    fi

    if [ -z "$open" ]; then
        open=no
        ! grep -qs '^ *acr_auth off;' "$conf" || open=yes
    fi
}

running_port() {
    sed -n 's/^ *listen 127\.0\.0\.1:\([0-9]*\);.*/\1/p' "$conf" \
        2> /dev/null || true
}

# --- processes
#
# A process id is believed only if the process was started by this script
# with this directory.

pid_of() {
    local pid=

    [ ! -e "$data/run/$1.pid" ] || read -r pid < "$data/run/$1.pid" || true
    case $pid in
        ''|*[!0-9]*) return ;;
    esac
    printf '%s\n' "$pid"
}

# A process that has ended but was not waited for has no command line.
cmdline() {
    tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline" | sed 's/ *$//' || true
}

nginx_pid() {
    local pid

    pid=$(pid_of nginx)
    case $(cmdline "${pid:-0}" 2> /dev/null) in
        "nginx: master process "*" -c $conf") printf '%s\n' "$pid" ;;
    esac
}

redis_pid() {
    local pid

    pid=$(pid_of redis)
    case $(cmdline "${pid:-0}" 2> /dev/null) in
        *"-server $data/conf/redis.conf") printf '%s\n' "$pid" ;;
    esac
}

# Workers outlive a master that was killed, and keep the port.  Their process
# group has the master's id, which is not given away while they live.
orphans() {
    local pid stat master

    master=$(pid_of nginx)
    if [ -z "$master" ] || [ -n "$(cmdline "$master" 2> /dev/null)" ]; then
        return
    fi

    for stat in /proc/[0-9]*/stat; do
        read -r stat 2> /dev/null < "$stat" || continue
        case $stat in
            *" (nginx) Z "*) ;;
            *" (nginx) "*)
                pid=${stat%% *}
                # shellcheck disable=SC2086
                set -- ${stat##*) }
                [ "$3" != "$master" ] || printf '%s\n' "$pid"
                ;;
        esac
    done
}

# end SECONDS SIGNAL FUNCTION: signals the processes that the function names,
# waits, and kills what is left.
end() {
    local pids i

    pids=$($3)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -s "$2" $pids 2> /dev/null || true

    for ((i = 0; i < $1 * 10; i++)); do
        pids=$($3)
        [ -n "$pids" ] || return 0
        sleep 0.1
    done

    # shellcheck disable=SC2086
    kill -s KILL $pids 2> /dev/null || true
    sleep 0.2
}

# Transfers under way may end.
stop_nginx() {
    end 10 QUIT nginx_pid
    end 5 QUIT orphans
    rm -f "$data/run/nginx.pid"
}

stop_redis() {
    end 30 TERM redis_pid
    rm -f "$data/run/redis.pid"
}

# --- what is needed

need() {
    local command

    if [ "$install" = yes ] && [ "$(id -u)" = 0 ] \
        && command -v apt-get > /dev/null
    then
        "$TREE/conf/install.sh" "${PACKAGES[@]}" \
            || die "the packages cannot be installed"
    fi

    for command in nginx redis-server make gcc; do
        command -v $command > /dev/null \
            || die "there is no $command; needed are: ${PACKAGES[*]}"
    done
}

build() {
    say "building the module"

    make -C "$TREE" -j "$(nproc)" \
        > "$data/logs/build.log" 2>&1 9>&- \
        || { tail -n 20 "$data/logs/build.log" >&2
             die "the module cannot be built; see $data/logs/build.log"; }
}

# update FROM TO: tells by its status whether TO was another file.  It is
# replaced, never written to: a running nginx may have it mapped.
update() {
    if cmp -s "$1" "$2"; then
        return 1
    fi
    cp "$1" "$2.new"
    chmod 644 "$2.new"
    mv "$2.new" "$2"
}

# --- the directory
#
# As root, nginx's workers are www-data, and Redis is redis in the group
# www-data, so that nobody else reaches the socket.

directories() {
    if [ "$(id -u)" != 0 ]; then
        mkdir -p "$data"/{conf,logs,modules,run,tmp,redis} \
            || die "cannot write to $data"
        chmod 700 "$data/redis"
        return
    fi

    if [ ! -d "$data" ]; then
        mkdir -p "$data"
        chmod 750 "$data"
        chgrp www-data "$data"
    fi

    # one that was made for root alone, as mktemp -d does
    if ! as www-data test -r "$data" -a -x "$data"; then
        chgrp www-data "$data"
        chmod g+rx "$data"
    fi

    as www-data test -r "$data" -a -x "$data" \
        || die "www-data must be able to read $data"

    mkdir -p "$data"/{conf,logs,modules,run,tmp}
    install -d -m 750 -o "$redis_user" -g www-data "$data/redis"
    chown -R "$redis_user:www-data" "$data/redis"
}

# as USER COMMAND...
as() {
    local user=$1

    shift
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid "$user" --regid www-data --clear-groups -- "$@"
    else
        "$@"
    fi
}

# made FILE: conf/FILE with this directory and port, as conf/FILE.made.
made() {
    local script

    script="s|/var/lib/acr|$data|g; s|:5000;|:$port;|"
    grep -qs '^0\{31\}1 ' /proc/net/if_inet6 \
        || script="$script; /listen \[::1\]/d"
    [ "$(id -u)" = 0 ] || script="$script; /^user /d"
    [ $open = no ] || script="$script; s|acr_auth on;|acr_auth off;|"

    sed "$script" "$TREE/conf/$1" > "$data/conf/$1.made"
}

# --- start

start_redis() {
    local i pid

    if [ -n "$(redis_pid)" ]; then
        return
    fi

    case $(redis-cli -s "$socket" ping 2> /dev/null) in
        PONG) die "a Redis of somebody else listens at $socket" ;;
    esac

    umask 077
    as_redis >> "$data/logs/redis.log" 2>&1 < /dev/null 9>&- &
    umask 022
    echo $! > "$data/run/redis.pid"

    # It may have a long log of changes to read.
    for ((i = 0; i < 600; i++)); do
        case $(redis-cli -s "$socket" ping 2> /dev/null) in
            PONG) return ;;
        esac
        kill -0 $! 2> /dev/null \
            || { tail -n 5 "$data/logs/redis.log" >&2
                 die "Redis cannot be started; see $data/logs/redis.log"; }
        sleep 0.1
    done

    say "Redis is still reading its data; going on without"
}

as_redis() {
    if [ "$(id -u)" = 0 ]; then
        exec setsid setpriv --reuid "$redis_user" --regid www-data \
            --clear-groups -- redis-server "$data/conf/redis.conf"
    fi
    exec setsid redis-server "$data/conf/redis.conf"
}

# The configuration is the last argument: nginx_pid looks for it.
run_nginx() {
    "$(command -v nginx)" -p "$data" -e "$data/logs/error.log" "$@" 9>&-
}

# answers [PATH]: whether somebody answers at the port, and with what.
answers() {
    local status

    (
        exec 3<> "/dev/tcp/127.0.0.1/$port" || exit 1
        [ $# -gt 0 ] || exit 0
        printf 'GET %s HTTP/1.0\r\nHost: localhost:%s\r\n\r\n' "$1" "$port" >&3
        read -r -t 5 _ status _ <&3
        [ "$status" = 200 ] || [ "$status" = 401 ]
    ) 2> /dev/null
}

wait_for_registry() {
    local i

    for ((i = 0; i < 300; i++)); do
        if answers /v2/; then
            return
        fi
        [ -n "$(nginx_pid)" ] || [ $i -lt 20 ] || break
        sleep 0.1
    done

    tail -n 5 "$data/logs/error.log" >&2
    die "the registry does not answer; see $data/logs/error.log"
}

start() {
    local was reload=no

    was=$(running_port)
    [ -n "$(nginx_pid)" ] || { stop_nginx; was=; }
    if [ "$port" != "$was" ] && answers; then
        die "port $port is used by something else; try --port"
    fi

    made redis.conf
    if update "$data/conf/redis.conf.made" "$data/conf/redis.conf"; then
        stop_redis
    fi
    start_redis

    update "$TREE/build/$MODULE" "$data/modules/$MODULE" || true
    made nginx.conf
    run_nginx -t -q -c "$conf.made" \
        || die "nginx does not take its configuration"
    if update "$conf.made" "$conf"; then
        reload=yes
    fi
    rm -f "$data"/conf/*.made

    # nginx writes its process id when it starts.
    if [ -n "$was" ] \
        && [ "$data/modules/$MODULE" -nt "$data/run/nginx.pid" ]
    then
        say "restarting nginx with the new module"
        stop_nginx
        was=
    fi

    if [ -z "$was" ]; then
        run_nginx -c "$conf" || die "nginx cannot be started"
    elif [ $reload = yes ]; then
        kill -s HUP "$(nginx_pid)"
    fi

    wait_for_registry
}

# --- the admin user

# ask METHOD PATH BODY [PASSWORD]: the status of the answer, and its body in
# one line
ask() {
    local status line login=

    if [ $# -gt 3 ]; then
        login="Authorization: Basic $(printf 'admin:%s' "$4" | base64 -w 0)"
        login=$login$'\r\n'
    fi

    (
        exec 3<> "/dev/tcp/127.0.0.1/$port" || exit 1
        printf '%s %s HTTP/1.0\r\nHost: localhost:%s\r\n%s' \
            "$1" "$2" "$port" "$login" >&3
        printf 'Content-Length: %d\r\n\r\n%s' ${#3} "$3" >&3
        read -r -t 10 _ status _ <&3
        while read -r -t 10 line <&3 && [ -n "${line%$'\r'}" ]; do :; done
        printf '%s ' "$status"
        tr -d '\n' <&3
    ) 2> /dev/null
}

# The registry keeps no password, so what is lost is made anew.
admin() {
    local file=$data/admin.password answer password i right=0

    password=$(cat "$file" 2> /dev/null || true)

    # after a reload a worker without access control may still listen
    for ((i = 0; i < 200 && right < 20; i++)); do
        case $(ask GET /v2/ '') in
            "401 "*) right=$((right + 1)) ;;
            *) right=0; sleep 0.05 ;;
        esac
    done

    if [ -z "$password" ] \
        || [[ $(ask GET /v2/ '' "$password") != "200 "* ]]
    then
        answer=$(ask PUT /acr/admin/access/admin '{"enabled":true}')
        case $answer in
            *'"value"'*) ;;
            *) answer=$(ask POST /acr/admin/access/admin/passwords/password \
                        '{}') ;;
        esac
        password=$(printf '%s' "$answer" \
            | sed 's/.*"name":"password","value":"\([^"]*\)".*/\1/; t; d')
        [ -n "$password" ] || die "no admin user can be made: $answer"

        (umask 077; printf '%s' "$password" > "$file.new")
        mv "$file.new" "$file"
    fi

    # each worker looks twice a second at who may do what
    sleep 1
}

greet() {
    if [ $open = no ]; then
        cat << LOGIN

The registry asks who is there; the admin user's password is in
$data/admin.password:

  docker login localhost:$port --username admin \\
      --password-stdin < $data/admin.password
LOGIN
    fi

    cat << GREETING

The registry answers at http://localhost:$port/v2/

  docker tag IMAGE localhost:$port/base/debian:trixie
  docker push localhost:$port/base/debian:trixie
  docker pull localhost:$port/base/debian:trixie

  skopeo copy --dest-tls-verify=false docker-archive:FILE \\
      docker://localhost:$port/base/debian:trixie

  data   $data
  stop   $0 --stop --data $data

GREETING
    if [ $open = yes ]; then
        say "--open: whoever is on this machine may push, pull and delete"
    fi
}

# ---

port=
data=
install=yes
open=
stop=no
redis_user=redis

options "$@"

if [ $stop = yes ]; then
    [ -d "$data/run" ] || { say "nothing runs in $data"; exit 0; }
    exec 9> "$data/run/lock"
    flock 9
    stop_nginx
    stop_redis
    say "stopped; the data is in $data"
    exit 0
fi

need
id redis > /dev/null 2>&1 || redis_user=www-data
directories

# one at a time in this directory
exec 9> "$data/run/lock"
flock 9

build
start
[ $open = yes ] || admin
greet
