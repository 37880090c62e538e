#!/usr/bin/env bats
# prometheus.bats - conf/prometheus: the alerts, the dashboard and the documents fit /-/metrics, in a real Prometheus.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  start_redis
  start_limits <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: per-user, key: query:user, capacity: 5, refill: 1/day }
  - { name: new, key: query:user, capacity: 3, refill: 1/day, shadow: true }
YAML
  burst 7 '/?user=alice' >/dev/null
  export PAGE=$BATS_FILE_TMPDIR/page
  curl -s "$URL/-/metrics" >"$PAGE"
}
teardown_file() { stop_all; }
teardown() {
  local pid
  for pid in $HELPER_PIDS; do stop "$pid"; done
}

# start_prometheus - Prometheus with conf/prometheus, which scrapes URL each second, on PROMETHEUS
start_prometheus() {
  local port dir=$BATS_TEST_TMPDIR/prometheus
  port=$(free_port)
  PROMETHEUS=http://127.0.0.1:$port
  mkdir "$dir"
  cp conf/prometheus/alerts.yaml "$dir"
  sed "s/_interval: 15s/_interval: 1s/; s/127.0.0.1:8080/${URL#http://}/" conf/prometheus/prometheus.yaml >"$dir/prometheus.yaml"
  prometheus --config.file="$dir/prometheus.yaml" --storage.tsdb.path="$dir/data" --web.listen-address="127.0.0.1:$port" \
    2>"$dir/log" 3>&- &
  HELPER_PIDS+=" $!"
  eventually accepts_tcp "$port"
}

# query EXPRESSION - its samples, as promtool prints them
query() { promtool query instant "$PROMETHEUS" "$1"; }
# has_value EXPRESSION - whether it has samples; curl takes less time than promtool, and this is asked often
has_value() {
  [[ $(curl -s --get "$PROMETHEUS/api/v1/query" --data-urlencode "query=$1") == *'"result":[{'* ]]
}

# page_metrics - the names of the metrics on the page, and of the series of histograms
page_metrics() {
  sed -n 's/^# TYPE //p' "$PAGE" |
    awk '{ print $1 } $2 == "histogram" { print $1 "_bucket"; print $1 "_sum"; print $1 "_count" }' | sort
}

# names_in - the metrics that the expressions on standard input use
names_in() { grep -oE '\bratelimit_[a-z0-9_]+' | grep -v '^ratelimit_refused$' | sort -u; }

