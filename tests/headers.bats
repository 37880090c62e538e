#!/usr/bin/env bats
# headers.bats - the RateLimit fields, read by a parser of structured fields (npm's structured-headers).

bats_require_minimum_version 1.5.0
load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# limits LINE... - a limiter with these limits
limits() {
  printf '%s\n' 'redis: { timeout: 5s }' 'limits:' "${@/#/  - }" >"$BATS_TEST_TMPDIR/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
}

# empty NAME... - the client's buckets of these limits hold no token, and will not before the test is over
empty() {
  local now
  now=$(redis_cli TIME | head -n 1)
  printf "SET rl:{ip=127.0.0.1}:%s $((now + 1000000000))000000\n" "$@" | redis_cli >/dev/null
}

@test "one limit has its fields on 200 and 429" {
  limits '{ name: only, key: ip, capacity: 2, refill: 1/h }'
  request /
  assert_equal "$(header Status)" '200 OK'
  assert_fields 'RateLimit-Policy only q=2 w=7200' 'RateLimit only r=1 t=3600'
  empty only
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" 3600
  assert_fields 'RateLimit-Policy only q=2 w=7200' 'RateLimit only r=0 t=3600'
}

@test "a 429 has the fields of all limits, with what they have left" {
  limits '{ name: second, key: ip, capacity: 3, refill: 1/h }' \
    '{ name: first, key: ip, capacity: 100, refill: 3/s }' \
    '{ name: writes, key: ip, capacity: 9, refill: 1/h, match: { methods: [POST] } }' \
    '{ name: empty, key: ip, capacity: 7, refill: 1/min }'
  local policies=('RateLimit-Policy second q=3 w=10800' 'RateLimit-Policy first q=100 w=34'
    'RateLimit-Policy empty q=7 w=420')
  request /
  assert_equal "$(header Status)" '200 OK'
  assert_fields "${policies[@]}" 'RateLimit second r=2 t=7200' 'RateLimit first r=99 t=34' 'RateLimit empty r=6 t=360'
  empty empty
  redis_cli DEL 'rl:{ip=127.0.0.1}:first'
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" 60
  assert_fields "${policies[@]}" 'RateLimit second r=2 t=7200' 'RateLimit first r=100 t=34' 'RateLimit empty r=0 t=60'
}

@test "a name that looks like a number or a boolean is a String like any other" {
  limits '{ name: "42", key: ip, capacity: 2, refill: 1/h }' \
    '{ name: "-1.0", key: ip, capacity: 2, refill: 1/h }' \
    '{ name: "true", key: ip, capacity: 2, refill: 1/h }'
  request /
  assert_fields 'RateLimit-Policy 42 q=2 w=7200' 'RateLimit-Policy -1.0 q=2 w=7200' 'RateLimit-Policy true q=2 w=7200' \
    'RateLimit 42 r=1 t=3600' 'RateLimit -1.0 r=1 t=3600' 'RateLimit true r=1 t=3600'
}

# The most that a limits file can ask for: 64 limits with names of 64 bytes, 1000000000 tokens, ten years to fill.
@test "64 limits with the longest names and largest numbers have their fields on 200 and 429" {
  local i name names=() lines=() policies=() left=() none=()
  for i in {1..64}; do
    printf -v name 'Az09_.-%057d' "$i"
    names+=("$name")
    lines+=("{ name: $name, key: ip, capacity: 1000000000, refill: 100/31536ms }")
    policies+=("RateLimit-Policy $name q=1000000000 w=315360000")
    left+=("RateLimit $name r=999999999 t=315360000")
    none+=("RateLimit $name r=0 t=1")
  done
  limits "${lines[@]}"
  request /
  assert_equal "$(header Status)" '200 OK'
  assert_fields "${policies[@]}" "${left[@]}"
  empty "${names[@]}"
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" 1
  assert_fields "${policies[@]}" "${none[@]}"
}

@test "r of a full bucket is q, with the largest capacity and fastest refill as well" {
  limits '{ name: huge, key: ip, capacity: 1000000000, refill: 1000000/s }' \
    '{ name: tiny, key: ip, capacity: 1, refill: 1/366day }'
  empty tiny
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" 31622400
  assert_fields 'RateLimit-Policy huge q=1000000000 w=1000' 'RateLimit-Policy tiny q=1 w=31622400' \
    'RateLimit huge r=1000000000 t=1000' 'RateLimit tiny r=0 t=31622400'
}

# ---- The parser itself ----

# assert_read VALUE LINE... - as the field RateLimit, VALUE has these items
assert_read() {
  head=$'HTTP/1.1 200 OK\r\nRateLimit: '$1$'\r\nDate: x'
  assert_fields "${@:2}"
}

# assert_refused VALUE WHY
assert_refused() {
  head=$'HTTP/1.1 200 OK\r\nRateLimit: '$1$'\r\nDate: x'
  run -1 fields
  assert_contains "$output" "$2"
}

@test "the parser reads what RFC 9651 allows, in one field line or in several" {
  assert_read '"a";r=1;t=2, "b";r=3' 'RateLimit a r=1 t=2' 'RateLimit b r=3'
  assert_read $'"a";r=1\r\nratelimit:"b";r=999999999999999' 'RateLimit a r=1' 'RateLimit b r=999999999999999'
  assert_read $'"a"\r\nRateLimit-Policy: "a";q=1\r\nX-RateLimit: a' 'RateLimit-Policy a q=1' 'RateLimit a'
}

@test "the parser refuses everything else, such as a Token, a Decimal or a trailing comma" {
  assert_refused 'per-user;r=4;t=48' 'no String'
  assert_refused '5;r=4' 'no String'
  assert_refused '%"a";r=4' 'no String'
  assert_refused '("a" "b");r=4' 'no String'
  assert_refused '"a";r=4.5' 'parameter r is no Integer'
  assert_refused '"a";r=4.0' 'to be written "a";r=4'
  assert_refused '"a";r' 'parameter r is no Integer'
  assert_refused '"a";r="4"' 'parameter r is no Integer'
  assert_refused '"a";r=x' 'parameter r is no Integer'
  assert_refused '"a";r=04' 'to be written "a";r=4'
  assert_refused '"a";r=4;r=4' 'to be written "a";r=4'
  assert_refused '"a";r=1000000000000000' 'integer length'
  assert_refused '"a";R=4' 'key must begin'
  assert_refused '"a";r=' 'Unexpected end'
  assert_refused '"a";r=4,' 'trailing comma'
  assert_refused '"a";r=4 "b";r=4' 'Expected ,'
  assert_refused '"a";r=4,"b";r=4' 'to be written "a";r=4, "b";r=4'
  assert_refused '"a' 'Unexpected end'
  assert_refused '"a b";r=4' 'no limit can be called "a b"'
  assert_refused '' 'empty List'
}
