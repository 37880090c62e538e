#!/usr/bin/env bats
# access_logs.bats - the formats of conf/ for access logs: each web server writes what the limiter said, as text and as
# JSON, which stays JSON whatever a client sends.

bats_require_minimum_version 1.5.0
load helper
load guarded

setup_file() {
  start_redis
  start_backends
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  DIR=$BATS_TEST_TMPDIR
  LOG=$DIR/access.log
  export LIMITS_FILE=$DIR/limits.yaml
  cat >"$LIMITS_FILE" <<'YAML'
redis: { timeout: 5s }
trusted_proxies: [127.0.0.1]
limits:
  - { name: two, key: "query:user | ip", capacity: 2, refill: 1/day }
  - { name: new, key: "query:user | ip", capacity: 1, refill: 1/day, shadow: true }
  - { name: newer, key: "query:user | ip", capacity: 1, refill: 1/day, shadow: true }
YAML
}

teardown() {
  stop "$SERVER_PID"
  stop "$LISTENER_PID"
  stop_limiters
}

# What would break a line of JSON or forge a member: a quote, a backslash, a control character, what looks like an escape,
# and a byte that is not UTF-8.
NASTY_AGENT=$'a"b\\c\\x41\tb\xff","limit":"forged'
NASTY_QUERY='q="b\c\x41","limit":"forged'

# ask_thrice - requests by one client: allowed, allowed with two shadows that refuse, and refused, each with what breaks JSON
ask_thrice() {
  local _
  for _ in 1 2 3; do request "/index.html?user=alice&$NASTY_QUERY" -A "$NASTY_AGENT"; done
  assert_equal "$(header Status | cut -c 1-3)" 429
}

# logged COUNT - so many lines are in LOG.  lighttpd writes its log when it ends.
logged() {
  [[ $SERVER != lighttpd ]] || stop "$SERVER_PID"
  eventually has_lines "$1"
}
has_lines() { [[ -e $LOG ]] && (($(wc -l <"$LOG") >= $1)); }

# assert_json EXPRESSION LINE... - LOG has three objects of JSON, whose EXPRESSION of the object o gives the LINES; each has
# the client's user agent
assert_json() {
  logged 3
  local actual
  actual=$(node - "$LOG" "$1" <<'JS'
const lines = require('fs').readFileSync(process.argv[2], 'latin1').trim().split('\n');
const read = new Function('o', 'return ' + process.argv[3]);
for (const line of lines) {
  const o = JSON.parse(line);
  const agent = o.user_agent ?? o.request.headers['User-Agent'][0];
  const wanted = 'a"b\\c\\x41\tb';
  if (!agent.startsWith(wanted) || !agent.endsWith('","limit":"forged')) throw new Error('the user agent is ' + agent);
  console.log(read(o));
}
JS
  )
  assert_equal "$actual" "$(printf '%s\n' "${@:2}")"
}

# started COMMAND... - the web server, until it listens at PORT; SERVER_PID
started() {
  "$@" 2>"$DIR/stderr" 3>&- &
  SERVER_PID=$!
  eventually accepts_tcp "$PORT" || {
    cat "$DIR/stderr" >&2
    return 1
  }
}

# start_limiter_at ADDRESS - the program by itself; PROGRAM_PID
start_limiter_at() {
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "$1" --limits "$LIMITS_FILE" 2>"$DIR/program.log" 3>&- &
  PROGRAM_PID=$!
  eventually grep -q "$START_LINE" "$DIR/program.log"
}

# ---- lighttpd ----

# start_lighttpd_guard LINE... - a site that is guarded by an authorizer, with LINES at the end of the configuration
start_lighttpd_guard() {
  SERVER=lighttpd PORT=$(free_port) URL=http://127.0.0.1:$PORT
  cat >"$DIR/lighttpd.conf" <<CONF
server.bind = "127.0.0.1"
server.port = $PORT
server.document-root = "$PWD/conf/demo/site"
var.ratelimit_program = "$PROGRAM"
var.ratelimit_limits = "$LIMITS_FILE"
var.ratelimit_workers = 1
var.ratelimit_socket = "$DIR/sock"
include "$PWD/conf/lighttpd/authorizer.conf"
$(printf '%s\n' "$@")
CONF
  REDIS_ADDR=unix:$REDIS_SOCK started lighttpd -D -f "$DIR/lighttpd.conf"
}

