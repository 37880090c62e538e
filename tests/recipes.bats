#!/usr/bin/env bats
# recipes.bats - the recipes of conf/*/README.md for lighttpd, nginx, Apache, Caddy and spawn-fcgi work as they are
# pasted.  They are cut out of these pages, and only addresses, ports and paths are replaced, in the functions adapted_*.
# Around them is what a web server has without them.

load helper
load guarded

setup_file() {
  start_redis
  start_backends
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  : >"$ECHO_LOG"
  unset LIMITER PROGRAM_PID LIGHTTPD_PIDS FOLDER
  # The limits that are built in and installed, with the time for Redis that a busy machine needs.
  export LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  sed 's/timeout: 50ms/timeout: 5s/' conf/limits.yaml >"$LIMITS_FILE"
}

teardown() {
  stop "$SERVER_PID"
  stop_limiters
  [[ -z $FOLDER ]] || rm -rf "$FOLDER"
}

# started COMMAND... - the web server, until it listens at URL; SERVER_PID
started() {
  "$@" 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
  SERVER_PID=$!
  wait_until 20 accepts_tcp "${URL##*:}" || {
    cat "$BATS_TEST_TMPDIR/stderr" >&2
    return 1
  }
}

# assert_allowed LEFT PATH BODY - PATH is answered by what is guarded, and the client has LEFT tokens of the default limit
assert_allowed() {
  request "$2"
  assert_equal "$2 $(header Status)" "$2 200 OK"
  assert_contains "$body" "$3"
  # With none left, t is the time until the next one, as Retry-After.
  local field
  field=$(header RateLimit)
  if (($1 > 0)); then assert_equal "${field##*=}" $(($1 * 12)); else assert_between "${field##*=}" 1 12; fi
  assert_fields 'RateLimit-Policy per-user q=5 w=60' "RateLimit per-user r=$1 t=${field##*=}"
}

# assert_refused PATH - by the limiter, whole
assert_refused() {
  request "$1"
  assert_equal "$1 $(header Status)" "$1 429 Too Many Requests"
  assert_between "$(header Retry-After)" 1 12
  assert_fields 'RateLimit-Policy per-user q=5 w=60' "RateLimit per-user r=0 t=$(header Retry-After)"
  assert_contains "$body" '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",'
  assert_contains "$body" '"violated-policies":["per-user"]}'
}

# assert_limits PATH BODY - five requests get BODY, at a token each, and the sixth is refused
assert_limits() {
  local left
  for left in 4 3 2 1 0; do assert_allowed "$left" "$1" "$2"; done
  assert_refused "$1"
}

# assert_limits_the_backend PATH - likewise, and the backend is asked five times
assert_limits_the_backend() {
  assert_limits "$1" "REQUEST_URI=$1"
  assert_equal "$(<"$ECHO_LOG")" "$(printf 'GET %s\n' "$1" "$1" "$1" "$1" "$1")"
}

# ---- lighttpd ----

# adapted_lighttpd FOLDER - the program and the script are those of this repository, the limits file is the test's, and
# sockets are in FOLDER
adapted_lighttpd() {
  block conf/lighttpd/README.md 'Elsewhere, or to have it in one piece' | with /usr/bin/ratelimit.fcgi "$PROGRAM" \
    /usr/share/ratelimit "$PWD/conf" /etc/ratelimit/limits.yaml "$LIMITS_FILE" /run/lighttpd "$1"
}

start_lighttpd() { REDIS_ADDR=unix:$REDIS_SOCK started lighttpd -D -f "$1"; }

@test "lighttpd: in a lighttpd.conf of one's own, before mod_proxy" {
  local conf=$BATS_TEST_TMPDIR/lighttpd.conf
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  {
    printf '%s\n' 'server.bind = "127.0.0.1"' "server.port = $PORT" "server.document-root = \"$PWD/conf/demo/site\"" \
      'index-file.names = ( "index.html" )'
    adapted_lighttpd "$BATS_TEST_TMPDIR"
    printf '%s\n' 'server.modules += ( "mod_proxy" )' \
      "proxy.server = ( \"/proxy\" => (( \"host\" => \"127.0.0.1\", \"port\" => ${BACKEND#*:} )) )"
  } >"$conf"
  start_lighttpd "$conf"
  assert_limits '/?user=file' 'This page is static.'
  assert_limits_the_backend '/proxy?user=backend'
}

