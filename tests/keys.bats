#!/usr/bin/env bats
# keys.bats - which bucket a request is charged to, for every source that a key may name.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# limit_by KEY [FIELD...] - a limiter with one limit of 3 tokens that counts by KEY and has these FIELDs
limit_by() {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { timeout: 5s }
limits:
  - { name: three, key: "$1", capacity: 3, refill: 1/day${2:+, $2} }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
}

# logged PATTERN - a line of the log matches
logged() { (($(log_count "$1") > 0)); }

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
  assert_equal "$(redis_cli EXISTS "rl:{header:x-api-key=$(digest_of one)}:three")" 1
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

# ---- Secrets ----

# assert_keys KEY... - these are the keys in Redis, each without "rl:{" and "}:three"
assert_keys() { assert_equal "$(redis_keys)" "$(printf 'rl:{%s}:three\n' "$@" | sort)"; }

@test "secrets: a header and a cookie are digests in Redis, and an override in clear fits them" {
  local long
  long=$(printf 's3cret%.0s' {1..50})
  limit_by 'header:X-Key | cookie:session | ip' 'overrides: [{ key: s3cret-gold, capacity: 9 }]'
  assert_left 2 / -H 'X-Key: s3cret'
  assert_left 8 / -H 'X-Key: s3cret-gold'
  assert_left 8 / -H 'Cookie: a=s3cret; session=s3cret-gold; b=s3cret'
  assert_left 2 / -H 'Cookie: session="s3cr%65t s"'
  assert_left 2 / -H "X-Key: $long"
  assert_left 2 / -H "Cookie: session=$long"
  assert_left 2 / -H 'X-Key;'
  assert_keys "header:x-key=$(digest_of s3cret)" "header:x-key=$(digest_of s3cret-gold)" \
    "cookie:session=$(digest_of s3cret-gold)" "cookie:session=$(digest_of 's3cret s')" \
    "header:x-key=$(digest_of "$long")" "cookie:session=$(digest_of "$long")" ip=127.0.0.1
}

@test "secrets: beside another source, and in lower(...)" {
  limit_by 'lower(header:X-Key) + ip | lower(cookie:session)'
  assert_left 2 / -H 'X-Key: S3cret'
  assert_left 1 / -H 'X-Key: s3CRET'
  assert_keys "lower:header:x-key=$(digest_of s3cret)+ip=127.0.0.1"
  redis_cli FLUSHALL >/dev/null
  stop_limiters
  limit_by 'header:X-Key + cookie:session'
  assert_left 2 / -H 'X-Key: s3cret' -H 'Cookie: session=s3cret'
  # Two digests are longer than an identity may be.
  assert_keys "$(digest_of "header:x-key=$(digest_of s3cret)+cookie:session=$(digest_of s3cret)")"
}

@test "secrets: show: true leaves the values in clear" {
  limit_by 'header:X-Tenant' 'show: true'
  assert_left 2 / -H 'X-Tenant: acme corp'
  assert_keys header:x-tenant=acme%20corp
}

@test "secrets: show: false makes query and env digests, too" {
  limit_by 'query:api_key + env:SERVER_PROTOCOL' 'show: false, overrides: [{ key: ["s3cret", "HTTP/1.1"], capacity: 9 }]'
  assert_left 8 '/?api_key=s3cr%65t'
  assert_keys "$(digest_of "query:api_key=$(digest_of s3cret)+env:SERVER_PROTOCOL=$(digest_of HTTP/1.1)")"
  redis_cli FLUSHALL >/dev/null
  stop_limiters
  limit_by 'query:api_key | ip' 'show: false'
  assert_left 2 '/?api_key=s3cret'
  assert_left 2 /
  assert_keys "query:api_key=$(digest_of s3cret)" ip=127.0.0.1
}

@test "secrets: limits with the same key and show share what is in the braces" {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: a, key: "header:X-Key | ip", capacity: 3, refill: 1/day }
  - { name: b, key: "header:X-Key | ip", capacity: 5, refill: 1/day, show: false }
  - { name: shown, key: "header:X-Key | ip", capacity: 9, refill: 1/day, show: true }
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  request / -H 'X-Key: s3cret'
  assert_equal "$(redis_keys)" "$(printf '%s\n' "rl:{header:x-key=$(digest_of s3cret)}:a" \
    "rl:{header:x-key=$(digest_of s3cret)}:b" 'rl:{header:x-key=s3cret}:shown' | sort)"
}

@test "secrets: they are in no log, neither of a shadow limit nor of a reload that fails, nor in an answer" {
  limit_by 'header:X-Key | cookie:session | query:q' 'shadow: true, show: false'
  local file=$BATS_TEST_TMPDIR/limits.yaml answers=''
  for _ in {1..4}; do
    request '/?q=s3cret' && answers+=$head$body
    request / -H 'X-Key: s3cret' && answers+=$head$body
    request / -H 'Cookie: session=s3cret' && answers+=$head$body
  done
  request / -H 'Cookie: session=s3cret; session=s3cret2' && answers+=$head$body
  sed -i 's/shadow: true/overrides: [{ key: [s3cret, x], capacity: 9 }]/' "$file"
  eventually logged "limits.yaml is refused for 1 mistake"
  kill -INT "$LIGHTTPD_PID" # what was refused is in the log at the latest when the program ends
  eventually logged 'shadow limit three would have refused .* most often rl:{[a-z:-]*=#'
  eventually gone "$LIGHTTPD_PID"
  assert_equal "$(grep s3cret "$LIMITER_LOG")" ''
  assert_equal "$(grep -c s3cret <<<"$answers")" 0
}

@test "secrets: the command of conf/operating.md deletes the keys that earlier programs wrote, and no others" {
  local kept=("rl:{header:x=$(digest_of a)}:three" 'rl:{header:x=}:three' 'rl:{ip=127.0.0.1+cookie:s=}:three'
    'rl:{query:header=a}:three' "rl:{path=/header:x+cookie:s=$(digest_of b)}:three" 'other:{header:x=a}') key
  for key in "${kept[@]}" 'rl:{header:x=a}:three' 'rl:{ip=127.0.0.1+cookie:s=a%20b}:three' 'rl:{lower:header:x=a}:three' \
    'rl:{header:x=+cookie:s=a}:three'; do
    redis_cli SET "$key" 1 >/dev/null
  done
  run bash -c "$(sed -n "/^      redis-cli --scan .*cookie/ s,redis-cli,redis-cli -s $REDIS_SOCK,gp" conf/operating.md)"
  assert_equal "$output" 4
  assert_equal "$(redis_keys)" "$(printf '%s\n' "${kept[@]}" | sort)"
}
