#!/usr/bin/env bats
# explain.bats - `ratelimit.fcgi --explain` says what the limits file does with a request, without side effects.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  start_redis
  start_limits <<'YAML'
ipv6_prefix: 56
redis: { timeout: 5s }
limits:
  - name: api
    match: { path: /api/**, methods: [GET, POST], host: "*.example.com" }
    key: header:X-API-Key | query:user | ip
    capacity: 20
    refill: 5/h
    cost: header:X-Cost
    overrides:
      - { key: "premium-*", capacity: 200, refill: 50/s }
      - { key: 10.0.0.0/8, unlimited: true }
      - { key: mallory, blocked: true }
  - name: route
    match: { path: "/api/**" }
    key: ip + path
    capacity: 100
    refill: 100/h
    shadow: true
  - name: login
    match: { methods: [POST], path: /login }
    key: cookie:session
    capacity: 3
    refill: 1/h
    cost: 2
  - name: all
    match: { path: /all }
    key: global
    capacity: 7
    refill: 3/s
  - name: sign
    match: { path: /sign }
    key: method + host + env:REMOTE_USER
    capacity: 7
    refill: 1/day
YAML
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  export REDIS_ADDR=unix:$REDIS_SOCK
}

# explain REQUEST [OPTION...] - explain REQUEST, in $output
explain() { run -0 --separate-stderr "$PROGRAM" --explain "$@"; }

# assert_explained - $output is standard input, and standard error is empty
assert_explained() {
  assert_equal "$output" "$(cat)"
  assert_equal "$stderr" ''
}

# about LIMIT - the part of $output about that limit
about() { awk -v name="$1" 'BEGIN { RS = "" } $1 == name' <<<"$output"; }

# assert_about LIMIT - this part is standard input
assert_about() { assert_equal "$(about "$1")" "$(cat)"; }

@test "it shows key, bucket, capacity, refill and cost of every limit that applies, and why the others do not" {
  explain 'GET https://api.example.com//api/./%78?user=alice' -H 'X-Cost: 3'
  assert_explained <<TEXT
$LIMITS_FILE: 5 limits
GET /api/x, host api.example.com, client 192.0.2.1

api applies
  key        query:user = alice
  Redis key  rl:{query:user=alice}:api
  capacity   20
  refill     one token every 720 s
  cost       3, from header:x-cost
  bucket     20 of 20 tokens now; this request would be allowed

route applies as a shadow: it never refuses
  key        ip = 192.0.2.1 + path = /api/x
  Redis key  rl:{ip=192.0.2.1+path=/api/x}:route
  capacity   100
  refill     one token every 36 s
  cost       1
  bucket     100 of 100 tokens now; this request would be allowed

login does not apply: the method GET is none of POST

all does not apply: the path /api/x does not fit /all

sign does not apply: the path /api/x does not fit /sign
TEXT
}

@test "it names the method, path or host that does not match" {
  explain 'DELETE https://api.example.com/api/x'
  assert_about api <<<'api does not apply: the method DELETE is none of GET, POST'
  explain 'GET https://api.example.com/apix'
  assert_about api <<<'api does not apply: the path /apix does not fit /api/**'
  explain 'GET https://example.com:443/api/x'
  assert_about api <<<'api does not apply: the host example.com does not fit *.example.com'
  explain 'GET /api/x'
  assert_about api <<<'api does not apply: a request without a host does not fit *.example.com'
  explain 'GET /api/x' -H 'Host: API.example.com.'
  assert_contains "$(about api)" 'api applies'
}

@test "it shows an override's capacity and refill, with its line" {
  explain 'GET https://api.example.com/api/x' -H 'x-api-key:  premium-1 '
  assert_about api <<TEXT
api applies
  key        header:x-api-key = $(digest_of premium-1)
  Redis key  rl:{header:x-api-key=$(digest_of premium-1)}:api
  override   the one in line 11
  capacity   200
  refill     one token every 20 ms
  cost       1, from header:x-cost
  bucket     200 of 200 tokens now; this request would be allowed
TEXT
}

@test "it tells an unlimited client from a blocked one" {
  explain 'GET https://api.example.com/api/x' --ip 10.1.2.3
  assert_about api <<'TEXT'
api does not apply: the client is unlimited
  key        ip = 10.1.2.3
  Redis key  rl:{ip=10.1.2.3}:api
  override   the one in line 12
TEXT
  explain 'GET https://api.example.com/api/x?user=mallory' --ip 10.1.2.3
  assert_about api <<'TEXT'
api answers 403: the client is blocked
  key        query:user = mallory
  Redis key  rl:{query:user=mallory}:api
  override   the one in line 13
TEXT
}

@test "it shows a missing key and a cookie" {
  explain 'POST /login' -H 'Cookie: a=b'
  assert_about login <<'TEXT'
login applies
  key        cookie:session is missing
  Redis key  rl:{cookie:session=}:login
  capacity   3
  refill     one token every 3600 s
  cost       2
  bucket     3 of 3 tokens now; this request would be allowed
TEXT
  explain 'POST /login' -H 'Cookie: a=b; session=s1; c=d'
  assert_contains "$(about login)" "  key        cookie:session = $(digest_of s1)"
}

@test "it counts an IPv6 client by its prefix" {
  explain 'GET /api/x' --ip 2001:db8:1:2ff::7
  assert_contains "$output" 'GET /api/x, client 2001:db8:1:200::/56'
  assert_contains "$(about route)" 'rl:{ip=2001:db8:1:200::/56+path=/api/x}:route'
}

@test "it shows global, method, host and env keys, and a rounded refill" {
  explain 'GET /all'
  assert_about all <<'TEXT'
all applies
  key        global
  Redis key  rl:{global=}:all
  capacity   7
  refill     one token every 333334 us
  cost       1
  bucket     7 of 7 tokens now; this request would be allowed
TEXT
  explain 'PUT http://Example.com:80/sign' --env REMOTE_USER=alice
  assert_contains "$(about sign)" '  key        method = PUT + host = example.com + env:REMOTE_USER = alice'
  explain 'PUT http://example.com/sign'
  assert_contains "$(about sign)" '  key        method = PUT + host = example.com + env:REMOTE_USER is missing'
}

@test "it says that a cost above the capacity is never served" {
  explain 'GET https://api.example.com/api/x' -H 'X-Cost: 21'
  assert_contains "$(about api)" '  cost       21, from header:x-cost: more than the capacity, it can never be served'
}

@test "without a limits file it explains the built-in limits" {
  LIMITS_FILE='' explain 'GET /?user=alice'
  assert_contains "$output" 'the built-in limits: 1 limit'
  assert_contains "$output" 'per-user applies'
}

@test "it replaces control characters, so that a request cannot write to the terminal" {
  explain 'GET https://api.example.com/api/%1b%5b31m?user=a%0ab%1bc%7f'
  assert_contains "$output" 'GET /api/?[31m, host'
  assert_contains "$(about api)" '  key        query:user = a?b?c?'
}

@test "an invalid request is one error and exit 2, without output" {
  local options
  while IFS='|' read -r -a options; do
    run -2 --separate-stderr "$PROGRAM" --explain "${options[@]}"
    assert_equal "$output" ''
    assert_equal "${options[*]}: ${#stderr_lines[@]}" "${options[*]}: 1"
    assert_contains "$stderr" 'ratelimit.fcgi: '
  done <<'TEXT'

GET
GET 
/x
get /x
GET x
GET *
GET /a b
GET https:///x
GET  /x HTTP/1.1
GET /x|--ip|localhost
GET /x|--ip|
GET /x|--ip|10.0.0
GET /x|-H|X-Cost
GET /x|-H|: 5
GET /x|-H|X Y: 5
GET /x|-H|X-Cost: 1|-H|x-cost: 2
GET /x|--env|REMOTE_USER
GET /x|--env|=alice
GET /x|/y
GET /x|--strict
GET /x|--redis|host:port
TEXT
}

@test "a limits file with a mistake is an error with its place and exit 2" {
  echo 'limits: 5' >"$BATS_TEST_TMPDIR/bad.yaml"
  run -2 "$PROGRAM" --explain 'GET /' --limits "$BATS_TEST_TMPDIR/bad.yaml"
  assert_contains "$output" "$BATS_TEST_TMPDIR/bad.yaml:1:9: 'limits' must be a list"
}

# ---- What Redis holds ----

@test "what each bucket holds, and whether the request would be allowed" {
  local host='Host: api.example.com'
  explain 'POST /login'
  assert_contains "$(about login)" '  bucket     3 of 3 tokens now; this request would be allowed'
  request /login --data x
  explain 'POST /login'
  assert_matches "$(about login)" '  bucket     1 of 3 tokens now, full in 7(200|1[0-9]{2}) s; this request would be refused'
  for _ in 1 2; do request /api/x -H "$host" -H 'X-Cost: 9'; done
  explain 'GET http://api.example.com/api/x' --ip 127.0.0.1
  assert_matches "$(about api)" '  bucket     2 of 20 tokens now, full in 12[89][0-9]{2} s; this request would be allowed'
  assert_matches "$(about route)" '  bucket     (98 of 100 tokens now, full in [4-7][0-9]|99 of 100 tokens now, full in [1-3][0-9]) s; this request would be allowed'
  # Each limit has its own bucket, although one between them is not asked about.
  explain 'GET http://api.example.com/api/x?user=mallory' --ip 127.0.0.1
  [[ $(about api) != *bucket* ]] || fail "$(about api)" contains 'no bucket'
  assert_matches "$(about route)" '  bucket     (98|99|100) of 100 tokens now'
}

@test "an explanation takes nothing" {
  request /login --data x
  local key='rl:{cookie:session=}:login' before
  before=$(redis_cli GET "$key")
  for _ in 1 2 3; do
    explain 'POST /login'
    explain 'GET http://api.example.com/api/x'
  done
  assert_equal "$(redis_cli GET "$key")" "$before"
  assert_equal "$(redis_keys)" "$key"
}

@test "Redis is where --redis, REDIS_ADDR or else the limits file says" {
  local file=$BATS_TEST_TMPDIR/limits.yaml
  REDIS_ADDR=127.0.0.1:1 explain 'GET /all' --redis "unix:$REDIS_SOCK"
  assert_contains "$(about all)" '  bucket     7 of 7 tokens now'
  { echo "redis: { address: 'unix:$REDIS_SOCK' }"; grep -v '^redis:' "$LIMITS_FILE"; } >"$file"
  REDIS_ADDR='' explain 'GET /all' --limits "$file"
  assert_contains "$(about all)" '  bucket     7 of 7 tokens now'
  assert_contains "$output" "$file: 5 limits"
}

@test "without Redis, or if it does not answer, the request is explained all the same" {
  local before
  REDIS_ADDR=127.0.0.1:1 explain 'GET /all'
  assert_contains "$stderr" 'redis 127.0.0.1:1 is lost (Connection refused)'
  assert_about all <<'TEXT'
all applies
  key        global
  Redis key  rl:{global=}:all
  capacity   7
  refill     one token every 333334 us
  cost       1
  bucket     not known: Redis is lost
TEXT
  kill -STOP "$REDIS_PID"
  before=$SECONDS
  run -0 --separate-stderr timeout 60 "$PROGRAM" --explain 'GET /all'
  kill -CONT "$REDIS_PID"
  assert_contains "$stderr" "redis unix:$REDIS_SOCK is lost"
  assert_contains "$(about all)" '  bucket     not known: Redis is lost'
  assert_between $((SECONDS - before)) 1 6 # it waits for at most 2 s
}

# ---- And what then happens ----

# assert_as_served METHOD PATH [-H HEADER]... - the buckets that --explain names, enforced or not, are those that the
# request then creates in Redis
assert_as_served() {
  local method=$1 path=$2
  shift 2
  redis_cli FLUSHALL >/dev/null
  explain "$method http://127.0.0.1:$PORT$path" --ip 127.0.0.1 "$@"
  # lighttpd refuses a POST without a length.
  request "$path" --path-as-is -X "$method" -H 'Content-Length: 0' "$@"
  assert_equal "$method $path $*: $(header Status)" "$method $path $*: 200 OK"
  assert_equal "$method $path $*: $(redis_keys)" \
    "$method $path $*: $(sed -n 's/^  Redis key  //p' <<<"$output" | sort)"
}

@test "the Redis keys that it names are those that the request then creates" {
  local long
  long=$(printf 'x%.0s' {1..300})
  for path in '/api/x?user=alice' '/api/x?user=%61lice' '/api/x?user=a+b' '/api/x?user=%C3%A9' '/api/x?user=' \
    '/api/x?user=a;b=1' '/api/x?u=1&&%75ser=2#' "/api/x?user=$long" '/api/x?user=1?user=2' '/api/x?user=a%26b=c' \
    /api '/api/' '//api/./a/../x' '/%61pi%2Fx' "/api/$long" '/api/a+b' '/api/%zz' '/api/..' '/api/;x' '/api/é'; do
    assert_as_served GET "$path" -H 'Host: a.example.com'
    assert_as_served POST "$path" -H 'Host: A.Example.com:80' -H 'X-API-Key: k=1; é'
  done
  for cookie in session=s1 'a=b; session=s1; xsession=s2' 'session="q"' 'session=' 'xsession=1' ' session = 1'; do
    assert_as_served POST /login -H "Cookie: $cookie"
  done
  assert_as_served GET /all
  for host in example.com EXAMPLE.com:8080 example.com. '[::1]:80'; do assert_as_served GET /sign -H "Host: $host"; done
}
