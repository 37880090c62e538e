#!/usr/bin/env bats
# apache.bats - conf/apache/apache2.conf guards a site, a proxied backend and a FastCGI one, as its comments say.

load helper
load guarded

setup_file() {
  start_redis
  start_backends
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  unset LIMITER REDIS_ADDR
}

teardown() {
  stop "$APACHE_PID"
  stop "$PROGRAM_PID"
}

# start_guarded [LINE...] - Apache and the limiter, with LINES in its limits file
start_guarded() {
  write_limits "$@"
  start_listener
  start_apache
}

@test "an allowed request reaches the static, the proxied and the FastCGI backend as it was sent" {
  start_guarded
  assert_reaches_all_backends
  request '/fcgi/?user=variables'
  assert_contains "$body" $'\nRATELIMIT_NAME=three\nRATELIMIT_REMAINING=2\n'
  assert_equal "$(grep REMOTE_USER <<<"$body")" ''
}

@test "a refusal is 429 with Retry-After, RateLimit fields and the problem, and no backend is asked" {
  start_guarded
  assert_refuses_before_the_backends
}

@test "a limit is matched by the method and the path of the request itself" {
  start_guarded
  assert_matches_the_request_itself
}

@test "the limiter's fields replace RateLimit fields of the application" {
  start_guarded
  assert_replaces_own_limits /proxy/?user=own
  assert_replaces_own_limits /fcgi/?user=own
}

@test "range and conditional requests are answered by the file server" {
  write_limits
  sed -i 's/capacity: 3/capacity: 100/' "$LIMITS_FILE"
  start_listener
  start_apache
  assert_answers_ranges_and_conditions '/index.html?user=ranges'
}

@test "a request target without a leading slash, which Apache serves, is matched by limits on every path" {
  local line answers=''
  printf 'redis: { timeout: 5s }\nlimits: [{ name: two, match: { path: /fcgi/login }, key: ip, capacity: 2, refill: 1/day }]\n' \
    >"$BATS_TEST_TMPDIR/limits.yaml"
  LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  start_listener
  start_apache
  for _ in 1 2 3 4; do
    exec 9<>"/dev/tcp/127.0.0.1/${URL##*:}"
    printf 'GET http:/fcgi/login HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n' >&9
    IFS= read -r -t 60 line <&9
    exec 9>&-
    answers+="${line:9:3} "
  done
  # If Apache itself refuses it with 400, it is no way out either.
  assert_matches "$answers" '^(200 200 429 429 |400 400 400 400 )$'
}

@test "200 parallel requests admit exactly the capacity" {
  start_guarded
  assert_admits_exactly_the_capacity
}

@test "every request takes one token: a folder's index, extra path, an error page, a rewriting .htaccess" {
  local site=$BATS_TEST_TMPDIR/site path
  mkdir "$site"
  echo page >"$site/index.html"
  printf '%s\n' 'RewriteEngine On' 'RewriteRule ^app index.html [L]' >"$site/.htaccess"
  # shellcheck disable=SC2016  # Apache's variable
  printf '%s\n' "Include $PWD/conf/apache/apache2.conf" 'LoadModule rewrite_module ${MODULES}/mod_rewrite.so' \
    "DocumentRoot $site" "<Directory $site>" 'AllowOverride All' 'Options +FollowSymLinks' 'Require all granted' \
    '</Directory>' 'ErrorDocument 404 /index.html' >"$BATS_TEST_TMPDIR/apache2.conf"
  write_limits
  start_listener
  start_apache "$BATS_TEST_TMPDIR/apache2.conf"
  for path in / /index.html /index.html/x/y /app/1 /nope /fcgi/x/y /proxy/x; do
    request "$path?user=$path"
    assert_equal "$path $(header RateLimit)" "$path \"three\";r=2;t=172800"
  done
}

@test "a Require in a section does not bypass the limiter, and what a section denies stays denied" {
  local path
  # mod_access_compat, which Debian has enabled, is older than Require.
  printf '%s\n' 'LoadModule access_compat_module /usr/lib/apache2/modules/mod_access_compat.so' \
    "Include $PWD/conf/apache/apache2.conf" '<Location "/open">' 'Require all granted' '</Location>' \
    '<Location "/any">' 'Satisfy Any' 'Order allow,deny' 'Allow from all' '</Location>' \
    >"$BATS_TEST_TMPDIR/apache2.conf"
  write_limits
  start_listener
  start_apache "$BATS_TEST_TMPDIR/apache2.conf"
  for path in open any; do
    request "/$path?user=$path"
    assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
  done
  assert_equal "$(status /.htaccess)" 403
  request /.htpasswd
  assert_contains "$(header Content-Type)" text/html
}

