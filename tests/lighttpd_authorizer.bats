#!/usr/bin/env bats
# lighttpd_authorizer.bats - ratelimit.fcgi as an authorizer guards static files, a proxied backend and a
# FastCGI program (conf/lighttpd/demo.conf), whose answers reach the client unchanged.

load helper

BACKENDS='/ /proxy/ /fcgi/'

setup_file() {
  start_redis
  mkdir -p "$BATS_FILE_TMPDIR/backend"
  export ECHO ECHO_LOG=$BATS_FILE_TMPDIR/echo.log BACKEND_PORT
  ECHO=$(realpath "${BUILD:-build}/echo")
  BACKEND_PORT=$(free_port)
  PORT=$BACKEND_PORT SOCKET_DIR=$BATS_FILE_TMPDIR/backend lighttpd -D -f conf/demo/backend.conf \
    2>"$BATS_FILE_TMPDIR/backend/log" 3>&- &
  export HELPER_PIDS=$!
  eventually accepts_tcp "$BACKEND_PORT"
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }     # exactness is shown here, not speed
headers: [ietf, x-ratelimit]
limits:
  - name: five
    key: query:user | ip
    capacity: 5
    refill: 1/12s
    overrides:
      - { key: many, capacity: 100000 }
      - { key: fifty, capacity: 50, refill: 1/day }
      - { key: mallory, blocked: true }
YAML
  start_demo
  export DEMO_URL=$URL DEMO_LOG=$LIMITER_LOG
  head -c 1048576 /dev/urandom >"$BATS_FILE_TMPDIR/1MB"
  head -c 10485760 /dev/urandom >"$BATS_FILE_TMPDIR/10MB"
}

teardown_file() { stop_all; }

setup() {
  LIGHTTPD_PIDS='' # teardown stops what a test starts, and teardown_file what setup_file started
  URL=$DEMO_URL
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
}

teardown() { stop_limiters; }

# start_demo [VARIABLE=VALUE...] - conf/lighttpd/demo.conf in front of the backends
start_demo() {
  start_limiter conf/lighttpd/demo.conf CONF_DIR="$PWD/conf/lighttpd" SITE="$PWD/conf/demo/site" \
    LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml" TRUSTED_PROXY=192.0.2.1 "$@"
}

# limiter_pids - the ratelimit.fcgi that LIGHTTPD_PID started; its other child is echo
limiter_pids() {
  local pid
  for pid in $(worker_pids); do
    [[ $(readlink "/proc/$pid/exe") != "$ECHO" ]] && echo "$pid"
  done
  true
}

# use_up USER - take all five tokens
use_up() {
  local _
  for _ in 1 2 3 4 5; do assert_equal "$(status "/?user=$1")" 200; done
}

sha256() { sha256sum | cut -d ' ' -f 1; }

@test "range and conditional requests are answered by the file server" {
  assert_answers_ranges_and_conditions '/index.html?user=many'
}

@test "an allowed request reaches static, proxied and FastCGI backends, and their answers reach the client" {
  local path
  request '/?user=get'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$(header Content-Type)" 'text/html; charset=utf-8'
  assert_equal "$body" "$(cat conf/demo/site/index.html)"
  for path in /proxy /fcgi; do
    request "$path/x/%C3%A4?user=get&b=%26" -X DELETE -H 'X-Test: as sent, 1'
    assert_equal "$(header Status)" '200 OK'
    assert_equal "$(header X-Method)" DELETE
    assert_equal "$(header X-Uri)" "$path/x/%C3%A4?user=get&b=%26"
    assert_equal "$(header X-Query)" 'user=get&b=%26'
    assert_equal "$(header X-Test)" 'as sent, 1'
  done
  request '/none?user=get'
  assert_equal "$(header Status)" '404 Not Found'
  assert_contains "$(header RateLimit)" 'r=1'
  assert_equal "$(grep -i warning "$DEMO_LOG")" '' # lighttpd warns about the order of modules
}

@test "a body of 1 MB arrives whole" {
  local path
  for path in /proxy/ /fcgi/; do
    assert_equal "$(curl -s --data-binary "@$BATS_FILE_TMPDIR/1MB" "$URL$path?user=body" | sha256)" \
      "$(sha256 <"$BATS_FILE_TMPDIR/1MB")"
  done
}

@test "a FastCGI backend gets the tokens left as parameters" {
  request '/fcgi/?user=alice'
  assert_contains "$body" $'\nRATELIMIT_NAME=five\n'
  assert_contains "$body" $'\nRATELIMIT="five";r=4;t=48\n'
  assert_contains "$body" $'\nRATELIMIT_POLICY="five";q=5;w=60\n'
  assert_matches "$body" $'\nRATELIMIT_REMAINING=4$'
}

