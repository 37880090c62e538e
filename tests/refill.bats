#!/usr/bin/env bats
# refill.bats - tokens come back one at a time, and Retry-After keeps its word.

load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
limits:
  - { name: fast, key: "query:user | ip", capacity: 3, refill: 1/2s }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

@test "a client that waits exactly Retry-After seconds is served" {
  for _ in 1 2 3; do assert_equal "$(status '/?user=patient')" 200; done
  request '/?user=patient'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" 2
  sleep "$(header Retry-After)" # the one thing to be shown here is that this wait is enough
  assert_equal "$(status '/?user=patient')" 200
}

@test "an empty bucket gets one token back at a time" {
  for _ in 1 2 3; do assert_equal "$(status '/?user=single')" 200; done
  assert_equal "$(status '/?user=single')" 429
  wait_until 5 allowed '/?user=single'
  assert_equal "$(status '/?user=single')" 429
  wait_until 5 allowed '/?user=single'
  assert_equal "$(status '/?user=single')" 429
}

@test "a bucket that was left alone is full again, and no fuller" {
  for _ in 1 2 3; do assert_equal "$(status '/?user=rested')" 200; done
  wait_until 12 forgotten 'rl:{query:user=rested}:fast'
  for _ in 1 2 3; do assert_equal "$(status '/?user=rested')" 200; done
  assert_equal "$(status '/?user=rested')" 429
}

allowed() { [[ $(status "$1") == 200 ]]; }
forgotten() { [[ $(redis_cli EXISTS "$1") == 0 ]]; }
