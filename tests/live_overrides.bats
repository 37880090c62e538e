#!/usr/bin/env bats
# live_overrides.bats - overrides that are stored in Redis are in force on all processes, without a change of the file.

load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  PATH=$(dirname "$PROGRAM"):$PATH
  HOSTS=()
}
teardown() { stop_limiters; }

# start_host - a host of two processes with its own shared memory; its folder and URL are added to HOSTS and URLS
start_host() {
  local folder
  folder=$(mktemp -d "$(tmpdir)/host.XXXXXX")
  start_limiter conf/lighttpd.conf LIMITS_FILE="$LIMITS_FILE" SOCKET_DIR="$folder" "$@"
  HOSTS+=("$folder") URLS+=("$URL")
  export RATELIMIT_SHARED=$folder/ratelimit.shared
}

# two_hosts - two of them, with a limit by user that has an override in the file, and one by API key
two_hosts() {
  URLS=()
  LIMITS_FILE=$(tmpdir)/limits.yaml
  cat >"$LIMITS_FILE" <<'YAML'
redis: { timeout: 5s }
limits:
  - name: per-user
    match: { path: / }
    key: query:user | ip
    capacity: 5
    refill: 1/h
    overrides:
      - { key: carol, capacity: 3 }
  - { name: per-key, match: { path: /key }, key: 'header:X-API-Key', capacity: 2, refill: 1/h }
YAML
  start_host
  start_host
}

ctl() { run ratelimitctl --limits "$LIMITS_FILE" --redis "unix:$REDIS_SOCK" "$@"; }

# set_override WORD... - ratelimitctl override set, which succeeds
set_override() {
  ctl override set "$@"
  assert_equal "$status: $output" "0: ${output%%$'\n'*}"$'\n'"in force on every process of every host within two seconds"
}

# everywhere TARGET CODE [CURL OPTION...] - whether both processes of both hosts answer TARGET with CODE.
# lighttpd gives a request to the process that has the fewest, and so a few requests at once reach both.
everywhere() {
  local target=$1 code=$2 URL
  shift 2
  for URL in "${URLS[@]}"; do
    [[ $(burst 8 "$target" "$@" 2>/dev/null) == "$code:8" ]] || return 1
  done
}

# in_force COUNT - whether every process of every host has as many stored overrides
in_force() {
  local folder
  for folder in "${HOSTS[@]}"; do
    [[ $(RATELIMIT_SHARED=$folder/ratelimit.shared ratelimitctl status | grep -c "overrides in Redis: $1 in force") == 2 ]] || return 1
  done
}

# capacity TARGET - of the bucket that is closest to refusing, as the answer has it
capacity() { curl -s -D - -o /dev/null "$URL$1" | sed -n 's/^RateLimit-Policy:.*q=\([0-9]*\).*/\1/ip'; }

# refused COUNT - whether as many processes of the last host refuse the newest overrides
refused() { [[ $(curl -s "$URL/-/metrics" | sed -n 's/^ratelimit_overrides_refused //p') == "$1" ]]; }

@test "an override is in force on every process of every host, and is taken back" {
  two_hosts
  assert_equal "$(burst 6 '/?user=alice')" '200:5 429:1'
  set_override per-user alice blocked
  eventually everywhere '/?user=alice' 403
  assert_equal "$(status '/?user=bob')" 200
  set_override per-user alice unlimited
  eventually everywhere '/?user=alice' 200
  ctl override delete per-user alice
  assert_equal "$status: $output" '0: 1 override deleted; in force within two seconds'
  eventually everywhere '/?user=alice' 429
}

@test "a capacity and a refill apply to the bucket that the client has" {
  two_hosts
  assert_equal "$(burst 6 '/?user=alice')" '200:5 429:1'
  set_override per-user alice capacity=200 refill=1000/s
  eventually in_force 1
  eventually is_served '/?user=alice'
  assert_equal "$(capacity '/?user=alice')" 200
  set_override per-user bob capacity=7
  eventually in_force 2
  assert_equal "$(burst 9 '/?user=bob')" '200:7 429:2'
}
is_served() { [[ $(status "$1") == 200 ]]; }

