#!/usr/bin/env bats
# redis_failure.bats - while Redis is down, slow, full or wrong every request is answered in time, as on_redis_failure
# says, and limiting resumes afterwards.

load helper

TIMEOUT_MS=1000

setup() {
  start_redis
  limits allow
}

teardown() { stop_all; }

# limits allow|deny - write the limits file that start_limiter uses
limits() {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { timeout: ${TIMEOUT_MS}ms }
limits:
  - { name: three, key: "query:user | ip", capacity: 3, refill: 1/day, on_redis_failure: $1 }
YAML
  export LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
}

# load_with COUNT - a request of each of so many users, 4 at a time; "STATUS MILLISECONDS" of each in answers
load_with() {
  seq "$1" | xargs -P 4 -I{} curl -s -o /dev/null -w '%{http_code} %{time_total}\n' "$URL/?user=load{}" |
    awk '{ printf "%s %d\n", $1, $2 * 1000 }' >"$BATS_TEST_TMPDIR/answers"
}

# begin_load COUNT - load_with in the background, as load_pid, until it is under way
begin_load() {
  load_with "$1" &
  load_pid=$!
  eventually load_has_begun
}
load_has_begun() { (($(redis_cli --scan --pattern 'rl:{query:user=load*' | wc -l) > 5)); }

# assert_answers COUNT STATUS - so many answers with STATUS and no others, each within the timeout and 900 ms: a busy
# machine needs no more, and a request that waited twice would need the timeout twice
assert_answers() {
  assert_equal "$(cut -d' ' -f1 "$BATS_TEST_TMPDIR/answers" | count_statuses)" "$2:$1"
  assert_between "$(cut -d' ' -f2 "$BATS_TEST_TMPDIR/answers" | sort -n | tail -1)" 0 $((TIMEOUT_MS + 900))
}

@test "Redis killed under load: every request is answered in time, and limiting resumes" {
  start_limiter conf/lighttpd.conf WORKERS=2
  eventually decided 10
  begin_load 400
  kill -KILL "$REDIS_PID"
  wait "$load_pid"
  assert_answers 400 200
  undecided
  start_redis
  assert_limits
}

@test "loss and return of Redis are one log line each, with the time and the requests between them" {
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually decided 10
  kill -KILL "$REDIS_PID"
  eventually undecided
  for _ in {1..20}; do assert_equal "$(status '/?user=x')" 200; done
  start_redis
  # No request meanwhile, or their number would depend on time.
  eventually grep -q 'is back' "$LIMITER_LOG"
  decided 10
  assert_equal "$(log_count 'is lost')" 1
  assert_equal "$(log_count 'is back')" 1
  assert_matches "$(grep 'is back' "$LIMITER_LOG")" 'is back after [0-9]+\.[0-9] s; requests decided without it: 21$'
}

@test "Redis paused under load: every request is answered in time, and limiting resumes" {
  start_limiter conf/lighttpd.conf WORKERS=2
  eventually decided 10
  begin_load 400
  kill -STOP "$REDIS_PID"
  wait "$load_pid"
  kill -CONT "$REDIS_PID"
  assert_answers 400 200
  assert_limits
}

@test "Redis restarted under load: every request is answered in time, and limiting resumes" {
  start_limiter conf/lighttpd.conf WORKERS=2
  eventually decided 10
  begin_load 400
  stop "$REDIS_PID"
  start_redis
  wait "$load_pid"
  assert_answers 400 200
  assert_limits
}

@test "SCRIPT FLUSH and FLUSHALL under load affect no request" {
  start_limiter conf/lighttpd.conf WORKERS=2
  eventually decided 10
  begin_load 400
  for _ in {1..20}; do
    redis_cli SCRIPT FLUSH >/dev/null
    redis_cli FLUSHALL >/dev/null
  done
  wait "$load_pid"
  assert_answers 400 200
  assert_equal "$(log_count 'is lost')" 0
  assert_limits
}

@test "an idle connection that Redis closes is replaced without an undecided request" {
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually decided 10
  redis_cli CLIENT KILL TYPE normal SKIPME yes
  decided 10
  assert_equal "$(log_count 'is lost')" 0
}

@test "deny: without Redis the answer is 503 with Retry-After: 1" {
  limits deny
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually decided 10
  kill -KILL "$REDIS_PID"
  eventually undecided
  request '/?user=x'
  assert_equal "$(header Status)" '503 Service Unavailable'
  assert_equal "$(header Retry-After)" 1
  assert_equal "$(header Cache-Control)" no-store
  assert_equal "$(header RateLimit-Policy)" ''
  assert_equal "$(header Content-Type)" application/problem+json
}

@test "allow: without Redis the answer is 200 without RateLimit headers" {
  stop "$REDIS_PID"
  start_limiter conf/lighttpd.conf WORKERS=1
  request '/?user=x'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$(header RateLimit)$(header RateLimit-Policy)" ''
  assert_equal "$body" '{"allowed":true}'
}

@test "started without Redis it serves requests, and uses Redis once it is there" {
  stop "$REDIS_PID"
  start_limiter conf/lighttpd.conf WORKERS=2
  load_with 50
  assert_answers 50 200
  start_redis
  assert_limits
}

