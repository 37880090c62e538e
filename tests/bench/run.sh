#!/usr/bin/env bash
# run.sh - started by `make bench`: measure requests per second, latency and CPU time of each part,
# and the memory of a process and of a bucket.  The rows with SERVER=lighttpd, which is the default,
# are:
#   one limit      tests/bench/limits.yaml
#   four limits    four limits on each request, tests/bench/four.yaml
#   10 overrides   the one limit, with overrides for 10 clients
#   10000          the one limit, with overrides for 10000 clients
#   10 in Redis    the one limit, with 10 overrides that are stored in Redis
#   100000         the same with 100000
#   ceiling        the one limit, by the same program without Redis
# The rows with SERVER=nginx, all with the one limit, are:
#   kept           nginx passes the request to the limiter, keepalive: conf/nginx/check.conf
#   lua            nginx's own Lua asks Redis, and sends the same answer: tests/bench/peer.conf
#   auth_request   nginx asks the limiter, and serves a file: conf/nginx/nginx.conf
#   lua access     nginx's own Lua asks Redis, and nginx serves the file
#   ceiling        as kept, by the same program without Redis
#   file           nginx serves the file without a limiter
#
# Where the time goes with nginx, by strace -c and perf record on one of two ratelimit.fcgi
# processes:
#   kept           A request takes one read and one write to nginx, which was the goal, and its
#                  share of a read and a write to Redis and of epoll_wait: 2.2 system calls
#                  together.  50 % of the program is in the kernel: 20 % reads, 19 % writes, 8 %
#                  epoll_wait.  15 % is malloc, mostly for libfcgi's two buffers of 8 KB per
#                  request.  Another malloc (jemalloc) would save a tenth of the instructions, but
#                  no measurable time.
#                  nginx makes a recvfrom, 2 writev, half a getsockopt and at most half an
#                  epoll_wait per request.
#                  Before SCHED_BATCH (command/serve.c) each wake-up found 1.7 requests instead of 5.9: 3.4
#                  system calls per request, and 15 % in epoll_wait.
#   auth_request   The same, since nginx keeps the connection.  Before, a connection for each
#                  request took seven system calls instead of these two (accept, poll, read, write,
#                  shutdown, poll, close).  If a wake-up found one request, there were also an
#                  accept without success and two setitimer: 11.2 in all, as counted, and 64 % of
#                  the program in the kernel.  nginx had socket, connect, epoll_ctl and close in
#                  addition.
#                  With SCHED_BATCH, 2.5 system calls per request and 5.3 requests per wake-up (3.9
#                  and 1.1 before).
#                  nginx: two thirds are in the kernel.  Of its own instructions, counted by
#                  callgrind, a seventh was regular expressions and double header look-ups in
#                  ratelimit*.conf: 46,100 instructions per request then, 39,500 now.
#
# wrk -> web server -> unix sockets -> WORKERS programs -> unix socket -> Redis, all on this
# machine.  The rounds of all rows are interleaved, so that a slowdown of the machine affects every
# row alike, and medians are printed.
# Environment variables: SERVER (lighttpd), BUILD (build), ROUNDS (3), ROUND_S (5), CONNECTIONS
# (64), WORKERS (2), REQUESTS (1000000, for the memory measurement; 0 skips it).
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=conf/ports.bash
source conf/ports.bash
build=$(readlink -f "${BUILD:-build}")
rounds=${ROUNDS:-3} round_s=${ROUND_S:-5} connections=${CONNECTIONS:-64} requests=${REQUESTS:-1000000}
export WORKERS=${WORKERS:-2} BIND=127.0.0.1
server=${SERVER:-lighttpd}
PATH=$PATH:/usr/sbin:/sbin # where Debian installs lighttpd and nginx
folder=$(mktemp -d)
ticks=$(getconf CLK_TCK)
redis_pid='' server_pid='' program_pids=()

