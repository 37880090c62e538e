# guarded.bash - shared by the tests of a guarded site: the backends, and what every web server promises.
# A test file starts its web server in front of them with URL set, and its limits with write_limits.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # as in helper.bash

# start_backends - an HTTP backend on BACKEND and a FastCGI one on FCGI_BACKEND (HOST:PORT), which log to ECHO_LOG
start_backends() {
  local dir port
  dir=$(mktemp -d "$(tmpdir)/backends.XXXXXX")
  export ECHO=$PWD/${BUILD:-build}/echo ECHO_LOG=$dir/asked BACKEND FCGI_BACKEND
  [[ $BUILD != /* ]] || ECHO=$BUILD/echo
  : >"$ECHO_LOG"
  port=$(free_port)
  PORT=$port SOCKET_DIR=$dir lighttpd -D -f conf/demo/backend.conf 2>"$dir/log" 3>&- &
  HELPER_PIDS+=" $!"
  BACKEND=127.0.0.1:$port
  eventually accepts_tcp "$port"
  port=$(free_port)
  spawn-fcgi -a 127.0.0.1 -p "$port" -n -- "$ECHO" 3>&- &
  HELPER_PIDS+=" $!"
  FCGI_BACKEND=127.0.0.1:$port
  eventually accepts_tcp "$port"
  export HELPER_PIDS
}

# write_limits [LINE...] - the limits file of a guarded site, with LINES of yaml at its top
write_limits() {
  export LIMITS_FILE
  LIMITS_FILE=$(tmpdir)/limits.yaml
  printf '%s\n' "$@" >"$LIMITS_FILE"
  cat >>"$LIMITS_FILE" <<'YAML'
redis: { timeout: 5s }     # exactness is shown here, not speed
limits:
  - { name: three, key: "query:user | ip", capacity: 3, refill: 1/day, on_redis_failure: allow }
  - { name: posts, match: { path: "/*/posted", methods: [POST] }, key: "query:user | ip", capacity: 1, refill: 1/day, on_redis_failure: allow }
YAML
}

# start_listener [OPTION...] - one ratelimit.fcgi on LIMITER, HOST:PORT; PROGRAM_PID
start_listener() {
  export LIMITER=${LIMITER:-127.0.0.1:$(free_port)} PROGRAM_PID
  REDIS_ADDR=${REDIS_ADDR:-unix:$REDIS_SOCK} "$PROGRAM" --listen "$LIMITER" --limits "$LIMITS_FILE" \
    2>>"$(tmpdir)/program.log" 3>&- &
  PROGRAM_PID=$!
  eventually accepts_tcp "${LIMITER#*:}"
}

# start_apache [CONF] - Apache with CONF, by default the recipe itself, in front of LIMITER; URL, APACHE_PID
start_apache() {
  local port
  port=$(free_port)
  export RUN_DIR=$BATS_TEST_TMPDIR/run SITE=$PWD/conf/demo/site PROXIES=${PROXIES:-192.0.2.9}
  mkdir -p "$RUN_DIR"
  BIND=127.0.0.1 PORT=$port apache2 -f "${1:-$PWD/conf/apache/apache2.conf}" -DFOREGROUND 2>"$RUN_DIR/log" 3>&- &
  APACHE_PID=$!
  URL=http://127.0.0.1:$port
  eventually accepts_tcp "$port" || {
    cat "$RUN_DIR/log" >&2
    return 1
  }
}

# start_caddy - Caddy with the recipe in front of LIMITER; URL, CADDY_PID
start_caddy() {
  local port
  port=$(free_port)
  export RUN_DIR=$BATS_TEST_TMPDIR/run SITE=$PWD/conf/demo/site PROXIES=${PROXIES:-192.0.2.9}
  mkdir -p "$RUN_DIR"
  export BIND=127.0.0.1 PORT=$port HOME=$RUN_DIR XDG_DATA_HOME=$RUN_DIR XDG_CONFIG_HOME=$RUN_DIR
  caddy run --config conf/caddy/Caddyfile --adapter caddyfile 2>"$RUN_DIR/log" 3>&- &
  CADDY_PID=$!
  URL=http://127.0.0.1:$port
  eventually accepts_tcp "$port" || {
    cat "$RUN_DIR/log" >&2
    return 1
  }
}

asked() { grep -c . "$ECHO_LOG" || true; }

POLICY='RateLimit-Policy three q=3 w=259200'

# The answers of all backends have the limiter's fields, and each backend gets what the client sent.
assert_reaches_all_backends() {
  local kind body_sum dir
  dir=$(tmpdir)
  request '/?user=static'
  assert_equal "$(header Status)" '200 OK'
  assert_contains "$body" 'This page is static.'
  assert_fields "$POLICY" 'RateLimit three r=2 t=172800'

  head -c 1000000 /dev/urandom >"$dir/body"
  body_sum=$(sha256sum <"$dir/body")
  for kind in proxy fcgi; do
    request "/$kind/a%20b?user=$kind&x=%2F+1" -X PUT -H 'X-Test: one, two;"three"' --data-binary "@$dir/body" \
      --output "$dir/answer" --dump-header "$dir/head"
    head=$(<"$dir/head")
    head=${head##*100 Continue$'\r\n\r\n'} # curl asks before it sends so much
    assert_equal "$kind $(header Status)" "$kind 200 OK"
    assert_equal "$(header X-Method)" PUT
    assert_equal "$(header X-Uri)" "/$kind/a%20b?user=$kind&x=%2F+1"
    assert_equal "$(header X-Query)" "user=$kind&x=%2F+1"
    assert_equal "$(header X-Test)" 'one, two;"three"'
    assert_equal "$(header X-Length)" 1000000
    assert_equal "$(tail -c 1000000 "$dir/answer" | sha256sum)" "$body_sum"
    assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
  done
}

# A refusal is the whole answer of the limiter, and the backends are not asked.
assert_refuses_before_the_backends() {
  local kind before
  for kind in '' proxy/ fcgi/; do
    for _ in 1 2 3; do assert_equal "$(status "/$kind?user=refused$kind")" 200; done
    before=$(asked)
    request "/$kind?user=refused$kind" -X POST --data body
    assert_equal "$(header Status)" '429 Too Many Requests'
    assert_equal "$(header Content-Type)" application/problem+json
    assert_equal_by_now "$(header Retry-After)" 86400
    assert_equal "$(header Cache-Control)" no-store
    assert_fields "$POLICY" "RateLimit three r=0 t=$(header Retry-After)"
    assert_contains "$body" '"violated-policies":["three"]}'
    assert_equal "$(asked)" "$before"
  done
}

# A limit matches the method and the path of the request itself.
assert_matches_the_request_itself() {
  request '/fcgi/posted?user=poster'
  assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
  request '/fcgi/posted?user=poster' --data x
  assert_contains "$(header RateLimit)" '"posts";r=0'
  assert_equal "$(status '/fcgi/posted?user=poster' --data x)" 429
  assert_equal "$(status '/fcgi/posted?user=poster')" 200
}

assert_admits_exactly_the_capacity() {
  assert_equal "$(storm 200 "$URL/fcgi/?user=storm")" '200:3 429:197'
}

# load_during COMMAND... - run COMMAND three times while 4 clients send requests, which must all be answered with 200
load_during() {
  local dir i load
  dir=$(mktemp -d "$(tmpdir)/load.XXXXXX")
  for i in 1 2 3 4; do
    (until [[ -e $dir/enough ]]; do
      status "/?user=load$RANDOM$RANDOM" --write-out '%{http_code} %{exitcode}\n' >>"$dir/$i" || true
    done) 3>&- &
    load+=" $!"
  done
  for i in 1 2 3; do
    eventually lines_at_least $((i * 40)) "$dir"
    "$@"
  done
  eventually lines_at_least 200 "$dir"
  touch "$dir/enough"
  # shellcheck disable=SC2086  # a list
  wait $load
  assert_equal "$(sort -u "$dir"/[1-4])" '200 0'
}
lines_at_least() { (($(cat "$2"/[1-4] 2>/dev/null | wc -l) >= $1)); }

# block FILE MARKER [N] - the first (Nth) indented block of FILE below the line that begins with MARKER, as one would paste it
block() {
  awk -v marker="$2" -v wanted="${3:-1}" '
    index($0, marker) == 1 { below = 1 }
    /^    / && below { if (!inside) n++; inside = 1; if (n == wanted) print substr($0, 5); next }
    { inside = 0 }
  ' "$1" | grep . || fail 'no block' "is in $1 below" "$2"
}

# with PLACE VALUE... - standard input with each PLACE, which has to be there, replaced by VALUE
with() {
  local text
  text=$(cat)
  while (($# > 0)); do
    assert_contains "$text" "$1" || return
    text=${text//"$1"/"$2"}
    shift 2
  done
  printf '%s\n' "$text"
}
