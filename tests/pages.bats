#!/usr/bin/env bats
# pages.bats - the program's own pages (/-/health, /-/ready, /-/metrics, /-/status, /-/live) through every web server that
# conf/ configures: they take no token and ask neither Redis nor a backend, and nothing else becomes a page.

bats_require_minimum_version 1.5.0
load helper
load guarded

PAGES='health ready metrics status live'

setup_file() {
  export HELPER_PIDS=''
  start_backends
}

teardown_file() { stop_all; }

setup() {
  HELPER_PIDS='' # teardown stops what a test starts, and teardown_file what setup_file started
  unset REDIS_DIR REDIS_PORT LIMITER PROGRAM_PID LIGHTTPD_PIDS
  start_redis
  many_limits
  : >"$ECHO_LOG"
}

teardown() {
  local pid
  for pid in $SERVER_PID $APACHE_PID $CADDY_PID $NGINX_PID; do stop "$pid"; done
  stop_all
}

# many_limits - a limits file with as many limits as there may be; one of them applies to the requests here
many_limits() {
  export LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  {
    printf '%s\n' 'redis: { timeout: 5s }' 'trusted_proxies: [127.0.0.1]' 'forward_auth: x-forwarded' 'limits:' \
      '  - { name: three, key: "query:user | ip", capacity: 3, refill: 1/day }'
    seq 999 | sed 's|.*|  - { name: "limit-&", match: { path: "/no/&" }, key: ip, capacity: 1, refill: 1/day }|'
  } >"$LIMITS_FILE"
}

# start_limiter_on SOCKET - two processes that nothing restarts
start_limiter_on() {
  local dir=$BATS_TEST_TMPDIR
  REDIS_ADDR=unix:$REDIS_SOCK RATELIMIT_SHARED=$dir/shared spawn-fcgi -n -s "$1" -b 2048 -- conf/workers.sh 2 "$PROGRAM" \
    2>"$dir/program.log" 3>&- &
  PROGRAM_PID=$!
  eventually test -S "$1"
}

# start_limiter_at_port - the same at LIMITER, 127.0.0.1:PORT
start_limiter_at_port() {
  export LIMITER
  LIMITER=127.0.0.1:$(free_port)
  REDIS_ADDR=unix:$REDIS_SOCK RATELIMIT_SHARED=$BATS_TEST_TMPDIR/shared spawn-fcgi -n -a 127.0.0.1 -p "${LIMITER#*:}" -b 2048 \
    -- conf/workers.sh 2 "$PROGRAM" 2>"$BATS_TEST_TMPDIR/program.log" 3>&- &
  PROGRAM_PID=$!
  eventually accepts_tcp "${LIMITER#*:}"
}

# ---- What each web server promises ----

content_type() {
  case $1 in
    metrics) echo 'text/plain; version=0.0.4; charset=utf-8' ;;
    live) echo 'text/html; charset=utf-8' ;;
    *) echo application/json ;;
  esac
}

assert_answers_each_page() {
  local page
  for page in $PAGES; do
    request "/-/$page?user=page"
    assert_equal "$page $(header Status)" "$page 200 OK"
    assert_equal "$(header Content-Type)" "$(content_type "$page")"
    assert_equal "$(header Cache-Control)" no-store
    assert_equal "$(header RateLimit)$(header X-RateLimit-Limit)" ''
    request "/-/$page" --head
    assert_equal "HEAD $page $(header Status)" "HEAD $page 200 OK"
    request "/-/$page?user=page" --data x
    assert_equal "POST $page $(header Status)" "POST $page 405 Method Not Allowed"
    assert_equal "$(header Allow)" 'GET, HEAD'
    assert_contains "$body" 'This page can only be read.'
  done
}

# Every limit is in /-/metrics, and the page is whole.
assert_answers_a_large_page() {
  request /-/metrics
  assert_equal "$(grep -c '^ratelimit_tokens_taken_total{limit=' <<<"$body")" 1000
  # $(...) removes the last end of line.
  assert_equal "$(curl -s "$URL/-/metrics" | tail -c 1 | od -An -c)" "$(printf '\n' | od -An -c)"
  assert_contains "$(tail -n 1 <<<"$body")" ratelimit_
  (($(wc -c <<<"$body") > 400000)) || fail "$(wc -c <<<"$body")" 'is not above' 400000
}

