#!/usr/bin/env bash
# run.sh - started by `make run` when the program is built: run a private Redis, a web server and
# the ratelimit.fcgi processes behind it, in the foreground, until Ctrl-C.
#
#   SERVER=                        unset: lighttpd, and the limiter answers each request itself.
#                                  lighttpd, nginx, apache or caddy: that one, with the limiter in
#                                  front of a static site, a proxied web server and a FastCGI
#                                  program
#   PROGRAM=build/ratelimit.fcgi   the program
#   ECHO=build/echo                the FastCGI program behind the limiter
#   PORT=8080  BIND=127.0.0.1      where to listen; BIND=0.0.0.0 accepts other machines
#   WORKERS=2                      number of processes
#   LIMITS_FILE=conf/limits.yaml
#   REDIS_ADDR=                    unset: the Redis that LIMITS_FILE names; if it names none, a
#                                  private one that stores nothing on disk
#
# The configurations of the web servers are those in conf/, unchanged.  Their settings come from the
# environment (see guard below), except for nginx, which does not read it: conf/nginx/adapt.sh sets
# them.
#
# Exit status: 0 if stopped by a signal, 1 if a process did not start or ended by itself.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where Debian installs lighttpd; often not in PATH

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=conf/ports.bash
source "$here/ports.bash"
port=${PORT:-8080} bind=${BIND:-127.0.0.1} workers=${WORKERS:-2} redis_addr=${REDIS_ADDR:-}
program=$(realpath -m "${PROGRAM:-build/ratelimit.fcgi}")
limits=$(realpath -m "${LIMITS_FILE:-$here/limits.yaml}")
echo=$(realpath -m "${ECHO:-$(dirname "$program")/echo}")
guarding=${SERVER:-} server_name=${SERVER:-lighttpd}
dir='' redis='' server=''
declare -A name_of=() # of the processes that must not end

fail() {
  echo "make run: $*" >&2
  exit 1
}

# check_number NAME VALUE MAX
check_number() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le $3 ]] || fail "$1 must be a number from 1 to $3, not '$2'"
}

# until_true SECONDS COMMAND...: poll COMMAND until it succeeds; fail if it does not within SECONDS.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= deadline)) || return 1
    sleep 0.02
  done
}

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }

# start NAME COMMAND...: start it in the background; $started is its process id.
start() {
  "${@:2}" </dev/null &
  started=$!
  name_of[$started]=$1
}

# Print all process ids except that of Redis: the web server and all processes that it has started,
# even if it has died since.  They are found by our folder in their environment and by the web
# server's process group, because nginx overwrites its environment.  (A list kept here could be out
# of date when it is used.)
family() {
  {
    grep -lsxzF "SOCKET_DIR=$dir" /proc/[0-9]*/environ | grep -o '[0-9]\+' || true
    [[ -z $server ]] || cat /proc/[0-9]*/stat 2>/dev/null |
      awk -v group="$server" '{ pid = $1; sub(/.*\) /, "") } $3 == group && $1 != "Z" { print pid }'
  } | sort -u
}
no_family() { [[ -z $(family) ]]; }
signal_family() {
  local pid
  for pid in $(family); do kill -"$1" "$pid" 2>/dev/null || true; done
}

# The signal on which the web server finishes its requests and stops.
graceful() {
  case $server_name in
    nginx) echo QUIT ;;
    apache) echo WINCH ;;
    *) echo INT ;;
  esac
}

# Stop all processes, and remove the sockets and the folder.
clean_up() {
  trap '' HUP INT TERM # a second Ctrl-C must not interrupt this; every step takes a bounded time
  unset SOCKET_DIR     # otherwise the commands that search for the family would find themselves
  if [[ -n $server ]]; then
    # A client that has sent half a request would delay lighttpd's stop without limit, so SIGTERM
    # follows below.
    kill -"$(graceful)" "$server" 2>/dev/null || true
    until_true 2 gone "$server" || true
  fi
  if [[ -n $dir ]]; then
    signal_family TERM
    until_true 6 no_family || signal_family KILL # the program takes 5 s at most
  fi
  if [[ -n $redis ]]; then
    kill -TERM "$redis" 2>/dev/null || true
    until_true 5 gone "$redis" || kill -KILL "$redis" 2>/dev/null || true
  fi
  [[ -z $dir ]] || rm -rf "$dir"
}

