#!/usr/bin/env bats
# take.bats - lua/take.lua in a real Redis: what a simulation cannot show.
# The arithmetic is tested in tests/lua/test_take.lua, with a clock that can be set.

KEY='rl:{query:user=user000001}:per-user'
INTERVAL=12000000 # us: the default limit, 5 tokens and one more every 12 s
CAPACITY=5

load helper

setup_file() {
  # The clients of the crowd come all at once.
  start_redis --tcp-backlog 1024
  SHA=$(redis -x script load <lua/take.lua)
  export SHA
}

teardown_file() { stop_all; }

setup() { redis flushall >/dev/null; }

redis() { redis-cli -s "$REDIS_SOCK" "$@"; }

# take KEYS... -- INTERVAL CAPACITY COST... [ENFORCED]: the reply on one line.
take() {
  local keys=()
  while [ "$1" != -- ]; do
    keys+=("$1")
    shift
  done
  shift
  redis evalsha "$SHA" "${#keys[@]}" "${keys[@]}" "$@" | paste -sd ' ' -
}

# take_default [COST]: from the bucket at KEY.
take_default() { take "$KEY" -- "$INTERVAL" "$CAPACITY" "${1-1}"; }

# prints WANT COMMAND...
prints() { [[ $("${@:2}" 2>&1) == "$1" ]]; }

# take's first two numbers.
allowed() { take "$@" | cut -d ' ' -f 1; }
remaining() { take "$@" | cut -d ' ' -f 2; }

# Redis's clock, epoch us.
now_us() { redis time | { read -r s && read -r us && echo $((s * 1000000 + us)); }; }

@test "the reply is four integers for a bucket" {
  assert_equal "$(take_default)" "1 4 0 12000000"
  # redis-cli shows the types of a reply when it writes for people.
  local shown
  shown=$(redis --no-raw evalsha "$SHA" 1 "$KEY" "$INTERVAL" "$CAPACITY" 0)
  assert_equal "$(grep -c '(integer)' <<<"$shown")" 4
  assert_equal "$(wc -l <<<"$shown")" 4
}

@test "the reply is four integers for each of eight buckets, in their order" {
  local keys=() argv=() want=() i
  for i in 1 2 3 4 5 6 7 8; do
    keys+=("rl:{client}:$i")
    argv+=("$((i * 1000000))" "$((i + 1))" 1)
    want+=(1 "$i" 0 "$((i * 1000000))")
  done
  assert_equal "$(take "${keys[@]}" -- "${argv[@]}")" "${want[*]}"
}

@test "the script runs with EVAL as with EVALSHA" {
  run redis --eval lua/take.lua "$KEY" , "$INTERVAL" "$CAPACITY" 1
  assert_equal "${lines[*]}" "1 4 0 12000000"
}

@test "five requests pass, the sixth does not" {
  local want
  for want in "1 4 0" "1 3 0" "1 2 0" "1 1 0"; do
    assert_matches "$(take_default)" "^$want [0-9]+\$"
  done
  assert_matches "$(take_default)" "^1 0 ([1-9]|1[0-2])[0-9]{6} [0-9]+\$"
  assert_matches "$(take_default)" "^0 0 ([1-9]|1[0-2])[0-9]{6} [0-9]+\$"
}

@test "a bucket is a string that holds the moment it was empty, epoch microseconds" {
  local before after empty_at
  before=$(now_us)
  take_default 3
  after=$(now_us)
  assert_equal "$(redis type "$KEY")" string
  assert_equal "$(redis object encoding "$KEY")" int
  empty_at=$(redis get "$KEY")
  assert_matches "$empty_at" '^[1-9][0-9]{15}$'
  assert_between "$empty_at" $((before - 2 * INTERVAL)) $((after - 2 * INTERVAL))
}

@test "the key lives for a minute after the bucket is full" {
  take_default 1
  assert_between "$(redis pttl "$KEY")" 62000 72000
  take_default 4
  assert_between "$(redis pttl "$KEY")" 110000 120000
}

