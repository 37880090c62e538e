#!/usr/bin/env bats
# ratelimitctl.bats - ask the processes of a host what they do, and fill buckets again.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  CTL=${PROGRAM%/*}/ratelimitctl
  SOCKETS=$(mktemp -d "$(tmpdir)/sockets.XXXXXX")
  SHARED=$SOCKETS/ratelimit.shared
}
teardown() { stop_limiters; }

# ctl ARGUMENT... - ratelimitctl about the processes of this test; $output and $status
ctl() { run env RATELIMIT_SHARED="$SHARED" "$CTL" "$@"; }

# two_limits - an enforced limit with overrides and a shadow, in two processes
two_limits() {
  start_limits SOCKET_DIR="$SOCKETS" <<'YAML'
redis: { timeout: 5s }
limits:
  - name: per-user
    key: query:user | ip
    capacity: 5
    refill: 1/h
    overrides:
      - { key: premium, capacity: 200, refill: 50/h }
      - { key: free, unlimited: true }
      - { key: mallory, blocked: true }
  - { name: new, key: ip, capacity: 3, refill: 1/h, shadow: true }
  - { name: per-route, match: { path: /api/** }, key: ip + path, capacity: 9, refill: 1/h }
YAML
  eventually both_count
}
# both_count - both processes count in the shared memory; lighttpd accepts requests before
both_count() { [[ $(RATELIMIT_SHARED=$SHARED "$CTL" status 2>/dev/null | grep -c '^process ') == 2 ]]; }

# json FILTER - what FILTER, JavaScript about the value v, makes of $output
json() { node -e 'const v = JSON.parse(process.argv[1]); console.log(String(eval(process.argv[2])))' "$output" "$1"; }

@test "status tells the processes, their limits file, Redis and what was decided" {
  two_limits
  burst 7 '/?user=alice' >/dev/null
  ctl status
  assert_equal "$status" 0
  assert_equal "$(grep -c '^process [0-9]*, version ' <<<"$output")" 2
  assert_contains "$output" "limits  $LIMITS_FILE (3 limits, sha256 $(sha256sum "$LIMITS_FILE" | cut -c1-12)), loaded "
  assert_contains "$output" "redis   unix:$REDIS_SOCK is connected"
  assert_equal "$(awk '$1 == "per-user" || $1 == "new"' <<<"$output" | tr -s ' ')" \
    "per-user 5 2 0 0 0 5"$'\n'"new 3 0 0 4 0 3"
}

@test "status --json is that of the page" {
  two_limits
  burst 7 '/?user=alice' >/dev/null
  ctl status --json
  assert_equal "$(json 'v.limits.map(l => [l.name, l.allowed, l.refused, l.shadow_refused]).join(" ")')" \
    'per-user,5,2,0 new,3,0,4 per-route,0,0,0'
  assert_equal "$(json 'v.processes.length + " " + v.drift')" '2 false'
}

@test "status tells a process that has lost Redis, and one that has refused a file" {
  two_limits
  stop "$(<"$REDIS_DIR/pid")"
  eventually says 'is LOST'
  start_redis
  eventually says 'is connected'
  echo 'limits: []' >"$LIMITS_FILE"
  eventually says 'the file has changed, and was refused'
}
# says TEXT - whether status does
says() {
  request /
  ctl status
  [[ $output == *"$1"* ]]
}

@test "status tells processes that decide by different limits" {
  two_limits
  local other
  other=$(tmpdir)/other.yaml
  sed 's/capacity: 9/capacity: 10/' "$LIMITS_FILE" >"$other"
  start_program RATELIMIT_SHARED="$SHARED" LIMITS_FILE="$other" REDIS_ADDR="unix:$REDIS_SOCK"
  eventually says DRIFT
  ctl status --json
  assert_equal "$(json 'v.processes.length + " " + v.drift')" '3 true'
}

@test "counters go on when a process is killed and when all are restarted" {
  two_limits
  burst 7 '/?user=alice' >/dev/null
  # shellcheck disable=SC2046  # the pids are words
  kill -9 $(cat "/proc/$LIGHTTPD_PID/task/$LIGHTTPD_PID/children")
  eventually answers_with 429 '/?user=alice'
  stop_limiters
  two_limits
  burst 3 '/?user=alice' >/dev/null
  ctl status
  assert_equal "$(awk '$1 == "per-user" { print $2 }' <<<"$output")" 5
  assert_between "$(awk '$1 == "per-user" { print $3 }' <<<"$output")" 6 30
}
# answers_with STATUS TARGET
answers_with() { [[ $(code "$2") == "$1" ]]; }
# code TARGET - the status of its answer; $status stays that of ctl
code() { curl -s -o /dev/null -w '%{http_code}' "$URL$1"; }

@test "top lists who was refused most, with the limit" {
  two_limits
  burst 12 '/?user=alice' >/dev/null
  burst 6 '/?user=bob' >/dev/null
  burst 2 '/?user=mallory' >/dev/null
  ctl top
  assert_equal "$(awk 'NR > 1 { print $1, $2, $NF }' <<<"$output")" "7 per-user rl:{query:user=alice}:per-user
2 per-user rl:{query:user=mallory}:per-user
1 per-user rl:{query:user=bob}:per-user"
  ctl top --shadow
  assert_equal "$(awk 'NR > 1 { print $1, $2, $NF }' <<<"$output")" '15 new rl:{ip=127.0.0.1}:new'
  ctl top --json --limit new
  assert_equal "$(tr -d '\n' <<<"$output")" '[]'
  ctl top --json --limit per-user
  assert_equal "$(json 'v.map(r => [r.count, r.error, r.first <= r.last].join()).join(" ")')" '7,0,true 2,0,true 1,0,true'
}

@test "peek tells every bucket of a request, and how often it refused" {
  two_limits
  burst 7 '/?user=alice' >/dev/null
  ctl peek 'GET /api/x?user=alice' --ip 127.0.0.1
  assert_equal "$status" 0
  assert_equal "$(awk 'NR > 1 { print $1, $2, $3, $4, $7, $NF }' <<<"$output")" \
    "per-user 0 of 5 2 rl:{query:user=alice}:per-user
new 0 of 3 4 rl:{ip=127.0.0.1}:new
per-route 9 of 9 - rl:{ip=127.0.0.1+path=/api/x}:per-route"
  ctl peek 'GET /?user=alice' --ip 127.0.0.1 --json
  assert_equal "$(json 'v.map(b => [b.limit, b.tokens, b.capacity, b.refused].join()).join(" ")')" 'per-user,0,5,2 new,0,3,4'
  # Nothing was taken.
  assert_equal "$(tokens 'rl:{query:user=alice}:per-user' 5 3600)" 0
}

@test "peek --key names a client as overrides do, for each alternative of a key" {
  two_limits
  burst 2 '/?user=premium' >/dev/null
  ctl peek --limit per-user --key premium
  assert_equal "$(awk 'NR > 1 { print $1, $2, $3, $4, $NF }' <<<"$output")" 'per-user 198 of 200 rl:{query:user=premium}:per-user'
  ctl peek --key 127.0.0.1
  assert_equal "$(awk 'NR > 1 { print $NF }' <<<"$output")" 'rl:{ip=127.0.0.1}:per-user
rl:{ip=127.0.0.1}:new'
  ctl peek --limit per-route --key '127.0.0.1 + /api/x'
  assert_contains "$output" 'rl:{ip=127.0.0.1+path=/api/x}:per-route'
  ctl peek --limit per-user --key mallory
  assert_equal "$(awk 'NR > 1 { print $2 }' <<<"$output")" blocked
  ctl peek --limit per-user --key free --json
  assert_equal "$(json 'v[0].override')" unlimited
}

@test "reset fills the buckets of one client, in all limits or in one" {
  two_limits
  burst 6 '/?user=alice' >/dev/null
  burst 6 '/?user=bob' >/dev/null
  ctl reset --limit per-user --key alice
  assert_equal "$output" '1 bucket filled; those that were full already are not counted'
  assert_equal "$(code '/?user=alice')" 200
  assert_equal "$(code '/?user=bob')" 429
  ctl reset 'GET /?user=bob' --ip 127.0.0.1 --json
  assert_equal "$(json v.reset)" 2
  assert_equal "$(code '/?user=bob')" 200
}

@test "reset --all fills every bucket, or those of one limit, and nothing else" {
  two_limits
  for user in a b c; do burst 6 "/?user=$user" >/dev/null; done
  redis_cli MSET other 1 'rl:{probe}' 1 'rl:notabucket' 1 'xrl:{a}:per-user' 1 >/dev/null
  ctl reset --all
  assert_equal "$status" 1
  assert_contains "$output" 'without a terminal, add --yes'
  ctl reset --all --yes --limit per-user --json
  assert_equal "$(json v.reset)" 3
  assert_equal "$(redis_cli EXISTS 'rl:{ip=127.0.0.1}:new')" 1
  ctl reset --all --yes
  assert_equal "$status" 0
  assert_equal "$(redis_keys | tr '\n' ' ')" 'other rl:notabucket rl:{probe} xrl:{a}:per-user '
}

@test "reset --all of a hundred thousand buckets does not hold up Redis" {
  two_limits
  seq -f 'SET rl:{query:user=u%g}:per-user 1' 100000 | redis_cli --pipe >/dev/null
  redis_cli CONFIG RESETSTAT >/dev/null
  redis_cli SLOWLOG RESET >/dev/null
  redis_cli CONFIG SET slowlog-log-slower-than 50000 >/dev/null
  ctl reset --all --yes --json
  assert_equal "$(json v.reset)" 100000
  assert_equal "$(redis_cli SLOWLOG LEN)" 0
}

@test "watch shows decisions as they happen, of one limit or one client" {
  two_limits
  local file pid
  file=$(tmpdir)/watched
  RATELIMIT_SHARED=$SHARED "$CTL" watch --limit per-user --key alice >"$file" 3>&- &
  pid=$!
  eventually watched 'refused  *0 left  rl:{query:user=alice}:per-user'
  assert_equal "$(grep -c bob "$file" || true)" 0
  assert_equal "$(grep -c ':new' "$file" || true)" 0
  ctl watch
  assert_equal "$status" 1
  assert_contains "$output" 'another watch runs on this host'
  stop "$pid"
}
# watched PATTERN - after requests of two users, whether the watcher has written it
watched() {
  request '/?user=alice'
  request '/?user=bob'
  grep -q "$1" "$(tmpdir)/watched"
}

@test "without a process that shares memory, the message says what to name" {
  run env RATELIMIT_SHARED="$(tmpdir)/nothing" "$CTL" status
  assert_equal "$status" 1
  assert_contains "$output" "$(tmpdir)/nothing: No such file or directory"
}

@test "without Redis, peek and reset say so within the timeout" {
  two_limits
  local begin=$SECONDS
  for command in peek reset; do
    ctl "$command" --key alice --redis 127.0.0.1:1
    assert_equal "$status" 1
    assert_equal "$output" 'ratelimitctl: redis 127.0.0.1:1: Connection refused'
  done
  # A server that accepts and says nothing.
  silent_server
  ctl peek --key alice --redis "127.0.0.1:$SILENT_PORT"
  assert_equal "$status" 1
  assert_contains "$output" "redis 127.0.0.1:$SILENT_PORT: no reply in time"
  stop "$SILENT_PID"
  assert_between $((SECONDS - begin)) 0 30
}
# silent_server - a listener that never answers; SILENT_PORT, SILENT_PID
silent_server() {
  SILENT_PORT=$(free_port)
  node -e 'require("net").createServer(() => {}).listen(process.argv[1], "127.0.0.1")' "$SILENT_PORT" 3>&- &
  SILENT_PID=$!
  eventually accepts_tcp "$SILENT_PORT"
}

@test "the password of the limits file is used" {
  redis_cli CONFIG SET requirepass secret >/dev/null
  local password
  password=$(tmpdir)/password
  printf secret >"$password"
  chmod 600 "$password"
  start_limits SOCKET_DIR="$SOCKETS" REDIS_ADDR= <<YAML
redis: { address: "unix:$REDIS_SOCK", password_file: $password, timeout: 5s }
limits: [{ name: per-user, key: "query:user", capacity: 5, refill: 1/h }]
YAML
  request '/?user=alice'
  ctl peek --key alice
  local said=$output
  redis_cli -a secret CONFIG SET requirepass '' >/dev/null 2>&1
  assert_contains "$said" '4 of 5'
}

@test "what cannot be meant is an error that says what is right" {
  two_limits
  local line
  while IFS='|' read -r arguments want; do
    # shellcheck disable=SC2086  # the arguments are words
    ctl $arguments
    assert_equal "$status" 2
    assert_contains "$output" "$want"
  done <<'TABLE'
|a command is missing; see --help
stat|'stat' is no command; did you mean 'status'?
peek|name a request, such as 'GET /x?user=alice', or a client, with --key
peek --key a --limit per-usr|'per-usr' is no limit of the limits file; did you mean 'per-user'?
peek --key prem* --limit per-user|--key 'prem*': it is for several clients; name one
peek --key 10.0.0.0/8 --limit new|--key '10.0.0.0/8': it is for several clients; name one
peek --key alice --limit per-route|--key 'alice': the key of the limit has another number of sources
peek a b|name a request
reset --all --key alice|--all is for every client
status --watch|'--watch' goes with top
status x|'x' is one word too many
top --nothing|'--nothing' is no option
peek --ip nowhere GET|--ip is no address
TABLE
}

@test "a misspelled limit is an error beside a name of 64 bytes" {
  local name
  name=$(printf 'n%.0s' {1..64})
  echo "limits: [{ name: $name, key: ip, capacity: 1, refill: 1/s }, { name: per-user, key: ip, capacity: 1, refill: 1/s }]" \
    >"$(tmpdir)/long.yaml"
  ctl peek --limits "$(tmpdir)/long.yaml" --key 192.0.2.1 --limit per-usr
  assert_equal "$status" 2
  assert_equal "$output" "ratelimitctl: 'per-usr' is no limit of the limits file; did you mean 'per-user'?"
}

@test "--help and --version tell of ratelimitctl" {
  ctl --help
  assert_contains "$output" 'usage: ratelimitctl status'
  assert_contains "$output" 'ratelimitctl peek '
  ctl --version
  assert_equal "$output" "ratelimitctl $("$PROGRAM" --version | cut -d' ' -f2)"
  ctl help
  assert_equal "$status" 0
}

@test "peek knows the overrides of the file for a network and for a path, and a path with a slash at its end" {
  start_limits SOCKET_DIR="$SOCKETS" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: per-ip, key: ip, capacity: 5, refill: 1/h, overrides: [{ key: 10.0.0.0/8, capacity: 7 }] }
  - name: per-route
    key: ip + path
    capacity: 5
    refill: 1/h
    overrides: [{ key: [10.0.0.0/8, /api/**], capacity: 9 }]
YAML
  eventually both_count
  ctl peek --key 10.1.2.3
  assert_contains "$output" ' 7 of 7 '
  ctl peek --key '10.1.2.3 + /api/x/'
  assert_contains "$output" ' 9 of 9 '
  assert_contains "$output" 'rl:{ip=10.1.2.3+path=/api/x}:per-route'
  ctl peek --key 'rl:{ip=192.0.2.7}:per-ip'
  assert_contains "$output" ' 5 of 5 '
  ctl peek --key 'rl:{ip=192.0.2.7}:per-user'
  assert_equal "$status" 2
  assert_contains "$output" 'the limits file has no such limit'
}

@test "the manual page and the completion have every command and option" {
  ctl --help
  local word commands options
  commands=$(sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' <<<"$output")
  options=$(sed -n 's/^  \(--*[a-zA-Z][a-z]*\)[ =].*/\1/p' <<<"$output")
  assert_contains "$commands" peek
  assert_contains "$options" --shadow
  for word in $commands; do
    grep -qE "^\.(It )?Cm (.* )?$word" conf/man/ratelimitctl.8 || fail "$word" 'is not in' ratelimitctl.8
  done
  for word in $options; do
    grep -qF -- "Fl ${word#-}" conf/man/ratelimitctl.8 || fail "$word" 'is not in' ratelimitctl.8
  done
  assert_equal "$(completions ratelimitctl '' | sort | xargs)" "$(sort <<<"$commands
--help
--version" | xargs)"
  assert_equal "$(completions ratelimitctl pe)" peek
  for word in $options; do
    completions ratelimitctl reset '-' >"$BATS_TEST_TMPDIR/words"
    completions ratelimitctl top '-' >>"$BATS_TEST_TMPDIR/words"
    completions ratelimitctl override list '-' >>"$BATS_TEST_TMPDIR/words"
    grep -qxF -- "$word" "$BATS_TEST_TMPDIR/words" || fail "$word" 'is not completed'
  done
}
# completions WORD... - what bash completes the last WORD to
completions() {
  bash -c 'source conf/completion/ratelimitctl
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _ratelimitctl
    printf "%s\n" "${COMPREPLY[@]}"' _ "$@"
}
