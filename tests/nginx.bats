#!/usr/bin/env bats
# nginx.bats - conf/nginx/ with other paths, ports and timeouts: nginx asks the limiter with auth_request before it
# serves a file, proxies, or calls a FastCGI program, and passes requests to the limiter alone; both over kept
# connections.

load helper

setup_file() {
  export FOLDER=$BATS_FILE_TMPDIR ECHO
  ECHO=$(realpath "${BUILD:-build}/echo")
  export ECHO_LOG=$FOLDER/echo.log LIMITS_FILE=$FOLDER/limits.yaml
  export LISTEN CHECK LOGIN SSO PROXIED SITE=$FOLDER/site FASTCGI=$FOLDER/fcgi.sock LIMITER=$FOLDER/limiter.sock TRUSTED=127.0.0.2
  LISTEN=127.0.0.1:$(free_port) CHECK=127.0.0.1:$(free_port) LOGIN=127.0.0.1:$(free_port) SSO=127.0.0.1:$(free_port) PROXIED=127.0.0.1:$(free_port)
  export URL=http://$LISTEN BACKEND_PID NGINX_PID
  cat >"$LIMITS_FILE" <<'YAML'
redis: { timeout: 5s }     # exactness is shown here, not speed
headers: [ietf, x-ratelimit]
trusted_proxies: [127.0.0.3]  # of /check
limits:
  - name: per-user
    key: query:user | ip
    capacity: 5
    refill: 1/12s
    on_redis_failure: allow
    overrides: [{ key: mallory, blocked: true }, { key: "load*", unlimited: true }]
  - { name: per-login, match: { path: /app/** }, key: "env:REMOTE_USER + ip", capacity: 2, refill: 1/day }
  - { name: fifty, match: { path: /**/storm }, key: global, capacity: 50, refill: 1/day }
  - { name: hosted, match: { path: /**/hosted, host: a.example }, key: ip, capacity: 2, refill: 1/day }
  - { name: keyed, match: { path: /**/keyed }, key: "header:X-API-Key", capacity: 2, refill: 1/day }
  - { name: strict, match: { path: /**/vault }, key: ip, capacity: 50, refill: 1/day, on_redis_failure: deny }
YAML
  cp -r conf/demo/site "$SITE"
  mkdir "$SITE/private" "$SITE/assets" "$FOLDER/backend"
  echo x >"$SITE/assets/x"
  start_redis
  start_workers
  start_backends
  adapt_nginx "$FOLDER"
  echo "It is gone." >"$SITE/gone.html"
  mkdir "$FOLDER/ratelimit.d"
  printf '%s\n' 'add_header Strict-Transport-Security max-age=31536000 always;' "error_page 404 /gone.html;" \
    >"$FOLDER/ratelimit.d/own.conf"
  # An operator's server: headers and error pages of http { }, CORS of the server, and single sign-on, here a server that
  # checks the header X-Login.
  sed -i 's,^ *include ratelimit.conf;,&\n  include ratelimit.d/*.conf;\n  include ratelimit-login.conf;\n  include sso.conf;,
    s,^ *include ratelimit-server.conf;,&\n    add_header Access-Control-Allow-Origin * always;\n    include app.conf;,' \
    "$FOLDER/nginx.conf"
  cat >"$FOLDER/sso.conf" <<NGINX
server {
  listen $SSO;
  if (\$http_x_login = "") { return 401; }
  if (\$http_x_login = nobody) { return 403; }
  add_header X-Auth-Request-User \$http_x_login always;
  location / { return 202; }
}
NGINX
  cat >"$FOLDER/app.conf" <<NGINX
location /app/ {
  auth_request /_ratelimit_after_login;
  proxy_set_header X-User \$login_user;
  proxy_pass http://$PROXIED;
}
NGINX
  # An open location that redirects to a limited one.
  sed -i 's,^ *location /strict/ {,location /open/ { try_files /none /strict/x; }\n&,' "$FOLDER/nginx.conf"
  run_nginx "$FOLDER" "${LISTEN#*:}"
}

