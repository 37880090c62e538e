#!/usr/bin/env bats
# metrics.bats - the page of metrics: its format, and that its numbers are exact, whatever happens to the processes.

bats_require_minimum_version 1.5.0
load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  [[ $(redis_cli PING) == PONG ]] || start_redis # a test may have stopped it
  redis_cli FLUSHALL >/dev/null
}
teardown() { stop_limiters; }

# limits - a limit by user that lets bob through and blocks mallory, one with a cost, a shadow, and one that denies without
# Redis; two processes, which share memory, of a folder that a second call uses again
limits() {
  start_limits SOCKET_DIR="$BATS_TEST_TMPDIR" <<'YAML'
redis: { timeout: 5s }
limits:
  - name: per-user
    match: { path: /user }
    key: query:user
    capacity: 5
    refill: 1/day
    on_redis_failure: allow
    overrides: [{ key: mallory, blocked: true }, { key: bob, unlimited: true }]
  - { name: costly, match: { path: /costly }, key: query:user, capacity: 20, refill: 1/day, cost: 7 }
  - { name: new, match: { path: /user }, key: query:user, capacity: 3, refill: 1/day, shadow: true }
  - { name: strict, match: { path: /strict }, key: query:user, capacity: 5, refill: 1/day, on_redis_failure: deny }
YAML
}

# page - the page of metrics
page() { curl --fail --silent "$URL/-/metrics"; }

# metric SERIES - its value on the page
metric() { page | awk -v series="$1" 'index($0, series " ") == 1 { print $NF }'; }

# decisions LIMIT - its counters that are not 0, as "allowed=5 refused=2"
decisions() {
  page | sed -n "s/^ratelimit_decisions_total{limit=\"$1\",decision=\"\([a-z_]*\)\"} /\1=/p" | grep -v '=0$' | xargs
}

# series - the page without comments and gauges, sorted: what never decreases
series() {
  page | awk '/^# TYPE/ { grows = $4 != "gauge" } !/^#/ && grows' | sort
}

# assert_grown BEFORE AFTER - both of series: AFTER has each series of BEFORE, with at least its value
assert_grown() {
  local decreased
  decreased=$(join -t ' ' -a 1 <(printf '%s\n' "$1") <(printf '%s\n' "$2") | awk 'NF < 3 || $3 < $2')
  assert_equal "$decreased" ''
}

# all_are_ready - both processes have a connection to Redis
all_are_ready() { [[ $(metric ratelimit_redis_ready) == 2 && $(metric ratelimit_processes) == 2 ]]; }

@test "promtool check metrics takes the page, and its content type is that of the format" {
  limits
  burst 7 '/user?user=alice' >/dev/null
  page >"$BATS_TEST_TMPDIR/page"
  run -0 promtool check metrics <"$BATS_TEST_TMPDIR/page"
  assert_equal "$output" ''
  request /-/metrics
  assert_equal "$(header Content-Type)" 'text/plain; version=0.0.4; charset=utf-8'
  # Every series is there once.
  assert_equal "$(grep -v '^#' "$BATS_TEST_TMPDIR/page" | sed 's/ [^ ]*$//' | sort | uniq -d)" ''
}

@test "decisions, tokens and answers are counted exactly, over both processes" {
  limits
  eventually all_are_ready
  assert_equal "$(burst 60 '/user?user=alice')" '200:5 429:55'
  assert_equal "$(burst 11 '/user?user=mallory')" '403:11'
  assert_equal "$(burst 4 '/user?user=bob')" '200:4'
  assert_equal "$(burst 9 '/costly?user=alice')" '200:2 429:7'
  assert_equal "$(burst 3 '/strict?user=alice')" '200:3'
  assert_equal "$(decisions per-user)" 'allowed=9 refused=55 blocked=11'
  assert_equal "$(metric 'ratelimit_tokens_taken_total{limit="per-user"}')" 5
  assert_equal "$(decisions costly)" 'allowed=2 refused=7'
  assert_equal "$(metric 'ratelimit_tokens_taken_total{limit="costly"}')" 14
  assert_equal "$(decisions strict)" 'allowed=3'
  assert_equal "$(metric 'ratelimit_responses_total{status="200"}')" 14
  assert_equal "$(metric 'ratelimit_responses_total{status="403"}')" 11
  assert_equal "$(metric 'ratelimit_responses_total{status="429"}')" 62
  # mallory is blocked without Redis; bob's requests ask for the shadow's bucket alone.
  assert_equal "$(metric ratelimit_redis_latency_seconds_count)" 76
  assert_equal "$(metric ratelimit_request_duration_seconds_count)" 87
  assert_equal "$(metric "ratelimit_limits_processes{sha256=\"$(sha256sum "$LIMITS_FILE" | cut -d ' ' -f 1)\"}")" 2
  # Whichever process answers, the page has the sums of both.
  local before
  before=$(page | grep '^ratelimit_decisions_total')
  for _ in {1..10}; do assert_equal "$(page | grep '^ratelimit_decisions_total')" "$before"; done
}

@test "a shadow limit counts what it would have refused" {
  limits
  assert_equal "$(statuses_of 5 '/user?user=carol')" '200 200 200 200 200'
  assert_equal "$(decisions new)" 'allowed=3 shadow_refused=2'
  assert_equal "$(metric 'ratelimit_tokens_taken_total{limit="new"}')" 3
}
# statuses_of COUNT PATH - the statuses of so many requests, one after the other
statuses_of() {
  local list='' _
  for _ in $(seq "$1"); do list+=" $(status "$2")"; done
  echo "${list# }"
}

