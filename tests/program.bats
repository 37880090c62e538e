#!/usr/bin/env bats
# program.bats - ratelimit.fcgi from the command line: options, errors, logging in, stopping.

bats_require_minimum_version 1.5.0
load helper

teardown() { stop_all; }

@test "on a terminal it says in two lines how to run it, and exits with 2" {
  run -2 --separate-stderr "$PROGRAM" </dev/null
  assert_equal "${#stderr_lines[@]}" 2
  assert_contains "$stderr" spawn-fcgi
  assert_contains "$stderr" '--listen unix:'
}

@test "--help and --version go to standard output and exit 0" {
  run -0 --separate-stderr "$PROGRAM" --help
  assert_contains "$output" '--limits FILE'
  assert_equal "$stderr" ''
  run -0 "$PROGRAM" --version
  assert_matches "$output" '^ratelimit\.fcgi [0-9]+\.[0-9]+\.[0-9]+$'
}

@test "an unknown option or a stray word is an error and exit 2" {
  run -2 "$PROGRAM" --no-such-option
  assert_equal "$output" "ratelimit.fcgi: '--no-such-option' is no option; see --help"
  run -2 "$PROGRAM" --redis-url=redis://:hush@h
  assert_equal "$output" "ratelimit.fcgi: '--redis-url' is no option; see --help"
  run -2 "$PROGRAM" --limits
  assert_equal "$output" "ratelimit.fcgi: '--limits' needs a value; see --help"
  run -0 "$PROGRAM" -h
  assert_contains "$output" 'usage: ratelimit.fcgi'
  run -2 "$PROGRAM" --explain 'GET /' --check conf/limits.yaml
  assert_equal "$output" "ratelimit.fcgi: '--check' does not go with --explain; see --help"
  run -2 "$PROGRAM" stray
  assert_contains "$output" "'stray' is no option"
}

@test "--check accepts a good file and reports every mistake of a bad one with its place" {
  run -0 "$PROGRAM" --check --limits conf/limits.yaml
  cat >"$BATS_TEST_TMPDIR/bad.yaml" <<'YAML'
limits:
  - name: per-user
    key: query:user | ip
    capacity: -5
    refill: 1/12sec
    on_redis_failure: maybe
    colour: red
YAML
  run -2 --separate-stderr "$PROGRAM" --check --limits "$BATS_TEST_TMPDIR/bad.yaml"
  assert_equal "${#stderr_lines[@]}" 4
  assert_contains "$stderr" 'bad.yaml:4:15: capacity: '
  assert_contains "$stderr" 'bad.yaml:5:13: refill: '
  assert_contains "$stderr" 'bad.yaml:6:23: on_redis_failure: '
  assert_contains "$stderr" "bad.yaml:7:5: unknown field 'colour'"
}

@test "with a mistake in the limits file it does not start" {
  echo 'limits: []' >"$BATS_TEST_TMPDIR/bad.yaml"
  run -2 "$PROGRAM" --limits "$BATS_TEST_TMPDIR/bad.yaml" --listen "unix:$BATS_TEST_TMPDIR/socket"
  assert_contains "$output" 'bad.yaml:1:9: '
  [[ ! -e $BATS_TEST_TMPDIR/socket ]]
}

@test "an invalid address of Redis is an error that does not repeat a password" {
  run -2 "$PROGRAM" --redis 'redis://:hush%zz@host:x' --listen "unix:$BATS_TEST_TMPDIR/socket"
  assert_contains "$output" 'the address of Redis'
  [[ $output != *hush* ]]
}

@test "a socket that cannot be opened is an error in one line and exit 1" {
  run -1 "$PROGRAM" --listen unix:/no/such/folder/socket
  assert_equal "${#lines[@]}" 1
  assert_contains "$output" 'No such file or directory'
}

