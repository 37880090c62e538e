#!/usr/bin/env bats
# keys.bats - which bucket a request is charged to, for every source that a key may name.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# limit_by KEY - a limiter with one limit of 3 tokens that counts by KEY
limit_by() {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { timeout: 5s }
limits:
  - { name: three, key: "$1", capacity: 3, refill: 1/day }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
}

# assert_left COUNT PATH [CURL-OPTION...] - the request is allowed and leaves COUNT tokens in its bucket
assert_left() {
  local count=$1
  shift
  request "$@"
  assert_contains "$body" "\"remaining\":$count"
}

@test "header: each value has its bucket, whatever the case of the name" {
  limit_by 'header:X-API-Key'
  assert_left 2 / -H 'X-API-Key: one'
  assert_left 1 / -H 'x-api-key: one'
  assert_left 2 / -H 'X-API-Key: two'
  assert_equal "$(redis_cli EXISTS 'rl:{header:x-api-key=one}:three')" 1
}

@test "cookie: the named cookie counts, among others" {
  limit_by 'cookie:session'
  assert_left 2 / -H 'Cookie: a=1; session=s1; b=2'
  assert_left 1 / -H 'Cookie: session=s1'
  assert_left 2 / -H 'Cookie: xsession=s1; session=s2'
}

@test "path: every spelling of a path has the same bucket" {
  limit_by path
  assert_left 2 /api/x
  assert_left 1 '//api/./y/../x?q=1' --path-as-is
  assert_left 0 '/%61pi/x' --path-as-is
  assert_equal "$(status /api/x)" 429
  assert_left 2 /api/y
}

@test "method, host and env: each combination of values has its bucket" {
  limit_by 'method + host + env:SERVER_PROTOCOL'
  assert_left 2 / -H 'Host: Example.com:80'
  assert_left 1 / -H 'Host: example.com'
  assert_left 2 / -H 'Host: example.com' -X DELETE
  assert_left 2 / -H 'Host: example.org'
  assert_equal "$(redis_cli EXISTS 'rl:{method=GET+host=example.com+env:SERVER_PROTOCOL=HTTP/1.1}:three')" 1
}

@test "global: all clients share one bucket" {
  limit_by global
  assert_left 2 '/?user=a'
  assert_left 1 '/?user=b' -X DELETE
}

@test "the first complete alternative counts" {
  limit_by 'header:X-API-Key | query:user + path | ip'
  assert_left 2 '/a?user=u' -H 'X-API-Key: k'
  assert_left 1 '/b?user=v' -H 'X-API-Key: k'
  assert_left 2 '/a?user=u'
  assert_left 2 '/b?user=u'
  assert_left 1 '/a?user=u'
  assert_left 2 /a
  assert_left 1 /b
}

@test "requests without the key share one bucket and cannot escape the limit" {
  limit_by 'header:X-API-Key'
  assert_left 2 /
  assert_left 1 / -H 'X-API-Key;'
  assert_left 0 /other -X DELETE
  assert_equal "$(status /)" 429
  assert_left 2 / -H 'X-API-Key: one'
}

@test "a request that one limit refuses is charged by none, whatever their keys are" {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: per-user, key: "query:user | ip", capacity: 100, refill: 1/day }
  - { name: per-route, key: "ip + path", capacity: 40, refill: 1/day }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  assert_equal "$(storm 200 "$URL/api?user=u")" '200:40 429:160'
  request '/other?user=u' # 41 of 100 are gone, not 201
  assert_fields 'RateLimit-Policy per-user q=100 w=8640000' 'RateLimit-Policy per-route q=40 w=3456000' \
    'RateLimit per-user r=59 t=5097600' 'RateLimit per-route r=39 t=3369600'
  request '/api?user=u'
  assert_contains "$body" '"violated-policies":["per-route"]'
}