@test "it is used before the overrides of the file, and of several the one that was set last" {
  two_hosts
  assert_equal "$(capacity '/?user=carol')" 3
  set_override per-user 'c*' capacity=11
  eventually in_force 1
  assert_equal "$(capacity '/?user=carol')" 11
  set_override per-user carol capacity=12
  eventually in_force 2
  assert_equal "$(capacity '/?user=carol')" 12
  set_override per-user 'c*' capacity=13
  eventually has_capacity '/?user=carol' 13
  assert_equal "$(capacity '/?user=dave')" 5
}
has_capacity() { [[ $(capacity "$1") == "$2" ]]; }

@test "it ends by itself, on the clock of Redis, and is deleted when the next one is set" {
  two_hosts
  set_override per-user alice blocked
  eventually everywhere '/?user=alice' 403
  ctl override set per-user alice blocked --for 3s
  assert_contains "$output" 'rl:{query:user=alice}:per-user: blocked, until '
  eventually is_not_blocked '/?user=alice'
  ctl override list
  assert_matches "$output" 'blocked +over .* rl:\{query:user=alice\}:per-user'
  set_override per-user bob blocked
  assert_equal "$(redis_cli HEXISTS rl:overrides 'rl:{query:user=alice}:per-user')" 0
}

is_not_blocked() { [[ $(status "$1") != 403 ]]; }

@test "a network, a glob and several sources are named as in the file" {
  two_hosts
  set_override per-user 127.0.0.0/8 blocked
  eventually everywhere / 403
  assert_equal "$(status '/?user=alice')" 200
  set_override per-user 'mallory*' blocked
  eventually everywhere '/?user=mallory-2' 403
}

@test "a client is blocked by the key that top shows" {
  two_hosts
  burst 9 '/?user=alice' >/dev/null
  local key
  key=$(ratelimitctl top | awk '$2 == "per-user" { print $NF }')
  set_override per-user "$key" blocked
  eventually everywhere '/?user=alice' 403
}

@test "the key of a client that calls itself * is no glob" {
  two_hosts
  set_override per-user 'rl:{query:user=%2A}:per-user' blocked
  eventually everywhere '/?user=*' 403
  assert_equal "$(status '/?user=alice')" 200
}

@test "a secret is never stored, and the digest that top shows blocks its client" {
  two_hosts
  set_override per-key top-secret unlimited
  eventually everywhere /key 200 -H 'X-API-Key: top-secret'
  assert_equal "$(redis_cli HGETALL rl:overrides | grep -c top-secret || true)" 0
  set_override per-key "header:x-api-key=$(digest_of other-secret)" blocked
  eventually everywhere /key 403 -H 'X-API-Key: other-secret'
}

@test "a value that may be that of a secret source is not stored without the name of its source" {
  two_hosts
  sed -i "s/key: 'header:X-API-Key'/key: 'header:X-API-Key | query:k'/" "$LIMITS_FILE"
  ctl override set per-key top-secret blocked
  assert_equal "$status" 2
  assert_contains "$output" 'name its source, such as header:x-api-key=KEY or query:user=KEY'
  assert_equal "$(redis_cli EXISTS rl:overrides)" 0
  set_override per-key header:x-api-key=top-secret blocked
  assert_equal "$(redis_cli HEXISTS rl:overrides "rl:{header:x-api-key=$(digest_of top-secret)}:per-key")" 1
}