@test "a bucket is full when it has had the time, although its key is still there" {
  assert_equal "$(take "$KEY" -- 200000 1 1)" "1 0 200000 200000"
  eventually prints 1 remaining "$KEY" -- 200000 1 0
  assert_equal "$(redis dbsize)" 1
  assert_equal "$(take "$KEY" -- 200000 1 1)" "1 0 200000 200000"
}

@test "a refused client is served after the wait in the reply, and not before" {
  local before wait
  before=$(now_us)
  # One connection: less than the 300 ms must lie between the two.
  run redis <<<"EVALSHA $SHA 1 $KEY 300000 1 1
EVALSHA $SHA 1 $KEY 300000 1 1"
  assert_equal "${lines[0]} ${lines[4]}" "1 0"
  wait=${lines[6]}
  assert_between "$wait" 1 300000
  eventually prints 1 allowed "$KEY" -- 300000 1 1
  assert_between "$(now_us)" $((before + wait)) $((before + 10000000))
}

@test "a bucket takes less than 120 bytes of Redis's memory" {
  take_default
  assert_between "$(redis memory usage "$KEY")" 1 119
}

@test "a refused call leaves value and time to live as they were" {
  take_default 5
  local value expires
  value=$(redis get "$KEY")
  expires=$(redis pttl "$KEY")
  assert_matches "$(take_default 1)" "^0 0 .*\$"
  assert_matches "$(take_default 6)" "^0 0 -1 .*\$"
  assert_equal "$(redis get "$KEY")" "$value"
  assert_between "$(redis pttl "$KEY")" $((expires - 10000)) "$expires"
}

@test "a call refused by one bucket leaves the other untouched" {
  take_default 5
  local value
  value=$(redis get "$KEY")
  assert_matches "$(take other "$KEY" -- 1000000 9 1 "$INTERVAL" "$CAPACITY" 1)" "^1 9 0 0 0 0 .*\$"
  assert_equal "$(redis exists other)" 0
  assert_equal "$(redis get "$KEY")" "$value"
}

@test "refusals write nothing, at any time within a millisecond" {
  take_default 5
  redis config resetstat
  redis -r 3000 evalsha "$SHA" 1 "$KEY" "$INTERVAL" "$CAPACITY" 5 >"$BATS_TEST_TMPDIR/replies"
  # The first of each reply's four numbers.
  assert_equal "$(awk 'NR % 4 == 1' "$BATS_TEST_TMPDIR/replies" | sort | uniq -c | xargs)" "3000 0"
  assert_matches "$(redis info commandstats)" 'cmdstat_get:calls=3000,'
  assert_equal "$(redis info commandstats | grep -c '^cmdstat_set:')" 0
}

@test "a shadow without tokens refuses nothing, and the others are charged" {
  take empty -- "$INTERVAL" "$CAPACITY" 5
  local value
  value=$(redis get empty)
  assert_matches "$(take "$KEY" empty other -- "$INTERVAL" "$CAPACITY" 1 "$INTERVAL" "$CAPACITY" 1 \
    "$INTERVAL" "$CAPACITY" 2 1)" "^1 4 0 12000000 0 0 [0-9]+ [0-9]+ 1 3 0 24000000\$"
  assert_equal "$(redis get empty)" "$value"
  assert_equal "$(redis exists "$KEY" other)" 2
}

@test "a call refused by an enforced bucket charges no shadow" {
  take_default 5
  assert_matches "$(take "$KEY" other -- "$INTERVAL" "$CAPACITY" 1 "$INTERVAL" "$CAPACITY" 1 1)" \
    "^0 0 [0-9]+ [0-9]+ 1 5 0 0\$"
  assert_equal "$(redis exists other)" 0
}

@test "if all limits are shadows, each is charged independently" {
  take_default 5
  assert_matches "$(take "$KEY" other -- "$INTERVAL" "$CAPACITY" 1 "$INTERVAL" "$CAPACITY" 1 0)" \
    "^0 0 [0-9]+ [0-9]+ 1 4 0 12000000\$"
}