@test "lighttpd: at the end of Debian's lighttpd.conf" {
  local root=$BATS_TEST_TMPDIR
  debian_lighttpd "$root"
  adapted_lighttpd "$root/run/lighttpd" >>"$root/etc/lighttpd/lighttpd.conf"
  start_lighttpd "$root/etc/lighttpd/lighttpd.conf"
  assert_limits / 'a static page'
}

# ---- nginx ----

# adapted_nginx FOLDER - the port, the application and the files are the test's; 127.0.0.2 is a proxy that a test can be
adapted_nginx() {
  block conf/nginx/README.md 'Without systemd start them' | with 'listen 80;' "listen 127.0.0.1:$PORT;" http://127.0.0.1:8081 "http://$BACKEND" \
    /srv/www "$1" 192.0.2.80 127.0.0.2
}

# start_nginx - a folder in the place of /etc/nginx and of Debian's /var/lib/nginx, /var/log and /run
start_nginx() {
  local dir=$BATS_TEST_TMPDIR/nginx
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  mkdir -p "$dir/assets"
  echo 'an asset' >"$dir/assets/x"
  LIMITER=$dir/limiter.sock conf/nginx/adapt.sh "$dir" # where the limiter is, in ratelimit.conf
  cat >"$dir/main.conf" <<CONF
daemon off;
user $(id -un) $(id -gn);
pid $dir/pid;
error_log stderr;
events { }
CONF
  # Where the http { } of the recipe begins: nginx has no other place for these paths.
  adapted_nginx "$dir" | with 'http {' "http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;" >>"$dir/main.conf"
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "unix:$dir/limiter.sock" --limits "$LIMITS_FILE" 3>&- &
  PROGRAM_PID=$!
  wait_until 10 test -S "$dir/limiter.sock"
  started nginx -e stderr -c "$dir/main.conf"
}

@test "nginx: all of the server is guarded, and the client is whom a proxy names" {
  start_nginx
  assert_limits_the_backend '/?user=backend'
  request '/x' --interface 127.0.0.2 -H 'X-Forwarded-For: 198.51.100.9, 203.0.113.1, 127.0.0.2'
  request '/x' -H 'X-Forwarded-For: 203.0.113.2'
  assert_equal "$(redis_keys)" \
    $'rl:{ip=127.0.0.1}:per-user\nrl:{ip=203.0.113.1}:per-user\nrl:{query:user=backend}:per-user'
}

@test "nginx: /assets/ is not limited, and only /login is closed while the limiter is away" {
  start_nginx
  assert_limits_the_backend '/login?user=backend'
  request '/assets/x?user=backend'
  assert_equal "$(header Status) $body" '200 OK an asset'
  assert_fields
  stop "$PROGRAM_PID"
  request '/?user=backend'
  assert_equal "$(header Status)" '200 OK'
  assert_fields
  assert_equal "$(status '/login?user=backend')" 503
}

# ---- Apache ----

# adapted_apache - the limiter's address is the test's
adapted_apache() { block conf/apache/README.md '## Set-up' 2 | with 127.0.0.1:9000 "$LIMITER"; }