@test "a broken entry leaves the last good ones in force, and shows" {
  two_hosts
  set_override per-user alice blocked
  eventually in_force 1
  redis_cli HSET rl:overrides 'rl:{query:user=bob}:per-user' 'capcity=5' >/dev/null
  redis_cli HSET rl:overrides 'rl:{query:user=dave}:per-user' 'blocked' >/dev/null
  redis_cli HINCRBY rl:overrides version 1 >/dev/null
  eventually refused 2
  assert_equal "$(status '/?user=alice')" 403
  assert_equal "$(status '/?user=dave')" 200
  run ratelimitctl status
  assert_contains "$output" "NEWER OVERRIDES ARE NOT IN FORCE: rl:{query:user=bob}:per-user: unknown field 'capcity'"
  assert_contains "$(curl -s "$URL/-/status")" "unknown field 'capcity' in an override; did you mean 'capacity'?"
  assert_equal "$(log_count 'the newest overrides in redis .* are not all in force (rl:{query:user=bob}:per-user: unknown field')" 2
  ctl override set per-user eve blocked
  assert_equal "$status" 1
  assert_contains "$output" 'nothing was set, because processes would refuse the stored overrides: rl:{query:user=bob}:per-user: unknown field'
  ctl override list
  assert_matches "$output" 'capcity=5 +broken '
  ctl override delete 'rl:{query:user=bob}:per-user'
  assert_equal "$status" 0
  eventually refused 0
  eventually everywhere '/?user=dave' 403
}

@test "a process that starts while one is broken uses the others" {
  redis_cli HSET rl:overrides nonsense x 'rl:{query:user=dave}:per-user' blocked version 7 >/dev/null
  two_hosts
  eventually everywhere '/?user=dave' 403
  eventually refused 2
}

@test "overrides are in force from the first request of a process that starts" {
  two_hosts
  set_override per-user alice blocked
  wait_until 60 starts_blocked # a busy machine may be later than the 0.3 s that a start waits
}
# starts_blocked - whether the processes of a host that starts refuse alice at once
starts_blocked() {
  stop_limiters
  HOSTS=() URLS=()
  start_host
  [[ $(burst 8 '/?user=alice' 2>/dev/null) == '403:8' ]]
}

@test "they stay in force while Redis is away" {
  two_hosts
  set_override per-user alice blocked
  eventually everywhere '/?user=alice' 403
  stop "$REDIS_PID"
  eventually grep -q 'is lost' "$LIMITER_LOG"
  assert_equal "$(burst 8 '/?user=alice')" '403:8'
  start_redis
  eventually in_force 0 # the new Redis has none
  assert_equal "$(status '/?user=alice')" 200
}

@test "they stay in force over a reload of the limits file, which can set some aside" {
  two_hosts
  set_override per-user alice blocked
  set_override per-key top-secret blocked
  eventually in_force 2
  sed -i 's/capacity: 5/capacity: 6/' "$LIMITS_FILE"
  eventually has_capacity '/?user=bob' 6
  assert_equal "$(burst 8 '/?user=alice')" '403:8'
  sed -i "s/key: 'header:X-API-Key'/key: 'cookie:session'/" "$LIMITS_FILE"
  eventually in_force 1
  assert_equal "$(burst 8 '/?user=alice')" '403:8'
  run ratelimitctl status
  assert_contains "$output" '1 more overrides are for limits or keys that this file does not have'
  ctl override list
  assert_matches "$output" 'blocked +foreign '
}

@test "a change in which a stored override has no part of a refill is refused, and the file is not" {
  two_hosts
  set_override per-user alice capacity=50000
  set_override per-user bob blocked
  eventually in_force 2
  sed -i 's,refill: 1/h,refill: 1/day,' "$LIMITS_FILE" # 50000 days are more than ten years
  eventually in_force 1
  assert_equal "$(burst 8 '/?user=bob')" '403:8'
  assert_equal "$(capacity '/?user=alice')" 5
}

@test "peek and --explain know them" {
  two_hosts
  set_override per-user alice capacity=200 refill=50/s --for 2h
  ctl peek 'GET /?user=alice'
  assert_contains "$output" ' 200 of 200 '
  ctl peek --key 'rl:{query:user=alice}:per-user'
  assert_contains "$output" ' 200 of 200 '
  run ratelimit.fcgi --limits "$LIMITS_FILE" --redis "unix:$REDIS_SOCK" --explain 'GET /?user=alice'
  assert_contains "$output" '  override   one that is stored in Redis, until 2'
  assert_contains "$output" '  capacity   200'
  set_override per-user 127.0.0.0/8 blocked
  ctl peek --key 127.0.0.1 --limit per-user
  assert_matches "$output" 'per-user +blocked .* rl:\{ip=127.0.0.1\}:per-user'
}

