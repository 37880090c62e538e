#!/usr/bin/env bats
# check.bats - `ratelimit.fcgi --check`: every mistake and warning of a limits file, each with its place.

bats_require_minimum_version 1.5.0
load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  unset LIMITS_FILE REDIS_ADDR
}

# refused - --check of limits.yaml exits 2 and says why on standard error, as $stderr; it takes 2 s of processor time at most
refused() { run -2 --separate-stderr timeout 60 prlimit --cpu=2 "$PROGRAM" --check limits.yaml; }

# assert_refused LINE... - --check of standard input says exactly these lines
assert_refused() {
  cat >limits.yaml
  refused
  assert_equal "$stderr" "$(printf '%s\n' "$@")"
  assert_equal "$output" ''
}

# assert_bad_value FIELD VALUE MESSAGE - a limit that is good but for this value is refused with this one message
assert_bad_value() {
  local capacity=5 refill=1/s key=ip name=a cost=1
  local "$1=$2"
  printf '%s\n' 'limits:' "- name: $name" "  key: $key" "  capacity: $capacity" "  refill: $refill" "  cost: $cost" >limits.yaml
  refused
  assert_equal "$1 $2: ${#stderr_lines[@]}" "$1 $2: 1"
  assert_matches "${stderr_lines[0]}" '^limits\.yaml:[2-6]:[0-9]+: '
  assert_contains "${stderr_lines[0]}" "$3"
}

@test "every mistake is reported in the order of the file, with a correction" {
  assert_refused <<'YAML' \
    "limits.yaml:2:3: unknown field 'timeouts' in redis; did you mean 'timeout'? its fields are password_file, address, sentinel, cluster, user, database, tls, key_prefix, timeout, hosts, mirror" \
    "limits.yaml:3:15: 'itef' is neither; did you mean 'ietf'? write ietf or x-ratelimit" \
    "limits.yaml:5:5: the field 'refill' is missing in a limit; add refill: VALUE" \
    "limits.yaml:7:15: capacity: a sign is not allowed: write plain digits, such as 5; a capacity is 1 to 1000000000 tokens" \
    "limits.yaml:8:5: unknown field 'refil' in a limit; did you mean 'refill'? its fields are name, match, key, capacity, refill, cost, on_redis_failure, shadow, show, overrides" \
    "limits.yaml:9:23: on_redis_failure: 'alow' is none of these; did you mean 'allow'? write allow, deny or local" \
    "limits.yaml:10:5: duplicate limit name 'one'; give each limit its own" \
    "limits.yaml:11:23: unknown field 'method' in match; did you mean 'methods'? its fields are ignore_case, path, methods, host" \
    "limits.yaml:14:13: refill: unknown unit: write s for seconds; the units are ms, s, min, h, day, in lower case; a refill is such as 1/12s"
redis:
  timeouts: 50ms
headers: [    itef ]
limits:
  - name: one
    key: ip
    capacity: -5
    refil: 1/s
    on_redis_failure: alow
  - name: one
    match: { path: /, method: [GET] }
    key: ip
    capacity: 5
    refill: 1/12sec
YAML
}

@test "mistakes in overrides are reported with their lines" {
  assert_refused <<'YAML' \
    "limits.yaml:7:7: the field 'key' is missing in an override; add key: VALUE" \
    "limits.yaml:8:9: an override says one thing of its clients; write capacity and refill (one of them leaves the other as it is), or unlimited: true, or blocked: true" \
    "limits.yaml:9:9: an override says one thing of its clients; write capacity and refill (one of them leaves the other as it is), or unlimited: true, or blocked: true" \
    "limits.yaml:10:21: unknown field 'blocked_' in an override; did you mean 'blocked'? its fields are key, capacity, refill, unlimited, blocked" \
    "limits.yaml:11:16: key '10.0.0.0/33': the prefix of an IPv4 address is 0 to 32; write 10.0.0.0/8"
limits:
  - name: one
    key: query:user | ip
    capacity: 5
    refill: 1/s
    overrides:
    - { capacity: 9 }
    -   { key: a }
    -   { key: b, capacity: 9, blocked: true }
    -   { key: c,   blocked_: true }
    -   { key: 10.0.0.0/33, unlimited: true }
YAML
}

