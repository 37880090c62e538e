#!/usr/bin/env bash
# run.sh - what `make bench` runs: requests per second, latency and CPU of each part, and what a process and a
# bucket weigh.  The rows:
#   one limit      tests/bench/limits.yaml
#   four limits    four on each request, tests/bench/four.yaml
#   10 overrides   the one limit, with so many clients that are treated differently; and with
#   10000          ten thousand
#   ceiling        the one limit, by the same program without Redis
#
# wrk -> lighttpd -> unix sockets -> WORKERS programs -> unix socket -> Redis, all on this machine.
# Rounds are interleaved, so that a machine that slows down slows every row alike; medians are printed.
# Environment: BUILD (build), ROUNDS (3), ROUND_S (5), CONNECTIONS (64), WORKERS (2), REQUESTS (1000000,
# of the memory part; 0 leaves it out).
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/ports.bash
source tests/ports.bash
build=$(readlink -f "${BUILD:-build}")
rounds=${ROUNDS:-3} round_s=${ROUND_S:-5} connections=${CONNECTIONS:-64} requests=${REQUESTS:-1000000}
export WORKERS=${WORKERS:-2} BIND=127.0.0.1
folder=$(mktemp -d)
ticks=$(getconf CLK_TCK)
redis_pid='' lighttpd_pid=''

clean_up() {
  # shellcheck disable=SC2086  # an empty pid is no word
  kill $lighttpd_pid $redis_pid 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

# cpu_us PID... - user and system time so far, microseconds
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

# overrides COUNT - a limits file like tests/bench/limits.yaml with COUNT exact overrides; prints its path
overrides() {
  local file=$folder/$1.yaml
  {
    cat tests/bench/limits.yaml
    echo '    overrides:'
    seq -f '      - { key: "client-%06g", capacity: 2000000 }' "$1"
  } >"$file"
  echo "$file"
}

# start_server PROGRAM [LIMITS_FILE] - sets lighttpd_pid, program_pids and url
start_server() {
  local port
  port=$(free_port)
  url=http://127.0.0.1:$port
  mkdir -p "$folder/sockets"
  PORT=$port PROGRAM=$1 SOCKET_DIR=$folder/sockets REDIS_ADDR=unix:$folder/redis \
    LIMITS_FILE=${2:-$PWD/tests/bench/limits.yaml} lighttpd -D -f conf/lighttpd.conf 2>"$folder/lighttpd.log" &
  lighttpd_pid=$!
  program_pids=()
  until ((${#program_pids[@]} == WORKERS)) && accepts_tcp "$port"; do
    sleep 0.05
    kill -0 "$lighttpd_pid" || { cat "$folder/lighttpd.log" >&2; exit 1; }
    read -r -a program_pids <"/proc/$lighttpd_pid/task/$lighttpd_pid/children" || true
  done
}

stop_server() {
  kill "$lighttpd_pid"
  wait "$lighttpd_pid" || true
  lighttpd_pid=''
}

# load SECONDS - requests, microseconds, p50 us, p99 us, errors
load() {
  wrk -t 1 -c "$connections" -d "${1}s" -s tests/bench/users.lua "$url" |
    awk '/^RESULT/ { print $2, $3, $4, $5, $6 }'
}

# round ROW PROGRAM [LIMITS_FILE] - one measurement, a line in $folder/ROW
round() {
  local lighttpd program redis requests_done us p50 p99 errors
  start_server "${@:2}"
  load 1 >/dev/null
  lighttpd=$(cpu_us "$lighttpd_pid") program=$(cpu_us "${program_pids[@]}") redis=$(cpu_us "$redis_pid")
  read -r requests_done us p50 p99 errors <<<"$(load "$round_s")"
  lighttpd=$(($(cpu_us "$lighttpd_pid") - lighttpd))
  program=$(($(cpu_us "${program_pids[@]}") - program))
  redis=$(($(cpu_us "$redis_pid") - redis))
  stop_server
  awk -v n="$requests_done" -v us="$us" -v p50="$p50" -v p99="$p99" -v e="$errors" \
    -v l="$lighttpd" -v p="$program" -v r="$redis" \
    'BEGIN { printf "%.0f %.2f %.2f %.1f %.1f %.1f %d\n", n * 1e6 / us, p50 / 1e3, p99 / 1e3, l / n, p / n, r / n, e }' \
    >>"$folder/$1"
}

# median ROW COLUMN
median() { awk -v c="$2" '{ print $c }' "$folder/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

print_row() {
  local column line
  line=$(printf '%-12s' "$1")
  for column in 1 2 3 4 5 6; do line+=$(printf '%12s' "$(median "$1" "$column")"); done
  echo "$line$(printf '%8s' "$(awk '{ sum += $7 } END { print sum }' "$folder/$1")")"
}

# ratio ROW OTHER COLUMN
ratio() { awk -v a="$(median "$1" "$3")" -v b="$(median "$2" "$3")" 'BEGIN { printf "%.2f", a / b }'; }

speed() {
  local i row
  for ((i = 0; i < rounds; i++)); do
    round 'one limit' "$build/ratelimit.fcgi"
    round 'four limits' "$build/ratelimit.fcgi" "$PWD/tests/bench/four.yaml"
    round '10 overrides' "$build/ratelimit.fcgi" "$(overrides 10)"
    round '10000' "$build/ratelimit.fcgi" "$(overrides 10000)"
    round ceiling "$build/ceiling.fcgi"
  done
  printf '%-12s%12s%12s%12s%12s%12s%12s%8s\n' '' requests/s 'p50 ms' 'p99 ms' 'lighttpd us' 'program us' 'redis us' errors
  for row in 'one limit' 'four limits' '10 overrides' 10000 ceiling; do print_row "$row"; done
  echo
  echo "us: CPU microseconds per request"
  echo "one limit / ceiling: throughput $(ratio 'one limit' ceiling 1)"
  echo "four limits / one: program $(ratio 'four limits' 'one limit' 5), redis $(ratio 'four limits' 'one limit' 6)"
  echo "10000 overrides / 10: program $(ratio 10000 '10 overrides' 5)"
}

memory() {
  local first last done_count=0 requests_done pid
  start_server "$build/ratelimit.fcgi"
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

start_redis
echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), Linux $(uname -r)"
echo "software: $(lighttpd -v | head -1 | cut -d' ' -f1), $(redis-server --version | cut -d' ' -f2-3), $("$build/ratelimit.fcgi" --version)"
echo "load: wrk, $connections connections, 1000 users, $rounds interleaved rounds of $round_s s, medians; $WORKERS processes"
echo
speed
((requests == 0)) || memory
bucket
