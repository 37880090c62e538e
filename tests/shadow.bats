#!/usr/bin/env bats
# shadow.bats - a shadow limit is counted and named, and has no other effect.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# an_enforced_and_a_shadow ENFORCED SHADOW [VARIABLE=VALUE...] - limits of these capacities, by user
an_enforced_and_a_shadow() {
  start_limits "${@:3}" <<YAML
redis: { timeout: 5s }
limits:
  - { name: new, key: "query:user | ip", capacity: $2, refill: 1/day, shadow: true, on_redis_failure: deny }
  - { name: old, key: "query:user | ip", capacity: $1, refill: 1/day }
YAML
}

# assert_left NAME CAPACITY COUNT - alice's bucket of that limit
assert_left() { assert_equal "$1 $(tokens "rl:{query:user=alice}:$1" "$2" 86400)" "$1 $3"; }

@test "a shadow never refuses, is counted in Redis, and is in no header but RateLimit-Shadow" {
  an_enforced_and_a_shadow 100 3
  assert_equal "$(burst 20 '/?user=alice')" '200:20'
  assert_left new 3 0
  request '/?user=alice'
  assert_fields 'RateLimit-Policy old q=100 w=8640000' 'RateLimit old r=79 t=6825600' 'RateLimit-Shadow new'
}

@test "the body of a 200 names a shadow that would have refused" {
  an_enforced_and_a_shadow 100 2
  for left in 99 98; do
    request '/?user=alice'
    assert_equal_by_now "$body" "{\"allowed\":true,\"limit\":100,\"remaining\":$left,\"reset\":$(((100 - left) * 86400))}"
  done
  request '/?user=alice'
  assert_equal "$(header Status)" '200 OK'
  assert_equal_by_now "$body" '{"allowed":true,"limit":100,"remaining":97,"reset":259200,"shadow":["new"]}'
  request '/?user=bob'
  assert_equal "$body" '{"allowed":true,"limit":100,"remaining":99,"reset":86400}'
}

@test "the body of a 429 names it apart from the limits that refused" {
  an_enforced_and_a_shadow 2 1
  for _ in 1 2 3; do request '/?user=alice'; done
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_contains "$body" '"violated-policies":["old"],"shadow":["new"]}'
  assert_fields 'RateLimit-Policy old q=2 w=172800' 'RateLimit old r=0 t=86400' 'RateLimit-Shadow new'
}

@test "the answer to /check names each shadow that would have refused" {
  start_limits <<'YAML'
redis: { timeout: 5s }
trusted_proxies: [127.0.0.1]
limits:
  - { name: new, key: query:user, capacity: 1, refill: 1/day, shadow: true }
  - { name: newer, key: query:user, capacity: 2, refill: 1/day, shadow: true }
YAML
  local expected
  for expected in '' 'RateLimit-Shadow new' $'RateLimit-Shadow new\nRateLimit-Shadow newer'; do
    request /check -H 'X-Forwarded-Uri: /?user=alice'
    assert_equal "$(fields)" "$expected"
  done
  assert_equal "$(header RateLimit-Shadow)" '"new", "newer"'
}

@test "a request that an enforced limit refuses is not charged to a shadow" {
  an_enforced_and_a_shadow 2 10
  assert_equal "$(burst 50 '/?user=alice')" '200:2 429:48'
  assert_left old 2 0
  assert_left new 10 8
  request '/?user=alice'
  [[ $body != *shadow* ]] || fail "$body" 'contains' 'no shadow'
}

@test "enforced limits charge the same with and without a shadow" {
  local with
  an_enforced_and_a_shadow 40 15
  assert_equal "$(burst 30 '/?user=alice')" '200:30'
  with=$(redis_cli GET 'rl:{query:user=alice}:old')
  assert_left old 40 10
  assert_left new 15 0
  stop_limiters
  redis_cli FLUSHALL
  start_limits <<'YAML'
redis: { timeout: 5s }
limits: [{ name: old, key: "query:user | ip", capacity: 40, refill: 1/day }]
YAML
  assert_equal "$(burst 30 '/?user=alice')" '200:30'
  assert_left old 40 10
  # These are times at which the bucket was empty, in microseconds: a token is 86400000000, and the two bursts are less
  # than a minute apart.
  assert_between $(($(redis_cli GET 'rl:{query:user=alice}:old') - with)) 0 60000000
}

@test "a shadow alone answers 200 and is named, without the other headers" {
  start_limits <<'YAML'
redis: { timeout: 5s }
limits: [{ name: new, key: ip, capacity: 1, refill: 1/day, shadow: true }]
YAML
  request /
  assert_equal "$body" '{"allowed":true}'
  assert_fields
  request /
  assert_equal "$(header Status)" '200 OK'
  assert_fields 'RateLimit-Shadow new'
  assert_equal "$body" '{"allowed":true,"shadow":["new"]}'
}

@test "a blocked override of a shadow does not block" {
  start_limits WORKERS=1 <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: old, key: ip, capacity: 9, refill: 1/day }
  - name: new
    key: query:user | ip
    capacity: 9
    refill: 1/day
    shadow: true
    overrides: [{ key: mallory, blocked: true }]
YAML
  request '/?user=mallory'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$body" '{"allowed":true,"limit":9,"remaining":8,"reset":86400,"shadow":["new"]}'
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1}:old'
}

@test "on_redis_failure: deny of a shadow refuses no request" {
  an_enforced_and_a_shadow 5 5 REDIS_ADDR=127.0.0.1:1
  for _ in 1 2 3; do assert_equal "$(status '/?user=alice')" 200; done
}