@test "an option wins over the environment, the environment over the file" {
  start_redis
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { address: "127.0.0.1:1" }
limits: [{ name: one, key: ip, capacity: 1, refill: 1/day }]
YAML
  # The file's address is wrong, the environment's right.
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR="unix:$REDIS_SOCK"
  eventually ratelimited
  stop_limiters
  # The environment's is wrong, the option's right.
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR=127.0.0.1:1 -- --redis "unix:$REDIS_SOCK"
  eventually ratelimited
}

@test "the file's address of Redis wins over the default, --limits over LIMITS_FILE" {
  start_redis
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { address: "127.0.0.1:$REDIS_PORT" }
limits: [{ name: mine, key: ip, capacity: 9, refill: 1/day }]
YAML
  start_program LIMITS_FILE=/no/such/file -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
  eventually ratelimited
  assert_contains "$(header RateLimit-Policy)" '"mine";q=9'
}

@test "it listens on TCP as well" {
  start_redis
  local port
  port=$(free_port)
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "127.0.0.1:$port" 3>&- &
  PROGRAM_PID=$!
  eventually accepts_tcp "$port"
  sed "s/\"socket\" => env.SOCKET/\"host\" => \"127.0.0.1\", \"port\" => $port/" conf/lighttpd-connect.conf \
    >"$BATS_TEST_TMPDIR/tcp.conf"
  start_limiter "$BATS_TEST_TMPDIR/tcp.conf"
  eventually ratelimited
  assert_equal "$(status / -X POST --data x)" 200
}

# started_under [COMMAND...] - the scheduling policy of a program that COMMAND runs
started_under() {
  local socket=$BATS_TEST_TMPDIR/${1:-plain}.sock pid
  "$@" "$PROGRAM" --listen "unix:$socket" 2>/dev/null 3>&- &
  pid=$!
  eventually test -S "$socket" || return
  eventually served_by "$pid"
  scheduling_policy "$pid"
  stop "$pid"
}

# served_by PID - it is in its loop, in which it handles SIGINT
served_by() { [[ $(awk '/^SigCgt/ { print $2 }' "/proc/$1/status") != *0 ]]; }

@test "it uses SCHED_BATCH, and keeps a policy that it was started with" {
  assert_equal "$(started_under) $(started_under chrt -i 0)" 'SCHED_BATCH SCHED_IDLE'
}

@test "it logs in with a password and selects a database" {
  start_redis --requirepass hush-password
  start_program REDIS_ADDR= -- --redis "redis://:hush-password@127.0.0.1:$REDIS_PORT/3"
  eventually ratelimited
  assert_equal "$(REDISCLI_AUTH=hush-password redis_cli -n 3 EXISTS 'rl:{ip=127.0.0.1}:per-user')" 1
}

@test "it logs in and selects again on every connect" {
  start_redis --requirepass hush-password
  start_program REDIS_ADDR="redis://:hush-password@127.0.0.1:$REDIS_PORT/3"
  eventually ratelimited
  stop "$REDIS_PID"
  eventually unlimited
  start_redis --requirepass hush-password
  eventually ratelimited
  assert_equal "$(REDISCLI_AUTH=hush-password redis_cli -n 3 EXISTS 'rl:{ip=127.0.0.1}:per-user')" 1
}

@test "it logs in with a user and a password" {
  start_redis
  redis_cli ACL SETUSER alice on '>hush-password' '~rl:*' +@all
  redis_cli ACL SETUSER default off
  start_program REDIS_ADDR="redis://alice:hush-password@127.0.0.1:$REDIS_PORT"
  eventually ratelimited
}

# started_with TEXT - the program has logged one line of its start: its version and TEXT
started_with() {
  eventually grep -q "$START_LINE" "$LIMITER_LOG"
  assert_equal "$(grep "$START_LINE" "$LIMITER_LOG" | sed 's/.*\]: //')" "$("$PROGRAM" --version): $1"
}

