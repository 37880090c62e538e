#!/usr/bin/env bats
# readme.bats - what the documents and conf/limits.example.yaml show of the limits file is so, and their links lead somewhere.

load helper

teardown() { stop_all; }

# documents - every Markdown file of ours
documents() { find . -name build -prune -o -name .git -prune -o -name node_modules -prune -o -name '*.md' -print | sed 's|^\./||' | sort; }

# blocks FILE... - the blocks of YAML of these documents, without their indentation, each after a line "---"
blocks() {
  awk '
    FNR == 1 { inside = 0 }
    /^    / && !inside { inside = 1; yaml = /^    *(# The limits|redis:|trusted_proxies:|limits:|match:|key:|cost:|overrides:)/; if (yaml) print "---" }
    /^[^ ]/ { inside = 0 }
    inside && yaml { print substr($0, 5) }
  ' "$@"
}

# check_yaml TEXT - the program takes it, without a warning
check_yaml() {
  echo "$1" >"$BATS_TEST_TMPDIR/limits.yaml"
  "$PROGRAM" --check --strict "$BATS_TEST_TMPDIR/limits.yaml" || fail "$1" 'is not taken by' '--check --strict'
}

# as_file BLOCK - BLOCK in a limits file: it is one, or a part of a limit or of an override
as_file() {
  local limit='limits: [ { name: a, key: "header:X-API-Key | query:user | ip", capacity: 5, refill: 1/s, '
  local lines=$'limits:\n- name: a\n  key: query:user | ip\n  capacity: 5\n  refill: 1/s\n  '
  case $1 in
    *limits:*) echo "$1" ;;
    trusted_proxies:* | redis:*) printf '%s\n' "$1" 'limits: [ { name: a, key: ip, capacity: 5, refill: 1/s } ]' ;;
    *'key: ['*) echo "limits: [ { name: a, key: query:user + ip, capacity: 5, refill: 1/s, overrides: [ { unlimited: true, $1 } ] } ]" ;;
    key:*) echo "${limit/key: *\", /$1, } } ]" ;;
    overrides:*) echo "$lines${1//$'\n'/$'\n  '}" ;;
    *) echo "$limit $1 } ]" ;;
  esac
}

@test "the sessions of the documents print what they say" {
  local document sessions=0
  start_redis
  export REDIS_ADDR=unix:$REDIS_SOCK
  for document in $(documents); do
    run diff "$document" <(tests/readme.sh "$document")
    assert_equal "$document: $output" "$document: "
    sessions=$((sessions + $(grep -cE '^    \$ ratelimit.fcgi .*--(check|explain|help)' "$document" || true)))
  done
  assert_equal "$sessions" 8
}

# steady - standard input, an answer, without what is another one each time: the date, the version, and the seconds that
# have passed
steady() {
  tr -d '\r' | sed -E -e 's/^(Date:|Server: lighttpd\/).*/\1/' -e 's/^(Retry-After: |RateLimit: .*r=0;t=)[0-9]+$/\1N/' \
    -e "\$a\\" # the body has no end of line, the document has
}

