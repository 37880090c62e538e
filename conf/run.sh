#!/usr/bin/env bash
# run.sh - what `make run` runs once the program is built: a private Redis, lighttpd, and the
# ratelimit.fcgi processes that lighttpd starts, in the foreground, until Ctrl-C.
#
#   PROGRAM=build/ratelimit.fcgi   what to run
#   PORT=8080  BIND=127.0.0.1      where it answers; BIND=0.0.0.0 lets other machines in
#   WORKERS=2                      processes
#   REDIS_ADDR=                    unset: a private Redis that keeps nothing
#   LIMITS_FILE=conf/limits.yaml
#
# Exit status: 0 when stopped by a signal, 1 when something did not start or ended by itself.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps lighttpd; not in everybody's PATH

here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-8080} bind=${BIND:-127.0.0.1} workers=${WORKERS:-2} redis_addr=${REDIS_ADDR:-}
program=$(realpath -m "${PROGRAM:-build/ratelimit.fcgi}")
limits=$(realpath -m "${LIMITS_FILE:-$here/limits.yaml}")
dir='' redis='' lighttpd=''

fail() {
  echo "make run: $*" >&2
  exit 1
}

# check_number NAME VALUE MAX
check_number() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le $3 ]] || fail "$1 must be a number from 1 to $3, not '$2'"
}

# until_true SECONDS COMMAND...: poll COMMAND; fails when it stays false that long.
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

# lighttpd and every process it started, now or before it died: those with our folder in their
# environment.  (A list of process ids could be out of date by the time it is used.)
family() {
  grep -lsxzF "SOCKET_DIR=$dir" /proc/[0-9]*/environ | grep -o '[0-9]\+' || true
}
no_family() { [[ -z $(family) ]]; }
signal_family() {
  local pid
  for pid in $(family); do kill -"$1" "$pid" 2>/dev/null || true; done
}

# Nothing stays behind: no process, no socket, no folder.
clean_up() {
  trap '' HUP INT TERM # a second Ctrl-C must not cut this short; every step is bounded
  if [[ -n $lighttpd ]]; then
    # SIGINT lets requests finish.  A client that holds back half a request would keep lighttpd
    # waiting for as long as it likes, hence SIGTERM.
    kill -INT "$lighttpd" 2>/dev/null || true
    until_true 2 gone "$lighttpd" || true
    signal_family TERM
    until_true 6 no_family || signal_family KILL # the program takes 5 s at most
  fi
  if [[ -n $redis ]]; then
    kill -TERM "$redis" 2>/dev/null || true
    until_true 5 gone "$redis" || kill -KILL "$redis" 2>/dev/null || true
  fi
  [[ -z $dir ]] || rm -rf "$dir"
}

# with_connection SCRIPT: run it with a connection to where lighttpd is to listen as descriptor 3.
with_connection() {
  local host=${bind/#0.0.0.0/127.0.0.1}
  host=${host#[} # lighttpd wants brackets around an IPv6 address, bash none
  timeout 2 bash -c "exec 3<>\"\$0\" && $1" "/dev/tcp/${host%]}/$port" 2>/dev/null
}
port_taken() { with_connection true; }

# A user of its own, so that no token of the person's address is spent.
ask() { with_connection 'printf "GET /?user=make-run HTTP/1.0\r\n\r\n" >&3 && cat <&3'; }

# The program answers: anything but a 5xx, or its own 503, which alone has a Retry-After.
answers() { [[ $(ask) =~ ^HTTP/1.[01]\ [234]|Retry-After: ]]; }

answers_or_died() { gone "$lighttpd" || answers; }

start_redis() {
  # --port 0 and --save '': reached by nobody else, and leaves nothing on disk.
  redis-server --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 600 --save '' \
    --appendonly no --dir "$dir" --logfile "$dir/redis.log" </dev/null &
  redis=$!
  socket_or_died() { gone "$redis" || [[ -S $dir/redis.sock ]]; }
  until_true 10 socket_or_died && alive "$redis" && return
  [[ ! -f $dir/redis.log ]] || cat "$dir/redis.log" >&2
  fail "redis-server did not start"
}

start_lighttpd() {
  BIND=$bind PORT=$port WORKERS=$workers PROGRAM=$program SOCKET_DIR=$dir \
    REDIS_ADDR=$redis_addr LIMITS_FILE=$limits lighttpd -D -f "$here/lighttpd.conf" </dev/null &
  lighttpd=$!
  until_true 10 answers_or_died || fail "no answer from $program behind lighttpd"
  alive "$lighttpd" || fail "lighttpd did not start (its reason stands above)"
}

# --- Start ---

check_number PORT "$port" 65535
check_number WORKERS "$workers" 100
[[ -x $program ]] || fail "$program is not there: build it with make"
! port_taken || fail "port $port of $bind is taken: choose another, as in PORT=8081 make run"
"$program" --check --limits "$limits" >/dev/null || exit 1 # it said why

trap clean_up EXIT
trap 'exit 0' HUP INT TERM

dir=$(mktemp -d "${TMPDIR:-/tmp}/ratelimit.XXXXXX")
# Job control gives each child a process group of its own.  In ours, the terminal's Ctrl-C would
# reach all of them at once, and lighttpd would start again the programs it sees ending.
set -m
if [[ -z $redis_addr ]]; then
  start_redis
  redis_addr=unix:$dir/redis.sock
fi
start_lighttpd

url=http://$bind:$port/
cat <<EOF
ratelimit.fcgi: $workers processes behind lighttpd at $url
Try:   curl -i '$url?user=alice'
Stop:  Ctrl-C
EOF

# shellcheck disable=SC2086  # $redis is empty where no Redis is ours
wait -n "$lighttpd" $redis 2>/dev/null || true # it would print the command line of what was killed
alive "$lighttpd" || fail "lighttpd ended by itself"
fail "redis-server ended by itself"