@test "an empty bucket stays empty when its limit is changed" {
  take_default 5
  local limit interval capacity
  for limit in "12000000 6" "12000000 999" "12000000 1" "24000000 5" "10000000 5" \
    "3600000000 50"; do
    read -r interval capacity <<<"$limit"
    assert_matches "$(take "$KEY" -- "$interval" "$capacity" 0)" "^1 0 0 [0-9]+\$"
    assert_matches "$(take "$KEY" -- "$interval" "$capacity" 1)" "^0 0 [0-9]+ [0-9]+\$"
  done
  assert_matches "$(take_default)" "^0 0 ([1-9]|1[0-2])[0-9]{6} [0-9]+\$"
}

@test "a bucket keeps the time since it was empty when its limit is changed" {
  take_default 2
  assert_equal "$(remaining "$KEY" -- 12000000 100 0)" 3
  assert_equal "$(remaining "$KEY" -- 24000000 100 0)" 1
  assert_equal "$(remaining "$KEY" -- 7000000 100 0)" 5
}

@test "a bucket whose window is made shorter is as full as it was" {
  take_default 2
  assert_equal "$(remaining "$KEY" -- 12000000 2 0)" 1
  assert_equal "$(remaining "$KEY" -- 100000 100 0)" 60
}

@test "a refusal by a limit with a longer window extends the time to live of the key" {
  take_default 5
  local value
  value=$(redis get "$KEY")
  # A look does not.
  take "$KEY" -- 3600000000 5 0
  assert_between "$(redis pttl "$KEY")" 110000 120000
  assert_matches "$(take "$KEY" -- 3600000000 5 1)" "^0 0 [0-9]+ [0-9]+\$"
  assert_between "$(redis pttl "$KEY")" 18050000 18060000
  assert_equal "$(redis get "$KEY")" "$value"
}

@test "a client that keeps asking is still refused after its old, shorter window has ended" {
  take "$KEY" -- 1000000 1 1
  assert_equal "$(allowed "$KEY" -- 3600000000 1 1)" 0
  sleep 1.2
  assert_equal "$(allowed "$KEY" -- 3600000000 1 1)" 0
}

@test "a client that first asks after its old, shorter window has ended is refused by the new limit" {
  take "$KEY" -- 200000 5 5
  sleep 1.5
  assert_equal "$(allowed "$KEY" -- 720000000 5 1)" 0
}

@test "reading a bucket does not create it" {
  assert_equal "$(take_default 0)" "1 5 0 0"
  assert_equal "$(redis dbsize)" 0
}

@test "a key of another type or value counts as a full bucket and is replaced" {
  local create
  for create in "set $KEY garbage" "set $KEY nan" "rpush $KEY a b" "hset $KEY field 1"; do
    redis del "$KEY"
    # shellcheck disable=SC2086 # a command and its arguments
    redis $create
    assert_equal "$(take_default)" "1 4 0 12000000"
    assert_equal "$(redis type "$KEY")" string
    assert_between "$(redis pttl "$KEY")" 62000 72000
  done
}

@test "a bucket an hour in the future counts as empty, with the true wait" {
  redis set "$KEY" $(($(now_us) + 3600000000))
  assert_equal "$(take_default)" "0 0 12000000 60000000"
  assert_between "$(redis pttl "$KEY")" 110000 120000
}

@test "a window of ten years keeps its precision" {
  local ten_years=315360000000000
  assert_equal "$(take "$KEY" -- "$ten_years" 1 1)" "1 0 $ten_years $ten_years"
  assert_matches "$(redis get "$KEY")" '^[1-9][0-9]{15}$'
  assert_between "$(redis pttl "$KEY")" $((ten_years / 1000 + 50000)) $((ten_years / 1000 + 60000))
  assert_equal "$(take full -- 1 "$ten_years" 1)" "1 $((ten_years - 1)) 0 1"
}

