#!/usr/bin/env bats
# several.bats - several limits apply to a request: if one refuses, none is charged; and what the answer says about them.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# two_limits [LINE] - the second is the tighter one, for POST alone; LINE of the file comes before them
two_limits() {
  start_limits <<YAML
redis: { timeout: 5s }
${1-}
limits:
  - { name: all, key: "query:user | ip", capacity: 1000, refill: 1/h }
  - { name: writes, key: "query:user | ip", capacity: 40, refill: 1/day, match: { methods: [POST] } }
YAML
}

# assert_left NAME CAPACITY PERIOD COUNT - u's bucket of that limit
assert_left() { assert_equal "$1 $(tokens "rl:{query:user=u}:$1" "$2" "$3")" "$1 $4"; }

@test "of 200 parallel requests the first limit is charged only for those that the second allows" {
  two_limits
  assert_equal "$(burst 200 '/?user=u' --data x)" '200:40 429:160'
  assert_left writes 40 86400 0
  assert_left all 1000 3600 960
  assert_equal "$(burst 60 '/?user=u')" '200:60'
  assert_left all 1000 3600 900
  assert_equal "$(burst 50 '/?user=u' --data x)" '429:50'
  assert_left all 1000 3600 900
}

@test "of 200 parallel requests the second limit is charged only for those that the first allows" {
  start_limits <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: few, key: "query:user | ip", capacity: 30, refill: 1/day }
  - { name: many, key: "query:user | ip", capacity: 1000, refill: 1/h }
YAML
  assert_equal "$(burst 200 '/?user=u')" '200:30 429:170'
  assert_left few 30 86400 0
  assert_left many 1000 3600 970
}

@test "a bucket that was never charged is not in Redis after a refusal" {
  two_limits
  for _ in {1..40}; do assert_equal "$(status '/?user=u' --data x)" 200; done
  redis_cli DEL 'rl:{query:user=u}:all' >/dev/null
  assert_equal "$(status '/?user=u' --data x)" 429
  assert_equal "$(redis_keys)" 'rl:{query:user=u}:writes'
}

@test "the body's numbers are those of the limit that is closest to refusing" {
  two_limits
  request '/?user=u' --data x
  assert_equal "$body" '{"allowed":true,"limit":40,"remaining":39,"reset":86400}'
  request '/?user=u'
  assert_equal_by_now "$body" '{"allowed":true,"limit":1000,"remaining":998,"reset":7200}'
}

@test "if two limits refuse, both are named, and Retry-After is the longer wait" {
  start_limits <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: short, key: ip, capacity: 1, refill: 1/min }
  - { name: roomy, key: ip, capacity: 9, refill: 1/day }
  - { name: long, key: ip, capacity: 1, refill: 1/h }
YAML
  request /
  request /
  assert_contains "$body" '"violated-policies":["short","long"]'
  assert_equal_by_now "$(header Retry-After)" 3600
  assert_fields 'RateLimit-Policy short q=1 w=60' 'RateLimit-Policy roomy q=9 w=777600' 'RateLimit-Policy long q=1 w=3600' \
    'RateLimit short r=0 t=60' 'RateLimit roomy r=8 t=691200' 'RateLimit long r=0 t=3600'
}

# assert_x_ratelimit LIMIT REMAINING RESET - these are the three X-RateLimit headers
assert_x_ratelimit() {
  assert_equal "$(header X-RateLimit-Limit) $(header X-RateLimit-Remaining)" "$1 $2"
  assert_equal_by_now "$(header X-RateLimit-Reset)" "$3"
}

@test "X-RateLimit headers are those of the limit closest to refusing, on 200 and 429" {
  two_limits 'headers: [ietf, x-ratelimit]'
  request '/?user=u' --data x
  assert_x_ratelimit 40 39 86400
  assert_fields 'RateLimit-Policy all q=1000 w=3600000' 'RateLimit-Policy writes q=40 w=3456000' \
    'RateLimit all r=999 t=3596400' 'RateLimit writes r=39 t=3369600'
  request '/?user=u'
  assert_x_ratelimit 1000 998 7200
  burst 45 '/?user=u' --data x >/dev/null
  request '/?user=u' --data x
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_x_ratelimit 40 0 3456000
}

@test "headers: [x-ratelimit] sends these alone" {
  two_limits 'headers: [x-ratelimit]'
  request '/?user=u' --data x
  assert_x_ratelimit 40 39 86400
  assert_fields
}

@test "headers: [] sends none except Retry-After on a 429" {
  two_limits 'headers: []'
  request '/?user=u' --data x
  assert_fields
  assert_x_ratelimit '' '' ''
  assert_equal "$body" '{"allowed":true,"limit":40,"remaining":39,"reset":86400}'
  burst 45 '/?user=u' --data x >/dev/null
  request '/?user=u' --data x
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_fields
  assert_x_ratelimit '' '' ''
  assert_equal_by_now "$(header Retry-After)" 86400
  assert_contains "$body" '"violated-policies":["writes"]'
}

@test "without Redis one limit with on_redis_failure: deny among those that apply is enough for a 503" {
  start_limits REDIS_ADDR=127.0.0.1:1 <<'YAML'
limits:
  - { name: all, key: ip, capacity: 9, refill: 1/day }
  - { name: writes, key: ip, capacity: 9, refill: 1/day, match: { methods: [POST] }, on_redis_failure: deny }
YAML
  assert_equal "$(status /)" 200
  assert_equal "$(status / --data x)" 503
}