@test "a Redis user without the right to read them limits all the same, and the log says so once" {
  redis_cli ACL SETUSER limiter reset on '>secret' '~rl:*' +evalsha '+script|load' +time +get +set +pttl >/dev/null
  LIMITS_FILE=$(tmpdir)/limits.yaml URLS=()
  default_limits >"$LIMITS_FILE"
  start_host REDIS_ADDR="redis://limiter:secret@127.0.0.1:$REDIS_PORT"
  eventually decided 10
  assert_equal "$(burst 6 '/?user=alice')" '200:5 429:1'
  eventually refused 2
  redis_cli ACL SETUSER limiter +hget +hscan >/dev/null
  eventually refused 0
  assert_equal "$(log_count 'the newest overrides in redis .* are not all in force (HGET rl:overrides: NOPERM')" 2
}

@test "a wrong word, limit, key or duration is named, and nothing is stored" {
  two_hosts
  local words want
  while IFS='|' read -r words want; do
    eval "ctl override $words"
    assert_equal "$words: $status" "$words: 2"
    assert_contains "$output" "$want"
  done <<'TABLE'
|override needs set, delete or list; see --help
sett per-user alice blocked|did you mean 'set'?
set per-user alice|set needs LIMIT, KEY and what is to be in force
set per-usr alice blocked|'per-usr' is no limit of the limits file; did you mean 'per-user'?
set per-user alice capcity=5|unknown field 'capcity' in an override; did you mean 'capacity'?
set per-user alice capacity=0|a capacity is 1 to 1000000000 tokens
set per-user alice capacity=5 blocked|an override says one thing of its clients
set per-user alice capacity=5 capacity=6|capacity: it is there twice; write it once
set per-user alice refill=often|refill: 
set per-user alice blocked set=1|set takes capacity=N, refill=RATE, unlimited or blocked, and --for DURATION
set per-user alice blocked --for 2x|--for '2x': unknown unit
set per-user alice blocked --for 0s|--for '0s'
set per-user 10.0.0.0/99 blocked|KEY '10.0.0.0/99': 
set per-user 'alice + bob' blocked|the key of the limit has another number of sources
set per-user '' blocked|an empty key
set per-user 'rl:{query:user=alice}:per-key' blocked|a name begins with rl:{ and ends with }: and the name of the limit
set per-user 'rl:{cookie:user=alice}:per-user' blocked|the limit does not count by these sources
delete|delete needs LIMIT and KEY, or the NAME that override list shows
delete per-user alice --for 2h|delete takes no --for
list per-user|list takes --limit NAME alone
TABLE
  assert_equal "$(redis_cli EXISTS rl:overrides)" 0
  ctl override delete per-user alice
  assert_equal "$status: $output" '1: ratelimitctl: there is no such override; see override list'
}

@test "without Redis the command says so" {
  LIMITS_FILE=conf/limits.yaml
  run ratelimitctl --limits "$LIMITS_FILE" --redis "unix:$(tmpdir)/none" override list
  assert_equal "$status" 1
  assert_contains "$output" "redis unix:$(tmpdir)/none: No such file or directory"
}

@test "everything is there as JSON" {
  two_hosts
  ctl override set per-user alice capacity=200 --for 2h --json
  assert_equal "$output" '{"set":["rl:{query:user=alice}:per-user"]}'
  ctl override list --json
  assert_equal "$(node -e 'const [v] = JSON.parse(process.argv[1]); console.log(v.name, v.settings, v.state, Date.parse(v.until) - Date.parse(v.since))' "$output")" \
    'rl:{query:user=alice}:per-user capacity=200 in force 7200000'
  ctl override list --json --limit per-key
  assert_equal "$output" '[]'
  ctl override delete per-user alice --json
  assert_equal "$output" '{"deleted":1}'
}

@test "reset --all leaves them" {
  two_hosts
  set_override per-user alice blocked
  ctl reset --all --yes
  assert_equal "$status" 0
  assert_equal "$(redis_cli HLEN rl:overrides)" 2
}