@test "a file with warnings passes, and with --strict does not" {
  cat >limits.yaml <<'YAML'
limits:
  - { name: lifted, key: ip, capacity: 5, refill: 1/s, match: { path: /a }, overrides: [{ key: "*", unlimited: true }] }
  - { name: nowhere, key: ip, capacity: 5, refill: 1/s, match: { path: /api//x } }
  - { name: never, key: ip, capacity: 5, refill: 1/s, match: { path: /b }, cost: 6 }
  - { name: keyless, key: "header:X-API-Key", capacity: 5, refill: 1/s, match: { path: /c } }
  - { name: tight, key: ip, capacity: 5, refill: 1/s, match: { path: /d } }
  - { name: loose, key: ip, capacity: 6, refill: 2/s, match: { path: /d, methods: [GET] } }
  - { name: burst, key: ip, capacity: 5, refill: 1/s, match: { path: /e } }
  - { name: daily, key: ip, capacity: 9, refill: 9/day, match: { path: /e } }
  - name: unused
    key: query:user | ip
    capacity: 5
    refill: 1/s
    match: { path: /f }
    overrides:
      - { key: "a*", capacity: 6 }
      - { key: abc, capacity: 7 }
YAML
  cat >warnings <<'TEXT'
limits.yaml:2:5: warning: 'lifted' can never refuse, its first override makes every client unlimited; leave the limit out, or write that override last
limits.yaml:3:5: warning: 'nowhere' can never refuse, its path fits no request: paths are matched decoded and normalised; write it without %XX, //, /./ and /../
limits.yaml:4:5: warning: 'never' refuses every request, because its cost is above its capacity; lower the cost or raise the capacity
limits.yaml:5:5: warning: the key of 'keyless' can be missing, and all requests without header:x-api-key share a bucket; end it in | ip, or in | global if that is meant
limits.yaml:7:5: warning: 'loose' can never refuse, 'tight' in line 6 always refuses first; leave it out, or make its capacity or refill the smaller one
limits.yaml:9:5: warning: 'daily' has the same key and match as 'burst' in line 8; leave one of them out, unless they are for two spans of time, such as 10/s and 1000/day
limits.yaml:17:16: warning: this override is never used, the one in line 16 is for the same clients; leave one of them out, or write this one before it
TEXT
  run -0 --separate-stderr "$PROGRAM" --check limits.yaml
  assert_equal "$stderr" "$(<warnings)"
  assert_equal "$output" 'limits.yaml: fine, 9 limits'
  run -2 --separate-stderr "$PROGRAM" --check limits.yaml --strict
  assert_equal "$stderr" "$(<warnings)"$'\n'"limits.yaml: refused for 7 warnings, as --strict says"
  assert_equal "$output" ''
}

@test "a file in which no limit is enforced has a warning" {
  echo 'limits: [{ name: a, key: ip, capacity: 5, refill: 1/s, shadow: true }]' >limits.yaml
  run -0 --separate-stderr "$PROGRAM" --check limits.yaml
  assert_equal "$stderr" \
    'limits.yaml:1:10: warning: no limit is enforced, every one is a shadow; write shadow: false for one that should refuse'
}

@test "a file without warnings and mistakes gets one line, with --strict as well" {
  echo 'limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]' >limits.yaml
  for options in limits.yaml '--strict limits.yaml' 'limits.yaml --strict' '--limits limits.yaml'; do
    # shellcheck disable=SC2086 # words
    run -0 "$PROGRAM" --check $options
    assert_equal "$output" 'limits.yaml: fine, 1 limit'
  done
}

@test "without an argument it checks LIMITS_FILE, and without that the built-in limits" {
  echo 'limits: 5' >limits.yaml
  LIMITS_FILE=limits.yaml run -2 "$PROGRAM" --check
  assert_contains "$output" 'limits.yaml:1:9: '
  echo 'limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]' >other.yaml
  LIMITS_FILE=limits.yaml run -0 "$PROGRAM" --check other.yaml
  run -0 "$PROGRAM" --check --strict
  assert_equal "$output" 'the built-in limits: fine, 1 limit'
}

@test "it takes one file, and --strict only goes with --check" {
  run -2 "$PROGRAM" --check one.yaml two.yaml
  assert_equal "$output" "ratelimit.fcgi: 'two.yaml' is one file too many; see --help"
  run -2 "$PROGRAM" --check one.yaml --limits two.yaml
  assert_equal "$output" "ratelimit.fcgi: 'one.yaml' is one file too many; see --help"
  run -2 "$PROGRAM" --strict
  assert_contains "$output" '--check'
}

@test "an unreadable file is reported in one line" {
  run -2 "$PROGRAM" --check /no/such/file
  assert_equal "$output" '/no/such/file: No such file or directory; name a file that can be read'
  run -2 "$PROGRAM" --check .
  assert_equal "$output" '.: Is a directory; name a file that can be read'
}

# ---- Bad input ----

@test "invalid and too large numbers are refused" {
  for value in 1e309 1E5 -0 +5 007 5.0 0x10 1_000 '1,000' '"5 "' '""' '~' five .inf 0 1000000001 99999999999999999999; do
    assert_bad_value capacity "$value" "capacity"
  done
  for value in 0 -1 1000001 1e309 007; do assert_bad_value cost "$value" 'cost: '; done
}

@test "invalid, too fast and too slow refills are refused" {
  assert_bad_value refill 5/0s 'the duration is 0'
  assert_bad_value refill 0/5s 'the count is 0'
  assert_bad_value refill 1/999999999day 'the duration is too long: write 366day or less'
  assert_bad_value refill 5/5/s "more than one '/'"
  assert_bad_value refill 1000001/s 'the rate is too high'
  assert_bad_value refill 5/m "'m' is ambiguous"
  for value in 5 /s 5/ '5 / s' 5/S 5/us -5/s 1e9/s 007/s 5/s5 99999999999999999999/s; do
    assert_bad_value refill "$value" 'refill: '
  done
}

@test "names that would break a header are refused" {
  # shellcheck disable=SC1003 # a backslash
  for value in '"a\"b"' '"a\nb"' '"a\rb"' '"a\tb"' '"a b"' '"a\\b"' "'a;b'" '"a,b"' 'ä' "$(printf 'a%.0s' {1..65})"; do
    assert_bad_value name "$value" "a limit's name is used in headers and keys"
  done
  assert_bad_value name '"a\0b"' 'a NUL character'
}

@test "a key of 2000 characters is refused" {
  local long
  long=$(printf 'x%.0s' {1..2000})
  assert_bad_value key "$long" 'unknown source in a key'
  assert_bad_value key "query:$long" 'the name of a source is too long; the most is 64 bytes'
  assert_bad_value key "$(printf 'ip + %.0s' {1..400})ip" 'too many sources in a key; the most is 8'
  assert_bad_value key "ip |$(printf ' %.0s' {1..2000})" 'an empty source in a key'
  printf '%s\n' 'limits:' '- { name: a, key: query:u, capacity: 5, refill: 1/s, overrides: [' \
    "  { key: $long, capacity: 6 }, { key: '*$long', capacity: 6 } ] }" >limits.yaml
  refused
  assert_matches "${stderr_lines[0]}" "^limits.yaml:3:10: key 'x{64}': this key is too long; the most is 1024 bytes\$"
  assert_contains "${stderr_lines[1]}" 'this glob is too long; the most is 256 bytes'
}

@test "65 limits that apply to every request are refused, and so are 1001 limits" {
  assert_refused 'limits.yaml:66:3: over 64 limits apply to every request, and 64 are the most; give some of them a match' < <(
    echo 'limits:'
    seq -f '- { name: l%g, key: ip, capacity: 5, refill: 1/s }' 65
  )
  assert_refused 'limits.yaml:1002:3: too many limits; the most is 1000' < <(
    echo 'limits:'
    seq -f '- { name: l%g, match: { path: /x }, key: ip, capacity: 5, refill: 1/s }' 1001
  )
}

@test "257 globs are refused" {
  assert_refused "limits.yaml:263:12: key 'a*257': too many globs and CIDRs in the overrides of one limit; the most is 256, and exact keys are not bounded" < <(
    printf '%s\n' limits: '- name: a' '  key: query:u' '  capacity: 5' '  refill: 1/s' '  overrides:'
    seq -f '- { key: a*%g, capacity: 6 }' 257 | sed 's/^/  /;s/- {/- {/'
  )
}

@test "anchors, aliases and tags are refused" {
  assert_refused <<'YAML' \
    'limits.yaml:2:5: an anchor (&name); leave it out, and write each value where it belongs' \
    'limits.yaml:2:55: a tag (!name); leave it out, every type here is known' \
    'limits.yaml:3:5: an alias (*name); write the value out'
limits:
  - &one { name: a, key: ip, capacity: 5,     refill: !!str 1/s }
  - *one
YAML
}

@test "a billion laughs are refused" {
  {
    echo 'a: &a [x, x, x, x, x, x, x, x, x]'
    for pair in ab bc cd de ef fg gh hi; do
      echo "${pair:1}: &${pair:1} [$(printf "*${pair:0:1}, %.0s" {1..9})]"
    done
  } >limits.yaml
  refused
  assert_contains "$stderr" 'limits.yaml:2:8: an alias (*name); write the value out'
}

@test "tabs and invalid YAML are refused" {
  printf 'limits:\n\t- { name: a }\n' >limits.yaml
  refused
  assert_contains "$stderr" 'limits.yaml:2:1: a tab in front of a line; indent with spaces'
  printf 'limits:\n  - { name: a, key: "ip }\n' >limits.yaml
  refused
  assert_contains "$stderr" 'limits.yaml:2:21: this quote is never closed; close it, or leave it out'
}

@test "duplicate fields are refused" {
  assert_refused <<'YAML' \
    'limits.yaml:4:3: duplicate field; keep one of them' \
    'limits.yaml:7:1: duplicate field; keep one of them'
limits:
- name: a
  key: ip
  key: query:user
  capacity: 5
  refill: 1/s
limits: []
YAML
}

@test "several documents, an empty file and an empty list are refused" {
  assert_refused 'limits.yaml:2:1: a second document; put everything in the first' \
    <<<$'limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]\n---\nlimits: []'
  assert_refused 'limits.yaml: the file is empty; it needs limits:' </dev/null
  assert_refused 'limits.yaml: the file is empty; it needs limits:' <<<'# limits: []'
  assert_refused "limits.yaml:1:9: 'limits' must be a list of at least one limit; write - name: NAME" <<<'limits: []'
}

@test "10 MB of comments, text or brackets are refused" {
  for byte in '#' x '[' '{' $'\n'; do
    head -c 10485760 /dev/zero | tr '\0' "$byte" >limits.yaml
    refused
    assert_equal "$stderr" 'limits.yaml: the file is larger than 4 MiB; write fewer overrides, ten thousand take less than 1 MiB'
  done
  head -c 4000000 /dev/zero | tr '\0' '[' >limits.yaml
  refused
  assert_equal "$stderr" 'limits.yaml:1:17: nested too deeply; a limits file needs six levels'
}

@test "invalid UTF-8 and control characters are refused" {
  printf 'limits:\n- { name: a\xff }\n' >limits.yaml
  refused
  assert_equal "$stderr" 'limits.yaml:2:12: this is not UTF-8 text; write it as UTF-8'
  printf 'limits:\n- { name: \x1b[31m }\n' >limits.yaml
  refused
  assert_equal "$stderr" 'limits.yaml:2:11: a control character; leave it out'
}

@test "a file with a random byte or a missing end does not crash it" {
  cat >good.yaml <<'YAML'
redis: { address: "redis://u:p@h:1/2", timeout: 50ms }
limits: [{ name: a, key: ip + path, capacity: 5, refill: 1/s, cost: header:X,
  overrides: [{ key: [10.0.0.0/8, /a/**], blocked: true }] }]
YAML
  local i size code
  size=$(stat -c %s good.yaml)
  for ((i = 0; i < size; i += 3)); do
    { head -c "$i" good.yaml && head -c 1 /dev/urandom && tail -c +$((i + 2)) good.yaml; } >changed.yaml
    head -c "$i" good.yaml >cut.yaml
    for file in changed.yaml cut.yaml; do
      code=0
      "$PROGRAM" --check "$file" >out 2>&1 || code=$?
      ((code == 0 || code == 2)) || fail "$code of $(base64 -w 0 "$file"): $(<out)" 'is not' '0 or 2'
      ((code == 0)) || assert_matches "$(<out)" "^$file(:[0-9]+:[0-9]+)?: "
    done
  done
}
