#!/usr/bin/env bats
# faults.bats - the harness of `make faults` finds a mistake in each of the broken programs, and none in the right one.

load helper

# try_faults PROGRAM - the harness without a fault, for three seconds; its output in $output
try_faults() {
  TMPDIR=$BATS_TEST_TMPDIR FAULT=none FAULTS_S=3 SEED=1 run timeout -k 5 120 "$BUILD/faults" "$1" </dev/null 3>&-
}

# A machine that is too busy for the bound on the latency is no mistake of the program.
@test "faults: the program as it is breaks no client's bound" {
  try_faults "$PROGRAM"
  assert_matches "$output" '[1-9][0-9]* decisions, '
  [[ $output != *'VIOLATION: client'* ]] || fail "$output" 'has' 'a violation'
}

@test "faults: a program that admits one token too many is found, with the shortest history" {
  try_faults "$BUILD/broken/one-token-more.fcgi"
  assert_equal "$status" 1
  assert_matches "$output" 'VIOLATION: client .* admitted [0-9.]* tokens more than capacity'
  assert_matches "$output" 'the last [0-9]* admissions of the client'
  assert_matches "$output" 'violations, seed 1'
}

@test "faults: a program that charges refusals is found" {
  try_faults "$BUILD/broken/charged-refusals.fcgi"
  assert_equal "$status" 1
  assert_matches "$output" 'VIOLATION: client .* refused, although [0-9.]* tokens more than the cost were left'
}

@test "faults: a program that charges some limits of a refused request is found" {
  try_faults "$BUILD/broken/some-charged.fcgi"
  assert_equal "$status" 1
  assert_matches "$output" 'VIOLATION: client user=several.* limit several-[abc] refused, although'
}
