#!/usr/bin/env bats
# redis_sentinel.bats - the master that Sentinels name is asked, and the next one as soon as they name it.

bats_require_minimum_version 1.5.0
load helper
load sentinels

setup() {
  PATH=$(dirname "$PROGRAM"):$PATH
  FLEET_PIDS='' FLEET_PASSWORD='' SENTINEL_PASSWORD='' DOWN_MS=1000
}
teardown() {
  stop_limiters
  stop_fleet
}

# limits_of [LINE...] - a limits file for the Sentinels of the fleet, with further lines in redis
limits_of() {
  local addresses
  addresses=$(printf '127.0.0.1:%s, ' "${SENTINELS[@]}")
  echo redis:
  echo "  sentinel: { master: ${NAMED:-mymaster}, addresses: [${addresses%, }]${SENTINEL_LOGIN:-} }"
  printf '  %s\n' "$@"
  echo 'limits: [ { name: per-user, key: query:user, capacity: 3, refill: 1/h, on_redis_failure: deny } ]'
}

# start_for_fleet [LINE...] - a program that asks the fleet
start_for_fleet() {
  limits_of "timeout: ${TIMEOUT:-1s}" "$@" >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
}

has_line() { grep -qF "$1" "$LIMITER_LOG"; }
# limiter_at PORT - the Redis there has a connection of the program, by its name
limiter_at() { [[ $(at "$1" CLIENT LIST) == *"name=ratelimit.fcgi-$PROGRAM_PID"* ]]; }
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# ms_until COMMAND... - the milliseconds until it succeeds
ms_until() {
  local before
  before=$(now_ms)
  eventually "$@"
  echo $(($(now_ms) - before))
}

@test "the master that the Sentinels name is asked, under the program's name" {
  start_fleet
  start_for_fleet
  eventually decided
  assert_equal "$(statuses 4 alice)" '200 200 200 429'
  limiter_at "$MASTER"
  [[ $(at "$MASTER" --scan) == *'rl:{query:user=alice}:per-user'* ]]
  run -0 ratelimitctl peek --key alice --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" '0 of 3'
}

@test "a planned failover is followed at once, and the buckets are those of the new master" {
  start_fleet
  start_for_fleet
  eventually decided
  assert_equal "$(statuses 3 alice)" '200 200 200'
  eventually replicated
  sentinel_at "${SENTINELS[0]}" SENTINEL FAILOVER mymaster >/dev/null
  eventually moved_on
  eventually has_line 'the Sentinels name a new master, 127.0.0.1 port '
  eventually limiter_at "$NEW"
  eventually decided
  assert_equal "$(statuses 1 alice)" 429
  # It is no loss: requests waited for the new master, or were undecided for less than the log counts as one.
  [[ $(at "$MASTER" CLIENT LIST) != *"name=ratelimit.fcgi-$PROGRAM_PID"* ]]
}
replicated() {
  local port
  for port in "${REPLICAS[@]}"; do [[ $(at "$port" --scan) == *alice* ]] || return 1; done
}
# moved_on - a Sentinel names another master, NEW
moved_on() {
  NEW=$(named_by "${SENTINELS[0]}")
  [[ $NEW != "$MASTER" && $NEW =~ ^[0-9]+$ ]]
}

@test "after the master's death requests are decided as soon as the Sentinels have a new one" {
  start_fleet
  start_for_fleet
  eventually decided
  kill -KILL "$(pid_at "$MASTER")"
  local died switched
  died=$(now_ms)
  eventually moved_on
  switched=$(now_ms)
  eventually decided
  echo "# the Sentinels took $((switched - died)) ms, the next decision $(($(now_ms) - switched)) ms more" >&3
  limiter_at "$NEW"
}

@test "a Sentinel that is dead, stopped or does not know the master is passed over" {
  start_fleet
  kill -KILL "$(pid_at "${SENTINELS[0]}")"
  kill -STOP "$(pid_at "${SENTINELS[1]}")"
  start_for_fleet
  eventually decided
  eventually limiter_at "$MASTER"
}

