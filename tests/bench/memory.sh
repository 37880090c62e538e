#!/usr/bin/env bash
# memory.sh [COUNT [LENGTH]] - how much of Redis's memory a bucket takes: fill an empty Redis, on a socket of its own, with
# COUNT buckets (1000000) of clients whose names have LENGTH characters (10), by take.lua.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:-1000000} length=${2:-10}

folder=$(mktemp -d)
redis-server --port 0 --unixsocket "$folder/socket" --dir "$folder" --save '' --appendonly no >"$folder/log" 3>&- &
pid=$!
trap 'kill "$pid"; wait "$pid" || true; rm -rf "$folder"' EXIT

redis() { redis-cli -s "$folder/socket" "$@"; }
used() { redis INFO memory | sed -n 's/^used_memory:\([0-9]*\).*/\1/p'; }

until [[ $(redis PING 2>/dev/null) == PONG ]]; do
  kill -0 "$pid"
  sleep 0.02
done
sha=$(redis SCRIPT LOAD "$(<lua/take.lua)")
before=$(used)
# A bucket of 5 tokens, one more in an hour, from which one is taken.
awk -v count="$count" -v digits="$length" -v sha="$sha" 'BEGIN {
  for (i = 0; i < count; i++)
    printf "EVALSHA %s 1 rl:{query:user=%0*d}:per-user 3600000000 5 1 1\r\n", sha, digits, i
}' | redis --pipe >"$folder/pipe" || {
  cat "$folder/pipe" >&2
  exit 1
}
buckets=$(redis DBSIZE)
echo "$buckets buckets with a key of $(redis RANDOMKEY | tr -d '\n' | wc -c) bytes:" \
  "$((($(used) - before) / buckets)) bytes of used_memory each"
