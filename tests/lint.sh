#!/usr/bin/env bash
# lint.sh - formatters and linters over everything; says what it checks.  Exit status 1 on a finding.
# `make lint` has made build/*.inc before, which the C files include.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps lighttpd
shopt -s nullglob

sources=(fcgi/*.c fcgi/*/*.c conf/docker/*.c conf/demo/*.c tests/unit/*.c tests/fuzz/*.c tests/bench/*.c tests/faults/*.c)
headers=(fcgi/*/*.h tests/unit/*.h tests/fuzz/*.h tests/faults/*.h)
scripts=(conf/*.sh conf/*.bash conf/*/*.sh tests/*.sh tests/*.bash tests/bench/*.sh tests/fuzz/*.sh .ci/*)
findings=()

# check WHAT COMMAND...
check() {
  echo "lint: $1"
  "${@:2}" || findings+=("$1")
}

# One file to a process: clang-tidy 14 takes va_list for uninitialised in all files but its first.
tidy_one() {
  local options=() output
  # The analyser does not know that cmocka's assertions do not return.
  [[ $1 != tests/unit/* ]] || options=(--checks=-clang-analyzer-core.*)
  output=$(clang-tidy --quiet "${options[@]}" "$1" -- \
    -std=c11 -D_GNU_SOURCE '-DVERSION="lint"' -iquote fcgi -iquote build 2>&1) || {
    grep -v ' warnings generated' <<<"$output"
    return 1
  }
}
export -f tidy_one

tidy() {
  printf '%s\0' "$@" | xargs -0 -n 1 -P 2 bash -c "tidy_one \"\$1\"" _
}

# Includes run one way: ROOM may include the rooms and files behind it, and its own; main.c may include all.
allowed_includes() {
  cat <<'ROOMS'
base
request base
shared base
store shared base
limits request base store/store.h store/redis_config.h store/password_file.h
config limits request base store/redis_address.h store/redis_config.h store/tls.h store/password_file.h store/stored_override.h
decide limits request base shared store/store.h
front request base
command front decide config limits request base shared store
ROOMS
}

includes() {
  allowed_includes | awk '
    FILENAME == "-" { for (i = 2; i <= NF; i++) allowed[$1, $i]; next }
    /^#include "/ {
      split(FILENAME, path, "/")
      room = path[3] == "" ? "main" : path[2]
      gsub(/"/, "", $2)
      if (split($2, to, "/") < 2 || room == "main" || to[1] == room) next
      if ((room, to[1]) in allowed || (room, $2) in allowed) next
      printf "%s:%d: %s/ may not include %s\n", FILENAME, FNR, room, $2
      found = 1
    }
    END { exit found }' - fcgi/*.c fcgi/*/*.[ch]
}

# Every C file begins with its name and what it is, and then its licence.
beginnings() {
  local file found=0
  for file in "${sources[@]}"; do
    head -n 1 "$file" | grep -q "^/\\* ${file##*/} - " && head -n 30 "$file" | grep -qF 'SPDX-License-Identifier: MIT' && continue
    echo "$file: does not begin with /* ${file##*/} - what it is */ and an SPDX line"
    found=1
  done
  return "$found"
}

columns() {
  awk 'length($0) > 100 { printf "%s:%d: more than 100 columns\n", FILENAME, FNR; found = 1 } END { exit found }' "$@"
}

# Any values will do, because only the syntax is checked.
lighttpd_syntax() {
  BIND=127.0.0.1 PORT=8080 WORKERS=2 PROGRAM=/bin/true SOCKET_DIR=/tmp SOCKET=/tmp/socket \
    LIMITS_FILE=/dev/null CONF_DIR=$PWD/conf/lighttpd SITE=/tmp BACKEND_PORT=8081 ECHO=/bin/true \
    TRUSTED_PROXY=192.0.2.1 lighttpd -tt -f "$1"
}

check 'C, the first lines' beginnings
check 'C, 100 columns' columns "${sources[@]}" "${headers[@]}"
check 'the live page, 100 columns' columns fcgi/decide/live.html
check 'C includes, from room to room' includes
check 'C format (clang-format)' clang-format -n -Werror "${sources[@]}" "${headers[@]}"
check 'C (clang-tidy)' tidy "${sources[@]}"
# SC2317, SC2329: functions that are called by a name in a variable look unreachable to it.
check 'shell (shellcheck)' shellcheck -e SC2317,SC2329 "${scripts[@]}"
# SC2034, SC2154: helper.bash and bats itself set variables that the tests read, and the other way round.
# SC2030, SC2031: every test is a subshell of its own, and what it sets is for itself.
check 'bats (shellcheck)' shellcheck -s bats -e SC2030,SC2031,SC2034,SC2154,SC2317,SC2329 tests/*.bats
check 'manual pages (mandoc)' mandoc -Tlint -Wwarning conf/man/*
check 'Lua (luacheck)' luacheck --quiet --no-color lua conf/lighttpd tests
if command -v lighttpd >/dev/null; then
  for file in conf/lighttpd*.conf conf/demo/backend.conf conf/lighttpd/demo.conf; do
    check "$file (lighttpd -tt)" lighttpd_syntax "$file"
  done
else
  echo 'lint: no lighttpd here: conf/lighttpd*.conf not checked'
fi

if ((${#findings[@]} > 0)); then
  printf -v list '%s, ' "${findings[@]}"
  echo "lint: findings in: ${list%, }"
  exit 1
fi
echo 'lint: clean'
