#!/usr/bin/env bats
# local.bats - without Redis each host limits by its own share, and Redis is told afterwards.

bats_require_minimum_version 1.5.0
load helper

setup() {
  REDIS_DIR=$BATS_TEST_TMPDIR/redis
  start_redis
  HOST_URLS=() HOST_SHARED=()
}
teardown() { stop_all; }

# limits_of [LINE...] - a limits file with further lines in redis: 8 tokens for each user, one more every 1000 s
limits_of() {
  LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  {
    printf '%s\n' 'redis:' '  timeout: 1s'
    (($# == 0)) || printf '  %s\n' "$@"
    cat <<'YAML'
limits:
  - { name: per-user, key: query:user, capacity: 8, refill: 1/1000s }
  - { name: two, match: { path: /two }, key: query:user, capacity: 3, refill: 1/1000s }
  - { name: open, match: { path: /open }, key: query:user, capacity: 1, refill: 1/1000s, on_redis_failure: allow }
  - { name: closed, match: { path: /closed }, key: query:user, capacity: 9, refill: 1/1000s, on_redis_failure: deny }
  - { name: new, match: { path: /shadow }, key: query:user, capacity: 1, refill: 1/1000s, shadow: true }
YAML
  } >"$LIMITS_FILE"
}

# start_host - a host of two processes with its own shared memory; its URL is added to HOST_URLS
start_host() {
  local folder
  folder=$(mktemp -d "$BATS_TEST_TMPDIR/host.XXXXXX")
  start_limiter conf/lighttpd.conf LIMITS_FILE="$LIMITS_FILE" SOCKET_DIR="$folder"
  HOST_URLS+=("$URL") HOST_SHARED+=("$folder/ratelimit.shared")
  eventually decided 10
}

# on HOST COMMAND... - with URL that of host 0, 1, ...
on() {
  local URL=${HOST_URLS[$1]}
  shift
  "$@"
}
hosts_known() { [[ $(on "$1" gauge ratelimit_hosts) == "$2" ]]; }
gauge() { curl -s "$URL/-/metrics" | sed -n "s/^$1 //p"; }
stop_redis() {
  stop "$(<"$REDIS_DIR/pid")"
  for URL in "${HOST_URLS[@]}"; do eventually decides_locally; done
}
# decides_locally - both processes of URL decide without Redis
decides_locally() {
  local _
  for _ in 1 2 3 4 5 6; do
    request "/?user=probe-$RANDOM" --max-time 30
    [[ $body == *'"local":true'* ]] || return 1
  done
}
# debts_paid - all that hosts have handed out, a token for each decision, has been charged
debts_paid() {
  for URL in "${HOST_URLS[@]}"; do curl -s "$URL/-/metrics"; done | awk '
    /^ratelimit_local_decisions_total{.*decision="allowed"}/ { handed_out += $2 }
    /^ratelimit_local_tokens_charged_total / { charged += $2 }
    END { exit !(handed_out > 0 && charged == handed_out) }'
}

@test "without Redis a client has the rest of its bucket on this host, with fields, over all of its processes" {
  limits_of
  start_host
  assert_equal "$(statuses 3 alice)" '200 200 200'
  stop_redis
  assert_equal "$(burst 9 '/?user=alice')" '200:5 429:4'
  request '/?user=alice'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_contains "$body" '#temporary-reduced-capacity"'
  assert_contains "$body" '"local":true'
  assert_between "$(header Retry-After)" 900 1000
  assert_matches "$(header RateLimit)" '"per-user";r=0;t=[0-9]+'
  request '/?user=bob'
  assert_equal "$(header RateLimit-Policy)" '"per-user";q=8;w=8000'
  assert_matches "$(header RateLimit)" '"per-user";r=7;t=[0-9]+'
  assert_contains "$body" '"remaining":7'
  assert_between "$(curl -s "$URL/-/metrics" | sed -n 's/^ratelimit_local_decisions_total{limit="per-user",decision="refused"} //p')" 5 5
}

@test "two hosts share what there is: each has half" {
  limits_of
  start_host
  start_host
  eventually hosts_known 0 2
  eventually hosts_known 1 2
  stop_redis
  assert_equal "$(on 0 burst 9 '/?user=alice') $(on 1 burst 9 '/?user=alice')" '200:4 429:5 200:4 429:5'
}

@test "redis.hosts says how many there are" {
  limits_of 'hosts: 4'
  start_host
  hosts_known 0 4 || eventually hosts_known 0 4
  stop_redis
  assert_equal "$(burst 5 '/?user=alice')" '200:2 429:3'
}

@test "what was handed out is charged when Redis is back, and can be a debt" {
  limits_of
  start_host
  assert_equal "$(statuses 2 alice)" '200 200'
  stop_redis
  assert_equal "$(burst 9 '/?user=alice')" '200:6 429:3'
  assert_equal "$(burst 2 '/?user=bob')" '200:2'
  start_redis # without the buckets that it had
  eventually decided 10
  eventually debts_paid
  assert_equal "$(burst 9 '/?user=bob')" '200:6 429:3'
  assert_equal "$(burst 9 '/?user=alice')" '200:2 429:7'
}

@test "all limits of a request are charged on this host, or none is" {
  limits_of
  start_host
  stop_redis
  assert_equal "$(burst 5 '/two?user=alice')" '200:3 429:2'
  assert_equal "$(burst 9 '/?user=alice')" '200:5 429:4'
}

@test "allow and deny keep their meaning, and one that denies is enough" {
  limits_of
  start_host
  stop_redis
  assert_equal "$(burst 3 '/open?user=alice')" '200:3'
  assert_equal "$(burst 3 '/closed?user=alice')" '503:3'
  assert_equal "$(burst 9 '/?user=alice')" '200:5 429:4'
}

@test "a shadow refuses nothing without Redis" {
  limits_of
  start_host
  stop_redis
  assert_equal "$(burst 3 '/shadow?user=alice')" '200:3'
  request '/shadow?user=alice'
  assert_equal "$(header RateLimit-Shadow)" '"new"'
}

@test "a Redis without memory decides about the others, and those that it cannot write are decided here" {
  limits_of
  start_host
  assert_equal "$(statuses 8 alice)" '200 200 200 200 200 200 200 200'
  redis_cli CONFIG SET maxmemory 1 >/dev/null
  assert_equal "$(statuses 2 alice)" '429 429' # by Redis
  request '/?user=bob'
  assert_contains "$body" '"local":true'
  assert_equal "$(burst 9 '/?user=bob')" '200:7 429:2'
  redis_cli CONFIG SET maxmemory 0 >/dev/null
  eventually debts_paid
  assert_equal "$(burst 2 '/?user=bob')" '429:2'
}

@test "a Redis that comes and goes gives a client no more than the bound" {
  limits_of
  start_host
  local _ admitted=0
  for _ in 1 2 3 4; do
    count_admitted
    stop "$(<"$REDIS_DIR/pid")"
    count_admitted
    start_redis
    eventually decided 10
    # Redis has lost its data each time, which gives another capacity each time: put the bucket back.
    redis_cli SET 'rl:{query:user=greedy}:per-user' "$(redis_cli TIME | paste -s -d ' ' | awk '{ printf "%d%06d", $1, $2 }')" >/dev/null
  done
  assert_between "$admitted" 8 17
}

# count_admitted - add to admitted how many of 20 requests are served
count_admitted() {
  local answers
  answers=$(burst 20 '/?user=greedy')
  [[ ! $answers =~ 200:([0-9]+) ]] || admitted=$((admitted + BASH_REMATCH[1]))
}

@test "a process that is killed in an outage leaves what its host has handed out" {
  limits_of
  start_host
  stop_redis
  assert_equal "$(burst 6 '/?user=alice')" '200:6'
  local pid
  for pid in $(worker_pids); do kill -KILL "$pid"; done
  eventually decides_locally
  assert_equal "$(burst 6 '/?user=alice')" '200:2 429:4'
}

@test "the file of the shared memory can be deleted while it is used" {
  limits_of
  start_host
  stop_redis
  assert_equal "$(burst 6 '/?user=alice')" '200:6'
  rm "${HOST_SHARED[0]}"
  assert_equal "$(burst 6 '/?user=alice')" '200:2 429:4'
}

@test "a Redis user that may not count hosts is said once, and everything else works" {
  limits_of
  redis_cli ACL SETUSER limiter on '>secret' '~rl:*' +evalsha '+script|load' +time +get +set +pttl >/dev/null
  start_program LIMITS_FILE="$LIMITS_FILE" REDIS_ADDR="redis://limiter:secret@127.0.0.1:$REDIS_PORT"
  eventually decided
  eventually log_has 'does not count the hosts (NOPERM'
  assert_equal "$(statuses 9 alice)" '200 200 200 200 200 200 200 200 429'
}
log_has() { grep -qF "$1" "$LIMITER_LOG"; }
