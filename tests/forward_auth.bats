#!/usr/bin/env bats
# forward_auth.bats - /check decides about the request that a trusted proxy asks about, here curl, and ignores what others
# ask.  The endpoint is conf/lighttpd.conf, unchanged.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
trusted_proxies: [127.0.0.1, 10.0.0.0/8]
limits:
  - { name: user, key: "query:user | ip", capacity: 3, refill: 1/day }
  - { name: log-in, match: { path: /login, methods: [POST], host: a.example }, key: ip, capacity: 1, refill: 1/day }
YAML
  sed 's/^trusted_proxies.*/trusted_proxies: [192.0.2.1]/' "$BATS_FILE_TMPDIR/limits.yaml" >"$BATS_FILE_TMPDIR/others.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/others.yaml"
  export OTHERS_URL=$URL
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }

# ask METHOD URI CLIENT [CURL-OPTION...] - ask as Caddy does
ask() {
  local method=$1 uri=$2 client=$3
  shift 3
  request /check -H "X-Forwarded-Method: $method" -H "X-Forwarded-Uri: $uri" -H "X-Forwarded-For: $client" \
    -H 'X-Forwarded-Host: a.example' -H 'X-Forwarded-Proto: https' "$@"
}

keys() { redis_keys | tr '\n' ' '; }

@test "the method, path, query, host and client of the original request count" {
  ask POST '/login?user=al%20ice' 203.0.113.1
  assert_equal "$(header Status)" '200 OK'
  assert_contains "$(header RateLimit)" '"user";r=2'
  assert_contains "$(header RateLimit)" '"log-in";r=0'
  assert_equal "$(keys)" 'rl:{ip=203.0.113.1}:log-in rl:{query:user=al%20ice}:user '
  ask POST '/login?user=bob' 203.0.113.1
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_contains "$body" '"violated-policies":["log-in"]'
  ask GET '/login?user=bob' 203.0.113.1
  assert_equal "$(header Status)" '200 OK'
  assert_fields 'RateLimit-Policy user q=3 w=259200' 'RateLimit user r=2 t=172800'
}

@test "the client is the right-most address that is not a proxy, whatever is to the left of it" {
  local list
  for list in 203.0.113.1 '198.51.100.1, 203.0.113.1' '127.0.0.1, 203.0.113.1, 10.0.0.3'; do
    ask GET / "$list"
    assert_equal "$(header Status)" '200 OK'
  done
  ask GET / 203.0.113.1
  assert_equal "$(header Status)" '429 Too Many Requests'
  # Several lines are one list (RFC 9110, 5.3).
  ask GET / 203.0.113.9 -H 'X-Forwarded-For: 203.0.113.1, 10.0.0.3'
  assert_equal "$(header Status)" '429 Too Many Requests'
  ask GET / '203.0.113.1, nonsense'
  assert_contains "$(keys)" 'rl:{ip=127.0.0.1}:user'
}

@test "it understands Envoy's path below /check and X-Original headers" {
  request '/check/login?user=carol' -X POST -H 'Content-Length: 0' -H 'Host: a.example' -H 'X-Forwarded-For: 203.0.113.7'
  assert_equal "$(keys)" 'rl:{ip=203.0.113.7}:log-in rl:{query:user=carol}:user '
  request '/check?user=dave'
  request /check -H 'X-Original-URI: /login?user=erin' -H 'X-Original-Method: POST' -H 'X-Original-Host: a.example'
  assert_equal "$(keys)" \
    'rl:{ip=127.0.0.1}:log-in rl:{ip=203.0.113.7}:log-in rl:{query:user=carol}:user rl:{query:user=dave}:user rl:{query:user=erin}:user '
}

@test "/check is an ordinary path for clients that are not trusted proxies" {
  URL=$OTHERS_URL
  local i
  for i in 1 2 3; do
    ask GET "/?user=$i" "203.0.113.$i"
    assert_equal "$(header Status)" '200 OK'
  done
  ask GET '/?user=4' 203.0.113.4
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(keys)" 'rl:{ip=127.0.0.1}:user '
  URL=${OTHERS_URL%:*}:$PORT
}

