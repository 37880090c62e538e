#!/usr/bin/env bats
# packages.bats - conf/packages.sh, as far as it can be tested without installing anything.

bats_require_minimum_version 1.5.0
load helper

# path_with COMMAND... - make a folder that holds these commands alone; the script's PATH
path_with() {
  path=$BATS_TEST_TMPDIR/bin
  mkdir -p "$path"
  local name
  for name; do
    ln -s "$(type -P "$name")" "$path/$name"
  done
}

# fake NAME - a command with the script on standard input.  It replaces the link that path_with made, because writing
# through that would overwrite the machine's own command.
fake() {
  rm -f "$path/$1"
  cat >"$path/$1"
  chmod +x "$path/$1"
}

@test "if everything is installed it prints nothing, installs nothing and is quick" {
  path_with sh dpkg-query node # which may come from elsewhere
  fake apt-get <<<'#!/bin/sh
echo apt-get was called'
  local one start=${EPOCHREALTIME/./}
  dpkg-query -W libc6
  one=$((${EPOCHREALTIME/./} - start)) # as long as this takes now
  start=${EPOCHREALTIME/./}
  run -0 env PATH="$path" conf/packages.sh test
  assert_equal "$output" ''
  assert_between $((${EPOCHREALTIME/./} - start)) 0 $((5000000 + 20 * one))
}

@test "without apt-get it names what is missing and stops" {
  path_with sh
  run -1 --separate-stderr env PATH="$path" conf/packages.sh run
  assert_contains "$stderr" libhiredis-dev
  assert_contains "$stderr" "install them by this system's own means"
  assert_equal "$output" ''
}

@test "without root and without sudo it names the packages and the command" {
  path_with sh
  fake id <<<'#!/bin/sh
echo 1000'
  fake apt-get <<<'#!/bin/sh
echo apt-get was called'
  fake dpkg-query <<<'#!/bin/sh'
  run -1 --separate-stderr env PATH="$path" conf/packages.sh run
  assert_contains "$stderr" 'as root: apt-get install --no-install-recommends gcc make'
  assert_equal "$output" ''
}

@test "only the missing packages are installed, with no service started meanwhile" {
  # This PATH has no command that could change the machine.  The faked sudo only logs.
  path_with sh cat rm mktemp grep
  fake id <<<'#!/bin/sh
echo 1000'
  fake dpkg-query <<'SH'
#!/bin/sh
shift 3
for package; do
  case $package in
    xxd | lighttpd) printf '%s=not-installed ' "$package" ;;
    *) printf '%s=installed ' "$package" ;;
  esac
done
SH
  fake apt-get </dev/null
  fake sudo <<'SH'
#!/bin/sh
echo "$*" >>"$LOG"
[ "$1" != tee ] || cat >>"$LOG"
SH
  export LOG=$BATS_TEST_TMPDIR/log
  run -0 --separate-stderr env PATH="$path" conf/packages.sh run
  assert_equal "$stderr" 'make run: installing xxd lighttpd'
  assert_matches "$(sed -n 's/.*apt-get.* install //p' "$LOG")" '^--no-install-recommends xxd lighttpd$'
  [[ -e /usr/sbin/policy-rc.d ]] || {
    assert_contains "$(<"$LOG")" 'exit 101'
    assert_equal "$(tail -n 1 "$LOG")" 'rm -f /usr/sbin/policy-rc.d'
  }
}

@test "a node from elsewhere is enough, and Debian's is not installed" {
  path_with sh
  fake apt-get </dev/null
  fake id <<<'#!/bin/sh
echo 1000'
  fake dpkg-query <<'SH'
#!/bin/sh
shift 3
for package; do
  case $package in
    nodejs) ;;
    *) printf '%s=installed ' "$package" ;;
  esac
done
SH
  run -1 --separate-stderr env PATH="$path" conf/packages.sh test
  assert_matches "$stderr" 'apt-get install --no-install-recommends nodejs$'
  fake node </dev/null
  run -0 env PATH="$path" conf/packages.sh test
  assert_equal "$output" ''
}

@test "an unknown purpose is refused" {
  run -2 conf/packages.sh everything
  assert_contains "$output" 'run|test|browser|lint|bench'
}

@test "make run SERVER=... needs that web server and no other" {
  path_with sh
  fake apt-get </dev/null
  fake id <<<'#!/bin/sh
echo 1000'
  fake dpkg-query <<<'#!/bin/sh'
  local server
  for server in lighttpd nginx apache caddy; do
    run -1 --separate-stderr env PATH="$path" conf/packages.sh run "$server"
    assert_contains "$stderr" " $server"
    assert_equal "$server: $(grep -oE 'nginx-light|apache2|caddy|lighttpd-modules-lua' <<<"$stderr" | wc -l)" "$server: 1"
  done
  run -2 env PATH="$path" conf/packages.sh run iis
  assert_contains "$output" "not 'iis'"
}
