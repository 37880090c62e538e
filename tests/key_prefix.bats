#!/usr/bin/env bats
# key_prefix.bats - several installations share one Redis, each with a prefix of its own before its keys.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  PATH=$(dirname "$PROGRAM"):$PATH
}
teardown() { stop_limiters; }

# prefixed_limits PREFIX - the limits of an installation, in PREFIX.yaml of the test's folder; its path
prefixed_limits() {
  cat >"$(tmpdir)/$1.yaml" <<YAML
redis: { timeout: 5s, key_prefix: '$1:' }
limits:
  - { name: per-user, key: query:user, capacity: 3, refill: 1/h }
YAML
  echo "$(tmpdir)/$1.yaml"
}

# start_installation PREFIX - two processes with the limits of PREFIX; URL
start_installation() {
  local folder
  folder=$(mktemp -d "$(tmpdir)/$1.XXXXXX")
  start_limiter conf/lighttpd.conf LIMITS_FILE="$(prefixed_limits "$1")" SOCKET_DIR="$folder"
}

# ctl PREFIX WORD... - ratelimitctl with the limits of PREFIX
ctl() {
  local prefix=$1
  shift
  run ratelimitctl "$@" --limits "$(prefixed_limits "$prefix")" --redis "unix:$REDIS_SOCK"
}

@test "two prefixes on one Redis share no bucket" {
  start_installation staging
  assert_equal "$(burst 5 '/?user=alice')" '200:3 429:2'
  start_installation live
  assert_equal "$(burst 5 '/?user=alice')" '200:3 429:2'
  assert_equal "$(redis_keys | grep alice)" "$(printf '%s\n' 'live:rl:{query:user=alice}:per-user' \
    'staging:rl:{query:user=alice}:per-user')"
}

@test "peek and reset see the buckets of their own prefix, without it" {
  start_installation staging
  burst 3 '/?user=alice' >/dev/null
  burst 3 '/?user=bob' >/dev/null
  start_installation live
  burst 3 '/?user=alice' >/dev/null
  ctl staging peek --key alice
  assert_contains "$output" 'rl:{query:user=alice}:per-user'
  [[ $output != *staging:rl* ]] || fail "$output" 'has' 'the key without its prefix'
  ctl staging reset --key alice
  assert_equal "$(redis_keys | grep 'rl:{')" "$(printf '%s\n' 'live:rl:{query:user=alice}:per-user' \
    'staging:rl:{query:user=bob}:per-user')"
  ctl staging reset --all --limit per-user --yes
  assert_equal "$(redis_keys | grep 'rl:{')" 'live:rl:{query:user=alice}:per-user'
}

@test "an override is in force for its own prefix alone" {
  start_installation staging
  local staging=$URL
  start_installation live
  ctl staging override set per-user alice blocked
  assert_equal "$status" 0
  assert_equal "$(redis_cli EXISTS staging:rl:overrides rl:overrides live:rl:overrides)" 1
  URL=$staging
  blocked() { [[ $(status '/?user=alice') == 403 ]]; }
  URL=$staging eventually blocked
  ctl staging override list
  assert_contains "$output" alice
  ctl live override list
  [[ $output != *alice* ]] || fail "$output" 'has' "the other prefix's override"
}

@test "a Redis user needs the keys of the prefix and no others" {
  redis_cli ACL SETUSER staging on '>secret' '~staging:rl:*' +evalsha '+script|load' +time +get +set +pttl +hget +hscan >/dev/null
  local folder
  folder=$(mktemp -d "$(tmpdir)/acl.XXXXXX")
  start_limiter conf/lighttpd.conf LIMITS_FILE="$(prefixed_limits staging)" SOCKET_DIR="$folder" \
    REDIS_ADDR="redis://staging:secret@127.0.0.1:$REDIS_PORT"
  eventually decided
  assert_equal "$(burst 5 '/?user=alice')" '200:3 429:2'
  redis_cli ACL DELUSER staging >/dev/null
}