@test "one line at the start names the version, the limits file with its digest, and Redis without the password" {
  start_redis --requirepass hush-password
  local file=$BATS_TEST_TMPDIR/limits.yaml
  printf 'limits:\n  - { name: a, key: ip, capacity: 5, refill: 1/day }\n' >"$file"
  start_program REDIS_ADDR="redis://:hush-password@127.0.0.1:$REDIS_PORT" LIMITS_FILE="$file"
  started_with "$file (1 limit, sha256 $(sha256sum "$file" | cut -c1-12)), redis 127.0.0.1:$REDIS_PORT"
  run ! grep -q hush-password "$LIMITER_LOG"
  stop_limiters
  printf '  - { name: b, key: ip, capacity: 5, refill: 1/day }\n' >>"$file"
  start_program REDIS_ADDR=127.0.0.1:1 -- --limits "$file"
  started_with "$file (2 limits, sha256 $(sha256sum "$file" | cut -c1-12)), redis 127.0.0.1:1"
  stop_limiters
  start_program REDIS_ADDR=unix:/no/redis
  started_with "the built-in limits (1 limit, sha256 $(sha256sum conf/limits.yaml | cut -c1-12)), redis unix:/no/redis"
}

@test "a program that does not start logs no start" {
  run -1 "$PROGRAM" --listen "unix:$BATS_TEST_TMPDIR/no/folder"
  assert_equal "$(log_after_start - <<<"$output")" "$output"
}

# As systemd does it: the journal is a stream, here a pipe, that JOURNAL_STREAM names.
@test "lines to the journal have a priority and neither time nor name, and the lines of a start are notices" {
  local journal=$BATS_TEST_TMPDIR/journal
  PROGRAM_SOCKET=$BATS_TEST_TMPDIR/program.sock
  touch "$journal"
  local stream
  stream=$(stat -c %d:%i "$journal")
  JOURNAL_STREAM=$stream REDIS_ADDR=127.0.0.1:1 "$PROGRAM" --listen "unix:$PROGRAM_SOCKET" \
    2>>"$journal" 3>&- &
  PROGRAM_PID=$!
  start_limiter conf/lighttpd-connect.conf SOCKET="$PROGRAM_SOCKET"
  eventually asked_and_logged 'is lost' "$journal"
  assert_equal "$(grep 'is lost' "$journal")" '<4>redis 127.0.0.1:1 is lost (Connection refused): requests are decided without it'
  assert_contains "$(grep sha256 "$journal")" "<5>$("$PROGRAM" --version): the built-in limits ("
  run ! grep -v '^<[3456]>' "$journal"
}
asked_and_logged() { status / >/dev/null && grep -q "$1" "$2"; }

@test "a wrong password is logged as a loss, without the password" {
  start_redis --requirepass right
  start_program REDIS_ADDR="redis://:hush-password@127.0.0.1:$REDIS_PORT"
  eventually grep -q 'is lost (login refused: WRONGPASS)' "$LIMITER_LOG"
  run ! grep -q hush-password "$LIMITER_LOG"
}

@test "it reads the password from the file that the environment or the limits file names" {
  local file=$BATS_TEST_TMPDIR/password
  start_redis --requirepass hush-password
  echo hush-password >"$file"
  chmod 600 "$file"
  start_program REDIS_ADDR="127.0.0.1:$REDIS_PORT" REDIS_PASSWORD_FILE="$file"
  eventually ratelimited
  stop_limiters
  REDISCLI_AUTH=hush-password redis_cli ACL SETUSER alice on '>hush-password' '~rl:*' +@all
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<YAML
redis: { address: "redis://alice@127.0.0.1:$REDIS_PORT", password_file: $file }
limits: [{ name: per-user, key: "query:user | ip", capacity: 5, refill: 1/12s }]
YAML
  start_program REDIS_ADDR= LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  eventually ratelimited
  run -0 "$PROGRAM" --check --strict "$BATS_TEST_TMPDIR/limits.yaml"
  chmod 644 "$file"
  run -0 "$PROGRAM" --check "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" "limits.yaml:1:67: warning: everyone on this machine can read this password file"
}

