#!/usr/bin/env bats
# bodies.bats - whatever body a client sends, whole or not, its request is answered, and the next one as well.  The limiter
# is nginx's responder and lighttpd's responder and authorizer; the other servers are in guarded_bodies.bats.

load helper
load bodies

setup_file() { start_bodies; }
teardown_file() { stop_all; }
setup() { redis_cli FLUSHALL >/dev/null; }
teardown() { end_bodies; }

# start_nginx - every request goes to the program; bodies below /streamed are streamed, and others are passed on when they are complete
start_nginx() {
  local dir=$BATS_TEST_TMPDIR/nginx fastcgi
  mkdir -p "$dir"
  fastcgi="fastcgi_pass ratelimit; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params;"
  PORT=$(free_port) URL=http://127.0.0.1:$PORT HTTP2=http://127.0.0.1:$(free_port) SERVER_LOG=$dir/error.log
  cat >"$dir/nginx.conf" <<CONF
daemon off;
worker_processes 1;
user $(id -un) $(id -gn);
pid $dir/pid;
error_log $SERVER_LOG notice;
events { worker_connections 1024; }
http {
  log_format status '\$status \$server_protocol \$request_uri';
  access_log $dir/access.log status;
  client_max_body_size 20m;
  client_body_temp_path $dir/body;
  fastcgi_temp_path $dir/fastcgi;
  proxy_temp_path $dir/proxy;
  scgi_temp_path $dir/scgi;
  uwsgi_temp_path $dir/uwsgi;
  upstream ratelimit { server unix:$SOCKET; keepalive 8; }
  server {
    listen ${HTTP2#http://} http2;
    location / { $fastcgi }
    location /streamed { $fastcgi fastcgi_request_buffering off; }
  }
  server {
    listen 127.0.0.1:$PORT;
    location / { $fastcgi }
    location /streamed { $fastcgi fastcgi_request_buffering off; }
  }
}
CONF
  nginx -e "$SERVER_LOG" -c "$dir/nginx.conf" 2>"$dir/stderr" 3>&- &
  SERVER_PIDS+=" $!"
  eventually accepts_tcp "$PORT"
}

# start_lighttpd MODE - the program behind lighttpd as responder or as authorizer of the backend, whose answers get the
# RateLimit headers; bodies up to 20 MB
start_lighttpd() {
  local dir=$BATS_TEST_TMPDIR/lighttpd
  mkdir -p "$dir"
  # Bodies of more than 64 KB are files.
  sed -e 's/^server.max-request-size = .*/server.max-request-size = 20000/' \
    -e "\$aserver.upload-dirs = ( \"$dir\" )" conf/lighttpd-connect.conf >"$dir/conf"
  [[ $1 == responder ]] || cat >>"$dir/conf" <<CONF
server.modules += ( "mod_magnet" )
magnet.attract-response-start-to = ( "$PWD/conf/lighttpd/ratelimit.lua" )
fastcgi.server = (
  "/" => ((
    "socket" => env.SOCKET, "mode" => "authorizer", "check-local" => "disable", "read-timeout" => 5,
  )),
  "/echo" => (( "bin-path" => "$(realpath "${BUILD:-build}")/echo", "socket" => "$dir/echo.sock", "max-procs" => 1,
                "check-local" => "disable" )),
)
CONF
  [[ $1 == responder ]] || sed -i '/^fastcgi.server = ( "/,/^)))/d' "$dir/conf"
  PORT=$(free_port) URL=http://127.0.0.1:$PORT SERVER_LOG=$dir/log
  env BIND=127.0.0.1 PORT="$PORT" lighttpd -D -f "$dir/conf" 2>"$SERVER_LOG" 3>&- &
  SERVER_PIDS+=" $!"
  eventually accepts_tcp "$PORT"
}

@test "behind nginx" {
  start_nginx
  bodies /
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$SERVER_LOG")" ''
}

@test "behind nginx that streams request bodies" {
  start_nginx
  bodies /streamed
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$SERVER_LOG")" ''
}

@test "behind nginx with HTTP/2, in which a body may have no length" {
  start_nginx
  local from got
  DELAY=$(seconds_of ten_requests '/?user=delay')
  for _ in 1 2 3; do
    got=$(curl --http2-prior-knowledge -s -o /dev/null -w '%{http_code}' --max-time $((5 + 2 * DELAY)) -T - "$HTTP2/?user=h2" <"$BATS_FILE_TMPDIR/large")
    assert_equal "$got" 200
    answered 200 '/?user=h2'
  done
  # nginx may answer a streamed one before it has all of it, and then curl fails whatever the answer was.
  for _ in {1..20}; do
    curl --http2-prior-knowledge -s -o /dev/null --max-time $((5 + 2 * DELAY)) -T - "$HTTP2/streamed?user=h2" <"$BATS_FILE_TMPDIR/small" || true
  done
  answered 200 '/streamed?user=h2'
  assert_equal "$(grep -c 'HTTP/2.0 /streamed' "$BATS_TEST_TMPDIR/nginx/access.log")" 20
  assert_equal "$(grep -v '^200 ' "$BATS_TEST_TMPDIR/nginx/access.log")" ''
  # Ten clients send the beginning of a body and then nothing.
  local pids=''
  for _ in {1..10}; do
    sleep 3 | curl --http2-prior-knowledge -s -o /dev/null --max-time 4 -T - "$HTTP2/streamed?user=slow" 3>&- &
    pids+=" $!"
  done
  from=$(date +%s%N)
  for _ in {1..20}; do assert_equal "$(status '/?user=quick')" 200; done
  assert_between $((($(date +%s%N) - from) / 1000000)) 0 $((3000 + 3000 * DELAY))
  for pid in $pids; do wait "$pid" || true; done
}

@test "behind lighttpd as a responder" {
  start_lighttpd responder
  bodies /
  assert_equal "$(grep -v 'server started\|graceful' "$SERVER_LOG")" ''
}

@test "behind lighttpd as an authorizer, and the backend gets the body" {
  start_lighttpd authorizer
  GUARDED=yes bodies /echo
  request '/echo?user=authorizer' --data-binary "@$BATS_FILE_TMPDIR/large" -o "$BATS_TEST_TMPDIR/echoed"
  tail -c 10000000 "$BATS_TEST_TMPDIR/echoed" | cmp - "$BATS_FILE_TMPDIR/large"
  assert_equal "$(grep -v 'server started\|graceful' "$SERVER_LOG")" ''
}