teardown_file() {
  local pid
  # The files of spawn-fcgi do not end in a newline.
  for pid in $NGINX_PID $BACKEND_PID $(sed -s '$s/$/\n/' "$FOLDER"/*.pids); do stop "$pid"; done
  stop_all
}

setup() {
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
}

# start_workers - the limiter, as the comment in conf/nginx/ratelimit.conf starts it
start_workers() {
  REDIS_ADDR=unix:$REDIS_SOCK spawn-fcgi -s "$LIMITER" -M 0660 -b 2048 -F 2 -P "$FOLDER/limiter.pids" -- \
    /bin/sh -c "exec '$PROGRAM' 2>>'$FOLDER/limiter.log'" >/dev/null 3>&-
}
workers() { cat "$FOLDER/limiter.pids"; }
stop_workers() {
  local pid
  for pid in $(workers); do stop "$pid"; done
}

start_backends() {
  spawn-fcgi -s "$FASTCGI" -P "$FOLDER/fcgi.pids" -- "$ECHO" >/dev/null 3>&-
  PORT=${PROXIED#*:} SOCKET_DIR=$FOLDER/backend lighttpd -D -f conf/demo/backend.conf 2>"$FOLDER/backend.log" 3>&- &
  BACKEND_PID=$!
  eventually accepts_tcp "${PROXIED#*:}"
}

# assert_problem STATUS TYPE - the answer is a problem (RFC 9457)
assert_problem() {
  assert_equal "${head:9:3}" "$1"
  assert_equal "$(header Content-Type)" application/problem+json
  assert_equal "$(header Cache-Control)" no-store
  assert_contains "$body" "{\"type\":\"$2\""
  assert_contains "$body" "\"status\":$1"
  assert_equal "$(header Content-Length)" "$((${#body} + 1))"
}
quota_exceeded='https://iana.org/assignments/http-problem-types#quota-exceeded'

# ---- Allowed ----

@test "the limiter's fields replace RateLimit fields of the application" {
  assert_replaces_own_limits /proxy/?user=own
  assert_replaces_own_limits /fcgi/?user=own
  # If no limit applies, the application's fields are unchanged.
  request '/fcgi/?user=load-own' -H 'X-Own-Limits: 1'
  assert_equal "$(header RateLimit) $(header X-RateLimit-Limit)" '"own";r=99 99'
}

@test "the operator's headers and error pages are on every answer, and CORS headers on a refusal, each once" {
  local path
  for path in '/index.html?user=own' '/none?user=own' '/proxy/?user=own' '/index.html?user=mallory' '/index.html?user=cors' '/none?user=cors'; do
    redis_cli FLUSHALL >/dev/null
    [[ $path != *cors ]] || for _ in 1 2 3 4 5; do request '/index.html?user=cors'; done
    request "$path"
    assert_equal "$(grep -ci '^strict-transport-security: max-age=31536000' <<<"$head")" 1
    assert_equal "$(grep -ci '^access-control-allow-origin: ' <<<"$head")" 1
    [[ $path == *mallory ]] || assert_equal "$(grep -ci '^ratelimit: ' <<<"$head")" 1
    assert_between "$(grep -ci '^cache-control: ' <<<"$head")" 0 1
  done
  assert_equal "$(header Status)" '429 Too Many Requests'
  request '/none?user=pages'
  assert_equal "$(header Status)" '404 Not Found'
  assert_equal "$body" "It is gone."
}

@test "a range beyond the file is answered with 416 and each RateLimit field once" {
  request '/index.html?user=ranges' -H 'Range: bytes=99999-'
  assert_equal "$(header Status)" '416 Requested Range Not Satisfiable'
  assert_equal "$(grep -ci '^ratelimit: ' <<<"$head") $(grep -ci '^x-ratelimit-limit: ' <<<"$head")" '1 1'
}

@test "single sign-on and the limiter guard one location: first the login, then the tokens of its user" {
  request /app/x
  assert_equal "$(header Status)" '401 Unauthorized'
  request /app/x -H 'X-Login: nobody'
  assert_equal "$(header Status)" '403 Forbidden'
  assert_equal "$(redis_keys)" ''
  for _ in 1 2; do
    request '/app/x?a=b' -H 'X-Login: alice' -H 'X-Ratelimit-Client: 192.0.2.99'
    assert_equal "$(header Status)" '200 OK'
    assert_contains "$body" 'HTTP_X_USER=alice'
    assert_contains "$head" 'RateLimit: '
  done
  assert_equal "$(redis_cli EXISTS 'rl:{env:REMOTE_USER=alice+ip=127.0.0.1}:per-login')" 1
  request '/app/x' -H 'X-Login: alice'
  assert_problem 429 "$quota_exceeded"
  request /app/x -H 'X-Login: bob' -X POST -d 'a body'
  assert_equal "$(header Status) $body" '200 OK a body'
  # Without the limiter users who are logged in are served, and no others.
  stop_workers
  assert_equal "$(status /app/x -H 'X-Login: alice')" 200
  assert_equal "$(status /app/x)" 401
  start_workers
}

@test "range and conditional requests are answered by the file server" {
  assert_answers_ranges_and_conditions '/index.html?user=load-ranges'
}

@test "a host in the request line, by which nginx routes, wins over the Host header" {
  local _
  for _ in 1 2; do
    assert_equal "$(status '/fcgi/hosted?user=load-host' --request-target "http://a.example/fcgi/hosted?user=load-host" \
      -H "Host: $RANDOM.example")" 200
  done
  assert_equal "$(status '/fcgi/hosted?user=load-host' --request-target "http://a.example/fcgi/hosted?user=load-host" \
    -H "Host: $RANDOM.example")" 429
  assert_equal "$(status '/fcgi/hosted?user=load-host' -H 'Host: a.example')" 429
  assert_equal "$(status '/fcgi/hosted?user=load-host' -H 'Host: other.example')" 200
}

@test "a duplicate header is answered with 400 if nginx passes on both, and is one value if nginx joins them" {
  request /fcgi/keyed -H 'X-API-Key: junk' -H 'X-API-Key: valid'
  # nginx 1.23 and later send one parameter, to the limiter and to the application alike.
  if [[ $(header Status) == '200 OK' ]]; then
    assert_contains "$body"$'\n' $'\nHTTP_X_API_KEY=junk, valid\n'
    assert_equal "$(redis_cli EXISTS "rl:{header:x-api-key=$(digest_of 'junk, valid')}:keyed")" 1
    return
  fi
  assert_problem 400 about:blank
  assert_contains "$body" 'header:x-api-key, which this request has more than once'
  assert_equal "$(wc -l <"$ECHO_LOG")" 0
}

@test "an allowed request gets the static file, and the RateLimit headers with it" {
  request '/index.html?user=alice'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$body" "$(<conf/demo/site/index.html)"
  assert_equal "$(header Content-Type)" text/html
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
  assert_equal "$(header X-RateLimit-Limit) $(header X-RateLimit-Remaining) $(header X-RateLimit-Reset)" '5 4 12'
  assert_equal "$(header RateLimit-Problem)$(header Retry-After)" ''
}

@test "an allowed request reaches a proxied and a FastCGI backend with its method, query, headers and a body of 1 MB" {
  local sum backend
  head -c 1048576 /dev/urandom >"$BATS_TEST_TMPDIR/body"
  sum=$(sha256sum <"$BATS_TEST_TMPDIR/body")
  for backend in /proxy/ /fcgi/; do
    redis_cli FLUSHALL >/dev/null
    curl -s -D "$BATS_TEST_TMPDIR/head" -o "$BATS_TEST_TMPDIR/got" -X PUT -H 'X-Test: a "b", c' \
      -H 'Expect:' --data-binary "@$BATS_TEST_TMPDIR/body" "$URL${backend}x%20y?user=alice&a=%2F"
    head=$(<"$BATS_TEST_TMPDIR/head")
    assert_equal "$(header Status)" '200 OK'
    assert_equal "$(sha256sum <"$BATS_TEST_TMPDIR/got")" "$sum"
    assert_equal "$(header X-Method) $(header X-Length)" 'PUT 1048576'
    assert_equal "$(header X-Uri)" "${backend}x%20y?user=alice&a=%2F"
    assert_equal "$(header X-Query)" 'user=alice&a=%2F'
    assert_equal "$(header X-Test)" 'a "b", c'
    assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
  done
  assert_equal "$(wc -l <"$ECHO_LOG")" 2
}

@test "a chunked body reaches the backends as well" {
  local backend
  for backend in /proxy/ /fcgi/; do
    request "${backend}x" -H 'Transfer-Encoding: chunked' --data-binary @conf/demo/site/index.html
    assert_equal "$body" "$(<conf/demo/site/index.html)"
  done
}

@test "an internal redirect, to an index or an error page, costs one token and keeps its headers" {
  request '/?user=alice' # /index.html
  assert_equal "$body" "$(<conf/demo/site/index.html)"
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
  request '/missing?user=alice'
  assert_equal "$(header Status)" '404 Not Found'
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=3 t=36'
}

@test "nginx's own 403 stays its own, with the RateLimit headers" {
  request '/private/?user=alice'
  assert_equal "$(header Status)" '403 Forbidden'
  assert_equal "$(header Content-Type)" text/html
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
}

@test "nothing is counted with auth_request off, and a client cannot request the limiter's location" {
  request '/assets/x?user=alice'
  assert_equal "$(header Status)$(header RateLimit)" '200 OK'
  assert_equal "$(status '/_ratelimit?user=alice')" 404
  assert_equal "$(status '/_ratelimit_or_refuse?user=alice')" 404
  assert_equal "$(redis_keys)" ''
}

# ---- Refused ----

@test "a refusal is 429 with Retry-After, the RateLimit headers and the problem body, and calls no backend" {
  local path
  for _ in 1 2 3 4 5; do assert_equal "$(status '/index.html?user=alice')" 200; done
  for path in /index.html / /missing /private/ /proxy/x /fcgi/x /strict/x; do
    request "$path?user=alice"
    assert_problem 429 "$quota_exceeded"
    assert_contains "$body" '"violated-policies":["per-user"]'
    assert_equal_by_now "$(header Retry-After)" 12
    assert_fields 'RateLimit-Policy per-user q=5 w=60' "RateLimit per-user r=0 t=$(header Retry-After)"
    assert_equal "$(header X-RateLimit-Limit) $(header X-RateLimit-Remaining)" '5 0'
    assert_equal "$(header RateLimit-Problem)" ''
  done
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "a refused upload of 1 MB gets its 429, and no backend sees any of it" {
  local path
  head -c 1048576 /dev/zero >"$BATS_TEST_TMPDIR/body"
  for _ in 1 2 3 4 5; do status '/index.html?user=alice' >/dev/null; done
  for path in /index.html /proxy/x /fcgi/x; do
    request "$path?user=alice" -H 'Expect:' --data-binary "@$BATS_TEST_TMPDIR/body"
    assert_problem 429 "$quota_exceeded"
  done
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "a blocked client gets 403 with the problem body" {
  request '/fcgi/x?user=mallory'
  assert_problem 403 about:blank
  assert_contains "$body" 'The limit per-user blocks this client.'
  assert_equal "$(cat "$ECHO_LOG")" ''
}

@test "200 parallel requests admit exactly the capacity" {
  assert_equal "$(storm 200 "$URL/fcgi/storm?user=load")" '200:50 429:150'
  assert_equal "$(wc -l <"$ECHO_LOG")" 50
}

# ---- The client ----

@test "X-Forwarded-For is ignored except from the proxy in set_real_ip_from" {
  request /index.html -H 'X-Forwarded-For: 203.0.113.1'
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1}:per-user'
  redis_cli FLUSHALL >/dev/null
  request /index.html -H 'X-Forwarded-For: 198.51.100.9, 203.0.113.1, 127.0.0.2' --interface 127.0.0.2
  assert_equal "$(redis_keys)" 'rl:{ip=203.0.113.1}:per-user'
}

# ---- Failures ----

@test "without Redis requests are allowed or get the limiter's 503, as on_redis_failure says" {
  stop "$REDIS_PID"
  request '/fcgi/x?user=alice'
  assert_equal "$(header Status)" '200 OK'
  assert_fields
  request '/fcgi/vault?user=alice'
  start_redis
  assert_problem 503 about:blank
  assert_equal "$(header Retry-After)" 1
  assert_equal "$(cat "$ECHO_LOG")" 'GET /fcgi/x?user=alice'
  limits_again() { request '/index.html?user=bob' && [[ -n $(header RateLimit) ]]; }
  eventually limits_again
}

@test "without the limiter all requests are served, except those with _or_refuse in auth_request" {
  local path
  stop_workers
  request '/index.html?user=alice'
  assert_equal "$(header Status)" '200 OK'
  assert_fields
  assert_equal "$(status '/fcgi/x?user=alice')" 200
  for path in /strict/x /open/x; do # /open/ redirects internally to /strict/
    request "$path?user=alice"
    assert_problem 503 about:blank
    assert_equal "$(header Retry-After)" 1
  done
  start_workers
  assert_equal "$(cat "$ECHO_LOG")" 'GET /fcgi/x?user=alice'
  request '/open/x?user=carol'
  assert_contains "$(header Status)" 200
  request '/strict/x?user=alice'
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
}

reload_nginx() { nginx -p "$FOLDER" -c "$FOLDER/nginx.conf" -s reload; }
nginx_workers() { cat "/proc/$NGINX_PID/task/$NGINX_PID/children"; }
# renewed PID... - nginx has two workers, other than these
renewed() {
  local pid
  for pid; do gone "$pid" || return 1; done
  [[ $(nginx_workers | wc -w) == 2 ]]
}
# answer_in SECONDS - give the limiter so much time to answer
answer_in() {
  local before
  read -ra before <<<"$(nginx_workers)"
  nginx_timeouts "$FOLDER" "$1"
  reload_nginx
  eventually renewed "${before[@]}"
}

@test "a limiter that hangs counts as away after a second" {
  local pid start
  answer_in 1 # as in conf/nginx
  start=${EPOCHREALTIME/./}
  for pid in $(workers); do kill -STOP "$pid"; done
  request '/index.html?user=alice'
  local open=$head
  request '/strict/x?user=alice'
  for pid in $(workers); do kill -CONT "$pid"; done
  assert_between $(((${EPOCHREALTIME/./} - start) / 1000)) 1900 8000
  answer_in 20
  assert_contains "$open" '200 OK'
  assert_problem 503 about:blank
}

@test "nginx -s reload under load loses no request" {
  local i
  seq -f "$URL/fcgi/x?user=load%.0f" 600 | xargs -P 8 -n 1 curl -s -o /dev/null -w '%{http_code}\n' \
    >"$BATS_TEST_TMPDIR/statuses" 3>&- &
  local load=$!
  for i in 1 2 3; do
    more() { (($(wc -l <"$BATS_TEST_TMPDIR/statuses") > i * 100)); }
    eventually more
    reload_nginx
  done
  wait "$load"
  assert_equal "$(count_statuses <"$BATS_TEST_TMPDIR/statuses")" 200:600
}

# ---- check.conf ----

@test "requests to the limiter alone get its whole answer" {
  URL=http://$CHECK
  request '/?user=alice'
  assert_equal "$body" '{"allowed":true,"limit":5,"remaining":4,"reset":12}'
  for _ in 1 2 3 4; do request '/?user=alice' --data-binary @conf/demo/site/index.html; done
  assert_equal_by_now "$(header RateLimit)" '"per-user";r=0;t=12'
  request '/?user=alice'
  assert_problem 429 "$quota_exceeded"
  assert_equal "$(header RateLimit-Problem)" ''
}

@test "/check decides about the request that a trusted proxy asks about, and about itself for other clients" {
  URL=http://$CHECK
  request /check --interface 127.0.0.3 -H 'X-Forwarded-For: 203.0.113.1' -H 'X-Forwarded-Uri: /a/vault?user=carol'
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit-Policy strict q=50 w=4320000' \
    'RateLimit per-user r=4 t=48' 'RateLimit strict r=49 t=4233600'
  assert_equal "$(redis_keys)" $'rl:{ip=203.0.113.1}:strict\nrl:{query:user=carol}:per-user'
  redis_cli FLUSHALL >/dev/null
  request /check -H 'X-Forwarded-For: 203.0.113.1' -H 'X-Forwarded-Uri: /a/vault?user=carol'
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1}:per-user'
}

# ---- Kept connections ----

# sockets - the sockets of the limiter's processes, one a line
sockets() {
  local pid
  for pid in $(workers); do ls -l "/proc/$pid/fd"; done | grep -o 'socket:.*' | sort
}
count_sockets() { sockets | wc -l; }

# One passes requests to the limiter, the other asks it with auth_request.
both=("http://$CHECK/" "http://$LISTEN/index.html")

@test "a connection is kept for the next request, with auth_request and after a refusal as well" {
  local before url
  # The processes from before a reload and their connections are gone.
  eventually renewed
  for url in "${both[@]}"; do assert_equal "$(storm 1 "$url?user=load")" 200:1; done
  before=$(sockets)
  for _ in {1..20}; do
    for URL in "${both[@]}"; do assert_equal "$(status '?user=load') $(status '?user=mallory')" '200 403'; done
  done
  # There may be more by now, because each process of nginx has its own.
  assert_equal "$(comm -23 <(echo "$before") <(sockets))" ''
}

@test "many idle connections do not delay requests" {
  local url kept start without
  for url in "${both[@]}"; do
    start=${EPOCHREALTIME/./}
    assert_equal "$(storm 3 "$url?user=load")" 200:3
    without=$((${EPOCHREALTIME/./} - start))
    assert_equal "$(storm 200 "$url?user=load")" 200:200
    kept=$(count_sockets)
    start=${EPOCHREALTIME/./}
    assert_equal "$(storm 3 "$url?user=load")" 200:3
    assert_between $((${EPOCHREALTIME/./} - start)) 0 $((2000000 + 10 * without))
    assert_between "$(count_sockets)" 5 "$((kept + 3))"
  done
}

@test "a reload of nginx closes the kept connections, and the limiter closes its ends" {
  local url
  for url in "${both[@]}"; do storm 100 "$url?user=load" >/dev/null; done
  reload_nginx
  few() { (($(count_sockets) <= idle)); }
  # Each of the limiter's processes has the listening socket and one to Redis.
  local idle=4
  eventually few
  for url in "${both[@]}"; do assert_equal "$(storm 20 "$url?user=load")" 200:20; done
}

@test "the limiter survives when nginx is killed under load" {
  local url
  for url in "${both[@]}"; do seq -f "$url?user=load%.0f" 1000; done | xargs -P 30 -n 1 curl -s -o /dev/null >/dev/null 2>&1 3>&- &
  local load=$! pid
  more() { (($(count_sockets) > 8)); }
  eventually more
  # shellcheck disable=SC2046  # words
  kill -KILL $(nginx_workers)
  answers() { [[ $(storm 1 "http://$CHECK/?user=load") == 200:1 ]]; } # by the nginx workers that the master starts anew
  eventually answers
  for url in "${both[@]}"; do assert_equal "$(storm 20 "$url?user=load")" 200:20; done
  kill "$load" 2>/dev/null || true
  for pid in $(workers); do kill -0 "$pid"; done
  wait "$load" || true
}

@test "a restarted limiter is asked at once, over new connections" {
  local url
  for url in "${both[@]}"; do storm 20 "$url?user=load" >/dev/null; done
  stop_workers
  start_workers
  for url in "${both[@]}"; do assert_equal "$(storm 20 "$url?user=load")" 200:20; done
}
