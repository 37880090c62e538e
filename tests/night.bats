#!/usr/bin/env bats
# night.bats - the commands of "Questions at night" in conf/operating.md answer what they promise.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

# The limits file of the questions, and commands that find it as on a host of theirs.
setup() {
  redis_cli FLUSHALL >/dev/null
  etc=$(mktemp -d "$(tmpdir)/etc.XXXXXX")
  export RATELIMIT_SHARED=$etc/ratelimit.shared
  PATH=$(dirname "$PROGRAM"):$PATH
  good="redis: { timeout: 5s }
limits:
  - { name: per-user, key: 'header:X-API-Key | query:user', capacity: 5, refill: 1/h }
  - { name: new, key: ip, capacity: 3, refill: 1/h, shadow: true }"
  echo "$good" >"$etc/limits.yaml.good"
}
teardown() { stop_limiters; }

# serve - two processes with the limits file of the questions
serve() {
  cp "$etc/limits.yaml.good" "$etc/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$etc/limits.yaml" SOCKET_DIR="$etc"
}

# question HEADING - run the commands of that section one after the other; $output, and $status of the last that failed
question() {
  local commands
  commands=$(sed -n "/^### $1\$/,/^##/{/^    /p}" conf/operating.md | sed "s,/etc/ratelimit/,$etc/,g; s,http://127.0.0.1:8080,$URL,; s,redis-cli,redis-cli -s $REDIS_SOCK,; s/ --watch$//; s/^ *ratelimitctl watch/timeout 3 ratelimitctl watch/")
  [[ -n $commands ]] || fail "conf/operating.md has no question '$1'"
  assert_between "$(wc -l <<<"$commands")" 1 3
  run bash -c "set -e; $commands"
}

# asks_in_background TARGET - a request each 0.1 s for as long as $etc/asking exists; ASKING_PID
asks_in_background() {
  touch "$etc/asking"
  while [[ -e $etc/asking ]]; do
    curl -s -o /dev/null "$URL$1"
    sleep 0.1
  done 3>&- &
  ASKING_PID=$!
}

@test "which limit and key refused this customer, how many tokens are left, since when?" {
  serve
  burst 7 '/api/x?user=alice' >/dev/null
  asks_in_background '/?user=alice'
  question 'Which limit and key refused this customer, how many tokens are left, since when?'
  rm "$etc/asking"
  wait "$ASKING_PID"
  assert_contains "$output" "$(date +%Y-%m-%d)"
  assert_contains "$output" 'rl:{query:user=alice}:per-user'
  assert_contains "$output" ' 0 of 5 '
  assert_contains "$output" ' refused '
}

@test "a customer with an API key is found by the value of the key" {
  serve
  burst 6 / -H 'X-API-Key: secret' >/dev/null
  run ratelimitctl peek 'GET /' --ip 127.0.0.1 -H 'X-API-Key: secret' --limit per-user
  assert_contains "$output" "rl:{header:x-api-key=#$(printf secret | sha256sum | cut -d' ' -f1)}:per-user"
  assert_contains "$output" ' 0 of 5 '
  run ratelimitctl reset --key secret --limit per-user
  assert_equal "$(status / -H 'X-API-Key: secret')" 200
  run ratelimitctl top
  assert_equal "$(grep -c secret <<<"$output" || true)" 0
}

@test "reset that customer now" {
  serve
  burst 7 '/?user=alice' >/dev/null
  question 'Reset that customer now'
  assert_equal "$status" 0
  assert_contains "$output" ' 5 of 5 '
  status=$(curl -s -o /dev/null -w '%{http_code}' "$URL/?user=alice")
  assert_equal "$status" 200
}

@test "raise one customer's limit on all hosts now, for two hours" {
  serve
  burst 6 '/?user=alice' >/dev/null
  question "Raise one customer's limit on all hosts now, for two hours"
  assert_equal "$status" 0
  assert_contains "$output" 'rl:{query:user=alice}:per-user: capacity=200 refill=50/s, until '
  assert_contains "$output" ' of 200 '
  assert_matches "$output" 'capacity=200 refill=50/s +in force '
  eventually has_policy '/?user=alice' 200
}
# has_policy TARGET CAPACITY - whether that is the capacity of per-user for the client
has_policy() { curl -s -D - -o /dev/null "$URL$1" | grep -qi "\"per-user\";q=$2"; }

@test "who is refused most?" {
  serve
  burst 9 '/?user=alice' >/dev/null
  burst 7 '/?user=bob' >/dev/null
  question 'Who is refused most?'
  assert_equal "$status" 0
  assert_equal "$(awk '$2 == "per-user" { print $1, $NF }' <<<"$output" | sort -u)" "2 rl:{query:user=bob}:per-user
4 rl:{query:user=alice}:per-user"
}

@test "how many requests would the shadow limit have refused, from which clients?" {
  serve
  burst 5 '/?user=alice' >/dev/null
  question 'How many requests would the shadow limit have refused, from which clients?'
  assert_equal "$status" 0
  assert_equal "$(awk '$1 == "new" { print $5 }' <<<"$output")" 2
  assert_contains "$output" 'rl:{ip=127.0.0.1}:new'
}

@test "roll back a bad limits file and refill what it emptied" {
  serve
  sed 's/capacity: 5/capacity: 1/' "$etc/limits.yaml.good" >"$etc/limits.yaml"
  eventually refuses '/?user=alice'
  question 'Roll back a bad limits file and refill what it emptied'
  assert_equal "$status" 0
  eventually answers_five '/?user=alice'
}
# refuses TARGET - whether two requests by a new user are answered 200 and 429
refuses() { [[ $(burst 2 "/?user=$RANDOM$RANDOM") == *429:1* ]] && burst 2 "$1" >/dev/null; }
# answers_five TARGET - whether the policy of the good file is in force
answers_five() {
  curl -s -D - -o /dev/null "$URL$1" | grep -qi '"per-user";q=5'
}

@test "is Redis slow, or are we?" {
  serve
  burst 4 '/?user=alice' >/dev/null
  question 'Is Redis slow, or are we?'
  assert_equal "$status" 0
  assert_contains "$output" 'ratelimit_redis_latency_seconds_count 4'
  assert_contains "$output" 'ratelimit_request_duration_seconds_count 4'
  # Minimum, maximum and average in milliseconds, and the samples.
  assert_matches "$(tail -n 1 <<<"$output")" '^[0-9]+ [0-9]+ [0-9.]+ [0-9]+$'
}

@test "how much memory do ten million clients need?" {
  serve
  burst 4 '/?user=alice' >/dev/null
  eventually counts_keys
  assert_equal "$status" 0
  assert_matches "$output" $'^used_memory:[0-9]+\r?\n[0-9]+$'
  # A hundred thousand are quick, and not far from ten million.
  run tests/bench/memory.sh 100000 10
  assert_matches "$output" '^100000 buckets with a key of 35 bytes: [0-9]+ bytes'
  assert_between "$(grep -oE '[0-9]+ bytes of used' <<<"$output" | cut -d ' ' -f 1)" 100 200
}
# counts_keys - the answer to the question is the number of keys.  When a process has just connected, its probe is one of
# them for a moment.
counts_keys() {
  question 'How much memory do ten million clients need?'
  [[ $(tail -n 1 <<<"$output") == "$(redis_cli DBSIZE)" ]]
}
