#!/usr/bin/env bats
# metrics.bats - the page of metrics, and the alerts and the configuration of Prometheus that use it.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  SOCKETS=$(mktemp -d "$(tmpdir)/sockets.XXXXXX")
}
teardown() { stop_limiters; }

# three_limits - an enforced limit with a cost and overrides, a shadow, and one that denies without Redis
three_limits() {
  start_limits SOCKET_DIR="$SOCKETS" <<'YAML'
redis: { timeout: 5s }
limits:
  - name: per-user
    key: query:user
    capacity: 6
    refill: 1/day
    cost: 2
    overrides: [{ key: mallory, blocked: true }]
  - { name: new, key: "query:user", capacity: 1, refill: 1/day, shadow: true }
  - { name: strict, match: { path: /strict }, key: ip, capacity: 9, refill: 1/day, on_redis_failure: deny }
YAML
}

# metric SERIES - its value
metric() { curl -s "$URL/-/metrics" | awk -v series="$1" 'index($0, series " ") == 1 { print $NF }'; }

# decisions LIMIT - how often it was allowed, refused, blocked, shadow_refused, undecided_allowed and undecided_denied
decisions() {
  local decision
  for decision in allowed refused blocked shadow_refused undecided_allowed undecided_denied; do
    metric "ratelimit_decisions_total{limit=\"$1\",decision=\"$decision\"}"
  done | xargs
}

@test "promtool finds nothing wrong with the page" {
  three_limits
  burst 5 '/?user=alice' >/dev/null
  run promtool check metrics < <(curl -s "$URL/-/metrics")
  assert_equal "$output" ''
  assert_equal "$status" 0
}

@test "the numbers are those of the requests, with and without Redis, over two processes" {
  three_limits
  burst 5 '/?user=alice' >/dev/null
  burst 2 '/?user=mallory' >/dev/null
  assert_equal "$(decisions per-user)" '3 2 2 0 0 0'
  assert_equal "$(decisions new)" '1 0 0 4 0 0'
  assert_equal "$(metric 'ratelimit_tokens_taken_total{limit="per-user"}')" 6
  assert_equal "$(metric 'ratelimit_responses_total{status="200"}')" 3
  assert_equal "$(metric 'ratelimit_responses_total{status="429"}')" 2
  assert_equal "$(metric 'ratelimit_responses_total{status="403"}')" 2
  assert_equal "$(metric ratelimit_processes)" 2
  assert_equal "$(metric ratelimit_redis_ready)" 2
  assert_equal "$(metric ratelimit_redis_latency_seconds_count)" 5
  assert_equal "$(metric "ratelimit_limits_processes{sha256=\"$(sha256sum "$LIMITS_FILE" | cut -d' ' -f1)\"}")" 2
  stop "$(<"$REDIS_DIR/pid")"
  eventually lost
  local before
  before=$(metric 'ratelimit_decisions_total{limit="strict",decision="undecided_denied"}')
  assert_equal "$(status '/strict?user=x')" 503
  assert_equal "$(metric 'ratelimit_decisions_total{limit="strict",decision="undecided_denied"}')" $((before + 1))
  eventually is_down
  start_redis
}
# lost - whether both processes know that Redis is away
lost() { status / >/dev/null && [[ $(metric ratelimit_redis_ready) == 0 ]]; }
is_down() { awk -v s="$(metric ratelimit_redis_down_seconds_total)" 'BEGIN { exit !(s > 0) }'; }

@test "the numbers never go down when a process is killed or the server is started again" {
  three_limits
  burst 5 '/?user=alice' >/dev/null
  # shellcheck disable=SC2046  # the pids are words
  kill -9 $(cat "/proc/$LIGHTTPD_PID/task/$LIGHTTPD_PID/children")
  eventually still_three
  stop_limiters
  three_limits
  eventually still_three
}
still_three() { [[ $(metric 'ratelimit_decisions_total{limit="per-user",decision="allowed"}') == 3 ]]; }

@test "a client that accepts OpenMetrics gets it" {
  three_limits
  run curl -s -D - -H 'Accept: application/openmetrics-text; version=1.0.0' "$URL/-/metrics"
  assert_contains "$output" 'Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8'
  assert_contains "$output" '# TYPE ratelimit_decisions counter'
  assert_equal "$(tail -n 1 <<<"$output")" '# EOF'
}

@test "the buckets of a histogram grow, and no client is on the page" {
  three_limits
  burst 9 '/?user=alice-in-wonderland' -H 'X-API-Key: alice-secret' >/dev/null
  local page
  page=$(curl -s "$URL/-/metrics")
  assert_equal "$(grep -c alice <<<"$page" || true)" 0
  run awk '/^ratelimit_redis_latency_seconds_bucket/ { if ($NF < before) exit 1; before = $NF } END { print before }' <<<"$page"
  assert_equal "$status $output" '0 9'
}

@test "a thousand limits are a page that promtool reads" {
  {
    echo 'limits:'
    seq 1000 | sed 's,.*,  - { name: limit-&\, match: { path: /p& }\, key: ip\, capacity: 5\, refill: 1/s },'
  } >"$(tmpdir)/many.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$(tmpdir)/many.yaml" SOCKET_DIR="$SOCKETS"
  curl -s "$URL/-/metrics" >"$(tmpdir)/page"
  run promtool check metrics <"$(tmpdir)/page"
  assert_equal "$status$output" 0
  assert_equal "$(grep -c '^ratelimit_decisions_total{' "$(tmpdir)/page")" 6000
}

@test "the table of conf/prometheus/README.md has every metric, with its type and meaning" {
  three_limits
  local page table
  page=$(curl -s "$URL/-/metrics" | awk '
    /^# HELP / { help = $0; sub(/^# HELP [^ ]* /, "", help) }
    /^# TYPE / { printf "| `%s` | %s | %s |\n", $3, $4, help }')
  table=$(grep '^| `ratelimit_' conf/prometheus/README.md)
  assert_equal "$table" "$page"
}

@test "promtool takes the configuration and the rules, and each alert fires when it should" {
  run promtool check config conf/prometheus/prometheus.yaml
  assert_equal "$status" 0
  run promtool check rules conf/prometheus/alerts.yaml
  assert_equal "$status" 0
  assert_contains "$output" '8 rules found'
  run promtool test rules conf/prometheus/alerts.test.yaml
  assert_equal "$status" 0
  local alert
  while read -r alert; do
    assert_equal "$(grep -c "name: $alert " conf/prometheus/alerts.test.yaml)" 2
  done < <(sed -n 's/^ *- alert: //p' conf/prometheus/alerts.yaml)
}

@test "the rules use metrics that are on the page" {
  three_limits
  local page metric
  page=$(curl -s "$URL/-/metrics")
  while read -r metric; do
    grep -qE "^${metric}[ {]" <<<"$page" || fail "$metric" 'is not on' 'the page'
  done < <(grep -o 'ratelimit_[a-z_]*' conf/prometheus/alerts.yaml | sort -u)
}