# start_apache [LINE...] - a copy of Debian's /etc/apache2 with the modules that the recipe enables, and LINES in its
# virtual host; port, site and folders are the test's, and the site has a FastCGI program below /fcgi/
start_apache() {
  local dir=$BATS_TEST_TMPDIR/apache2 modules
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  cp -r /etc/apache2 "$dir"
  mkdir "$dir/run"
  rm -f "$dir"/sites-enabled/* "$dir"/conf-enabled/*ratelimit*
  sed -i "s|Listen 80$|Listen 127.0.0.1:$PORT|" "$dir/ports.conf"
  sed -e "s|<VirtualHost .*>|<VirtualHost 127.0.0.1:$PORT>|; s|/var/www/html|$PWD/conf/demo/site|" \
    -e "s|</VirtualHost>|ProxyPass \"/fcgi/\" \"fcgi://$FCGI_BACKEND/\"\nInclude $dir/lines.conf\n&|" \
    "$dir/sites-available/000-default.conf" >"$dir/sites-enabled/000-default.conf"
  printf '%s\n' "$@" >"$dir/lines.conf"
  sed -i "s|/var/www/|$PWD/conf/demo/site/|" "$dir/apache2.conf"
  modules=$(block conf/apache/README.md '## Set-up' 1 | sed -n 's/^\$ a2enmod //p')
  # shellcheck disable=SC2086  # words
  APACHE_CONFDIR=$dir APACHE_STATE_DIRECTORY=$dir/state a2enmod $modules
  start_listener
  adapted_apache >"$dir/conf-enabled/ratelimit.conf"
  # What Debian's envvars says, with folders of the test's.
  APACHE_RUN_USER=www-data APACHE_RUN_GROUP=www-data APACHE_PID_FILE=$dir/run/pid APACHE_RUN_DIR=$dir/run \
    APACHE_LOCK_DIR=$dir/run APACHE_LOG_DIR=$dir/run started apache2 -d "$dir" -f "$dir/apache2.conf" -DFOREGROUND
}

@test "Apache: files and a FastCGI program of Debian's site are guarded" {
  start_apache
  assert_limits '/index.html?user=file' 'This page is static.'
  assert_limits '/?user=index' 'This page is static.'
  assert_limits_the_backend '/fcgi/?user=backend'
}

# ---- Access logs ----

# The limits that are built in, and a shadow limit that would refuse the second request of a client.
with_a_shadow() {
  printf '%s\n' '  - { name: watched, key: "query:user | ip", capacity: 1, refill: 1/day, shadow: true }' >>"$LIMITS_FILE"
}

# assert_counts_shadows LOG - of three requests the second and the third would have been refused, and LOG has that
assert_counts_shadows() {
  local _
  for _ in 1 2 3; do request '/index.html?user=shadow'; done
  counted() { [[ $(wc -l <"$1") == 3 ]]; }
  stop "$SERVER_PID" # lighttpd writes its log when it ends
  wait_until 10 counted "$1"
  assert_equal "$(cut -d ' ' -f 1,2,6- "$1")" '127.0.0.1 200 per-user 4 shadow=-
127.0.0.1 200 per-user 3 shadow=watched
127.0.0.1 200 per-user 2 shadow=watched'
}

@test "lighttpd: the access log counts what a shadow limit would have refused" {
  local root=$BATS_TEST_TMPDIR
  with_a_shadow
  debian_lighttpd "$root"
  {
    adapted_lighttpd "$root/run/lighttpd"
    block conf/operating.md '### Counting shadow refusals' | with /var/log/lighttpd/access.log "$root/access.log"
  } >>"$root/etc/lighttpd/lighttpd.conf"
  start_lighttpd "$root/etc/lighttpd/lighttpd.conf"
  assert_counts_shadows "$root/access.log"
}

@test "Apache: the access log counts what a shadow limit would have refused" {
  with_a_shadow
  start_apache "$(block conf/operating.md 'Apache, in the virtual host' | with /var/log/apache2/ratelimit.log "$BATS_TEST_TMPDIR/access.log")"
  assert_counts_shadows "$BATS_TEST_TMPDIR/access.log"
}

# ---- Caddy ----

# start_caddy_with SITE - Caddy with this site, whose addresses are the test's already; with http:// Caddy asks for no
# certificate
start_caddy_with() {
  local dir=$BATS_TEST_TMPDIR/caddy
  mkdir -p "$dir"
  # Without these Caddy listens at port 2019, too, and for the site at every address of the machine.
  printf '%s\n' '{' "  admin unix/$dir/admin.sock" '  default_bind 127.0.0.1' '}' "$1" >"$dir/Caddyfile"
  HOME=$dir XDG_DATA_HOME=$dir XDG_CONFIG_HOME=$dir \
    started caddy run --config "$dir/Caddyfile" --adapter caddyfile
}

# trust_caddy MARKER - the lines for the limits file below MARKER, in the limits file
trust_caddy() {
  local trusted
  trusted=$(block conf/caddy/README.md "$1")
  assert_contains "$trusted" 'trusted_proxies:'
  printf '%s\n' "$trusted" "$(<"$LIMITS_FILE")" >"$LIMITS_FILE"
}

# start_caddy_on_fastcgi [LINE] - Caddy that asks the program over its socket, with LINE in its reverse_proxy
start_caddy_on_fastcgi() {
  local socket=$BATS_TEST_TMPDIR/limiter.sock
  trust_caddy '## Caddy'
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "unix:$socket" --limits "$LIMITS_FILE" 2>"$BATS_TEST_TMPDIR/program.log" 3>&- &
  PROGRAM_PID=$!
  wait_until 10 test -S "$socket"
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  start_caddy_with "$(block conf/caddy/README.md '## Caddy' 2 |
    with api.example.com "http://:$PORT" unix//run/ratelimit/sock "unix/$socket" 127.0.0.1:3000 "$BACKEND" \
      'method GET ' "$1"$'\nmethod GET ')"
}

# start_caddy_on_check MARKER - Caddy that asks /check of conf/lighttpd.conf, by the recipe below MARKER
start_caddy_on_check() {
  trust_caddy '## How /check works'
  start_limiter conf/lighttpd.conf
  LIMITER=127.0.0.1:$PORT
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  start_caddy_with "$(block conf/caddy/README.md "$1" |
    with api.example.com "$URL" 127.0.0.1:8080 "$LIMITER" 127.0.0.1:3000 "$BACKEND")"
}

@test "Caddy: the application is guarded, by the limiter that Caddy asks over FastCGI" {
  start_caddy_on_fastcgi
  assert_limits_the_backend '/?user=backend'
}

@test "Caddy over FastCGI: the limiter sees method, target, host, address and headers, and the application the body" {
  cat >>"$LIMITS_FILE" <<'YAML'
  - { name: posts, match: { methods: [POST] }, key: query:user, capacity: 1, refill: 1/day }
  - { name: all-of-it, match: { path: /all/* }, key: method + path + host + ip + header:X-API-Key, capacity: 9, refill: 1/day, show: true }
  - { name: session, match: { path: /session }, key: cookie:id, capacity: 9, refill: 1/day }
YAML
  start_caddy_on_fastcgi
  head -c 1000000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/body"
  request '/a%2Fb?user=poster' --data-binary "@$BATS_TEST_TMPDIR/body" -H 'Expect:'
  assert_equal "$(header Status) $(header X-Method) $(header X-Uri) $(header X-Length)" '200 OK POST /a%2Fb?user=poster 1000000'
  request '/?user=poster' --data-binary "@$BATS_TEST_TMPDIR/body" -H 'Expect:' -H 'Transfer-Encoding: chunked'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_contains "$body" '"violated-policies":["posts"]}'
  request '/?user=poster' --head
  assert_equal "$(header Status) $(header X-Method)" '200 OK HEAD'

  redis_cli FLUSHALL >/dev/null
  request '/all/x%20y' -X PUT -H 'Host: API.Example.com:80' -H 'X-API-Key: secret' -H 'X_API_Key: other' \
    -H 'X-Forwarded-For: 203.0.113.1' -H 'X_Forwarded_For: 203.0.113.2' -H 'X!Forwarded-For: 203.0.113.3' \
    -H 'X-Forwarded-Uri: /' -H 'X-Forwarded-Method: GET' -H 'X-Original-Uri: /'
  assert_equal "$(redis_keys)" 'rl:{ip=127.0.0.1}:per-user
rl:{method=PUT+path=/all/x%20y+host=api.example.com+ip=127.0.0.1+header:x-api-key=secret}:all-of-it'
  assert_equal "$(status '/session' -H 'Cookie: id=1' -H 'Cookie: id=2')" 400
  assert_equal "$(status '/check' -H 'X-Forwarded-Uri: /?user=mallory')" 200
  assert_equal "$(redis_keys | grep -c mallory)" 0
}

@test "Caddy over FastCGI: behind another proxy, which both trust, the client is the one that it names" {
  start_caddy_on_fastcgi 'trusted_proxies 127.0.0.1'
  assert_equal "$(status / -H 'X-Forwarded-For: 198.51.100.1, 203.0.113.1')" 200
  assert_equal "$(redis_keys)" 'rl:{ip=203.0.113.1}:per-user'
}

@test "Caddy over FastCGI: without the limiter 502 at once, and it limits again when the limiter is back; Redis away" {
  start_caddy_on_fastcgi
  stop "$PROGRAM_PID"
  assert_equal "$(status '/?user=away' --max-time 5)" 502
  assert_equal "$(<"$ECHO_LOG")" ''
  sed -i 's/on_redis_failure: local/on_redis_failure: deny/' "$LIMITS_FILE"
  REDIS_ADDR=unix:$BATS_TEST_TMPDIR/nowhere "$PROGRAM" --listen "unix:$BATS_TEST_TMPDIR/limiter.sock" --limits "$LIMITS_FILE" \
    2>>"$BATS_TEST_TMPDIR/program.log" 3>&- &
  PROGRAM_PID=$!
  wait_until 10 test -S "$BATS_TEST_TMPDIR/limiter.sock"
  denied() { [[ $(status '/?user=away') == 503 ]]; }
  wait_until 10 denied
  request '/?user=away'
  assert_equal "$(header Retry-After)" 1
  assert_equal "$(<"$ECHO_LOG")" ''
}

@test "Caddy: the application is guarded, by the limiter behind conf/lighttpd.conf that trusts Caddy" {
  start_caddy_on_check '## Caddy by way of /check'
  assert_limits_the_backend '/?user=backend'
}

@test "Caddy: the short form refuses, too" {
  local codes='' _
  start_caddy_on_check 'The short form refuses as well'
  for _ in 1 2 3 4 5 6; do codes+="$(status '/?user=short') "; done
  assert_equal "$codes" '200 200 200 200 200 429 '
}

# ---- spawn-fcgi ----

@test "without systemd: two processes, a log, a pid file; one that dies is started again, and all stop" {
  local dir recipe before pid me=www-data user=(' -u www-data -U www-data' '')
  # The user of the web server, where the test may become that one, can enter this folder.
  dir=$(mktemp -d "${TMPDIR:-/tmp}/recipes.XXXXXX")
  FOLDER=$dir
  chmod 711 "$dir"
  cp "$PROGRAM" conf/workers.sh "$LIMITS_FILE" "$dir"
  chmod 644 "$dir/limits.yaml"
  if [[ $(id -u) == 0 ]]; then user=(); else me=$(id -un); fi
  recipe=$(block conf/systemd/README.md '## Without systemd' | with /run/ratelimit "$dir/run" \
    /var/log/ratelimit.log "$dir/log" '-o www-data' "-o $me" 'chown www-data' "chown $me" "${user[@]}" \
    /etc/ratelimit "$dir" /usr/local/share/ratelimit "$dir" /usr/local/bin "$dir")
  REDIS_ADDR=127.0.0.1:$REDIS_PORT bash -euc "$recipe" 3>&-
  PROGRAM_PID=$(<"$dir/run/pid")
  processes() { pgrep -P "$PROGRAM_PID" | xargs; }
  two_processes() { [[ $(processes | wc -w) == 2 ]]; }
  wait_until 10 two_processes
  start_limiter conf/lighttpd-connect.conf SOCKET="$dir/run/sock"
  assert_equal "$(status '/?user=spawned')" 200
  assert_equal "$(redis_keys)" 'rl:{query:user=spawned}:per-user'
  # Both count in one file.
  count_together() { [[ $(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l) == 2 ]]; }
  wait_until 10 count_together

  before=$(processes)
  kill -KILL "${before%% *}"
  another() { two_processes && [[ $(processes) != "$before" ]]; }
  wait_until 10 another
  sed -i 's/capacity: 5 /capacity: 3 /' "$dir/limits.yaml"
  # The new process may have begun with the changed file.
  wait_until 20 grep -q 'reloaded: 1 limit (sha256 ' "$dir/log"

  # The command that conf/operating.md has for a new program.
  recipe=$(grep -o 'pkill -P "[^`]*' conf/operating.md | with /run/ratelimit "$dir/run")
  before=$(processes)
  renew() { eval "$recipe" && wait_until 20 two_processes; }
  load_during renew
  assert_equal "$(comm -12 <(xargs -n 1 <<<"$before" | sort) <(processes | xargs -n 1 | sort))" ''

  before=$(processes)
  kill "$(<"$dir/run/pid")"
  for pid in $PROGRAM_PID $before; do wait_until 10 gone "$pid"; done
}
