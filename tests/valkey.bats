#!/usr/bin/env bats
# valkey.bats - everything that is asked of Redis works on Valkey, which Debian has since 13.

load helper

setup() { command -v valkey-server >/dev/null || skip 'no valkey-server, which Debian has since 13'; }

# on_valkey SUITE - the tests of SUITE pass with Valkey in the place of Redis
on_valkey() {
  run env REDIS_SERVER=valkey-server bats --tap "tests/$1"
  [[ $status == 0 ]] || fail "$output" 'is not' 'a suite that passes'
  assert_contains "$output" $'\nok 1 '
}

@test "what these tests call Redis is Valkey" {
  REDIS_SERVER=valkey-server start_redis
  assert_contains "$(redis_cli INFO server)" server_name:valkey
  stop_all
}
@test "the script takes tokens, and keeps what it promises" { on_valkey take.bats; }
@test "the program does without it, and comes back to it" { on_valkey redis_failure.bats; }
@test "overrides that are stored in it are in force" { on_valkey live_overrides.bats; }
@test "ratelimitctl looks into its buckets and fills them" { on_valkey ratelimitctl.bats; }
@test "keys have a prefix in it" { on_valkey key_prefix.bats; }
