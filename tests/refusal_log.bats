#!/usr/bin/env bats
# refusal_log.bats - the log summarises what was refused, at most one line for each limit every ten seconds.

load helper

# Beside the tests a client is refused all the time, until the last test looks at the log of its limiter.
setup_file() {
  start_redis
  two_limits '' WORKERS=1
  export STEADY_LOG=$LIMITER_LOG STEADY_BEGIN=$EPOCHSECONDS
  while :; do
    status '/?user=steady' >/dev/null
    sleep 0.2
  done 3>&- &
  export HELPER_PIDS=$!
}
teardown_file() { stop_all; }

setup() {
  unset LIGHTTPD_PIDS # teardown stops what a test starts, and teardown_file what setup_file started
  redis_cli FLUSHALL >/dev/null
}
teardown() { stop_limiters; }

# two_limits MORE [VARIABLE=VALUE...] - an enforced limit of 5 tokens and a shadow of 3 by user; MORE: a line of the file.
# Two processes, which share memory.
two_limits() {
  start_limits "${@:2}" <<YAML
redis: { timeout: 5s }
$1
limits:
  - { name: per-user, key: "query:user", capacity: 5, refill: 1/day }
  - { name: new, key: "query:user", capacity: 3, refill: 1/day, shadow: true }
YAML
}

# summaries LIMIT - what the log says of it, from its name on
summaries() { grep -o "limit $1 .*" "$LIMITER_LOG" || true; }

# logged LIMIT COUNT - whether the lines about LIMIT say that COUNT requests were or would have been refused in all
logged() {
  [[ $(summaries "$1" | sed -E 's/.*refused ([0-9]+) requests? of.*/\1/' | awk '{ sum += $1 } END { print sum + 0 }') == "$2" ]]
}

@test "the log says how many requests of how many clients a limit has refused, and whose most" {
  two_limits ''
  burst 25 '/?user=alice' >/dev/null
  burst 9 '/?user=bob' >/dev/null
  burst 4 '/?user=carol' >/dev/null
  eventually logged per-user 24
  eventually logged new 29
  # The requests may be in two intervals of ten seconds.
  assert_contains "$(summaries per-user)" ' s, most often rl:{query:user=alice}:per-user ('
  assert_contains "$(grep 'limit new' "$LIMITER_LOG")" 'shadow limit new would have refused '
  local lines
  lines=$(summaries per-user | wc -l)
  assert_between "$lines" 1 2
  ((lines == 2)) || assert_equal "$(summaries per-user)" \
    'limit per-user refused 24 requests of 2 clients in 10 s, most often rl:{query:user=alice}:per-user (20)'
}

@test "one process of a host logs the refusals of all, and another goes on when it ends" {
  two_limits ''
  burst 25 '/?user=alice' >/dev/null
  eventually logged per-user 20
  local first pid
  first=$(grep 'limit per-user' "$LIMITER_LOG" | sed -E 's/.*fcgi\[([0-9]+)\].*/\1/' | sort -u)
  assert_equal "$(wc -l <<<"$first")" 1
  pid=$first
  kill -9 "$pid"
  eventually answers_with 429 '/?user=alice'
  burst 30 '/?user=alice' >/dev/null
  local refused
  refused=$(metric 'ratelimit_decisions_total{limit="per-user",decision="refused"}')
  # What is refused between the last look of the first process and its death is not in the log.
  eventually logged_by_another "$pid"
  assert_between "$refused" 50 52
}
# answers_with STATUS TARGET
answers_with() { [[ $(status "$2") == "$1" ]]; }
# metric SERIES - its value on the page of metrics
metric() { curl -s "$URL/-/metrics" | awk -v series="$1" 'index($0, series " ") == 1 { print $NF }'; }
# logged_by_another PID - whether a process that is not PID has logged a refusal
logged_by_another() { grep 'limit per-user' "$LIMITER_LOG" | grep -vqF "fcgi[$1]"; }

@test "a stop logs what was refused since the last line" {
  two_limits '' WORKERS=1
  burst 7 '/?user=alice' >/dev/null
  kill -INT "$LIGHTTPD_PID"
  eventually logged per-user 2
  assert_equal "$(summaries per-user | wc -l)" 1
}

@test "a client that is blocked is in the summary" {
  start_limits WORKERS=1 <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: old, key: "query:user", capacity: 9, refill: 1/day, overrides: [{ key: mallory, blocked: true }] }
YAML
  burst 3 '/?user=mallory' >/dev/null
  kill -INT "$LIGHTTPD_PID"
  eventually logged old 3
  assert_contains "$(summaries old)" 'limit old refused 3 requests of 1 client in '
  assert_contains "$(summaries old)" ' s, most often rl:{query:user=mallory}:old (3)'
}

@test "log: { refusals: off } leaves the summaries out" {
  two_limits 'log: { refusals: off }' WORKERS=1
  burst 9 '/?user=alice' >/dev/null
  kill -INT "$LIGHTTPD_PID"
  eventually test ! -d "/proc/$LIGHTTPD_PID"
  assert_equal "$(grep -c refused "$LIMITER_LOG" || true)" 0
}

@test "another value of log is an error that says what is right" {
  local file
  file=$(tmpdir)/limits.yaml
  printf 'log: { refusals: no }\nlimits: [{ name: a, key: ip, capacity: 1, refill: 1/s }]\n' >"$file"
  run "$PROGRAM" --check "$file"
  assert_equal "$status" 2
  assert_contains "$output" "limits.yaml:1:18: "
  assert_contains "$output" 'off or on'
}

@test "a limit that refuses all the time has one line in ten seconds" {
  local lines
  LIMITER_LOG=$STEADY_LOG
  eventually has_summaries 3
  lines=$(summaries per-user | wc -l)
  assert_between "$lines" 3 $(((EPOCHSECONDS - STEADY_BEGIN) / 10 + 1))
}
# has_summaries COUNT - whether the log has so many lines
has_summaries() { (($(summaries per-user | wc -l) >= $1)); }