# with_connection SCRIPT: run it with descriptor 3 connected to the address of the web server.
with_connection() {
  local host=${bind/#0.0.0.0/127.0.0.1}
  host=${host#[} # lighttpd requires brackets around an IPv6 address, bash accepts none
  timeout 2 bash -c "exec 3<>\"\$0\" && $1" "/dev/tcp/${host%]}/$port" 2>/dev/null
}
port_taken() { with_connection true; }

# Use a separate user, so that the request does not cost a token of the person who runs this.
ask() { with_connection 'printf "GET /?user=make-run HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && cat <&3'; }

# Whether the program answers: any status but 5xx, or its own 503, which is the only one with
# Retry-After.
answers() { [[ $(ask) =~ ^HTTP/1.[01]\ [234]|Retry-After: ]]; }

answers_or_died() { gone "$server" || answers; }

start_redis() {
  # With --port 0 and --save '', no other program can connect, and nothing is stored on disk.
  start redis-server redis-server --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 600 --save '' \
    --appendonly no --dir "$dir" --logfile "$dir/redis.log"
  redis=$started
  socket_or_died() { gone "$redis" || [[ -S $dir/redis.sock ]]; }
  until_true 10 socket_or_died && alive "$redis" && return
  [[ ! -f $dir/redis.log ]] || cat "$dir/redis.log" >&2
  fail "redis-server did not start"
}

# Whether the limits file names a Redis: address, sentinel or cluster in its mapping 'redis'.
names_redis() {
  awk '/^[{[:space:]]*"?redis"?[[:space:]]*:/ { inside = 1; print; next }
    /^[^[:space:]#]/ { inside = 0 }
    inside' "$limits" | grep -v '^[[:space:]]*#' | grep -Eq '(^|[{,"[:space:]])(address|sentinel|cluster)"?[[:space:]]*:'
}

# start_server COMMAND...: start the web server and wait until it answers.
start_server() {
  start "$server_name" "$@"
  server=$started
  until_true 20 answers_or_died || fail "no answer from $program behind $server_name"
  alive "$server" || fail "$server_name did not start (see its message above)"
}

# on_socket PATH N PROGRAM, on_port PORT N PROGRAM: keep N processes of PROGRAM on that socket.
# Only the user that runs this can connect to the unix socket, but all users of the machine to the
# port on loopback.
on_socket() {
  start "$(basename "$3")" spawn-fcgi -n -s "$1" -M 0600 -b 2048 -- "$here/workers.sh" "$2" "$3"
  until_true 10 test -S "$1" || fail "$3 did not start"
}
on_port() {
  start "$(basename "$3")" spawn-fcgi -n -a 127.0.0.1 -p "$1" -b 2048 -- "$here/workers.sh" "$2" "$3"
  until_true 10 accepts_tcp "$1" || fail "$3 did not start"
}

# Set up what is behind the limiter: SITE, a folder; a web server at BACKEND; ECHO, which lighttpd
# starts itself, and which other web servers find at ECHO_SOCKET or FCGI_BACKEND.
guard() {
  export SITE=$here/demo/site BACKEND_PORT BACKEND FCGI_BACKEND LIMITER_PORT
  export ECHO=$echo ECHO_SOCKET=$dir/fcgi.sock LIMITER_SOCKET=$dir/limiter.sock
  BACKEND_PORT=$(free_port) LIMITER_PORT=$(free_port)
  BACKEND=127.0.0.1:$BACKEND_PORT FCGI_BACKEND=127.0.0.1:$(free_port)
  # No host has this address, so X-Forwarded-For is never used.
  export TRUSTED_PROXY=192.0.2.1 PROXIES=192.0.2.1

  start 'the proxied web server' env PORT="$BACKEND_PORT" lighttpd -D -f "$here/demo/backend.conf"
  until_true 10 accepts_tcp "$BACKEND_PORT" || fail 'the proxied web server did not start'
}

serve_lighttpd() {
  CONF_DIR=$here/lighttpd start_server lighttpd -D -f "$here/lighttpd/demo.conf"
}

serve_nginx() {
  local directives='daemon off;'
  # Otherwise its workers run as user nobody, and cannot access our folder.
  [[ $(id -u) != 0 ]] || directives+=" user $(id -un) $(id -gn);"
  on_socket "$LIMITER_SOCKET" "$workers" "$program"
  on_socket "$ECHO_SOCKET" 1 "$echo"
  mkdir "$dir/nginx"
  LISTEN=$bind:$port CHECK=127.0.0.1:$(free_port) PROXIED=$BACKEND FASTCGI=$ECHO_SOCKET LIMITER=$LIMITER_SOCKET \
    TRUSTED=$TRUSTED_PROXY "$here/nginx/adapt.sh" "$dir/nginx"
  start_server nginx -p "$dir/nginx" -c "$dir/nginx/nginx.conf" -e stderr -g "$directives"
}

serve_apache() {
  export LIMITER=127.0.0.1:$LIMITER_PORT RUN_DIR=$dir
  local user=()
  # Started by root, Apache serves files as an unprivileged user, which may not have access to
  # conf/.
  if [[ $(id -u) == 0 ]]; then
    user=(-C 'User www-data' -C 'Group www-data') # otherwise Apache complains about its default, #-1
    cp -r "$SITE" "$dir/site"
    chmod -R go+rX "$dir/site"
    chmod 711 "$dir"
    SITE=$dir/site
  fi
  on_port "$LIMITER_PORT" "$workers" "$program"
  on_port "${FCGI_BACKEND#*:}" 1 "$echo"
  start_server apache2 "${user[@]}" -D FOREGROUND -f "$here/apache/apache2.conf"
}

# Caddy asks over HTTP, and lighttpd answers the questions.  Make sure that the limits file trusts
# Caddy.  This uses a copy of the file, so that changes to the original are not noticed.
serve_caddy() {
  export LIMITER=127.0.0.1:$LIMITER_PORT RUN_DIR=$dir HOME=$dir XDG_DATA_HOME=$dir XDG_CONFIG_HOME=$dir
  cp "$limits" "$dir/limits.yaml"
  grep -q '^trusted_proxies:' "$limits" || echo 'trusted_proxies: [127.0.0.1]' | cat - "$limits" >"$dir/limits.yaml"
  start lighttpd env BIND=127.0.0.1 PORT="$LIMITER_PORT" LIMITS_FILE="$dir/limits.yaml" lighttpd -D -f "$here/lighttpd.conf"
  until_true 10 accepts_tcp "$LIMITER_PORT" || fail 'lighttpd did not start'
  on_port "${FCGI_BACKEND#*:}" 1 "$echo"
  # Caddy logs a dozen lines of JSON at each start and stop, also if nothing is wrong.
  start_server caddy run --adapter caddyfile --config "$here/caddy/Caddyfile" \
    2> >(trap '' HUP INT TERM; exec grep --line-buffered -v '"level":"\(info\|warn\)"' >&2)
}

# --- Start ---

check_number PORT "$port" 65535
check_number WORKERS "$workers" 100
[[ $guarding =~ ^(|lighttpd|nginx|apache|caddy)$ ]] || fail "SERVER is lighttpd, nginx, apache or caddy, not '$guarding'"
[[ -x $program ]] || fail "$program does not exist: build it with make"
[[ -z $guarding || -x $echo ]] || fail "$echo does not exist: build it with make build/echo"
! port_taken || fail "port $port of $bind is taken: choose another, as in PORT=8081 make run"
"$program" --check --limits "$limits" >/dev/null || exit 1 # it has printed the reason

trap clean_up EXIT
trap 'exit 0' HUP INT TERM

# Apache's unprivileged user has to reach the folder, and root's own TMPDIR may be private.
[[ $guarding != apache || $(id -u) != 0 ]] || TMPDIR=/tmp
dir=$(mktemp -d "${TMPDIR:-/tmp}/ratelimit.XXXXXX")
# With job control each child has a process group of its own.  Otherwise Ctrl-C in the terminal
# would reach all of them at once, and lighttpd would restart the programs that it sees ending.
set -m
if [[ -z $redis_addr ]] && ! names_redis; then
  start_redis
  redis_addr=unix:$dir/redis.sock
fi
# Export these after Redis was started, because Redis is not in the family and must end last.
[[ -z $redis_addr ]] || export REDIS_ADDR=$redis_addr
export BIND=$bind PORT=$port WORKERS=$workers PROGRAM=$program SOCKET_DIR=$dir LIMITS_FILE=$limits
export RATELIMIT_SHARED=$dir/ratelimit.shared # lighttpd sets its own
if [[ -z $guarding ]]; then
  start_server lighttpd -D -f "$here/lighttpd.conf"
else
  guard
  "serve_$guarding"
fi

url=http://$bind:$port/
echo "ratelimit.fcgi: $workers processes behind $server_name at $url"
echo "Try:   curl -i '$url?user=alice'"
[[ -z $guarding ]] || cat <<EOF
       curl -i '${url}proxy/?user=alice'     answered by another web server
       curl -i '${url}fcgi/?user=alice'      answered by a FastCGI program
EOF
echo 'Stop:  Ctrl-C'

wait -n "${!name_of[@]}" 2>/dev/null || true # bash would print the command line of a killed process
for pid in "${!name_of[@]}"; do
  alive "$pid" || fail "${name_of[$pid]} ended by itself"
done
fail 'something ended by itself'
