#!/usr/bin/env bats
# redis_addresses.bats - of a name's two addresses, one with a server that cannot decide is skipped like one without a
# server, at the start and later.  Also what a Redis behind an access list, a proxy or a firewall needs.

load helper

setup() {
  export REDIS_PORT
  FIRST=$BATS_TEST_TMPDIR/first
  export LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  echo '{ redis: { timeout: 500ms }, limits: [{ name: three, key: "query:user | ip", capacity: 3, refill: 1/day }] }' \
    >"$LIMITS_FILE"
}

teardown() { stop_all; }

# start_two_addresses - Redis on 127.0.0.3, and a program for which redis.test is 127.0.0.2 and 127.0.0.3
start_two_addresses() {
  printf '127.0.0.2 redis.test\n127.0.0.3 redis.test\n' >"$BATS_TEST_TMPDIR/hosts"
  start_program_seeing "$BATS_TEST_TMPDIR/hosts" /etc/hosts --redis "redis.test:$REDIS_PORT"
}

# start_first LINE... - tests/fake_redis.pl on 127.0.0.2 with this behaviour
start_first() {
  mkdir "$FIRST"
  printf '%s\n' "$@" >"$FIRST/behaviour"
  start_fake_redis "$FIRST" "127.0.0.2:$REDIS_PORT"
}

# start_redis_at HOST FOLDER - a Redis at HOST:REDIS_PORT
start_redis_at() { REDIS_DIR=$2 start_redis --bind "$1"; }

@test "a first address that is unfit, silent, or talks nonsense is skipped for the second" {
  mount_or_skip
  REDIS_PORT=$(free_port)
  start_redis_at 127.0.0.3 "$BATS_TEST_TMPDIR/second"
  local behaviour
  for behaviour in 'EVALSHA instead -READONLY replica\r\n' 'SCRIPT instead -LOADING data\r\n' \
    'EVALSHA instead -MASTERDOWN Link is down\r\n' 'SCRIPT instead -NOAUTH Authentication required.\r\n' \
    'SCRIPT instead -WRONGPASS no\r\n' 'connect instead -ERR max number of clients reached\r\n' \
    'connect instead +OK\r\n' 'EVALSHA instead +OK\r\n' 'connect instead close' 'SCRIPT before sleep 30'; do
    start_first "$behaviour"
    start_two_addresses
    assert_limits
    # More than one if the second is slow to answer.
    assert_between "$(wc -l <"$FIRST/connections")" 1 4
    stop_limiters
    stop "$FAKE_PID"
    rm -r "$FIRST"
  done
}

@test "a first address that may run neither EVALSHA nor EVAL is skipped for the second" {
  mount_or_skip
  REDIS_PORT=$(free_port)
  start_redis_at 127.0.0.3 "$BATS_TEST_TMPDIR/second"
  start_first "EVALSHA instead -NOPERM no 'evalsha'\r\n" "EVAL instead -NOPERM no 'eval'\r\n"
  start_two_addresses
  assert_limits
}

@test "when all addresses fail, the log names each with its reason" {
  mount_or_skip
  REDIS_PORT=$(free_port)
  start_first 'EVALSHA instead -READONLY replica\r\n'
  start_two_addresses
  eventually grep -q "is lost (127.0.0.2: READONLY replica; 127.0.0.3: Connection refused)" "$LIMITER_LOG"
}

@test "when a Redis becomes a replica, the other address of its name is used" {
  mount_or_skip
  REDIS_PORT=$(free_port)
  start_redis_at 127.0.0.3 "$BATS_TEST_TMPDIR/second"
  HELPER_PIDS=$REDIS_PID
  start_redis_at 127.0.0.2 "$BATS_TEST_TMPDIR/first"
  HELPER_PIDS+=" $REDIS_PID"
  start_two_addresses
  assert_limits
  redis-cli -h 127.0.0.2 -p "$REDIS_PORT" REPLICAOF 127.0.0.1 1
  eventually lost
  assert_limits
  assert_contains "$(grep 'is lost' "$LIMITER_LOG")" READONLY
}
lost() { decided && grep -q 'is lost' "$LIMITER_LOG"; }

@test "when a Redis stops answering, the other address of its name is used" {
  mount_or_skip
  REDIS_PORT=$(free_port)
  start_redis_at 127.0.0.3 "$BATS_TEST_TMPDIR/second"
  HELPER_PIDS=$REDIS_PID
  start_redis_at 127.0.0.2 "$BATS_TEST_TMPDIR/first"
  HELPER_PIDS+=" $REDIS_PID"
  start_two_addresses
  assert_limits
  kill -STOP "$REDIS_PID"
  eventually lost
  assert_limits
}

# by_eval COMMANDS... - with an access list of these commands requests are limited, the whole script is sent, and the log
# says so once
by_eval() {
  redis_cli ACL SETUSER limiter reset on '>secret' '~rl:*' "$@" >/dev/null
  redis_cli CONFIG RESETSTAT
  start_program REDIS_ADDR="redis://limiter:secret@127.0.0.1:$REDIS_PORT"
  assert_limits
  assert_limits
  assert_matches "$(redis_cli INFO commandstats)" 'cmdstat_eval:calls=[0-9]'
  assert_equal "$(log_count 'the whole script is sent with each request (EVAL)')" 1
  assert_equal "$(log_count 'is lost')" 0
  stop_limiters
}

@test "with an access list without SCRIPT LOAD or EVALSHA the whole script is sent, and the log says so once" {
  start_redis
  by_eval +eval +time +get +set +pttl
  by_eval +eval +evalsha +time +get +set +pttl
  by_eval +eval '+script|load' +time +get +set +pttl
}

@test "a proxy that does not know SCRIPT, or loads the script elsewhere, is sent the whole script" {
  REDIS_PORT=$(free_port)
  local behaviour
  for behaviour in "SCRIPT instead -ERR unknown command 'SCRIPT'\r\n" "EVALSHA instead -ERR unknown command\r\n" \
    'EVALSHA instead -NOSCRIPT No matching script. Please use EVAL.\r\n'; do
    start_first "$behaviour"
    start_program REDIS_ADDR="127.0.0.2:$REDIS_PORT"
    eventually decided
    assert_equal "$(log_count '(EVAL)')" 1
    stop_limiters
    stop "$FAKE_PID"
    rm -r "$FIRST"
  done
}

@test "an idle TCP connection has a keepalive timer of 15 seconds" {
  start_redis
  start_program REDIS_ADDR="127.0.0.1:$REDIS_PORT"
  eventually decided
  local port timer
  port=$(printf '0100007F:%04X' "$REDIS_PORT")
  # proc(5): remote address, state (01: established), queues, timer (02: keepalive) and when it is due, in 1/100 s.
  eventually keepalive_timer "$port"
  timer=$(keepalive_timer "$port")
  assert_between $((16#$timer)) 1 1500
}
keepalive_timer() { awk -v to="$1" '$3 == to && $4 == "01" && $6 ~ /^02:/ { print substr($6, 4); found = 1 } END { exit !found }' /proc/net/tcp; }
