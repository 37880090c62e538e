#!/usr/bin/env bats
# slow_peers.bats - a web server that sends its request in pieces, as Apache does, has its 50 ms for it, however long
# those took that were served just before.

load helper

setup_file() { start_redis; }

teardown_file() { stop_all; }

teardown() { stop "$PROGRAM_PID"; }

# record TYPE FILE - a FastCGI record of request 1 with the bytes of FILE, which are fewer than 256
record() {
  local len
  len=$(stat -c %s "$2")
  # shellcheck disable=SC2059  # the format is what is computed
  printf "\\x01\\x$1\\0\\x01\\0\\x$(printf %02x "$len")\\0\\0"
  cat "$2"
}

# pair NAME VALUE - a FastCGI parameter
pair() {
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x ${#1})\\x$(printf %02x ${#2})%s%s" "$1" "$2"
}

@test "two that take 40 ms each, one after the other, are both answered" {
  local dir=$BATS_TEST_TMPDIR port answered=0 first second line
  port=$(free_port)
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "127.0.0.1:$port" 2>"$dir/log" 3>&- &
  PROGRAM_PID=$!
  wait_until 5 accepts_tcp "$port"
  printf '\0\x02\0\0\0\0\0\0' >"$dir/authorizer"
  { pair REQUEST_METHOD GET && pair REQUEST_URI / && pair REMOTE_ADDR 192.0.2.1; } >"$dir/pairs"
  record 01 "$dir/authorizer" >"$dir/begin"
  { record 04 "$dir/pairs" && record 04 /dev/null; } >"$dir/rest"
  # The clock of a busy machine is late at times; one in two is enough, for without a time of its own it is none.
  for _ in {1..10}; do
    exec {first}<>"/dev/tcp/127.0.0.1/$port"
    cat "$dir/begin" >&"$first"
    sleep 0.025
    exec {second}<>"/dev/tcp/127.0.0.1/$port"
    cat "$dir/begin" >&"$second"
    sleep 0.01
    cat "$dir/rest" >&"$first"
    sleep 0.025
    cat "$dir/rest" >&"$second" || true
    # Where it was cut off, there is nothing to read.
    if IFS= read -r -t 2 line <&"$second" && [[ $line == *Status:* ]]; then answered=$((answered + 1)); fi
    exec {first}>&- {second}>&-
  done 2>"$dir/errors"
  assert_between "$answered" 5 10
}
