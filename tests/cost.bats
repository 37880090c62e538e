#!/usr/bin/env bats
# cost.bats - how many tokens a request takes: a number in the limits file or in the request.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# limit_costing COST [CONF] - a limiter with one limit of 100 tokens, of which a request takes COST; CONF is
# that of lighttpd
limit_costing() {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { timeout: 5s }
limits:
  - { name: hundred, key: ip, capacity: 100, refill: 1/day, cost: "$1" }
YAML
  start_limiter "${2-conf/lighttpd.conf}" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
}

# assert_costs COST [CURL-OPTION...] - the request takes so many of a fresh bucket's 100 tokens
assert_costs() {
  redis_cli FLUSHALL >/dev/null
  request "${path-/}" "${@:2}"
  assert_equal "${*:2}: $(header Status), $body" \
    "${*:2}: 200 OK, {\"allowed\":true,\"limit\":100,\"remaining\":$((100 - $1)),\"reset\":$(($1 * 86400))}"
  assert_equal "$(tokens 'rl:{ip=127.0.0.1}:hundred' 100 86400)" $((100 - $1))
}

# assert_never - refused, and no waiting will help
assert_never() {
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Retry-After)" ''
  assert_contains "$body" "\"detail\":\"This request costs $1 tokens, and a bucket of hundred holds 100: it can never be served.\""
  assert_contains "$body" '"violated-policies":["hundred"]'
}

@test "a cost of 3 takes three tokens, and a remainder of one admits no more" {
  limit_costing 3
  assert_costs 3
  assert_equal "$(burst 50 /)" '200:32 429:18'
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal_by_now "$(header Retry-After)" 172800 # the two days in which 1 token becomes 3
  assert_fields 'RateLimit-Policy hundred q=100 w=8640000' 'RateLimit hundred r=1 t=86400'
}

@test "header: the cost is the number in the request" {
  limit_costing header:X-Cost
  assert_costs 7 -H 'X-Cost: 7'
  assert_costs 100 -H 'x-cost:100'
  assert_costs 12 -H 'X-Cost:   0012  '
}

@test "header: a missing, empty, invalid or too small number counts as 1" {
  limit_costing header:X-Cost
  assert_costs 1
  assert_costs 1 -H 'X-Cost;' # the header without a value
  for value in x 0 -5 -0 +7 1.5 1e2 0x10 '7 8' '7, 8' '7;' '"7"' $'\xd9\xa7'; do
    assert_costs 1 -H "X-Cost: $value"
  done
  assert_costs 1 -H 'X-Cost: 7' -H 'X-Cost: 8' # lighttpd makes "7, 8" of them
}

@test "a cost above the capacity is refused for good, takes nothing, and the answer says so" {
  limit_costing header:X-Cost
  request / -H 'X-Cost: 101'
  assert_never 101
  # None was taken: r and t are those of a full bucket.
  assert_fields 'RateLimit-Policy hundred q=100 w=8640000' 'RateLimit hundred r=100 t=8640000'
  assert_equal "$(redis_keys)" ''
  assert_costs 100 -H 'X-Cost: 100'
  request / -H 'X-Cost: 101'
  assert_never 101
  # There is no t=, because this cost never fits.
  assert_fields 'RateLimit-Policy hundred q=100 w=8640000' 'RateLimit hundred r=0'
}

@test "a cost is at most 1000000, however many digits it has" {
  limit_costing header:X-Cost
  for value in 1000000 1000001 18446744073709551617 "$(printf '9%.0s' {1..4000})"; do
    request / -H "X-Cost: $value"
    assert_never 1000000
  done
}

@test "query: and cookie: the cost is the number in them" {
  limit_costing query:cost
  path='/?cost=5' assert_costs 5
  assert_equal "$(status '/?cost=1&cost=9')" 400
  path='/?cost=%31%30' assert_costs 10
  path='/?cost=' assert_costs 1
  stop_limiters
  limit_costing cookie:cost
  assert_costs 6 -H 'Cookie: a=3; cost=6'
}

@test "env: the web server sets the cost, and no client can" {
  sed 's/^server.modules = .*/server.modules = ( "mod_setenv", "mod_fastcgi" )/' conf/lighttpd.conf \
    >"$BATS_TEST_TMPDIR/lighttpd.conf"
  cat >>"$BATS_TEST_TMPDIR/lighttpd.conf" <<'CONF'
$HTTP["url"] =~ "^/report" { setenv.add-environment = ( "REQUEST_COST" => "25" ) }
$HTTP["url"] =~ "^/broken" { setenv.add-environment = ( "REQUEST_COST" => "twenty" ) }
CONF
  limit_costing env:REQUEST_COST "$BATS_TEST_TMPDIR/lighttpd.conf"
  path=/report/1 assert_costs 25
  path=/broken assert_costs 1
  path=/other assert_costs 1
  path='/report?REQUEST_COST=1' assert_costs 25 -H 'REQUEST_COST: 1' -H 'Request-Cost: 1'
  path=/other assert_costs 1 -H 'REQUEST_COST: 50' -H 'Request-Cost: 50'
}

@test "each of two limits takes its own cost, or neither takes any" {
  start_limits <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: requests, key: ip, capacity: 10, refill: 1/day }
  - { name: bytes, key: ip, capacity: 50, refill: 1/day, cost: header:X-Cost }
YAML
  request / -H 'X-Cost: 20'
  assert_contains "$(header RateLimit)" '"requests";r=9;'
  assert_contains "$(header RateLimit)" '"bytes";r=30;'
  # "bytes" has room for one more such request, "requests" for nine.
  assert_equal "$body" '{"allowed":true,"limit":50,"remaining":30,"reset":1728000}'
  request / -H 'X-Cost: 40'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal_by_now "$(header Retry-After)" 864000
  request / -H 'X-Cost: 51'
  assert_equal "$(header Retry-After)" ''
  request / -H 'X-Cost: 1'
  # "bytes" has room for 29 more such requests, "requests" for 8.
  assert_equal_by_now "$body" '{"allowed":true,"limit":10,"remaining":8,"reset":172800}'
  assert_contains "$(header RateLimit)" '"bytes";r=29;'
}