# dashboard_expressions - a line for each, as Grafana would ask
dashboard_expressions() {
  # shellcheck disable=SC2016  # the variables are Grafana's
  node -e '
    const { panels } = JSON.parse(require("fs").readFileSync("conf/prometheus/dashboard.json"));
    for (const panel of panels)
      for (const { expr } of panel.targets) console.log(expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m"));'
}

@test "promtool takes the scrape configuration and the alerts" {
  run -0 promtool check config conf/prometheus/prometheus.yaml
  run -0 promtool check rules --lint-fatal conf/prometheus/alerts.yaml
}

@test "each alert fires when it should, and not when it should not" {
  local alert
  run -0 promtool test rules conf/prometheus/alerts.test.yaml
  while IFS= read -r alert; do
    assert_matches "$alert $(grep -c "alertname: $alert, .*exp_alerts: \[\]" conf/prometheus/alerts.test.yaml)" ' [1-9]'
    assert_matches "$alert $(grep -c "alertname: $alert\$" conf/prometheus/alerts.test.yaml)" ' [1-9]'
  done < <(sed -n 's/^ *- alert: //p' conf/prometheus/alerts.yaml)
}

@test "each alert has a time, a severity, a summary, and a description that says what to do next" {
  awk '
    /- (alert|record):/ { end(); name = $2 == "alert:" ? $3 : ""; split("", has) }
    { for (word in want) if (index($0, word)) has[word] = 1 }
    function end(word) { if (name) for (word in want) if (!(word in has)) print name ": no " word }
    BEGIN { want["for:"]; want["severity:"]; want["summary:"]; want["description:"]; want["Next"] }
    END { end() }' conf/prometheus/alerts.yaml >"$BATS_TEST_TMPDIR/missing"
  assert_equal "$(<"$BATS_TEST_TMPDIR/missing")" ''
}

@test "the alerts and the dashboard use metrics of the page alone" {
  local unknown
  unknown=$(comm -23 <(sed 's/#.*//' conf/prometheus/alerts.yaml | sed -n '/expr:/,/for:/p' | names_in) <(page_metrics))
  assert_equal "$unknown" ''
  dashboard_expressions >"$BATS_TEST_TMPDIR/expressions"
  assert_between "$(wc -l <"$BATS_TEST_TMPDIR/expressions")" 15 60
  unknown=$(comm -23 <(names_in <"$BATS_TEST_TMPDIR/expressions") <(page_metrics))
  assert_equal "$unknown" ''
}

@test "every panel of the dashboard lets the datasource be chosen, and has a place of its own" {
  # shellcheck disable=SC2016  # the variables are JavaScript's
  run -0 node -e '
    const { panels, templating } = JSON.parse(require("fs").readFileSync("conf/prometheus/dashboard.json"));
    const problems = [], seen = new Set();
    if (templating.list[0].type !== "datasource") problems.push("no datasource variable");
    for (const { id, title, description, datasource, gridPos: { x, y, w, h }, targets } of panels) {
      for (const source of [datasource, ...targets.map((target) => target.datasource)])
        if (source.uid !== "${datasource}") problems.push(`${title}: a datasource of its own`);
      if (seen.has(`id ${id}`) || !description) problems.push(`${title}: another panel has its id, or it has no description`);
      seen.add(`id ${id}`);
      for (let i = x; i < x + w; i++)
        for (let k = y; k < y + h; k++)
          if (i >= 24 || seen.has(`${i},${k}`)) problems.push(`${title}: overlaps at ${i},${k}`);
          else seen.add(`${i},${k}`);
    }
    console.log(problems.join("\n"));'
  assert_equal "$output" ''
}

@test "Prometheus scrapes the page, takes the rules, and has a value for every expression of the dashboard" {
  local expression
  start_prometheus
  eventually has_value 'rate(ratelimit_redis_connects_total[1m])'
  # A scrape may take longer than its second.
  eventually has_value 'up{job="ratelimit"} == 1'
  eventually has_value 'ratelimit_decisions_total{limit="per-user", decision="refused"} >= 2'
  eventually grows
  while IFS= read -r expression; do
    # A share of nothing and a rate that is 0 are shown as nothing.
    expression=${expression% > 0}
    eventually has_value "$expression" || fail "$expression" 'has' 'a value'
  done < <(dashboard_expressions)
  eventually rules_are_well
  assert_equal "$(query 'ALERTS{alertstate="firing"}')" ''
}
# rules_are_well - Prometheus has evaluated all of them
rules_are_well() { [[ $(curl -s "$PROMETHEUS/api/v1/rules" | grep -o '"health":"[a-z]*"' | sort -u) == '"health":"ok"' ]]; }
# grows - after more requests, Prometheus sees a rate
grows() {
  burst 7 "/?user=$RANDOM" >/dev/null 2>&1
  has_value 'rate(ratelimit_decisions_total{decision="allowed"}[1m]) > 0'
}

# question HEADING - run the commands of that section of conf/operating.md; $output
question() {
  local commands
  commands=$(sed -n "/^### $1\$/,/^##/{s/^    //p}" conf/operating.md |
    sed "s,http://127.0.0.1:8080,$URL,; s,http://127.0.0.1:9090,$PROMETHEUS,; s,/usr/local/share/ratelimit/,$PWD/conf/,")
  assert_between "$(wc -l <<<"$commands")" 1 3
  run -0 bash -o pipefail -e -c "$commands"
}

@test "how many requests were decided without Redis in the last hour? An alert for that" {
  start_prometheus
  eventually has_value 'rate(ratelimit_redis_connects_total[1m])'
  stop "$REDIS_PID"
  eventually has_value 'ratelimit_redis_ready == 0'
  burst 20 '/?user=alice' >/dev/null
  start_redis
  eventually has_value 'sum(increase(ratelimit_undecided_requests_total[1h])) >= 19'
  eventually has_value 'ratelimit_redis_ready == 2'
  question 'How many requests were decided without Redis in the last hour?'
  assert_matches "$output" 'ratelimit_undecided_requests_total\{reason="lost"\} 2[0-9]'
  assert_matches "$output" 'instance="127.0.0.1:[0-9]+", reason="lost"\} => (19|2[0-9])'
  question 'An alert for that'
  assert_contains "$output" SUCCESS
}

# metric_rows - the table of the README, made of the page: name, type, names of labels, HELP
metric_rows() {
  awk '
    /^# HELP / { name = $3; sub(/^# HELP [^ ]* /, ""); names[++count] = name; meaning[name] = $0; next }
    /^# TYPE / { type[$3] = $4; next }
    {
      sub(/^[^{ ]*/, "")
      while (match($0, /^[{,][a-z0-9]+="[^"]*"/)) {
        label = " `" substr($0, 2, index($0, "=") - 2) "`"
        if (label != " `le`" && !index(labels[name], label)) labels[name] = labels[name] (labels[name] ? "," : "") label
        $0 = substr($0, RLENGTH + 1)
      }
    }
    END {
      for (i = 1; i <= count; i++)
        printf "| `%s` | %s |%s | %s |\n", names[i], type[names[i]], labels[names[i]], meaning[names[i]]
    }' "$PAGE"
}

@test "the table of the README has each metric of the page, as the page describes it, and no other" {
  local rows
  rows=$(metric_rows)
  assert_equal "$(grep -c '^| `ratelimit_' <<<"$rows")" "$(grep -c '^# TYPE ' "$PAGE")"
  assert_equal "$(grep '^| `ratelimit_' conf/prometheus/README.md)" "$rows"
}

@test "the README has each alert with its severity, and each value of a label" {
  local value
  # shellcheck disable=SC2016  # the backticks are Markdown's
  assert_equal "$(sed -n 's/^| `\(Ratelimit[A-Za-z]*\)` | \([a-z]*\) |.*/\1 \2/p' conf/prometheus/README.md)" \
    "$(awk '/- alert:/ { name = $3 } /severity:/ { print name, $4 }' conf/prometheus/alerts.yaml)"
  while IFS= read -r value; do
    assert_contains "$(<conf/prometheus/README.md)" "\`$value\`"
  done < <(grep -oE '(decision|reason|result)="[a-z_]+"' "$PAGE" | cut -d'"' -f2 | sort -u)
}

@test "the commands of the README work on what make install installs" {
  local root=$BATS_TEST_TMPDIR/root commands
  make install BUILD="${BUILD:-build}" DESTDIR="$root" >/dev/null
  commands=$(sed -n "s/^    //; s,/usr/local/,$root/usr/local/,g; s,http://127.0.0.1:8080/,$URL/,; /promtool/p" conf/prometheus/README.md | grep -E '^(promtool|curl)')
  assert_equal "$(wc -l <<<"$commands")" 4
  run -0 bash -o pipefail -e -c "$commands"
  cmp conf/prometheus/dashboard.json "$root/usr/local/share/ratelimit/prometheus/dashboard.json"
}
