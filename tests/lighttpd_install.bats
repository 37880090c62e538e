#!/usr/bin/env bats
# lighttpd_install.bats - lighty-enable-mod enables the files that `make install` adds to Debian's lighttpd, and they guard
# what other files of conf-enabled serve.  The tests use a copy of Debian's configuration.

load helper

setup_file() {
  start_redis
  root=$BATS_FILE_TMPDIR/root
  debian_lighttpd "$root"
  cp -r /etc/lighttpd/conf-available "$root/etc/lighttpd/"
  rm -f "$root"/etc/lighttpd/conf-available/*ratelimit*
  make_install PREFIX="$root/usr" SYSCONFDIR="$root/etc"
  sed -i "s|\"/run/|\"$root/run/|" "$root/etc/lighttpd/conf-available/06-ratelimit.conf"
  export root
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  default_limits >"$root/etc/ratelimit/limits.yaml"
}

teardown() {
  stop_limiters
  rm -f "$root"/etc/lighttpd/conf-enabled/*
}

make_install() {
  env -u MAKEFLAGS -u MFLAGS make --silent install BUILD="${BUILD:-build}" "$@"
}

# lighty_enable_mod NAME... - Debian's, on our folder
lighty_enable_mod() { sed "s|/etc/lighttpd/|$root&|" "$(command -v lighty-enable-mod)" | perl - "$@"; }

lighttpd_takes_it() { lighttpd -tt -f "$root/etc/lighttpd/lighttpd.conf"; }

start_installed() {
  lighttpd_takes_it
  REDIS_ADDR=unix:$REDIS_SOCK lighttpd -D -f "$root/etc/lighttpd/lighttpd.conf" \
    2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
  LIGHTTPD_PIDS=$!
  eventually accepts_tcp "$PORT"
}

@test "make install puts files below PREFIX and SYSCONFDIR, with these paths in them" {
  make_install DESTDIR="$BATS_TEST_TMPDIR" PREFIX=/usr
  local etc=$BATS_TEST_TMPDIR/etc/lighttpd/conf-available path
  while read -r path; do
    [[ $path == /run/* ]] || assert_equal "$(ls "$BATS_TEST_TMPDIR$path")" "$BATS_TEST_TMPDIR$path"
  done < <(sed -n 's/^[^#]*"\(\/[^"]*\)".*/\1/p' "$etc"/*ratelimit*.conf)
  assert_equal "$(grep -c /usr/bin/ratelimit.fcgi "$etc/06-ratelimit.conf")" 1
  assert_equal "$(grep -l /usr/local -r "$BATS_TEST_TMPDIR/etc")" ''
}

@test "make install installs the recipes of the other web servers unchanged" {
  local recipe
  make_install DESTDIR="$BATS_TEST_TMPDIR" PREFIX=/usr
  for recipe in conf/{nginx,apache}/*.conf conf/{traefik,envoy}/*.yaml conf/caddy/Caddyfile; do
    cmp "$recipe" "$BATS_TEST_TMPDIR/usr/share/ratelimit/${recipe#conf/}"
  done
}

@test "a second make install keeps what the operator has changed in /etc" {
  local file
  make_install DESTDIR="$BATS_TEST_TMPDIR" PREFIX=/usr
  for file in ratelimit/limits.yaml lighttpd/conf-available/06-ratelimit.conf; do
    echo '# mine' >>"$BATS_TEST_TMPDIR/etc/$file"
  done
  make_install DESTDIR="$BATS_TEST_TMPDIR" PREFIX=/usr
  for file in ratelimit/limits.yaml lighttpd/conf-available/06-ratelimit.conf; do
    assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/etc/$file")" '# mine'
  done
}

@test "lighty-enable-mod ratelimit is enough to limit the site" {
  assert_contains "$(lighty_enable_mod ratelimit)" 'Enabling ratelimit: ok'
  start_installed
  for _ in 1 2 3 4 5; do
    request /
    assert_equal "$(header Status)" '200 OK'
    assert_equal "$body" 'a static page'
  done
  request /
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_fields 'RateLimit-Policy per-user q=5 w=60' "RateLimit per-user r=0 t=$(header Retry-After)"
}

@test "HTTP/2, whose bodies would hang with lighttpd of Debian 12, is off" {
  local status=0
  lighty_enable_mod ratelimit
  start_installed
  curl -s --http2-prior-knowledge --max-time 60 --data x "$URL/" >/dev/null || status=$?
  [[ $status != 0 && $status != 28 ]] || fail "$status" 'is no refusal, but success or' 28
  assert_equal "$(status / --http2 --data x --max-time 60)" 200
}

@test "lighty-enable-mod ratelimit-headers adds the headers, and what they need" {
  local said
  said=$(lighty_enable_mod ratelimit-headers)
  assert_contains "$said" 'Enabling ratelimit: ok'
  assert_contains "$said" 'Enabling magnet: ok'
  start_installed
  request /
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
}

# conf_enabled NAME - standard input as a file of conf-enabled
conf_enabled() { cat >"$root/etc/lighttpd/conf-enabled/$1"; }

# assert_limited PATH CODE [CURL-OPTION...] - CODE five times, then 429
assert_limited() {
  local path=$1 code=$2 _
  shift 2
  for _ in 1 2 3 4 5; do assert_matches "$(status "$path" "$@")" "^$code$"; done
  assert_equal "$(status "$path" "$@")" 429
}

@test "proxied requests are limited, because mod_proxy is loaded later" {
  lighty_enable_mod ratelimit proxy extforward
  conf_enabled 20-app.conf <<'CONF'
proxy.server = ( "/proxy" => (( "host" => "127.0.0.1", "port" => 1 )) )
CONF
  start_installed
  assert_limited /proxy '50[03]'
}

@test "a FastCGI program at / is limited by the user that mod_auth has authenticated" {
  lighty_enable_mod fastcgi auth ratelimit
  conf_enabled 20-app.conf <<CONF
fastcgi.server += ( "/" => (( "bin-path" => "$(realpath "${BUILD:-build}/echo")",
  "socket" => "$root/run/lighttpd/app", "max-procs" => 1, "check-local" => "disable" )) )
server.modules += ( "mod_authn_file" )
auth.backend = "plain"
auth.backend.plain.userfile = "$root/users"
auth.require = ( "/private" => ( "method" => "basic", "realm" => "x", "require" => "valid-user" ) )
CONF
  echo user:secret >"$root/users"
  sed -i 's/key: .*/key: env:REMOTE_USER | ip/' "$root/etc/ratelimit/limits.yaml"
  assert_equal "$(lighttpd_takes_it 2>&1)" '' # no warnings
  start_installed
  for _ in {1..6}; do assert_equal "$(status /private)" 401; done
  assert_limited /private 200 -u user:secret
  assert_equal "$(redis_cli KEYS 'rl:*REMOTE_USER*')" 'rl:{env:REMOTE_USER=user}:per-user'
}

@test "the limiter logs to lighttpd's standard error, which is the journal under systemd" {
  lighty_enable_mod ratelimit
  start_installed
  stop "$REDIS_PID"
  status / >/dev/null
  eventually grep -q 'redis .* is lost' "$BATS_TEST_TMPDIR/stderr"
  start_redis
}