@test "outside /check a trusted proxy's headers are ignored as well" {
  request / -H 'X-Forwarded-For: 203.0.113.1' -H 'X-Forwarded-Uri: /?user=a'
  request /checks -H 'X-Forwarded-For: 203.0.113.1' -H 'X-Forwarded-Uri: /?user=a'
  assert_equal "$(keys)" 'rl:{ip=127.0.0.1}:user '
}

@test "a second spelling of a header, which only a client can have sent, is 400 and takes no token" {
  local name
  for name in 'X!Forwarded-For' 'X_Forwarded_Uri' 'X-Forwarded.Method' 'X~Forwarded~Host'; do
    ask GET / 203.0.113.1 -H "$name: 198.51.100.1"
    assert_equal "$name $(header Status)" "$name 400 Bad Request"
    assert_equal "$(header Content-Type)" application/problem+json
    assert_equal "$body" '{"type":"about:blank","title":"Bad Request","status":400,"detail":"A header of this question appears more than once; a proxy sends it once."}'
  done
  assert_equal "$(keys)" ''
}

@test "--explain reads the question of a trusted proxy as the program does" {
  run -0 env REDIS_ADDR="unix:$REDIS_SOCK" "$PROGRAM" --limits "$BATS_FILE_TMPDIR/limits.yaml" --explain 'GET /check' --ip 127.0.0.1 \
    -H 'X-Forwarded-Uri: /login?user=frank' -H 'X-Forwarded-Method: POST' -H 'X-Forwarded-Host: a.example' \
    -H 'X-Forwarded-For: 203.0.113.1, 10.0.0.1'
  assert_equal "${lines[1]}" 'POST /login, host a.example, client 203.0.113.1'
  assert_contains "$output" 'rl:{query:user=frank}:user'
  assert_contains "$output" 'rl:{ip=203.0.113.1}:log-in'
  run -0 env REDIS_ADDR="unix:$REDIS_SOCK" "$PROGRAM" --limits "$BATS_FILE_TMPDIR/limits.yaml" --explain 'GET /check' --ip 192.0.2.1 \
    -H 'X-Forwarded-Uri: /login?user=frank'
  assert_equal "${lines[1]}" 'GET /check, client 192.0.2.1'
  run -0 env REDIS_ADDR="unix:$REDIS_SOCK" "$PROGRAM" --limits "$BATS_FILE_TMPDIR/limits.yaml" --explain 'GET /check' --ip 127.0.0.1 \
    -H 'X-Forwarded-Uri: /x' --env HTTP_X_FORWARDED_URI=/y
  assert_equal "${lines[1]}" 'answers 400: A header of this question appears more than once; a proxy sends it once.'
}

@test "a question in two conventions is 400, unless the limits file names one" {
  run -0 env REDIS_ADDR="unix:$REDIS_SOCK" "$PROGRAM" --limits "$BATS_FILE_TMPDIR/limits.yaml" --explain 'GET /check' --ip 127.0.0.1 \
    -H 'X-Forwarded-Uri: /free' -H 'X-Original-URL: https://a.example/login?user=frank'
  assert_contains "$output" 'answers 400: This question mixes X-Forwarded headers, X-Original headers'
  sed '1i forward_auth: x-original' "$BATS_FILE_TMPDIR/limits.yaml" >"$BATS_TEST_TMPDIR/limits.yaml"
  run -0 env REDIS_ADDR="unix:$REDIS_SOCK" "$PROGRAM" --limits "$BATS_TEST_TMPDIR/limits.yaml" --explain 'GET /check' --ip 127.0.0.1 \
    -H 'X-Forwarded-Uri: /free' -H 'X-Original-URL: https://a.example/login?user=frank'
  assert_equal "${lines[1]}" 'GET /login, host a.example, client 127.0.0.1'
}