@test "an access list without GET is an error, not a bucket that is always full" {
  [[ $(redis acl whoami) = default ]] || skip "this Redis has no access lists"
  redis acl setuser limiter on nopass '~*' +evalsha +set +time +pttl
  # One connection: AUTH, then the call.
  run redis <<<"AUTH limiter any
EVALSHA $SHA 1 $KEY $INTERVAL $CAPACITY 1"
  redis acl deluser limiter
  assert_equal "${lines[0]}" OK
  assert_matches "${lines[1]}" '^.*(permission|can.t run).*$'
  assert_equal "$(redis exists "$KEY")" 0
}

@test "an access list with EVALSHA, TIME, GET, SET and PTTL is enough" {
  [[ $(redis acl whoami) = default ]] || skip "this Redis has no access lists"
  redis acl setuser limiter on nopass '~*' +evalsha +time +get +set +pttl
  run redis <<<"AUTH limiter any
EVALSHA $SHA 1 $KEY $INTERVAL $CAPACITY 5
EVALSHA $SHA 1 $KEY $INTERVAL $CAPACITY 1"
  redis acl deluser limiter
  assert_equal "${lines[*]:0:3}" "OK 1 0"
  assert_equal "${lines[*]:5:2}" "0 0"
}

@test "an access list without PTTL is an error" {
  [[ $(redis acl whoami) = default ]] || skip "this Redis has no access lists"
  redis acl setuser limiter on nopass '~*' +evalsha +time +get +set
  run redis <<<"AUTH limiter any
EVALSHA $SHA 1 $KEY $INTERVAL $CAPACITY 1"
  redis acl deluser limiter
  assert_equal "${lines[0]}" OK
  assert_matches "${lines[1]}" '^.*(permission|can.t run).*$'
}

# The crowd: 200 clients, each a connection of its own, 50 tokens and none in the next hours.
crowd() {
  # shellcheck disable=SC2016 # expanded by the shell that xargs starts
  seq 200 | xargs -P 100 -I {} sh -c 'redis-cli -s "$0" evalsha "$@" | paste -sd " " -' \
    "$REDIS_SOCK" "$SHA" "$@"
}

@test "of 200 clients at once as many pass as there are tokens, each with its own count" {
  crowd 1 "$KEY" 3600000000 50 1 >"$BATS_TEST_TMPDIR/crowd"
  assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/crowd")" 200
  assert_equal "$(grep -c '^1 ' "$BATS_TEST_TMPDIR/crowd")" 50
  assert_equal "$(sed -n 's/^1 \([0-9]*\) .*/\1/p' "$BATS_TEST_TMPDIR/crowd" | sort -n | paste -sd ' ' -)" \
    "$(seq 0 49 | paste -sd ' ' -)"
}

@test "of 200 clients at once none is charged in one bucket if another refuses" {
  crowd 2 "$KEY" other 3600000000 50 1 3600000000 20 1 >"$BATS_TEST_TMPDIR/crowd"
  assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/crowd")" 200
  assert_equal "$(grep -c '^1 [0-9]* [0-9]* [0-9]* 1 ' "$BATS_TEST_TMPDIR/crowd")" 20
  assert_equal "$(remaining "$KEY" -- 3600000000 50 0)" 30
  assert_equal "$(remaining other -- 3600000000 20 0)" 0
}

@test "a forced charge is a debt that refuses, and what is given back pays it" {
  local wait
  take_default 5 >/dev/null
  assert_equal "$(allowed "$KEY" -- "$INTERVAL" "$CAPACITY" 2 1 force)" 1
  assert_matches "$(redis get "$KEY")" '^\+[0-9]{16}$'
  wait=$(take_default | cut -d ' ' -f 3)
  ((wait > 2 * INTERVAL && wait <= 3 * INTERVAL))
  assert_equal "$(allowed "$KEY" -- "$INTERVAL" "$CAPACITY" 4 1 give)" 1
  assert_matches "$(redis get "$KEY")" '^[0-9]{16}$'
  assert_equal "$(allowed "$KEY" -- "$INTERVAL" "$CAPACITY" 1)" 1
}

@test "a window below a millisecond can be forced and given back" {
  assert_equal "$(take "$KEY" -- 1 10 5 1 give)" "1 10 0 0"
  assert_equal "$(allowed "$KEY" -- 1 10 5 1 force)" 1
}