@test "with a Redis out of memory an empty bucket refuses, other requests are undecided, and Redis is not lost" {
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually decided 10
  for _ in 1 2 3; do status '/?user=full' >/dev/null; done
  redis_cli CONFIG SET maxmemory 1
  eventually undecided
  load_with 20
  assert_answers 20 200
  assert_equal "$(status '/?user=full')" 429
  assert_equal "$(log_count "does not decide every request (OOM")" 1
  assert_equal "$(log_count 'is lost')" 0
  redis_cli CONFIG SET maxmemory 0
  assert_limits
}

@test "a Redis that is out of memory when the limiter connects refuses for empty buckets" {
  start_limiter conf/lighttpd.conf WORKERS=1
  for _ in 1 2 3; do status '/?user=full' >/dev/null; done
  stop_limiters
  redis_cli CONFIG SET maxmemory 1
  start_limiter conf/lighttpd.conf WORKERS=1
  assert_equal "$(status '/?user=full')" 429
  eventually undecided
  assert_equal "$(status '/?user=full')" 429
  assert_equal "$(log_count 'is lost')" 0
}

@test "a client with an empty bucket stays refused when made-up names have filled Redis" {
  start_limiter conf/lighttpd.conf WORKERS=2
  eventually decided 10
  for _ in 1 2 3; do status '/?user=full' >/dev/null; done
  # Other keys fill most of the memory, and requests the rest.
  redis_cli CONFIG SET maxmemory 20mb
  local part=0
  while fill_part $((part += 1)); do :; done
  redis_cli EVAL 'for i = 1, 1000 do redis.call("DEL", "1:" .. i) end' 0
  eventually full_of_names
  assert_equal "$(status '/?user=full')" 429
  load_with 50
  assert_equal "$(status '/?user=full')" 429
  assert_equal "$(burst 100 '/?user=full')" 429:100
  assert_equal "$(log_count 'is lost')" 0
}
# fill_part NUMBER - 1000 keys, unless Redis is out of memory when the script begins
fill_part() {
  ! redis_cli EVAL 'for i = 1, 1000 do redis.call("SET", ARGV[1] .. ":" .. i, string.rep("x", 100)) end' 0 "$1" |
    grep -q OOM
}
full_of_names() {
  curl -s --parallel --parallel-max 20 -o /dev/null "$URL/?user=made-up-$RANDOM-[1-200]"
  redis_cli SET probe x | grep -q OOM
}

@test "a Redis that lacks its replicas, and so refuses writes, still refuses for empty buckets" {
  start_limiter conf/lighttpd.conf WORKERS=1
  for _ in 1 2 3; do status '/?user=full' >/dev/null; done
  redis_cli CONFIG SET min-replicas-to-write 1
  eventually undecided
  assert_equal "$(status '/?user=full')" 429
  assert_equal "$(log_count 'does not decide every request (NOREPLICAS')" 1
  assert_equal "$(log_count 'is lost')" 0
  redis_cli CONFIG SET min-replicas-to-write 0
  assert_limits
}

@test "a Redis that became a replica counts as lost until it is a primary again" {
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually decided 10
  redis_cli REPLICAOF 127.0.0.1 1
  eventually undecided
  redis_cli REPLICAOF NO ONE
  assert_limits
}

@test "a Redis that is loading its data counts as lost until it is done" {
  redis_cli EVAL 'for i = 1, 200000 do redis.call("SET", i, i) end' 0
  redis_cli SAVE
  stop "$REDIS_PID"
  start_redis --key-load-delay 500 --loading-process-events-interval-bytes 1024 # us a key: 100 s, or until the test lowers it
  start_limiter conf/lighttpd.conf WORKERS=1
  eventually undecided
  eventually grep -q 'is lost (LOADING' "$LIMITER_LOG"
  load_with 20
  assert_answers 20 200
  redis_cli CONFIG SET key-load-delay 0
  assert_limits
}

@test "requests are answered in time if the server is not a Redis" {
  stop "$REDIS_PID"
  start_limiter conf/lighttpd.conf WORKERS=1
  local not_redis=127.0.0.1:$PORT
  start_limiter conf/lighttpd.conf WORKERS=1 REDIS_ADDR="$not_redis"
  load_with 20
  assert_answers 20 200
  eventually grep -q "redis $not_redis is lost" "$LIMITER_LOG"
}

@test "a name server that does not answer delays no request" {
  mount_or_skip
  # A name server that receives queries and never answers; only this program uses it.
  perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.99:53") or die;
    open F, ">", $ARGV[0]; close F; sleep 300' "$BATS_TEST_TMPDIR/bound" 3>&- &
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/bound"
  echo 'nameserver 127.0.0.99' >"$BATS_TEST_TMPDIR/resolv.conf"
  start_program_seeing "$BATS_TEST_TMPDIR/resolv.conf" /etc/resolv.conf --redis redis.test:6379
  load_with 20
  assert_answers 20 200
}

# acl_user COMMANDS... - the user limiter may use these commands on the limiter's keys, and no others
acl_user() {
  redis_cli ACL SETUSER limiter reset on '>secret' '~rl:*' "$@" >/dev/null
}

@test "an access list with the commands of lua/README.md is enough, and Redis is lost if one of them is missing" {
  local commands missing
  # shellcheck disable=SC2016  # literal backticks
  read -r -a commands <<<"$(sed -n 's/.*the user needs `\([^`]*\)`.*/\1/p' lua/README.md)"
  assert_equal "${#commands[@]}" 6
  for missing in '' "${commands[@]}"; do
    # shellcheck disable=SC2086  # no word if nothing is missing
    acl_user "${commands[@]}" ${missing:+-${missing#+}}
    start_limiter conf/lighttpd.conf WORKERS=1 REDIS_ADDR="redis://limiter:secret@127.0.0.1:$REDIS_PORT"
    if [[ -z $missing ]]; then
      assert_limits
    else
      status / >/dev/null
      eventually grep -q 'is lost (.*\(no permissions to run\|can.t run\)' "$LIMITER_LOG"
    fi
    stop_limiters
  done
}