# start_lighttpd_alone LINE... - a lighttpd in front of the limiter alone
start_lighttpd_alone() {
  SERVER=lighttpd
  printf '%s\n' "include \"$PWD/conf/lighttpd.conf\"" "$@" >"$DIR/lighttpd.conf"
  start_limiter "$DIR/lighttpd.conf"
  SERVER_PID=$LIGHTTPD_PID
}

lighttpd_log() { printf '%s\n' "include \"$PWD/conf/lighttpd/$1\"" "accesslog.filename = \"$LOG\""; }

@test "lighttpd as guard: text" {
  start_lighttpd_guard "$(lighttpd_log log.conf)"
  ask_thrice
  logged 3
  assert_equal "$(LC_ALL=C sed 's/.* limit=/limit=/; s/;t=[0-9]*//g' "$LOG")" 'limit=two remaining=1 shadow="-" "-" "-"
limit=two remaining=0 shadow="new, newer" "-" "-"
limit=- remaining=- shadow="-" "\"two\";r=0" "\"new\", \"newer\""'
}

@test "lighttpd as guard: JSON" {
  start_lighttpd_guard "$(lighttpd_log log-json.conf)"
  ask_thrice
  assert_json '[o.status, o.limit, o.remaining, o.shadow, o.ratelimit.replace(/;t=.*/, "")].join("|")' \
    '200|two|1|-|-' '200|two|0|new, newer|-' '429|-|-|-|"two";r=0'
}

@test "lighttpd alone: text" {
  start_lighttpd_alone "$(lighttpd_log log.conf)"
  ask_thrice
  logged 3
  assert_equal "$(LC_ALL=C sed 's/.* shadow=/shadow=/; s/;t=[0-9]*//g' "$LOG")" 'shadow="-" "\"two\";r=1" "-"
shadow="-" "\"two\";r=0" "\"new\", \"newer\""
shadow="-" "\"two\";r=0" "\"new\", \"newer\""'
}

@test "lighttpd alone: JSON" {
  start_lighttpd_alone "$(lighttpd_log log-json.conf)"
  ask_thrice
  assert_json '[o.status, o.ratelimit.replace(/;t=.*/, ""), o.ratelimit_shadow].join("|")' \
    '200|"two";r=1|-' '200|"two";r=0|"new", "newer"' '429|"two";r=0|"new", "newer"'
}

# ---- nginx ----

# start_nginx FORMAT [DESTINATION] - conf/nginx with the access log in FORMAT
start_nginx() {
  export LISTEN CHECK SITE=$PWD/conf/demo/site LIMITER=$DIR/limiter.sock
  PORT=$(free_port) URL=http://127.0.0.1:$PORT LISTEN=127.0.0.1:$PORT CHECK=127.0.0.1:$(free_port)
  start_limiter_at "unix:$LIMITER"
  mkdir -p "$DIR/nginx"
  adapt_nginx "$DIR/nginx"
  sed -i "s|^ *include ratelimit.conf;|&\n  include ratelimit-log.conf;|
    s|^ *include ratelimit-server.conf;|&\n    access_log ${2:-$LOG} $1;|" \
    "$DIR/nginx/nginx.conf"
  run_nginx "$DIR/nginx" "$PORT"
  SERVER_PID=$NGINX_PID
}

@test "nginx: text" {
  start_nginx ratelimit
  ask_thrice
  logged 3
  assert_equal "$(LC_ALL=C sed 's/.* limiter=/limiter=/' "$LOG")" 'limiter=200 limit=two remaining=1 shadow=
limiter=200 limit=two remaining=0 shadow=\"new\", \"newer\"
limiter=429 limit=two remaining=0 shadow=\"new\", \"newer\"'
}

