#!/usr/bin/env bats
# overrides.bats - clients that a limit treats differently, by exact keys, globs and CIDRs: with other numbers,
# unlimited, or blocked.

load helper

setup_file() {
  start_redis
  # curl has the address 127.0.0.1 unless --interface names another.
  start_limits <<'YAML'
redis: { timeout: 5s }
limits:
  - name: per-user
    key: query:user | ip
    capacity: 5
    refill: 1/min
    overrides:
      - { key: vip, capacity: 20, refill: 1/s }
      - { key: premium-worst, blocked: true }
      - { key: "premium-*", capacity: 10 }
      - { key: premium-late, capacity: 1000 }     # never used
      - { key: slow, refill: 1/h }
      - { key: root, unlimited: true }
      - { key: mallory, blocked: true }
      - { key: 127.0.0.2, capacity: 7 }
      - { key: 127.0.0.3, blocked: true }
      - { key: 127.0.0.4/30, capacity: 8 }
      - { key: 127.0.0.0/8, unlimited: true }
  - name: writes
    match: { methods: [POST] }
    key: ip + path
    capacity: 3
    refill: 1/day
    overrides:
      - { key: [127.0.0.9, /batch/**], capacity: 50 }
YAML
  export SHARED_PID=$LIGHTTPD_PID
}

teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
# Two tests have a limiter of their own.
teardown() { [[ $LIGHTTPD_PID == "$SHARED_PID" ]] || stop "$LIGHTTPD_PID"; }

# assert_limited CAPACITY WINDOW LEFT EFFECTIVE-WINDOW - the answer's only limit is per-user, with these numbers
assert_limited() {
  assert_fields "RateLimit-Policy per-user q=$1 w=$2" "RateLimit per-user r=$3 t=$4"
}

assert_not_limited() {
  assert_equal "$(header Status)" '200 OK'
  assert_fields
  assert_equal "$body" '{"allowed":true}'
}

@test "a client without an override has the limit's own numbers" {
  request '/?user=alice'
  assert_limited 5 300 4 240
}

@test "an exact key has a capacity and a refill of its own, which headers and body show" {
  request '/?user=vip'
  assert_limited 20 20 19 19
  assert_equal "$body" '{"allowed":true,"limit":20,"remaining":19,"reset":1}'
}

@test "a capacity alone leaves the refill as it is, a refill alone the capacity" {
  request '/?user=premium-1'
  assert_limited 10 600 9 540
  request '/?user=slow'
  assert_limited 5 18000 4 14400
}

@test "the override's capacity is what is admitted, and not a token more" {
  assert_equal "$(burst 60 '/?user=premium-1')" '200:10 429:50'
  assert_equal "$(burst 10 '/?user=alice')" '200:5 429:5'
}

@test "an exact key or a glob is met by the decoded value, however it is spelled" {
  request '/?user=%76i%70'
  assert_limited 20 20 19 19
  request '/?%75ser=premium%2D1'
  assert_limited 10 600 9 540
  request '/?user=VIP'
  assert_limited 5 300 4 240
}

@test "the first that fits counts, an exact one before a glob as well as after it" {
  request '/?user=premium-worst'
  assert_equal "$(header Status)" '403 Forbidden'
  request '/?user=premium-late'
  assert_limited 10 600 9 540
}

@test "unlimited: no headers, nothing in Redis" {
  for _ in {1..10}; do
    request '/?user=root'
    assert_not_limited
  done
  assert_equal "$(redis_keys)" ''
}

@test "unlimited: the other limits apply" {
  request '/?user=root' --data x
  assert_fields 'RateLimit-Policy writes q=3 w=259200' 'RateLimit writes r=2 t=172800'
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1+path=/}:writes'
}

@test "blocked: 403 that names the limit, with no RateLimit headers" {
  request '/?user=mallory'
  assert_equal "$(header Status)" '403 Forbidden'
  assert_equal "$(header Content-Type)" application/problem+json
  assert_equal "$(header Cache-Control)" no-store
  assert_equal "$(header Retry-After)" ''
  assert_fields
  assert_equal "$body" '{"type":"about:blank","title":"Forbidden","status":403,"detail":"The limit per-user blocks this client."}'
}

@test "blocked: no limit takes anything, the other ones neither" {
  for _ in {1..5}; do assert_equal "$(status '/?user=mallory' --data x)" 403; done
  assert_equal "$(redis_keys)" ''
}

@test "a CIDR is for the clients in it, and not for those beside it" {
  request / # 127.0.0.0/8
  assert_not_limited
  for host in 4 7; do
    request / --interface 127.0.0.$host
    assert_limited 8 480 7 420
  done
  request / --interface 127.0.0.8
  assert_not_limited
}

@test "an address alone matches that client" {
  request / --interface 127.0.0.2
  assert_limited 7 420 6 360
  assert_equal "$(status / --interface 127.0.0.3)" 403
}

@test "a user named like an address does not match a CIDR" {
  request '/?user=127.0.0.1'
  assert_limited 5 300 4 240
  request '/?user=127.0.0.2'
  assert_limited 5 300 4 240
  assert_equal "$(status '/?user=127.0.0.3')" 200
  request '/?user=127.0.0.0/8'
  assert_limited 5 300 4 240
}

@test "both sources of a key must match" {
  request /batch/1 --data x --interface 127.0.0.9
  assert_fields 'RateLimit-Policy writes q=50 w=4320000' 'RateLimit writes r=49 t=4233600'
  request /other --data x --interface 127.0.0.9
  assert_fields 'RateLimit-Policy writes q=3 w=259200' 'RateLimit writes r=2 t=172800'
  request /batch/1 --data x --interface 127.0.0.10
  assert_fields 'RateLimit-Policy writes q=3 w=259200' 'RateLimit writes r=2 t=172800'
}

@test "of ten thousand exact overrides the first, the last and one between apply" {
  {
    printf '%s\n' 'redis: { timeout: 5s }' 'limits:' '  - name: many' '    key: query:user | ip' \
      '    capacity: 5' '    refill: 1/min' '    overrides:'
    seq -w 1 10000 | sed 's/.*/      - { key: user-&, capacity: 1& }/'
  } >"$BATS_TEST_TMPDIR/many.yaml"
  start_limits <"$BATS_TEST_TMPDIR/many.yaml"
  for number in 00001 05000 10000; do
    request "/?user=user-$number"
    assert_contains "$body" "\"limit\":1$number,"
  done
  request '/?user=user-10001'
  assert_contains "$body" '"limit":5,'
}

@test "blocked and unlimited clients stay so without Redis" {
  start_limits REDIS_ADDR=127.0.0.1:1 <<'YAML'
limits:
  - name: strict
    key: query:user
    capacity: 5
    refill: 1/min
    on_redis_failure: deny
    overrides: [{ key: root, unlimited: true }, { key: mallory, blocked: true }]
YAML
  assert_equal "$(status '/?user=root')" 200
  assert_equal "$(status '/?user=mallory')" 403
  assert_equal "$(status '/?user=alice')" 503
}
