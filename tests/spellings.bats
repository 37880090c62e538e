#!/usr/bin/env bats
# spellings.bats - a client has one bucket, however it spells its key, and a limit on a path applies to every spelling
# that a backend takes for the path.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { stop_limiters; }

# limit_two KEY [MORE] - a limiter with one limit of 2 tokens that counts by KEY; MORE: fields of the limit
limit_two() {
  start_limits <<YAML
redis: { timeout: 5s }
limits:
  - { name: two, key: "$1", capacity: 2, refill: 1/day${2:+, $2} }
YAML
}

# assert_statuses STATUSES PATH... - the answers to these paths, sent as they are
assert_statuses() {
  local want=$1 got='' path
  shift
  for path; do got+="${got:+ }$(status "$path" --path-as-is)"; done
  assert_equal "$* $got" "$* $want"
}

@test "a header in two spellings, which lighttpd merges, is answered with 400 and has no fresh bucket" {
  local name
  limit_two 'header:X-API-Key'
  for name in X_API_Key X.API.Key 'X!API-Key' 'X~API~Key'; do
    request / -H "$name: junk" -H 'X-API-Key: valid'
    assert_equal "$name $(header Status)" "$name 400 Bad Request"
    assert_contains "$body" 'A limit counts by header:x-api-key, which this request has more than once'
  done
  assert_equal "$(redis_keys)" ''
  assert_equal "$(status / -H 'X-API-Key: valid')" 200
}

@test "a cost that the web server sets cannot be set again by the client" {
  sed 's/^server.modules = .*/server.modules = ( "mod_setenv", "mod_fastcgi" )/' conf/lighttpd.conf \
    >"$BATS_TEST_TMPDIR/lighttpd.conf"
  echo 'setenv.set-request-header = ( "X-Cost" => "2" )' >>"$BATS_TEST_TMPDIR/lighttpd.conf"
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: two, key: ip, capacity: 2, refill: 1/day, cost: "header:X-Cost" }
YAML
  start_limiter "$BATS_TEST_TMPDIR/lighttpd.conf" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  assert_equal "$(status / -H 'X!Cost: 1')" 400
  assert_equal "$(status /)" 200
  assert_equal "$(status /)" 429
}

@test "a shadow limit does not refuse a duplicate header" {
  limit_two 'header:X-API-Key' 'shadow: true'
  for _ in 1 2 3; do assert_equal "$(status / -H 'X_API_Key: junk' -H 'X-API-Key: valid')" 200; done
}

@test "a cookie has one bucket, whatever its spaces, quotes and encoding" {
  local value
  limit_two 'cookie:sessionid'
  assert_equal "$(status / -H 'Cookie: sessionid=abc')" 200
  assert_equal "$(status / -H 'Cookie: a=b; sessionid=   abc')" 200
  for value in 'sessionid=    abc' 'sessionid =abc' 'sessionid="abc"' 'sessionid=%61bc' 'sessionid="\141bc"' \
    $'sessionid=\tabc'; do
    assert_equal "$value $(status / -H "Cookie: $value")" "$value 429"
  done
  for value in 'sessionid=junk; sessionid=abc' 'sessionid=abc; sessionid =abc' 'sessionid="abc'; do
    assert_equal "$value $(status / -H "Cookie: $value")" "$value 400"
  done
}

@test "a limit on a path applies with a trailing slash, encoded characters and dot segments" {
  limit_two ip 'match: { path: /login }'
  assert_statuses '200 200 429 429 429 429 429 429' /login /login/ /login/. //login /x/../login /login/ '/%6cogin' \
    '/login;a=b'
}

@test "a path with an encoded slash is matched as Express routes it" {
  limit_two ip 'match: { path: "/api/search/*" }'
  assert_statuses '200 200 429 429' /api/search/foo%2fbar /api/search/x%2f..%2f..%2f.. /api/search/a /api/search/a/
  assert_statuses 200 /api/other
}

@test "ignore_case compares a path in any case, and lower() makes one bucket of both" {
  limit_two 'lower(query:user) | ip' 'match: { path: /Api/**, ignore_case: true }'
  assert_statuses '200 200 429 429' '/api/x?user=Alice' '/API/x?user=alice' '/Api/y?user=ALICE' '/aPI?user=alicE'
  assert_equal "$(redis_keys)" 'rl:{lower:query:user=alice}:two'
  assert_statuses 200 '/other?user=alice'
}

@test "HEAD counts as GET, in a match and in a key" {
  limit_two 'method + ip' 'match: { methods: [GET] }'
  assert_equal "$(status / --head)" 200
  assert_equal "$(status /)" 200
  assert_equal "$(status / --head)" 429
  assert_equal "$(status /)" 429
  assert_equal "$(status / --data x)" 200
}

@test "a request target without a leading slash matches every path" {
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: two, key: ip, capacity: 2, refill: 1/day, match: { path: /login } }
YAML
  start_program REDIS_ADDR="unix:$REDIS_SOCK" -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_equal "$(SOCKET=$PROGRAM_SOCKET fcgi <<'JS'
const out = [];
for (const uri of ['/login', 'http:/login', 'login', '*', 'http:///login', 'host:443', '/other', 'http://host/other'])
  out.push(/: (\d+)/.exec(await ask(uri))[1]);
print(out.join(' '));
JS
  )" '200 200 429 429 429 429 200 200'
}

@test "the worst globs on the longest values take little processor time, or are answered with 400" {
  local i value used
  {
    echo 'redis: { timeout: 5s }'
    echo 'limits:'
    for ((i = 0; i < 16; i++)); do
      echo "  - { name: l$i, key: \"query:user | ip\", capacity: 1000, refill: 1/s, overrides: ["
      seq -f "      { key: \"**a*b**c%g*d**z\", capacity: 7 }," $((i * 256)) $((i * 256 + 254))
      echo '      { key: "*@domain.example", capacity: 5 } ] }'
    done
  } >"$BATS_TEST_TMPDIR/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  value=$(printf 'a/b%.0s' {1..1500})
  used=$(processor_time)
  assert_equal "$(status "/?user=${value}z")" 200
  value=$(printf 'a/b/c%.0s' {1..500})$(seq -s c 0 700)
  request "/?user=${value}/d/z"
  # Before there was a bound, this took seconds.
  assert_between $(($(processor_time) - used)) 0 150
  assert_equal "$(header Status)" '400 Bad Request'
  assert_contains "$body" 'This request is too long to be compared with all patterns of the limits.'
  eventually grep -q 'comparing it with the patterns of the limits took too long' "$LIMITER_LOG"
  assert_equal "$(status '/?user=someone@domain.example')" 200
  assert_contains "$(request '/?user=other@domain.example' && header RateLimit)" '"l0";r=4;'
}
# processor_time - that of the workers so far, in units of 10 ms
processor_time() {
  local pid
  for pid in $(worker_pids); do cat "/proc/$pid/stat"; done | awk '{ used += $14 + $15 } END { print used }'
}