@test "an invalid password file is a mistake with its place, and its content is never shown" {
  local file=$BATS_TEST_TMPDIR/password
  printf 'limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]\nredis: { password_file: %s }\n' "$file" \
    >"$BATS_TEST_TMPDIR/limits.yaml"
  run -2 "$PROGRAM" --check "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" 'limits.yaml:2:25: password_file: No such file or directory; name a file'
  printf 'hush\npassword\n' >"$file"
  run -2 "$PROGRAM" --check "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" 'limits.yaml:2:25: password_file: the password file holds a NUL or more than one line'
  run ! grep -q hush <<<"$output"
  echo hush-password >"$file"
  REDIS_ADDR='redis://:secret@127.0.0.1' REDIS_PASSWORD_FILE=$file run -2 "$PROGRAM" --check
  assert_contains "$output" 'a password in the address and a password file: leave one of them out'
}

@test "a password on the command line is not seen in the list of processes" {
  start_redis --requirepass hush-password
  start_program REDIS_ADDR= -- --redis "redis://:hush-password@127.0.0.1:$REDIS_PORT/3"
  eventually ratelimited
  assert_contains "$(tr '\0' ' ' <"/proc/$PROGRAM_PID/cmdline")" "--redis redis://:xxxxxxxxxxxxx@127.0.0.1:$REDIS_PORT/3"
}

@test "Redis over IPv6" {
  [[ -e /proc/net/if_inet6 ]] && grep -q ' lo$' /proc/net/if_inet6 || skip 'no IPv6 loopback here: Redis over IPv6 is NOT tested'
  start_redis --bind ::1
  start_program REDIS_ADDR="[::1]:$REDIS_PORT"
  eventually ratelimited
}

@test "a host name is resolved" {
  start_redis
  start_program REDIS_ADDR="localhost:$REDIS_PORT"
  eventually ratelimited
}

@test "an address that does not answer is passed over for the next one of the name" {
  mount_or_skip
  start_redis --bind 127.0.0.2
  # The same port of 127.0.0.1 takes connections and says nothing.
  perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 9, LocalAddr => "127.0.0.1:$ARGV[0]") or die;
    open F, ">", $ARGV[1]; close F; sleep 60' "$REDIS_PORT" "$BATS_TEST_TMPDIR/bound" 3>&- &
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/bound"
  printf '127.0.0.1 two.test\n127.0.0.2 two.test\n' >"$BATS_TEST_TMPDIR/hosts"
  start_program_seeing "$BATS_TEST_TMPDIR/hosts" /etc/hosts --redis "two.test:$REDIS_PORT"
  eventually ratelimited
}

@test "a peer that sends nothing or half a request delays neither others nor the end" {
  start_redis
  start_program REDIS_ADDR="unix:$REDIS_SOCK"
  eventually ratelimited
  perl -MIO::Socket::UNIX -e 'for $bytes ("", "\1", "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0") {
    $s = IO::Socket::UNIX->new($ARGV[0]) or die; syswrite $s, $bytes; push @open, $s }
    open F, ">", $ARGV[1]; close F; sleep 60' "$PROGRAM_SOCKET" "$BATS_TEST_TMPDIR/sent" 3>&- &
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/sent"
  assert_equal "$(status / --max-time 8)" 200 # after 10 s half a request is cut off
  kill -TERM "$PROGRAM_PID"
  ends_at_once "$PROGRAM_PID"
}

@test "a full log pipe does not block the program" {
  start_redis
  mkfifo "$BATS_TEST_TMPDIR/log"
  # The reader has the pipe open and reads nothing, and the pipe is full before the program starts.
  exec 8<>"$BATS_TEST_TMPDIR/log"
  timeout 1 cat /dev/zero >"$BATS_TEST_TMPDIR/log" || true
  PROGRAM_SOCKET=$BATS_TEST_TMPDIR/program.sock
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --listen "unix:$PROGRAM_SOCKET" 2>"$BATS_TEST_TMPDIR/log" 3>&- 8>&- &
  PROGRAM_PID=$!
  eventually test -S "$PROGRAM_SOCKET"
  start_limiter conf/lighttpd-connect.conf SOCKET="$PROGRAM_SOCKET" 8>&-
  eventually ratelimited
  kill -KILL "$REDIS_PID"
  assert_equal "$(status / --max-time 60)" 200
  kill -TERM "$PROGRAM_PID"
  eventually gone "$PROGRAM_PID"
  exec 8>&-
}

