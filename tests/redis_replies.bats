#!/usr/bin/env bats
# redis_replies.bats - a Redis that sends unrequested or endless replies counts as lost, memory and time are bounded, and
# limiting resumes when it behaves.  The server is tests/fake_redis.pl.
# shellcheck disable=SC2016 # a '$' is what a bulk string of Redis begins with

load helper

TIMEOUT_MS=1000

setup() {
  FAKE=$BATS_TEST_TMPDIR/fake
  mkdir "$FAKE"
  start_fake_redis "$FAKE"
  printf '{ redis: { timeout: %sms }, limits: [{ name: a, key: ip, capacity: 1000000, refill: 1/s }] }\n' \
    "$TIMEOUT_MS" >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program REDIS_ADDR="unix:$FAKE/socket" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  program=$PROGRAM_PID
}

teardown() { stop_all; }

# behave [LINE...] - the behaviour of Redis on new connections; the existing one is closed
behave() {
  printf '%s\n' "$@" >"$FAKE/behaviour"
  pkill -KILL -P "$FAKE_PID" || true
}

lost_again() { request / && (($(log_count 'is lost') > $1)); }

# assert_survives - the same process runs, has not used much memory, and limits again when Redis behaves
assert_survives() {
  behave
  eventually decided
  assert_equal "$PROGRAM_PID" "$program"
  kill -0 "$program"
  # Sanitizers use much memory themselves.
  [[ $BUILD == *asan* ]] || assert_between "$(awk '/^VmHWM/ { print $2 }' "/proc/$program/status")" 1 40000
}

# assert_lost LINE... - with this behaviour Redis is lost, and requests are answered all the same
assert_lost() {
  local before
  eventually decided
  before=$(log_count 'is lost')
  behave "$@"
  eventually lost_again "$before"
  assert_equal "$(status /)" 200
  assert_survives
}

# shellcheck disable=SC2016  # '$' is RESP's
@test "after an unrequested reply before the first command Redis is lost, and the process survives" {
  local bytes
  for bytes in '+OK\r\n' ':1\r\n' '$-1\r\n' '*0\r\n' '>2\r\n+a\r\n+b\r\n' '-ERR max number of clients reached\r\n' \
    '$40\r\n0123456789abcdef0123456789abcdef01234567\r\n' '+OK\r\n+OK\r\n'; do
    assert_lost "connect instead $bytes"
  done
}

@test "after an unrequested reply before or after one of ours Redis is lost, and the process survives" {
  local at how bytes
  for at in SCRIPT EVALSHA take; do
    for how in before after; do
      for bytes in '+OK\r\n' ':1\r\n' '$-1\r\n' '*0\r\n' '>1\r\n+a\r\n'; do
        assert_lost "$at $how $bytes"
      done
    done
  done
}

@test "after a reply of another type Redis is lost, and the process survives" {
  local at bytes
  for at in SCRIPT EVALSHA take; do
    for bytes in '+OK\r\n' ':1\r\n' '$-1\r\n' '*-1\r\n' '*0\r\n' '*2147483647\r\n' '*4\r\n:1\r\n:1\r\n:0\r\n+1\r\n' \
      '*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n' '%1\r\n+a\r\n+b\r\n' 'HTTP/1.1 400 Bad Request\r\n\r\n'; do
      assert_lost "$at instead $bytes"
    done
  done
}

# shellcheck disable=SC2016
@test "during an endless reply Redis is lost, in little time and memory" {
  local at bytes
  for at in connect SCRIPT take; do
    for bytes in '$536870912\r\n' '+' '*1\r\n' ':1'; do
      assert_lost "$at before $bytes" "$at endless 11111111111111111111111111111111111111111111111111111111111111111111"
    done
  done
  assert_lost 'take endless +OK\r\n'
  assert_lost 'take endless *1\r\n'
}

@test "after half a reply, or a connection closed in the middle of one, Redis is lost until it is back" {
  assert_lost 'take instead *4\r\n:1\r\n'
  assert_lost 'EVALSHA instead *8\r\n:1\r\n' 'EVALSHA after close'
  assert_lost 'SCRIPT instead close'
}

@test "after an unrequested reply during the login Redis is lost, and the process survives" {
  stop_limiters
  local port bytes
  port=$(free_port)
  mkdir "$BATS_TEST_TMPDIR/tcp"
  start_fake_redis "$BATS_TEST_TMPDIR/tcp" "127.0.0.1:$port"
  for bytes in '+OK\r\n' ':1\r\n' '$-1\r\n' '*0\r\n' '-ERR \x9b\xff\r\n'; do
    printf 'AUTH before %s\n' "$bytes" >"$BATS_TEST_TMPDIR/tcp/behaviour"
    start_program REDIS_ADDR="redis://:secret@127.0.0.1:$port/3" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
    program=$PROGRAM_PID
    eventually grep -q 'is lost' "$LIMITER_LOG"
    assert_equal "$(status /)" 200
    kill -0 "$program"
    stop_limiters
  done
}

@test "an error about a request affects that request alone, and the connection stays" {
  local error connections
  for error in "OOM command not allowed when used memory > 'maxmemory'." 'BUSY Redis is busy' 'MOVED 3999 127.0.0.1:6381' \
    'TRYAGAIN Multiple keys' 'CLUSTERDOWN Hash slot not served' 'NOPERM No permissions to access a key' \
    'ASK 3999 127.0.0.1:6381' "CROSSSLOT Keys in request don't hash to the same slot" 'ERR something' \
    'MISCONF Redis is configured to save' 'NOSCRIPT No matching script.' 'WHATEVER \x9b'; do
    behave "take instead -$error\r\n"
    eventually refused_by_error "${error%% *}"
    connections=$(wc -l <"$FAKE/connections")
    for _ in {1..10}; do assert_equal "$(status /)" 200; done
    assert_equal "$(wc -l <"$FAKE/connections")" "$connections"
    stop_limiters
    rm "$FAKE/behaviour"
    start_program REDIS_ADDR="unix:$FAKE/socket" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
    eventually decided
  done
}
refused_by_error() { request / && grep -q "does not decide every request ($1" "$LIMITER_LOG"; }

@test "an error about the server ends the connection" {
  local error
  for error in READONLY LOADING MASTERDOWN NOAUTH NOPERM WRONGPASS '@user_script: 72: -READONLY'; do
    assert_lost "take instead -$error no\r\n"
    assert_contains "$(grep 'is lost' "$LIMITER_LOG")" "$error"
  done
}

@test "bytes of an error that are not text are escaped in the log" {
  assert_lost 'take instead -READONLY \x1b[31m\x80\x9b\xff\r\n'
  assert_contains "$(grep 'is lost' "$LIMITER_LOG")" 'READONLY \x1b[31m\x80\x9b\xff'
}