@test "an area with a password that the condition leaves out keeps its password and is then limited with 403" {
  local conf=$BATS_TEST_TMPDIR/conf passwords=$BATS_TEST_TMPDIR/passwords
  # The condition from the recipe's comment, and the example at its end, uncommented.
  awk -v passwords="$passwords" '
    /^#   <If/ { sub(/^# */, ""); condition = $0; next }
    /^<If/ { print condition; getline; next } # its condition has two lines
    /^LoadModule dir_module/ {
      print "LoadModule auth_basic_module ${MODULES}/mod_auth_basic.so"
      print "LoadModule authn_file_module ${MODULES}/mod_authn_file.so"
      print "LoadModule authz_user_module ${MODULES}/mod_authz_user.so"
    }
    /^#   AuthnzFcgiDefineProvider authz / { example = 1 }
    example { sub(/^#   /, ""); sub(/ *# left out.*/, "") }
    /AuthType Basic \.\.\./ { print "AuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile " passwords; next }
    { print }' conf/apache/apache2.conf >"$conf"
  htpasswd -cbB "$passwords" joe right 2>&1
  write_limits
  start_listener
  start_apache "$conf"
  assert_equal "$(status '/private/?user=p')" 401
  assert_equal "$(status '/private/?user=p' -u joe:wrong)" 401
  for _ in 1 2 3; do assert_equal "$(status '/private/?user=p' -u joe:right)" 404; done
  request '/private/?user=p' -u joe:right
  assert_equal "$(header Status)" '403 Forbidden'
  assert_fields "$POLICY" "RateLimit three r=0 t=$(header Retry-After)"
  request '/?user=p'
  assert_equal "$(header Status)" '429 Too Many Requests'
}

@test "without Redis, on_redis_failure: allow passes all requests without fields, and deny answers 503" {
  REDIS_ADDR=unix:$BATS_TEST_TMPDIR/nowhere start_guarded
  request '/fcgi/?user=a'
  assert_equal "$(header Status)" '200 OK'
  assert_fields
  stop "$PROGRAM_PID"
  sed -i 's/on_redis_failure: allow/on_redis_failure: deny/' "$LIMITS_FILE"
  REDIS_ADDR=unix:$BATS_TEST_TMPDIR/nowhere start_listener
  local before
  before=$(asked)
  request '/fcgi/?user=a'
  assert_equal "$(header Status)" '503 Service Unavailable'
  assert_equal "$(header Content-Type)" application/problem+json
  assert_equal "$(header Retry-After)" 1
  assert_equal "$(asked)" "$before"
}

@test "without the limiter the answer is an immediate 500, no backend is asked, and limiting resumes with the limiter" {
  start_guarded
  stop "$PROGRAM_PID"
  local before path
  before=$(asked)
  for path in / /proxy/ /fcgi/; do
    request "$path" --max-time 30
    assert_equal "$path $(header Status)" "$path 500 Internal Server Error"
  done
  assert_equal "$(asked)" "$before"
  start_listener
  assert_equal "$(status '/fcgi/?user=back')" 200
}

@test "a client's X-Forwarded-For is ignored, and that of a trusted proxy names the client" {
  start_guarded 'trusted_proxies: [127.0.0.1]'
  local i
  for i in 1 2 3; do assert_equal "$(status / -H "X-Forwarded-For: 203.0.113.$i" -H 'X-Forwarded-Uri: /?user=x')" 200; done
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.4')" 429
  stop "$APACHE_PID"
  PROXIES='127.0.0.1 10.0.0.0/8' start_apache
  assert_equal "$(status / -H 'X-Forwarded-For: 203.0.113.1')" 200
  assert_equal "$(redis_keys | tail -1)" 'rl:{ip=203.0.113.1}:three'
  # What the client sends is to the left of what the proxies add.
  for i in 1 2; do assert_equal "$(status / -H "X-Forwarded-For: 198.51.100.$i, 203.0.113.1, 10.0.0.7")" 200; done
  assert_equal "$(status / -H 'X-Forwarded-For: 198.51.100.3, 203.0.113.1')" 429
}

@test "apachectl graceful under load loses no request" {
  start_guarded
  load_during kill -USR1 "$APACHE_PID"
}

@test "conf/apache/check.conf: the limiter as a responder answers /check of a trusted proxy, and keeps its connection" {
  local connections
  write_limits 'trusted_proxies: [127.0.0.1]'
  start_listener
  start_apache "$PWD/conf/apache/check.conf"
  request /check -H 'X-Forwarded-Uri: /x?user=checked' -H 'X-Forwarded-Method: POST' -H 'X-Forwarded-For: 203.0.113.1'
  assert_equal "$(header Status)" '200 OK'
  assert_fields "$POLICY" 'RateLimit three r=2 t=172800'
  connections=$(program_sockets)
  for _ in 1 2; do assert_equal "$(status /check -H 'X-Forwarded-Uri: /x?user=checked')" 200; done
  request /check -H 'X-Forwarded-Uri: /x?user=checked'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal "$(header Content-Type)" application/problem+json
  assert_fields "$POLICY" "RateLimit three r=0 t=$(header Retry-After)"
  # There may be more by now, because each process of Apache has its own.
  assert_equal "$(comm -23 <(echo "$connections") <(program_sockets))" ''
  assert_equal "$(status /)" 404
}
program_sockets() { find "/proc/$PROGRAM_PID/fd" -lname 'socket:*' -printf '%l\n' | sort; }
