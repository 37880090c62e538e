#!/usr/bin/env bats
# upgrades.bats - a WebSocket through every guard of a site: its handshake takes a token, what follows passes unchanged in
# both directions, and without tokens the handshake is refused and the backend is not asked.

load helper
load guarded

setup_file() {
  start_redis
  write_limits 'trusted_proxies: [127.0.0.1]' # of /check
  export BACKEND FCGI_BACKEND=127.0.0.1:1 ASKED=$BATS_FILE_TMPDIR/asked HELPER_PIDS
  BACKEND=127.0.0.1:$(free_port)
  node - "${BACKEND#*:}" "$ASKED" 3>&- <<'JS' &
const fs = require('fs'), [port, asked] = process.argv.slice(2);
require('http').createServer((request, response) => response.end('no upgrade'))
  .on('upgrade', (request, socket) => {
    fs.appendFileSync(asked, `${request.url}\n`);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
    socket.pipe(socket);
    socket.on('error', () => {});
  }).listen(port, '127.0.0.1');
JS
  HELPER_PIDS+=" $!"
  eventually accepts_tcp "${BACKEND#*:}"
}

teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  : >"$ASKED"
  unset LIMITER
  SERVER_PIDS=''
}

teardown() {
  local pid
  for pid in $SERVER_PIDS; do stop "$pid"; done
  stop_limiters
}

# handshake PATH - the status of a WebSocket's handshake, and what comes back of what is sent after it
handshake() {
  node - "${URL#http://}" "$1" 3>&- <<'JS'
const [to, path] = process.argv.slice(2), [host, port] = to.split(':');
const socket = require('net').connect(Number(port), host);
let got = '', sent = false;
setTimeout(() => { console.log(`silent after ${JSON.stringify(got)}`); process.exit(); }, 60000).unref();
socket.write(`GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
socket.on('data', (bytes) => {
  got += bytes.toString('latin1');
  const [head, rest] = got.split('\r\n\r\n');
  if (rest === undefined) return;
  const status = head.slice(9, 12);
  if (status === '101' && !sent) { sent = true; socket.write('both ways'); }
  if (status !== '101' || rest.length >= 9) { console.log(status, status === '101' ? rest : ''); process.exit(); }
});
JS
}

assert_guards_upgrades() {
  local _
  for _ in 1 2 3; do assert_equal "$(handshake '/proxy/x?user=socket')" '101 both ways'; done
  assert_equal "$(handshake '/proxy/x?user=socket')" '429 '
  assert_equal "$(cat "$ASKED")" $'/proxy/x?user=socket\n/proxy/x?user=socket\n/proxy/x?user=socket'
  assert_equal "$(handshake '/proxy/x?user=another')" '101 both ways'
}

@test "a WebSocket is limited through nginx" {
  local dir=$BATS_TEST_TMPDIR/nginx
  mkdir "$dir"
  export LISTEN CHECK PROXIED=$BACKEND SITE=$PWD/conf/demo/site FASTCGI=$dir/none LIMITER=$dir/limiter TRUSTED=192.0.2.9
  LISTEN=127.0.0.1:$(free_port) CHECK=127.0.0.1:$(free_port)
  "$PROGRAM" --redis "unix:$REDIS_SOCK" --limits "$LIMITS_FILE" --listen "unix:$LIMITER" 2>"$dir/log" 3>&- &
  SERVER_PIDS+=" $!"
  eventually test -S "$LIMITER"
  adapt_nginx "$dir"
  # shellcheck disable=SC2016  # the variables are nginx's
  sed -i 's,^ *location /proxy/ {,&\n      proxy_http_version 1.1;\n      proxy_set_header Upgrade $http_upgrade;\n      proxy_set_header Connection upgrade;,' \
    "$dir/nginx.conf"
  URL=http://$LISTEN
  run_nginx "$dir" "${LISTEN#*:}"
  SERVER_PIDS+=" $NGINX_PID"
  assert_guards_upgrades
}

@test "a WebSocket is limited through Apache" {
  start_listener
  SERVER_PIDS+=" $PROGRAM_PID"
  sed 's,^ProxyPass "/proxy/" .*,& upgrade=websocket,' conf/apache/apache2.conf >"$BATS_TEST_TMPDIR/apache2.conf"
  start_apache "$BATS_TEST_TMPDIR/apache2.conf"
  SERVER_PIDS+=" $APACHE_PID"
  assert_guards_upgrades
}

@test "a WebSocket is limited through Caddy" {
  start_limiter conf/lighttpd.conf LIMITS_FILE="$LIMITS_FILE"
  export LIMITER=127.0.0.1:$PORT
  start_caddy
  SERVER_PIDS+=" $CADDY_PID"
  assert_guards_upgrades
}

@test "a WebSocket is limited through lighttpd" {
  cp conf/lighttpd/* "$BATS_TEST_TMPDIR"
  sed 's,^proxy.server = .*,&\nproxy.header = ( "upgrade" => "enable" ),' conf/lighttpd/demo.conf >"$BATS_TEST_TMPDIR/demo.conf"
  start_limiter "$BATS_TEST_TMPDIR/demo.conf" CONF_DIR="$PWD/conf/lighttpd" SITE="$PWD/conf/demo/site" \
    LIMITS_FILE="$LIMITS_FILE" TRUSTED_PROXY=192.0.2.1 BACKEND_PORT="${BACKEND#*:}" ECHO="$(realpath "${BUILD:-build}/echo")"
  assert_guards_upgrades
}
