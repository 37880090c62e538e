# bodies.bash - shared by the tests of request bodies: the limiter, the bodies, and what has to happen with each of them,
# through any server and in any role.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # as in helper.bash

# start_bodies [LINE...] - for setup_file: a limiter on SOCKET, with LINES of yaml in its limits file, and bodies to send
start_bodies() {
  start_redis
  export LIMITS_FILE=$BATS_FILE_TMPDIR/limits.yaml SOCKET=$BATS_FILE_TMPDIR/program.sock PROGRAM_PID
  printf '%s\n' "$@" >"$LIMITS_FILE"
  cat >>"$LIMITS_FILE" <<'YAML'
redis: { timeout: 10s }
limits:
  - name: many
    key: query:user | ip
    capacity: 3000
    refill: 1/day
    overrides: [{ key: refused, capacity: 1 }]
YAML
  "$PROGRAM" --redis "unix:$REDIS_SOCK" --limits "$LIMITS_FILE" --listen "unix:$SOCKET" \
    2>"$BATS_FILE_TMPDIR/program.log" 3>&- &
  PROGRAM_PID=$!
  eventually test -S "$SOCKET"
  head -c 100 /dev/zero >"$BATS_FILE_TMPDIR/small"
  head -c 10000000 /dev/zero >"$BATS_FILE_TMPDIR/large"
}

# end_bodies - for teardown: stop SERVER_PIDS.  The limiter, PROGRAM_PID, must be alive and must have logged nothing.
end_bodies() {
  local pid found=alive
  ! gone "$PROGRAM_PID" || found=gone
  found+=$(log_after_start "$BATS_FILE_TMPDIR/program.log" "$BATS_TEST_TMPDIR/program.log" 2>/dev/null)
  for pid in $SERVER_PIDS; do stop "$pid"; done
  assert_equal "$found" alive
}

# seconds_of COMMAND... - the whole seconds that it takes
seconds_of() {
  local start=${EPOCHREALTIME/./}
  "$@" >/dev/null
  echo $(((${EPOCHREALTIME/./} - start) / 1000000))
}

# ten_requests - what takes a busy machine whole seconds: answered allows so much more time
ten_requests() {
  for _ in {1..10}; do request "$1"; done
}

# answered STATUS PATH CURL-OPTION... - the request gets STATUS within 5 s, and the next one, of another client, 200 within 2
# s; within DELAY seconds more on a busy machine.  With GUARDED set echo.c is behind the limiter and gets the next request
# unchanged, and one more request goes over the connection of the first, if the server keeps it.  (Without, the limiter
# may answer before all of a body has come; it then closes the connection that a server would keep, and what the server
# sends on it at that moment is lost.)
answered() {
  local status=$1 path=$2 got expected=$1 next again=()
  shift 2
  next="${path%%[?]*}?user=next"
  if [[ -n $GUARDED ]]; then
    again=(--next -s -o /dev/null -w ' %{http_code}' --max-time $((2 + DELAY)) "$URL$next")
    expected+=' 200'
  fi
  got=$(curl -s -o /dev/null -w '%{http_code}' --max-time $((5 + 2 * DELAY)) "$@" "$URL$path" "${again[@]}") ||
    fail "$path $* $got, curl's exit status $?" 'is not' "$expected, 0" || return 1
  assert_equal "$path $* $got" "$path $* $expected" || return 1
  request "$next" --max-time $((2 + DELAY)) || true
  assert_equal "then $(header Status)" 'then 200 OK' || return 1
  assert_matches "$(header RateLimit)" '^"many";r=[0-9]+;t=[0-9]+$' || return 1
  [[ -z $GUARDED ]] || assert_equal "$(header X-Uri) $(header X-Length)" "$next 0"
}

# abort PATH LENGTH - send half of the body, then close
abort() {
  exec 9<>"/dev/tcp/127.0.0.1/$PORT"
  {
    printf 'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' "$1" "$2"
    head -c $(($2 / 2)) /dev/zero
  } >&9 2>/dev/null || true
  exec 9>&- 9<&-
}

# bodies PATH - all of them, allowed and refused
bodies() {
  local user body from length status=200
  DELAY=$(seconds_of ten_requests "$1?user=delay")
  assert_equal "$(status "$1?user=refused")" 200 || return 1 # its only token
  for user in allowed refused; do
    for body in small large; do
      from=@$BATS_FILE_TMPDIR/$body
      for _ in 1 2 3; do
        answered "$status" "$1?user=$user" --data-binary "$from" || return 1
        answered "$status" "$1?user=$user" --data-binary "$from" -H 'Transfer-Encoding: chunked' || return 1
        answered "$status" "$1?user=$user" --data-binary "$from" -H 'Expect:' || return 1
      done
    done
    for length in 10 100 30000 1000000 10000000; do
      abort "$1?user=$user" "$length"
      answered "$status" "$1?user=$user" || return 1
    done
    status=429
  done
}
