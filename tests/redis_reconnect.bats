#!/usr/bin/env bats
# redis_reconnect.bats - once Redis answers, it is used: a connection that gets no answer is replaced soon, and a Redis that
# accepts connections and answers late gets few of them.  The server is tests/fake_redis.pl.

load helper

setup() {
  FAKE=$BATS_TEST_TMPDIR/fake
  mkdir "$FAKE"
  start_fake_redis "$FAKE"
}

teardown() { stop_all; }

# start TIMEOUT - the program in front of the fake Redis
start() {
  printf '{ redis: { timeout: %s }, limits: [{ name: a, key: ip, capacity: 1000000, refill: 1/s, on_redis_failure: allow }] }\n' "$1" \
    >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program REDIS_ADDR="unix:$FAKE/socket" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
}

connections() { wc -l <"$FAKE/connections"; }

# cut_off - the fake Redis closes its connections
cut_off() {
  # shellcheck disable=SC2046  # several pids
  kill -KILL $(cat "/proc/$FAKE_PID/task/$FAKE_PID/children")
}

@test "a request waits for the second connection if the first is accepted and gets no answer" {
  start 900ms
  eventually decided
  local before
  before=$(connections)
  echo 'SCRIPT instead ' >"$FAKE/behaviour.$((before + 1))"
  # A connection that had a second to get an answer would outlast the request.
  cut_off
  decided
  assert_between "$(connections)" $((before + 2)) $((before + 4))
  assert_equal "$(log_count 'is lost')" 0
}

@test "a Redis that accepts connections and is silent for long has few of them, and its answer is waited for" {
  echo 'SCRIPT before sleep 4' >"$FAKE/behaviour"
  start 50ms
  eventually decided
  # Four are given up within 1.5 to 1.9 s, the fifth has 10 s.
  assert_equal "$(connections)" 5
}

@test "a Redis that was refused connections for seconds is used as soon as it listens" {
  start 900ms
  eventually decided
  stop "$FAKE_PID"
  rm "$FAKE/socket" "$FAKE/listens"
  request /
  sleep 3 # so long that attempts with a delay that doubled to a second would be rare
  start_fake_redis "$FAKE"
  sleep 0.5
  decided
}
