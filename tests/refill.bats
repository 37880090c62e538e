#!/usr/bin/env bats
# refill.bats - tokens come back one at a time, and Retry-After is true.

load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: fast, key: "query:user | ip", capacity: 3, refill: 1/2s }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

@test "a client that waits exactly Retry-After seconds is served" {
  assert_equal "$(at_once 4 patient)" '200 200 200 429 '
  request '/?user=patient'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_between "$(header Retry-After)" 1 2
  sleep "$(header Retry-After)" # the test shows that this wait is enough
  assert_equal "$(status '/?user=patient')" 200
}

@test "an empty bucket gets one token back at a time" {
  assert_equal "$(at_once 4 single)" '200 200 200 429 '
  for _ in 1 2; do
    eventually allowed single
    assert_matches "$answers" '^(200 429|429 200) $'
  done
}

@test "an unused bucket becomes full again, and no fuller" {
  assert_equal "$(at_once 3 rested)" '200 200 200 '
  eventually full 'rl:{query:user=rested}:fast'
  assert_equal "$(at_once 4 rested)" '200 200 200 429 '
}

# at_once COUNT USER - the statuses of so many requests, by one process, so that the bucket hardly gains tokens meanwhile
at_once() { curl -s -o /dev/null -w '%{http_code} ' "$URL/?user=$2#[1-$1]"; }
# allowed USER - at least one of two requests is allowed; $answers has both statuses
allowed() {
  answers=$(at_once 2 "$1")
  [[ $answers == *200* ]]
}
full() { [[ $(tokens "$1" 3 2) == 3 ]]; }
