#!/usr/bin/env bats
# bodies.bats - whatever body a client sends, or does not send to its end, through whichever server and in whichever
# role: its request is answered, and the next one as well.

load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 10s }
limits:
  - { name: many, key: "query:user | ip", capacity: 3000, refill: 1/day }
YAML
  export SOCKET=$BATS_FILE_TMPDIR/program.sock
  "$PROGRAM" --redis "unix:$REDIS_SOCK" --limits "$BATS_FILE_TMPDIR/limits.yaml" --listen "unix:$SOCKET" \
    2>"$BATS_FILE_TMPDIR/program.log" 3>&- &
  export PROGRAM_PID=$!
  wait_until 5 test -S "$SOCKET"
  head -c 100 /dev/zero >"$BATS_FILE_TMPDIR/small"
  head -c 10000000 /dev/zero >"$BATS_FILE_TMPDIR/large"
}

teardown_file() { stop_all; }

teardown() {
  for pid in $SERVER_PIDS; do stop "$pid"; done
  [[ ! $(cat "$BATS_FILE_TMPDIR/program.log") ]] || fail "$(cat "$BATS_FILE_TMPDIR/program.log")" 'is not' 'nothing'
  ! gone "$PROGRAM_PID"
}

# start_nginx - every request goes to the program; bodies below /streamed as they come, all others when they are whole
start_nginx() {
  local dir=$BATS_TEST_TMPDIR/nginx fastcgi
  mkdir -p "$dir"
  fastcgi="fastcgi_pass ratelimit; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params;"
  PORT=$(free_port) URL=http://127.0.0.1:$PORT SERVER_LOG=$dir/error.log
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
    listen 127.0.0.1:$PORT http2;
    location / { $fastcgi }
    location /streamed { $fastcgi fastcgi_request_buffering off; }
  }
  server {
    listen 127.0.0.1:$((PORT + 1));
    location / { $fastcgi }
    location /streamed { $fastcgi fastcgi_request_buffering off; }
  }
}
CONF
  nginx -e "$SERVER_LOG" -c "$dir/nginx.conf" 2>"$dir/stderr" 3>&- &
  SERVER_PIDS+=" $!"
  HTTP2=$URL URL=http://127.0.0.1:$((PORT + 1)) PORT=$((PORT + 1))
  wait_until 10 accepts_tcp "$PORT"
}

# start_lighttpd MODE - the program behind lighttpd as responder or as authorizer of the backend; bodies up to 20 MB
start_lighttpd() {
  local dir=$BATS_TEST_TMPDIR/lighttpd
  mkdir -p "$dir"
  # Bodies of more than 64 KB are files.
  sed -e 's/^server.max-request-size = .*/server.max-request-size = 20000/' \
    -e "\$aserver.upload-dirs = ( \"$dir\" )" conf/lighttpd-connect.conf >"$dir/conf"
  [[ $1 == responder ]] || cat >>"$dir/conf" <<CONF
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
  wait_until 10 accepts_tcp "$PORT"
}

# answered PATH CURL-OPTION... - as it should be, within 3 s, and an empty request after it as well
answered() {
  local got
  got=$(status "$@" --max-time 5) || fail "curl's exit status $?" 'is not' 0 || return 1
  assert_equal "$* $got" "$* 200" || return 1
  got=$(status "$1" --max-time 2) || true
  assert_equal "then $1 $got" "then $1 200"
}

# abort PATH LENGTH - send half of the body, then go
abort() {
  exec 9<>"/dev/tcp/127.0.0.1/$PORT"
  {
    printf 'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' "$1" "$2"
    head -c $(($2 / 2)) /dev/zero
  } >&9 2>/dev/null || true
  exec 9>&- 9<&-
}

# bodies PATH - all of them
bodies() {
  local body i
  for body in small large; do
    for i in 1 2 3; do
      answered "$1" --data-binary "@$BATS_FILE_TMPDIR/$body" || return 1
      answered "$1" --data-binary "@$BATS_FILE_TMPDIR/$body" -H 'Transfer-Encoding: chunked' || return 1
      answered "$1" --data-binary "@$BATS_FILE_TMPDIR/$body" -H 'Expect:' || return 1
    done
  done
  for i in 10 100 30000 1000000 10000000; do
    abort "$1" "$i"
    answered "$1" || return 1
  done
}

@test "behind nginx" {
  start_nginx
  bodies '/?user=nginx'
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$SERVER_LOG")" ''
}

@test "behind nginx that passes bodies on as they come" {
  start_nginx
  bodies '/streamed?user=streamed'
  assert_equal "$(grep -E '\[(error|crit|alert)\]' "$SERVER_LOG")" ''
}

@test "behind nginx with HTTP/2, where a body may come without a length" {
  start_nginx
  local from got
  for _ in 1 2 3; do
    got=$(curl --http2-prior-knowledge -s -o /dev/null -w '%{http_code}' --max-time 5 -T - "$HTTP2/?user=h2" <"$BATS_FILE_TMPDIR/large")
    assert_equal "$got" 200
    answered '/?user=h2'
  done
  # nginx may answer a streamed one before it has all of it, and then curl fails whatever the answer was.
  for _ in {1..20}; do
    curl --http2-prior-knowledge -s -o /dev/null --max-time 5 -T - "$HTTP2/streamed?user=h2" <"$BATS_FILE_TMPDIR/small" || true
  done
  answered '/streamed?user=h2'
  assert_equal "$(grep -c 'HTTP/2.0 /streamed' "$BATS_TEST_TMPDIR/nginx/access.log")" 20
  assert_equal "$(grep -v '^200 ' "$BATS_TEST_TMPDIR/nginx/access.log")" ''
  # Ten clients that begin a body and do not go on.
  local pids=''
  for _ in {1..10}; do
    sleep 3 | curl --http2-prior-knowledge -s -o /dev/null --max-time 4 -T - "$HTTP2/streamed?user=slow" 3>&- &
    pids+=" $!"
  done
  from=$(date +%s%N)
  for _ in {1..20}; do answered '/?user=quick'; done
  assert_between $((($(date +%s%N) - from) / 1000000)) 0 3000
  for pid in $pids; do wait "$pid" || true; done
}

@test "behind lighttpd as a responder" {
  start_lighttpd responder
  bodies '/?user=responder'
  assert_equal "$(grep -v 'server started\|graceful' "$SERVER_LOG")" ''
}

@test "behind lighttpd as an authorizer; the backend gets the body" {
  start_lighttpd authorizer
  bodies '/echo?user=authorizer'
  request '/echo?user=authorizer' --data-binary "@$BATS_FILE_TMPDIR/large" -o "$BATS_TEST_TMPDIR/echoed"
  tail -c 10000000 "$BATS_TEST_TMPDIR/echoed" | cmp - "$BATS_FILE_TMPDIR/large"
  assert_equal "$(grep -v 'server started\|graceful' "$SERVER_LOG")" ''
}
