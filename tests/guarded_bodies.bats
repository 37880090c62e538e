#!/usr/bin/env bats
# guarded_bodies.bats - the same as bodies.bats for servers that guard a site: whatever body a client sends, whole or not,
# its request is answered, and the next one on the site as well.  The configurations are those of conf/.

load helper
load guarded
load bodies

setup_file() {
  start_bodies 'trusted_proxies: [127.0.0.1]' # of /check
  start_backends
}
teardown_file() { stop_all; }
setup() {
  redis_cli FLUSHALL >/dev/null
  unset LIMITER
}
teardown() { end_bodies; }

# start_nginx - conf/nginx in front of the limiter and the backends; URL, and CHECK for the limiter alone
start_nginx() {
  local dir=$BATS_TEST_TMPDIR/nginx
  mkdir "$dir"
  export LISTEN CHECK PROXIED=$BACKEND SITE=$PWD/conf/demo/site FASTCGI=$dir/fcgi.sock LIMITER=$SOCKET TRUSTED=192.0.2.9
  LISTEN=127.0.0.1:$(free_port) CHECK=127.0.0.1:$(free_port)
  spawn-fcgi -s "$FASTCGI" -n -- "$ECHO" 3>&- &
  SERVER_PIDS+=" $!"
  eventually test -S "$FASTCGI"
  adapt_nginx "$dir"
  URL=http://$LISTEN PORT=${LISTEN#*:}
  run_nginx "$dir" "$PORT"
  SERVER_PIDS+=" $NGINX_PID"
}

# start_apache_with CONF - Apache and a limiter of its own at a port, because mod_authnz_fcgi has no unix sockets.  Apache
# opens a new connection to the backend for each request: it answers 502 if the backend closes a kept one, idle for 5 s,
# at that moment (mod_proxy's documentation of proxy-initial-not-pooled).
start_apache_with() {
  REDIS_ADDR=unix:$REDIS_SOCK start_listener
  SERVER_PIDS+=" $PROGRAM_PID"
  sed 's,^ProxyPass "/proxy/" .*,& disablereuse=on,' "conf/apache/$1" >"$BATS_TEST_TMPDIR/apache2.conf"
  start_apache "$BATS_TEST_TMPDIR/apache2.conf" || return
  SERVER_PIDS+=" $APACHE_PID"
  PORT=${URL##*:}
}

@test "behind nginx's auth_request" {
  start_nginx
  GUARDED=yes bodies /proxy/x
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$BATS_TEST_TMPDIR/nginx/nginx.log")" ''
}

@test "behind nginx's auth_request, before a FastCGI program" {
  start_nginx
  GUARDED=yes bodies /fcgi/x
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$BATS_TEST_TMPDIR/nginx/nginx.log")" ''
}

@test "behind nginx that passes requests to the limiter alone" {
  start_nginx
  URL=http://$CHECK PORT=${CHECK#*:}
  bodies /
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$BATS_TEST_TMPDIR/nginx/nginx.log")" ''
}

@test "behind Apache's mod_authnz_fcgi" {
  start_apache_with apache2.conf
  GUARDED=yes bodies /proxy/x
}

@test "behind Apache's mod_authnz_fcgi, before a FastCGI program" {
  start_apache_with apache2.conf
  GUARDED=yes bodies /fcgi/x
}

@test "behind Apache's mod_proxy_fcgi as a responder" {
  start_apache_with check.conf
  bodies /check
}

# start_guarding_caddy - conf/caddy/Caddyfile, which asks the limiter behind a lighttpd
start_guarding_caddy() {
  start_limiter conf/lighttpd-connect.conf SOCKET="$SOCKET"
  SERVER_PIDS+=" $LIGHTTPD_PID"
  export LIMITER=127.0.0.1:$PORT
  start_caddy
  SERVER_PIDS+=" $CADDY_PID"
}

@test "behind Caddy, which asks a limiter behind lighttpd" {
  start_guarding_caddy
  GUARDED=yes bodies /proxy/x
}

@test "behind Caddy, before a FastCGI program" {
  start_guarding_caddy
  GUARDED=yes bodies /fcgi/x
}
