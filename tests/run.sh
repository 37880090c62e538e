#!/usr/bin/env bash
# run.sh [FILE...] - run every test, or only those of the files named, and sum up.
#
#   BUILD=build   folder of the program and the unit tests; build/asan has those with sanitizers
#   JOBS=3        how many suites run side by side; by default one more than there are processors, because a suite
#                 waits for a third of its time
#   FILE          tests/NAME.bats, tests/unit/test_NAME.c or tests/lua/test_NAME.lua
#
# All suites speak TAP (testanything.org).  What a suite prints is passed on as a whole when it ends.  A suite whose file has
# a line that begins with "# Runs alone:" runs after all others and beside none.  The last line is
#   N passed, N failed[, N skipped]
# and the exit status 1 if anything failed.  A suite that ends early, is stopped after SUITE_TIMEOUT
# seconds, exits with an error although no test failed, or leaves a process behind, counts as one failure by its name.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE_TIMEOUT=600
build=$(realpath -m "${BUILD:-build}")
export BUILD=$build PROGRAM=$build/ratelimit.fcgi
export CMOCKA_MESSAGE_OUTPUT=TAP UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export JOBS=${JOBS:-$(($(nproc) + 1))}

passed=0 skipped=0 failures=()
declare -A skip_reasons=() # how many tests were skipped for each
# The suites that are running, by the pid of timeout, which is also their process group: names, and numbers below JOBS
declare -A names=() numbers=()
output=$(mktemp -d) # a file for what each suite prints, named by its number
trap 'rm -rf "$output"' EXIT

# Ctrl-C does not reach what timeout runs: it has a process group of its own.
trap '((${#names[@]} == 0)) || kill -TERM "${!names[@]}" 2>/dev/null; exit 130' HUP INT TERM

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

# left_behind NAME GROUP - the processes that a suite has left, a line each: of its process group, or with a group of their
# own but the suite's environment
left_behind() {
  ps -eo pid=,pgid=,args= | awk -v group="$2" '$2 == group { $2 = ""; print }'
  grep -lzsx "SUITE=$$.$1" /proc/[0-9]*/environ | grep -o '[0-9]\+' | xargs -r ps -o pid=,args= -p
}

# check_left_behind NAME GROUP - a process that is about to end gets 5 s; one that stays is killed and counts as a failure
check_left_behind() {
  local left='' _
  for _ in {1..50}; do
    left=$(left_behind "$@" | sort -u -k 1,1) || true
    [[ -n $left ]] || return 0
    sleep 0.1
  done
  printf '# left behind:\n%s\n' "$left"
  # shellcheck disable=SC2046  # words
  kill $(awk '{ print $1 }' <<<"$left") 2>/dev/null || true
  failures+=("$1: leaves processes behind: $(awk '{ print $2 }' <<<"$left" | sort -u | xargs)")
}

# start NAME COMMAND... - a suite, with the lowest number that is free
start() {
  local name=$1 number=0
  shift
  while [[ " ${numbers[*]} " == *" $number "* ]]; do number=$((number + 1)); done
  SUITE=$$.$name JOB=$number timeout --kill-after=10 "$SUITE_TIMEOUT" "$@" </dev/null >"$output/$number" 2>&1 &
  names[$!]=$name numbers[$!]=$number
}

# start_file FILE
start_file() {
  case $1 in
    *.bats) start "$1" bats --tap "$1" ;;
    *.lua) start "$1" lua5.1 "$1" ;;
    *.c) start "$1" "$build/$(basename "$1" .c)" ;;
  esac
}

# finish PID - print and count what a suite has printed, once it has ended
finish() {
  local name=${names[$1]} line results=0 plan='' failed=${#failures[@]} status=0
  wait "$1" || status=$?
  echo "# $name"
  while IFS= read -r line || [[ -n $line ]]; do
    printf '%s\n' "$line"
    [[ ! $line =~ ^1\.\.([0-9]+) ]] || plan=${BASH_REMATCH[1]}
    count_line "$name" "$line"
  done <"$output/${numbers[$1]}"
  check_left_behind "$name" "$1"
  unset "names[$1]" "numbers[$1]"

  if ((status == 124 || status == 137)); then
    failures+=("$name: stopped after $SUITE_TIMEOUT s")
  elif [[ $results != "$plan" ]]; then
    failures+=("$name: $results results of ${plan:-an unknown number}, exit status $status")
  elif ((status != 0 && ${#failures[@]} == failed)); then
    failures+=("$name: exit status $status")
  fi
}

# finish_until_below COUNT - wait until fewer suites than that run
finish_until_below() {
  local pid
  while ((${#names[@]} >= $1)); do
    # It does not say which suite has ended, and not of every one that a signal has ended.
    wait -n 2>/dev/null || true
    for pid in "${!names[@]}"; do
      kill -0 "$pid" 2>/dev/null || finish "$pid"
    done
  done
}

# run JOBS FILE... - so many at once
run() {
  local jobs=$1 file
  shift
  for file; do
    finish_until_below "$jobs"
    start_file "$file"
  done
  finish_until_below 1
}

[[ $JOBS == [1-9]*([0-9]) ]] || {
  echo "$0: JOBS is a number of suites, not '$JOBS'" >&2
  exit 2
}
(($# > 0)) || set -- tests/*.bats tests/lua/test_*.lua tests/unit/test_*.c
together=() alone=()
for file; do
  if [[ $file != *.@(bats|lua|c) ]]; then
    echo "$0: $file is no test: name a .bats, .lua or .c file" >&2
    exit 2
  elif grep -qs '^# Runs alone:' "$file"; then
    alone+=("$file")
  else
    together+=("$file")
  fi
done
run "$JOBS" "${together[@]}"
run 1 "${alone[@]}"
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
