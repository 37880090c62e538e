#!/usr/bin/env bats
# run_command.bats - what `make run` starts, prints, and leaves behind when it ends.

bats_require_minimum_version 1.5.0
load helper

setup() {
  # run.sh creates all its files here, and it must be empty in the end.
  export TMPDIR=$BATS_TEST_TMPDIR/tmp PORT
  mkdir "$TMPDIR"
  PORT=$(free_port)
  URL=http://127.0.0.1:$PORT
  export LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml
  default_limits >"$LIMITS_FILE"
  unset REDIS_ADDR BIND WORKERS SERVER MAKELEVEL
  run_pid=''
}

teardown() {
  local pid
  for pid in $([[ -z $run_pid ]] || processes | awk '{ print $2 }'); do stop "$pid"; done
  stop_all
}

# start_run COMMAND... - start it like a shell on a terminal, in a session of its own, by which its processes are found,
# and with no signal ignored.  Returns once it prints how to stop it.
start_run() {
  out=$BATS_TEST_TMPDIR/out err=$BATS_TEST_TMPDIR/err
  setsid env --default-signal=HUP,INT,QUIT "$@" >"$out" 2>"$err" 3>&- &
  run_pid=$!
  eventually started_or_gone
  started || {
    cat "$err" >&2
    return 1
  }
}
started() { grep -qs Ctrl-C "$out"; }
started_or_gone() { started || gone "$run_pid"; }

# processes - the running processes of the session, one a line
processes() { ps -o stat=,pid=,args= -s "$run_pid" | awk '!/^Z/'; }
pid_of() { processes | awk -v name="$1" '$3 == name { print $2 }'; }

