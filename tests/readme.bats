#!/usr/bin/env bats
# readme.bats - what the README and conf/limits.example.yaml show of the limits file is so.

load helper

teardown() { stop_all; }

# blocks - the README's blocks of YAML, without their indentation, each after a line "---"
blocks() {
  awk '
    /^    / && !inside { inside = 1; yaml = /^    *(# The limits|redis:|trusted_proxies:|limits:|match:|key:|cost:|overrides:)/; if (yaml) print "---" }
    /^[^ ]/ { inside = 0 }
    inside && yaml { print substr($0, 5) }
  ' README.md
}

# check_yaml TEXT - the program takes it, without a warning
check_yaml() {
  echo "$1" >"$BATS_TEST_TMPDIR/limits.yaml"
  "$PROGRAM" --check --strict "$BATS_TEST_TMPDIR/limits.yaml" || fail "$1" 'is not taken by' '--check --strict'
}

# as_file BLOCK - BLOCK in a limits file: it is one, or stands in a limit, or in an override
as_file() {
  local limit='limits: [ { name: a, key: "header:X-API-Key | query:user | ip", capacity: 5, refill: 1/s, '
  local lines=$'limits:\n- name: a\n  key: query:user | ip\n  capacity: 5\n  refill: 1/s\n  '
  case $1 in
    *limits:*) echo "$1" ;;
    trusted_proxies:*) printf '%s\n' "$1" 'limits: [ { name: a, key: ip, capacity: 5, refill: 1/s } ]' ;;
    *'key: ['*) echo "limits: [ { name: a, key: query:user + ip, capacity: 5, refill: 1/s, overrides: [ { unlimited: true, $1 } ] } ]" ;;
    key:*) echo "${limit/key: *\", /$1, } } ]" ;;
    overrides:*) echo "$lines${1//$'\n'/$'\n  '}" ;;
    *) echo "$limit $1 } ]" ;;
  esac
}

@test "the sessions of the README print what it says" {
  run diff README.md <(tests/readme.sh)
  assert_equal "$output" ''
}

@test "every piece of YAML in the README is taken by --check --strict" {
  local block count=0
  while IFS= read -r -d $'\x1e' block; do
    [[ -n $block ]] || continue
    check_yaml "$(as_file "$block")"
    count=$((count + 1))
  done < <(blocks | awk '/^---$/ { printf "\x1e"; next } { print } END { printf "\x1e" }')
  assert_equal "$count" 7
}

@test "the limits file that the README shows is the one that is built in" {
  local shown
  shown=$(blocks | awk '/^---$/ { n++; next } n == 1')
  assert_equal "$shown" "$(cat conf/limits.yaml)"
}

# fields_of WHAT YAML - the fields that the program says WHAT has, for YAML, which has a wrong one
fields_of() {
  echo "$2" >"$BATS_TEST_TMPDIR/limits.yaml"
  "$PROGRAM" --check "$BATS_TEST_TMPDIR/limits.yaml" 2>&1 | sed -n "s/.*unknown field 'no' in $1; .*its fields are //p" | tr -d ,
}

@test "the README's table has every field that the program knows" {
  local field limit='name: a, key: ip, capacity: 5, refill: 1/s'
  for field in $(fields_of 'the file' 'no: 1'); do assert_contains "$(<README.md)" "| \`$field"; done
  for field in $(fields_of redis 'redis: { no: 1 }'); do assert_contains "$(<README.md)" "| \`redis.$field\` |"; done
  for field in $(fields_of 'a limit' "limits: [ { $limit, no: 1 } ]"); do
    assert_contains "$(<README.md)" "| \`limits[].$field\` |"
  done
  for field in $(fields_of 'an override' "limits: [ { $limit, overrides: [ { no: 1 } ] } ]"); do
    assert_matches "$(<README.md)" "limits\[\]\.overrides\[\]\.$field|\`\.$field\`"
  done
  for field in $(fields_of match "limits: [ { $limit, match: { no: 1 } } ]"); do
    assert_matches "$(grep 'limits\[\].match' README.md)" "\`$field\`"
  done
}

@test "conf/limits.example.yaml has every field, and --check --strict takes it" {
  local field limit='name: a, key: ip, capacity: 5, refill: 1/s'
  check_yaml "$(<conf/limits.example.yaml)"
  for field in $(fields_of 'the file' 'no: 1') $(fields_of redis 'redis: { no: 1 }') \
    $(fields_of 'a limit' "limits: [ { $limit, no: 1 } ]") \
    $(fields_of 'an override' "limits: [ { $limit, overrides: [ { no: 1 } ] } ]") \
    $(fields_of match "limits: [ { $limit, match: { no: 1 } } ]"); do
    # A password file is one that exists: in the example it is a comment.
    [[ $field == password_file ]] && assert_contains "$(<conf/limits.example.yaml)" "# $field:" && continue
    assert_matches "$(grep -v '^ *#' conf/limits.example.yaml)" "(^|[^a-z_])$field:"
  done
}

@test "conf/limits.example.yaml limits as its comments say" {
  start_redis
  sed '/^redis:/,/^$/d' conf/limits.example.yaml >"$BATS_TEST_TMPDIR/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml"
  local api=(-H 'Host: api.example.com')

  request '/api/x?user=alice' "${api[@]}"
  assert_equal "$(header Status)" '200 OK'
  assert_fields 'RateLimit-Policy per-user q=20 w=4' 'RateLimit-Policy per-user-and-day q=10000 w=86400' \
    'RateLimit-Policy in-all q=2000 w=2' 'RateLimit per-user r=19 t=4' \
    'RateLimit per-user-and-day r=9999 t=86392' 'RateLimit in-all r=1999 t=2'
  assert_equal "$(header X-RateLimit-Limit)" 20

  request '/api/x' "${api[@]}" -H 'X-API-Key: premium-1'
  assert_equal "$(header X-RateLimit-Limit)" 200
  request '/api/x?user=mallory' "${api[@]}"
  assert_equal "$(header Status)" '403 Forbidden'

  local codes=''
  for _ in 1 2 3 4 5 6; do codes+="$(status '/login?user=bob' --data x) "; done
  assert_equal "$codes" '200 200 200 200 200 429 '
}