# A request through a proxy comes from its address, which says nothing of the client.
assert_answers_few_pages_through_a_proxy() {
  local page field
  for field in 'X-Forwarded-For: 203.0.113.1' 'Forwarded: for=203.0.113.1' 'X-Real-IP: 203.0.113.1' 'X-Forwarded-For: 127.0.0.1'; do
    for page in health ready; do assert_equal "$page $(status "/-/$page" -H "$field")" "$page 200"; done
    for page in metrics status live; do
      request "/-/$page" -H "$field"
      assert_equal "$page $field $(header Status)" "$page $field 403 Forbidden"
      assert_contains "$body" RATELIMIT_ALLOW
    done
  done
}

is_page() { [[ $body == *ratelimit_decisions_total* || $body == '{"status":"'* || $body == '{"time":'* ]]; }

# Nothing but these paths, and nothing that a client sends, becomes a page.
assert_makes_no_other_page() {
  local path
  for path in /-/metricsX /-/metrics/ '/-/metrics/..%2f' /-/metrics/x /-/ /-/nothing /x/-/metrics '/?RATELIMIT_ENDPOINT=metrics'; do
    request "$path"
    ! is_page || fail "$path" 'is' 'no page'
  done
  request '/?user=forged' -H 'RATELIMIT-ENDPOINT: metrics' -H 'RATELIMIT_ENDPOINT: metrics' -H 'Ratelimit!Endpoint: metrics'
  ! is_page || fail "$body" 'is' 'no page'
}

# No bucket has been touched, and no backend asked, by any page.
assert_takes_no_token() {
  assert_equal "$(redis_keys)" ''
  assert_equal "$(asked)" 0
}

assert_answers_without_redis() {
  local page
  stop "$REDIS_PID"
  without_redis() { [[ $(curl -s "$URL/-/ready") == '{"status":"warn","decides":"without Redis: '* ]]; }
  eventually without_redis
  for page in $PAGES; do assert_equal "$page $(status "/-/$page" --max-time 30)" "$page 200"; done
}

# The processes count together.
assert_knows_both_processes() {
  both() { [[ $(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l) == 2 ]]; }
  eventually both
  assert_contains "$(curl -s "$URL/-/status")" '"drift":false,'
}

assert_has_pages() {
  local both=$1
  eventually ready
  assert_answers_each_page
  assert_answers_a_large_page
  assert_answers_few_pages_through_a_proxy
  [[ -z $both ]] || assert_knows_both_processes
  assert_takes_no_token
  assert_makes_no_other_page
  assert_answers_without_redis
}
ready() { [[ $(curl -s "$URL/-/ready") == '{"status":"pass","decides":"with Redis"}' ]]; }

# assert_still_limits PATH - beside the pages, the client has three requests; the page shows it
assert_still_limits() {
  local _
  for _ in 1 2 3; do assert_equal "$(status "$1?user=limited")" 200; done
  assert_equal "$(status "$1?user=limited")" 429
  refused() { curl -s "$URL/-/metrics" | grep -qx 'ratelimit_decisions_total{limit="three",decision="refused"} 1'; }
  eventually refused
}

# ---- lighttpd ----

start_demo() {
  start_limiter conf/lighttpd/demo.conf CONF_DIR="$PWD/conf/lighttpd" SITE="$PWD/conf/demo/site" \
    TRUSTED_PROXY=192.0.2.1 BACKEND_PORT="${BACKEND#*:}"
}

@test "lighttpd alone (lighttpd.conf)" {
  start_limiter conf/lighttpd.conf
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  assert_has_pages both
}

@test "lighttpd that connects to a socket (lighttpd-connect.conf)" {
  local socket=$BATS_TEST_TMPDIR/sock
  start_limiter_on "$socket"
  start_limiter conf/lighttpd-connect.conf SOCKET="$socket"
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  assert_has_pages both
}

@test "lighttpd as a guard (authorizer.conf)" {
  start_demo
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  assert_has_pages both
}