# end_run [SIGNAL PID] - send the signal, wait for the end; its exit status is in $ended
end_run() {
  (($# == 0)) || kill -s "$1" -- "$2"
  eventually gone "$run_pid"
  ended=0
  wait "$run_pid" || ended=$?
}

assert_nothing_left() {
  assert_equal "$(processes)" ''
  assert_equal "$(ls -A "$TMPDIR")" ''
  run -1 accepts_tcp "$PORT"
}

@test "make run prints its URL and a curl line, and that line works: five times 200, then 429" {
  start_run make run
  assert_contains "$(<"$out")" "$URL/"
  local try
  try=$(sed -n 's/^Try: *//p' "$out")
  for _ in 1 2 3 4 5; do
    assert_contains "$(eval "$try -s")" '200 OK'
  done
  assert_contains "$(eval "$try -s")" '429 Too Many Requests'
  assert_equal "$(pid_of "$PROGRAM" | wc -l)" 2
  assert_equal "$(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l)" 2
}

@test "its own check whether it answers takes no token of the user" {
  start_run conf/run.sh
  request /
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
}

@test "Ctrl-C in a terminal ends make run, and nothing is left behind" {
  start_run env -u LIMITS_FILE make run
  default_policy() { request / && [[ $(header RateLimit-Policy) == '"per-user";q=5;w=60' ]]; }
  eventually default_policy
  end_run INT "-$run_pid"
  assert_nothing_left
}

@test "a SIGTERM to make alone leaves nothing behind either" {
  start_run make run
  end_run TERM "$run_pid"
  assert_nothing_left
}

@test "SIGINT, SIGTERM and SIGHUP stop it with exit status 0" {
  local signal
  for signal in INT TERM HUP; do
    start_run conf/run.sh
    end_run "$signal" "$run_pid"
    assert_equal "$signal $ended" "$signal 0"
    assert_nothing_left
    rm "$out"
  done
}

@test "a client that sends half a request does not delay the end" {
  start_run conf/run.sh
  exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET / HTTP/1.1\r\n' >&"$client"
  local start=$SECONDS
  end_run INT "$run_pid"
  exec {client}>&-
  # lighttpd gives a client 10 s to go on.
  assert_between $((SECONDS - start)) 0 9
  assert_equal "$ended" 0
  assert_nothing_left
}

@test "a killed worker is replaced and the run goes on" {
  start_run conf/run.sh
  local victim
  victim=$(pid_of "$PROGRAM" | head -n 1)
  kill -KILL "$victim"
  two_workers() { ! pid_of "$PROGRAM" | grep -qx "$victim" && (($(pid_of "$PROGRAM" | wc -l) == 2)); }
  eventually two_workers
  assert_equal "$(status /)" 200
}

# assert_ended_by NAME - its death has ended everything else: one line, exit status 1
assert_ended_by() {
  end_run
  assert_equal "$ended" 1
  assert_equal "$(grep 'make run:' "$err")" "make run: $1 ended by itself"
  assert_nothing_left
}

@test "if lighttpd dies, everything else is stopped, with one line and exit status 1" {
  start_run conf/run.sh
  kill -KILL "$(pid_of lighttpd)"
  assert_ended_by lighttpd
}

@test "if Redis dies, everything else is stopped, with one line and exit status 1" {
  start_run conf/run.sh
  kill -KILL "$(pid_of redis-server)"
  assert_ended_by redis-server
}

@test "a port in use is an error in one line and exit status 1" {
  start_redis
  PORT=$REDIS_PORT
  run -1 --separate-stderr conf/run.sh
  assert_equal "$stderr" "make run: port $PORT of 127.0.0.1 is taken: choose another, as in PORT=8081 make run"
  assert_equal "$(ls -A "$TMPDIR")" ''
  # make adds a line, that the recipe failed.
  run -2 --separate-stderr make run
  assert_equal "$(grep -vc '^make[^:]*: \*\*\*' <<<"$stderr")" 1
}

@test "a wrong PORT, WORKERS or limits file is reported before anything starts" {
  local setting
  for setting in PORT=0 PORT=http PORT=65536 WORKERS=0 WORKERS=-1 WORKERS=two; do
    run -1 --separate-stderr env "$setting" conf/run.sh
    assert_matches "$stderr" "^make run: ${setting%=*} must be a number from 1 to [0-9]+, not '${setting#*=}'\$"
  done
  echo 'limits: []' >"$BATS_TEST_TMPDIR/limits.yaml"
  LIMITS_FILE=$BATS_TEST_TMPDIR/limits.yaml run -1 --separate-stderr conf/run.sh
  assert_contains "$stderr" "$BATS_TEST_TMPDIR/limits.yaml:1:"
  assert_equal "$output" ''
  assert_equal "$(ls -A "$TMPDIR")" ''
}

@test "with REDIS_ADDR it uses that Redis and starts none" {
  start_redis
  REDIS_ADDR=unix:$REDIS_SOCK start_run make run
  assert_equal "$(status '/?user=alice')" 200
  assert_contains "$(redis_cli --scan)" alice
  assert_equal "$(pid_of redis-server)" ''
  end_run INT "-$run_pid"
  assert_nothing_left
  assert_equal "$(redis_cli PING)" PONG
}

@test "with a limits file that names a Redis it uses that Redis and starts none" {
  start_redis
  local file redis
  file=$(tmpdir)/named.yaml
  for redis in $'redis:\n  # the one of this test\n  timeout: 5s\n  address: unix:'"$REDIS_SOCK" \
    "redis: { timeout: 5s, address: unix:$REDIS_SOCK }" \
    $'"redis":\n    {\n    "address": "unix:'"$REDIS_SOCK"$'"\n    }'; do
    printf '%s\nlimits: [{ name: a, key: ip, capacity: 5, refill: 1/h }]\n' "$redis" >"$file"
    redis_cli FLUSHALL >/dev/null
    LIMITS_FILE=$file start_run make run
    assert_equal "$(status '/?user=alice')" 200
    assert_contains "$(redis_cli --scan)" 127.0.0.1
    assert_equal "$(pid_of redis-server)" ''
    end_run INT "-$run_pid"
  done
  assert_nothing_left
}

@test "a limits file that names no Redis has a private one" {
  local file
  file=$(tmpdir)/unnamed.yaml
  printf '%s\n' 'redis:' '  # address: 127.0.0.1:1' '  timeout: 5s' 'limits:' \
    '- { name: address, key: "header:address", capacity: 5, refill: 1/h }' >"$file"
  LIMITS_FILE=$file start_run make run
  assert_equal "$(status '/?user=alice')" 200
  [[ -n $(pid_of redis-server) ]] || fail 'no redis-server' 'was started' 'a private one'
  end_run INT "-$run_pid"
  assert_nothing_left
}

# ---- make run SERVER=...: the limiter in front of a site, a proxied web server and a FastCGI program ----

# assert_guards SERVER - all three backends answer, share a bucket, and Ctrl-C leaves nothing behind
assert_guards() {
  start_run make run SERVER="$1"
  assert_matches "$(<"$out")" "^ratelimit.fcgi: 2 processes behind $1 at $URL/"

  # The three lines that it prints, unchanged: they have one user, so one bucket.
  local tries try answers=()
  mapfile -t tries < <(grep -o 'curl -i .*' "$out" | sed 's/  .*//')
  assert_equal "${#tries[@]}" 3
  for try in "${tries[@]}"; do answers+=("$(eval "$try -s")"); done
  assert_contains "${answers[0]}" 'This page is static.'
  assert_contains "${answers[1]}" 'REQUEST_URI=/proxy/?user=alice'
  assert_contains "${answers[2]}" 'REQUEST_URI=/fcgi/?user=alice'
  for try in "${answers[@]}"; do
    assert_contains "$try" '200 OK'
    head=${try%%$'\r\n\r\n'*}
    assert_equal "$(header RateLimit-Policy)" '"per-user";q=5;w=60'
  done
  assert_equal "$(header RateLimit)" '"per-user";r=2;t=24'
  status '/?user=alice' >/dev/null
  status '/?user=alice' >/dev/null
  # The limiter's own pages, which know both processes.
  assert_contains "$(curl -s "$URL/-/ready")" '"decides":"with Redis"'
  assert_equal "$(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l)" 2
  local path
  for path in / /proxy/ /fcgi/; do
    request "$path?user=alice"
    assert_matches "$path $(header Status)" "^$path 429"
    assert_matches "$(header Retry-After)" '^[0-9]+$'
    assert_contains "$body" '"violated-policies":["per-user"]'
  done
  assert_equal "$(status '/?user=bob')" 200

  end_run INT "-$run_pid"
  assert_nothing_left
  # What web servers log although nothing is wrong: Caddy's lines of JSON, Apache's complaints about a user.
  run ! grep -h '"level":\|User directive' "$out" "$err"
}

@test "make run SERVER=lighttpd guards all three kinds of backend" { assert_guards lighttpd; }

@test "make run SERVER=nginx guards all three kinds of backend" { assert_guards nginx; }

@test "make run SERVER=apache guards all three kinds of backend" { assert_guards apache; }

@test "make run SERVER=caddy guards all three kinds of backend" { assert_guards caddy; }

@test "behind nginx, which starts no programs, a killed worker is replaced as well" {
  start_run make run SERVER=nginx
  local victim
  victim=$(pid_of "$PROGRAM" | head -n 1)
  kill -KILL "$victim"
  two_workers() { ! pid_of "$PROGRAM" | grep -qx "$victim" && (($(pid_of "$PROGRAM" | wc -l) == 2)); }
  eventually two_workers
  assert_equal "$(status /)" 200
}

@test "if nginx dies and leaves its workers behind, everything else is stopped, with one line and exit status 1" {
  start_run env SERVER=nginx conf/run.sh
  kill -KILL "$(processes | awk '/nginx: master/ { print $2 }')"
  assert_ended_by nginx
}

@test "an unknown SERVER is an error in one line" {
  SERVER=iis run -1 --separate-stderr conf/run.sh
  assert_equal "$stderr" "make run: SERVER is lighttpd, nginx, apache or caddy, not 'iis'"
  run -2 --separate-stderr make run SERVER=iis
  assert_contains "$stderr" "make run: SERVER is lighttpd, nginx, apache or caddy, not 'iis'"
  assert_equal "$(ls -A "$TMPDIR")" ''
}