clean_up() {
  # shellcheck disable=SC2086  # an empty pid is no word
  kill $server_pid $redis_pid "${program_pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

# cpu_us PID... - print the user and system time so far, in microseconds
cpu_us() {
  local pid sum=0 fields
  for pid; do
    read -r -a fields <<<"$(sed 's/.*) //' "/proc/$pid/stat")"
    sum=$((sum + fields[11] + fields[12]))
  done
  echo $((sum * (1000000 / ticks)))
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

start_redis() {
  redis-server --port 0 --unixsocket "$folder/redis" --save '' --appendonly no >"$folder/redis.log" &
  redis_pid=$!
  until [[ -S $folder/redis ]]; do sleep 0.05; done
}

# overrides COUNT - write a limits file like tests/bench/limits.yaml with COUNT exact overrides;
# print its path
overrides() {
  local file=$folder/$1.yaml
  {
    cat tests/bench/limits.yaml
    echo '    overrides:'
    seq -f '      - { key: "client-%06g", capacity: 2000000 }' "$1"
  } >"$file"
  echo "$file"
}

# store_overrides COUNT - put as many overrides of the one limit into Redis as `ratelimitctl override` would
store_overrides() {
  redis-cli -s "$folder/redis" EVAL "redis.call('DEL', KEYS[1])
    for i = 1, ARGV[1] do
      redis.call('HSET', KEYS[1], string.format('rl:{query:user=user%06d}:per-user', i), 'capacity=2000000 set=1')
    end
    return redis.call('HINCRBY', KEYS[1], 'version', 1)" 1 rl:overrides "$1" >/dev/null
}

# children PID - print the child processes of PID
children() { cat "/proc/$1/task/$1/children"; }

# start_server START [ARGUMENT...] - run START, one of the functions below.  It sets server_pid, and
# program_pids if it starts the limiters itself.  Wait until the server answers at $url, and set
# server_pids to the processes of the web server.
start_server() {
  local port
  port=$(free_port)
  url=http://127.0.0.1:$port/
  program_pids=()
  "$1" "$port" "${@:2}"
  until accepts_tcp "$port"; do
    sleep 0.05
    kill -0 "$server_pid" || { cat "$folder/server.log" >&2; exit 1; }
  done
  sleep 0.2 # until all of its processes run
  server_pids=("$server_pid")
  if [[ $1 == lighttpd_and ]]; then
    read -r -a program_pids <<<"$(children "$server_pid")"
  else
    read -r -a server_pids <<<"$server_pid $(children "$server_pid")"
  fi
}

# lighttpd_and PORT PROGRAM [LIMITS_FILE]
lighttpd_and() {
  mkdir -p "$folder/sockets"
  PORT=$1 PROGRAM=$2 SOCKET_DIR=$folder/sockets REDIS_ADDR=unix:$folder/redis \
    LIMITS_FILE=${3:-$PWD/tests/bench/limits.yaml} lighttpd -D -f conf/lighttpd.conf 2>"$folder/server.log" &
  server_pid=$!
}

start_nginx() {
  mkdir -p "$folder/nginx/site/assets"
  echo '<p>A small page.</p>' | tee "$folder/nginx/site/index.html" >"$folder/nginx/site/assets/index.html"
  nginx -p "$folder/nginx" -c "$1" -g "daemon off; user $(id -un) $(id -gn);" 2>"$folder/server.log" &
  server_pid=$!
}

# nginx_and PORT PROGRAM PLACE PATH - PLACE is LISTEN if nginx at PORT asks the limiter, CHECK if it
# passes requests on to it
nginx_and() {
  local other
  other=127.0.0.1:$(free_port)
  rm -rf "$folder/nginx"
  mkdir "$folder/nginx"
  REDIS_ADDR=unix:$folder/redis LIMITS_FILE=$PWD/tests/bench/limits.yaml spawn-fcgi -s "$folder/limiter" -b 2048 \
    -F "$WORKERS" -P "$folder/pids" -- "$2" >/dev/null
  read -r -a program_pids <<<"$(xargs <"$folder/pids")"
  env LISTEN="$other" CHECK="$other" "$3=127.0.0.1:$1" LIMITER="$folder/limiter" SITE="$folder/nginx/site" \
    conf/nginx/adapt.sh "$folder/nginx"
  url+=$4
  start_nginx "$folder/nginx/nginx.conf"
}

# nginx_lua PORT PATH
nginx_lua() {
  rm -rf "$folder/nginx"
  mkdir "$folder/nginx"
  sed "s,@REDIS@,$folder/redis,; s,@PORT@,$1,; s,@SITE@,$folder/nginx/site,; s,@TAKE@,$PWD/lua/take.lua," \
    tests/bench/peer.conf >"$folder/nginx/nginx.conf"
  url+=$2
  start_nginx "$folder/nginx/nginx.conf"
}

stop_server() {
  local pid
  kill "$server_pid"
  wait "$server_pid" || true
  server_pid=''
  for pid in "${program_pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    while [[ -e /proc/$pid ]]; do sleep 0.02; done
  done
  program_pids=()
}

# load SECONDS - print requests, microseconds, p50 us, p99 us, errors
load() {
  wrk -t 1 -c "$connections" -d "${1}s" -s tests/bench/users.lua "$url" |
    awk '/^RESULT/ { print $2, $3, $4, $5, $6 }'
}

# round ROW START [ARGUMENT...] - make one measurement, and add a line to $folder/ROW
round() {
  local web program redis requests_done us p50 p99 errors
  start_server "${@:2}"
  load 1 >/dev/null
  web=$(cpu_us "${server_pids[@]}") program=$(cpu_us "${program_pids[@]}") redis=$(cpu_us "$redis_pid")
  read -r requests_done us p50 p99 errors <<<"$(load "$round_s")"
  web=$(($(cpu_us "${server_pids[@]}") - web))
  program=$(($(cpu_us "${program_pids[@]}") - program))
  redis=$(($(cpu_us "$redis_pid") - redis))
  stop_server
  awk -v n="$requests_done" -v us="$us" -v p50="$p50" -v p99="$p99" -v e="$errors" \
    -v w="$web" -v p="$program" -v r="$redis" 'BEGIN {
      printf "%.0f %.2f %.2f %.1f %.1f %.1f %.1f %d\n", n * 1e6 / us, p50 / 1e3, p99 / 1e3, w / n, p / n, r / n,
        (w + p + r) / n, e }' >>"$folder/$1"
}

# median ROW COLUMN
median() { awk -v c="$2" '{ print $c }' "$folder/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

print_row() {
  local column line
  line=$(printf '%-12s' "$1")
  for column in 1 2 3 4 5 6 7; do line+=$(printf '%12s' "$(median "$1" "$column")"); done
  echo "$line$(printf '%8s' "$(awk '{ sum += $8 } END { print sum }' "$folder/$1")")"
}

# print_rows ROW...
print_rows() {
  local row
  printf '%-12s%12s%12s%12s%12s%12s%12s%12s%8s\n' '' requests/s 'p50 ms' 'p99 ms' "$server us" 'program us' 'redis us' \
    'all us' errors
  for row; do print_row "$row"; done
  echo
  echo "us: CPU microseconds per request"
}

# ratio ROW OTHER COLUMN
ratio() { awk -v a="$(median "$1" "$3")" -v b="$(median "$2" "$3")" 'BEGIN { printf "%.2f", a / b }'; }

speed_lighttpd() {
  local i
  for ((i = 0; i < rounds; i++)); do
    round 'one limit' lighttpd_and "$build/ratelimit.fcgi"
    round 'four limits' lighttpd_and "$build/ratelimit.fcgi" "$PWD/tests/bench/four.yaml"
    round '10 overrides' lighttpd_and "$build/ratelimit.fcgi" "$(overrides 10)"
    round '10000' lighttpd_and "$build/ratelimit.fcgi" "$(overrides 10000)"
    store_overrides 10
    round '10 in Redis' lighttpd_and "$build/ratelimit.fcgi"
    store_overrides 100000
    round 100000 lighttpd_and "$build/ratelimit.fcgi"
    redis-cli -s "$folder/redis" DEL rl:overrides >/dev/null
    round ceiling lighttpd_and "$build/ceiling.fcgi"
  done
  print_rows 'one limit' 'four limits' '10 overrides' 10000 '10 in Redis' 100000 ceiling
  echo "one limit / ceiling: throughput $(ratio 'one limit' ceiling 1)"
  echo "four limits / one: program $(ratio 'four limits' 'one limit' 5), redis $(ratio 'four limits' 'one limit' 6)"
  echo "10000 overrides / 10: program $(ratio 10000 '10 overrides' 5)"
  echo "100000 overrides in Redis / 10: program $(ratio 100000 '10 in Redis' 5)"
}

speed_nginx() {
  local i
  for ((i = 0; i < rounds; i++)); do
    round kept nginx_and "$build/ratelimit.fcgi" CHECK ''
    round lua nginx_lua ''
    round auth_request nginx_and "$build/ratelimit.fcgi" LISTEN index.html
    round 'lua access' nginx_lua index.html
    round ceiling nginx_and "$build/ceiling.fcgi" CHECK ''
    round file nginx_and "$build/ceiling.fcgi" LISTEN assets/index.html
  done
  print_rows kept lua auth_request 'lua access' ceiling file
  echo "kept / lua: throughput $(ratio kept lua 1), CPU of all $(ratio kept lua 7)"
  echo "auth_request / lua access: throughput $(ratio auth_request 'lua access' 1), CPU of all $(ratio auth_request 'lua access' 7)"
  echo "kept / ceiling: throughput $(ratio kept ceiling 1)"
}

memory() {
  local first last done_count=0 requests_done pid
  start_server lighttpd_and "$build/ratelimit.fcgi"
  load 1 >/dev/null
  first=$(for pid in "${program_pids[@]}"; do rss_kb "$pid"; done | sort -n | tail -1)
  while ((done_count < requests)); do
    read -r requests_done _ <<<"$(load 5)"
    done_count=$((done_count + requests_done))
  done
  last=$(for pid in "${program_pids[@]}"; do rss_kb "$pid"; done | sort -n | tail -1)
  stop_server
  echo "resident memory of a process: $first kB warm, $last kB after $done_count requests"
}

bucket() {
  local key='rl:{query:user=user000001}:per-user'
  redis-cli -s "$folder/redis" --eval lua/take.lua "$key" , 12000000 5 1 >/dev/null
  echo "a bucket in Redis: $(redis-cli -s "$folder/redis" MEMORY USAGE "$key") bytes"
}

echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), Linux $(uname -r)"
case $server in
  lighttpd) version=$(lighttpd -v | head -1 | cut -d' ' -f1) ;;
  nginx) version=$(nginx -v 2>&1 | sed 's/.*: //') requests=0 ;; # its memory is as behind lighttpd
  *) echo "make bench: SERVER is lighttpd or nginx, not '$server'" >&2 && exit 2 ;;
esac
echo "software: $version, $(redis-server --version | cut -d' ' -f2-3), $("$build/ratelimit.fcgi" --version)"
echo "load: wrk, $connections connections, 1000 users, $rounds interleaved rounds of $round_s s, medians; $WORKERS processes"
echo
start_redis
"speed_$server"
((requests == 0)) || memory
bucket
"$build/globs"
"$build/keys"
