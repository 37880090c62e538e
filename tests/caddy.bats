#!/usr/bin/env bats
# caddy.bats - conf/caddy/Caddyfile guards a site, a proxied backend and a FastCGI one, and keeps what it promises.

bats_require_minimum_version 1.5.0
load helper
load guarded

setup_file() {
  start_redis
  start_backends
}

teardown_file() { stop_all; }

setup() { redis_cli FLUSHALL >/dev/null; }

teardown() {
  stop "$CADDY_PID"
  stop_limiters
}

# start_guarded [LINE...] - Caddy and the limiter, with LINES in its limits file
start_guarded() {
  write_limits 'trusted_proxies: [127.0.0.1]' "$@"
  start_limiter conf/lighttpd.conf
  export LIMITER=127.0.0.1:$PORT
  start_caddy
}

@test "an allowed request reaches the static, the proxied and the FastCGI backend as it was sent" {
  start_guarded
  assert_reaches_all_backends
  request /.nothing
  assert_equal "$(header Status)" '404 Not Found'
  assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
}

@test "a refusal is 429 with Retry-After, RateLimit fields and the problem, and no backend is asked" {
  start_guarded
  assert_refuses_before_the_backends
}

@test "a limit is matched by the method and the path of the request itself" {
  start_guarded
  assert_matches_the_request_itself
}

@test "X-RateLimit headers are on allowed answers where the limits file wants them" {
  start_guarded 'headers: [ietf, x-ratelimit]'
  request '/fcgi/?user=x'
  assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
  assert_equal "$(header X-RateLimit-Limit) $(header X-RateLimit-Remaining) $(header X-RateLimit-Reset)" '3 2 86400'
}

@test "limits that an application tells of itself give way to those of the limiter" {
  start_guarded
  assert_replaces_own_limits /proxy/?user=own
  assert_replaces_own_limits /fcgi/?user=own
}

@test "a part of a file, or a file that has not changed, is answered by the file server" {
  write_limits 'trusted_proxies: [127.0.0.1]'
  sed -i 's/capacity: 3/capacity: 100/' "$LIMITS_FILE"
  start_limiter conf/lighttpd.conf
  export LIMITER=127.0.0.1:$PORT
  start_caddy
  assert_answers_ranges_and_conditions '/index.html?user=ranges'
}

@test "a head of 30 KB, which Caddy and the application accept, is no reason for the limiter to refuse" {
  start_guarded
  assert_equal "$(status '/fcgi/?user=large' -H "Cookie: a=$(head -c 29000 /dev/zero | tr '\0' x)")" 200
}

@test "200 parallel requests admit exactly the capacity" {
  start_guarded
  assert_admits_exactly_the_capacity
}

@test "Redis away: on_redis_failure: allow lets all pass without fields, deny answers 503" {
  write_limits 'trusted_proxies: [127.0.0.1]'
  start_limiter conf/lighttpd.conf REDIS_ADDR="unix:$BATS_TEST_TMPDIR/nowhere"
  LIMITER=127.0.0.1:$PORT
  export LIMITER
  start_caddy
  request '/fcgi/?user=a'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$(grep -i ratelimit <<<"$head")" ''
  stop "$CADDY_PID"
  stop_limiters
  sed -i 's/on_redis_failure: allow/on_redis_failure: deny/' "$LIMITS_FILE"
  start_limiter conf/lighttpd.conf REDIS_ADDR="unix:$BATS_TEST_TMPDIR/nowhere"
  LIMITER=127.0.0.1:$PORT
  start_caddy
  local before
  before=$(asked)
  request '/fcgi/?user=a'
  assert_equal "$(header Status)" '503 Service Unavailable'
  assert_equal "$(header Content-Type)" application/problem+json
  assert_equal "$(header Retry-After)" 1
  assert_equal "$(asked)" "$before"
}

@test "the limiter away: 502 at once, no backend is asked, and it is used again when it is back" {
  start_guarded
  stop_limiters
  local before path
  before=$(asked)
  for path in / /proxy/ /fcgi/; do
    request "$path" --max-time 5
    assert_equal "$path $(header Status)" "$path 502 Bad Gateway"
  done
  assert_equal "$(asked)" "$before"
  BIND=127.0.0.1 PORT=${LIMITER#*:} WORKERS=1 SOCKET_DIR=$RUN_DIR REDIS_ADDR=unix:$REDIS_SOCK \
    lighttpd -D -f conf/lighttpd.conf 2>/dev/null 3>&- &
  LIGHTTPD_PIDS=$!
  wait_until 10 accepts_tcp "${LIMITER#*:}"
  assert_equal "$(status '/fcgi/?user=back')" 200
}

@test "spoofed X-Forwarded headers change nothing, and a proxy's X-Forwarded-For says who the client is" {
  start_guarded
  local i
  for i in 1 2 3; do
    assert_equal "$(status / -H "X-Forwarded-For: 203.0.113.$i" -H "X-Forwarded-Uri: /?user=$i" -H "X-Original-Uri: /$i" \
      -H 'X-Forwarded-Method: POST' -H 'X-Forwarded-Host: x')" 200
  done
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.4')" 429
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1}:three'
  # In another spelling they reach the limiter, which refuses them; newer Caddys drop a name with an underscore.
  assert_equal "$(status / -H 'X!Forwarded-For: 203.0.113.5')" 400
  assert_matches "$(status / -H 'X_Forwarded_Uri: /?user=5')" '^(400|429)$'
  stop "$CADDY_PID"
  PROXIES=127.0.0.1 start_caddy
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.1')" 200
  assert_equal "$(redis_keys | tail -1)" 'rl:{ip=203.0.113.1}:three'
}

reload() {
  caddy reload --force --config conf/caddy/Caddyfile --adapter caddyfile --address "unix/$RUN_DIR/admin.sock" \
    2>"$RUN_DIR/reload"
}

# A reload opens the port anew (SO_REUSEPORT), and what waits in the old socket's queue Linux resets, or hands over where
# it is told to.  It is told so in a network of this test's own, in which the test runs once more.
@test "caddy reload under load loses no request, where net.ipv4.tcp_migrate_req is 1" {
  if [[ $(</proc/sys/net/ipv4/tcp_migrate_req) == 0 ]]; then
    unshare --net true 2>/dev/null || skip 'no root, or no namespaces: a reload of Caddy under load is NOT tested'
    # shellcheck disable=SC2016  # expanded in there
    run -0 env -i PATH="${PATH#"$BATS_LIBEXEC:"}" PROGRAM="$PROGRAM" BUILD="${BUILD-}" unshare --net bash -euc 'ip link set lo up
      echo 1 >/proc/sys/net/ipv4/tcp_migrate_req
      bats --filter "$1" "$2"' - "$BATS_TEST_DESCRIPTION" "$BATS_TEST_FILENAME"
    assert_contains "$output" "ok 1 $BATS_TEST_DESCRIPTION"
    return
  fi
  start_guarded
  load_during reload
}

@test "behind two proxies, the limits file names both, and the client is the one before them" {
  write_limits 'trusted_proxies: [127.0.0.1, 10.0.0.0/8]'
  start_limiter conf/lighttpd.conf
  export LIMITER=127.0.0.1:$PORT
  PROXIES='127.0.0.1 10.0.0.0/8' start_caddy
  local i
  for i in 1 2 3; do assert_equal "$(status / -H "X-Forwarded-For: 198.51.100.$i, 203.0.113.1, 10.0.0.7")" 200; done
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.1')" 429
}