@test "the answers of all backends have the RateLimit headers" {
  local path left=5
  for path in $BACKENDS; do
    request "$path?user=headers"
    assert_equal "$(header Status)" '200 OK'
    left=$((left - 1))
    assert_fields 'RateLimit-Policy five q=5 w=60' "RateLimit five r=$left t=$((left * 12))"
    assert_equal "$(header X-RateLimit-Limit)" 5
    assert_equal "$(header X-RateLimit-Remaining)" $left
    assert_equal_by_now "$(header X-RateLimit-Reset)" $(((5 - left) * 12))
  done
}

@test "RateLimit fields of a backend follow those of the limiter" {
  cat >"$BATS_TEST_TMPDIR/inner.yaml" <<'YAML'
redis: { timeout: 5s }
limits: [{ name: inner, key: ip, capacity: 9, refill: 1/min }]
YAML
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/inner.yaml"
  start_demo BACKEND_PORT="$PORT"
  request '/proxy/?user=both'
  assert_fields 'RateLimit-Policy five q=5 w=60' 'RateLimit-Policy inner q=9 w=540' \
    'RateLimit five r=4 t=48' 'RateLimit inner r=8 t=480'
}

@test "a refusal reaches the client whole, and no backend is called" {
  local path
  use_up bob
  for path in $BACKENDS; do
    request "$path?user=bob"
    assert_equal "$(header Status)" '429 Too Many Requests'
    assert_equal "$(header Content-Type)" application/problem+json
    assert_equal_by_now "$(header Retry-After)" 12
    assert_fields 'RateLimit-Policy five q=5 w=60' "RateLimit five r=0 t=$(header Retry-After)"
    assert_equal "$(header X-RateLimit-Remaining)" 0
    assert_contains "$body" '"violated-policies":["five"]'
    [[ ${head,,} != *variable-* ]] || fail "$head" 'has' 'Variable-*'
  done
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "a blocked client gets 403 from the limiter" {
  local path
  for path in $BACKENDS; do
    request "$path?user=mallory"
    assert_equal "$(header Status)" '403 Forbidden'
    assert_contains "$body" five
    [[ ${head,,} != *variable-* ]] || fail "$head" 'has' 'Variable-*'
  done
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "200 parallel requests to all backends admit exactly the capacity" {
  assert_equal "$(storm 200 "$URL/?user=fifty" "$URL/proxy/?user=fifty" "$URL/fcgi/?user=fifty")" '200:50 429:150'
}

@test "without Redis requests are passed on or answered with 503, as the limits file says" {
  local path
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
limits:
  - { name: open, key: ip, capacity: 1, refill: 1/min, on_redis_failure: allow, match: { path: /fcgi/open } }
  - { name: closed, key: ip, capacity: 1, refill: 1/min, on_redis_failure: deny, match: { path: "/*/closed" } }
YAML
  start_demo REDIS_ADDR="unix:$BATS_TEST_TMPDIR/none" LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  for _ in 1 2 3; do
    request /fcgi/open
    assert_equal "$(header Status)" '200 OK'
    assert_equal "$(header X-Uri)" /fcgi/open
    assert_fields
  done
  : >"$ECHO_LOG"
  for path in /fcgi/closed /proxy/closed; do
    request "$path"
    assert_equal "$(header Status)" '503 Service Unavailable'
    assert_equal "$(header Retry-After)" 1
    assert_equal "$(header Content-Type)" application/problem+json
  done
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "a limiter that is killed is started again, and its limits still hold" {
  start_demo
  use_up carol
  # shellcheck disable=SC2046  # pids
  kill -KILL $(limiter_pids)
  eventually refused carol
}
refused() { [[ $(status "/fcgi/?user=$1") == 429 ]]; }

@test "while the limiter cannot be started the answer is 503, and no backend is called" {
  local path
  cp "$PROGRAM" "$BATS_TEST_TMPDIR/program"
  start_demo PROGRAM="$BATS_TEST_TMPDIR/program"
  assert_equal "$(status '/?user=many')" 200
  : >"$ECHO_LOG"
  rm "$BATS_TEST_TMPDIR/program"
  # shellcheck disable=SC2046
  kill -KILL $(limiter_pids)
  eventually away
  for path in $BACKENDS; do assert_matches "$(status "$path?user=many")" '^50[03]$'; done
  eventually away
  assert_equal "$(cat "$ECHO_LOG")" ''

  cp "$PROGRAM" "$BATS_TEST_TMPDIR/program"
  eventually back
}
away() { [[ $(status '/?user=many') == 503 ]]; }
back() { [[ $(status '/?user=many') == 200 ]]; }

@test "while the limiter hangs the answer is 504, and no backend is called" {
  start_demo WORKERS=1
  : >"$ECHO_LOG"
  kill -STOP "$(limiter_pids)"
  assert_equal "$(status '/fcgi/?user=many' --max-time 60)" 504
  assert_equal "$(cat "$ECHO_LOG")" ''
  kill -CONT "$(limiter_pids)"
  eventually back
}

@test "X-Forwarded-For is ignored unless a trusted proxy sends it" {
  local i
  for i in 1 2 3 4 5; do assert_equal "$(status / -H "X-Forwarded-For: 203.0.113.$i")" 200; done
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.6')" 429
  assert_equal "$(redis_cli KEYS 'rl:*ip*')" 'rl:{ip=127.0.0.1}:five'

  start_demo TRUSTED_PROXY=127.0.0.1
  request /fcgi/ -H 'X-Forwarded-For: 198.51.100.1, 203.0.113.6'
  assert_equal "$(header Status)" '200 OK'
  assert_contains "$body" 'REMOTE_ADDR=203.0.113.6'
  assert_contains "$(header RateLimit)" 'r=4'
  assert_equal "$(status /)" 429
}

@test "a graceful reload under load loses no request" {
  local before
  start_demo
  before=$(limiter_pids)
  # Each request has its own connection, because clients retry if a kept one is closed.
  for _ in {1..600}; do echo "$URL/fcgi/?user=many"; done |
    xargs -P 8 -n 1 curl -s -o /dev/null -w '%{http_code}\n' >"$BATS_TEST_TMPDIR/codes" 3>&- &
  local load=$!
  eventually answered 50
  reload
  eventually answered 200
  reload
  eventually gone "$load"
  assert_equal "$(count_statuses <"$BATS_TEST_TMPDIR/codes")" 200:600
  eventually replaced "$before"
}
# shellcheck disable=SC2153  # start_limiter sets it
reload() { kill -USR1 "$LIGHTTPD_PID"; }
answered() { (($(wc -l <"$BATS_TEST_TMPDIR/codes") >= $1)); }
# replaced PIDS - two other processes have replaced these
replaced() {
  local pid
  for pid in $1; do gone "$pid" || return 1; done
  [[ $(limiter_pids | wc -l) == 2 ]]
}

@test "small, large and chunked bodies to every backend are passed on if allowed and refused otherwise" {
  local path answers file=$BATS_FILE_TMPDIR/10MB
  for path in /proxy/ /fcgi/; do
    redis_cli FLUSHALL >/dev/null
    request "$path?user=b" --data small
    assert_equal "$body" small
    request "$path?user=b" --data small -H 'Transfer-Encoding: chunked'
    assert_equal "$body" small
    assert_equal "$(curl -s --data-binary "@$file" "$URL$path?user=b" | sha256)" "$(sha256 <"$file")"
    assert_equal "$(curl -s -T - -X POST "$URL$path?user=b" <"$file" | sha256)" "$(sha256 <"$file")"
    # An allowed body and what follows it, on one connection.
    answers=$(curl -s --data first "$URL$path?user=b" --next -s "$URL$path?user=c&n=2" -o /dev/null \
      -w '\n%{num_connects} %{http_code}' --next -s "$URL$path?user=b" -o /dev/null -w '\n%{http_code}')
    assert_equal "$answers" $'first\n0 200\n429'
    assert_equal "$(status "$path?user=b" --data small)" 429
    assert_equal "$(status "$path?user=b" --data-binary "@$file")" 429
    assert_equal "$(status "$path?user=b" -T - -X POST <"$file")" 429
    assert_equal "$(status "$path?user=d")" 200
  done
  assert_equal "$(status '/?user=e' --data-binary "@$file")" 200
  assert_equal "$(status '/?user=e')" 200
}

@test "half a body delays no other request and does not end up in one" {
  local i fds=() fd
  for i in {1..12}; do
    exec {fd}<>"/dev/tcp/127.0.0.1/${URL##*:}"
    printf 'POST %s?user=many HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s' \
      "$( ((i % 2)) && echo /fcgi/ || echo /proxy/)" "$(head -c 2000 /dev/zero | tr '\0' A)" >&"$fd"
    fds+=("$fd")
  done
  for i in {1..20}; do assert_equal "$(status '/fcgi/?user=many' --max-time 30)" 200; done
  request '/fcgi/?user=many' --data mine --max-time 30
  assert_equal "$body" mine
  # Then these close, and the next requests are served all the same.
  for fd in "${fds[@]}"; do exec {fd}>&-; done
  for i in {1..20}; do
    request "/proxy/?user=many" --data "mine $i" --max-time 30
    assert_equal "$body" "mine $i"
  done
  assert_equal "$(grep -c POST "$ECHO_LOG")" 21
}

@test "lighttpd leaves no ratelimit.fcgi behind after INT or TERM" {
  local signal pid pids
  for signal in INT TERM; do
    start_demo
    assert_equal "$(status '/?user=many')" 200
    pids=$(worker_pids)
    assert_equal "$(wc -w <<<"$pids")" 3
    kill -"$signal" "$LIGHTTPD_PID"
    for pid in $LIGHTTPD_PID $pids; do eventually gone "$pid"; done
  done
}