@test "lighttpd as a guard: the pages come from the processes that decide, also after those were killed" {
  local pid before
  start_demo
  eventually ready
  before=$(curl -s "$URL/-/status" | grep -o '"pid":[0-9]*' | sort)
  for pid in ${before//'"pid":'/}; do kill -KILL "$pid"; done
  others() {
    local now
    now=$(curl -s "$URL/-/status" | grep -o '"pid":[0-9]*' | sort)
    [[ $(wc -l <<<"$now") == 2 && -z $(comm -12 <(echo "$before") <(echo "$now")) ]]
  }
  eventually others
  for _ in {1..20}; do assert_equal "$(status /-/health)" 200; done
  # lighttpd started two, and not two for the pages and two for the decisions.
  assert_equal "$(pgrep -P "$LIGHTTPD_PID" -f "^$PROGRAM" | wc -l)" 2
}

# ---- nginx ----

start_nginx() {
  local dir=$BATS_TEST_TMPDIR/nginx
  mkdir "$dir"
  export LISTEN CHECK PROXIED=$BACKEND SITE=$PWD/conf/demo/site FASTCGI=$dir/none TRUSTED=192.0.2.9
  LISTEN=127.0.0.1:$(free_port) CHECK=127.0.0.1:$(free_port)
  start_limiter_on "$dir/limiter"
  LIMITER=$dir/limiter adapt_nginx "$dir"
  run_nginx "$dir" "${LISTEN#*:}"
}

@test "nginx in front of a site (ratelimit-server.conf)" {
  start_nginx
  URL=http://$LISTEN
  assert_still_limits /proxy/
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
  assert_has_pages both
}

@test "nginx in front of the limiter alone (check.conf)" {
  start_nginx
  URL=http://$CHECK
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  assert_has_pages both
}

# ---- Apache ----

@test "Apache in front of a site (apache2.conf)" {
  start_limiter_at_port
  start_apache
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  assert_has_pages both
}

@test "Apache in front of /check (check.conf)" {
  start_limiter_at_port
  start_apache "$PWD/conf/apache/check.conf"
  assert_has_pages both
}

@test "Apache: what a virtual host does with the URL of a page does not get it past the limiter" {
  local conf=$BATS_TEST_TMPDIR/apache2.conf
  start_limiter_at_port
  # A rewrite comes before every ProxyPass, and takes the request to the backend.
  # shellcheck disable=SC2016  # the variables are Apache's
  sed 's,^ProxyPass "/proxy/".*,LoadModule rewrite_module ${MODULES}/mod_rewrite.so\nRewriteEngine on\nRewriteRule "^(/-/health)$" "http://${BACKEND}$1" [P],' \
    conf/apache/apache2.conf >"$conf"
  start_apache "$conf"
  for _ in 1 2 3; do assert_equal "$(status '/-/health?user=rewritten')" 200; done
  assert_equal "$(status '/-/health?user=rewritten')" 429
  assert_equal "$(asked)" 3
  # A ProxyPass for everything does not.
  stop "$APACHE_PID"
  # shellcheck disable=SC2016
  sed 's,^ProxyPass "/proxy/".*,ProxyPass "/" "http://${BACKEND}/",' conf/apache/apache2.conf >"$conf"
  start_apache "$conf"
  request /-/health
  is_page
  assert_equal "$(asked)" 3
}

# ---- Caddy ----

@test "Caddy that asks over FastCGI (README.md)" {
  local socket=$BATS_TEST_TMPDIR/sock dir=$BATS_TEST_TMPDIR/caddy port
  start_limiter_on "$socket"
  mkdir "$dir"
  port=$(free_port)
  URL=http://127.0.0.1:$port
  {
    printf '%s\n' '{' "  admin unix/$dir/admin.sock" '  default_bind 127.0.0.1' '}'
    block conf/caddy/README.md '## Caddy' 2 | with api.example.com "http://:$port" unix//run/ratelimit/sock "unix/$socket" \
      127.0.0.1:3000 "$BACKEND"
  } >"$dir/Caddyfile"
  HOME=$dir XDG_DATA_HOME=$dir XDG_CONFIG_HOME=$dir caddy run --config "$dir/Caddyfile" --adapter caddyfile 2>"$dir/log" 3>&- &
  CADDY_PID=$!
  eventually accepts_tcp "$port"
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
  assert_has_pages both
}

@test "Caddy that asks over HTTP (Caddyfile)" {
  start_limiter conf/lighttpd.conf
  export LIMITER=${URL#http://}
  start_caddy
  assert_still_limits /
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
  assert_has_pages both
}

# ---- Probes ----

@test "HAProxy with the lines of operating.md sends no request to a limiter that is not ready" {
  local a b port dir=$BATS_TEST_TMPDIR
  sed -i 's/refill: 1\/day }/refill: 1\/day, on_redis_failure: deny }/' "$LIMITS_FILE"
  start_limiter conf/lighttpd.conf
  a=${URL#http://}
  start_limiter conf/lighttpd.conf REDIS_ADDR="unix:$dir/none"
  b=${URL#http://}
  port=$(free_port)
  {
    printf '%s\n' defaults ' mode http' ' timeout connect 30s' ' timeout client 30s' ' timeout server 30s' \
      'frontend all' " bind 127.0.0.1:$port" ' default_backend limiters'
    block conf/operating.md 'HAProxy in front of' | with 192.0.2.11:8080 "$a" 192.0.2.12:8080 "$b"
  } >"$dir/haproxy.cfg"
  haproxy -db -f "$dir/haproxy.cfg" 2>"$dir/haproxy.log" 3>&- &
  HELPER_PIDS+=" $!"
  eventually accepts_tcp "$port"
  URL=http://127.0.0.1:$port
  all_decided() { for _ in 1 2 3 4; do [[ $(status "/?user=$RANDOM$RANDOM") == 200 ]] || return 1; done; }
  eventually all_decided
  for _ in {1..20}; do assert_equal "$(status "/?user=$RANDOM$RANDOM")" 200; done
  # The other one is alive.
  assert_equal "$(URL=http://$b status /-/health) $(URL=http://$b status /-/ready) $(URL=http://$b status /)" '200 503 503'
}

@test "a process with other limits is drift in /-/status" {
  local other=$BATS_TEST_TMPDIR/other.yaml dir=$BATS_TEST_TMPDIR answer
  start_limiter_on "$dir/sock"
  start_limiter conf/lighttpd-connect.conf SOCKET="$dir/sock"
  assert_knows_both_processes
  sed 's/capacity: 3/capacity: 4/' "$LIMITS_FILE" >"$other"
  "$PROGRAM" --listen "unix:$dir/other" --limits "$other" --shared "$dir/shared" --redis "unix:$REDIS_SOCK" 2>>"$dir/program.log" 3>&- &
  HELPER_PIDS+=" $!"
  drift() { [[ $(curl -s "$URL/-/status") == *'"drift":true,'* ]]; }
  eventually drift
  answer=$(curl -s "$URL/-/status")
  # What sha256sum says of each file.
  assert_contains "$answer" "\"limits_file\":\"$LIMITS_FILE\",\"sha256\":\"$(sha256sum <"$LIMITS_FILE" | cut -d ' ' -f 1)\""
  assert_contains "$answer" "\"limits_file\":\"$other\",\"sha256\":\"$(sha256sum <"$other" | cut -d ' ' -f 1)\""
}

# ---- Who may see them ----

@test "lighttpd passes RATELIMIT_ALLOW on, alone and as a guard: its networks may see the pages, and no others" {
  export RATELIMIT_ALLOW='127.0.0.2, 10.0.0.0/8'
  local start
  for start in 'start_limiter conf/lighttpd.conf' start_demo; do
    $start
    eventually ready
    assert_equal "$start $(status /-/metrics --interface 127.0.0.2)" "$start 200"
    assert_equal "$start $(status /-/metrics --interface 127.0.0.3)" "$start 403"
    assert_equal "$start $(status /-/metrics --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.1')" "$start 403"
  done
}

@test "a mistake in RATELIMIT_ALLOW is named, and the program does not start" {
  run -1 env RATELIMIT_ALLOW='10.0.0.0/8 10.0.0.0/99' "$PROGRAM" --listen "unix:$BATS_TEST_TMPDIR/sock"
  assert_contains "$output" "ratelimit.fcgi: RATELIMIT_ALLOW: '10.0.0.0/99' "
}