@test "nginx: JSON, and the client does not get the fields that are for the log" {
  start_nginx ratelimit_json
  ask_thrice
  assert_json '[o.status, o.limiter, o.limit, o.remaining, o.shadow].join("|")' \
    '200|200|two|1|' '200|200|two|0|"new", "newer"' '429|429|two|0|"new", "newer"'
  request '/index.html?user=bob'
  request '/index.html?user=bob'
  assert_fields 'RateLimit-Policy two q=2 w=172800' 'RateLimit two r=0 t=86400'
  assert_equal "$(header RateLimit-Name)$(header RateLimit-Remaining)" ''
}

@test "nginx: JSON is whole while the limiter is away" {
  start_nginx ratelimit_json
  stop "$PROGRAM_PID"
  for _ in 1 2 3; do request "/index.html?$NASTY_QUERY" -A "$NASTY_AGENT"; done
  assert_json '[o.status, o.limiter, o.limit, o.remaining, o.shadow].join("|")' '200|502|||' '200|502|||' '200|502|||'
}

@test "nginx: JSON to syslog" {
  listen_to_syslog
  start_nginx ratelimit_json "syslog:server=unix:$DIR/syslog,tag=nginx"
  ask_thrice
  eventually has_lines 3
  LC_ALL=C sed -i 's/^<[0-9]*>.*nginx: //' "$LOG"
  assert_json '[o.status, o.limiter, o.limit].join("|")' '200|200|two' '200|200|two' '429|429|two'
}

# ---- Apache ----

# start_apache_with LINE... - conf/apache/apache2.conf with LINES and conf/apache/log.conf
start_apache_with() {
  local dir=$DIR/apache
  PORT=$(free_port) URL=http://127.0.0.1:$PORT LIMITER=127.0.0.1:$(free_port)
  mkdir -p "$dir"
  start_limiter_at "$LIMITER"
  {
    cat conf/apache/apache2.conf
    printf '%s\n' "Include $PWD/conf/apache/log.conf" "$@"
  } >"$dir/apache2.conf"
  BIND=127.0.0.1 PORT=$PORT RUN_DIR=$dir LIMITER=$LIMITER PROXIES=127.0.0.2 SITE=$PWD/conf/demo/site BACKEND=$BACKEND \
    FCGI_BACKEND=$FCGI_BACKEND started apache2 -f "$dir/apache2.conf" -DFOREGROUND
}

@test "Apache: text" {
  start_apache_with "CustomLog $LOG ratelimit"
  ask_thrice
  logged 3
  assert_equal "$(LC_ALL=C sed 's/.* limit=/limit=/; s/;t=[0-9]*//g' "$LOG")" 'limit=two remaining=1 shadow="-" "\"two\";r=1" "-"
limit=two remaining=0 shadow="new, newer" "\"two\";r=0" "-"
limit=- remaining=- shadow="-" "\"two\";r=0" "\"new\", \"newer\""'
}

@test "Apache: JSON" {
  start_apache_with "CustomLog \"|\$/usr/bin/sed -u -f $PWD/conf/apache/log-json.sed >>$LOG\" ratelimit_json"
  ask_thrice
  assert_json '[o.status, o.limit, o.remaining, o.shadow, o.ratelimit.replace(/;t=.*/, "")].join("|")' \
    '200|two|1|-|"two";r=1' '200|two|0|new, newer|"two";r=0' '429|-|-|-|"two";r=0'
}

# ---- Caddy ----

# block MARKER [N] - the first (Nth) indented block of conf/caddy/README.md below the line MARKER
block() {
  awk -v marker="$1" -v wanted="${2:-1}" '
    $0 == marker { below = 1 }
    /^    / && below { if (!inside) n++; inside = 1; if (n == wanted) print substr($0, 5); next }
    { inside = 0 }
  ' conf/caddy/README.md | grep .
}