@test "after SIGTERM it answers requests in flight, removes the socket and exits with 0" {
  start_redis
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 4s }
limits: [{ name: one, key: ip, capacity: 5, refill: 1/day }]
YAML
  for signal in TERM INT; do
    start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR="unix:$REDIS_SOCK"
    eventually ratelimited
    begin_request
    kill "-$signal" "$PROGRAM_PID"
    kill -CONT "$REDIS_PID"
    assert_request_allowed
    local code=0
    wait "$PROGRAM_PID" || code=$?
    assert_equal "$code" 0
    [[ ! -e $PROGRAM_SOCKET ]]
    stop_limiters
  done
}

@test "a request in flight delays the end by at most 5 s, and is answered even then" {
  start_redis
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 10s }
limits: [{ name: one, key: ip, capacity: 5, refill: 1/day }]
YAML
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR="unix:$REDIS_SOCK"
  eventually ratelimited
  local before code=0
  begin_request
  before=$SECONDS
  kill -TERM "$PROGRAM_PID"
  wait "$PROGRAM_PID" || code=$?
  assert_equal "$code" 0
  # Redis has 10 s.
  assert_between $((SECONDS - before)) 4 8
  assert_request_allowed
}

# begin_request - a request that stays in flight, because Redis is stopped; assert_request_allowed waits for its end
begin_request() {
  kill -STOP "$REDIS_PID"
  status / >"$BATS_TEST_TMPDIR/status" &
  client=$!
  eventually in_flight
}
assert_request_allowed() {
  wait "$client"
  assert_equal "$(<"$BATS_TEST_TMPDIR/status")" 200
}

unlimited() { ! ratelimited; }

# The program has a client's connection: one socket more than when it is idle.
in_flight() { (($(find "/proc/$PROGRAM_PID/fd" -lname 'socket:*' | wc -l) > SOCKETS_IDLE)); }

# ratelimited - Redis decides about a request; SOCKETS_IDLE, the sockets of the program afterwards
ratelimited() {
  request /
  SOCKETS_IDLE=$(find "/proc/$PROGRAM_PID/fd" -lname 'socket:*' | wc -l)
  [[ -n $(header RateLimit) && $body != *'"local":true'* ]]
}

@test "the manual pages have every option, variable and field, and their example is a limits file without a warning" {
  local word
  for word in $("$PROGRAM" --help | grep -o -- '--[a-z]*' | sort -u); do
    grep -qF -- "Fl -${word#--}" conf/man/ratelimit.fcgi.8 || grep -qE -- "^\.It Fl .*-${word#--}|, -${word#--}$" conf/man/ratelimit.fcgi.8 ||
      fail "$word" 'is not in' ratelimit.fcgi.8
  done
  for word in LIMITS_FILE REDIS_ADDR REDIS_PASSWORD_FILE SIGHUP SIGTERM; do assert_contains "$(<conf/man/ratelimit.fcgi.8)" "$word"; done
  for word in $(grep -o '^| `[a-z0-9_.]*' conf/README.md | sed 's/.*`//; s/.*\.//') $(grep -o '^| `limits\[\]\.[a-z_]*' conf/README.md | sed 's/.*\.//'); do
    [[ $word =~ ^[a-z_0-9]+$ ]] || continue
    grep -qE "(Ic|Cm|Ql) .*$word" conf/man/ratelimit-limits.5 || fail "$word" 'is not in' ratelimit-limits.5
  done
  sed -n '/^\.Bd -literal/,/^\.Ed/p' conf/man/ratelimit-limits.5 | sed '1d;$d' >"$BATS_TEST_TMPDIR/limits.yaml"
  run -0 "$PROGRAM" --check --strict "$BATS_TEST_TMPDIR/limits.yaml"
}
