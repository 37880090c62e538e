#!/usr/bin/env bash
# run.sh [NAME...] - run all harnesses, or only those of the names, for a bounded time, and print
# the result of each.
#
#   BUILD=build/fuzz   folder of the harnesses; findings are kept in BUILD/findings
#   FUZZ_S=60          seconds in all
#   FUZZ_SEED=1        change it to try other inputs
#
# NAME is that of tests/fuzz/fuzz_NAME.c.  A harness starts with the files seeds/NAME*.yaml and the
# lines of seeds/NAME.txt or seeds/NAME.escaped.  In .txt, the texts of a line are separated by
# tabs; .escaped is in the format of printf's %b.
# Exit status 1 on a finding.
set -euo pipefail
cd "$(dirname "$0")/../.."

export BUILD=${BUILD:-build/fuzz} FUZZ_SEED=${FUZZ_SEED:-1}
# Use addr2line, which the compiler's packages include; llvm-symbolizer would be another package.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allow_addr2line=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# make_seeds NAME FOLDER
make_seeds() {
  local line number=0
  rm -rf "$2"
  mkdir -p "$2"
  [[ $1 != file ]] || cp conf/*.yaml tests/fuzz/seeds/*.yaml "$2"
  if [[ -e tests/fuzz/seeds/$1.escaped ]]; then
    while IFS= read -r line; do
      number=$((number + 1))
      printf %b "$line" >"$2/$number"
    done <"tests/fuzz/seeds/$1.escaped"
  fi
  [[ -e tests/fuzz/seeds/$1.txt ]] || return 0
  while IFS= read -r line; do
    number=$((number + 1))
    tr '\t' '\0' <<<"$line" | head -c -1 >"$2/$number"
  done <"tests/fuzz/seeds/$1.txt"
}

# property NAME - print what the harness checks: the comment at its beginning
property() {
  sed '/\*\/$/q' "tests/fuzz/fuzz_$1.c" | sed 's,^/\* [^ ]* - ,,; s,^ \* ,,; s, \*/$,,' | paste -sd ' '
}

# fuzz NAME SECONDS - run one harness.
fuzz() {
  local program=$BUILD/fuzz_$1 log=$BUILD/$1.log options=() found
  [[ ! -e tests/fuzz/$1.dict ]] || options=("-dict=tests/fuzz/$1.dict")
  make_seeds "$1" "$BUILD/corpus/$1"
  if "$program" "${options[@]}" -max_total_time="$2" -seed="$FUZZ_SEED" -max_len=4096 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="$BUILD/findings/$1-" "$BUILD/corpus/$1" >"$log" 2>&1; then
    printf '%-10s %9d inputs in %d s: %s\n' "$1" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$2" \
      "$(property "$1")"
    return
  fi
  found=$(sed -n 's/.*Test unit written to //p' "$log")
  printf '%-10s FOUND: %s\n' "$1" "$(grep -m 1 -E '^broken: |: runtime error: |^SUMMARY: ' "$log")"
  printf '  once more:  %s %s\n  its output: %s\n' "$program" "${found:-(no input was kept)}" "$log"
  return 1
}
export -f make_seeds property fuzz

(($# > 0)) || for source in tests/fuzz/fuzz_*.c; do
  source=${source##*/fuzz_}
  set -- "$@" "${source%.c}"
done
jobs=$(nproc)
rounds=$((($# + jobs - 1) / jobs))
seconds=$((${FUZZ_S:-60} / rounds))
mkdir -p "$BUILD/findings"
printf '%s\n' "$@" | xargs -I{} -P "$jobs" bash -c "fuzz {} $((seconds > 0 ? seconds : 1))" || {
  echo "fuzz: findings, their inputs in $BUILD/findings"
  exit 1
}
