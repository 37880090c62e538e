#!/usr/bin/env bash
# run.sh [FILE...] - run every test, or only those of the files named, and sum up.
#
#   BUILD=build   folder of the program and the unit tests; build/asan has those with sanitizers
#   FILE          tests/NAME.bats, tests/unit/test_NAME.c or tests/lua/test_NAME.lua
#
# All suites speak TAP (testanything.org), which is passed on as it comes.  The last line is
#   N passed, N failed[, N skipped]
# and the exit status 1 if anything failed.  A suite that ends early, is stopped after SUITE_TIMEOUT
# seconds, exits with an error although no test failed, or leaves a process behind, counts as one failure by its name.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE_TIMEOUT=600
build=$(realpath -m "${BUILD:-build}")
export BUILD=$build PROGRAM=$build/ratelimit.fcgi
export CMOCKA_MESSAGE_OUTPUT=TAP UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

passed=0 skipped=0 failures=() suite=''
declare -A skip_reasons=() # how many tests were skipped for each

# Ctrl-C does not reach what timeout runs: it has a process group of its own.
trap '[[ -z $suite ]] || kill -TERM "$suite" 2>/dev/null; exit 130' HUP INT TERM

# count_skipped NAME LINE
count_skipped() {
  local reason=${2##*# [Ss][Kk][Ii][Pp]}
  reason="${1##*/}: ${reason# }"
  skipped=$((skipped + 1))
  skip_reasons[$reason]=$((${skip_reasons[$reason]:-0} + 1))
}

# count_line NAME LINE: count one line of TAP.  cmocka 1.1.5 prints skipped tests as "not ok N # SKIP".
count_line() {
  case $2 in
    'ok '*'# '[Ss][Kk][Ii][Pp]* | 'not ok '*'# SKIP'*) count_skipped "$1" "$2" ;;
    'ok '*) passed=$((passed + 1)) ;;
    'not ok '*) failures+=("$1: ${2#not ok }") ;;
    *) return 0 ;;
  esac
  results=$((results + 1))
}

# left_behind GROUP - the processes that a suite has left, a line each: of its process group, or with a group of their own
# but the suite's environment
left_behind() {
  ps -eo pid=,pgid=,args= | awk -v group="$1" '$2 == group { $2 = ""; print }'
  grep -lzsx "SUITE=$SUITE" /proc/[0-9]*/environ | grep -o '[0-9]\+' | xargs -r ps -o pid=,args= -p
}

# check_left_behind NAME GROUP - a process that is about to end gets 5 s; one that stays is killed and counts as a failure
check_left_behind() {
  local left='' _
  for _ in {1..50}; do
    left=$(left_behind "$2" | sort -u -k 1,1) || true
    [[ -n $left ]] || return 0
    sleep 0.1
  done
  printf '# left behind:\n%s\n' "$left"
  # shellcheck disable=SC2046  # words
  kill $(awk '{ print $1 }' <<<"$left") 2>/dev/null || true
  failures+=("$1: leaves processes behind: $(awk '{ print $2 }' <<<"$left" | sort -u | xargs)")
}

# run_suite NAME COMMAND...
run_suite() {
  local name=$1 line results=0 plan='' failed=${#failures[@]} status=0
  shift
  echo "# $name"
  SUITE=$$.$name
  exec {tap}< <(SUITE=$SUITE exec timeout --kill-after=10 "$SUITE_TIMEOUT" "$@" </dev/null)
  suite=$!
  while IFS= read -r -u "$tap" line; do
    printf '%s\n' "$line"
    [[ ! $line =~ ^1\.\.([0-9]+) ]] || plan=${BASH_REMATCH[1]}
    count_line "$name" "$line"
  done
  exec {tap}<&-
  wait "$suite" || status=$?
  check_left_behind "$name" "$suite"
  suite=''

  if ((status == 124 || status == 137)); then
    failures+=("$name: stopped after $SUITE_TIMEOUT s")
  elif [[ $results != "$plan" ]]; then
    failures+=("$name: $results results of ${plan:-an unknown number}, exit status $status")
  elif ((status != 0 && ${#failures[@]} == failed)); then
    failures+=("$name: exit status $status")
  fi
}

run_file() {
  case $1 in
    *.bats) run_suite "$1" bats --tap "$1" ;;
    *.lua) run_suite "$1" lua5.1 "$1" ;;
    *.c) run_suite "$1" "$build/$(basename "$1" .c)" ;;
    *)
      echo "$0: $1 is no test: name a .bats, .lua or .c file" >&2
      exit 2
      ;;
  esac
}

(($# > 0)) || set -- tests/unit/test_*.c tests/lua/test_*.lua tests/*.bats
for file; do
  run_file "$file"
done

if ((skipped > 0)); then
  printf '\nSkipped:\n'
  for reason in "${!skip_reasons[@]}"; do
    printf '  %3d of %s\n' "${skip_reasons[$reason]}" "$reason"
  done | sort -k 3
fi
if ((${#failures[@]} > 0)); then
  printf '\nFailed:\n'
  printf '  %s\n' "${failures[@]}"
  printf '\nAgain:\n'
  printf '%s\n' "${failures[@]%%: *}" | sort -u | sed "s,^,  BUILD=$(realpath --relative-to=. "$build") tests/run.sh ,"
fi
summary="$passed passed, ${#failures[@]} failed"
((skipped == 0)) || summary+=", $skipped skipped"
echo "$summary"
((${#failures[@]} == 0))