@test "requests that are decided without Redis are counted by what they got, and by why" {
  limits
  eventually all_are_ready
  burst 2 '/user?user=dave' >/dev/null
  stop "$REDIS_PID"
  eventually none_is_ready
  assert_equal "$(metric ratelimit_redis_losses_total)" 2
  local lost
  lost=$(metric 'ratelimit_undecided_requests_total{reason="lost"}')
  assert_equal "$(burst 8 '/user?user=dave')" '200:8'
  assert_equal "$(burst 6 '/strict?user=dave')" '503:6'
  assert_equal "$(decisions per-user)" 'allowed=2 undecided_allowed=8'
  assert_equal "$(decisions strict)" 'undecided_denied=6'
  assert_equal "$(metric 'ratelimit_responses_total{status="503"}')" 6
  assert_equal "$(($(metric 'ratelimit_undecided_requests_total{reason="lost"}') - lost))" 14
  eventually is_above ratelimit_redis_down_seconds_total 0
  start_redis
  eventually all_are_ready
  assert_equal "$(metric ratelimit_redis_connects_total)" 4
}
none_is_ready() { [[ $(metric ratelimit_redis_ready) == 0 ]]; }
# is_above SERIES NUMBER
is_above() { awk -v value="$(metric "$1")" -v least="$2" 'BEGIN { exit !(value > least) }'; }

@test "no counter decreases when processes are killed, or when all are started anew" {
  local pid before after processes
  limits
  burst 40 '/user?user=erin' >/dev/null
  before=$(series)
  for _ in 1 2 3; do
    for pid in $(worker_pids); do
      kill -KILL "$pid"
      eventually gone "$pid"
    done
    eventually serves_again
    after=$(series)
    assert_grown "$before" "$after"
    before=$after
  done
  assert_equal "$(decisions per-user)" 'allowed=5 refused=35'

  processes=$(worker_pids)
  stop_limiters
  for pid in $processes; do eventually gone "$pid"; done
  limits
  eventually serves_again
  assert_grown "$before" "$(series)"
  burst 3 '/user?user=erin' >/dev/null
  assert_equal "$(decisions per-user)" 'allowed=5 refused=38'
}
# serves_again - both processes answer
serves_again() { [[ $(status /-/metrics) == 200 ]] && all_are_ready; }

@test "OpenMetrics, for a client that accepts it, has the same samples" {
  limits
  burst 7 '/user?user=alice' >/dev/null
  # What Prometheus 2.42 sends.
  local accept='application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
  request /-/metrics -H "Accept: $accept"
  assert_equal "$(header Content-Type)" 'application/openmetrics-text; version=1.0.0; charset=utf-8'
  assert_equal "$(tail -n 1 <<<"$body")" '# EOF'
  assert_equal "$(grep -c '^# TYPE [a-z_]*_total counter' <<<"$body" || true)" 0
  assert_contains "$body" '# TYPE ratelimit_decisions counter'
  assert_contains "$body" 'ratelimit_decisions_total{limit="per-user",decision="refused"} 2'
  assert_equal "$(grep -v '^#' <<<"$body" | sed 's/ [^ ]*$//')" "$(page | grep -v '^#' | sed 's/ [^ ]*$//')"
}

@test "the buckets of a histogram are cumulative, and the last one is the count" {
  limits
  burst 30 '/user?user=alice' >/dev/null
  local metric
  for metric in ratelimit_redis_latency_seconds ratelimit_request_duration_seconds; do
    page | awk -v metric="$metric" '
      index($0, metric "_bucket") == 1 { if ($2 < last) print "decreases: " $0; last = $2; buckets++ }
      $1 == metric "_count" && ($2 != last || $2 != 30) { print "is not 30, the last bucket: " $0 }
      $1 == metric "_sum" && $2 <= 0 { print "is not above 0: " $0 }
      END { if (buckets != 14) print buckets " buckets" }' >"$BATS_TEST_TMPDIR/found"
    assert_equal "$metric $(<"$BATS_TEST_TMPDIR/found")" "$metric "
  done
}

@test "no client is on the page" {
  limits
  burst 9 '/user?user=sensitive-name' -H 'X-API-Key: sensitive-key' >/dev/null
  burst 2 '/user?user=mallory' >/dev/null
  assert_equal "$(page | grep -ciE 'sensitive|mallory|127\.0\.0\.1|rl:|query' || true)" 0
}

@test "a thousand limits are a page that promtool takes, with a series for each" {
  seq 1000 | sed '1i\
redis: { timeout: 5s }\
limits:
s|^[0-9].*|  - { name: "limit-&", match: { path: "/&" }, key: "query:user", capacity: 1, refill: 1/day }|' >"$BATS_TEST_TMPDIR/many.yaml"
  start_limits <"$BATS_TEST_TMPDIR/many.yaml"
  burst 3 '/1000?user=alice' >/dev/null
  page >"$BATS_TEST_TMPDIR/page"
  run -0 promtool check metrics <"$BATS_TEST_TMPDIR/page"
  assert_equal "$(grep -c '^ratelimit_tokens_taken_total{' "$BATS_TEST_TMPDIR/page")" 1000
  assert_equal "$(decisions limit-1000)" 'allowed=1 refused=2'
}
