#!/usr/bin/env bats
# redis_late.bats - only Redis makes a reply late: a limiter that was stopped or busy does not mistake its own delay for a
# failure of Redis, and refuses a client with an empty bucket whenever Redis answers.

load helper

setup() { start_redis --enable-debug-command yes; }

teardown() { stop_all; }

# start TIMEOUT [ADDRESS] - the program in front of Redis
start() {
  printf '{ redis: { timeout: %s }, limits: [{ name: three, key: "query:user | ip", capacity: %s, refill: 1/day, on_redis_failure: allow }] }\n' \
    "$1" "${3:-3}" >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR="${2:-unix:$REDIS_SOCK}"
}

empty() { [[ $(status "/?user=$1") == 429 ]]; }

@test "a process that is stopped again and again under load refuses every client whose bucket is empty" {
  start 500ms
  eventually decided
  eventually empty full
  wrk -c 256 -t 2 -d 5s "$URL/?user=full" >"$BATS_TEST_TMPDIR/wrk" 3>&- &
  local load=$!
  HELPER_PIDS+=" $load"
  for _ in {1..5}; do
    sleep 0.1
    kill -STOP "$PROGRAM_PID"
    sleep 0.75
    kill -CONT "$PROGRAM_PID"
  done
  wait "$load"
  # All of them are 429.
  local requests
  requests=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$BATS_TEST_TMPDIR/wrk")
  assert_between "$requests" 1 10000000
  assert_equal "$(sed -n 's/^ *Non-2xx or 3xx responses: //p' "$BATS_TEST_TMPDIR/wrk")" "$requests"
  assert_equal "$(log_after_start "$LIMITER_LOG" | grep 'redis ')" ''
}

@test "a limits file that takes seconds to read is no failure of Redis" {
  printf 'limits: [{ name: three, key: ip, capacity: 3, refill: 1/day }]\n' >"$BATS_TEST_TMPDIR/limits.yaml"
  mkfifo "$BATS_TEST_TMPDIR/slow"
  { sleep 1.5 && cat "$BATS_TEST_TMPDIR/limits.yaml"; } >"$BATS_TEST_TMPDIR/slow" 3>&- &
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/slow" REDIS_ADDR="unix:$REDIS_SOCK"
  eventually decided
  assert_equal "$(log_count 'is lost')" 0
}

@test "a Redis that sleeps longer than the timeout leaves requests undecided, and the connection stays" {
  start 1500ms
  eventually decided
  eventually empty full
  local connection
  connection=$(limiter_connection)
  assert_matches "$connection" '^id='
  for _ in 1 2; do
    redis_cli DEBUG SLEEP 2.2 >/dev/null &
    local sleep=$!
    eventually asleep
    # It waits for as long as the timeout, and is not decided; or Redis is awake again.
    assert_matches "$(status '/?user=full')" '^(200|429)$'
    wait "$sleep"
    eventually decided
    assert_equal "$(status '/?user=full')" 429
  done
  assert_equal "$(log_count 'is lost')" 0
  assert_equal "$(limiter_connection)" "$connection"
}
limiter_connection() { redis_cli CLIENT LIST | grep -E 'cmd=(evalsha|hget) ' | cut -d' ' -f1; }
# asleep - Redis does not answer a command within 0.2 s
asleep() { ! timeout 0.2 redis-cli -s "$REDIS_SOCK" PING >/dev/null; }

# start_fake - tests/fake_redis.pl in FAKE, in place of Redis
start_fake() {
  FAKE=$BATS_TEST_TMPDIR/fake
  mkdir "$FAKE"
  start_fake_redis "$FAKE"
}

@test "a late reply is discarded, and the connection stays" {
  start_fake
  echo 'take before sleep 1.5' >"$FAKE/behaviour"
  start 1s "unix:$FAKE/socket" 1000
  eventually test -s "$FAKE/commands"
  request '/?n=1'
  assert_equal "$(header RateLimit)" ''
  eventually grep -q 'does not decide every request (a reply took [0-9]* ms, and the timeout is 1000 ms)' "$LIMITER_LOG"
  # The late reply has arrived meanwhile.  The next one is late as well, and has a number of its own.
  request '/?n=2'
  assert_equal "$(header RateLimit)" ''
  eventually two_takes
  assert_equal "$(wc -l <"$FAKE/connections")" 1
  assert_equal "$(log_count 'is lost')" 0
}
two_takes() { [[ $(cat "$FAKE/takes") == .. ]]; }

@test "of two requests to a slow Redis only the one that is answered in time is decided" {
  start_fake
  echo 'take before sleep 1.3' >"$FAKE/behaviour"
  start 2s "unix:$FAKE/socket" 1000
  eventually test -s "$FAKE/commands"
  # The replies come after 1.3 and 2.6 s: the second is late, but Redis has not been silent for 4 s.
  curl -s -i "$URL/?n=1" >"$BATS_TEST_TMPDIR/1" &
  local first=$!
  curl -s -i "$URL/?n=2" >"$BATS_TEST_TMPDIR/2" &
  wait "$first" $!
  assert_equal "$(cat "$BATS_TEST_TMPDIR"/[12] | grep -c '^RateLimit:')" 1
  request '/?n=3'
  assert_equal "$(wc -l <"$FAKE/connections")" 1
  assert_equal "$(log_count 'is lost')" 0
}

@test "a Redis that sends no reply for twice the timeout is lost" {
  start_fake
  echo 'take before sleep 30' >"$FAKE/behaviour"
  start 500ms "unix:$FAKE/socket" 1000
  eventually test -s "$FAKE/commands"
  request '/?n=1'
  assert_equal "$(header RateLimit)" ''
  eventually grep -q 'is lost (no reply for 1000 ms)' "$LIMITER_LOG"
}
