#!/usr/bin/env bats
# parallel.bats - any number of parallel requests admits exactly the capacity, however many processes and web servers
# there are.

load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }     # exactness is shown here, not speed
limits:
  - { name: fifty, key: "query:user | ip", capacity: 50, refill: 1/day }
YAML
  export LIMITS_FILE=$BATS_FILE_TMPDIR/limits.yaml
}

teardown_file() { stop_all; }

teardown() { stop_limiters; }

@test "400 parallel requests admit exactly 50, through 2 processes under lighttpd" {
  start_limiter conf/lighttpd.conf WORKERS=2
  assert_equal "$(storm 400 "$URL/?user=lighttpd")" '200:50 429:350'
}

@test "400 parallel requests admit exactly 50, through spawn-fcgi -F 3" {
  local socket=$BATS_TEST_TMPDIR/socket
  # Without a supervisor, three processes that share a socket.
  REDIS_ADDR=unix:$REDIS_SOCK spawn-fcgi -s "$socket" -M 0660 -b 2048 -F 3 -P "$BATS_TEST_TMPDIR/pids" -- \
    /bin/sh -c "exec '$PROGRAM' 2>>'$BATS_TEST_TMPDIR/program.log'" 3>&-
  PROGRAM_PID=$(cat "$BATS_TEST_TMPDIR/pids")
  assert_equal "$(wc -w <<<"$PROGRAM_PID")" 3
  start_limiter conf/lighttpd-connect.conf SOCKET="$socket"
  assert_equal "$(storm 400 "$URL/?user=spawn")" '200:50 429:350'
}

@test "400 parallel requests admit exactly 50, through two lighttpd on one Redis" {
  start_limiter conf/lighttpd.conf
  local first=$URL
  start_limiter conf/lighttpd.conf
  assert_equal "$(storm 400 "$first/?user=hosts" "$URL/?user=hosts")" '200:50 429:350'
}

@test "a killed ratelimit.fcgi is respawned, and the limit is still exact" {
  start_limiter conf/lighttpd.conf WORKERS=2
  for _ in {1..20}; do assert_equal "$(status '/?user=killed')" 200; done
  local before
  before=$(worker_pids)
  kill -KILL "${before%% *}"
  eventually respawned "$before"
  for _ in {1..30}; do assert_equal "$(status '/?user=killed')" 200; done
  for _ in {1..10}; do assert_equal "$(status '/?user=killed')" 429; done
}

# respawned BEFORE - two workers run, other than BEFORE
respawned() {
  local now
  now=$(worker_pids)
  status '/?user=knock' >/dev/null
  [[ $now != "$1" && $(wc -w <<<"$now") == 2 ]]
}