@test "a wrong name of the master, or no Sentinel at all, is said, and what is right then is used" {
  start_fleet
  NAMED=theirmaster start_for_fleet
  eventually has_line "it knows no master 'theirmaster'"
  assert_equal "$(status '/?user=alice')" 503
  stop_limiters
  local port
  for port in "${SENTINELS[@]}"; do kill -KILL "$(pid_at "$port")"; done
  start_for_fleet
  eventually has_line "Sentinel 127.0.0.1:${SENTINELS[0]}: Connection refused"
  start_sentinel_at "${SENTINELS[1]}"
  eventually decided
}

@test "Redis and the Sentinels have passwords of their own" {
  FLEET_PASSWORD=fleet-secret SENTINEL_PASSWORD=sentinel-secret
  start_fleet
  printf %s "$FLEET_PASSWORD" >"$BATS_TEST_TMPDIR/redis"
  printf %s "$SENTINEL_PASSWORD" >"$BATS_TEST_TMPDIR/sentinel"
  chmod 600 "$BATS_TEST_TMPDIR"/{redis,sentinel}
  SENTINEL_LOGIN=", password_file: $BATS_TEST_TMPDIR/sentinel" start_for_fleet "password_file: $BATS_TEST_TMPDIR/redis"
  eventually decided
  run ! grep -E 'fleet-secret|sentinel-secret' "$LIMITER_LOG"
  stop_limiters
  start_for_fleet "password_file: $BATS_TEST_TMPDIR/redis"
  eventually has_line 'NOAUTH'
}

# documented_user NAME - the words after ACL SETUSER NAME in lua/README.md, the first time
documented_user() { sed -n "s/^    ACL SETUSER $1 \(.*\)/\1/p" lua/README.md | head -1; }

@test "the rights that lua/README.md lists are enough, for Redis and for the Sentinels" {
  local user sentinel_user port
  # shellcheck disable=SC2016  # the shell of this test splits the words
  user=$(documented_user limiter)
  sentinel_user=$(sed -n 's/^    ACL SETUSER limiter \(.*+sentinel.*\)/\1/p' lua/README.md)
  [[ -n $user && -n $sentinel_user ]]
  start_fleet
  for port in "$MASTER" "${REPLICAS[@]}"; do
    # shellcheck disable=SC2086  # words
    assert_equal "$(at "$port" ACL SETUSER limiter $user '+client|setname' +info +hget +hscan +eval +zadd +zremrangebyscore +zcard +pexpire)" OK
  done
  for port in "${SENTINELS[@]}"; do
    # shellcheck disable=SC2086
    assert_equal "$(sentinel_at "$port" ACL SETUSER limiter $sentinel_user)" OK
  done
  printf secret >"$BATS_TEST_TMPDIR/redis"
  printf secret3 >"$BATS_TEST_TMPDIR/sentinel"
  chmod 600 "$BATS_TEST_TMPDIR"/{redis,sentinel}
  SENTINEL_LOGIN=", user: limiter, password_file: $BATS_TEST_TMPDIR/sentinel" \
    start_for_fleet "user: limiter" "password_file: $BATS_TEST_TMPDIR/redis"
  eventually decided
  limiter_at "$MASTER"
  eventually subscribed "${SENTINELS[2]}"
  assert_equal "$(at "$MASTER" ACL LOG)$(sentinel_at "${SENTINELS[0]}" ACL LOG)" '' # nothing was refused
}
# subscribed PORT - the Sentinel there has a subscriber by the user of the document
subscribed() { [[ $(sentinel_at "$1" CLIENT LIST | grep 'user=limiter') == *' sub=2 '* ]]; }

@test "a Sentinel that still names the demoted master does not keep the program there" {
  start_fleet
  start_for_fleet
  eventually decided
  # The replica becomes a master without the Sentinels, and the master a replica of it: they still name the old one for a
  # while, and it answers INFO with another role.
  at "$MASTER" REPLICAOF 127.0.0.1 "${REPLICAS[0]}" >/dev/null
  at "${REPLICAS[0]}" REPLICAOF NO ONE >/dev/null
  at "$MASTER" CLIENT KILL TYPE normal SKIPME yes >/dev/null
  eventually undecided_now
  eventually decided # when the Sentinels have put it right, in either way
}
undecided_now() { [[ $(status "/?user=now-$RANDOM") == 503 ]] || has_line 'it is a replica'; }
