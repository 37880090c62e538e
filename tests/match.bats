#!/usr/bin/env bats
# match.bats - a limit applies to the requests that match, and to no others.

load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - name: api
    match: { path: /api/**, methods: [GET, POST], host: "*.example.com" }
    key: ip
    capacity: 3
    refill: 1/day
  - name: writes
    match: { methods: [POST] }
    key: ip
    capacity: 2
    refill: 1/day
    on_redis_failure: deny
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }

# api PATH [CURL-OPTION...] - request PATH of a host that the first limit matches
api() { request "$@" -H 'Host: www.example.com'; }

@test "a request that no limit matches is neither counted nor refused, and its answer has no headers" {
  for _ in 1 2 3 4 5; do
    api /other
    assert_equal "$(header Status)" '200 OK'
    assert_fields
    assert_equal "$body" '{"allowed":true}'
  done
  request /api/x -H 'Host: example.org'
  assert_fields
  api /api/x -X DELETE
  assert_fields
  assert_equal "$(redis_keys)" ''
}

@test "every limit that matches applies, and the headers have them in the order of the file" {
  api /api/x
  assert_fields 'RateLimit-Policy api q=3 w=259200' 'RateLimit api r=2 t=172800'
  api /api/x --data x
  assert_fields 'RateLimit-Policy api q=3 w=259200' 'RateLimit-Policy writes q=2 w=172800' \
    'RateLimit api r=1 t=86400' 'RateLimit writes r=1 t=86400'
  request /other --data x
  assert_equal "$(header RateLimit-Policy)" '"writes";q=2;w=172800'
}

@test "a request that one limit refuses is charged by none" {
  request /other --data x
  request /other --data x
  api /api/x --data x
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_contains "$body" '"violated-policies":["writes"]'
  api /api/x
  assert_fields 'RateLimit-Policy api q=3 w=259200' 'RateLimit api r=2 t=172800'
}

@test "no spelling of the path bypasses a limit" {
  for path in //api/x /api/./x /%61pi/x /a/../api/x /api%2Fx /api; do
    redis_cli FLUSHALL >/dev/null
    api "$path" --path-as-is
    assert_fields 'RateLimit-Policy api q=3 w=259200' 'RateLimit api r=2 t=172800'
  done
}