# shown_answer N - what README.md shows below its Nth "$ curl -i"
shown_answer() {
  awk -v wanted="$1" '
    /^    \$ curl -i/ { n++; next }
    /^    \$/ || /^[^ ]/ { if (n == wanted) exit }
    n == wanted { print substr($0, 5) }
  ' README.md | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

@test "the curl session of README.md is what the limiter answers" {
  local _
  start_redis
  start_limits < <(sed 's/timeout: 50ms/timeout: 5s/' conf/limits.yaml)
  assert_equal "$(curl -si "$URL/?user=alice" | steady)" "$(shown_answer 1 | steady)"
  for _ in 1 2 3 4; do assert_equal "$(status '/?user=alice')" 200; done
  assert_equal "$(curl -si "$URL/?user=alice" | steady)" "$(shown_answer 2 | steady)"
  assert_equal "$(curl -s "$URL/?user=bob")" "$(sed -n '/^    \$ curl .*user=bob/{n;s/^    //p}' README.md)"
}

@test "every piece of YAML in the documents is taken by --check --strict" {
  local block count=0
  # shellcheck disable=SC2046  # a word for each document
  while IFS= read -r -d $'\x1e' block; do
    [[ -n $block ]] || continue
    check_yaml "$(as_file "$block")"
    count=$((count + 1))
  done < <(blocks $(documents) | awk '/^---$/ { printf "\x1e"; next } { print } END { printf "\x1e" }')
  assert_equal "$count" 10
}

@test "the limits file that the README shows is the one that is built in" {
  local shown
  shown=$(blocks README.md | awk '/^---$/ { n++; next } n == 1')
  assert_equal "$shown" "$(cat conf/limits.yaml)"
}

# fields_of WHAT YAML - the fields that the program says WHAT has, for YAML, which has a wrong one
fields_of() {
  echo "$2" >"$BATS_TEST_TMPDIR/limits.yaml"
  "$PROGRAM" --check "$BATS_TEST_TMPDIR/limits.yaml" 2>&1 | sed -n "s/.*unknown field 'no' in $1; .*its fields are //p" | tr -d ,
}

@test "the table of conf/README.md has every field that the program knows" {
  local field limit='name: a, key: ip, capacity: 5, refill: 1/s'
  for field in $(fields_of 'the file' 'no: 1'); do assert_contains "$(<conf/README.md)" "| \`$field"; done
  for field in $(fields_of redis 'redis: { no: 1 }'); do assert_contains "$(<conf/README.md)" "| \`redis.$field\` |"; done
  for field in $(fields_of 'a limit' "limits: [ { $limit, no: 1 } ]"); do
    assert_contains "$(<conf/README.md)" "| \`limits[].$field\` |"
  done
  for field in $(fields_of 'an override' "limits: [ { $limit, overrides: [ { no: 1 } ] } ]"); do
    assert_matches "$(<conf/README.md)" "limits\[\]\.overrides\[\]\.$field|\`\.$field\`"
  done
  for field in $(fields_of match "limits: [ { $limit, match: { no: 1 } } ]"); do
    assert_matches "$(grep 'limits\[\].match' conf/README.md)" "\`$field\`"
  done
}

@test "conf/limits.example.yaml has every field, and --check --strict takes it" {
  local field limit='name: a, key: ip, capacity: 5, refill: 1/s'
  check_yaml "$(<conf/limits.example.yaml)"
  for field in $(fields_of 'the file' 'no: 1') $(fields_of redis 'redis: { no: 1 }') \
    $(fields_of 'a limit' "limits: [ { $limit, no: 1 } ]") \
    $(fields_of 'an override' "limits: [ { $limit, overrides: [ { no: 1 } ] } ]") \
    $(fields_of match "limits: [ { $limit, match: { no: 1 } } ]"); do
    # Those that need files, or exclude the address, are comments in the example.
    case $field in
      password_file | sentinel | cluster | user | database | tls | key_prefix | hosts | mirror)
        assert_matches "$(grep '^ *#' conf/limits.example.yaml)" "[ {]$field:" && continue
        ;;
    esac
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

# headings FILE - its headings, as the anchors that links name
headings() {
  awk '/^```/ { code = !code } /^#+ / && !code { sub(/^#+ /, ""); print }' "$1" |
    tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# links FILE - the targets of its links, but for those to other sites; what is code is no link
links() {
  # shellcheck disable=SC2016  # these are its backticks
  awk '/^```/ { code = !code } !code && !/^    /' "$1" | sed 's/`[^`]*`//g' | grep -o '](\([^)]*\))' |
    sed 's/^](//; s/)$//' | grep -vE '^(https?|mailto):' || true
}

# broken_links FOLDER - of the documents below FOLDER: a line for each link that leads to no file, or to no heading
broken_links() {
  local document link file anchor
  cd "$1" || return
  for document in $(documents); do
    for link in $(links "$document"); do
      file=${link%%#*} anchor=''
      [[ $link != *'#'* ]] || anchor=${link#*#}
      if [[ -z $file ]]; then file=$document; else file=$(dirname "$document")/$file; fi
      if [[ ! -e $file ]]; then
        echo "$document: $link: no file"
      elif [[ -n $anchor ]] && ! headings "$file" | grep -qxF -- "$anchor"; then
        echo "$document: $link: no heading"
      fi
    done
  done
}

@test "every link of the documents leads to a file, and to a heading" {
  local dir=$BATS_TEST_TMPDIR/broken
  assert_equal "$(broken_links .)" ''
  (($(for document in $(documents); do links "$document"; done | wc -l) > 80))
  mkdir "$dir"
  # shellcheck disable=SC2016
  printf '%s\n' '# A heading' '[file](no.md) [heading](#no-heading) [fine](#a-heading) `[code](no.md)`' >"$dir/a.md"
  assert_equal "$(broken_links "$dir")" $'a.md: no.md: no file\na.md: #no-heading: no heading'
}

@test "make install installs the documents with what they link to" {
  local to=$BATS_TEST_TMPDIR/root document
  make install BUILD="${BUILD:-build}" DESTDIR="$to" >/dev/null
  for document in $(documents); do
    cmp "$document" "$to/usr/local/share/doc/ratelimit/$document"
  done
  assert_equal "$(broken_links "$to/usr/local/share/doc/ratelimit")" ''
}

@test "README.md has 250 lines at most" {
  (($(wc -l <README.md) <= 250))
}