# As in conf/caddy/README.md: the recipe with the lines of its section on access logs.
@test "Caddy: JSON" {
  local socket=$DIR/limiter.sock site log shadow
  printf '%s\n' 'forward_auth: x-forwarded' >>"$LIMITS_FILE"
  start_limiter_at "unix:$socket"
  PORT=$(free_port) URL=http://127.0.0.1:$PORT
  site=$(block '## Caddy' 2) log=$(block '### Access log') shadow=$(block '### Access log' 2)
  site=${site/api.example.com \{/http://:$PORT \{$'\n'${log/\/var\/log\/caddy\/access.json/$LOG}}
  site=${site//unix\/\/run\/ratelimit\/sock/unix/$socket}
  site=${site//127.0.0.1:3000/$BACKEND}
  site=$(while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line != *handle_response* ]] || printf '%s\n' "$shadow"
  done <<<"$site")
  printf '%s\n' '{' "  admin unix/$DIR/admin.sock" '  default_bind 127.0.0.1' '}' "$site" >"$DIR/Caddyfile"
  HOME=$DIR XDG_DATA_HOME=$DIR XDG_CONFIG_HOME=$DIR started caddy run --config "$DIR/Caddyfile" --adapter caddyfile
  ask_thrice
  assert_json '[o.status, ...["Ratelimit", "Ratelimit-Shadow"].map(f => o.resp_headers[f]?.[0].replace(/;t=.*/, ""))].join("|")' \
    '200|"two";r=1|' '200|"two";r=0|"new", "newer"' '429|"two";r=0|"new", "newer"'
}

# ---- syslog ----

# listen_to_syslog - a socket in the place of /dev/log, whose messages are in LOG, a line each; LISTENER_PID
listen_to_syslog() {
  perl -MIO::Socket::UNIX -e '
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!;
    open my $log, ">>", $ARGV[1] or die $!;
    while (defined $socket->recv(my $message, 65536)) { $message =~ s/\n//g; syswrite $log, "$message\n" }
  ' "$DIR/syslog" "$LOG" 3>&- &
  LISTENER_PID=$!
  eventually test -S "$DIR/syslog"
}

@test "lighttpd and the program to syslog, by way of logger" {
  listen_to_syslog
  start_lighttpd_guard "include \"$PWD/conf/lighttpd/log-json.conf\"" \
    "accesslog.filename = \"|/usr/bin/logger -u $DIR/syslog -t lighttpd -p local6.info\"" \
    "server.breakagelog = \"|/usr/bin/logger -u $DIR/syslog -t ratelimit.fcgi -p daemon.notice\""
  eventually grep -q '^<29>.* ratelimit.fcgi: .* (3 limits, sha256 ' "$LOG"
  status '/index.html?user=alice' >/dev/null
  stop "$SERVER_PID"
  eventually grep -q '^<182>.* lighttpd: {"time":.*"limit":"two"' "$LOG"
}

@test "Apache to syslog, by way of logger" {
  listen_to_syslog
  start_apache_with "CustomLog \"||/usr/bin/logger -u $DIR/syslog -t apache2 -p local6.info\" ratelimit"
  status '/index.html?user=alice' >/dev/null
  eventually grep -q '^<182>.* apache2: .* limit=two remaining=1 ' "$LOG"
}

# As in conf/operating.md: bash in the place of the shell of the recipe for spawn-fcgi.
@test "the program behind spawn-fcgi to syslog, by way of logger" {
  listen_to_syslog
  REDIS_ADDR=unix:$REDIS_SOCK spawn-fcgi -s "$DIR/limiter.sock" -P "$DIR/pid" -- /bin/bash -c \
    "exec conf/workers.sh 2 '$PROGRAM' 2> >(exec logger -u '$DIR/syslog' -t ratelimit.fcgi -p daemon.notice)" >/dev/null 3>&-
  SERVER_PID=$(<"$DIR/pid")
  twice() { (($(grep -c '^<29>.* ratelimit.fcgi: .* (3 limits, sha256 ' "$LOG") == 2)); }
  eventually twice
}
