#!/usr/bin/env bats
# systemd.bats - the units of conf/systemd, as `make install` installs them, under systemd itself: process 1 of
# namespaces of its own (systemd_boot.sh), behind the real lighttpd and in front of a Redis outside of them.
#
# One thing is stricter than in the units: a system call outside of SystemCallFilter= kills the process, because EPERM,
# as in the unit, might pass unnoticed.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  export root=$BATS_FILE_TMPDIR/root
  make install BUILD="${BUILD:-build}" DESTDIR="$root" PREFIX=/usr/local >/dev/null
  export unable=''
  if grep -q __asan_init "$PROGRAM"; then
    unable='the sanitizers do not run in the sandbox'
  elif ! tests/systemd_boot.sh --can "$root" 2>/dev/null; then
    unable='no root, or no namespaces'
  fi
  [[ -z $unable ]] || return 0 # needs_boot skips
  start_redis
  boot
  export SOCKET=/proc/$init/root/run/ratelimit/sock
  export log=/proc/$init/root/run/ratelimit.log
  limits 3
  # The name is unknown, and there is no name server: Redis is away, until redis_has_a_name.
  echo 'nameserver 127.0.0.1' >"/proc/$init/root/etc/resolv.conf"
  echo "REDIS_ADDR=redis.test:$REDIS_PORT" >>"/proc/$init/root/etc/default/ratelimit"
  start_limiter conf/lighttpd-connect.conf SOCKET="$SOCKET"
}

teardown_file() {
  [[ -z $unable ]] || return 0
  stop_all
}

setup() { user=user-$BATS_TEST_NUMBER; }

teardown() {
  stop "$other_lighttpd"
  stop "$toucher"
  stop "$journald"
}

needs_boot() { [[ -z $unable ]] || skip "$unable: conf/systemd is NOT run"; }

# Both processes run, with the limits of 3.
needs_systemd() {
  needs_boot
  limits 3
  inside systemctl start ratelimit@1.service ratelimit@2.service
  inside systemctl reload 'ratelimit@*'
  redis_has_a_name
  eventually limited_to 3
}

# boot - systemd with the installed units; init, its pid; a drop-in for the tests
boot() {
  export init
  tests/systemd_boot.sh "$root" >"$BATS_FILE_TMPDIR/init" 2>"$BATS_FILE_TMPDIR/console" 3>&- &
  HELPER_PIDS=$!
  eventually test -s "$BATS_FILE_TMPDIR/init"
  init=$(<"$BATS_FILE_TMPDIR/init")
  eventually booted
  drop_in ratelimit@.service 'SystemCallErrorNumber=kill' 'StandardError=append:/run/ratelimit.log'
}
booted() { [[ $(inside systemctl is-system-running 2>/dev/null) == running ]]; }

inside() { nsenter -t "$init" -m -p -C -i -u "$@"; }

# drop_in UNIT LINE... - lines for its [Service]
drop_in() {
  mkdir -p "/proc/$init/root/run/units/$1.d"
  printf '%s\n' '[Service]' "${@:2}" >"/proc/$init/root/run/units/$1.d/test.conf"
  inside systemctl daemon-reload
}

# limits CAPACITY - write the limits file that the unit names
limits() {
  cat >"/proc/$init/root/etc/ratelimit/limits.yaml" <<YAML
redis: { timeout: 5s }     # exactness is shown here, not speed
limits:
  - { name: first, key: "query:user | ip", capacity: $1, refill: 1/day, on_redis_failure: allow }
YAML
}

redis_has_a_name() {
  grep -qs redis.test "/proc/$init/root/etc/hosts" || echo '127.0.0.1 redis.test' >>"/proc/$init/root/etc/hosts"
  eventually decided 10
}
# limited_to CAPACITY - by both
limited_to() {
  for _ in {1..10}; do
    request "/?user=limited-$RANDOM"
    [[ $(header RateLimit-Policy) == *";q=$1;"* ]] || return 1
  done
}
# show PROPERTY UNIT
show() { inside systemctl show --value -p "$1" "$2"; }

# pid_of INSTANCE - its process, by its pid outside of the namespace
pid_of() {
  local pid
  pid=$(show MainPID "ratelimit@$1.service")
  [[ $pid != 0 ]] && grep -lsE "^NSpid:.*[^0-9]$pid\$" /proc/[0-9]*/status | grep -o '[0-9]\+' | while read -r outer; do
    [[ $(readlink "/proc/$outer/ns/pid") != "$(readlink "/proc/$init/ns/pid")" ]] || echo "$outer"
  done
}

@test "systemd-analyze verify finds no fault in the installed units" {
  local prefix=$BATS_TEST_TMPDIR/prefix
  make install BUILD="${BUILD:-build}" PREFIX="$prefix" SYSCONFDIR="$BATS_TEST_TMPDIR/etc" >/dev/null
  cd "$prefix/lib/systemd/system"
  run -0 env SYSTEMD_UNIT_PATH="$PWD:" systemd-analyze verify --man=no ratelimit.socket ratelimit@1.service ratelimit@2.service
  assert_equal "$output" ''
  run -1 grep -n /usr/local ratelimit.socket ratelimit@.service
}

@test "systemd-analyze security rates the service below 1.5: OK" {
  cd "$root/usr/local/lib/systemd/system"
  run systemd-analyze security --no-pager --offline=true --threshold=15 ratelimit@.service
  ((status == 0)) || fail "$output" 'is rated above' 1.5
}

@test "make install keeps existing limits and settings" {
  local to=$BATS_TEST_TMPDIR/root
  mkdir -p "$to/etc/ratelimit" "$to/etc/default"
  echo mine >"$to/etc/ratelimit/limits.yaml"
  echo mine >"$to/etc/default/ratelimit"
  make install BUILD="${BUILD:-build}" DESTDIR="$to" >/dev/null
  assert_equal "$(cat "$to/etc/ratelimit/limits.yaml" "$to/etc/default/ratelimit")" $'mine\nmine'
  assert_equal "$(cat "$root/etc/ratelimit/limits.yaml")" "$(cat conf/limits.yaml)"
}

# This is the first test that starts it, so no process has known the address of Redis yet.
@test "it starts while the name of Redis is unknown, and limits once it is known" {
  needs_boot
  run -0 inside systemctl enable --now ratelimit@1.service ratelimit@2.service
  assert_equal "$(statuses 4 "$user")" '200 200 200 200'
  undecided
  redis_has_a_name
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
}

@test "the processes share one socket, which only the web server's group may use" {
  needs_systemd
  assert_equal "$(stat -c '%a %U %G' "$SOCKET")" '660 root www-data'
  assert_equal "$(readlink "/proc/$(pid_of 1)/fd/0")" "$(readlink "/proc/$(pid_of 2)/fd/0")"
  assert_equal "$(show Backlog ratelimit.socket)" 4096
}

@test "200 parallel requests admit exactly the capacity" {
  needs_systemd
  assert_equal "$(storm 200 "$URL/?user=$user")" '200:3 429:197'
}

@test "a process has no privilege, no file to write but the shared one, and a system-call filter" {
  needs_systemd
  local pid status
  pid=$(pid_of 1)
  status=$(tr '\t' ' ' <"/proc/$pid/status")
  assert_contains "$status" 'Seccomp: 2'
  assert_contains "$status" 'NoNewPrivs: 1'
  assert_contains "$status" 'CapEff: 0000000000000000'
  assert_contains "$status" 'CapBnd: 0000000000000000'
  assert_equal "$(awk '$4 ~ /^rw/ && $3 != "proc" { print $2 }' "/proc/$pid/mounts" | grep -cE '^/(etc|usr|var|home|root)$')" 0
  assert_between "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" 61184 65519
  assert_equal "$(scheduling_policy "$pid")" SCHED_BATCH
}

processes_are() { [[ $(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l) == "$1" ]]; }
# allowed_total - the requests that the limit has allowed, of all processes
allowed_total() {
  curl -s "$URL/-/metrics" | sed -n 's/^ratelimit_decisions_total{limit="first",decision="allowed"} //p'
}

@test "the processes count together, and go on counting when one of them or all are restarted" {
  needs_systemd
  local before
  eventually processes_are 2
  assert_equal "$(inside stat -Lc '%a %F' /run/ratelimit/shared/counters)" '600 regular file'
  assert_equal "$(inside stat -Lc %a /run/ratelimit/shared)" 700
  # ratelimitctl finds the file by itself.
  assert_equal "$(inside env -u RATELIMIT_SHARED ratelimitctl status | grep -c '^process ')" 2
  before=$(allowed_total)
  assert_between "$before" 1 1000000
  inside systemctl stop ratelimit@1.service
  eventually processes_are 1
  inside systemctl start ratelimit@1.service
  eventually processes_are 2
  (($(allowed_total) >= before))
  inside systemctl stop ratelimit.socket
  inside systemctl start ratelimit@1.service ratelimit@2.service
  eventually processes_are 2
  (($(allowed_total) >= before))
  assert_equal "$(grep -c 'shared memory cannot be used' "$log" || true)" 0
}

@test "RATELIMIT_ALLOW of /etc/default/ratelimit opens the pages to its networks" {
  needs_systemd
  assert_equal "$(status /-/metrics --interface 127.0.0.3)" 200
  assert_contains "$(<conf/systemd/ratelimit.default)" '#RATELIMIT_ALLOW='
  echo 'RATELIMIT_ALLOW=127.0.0.1 127.0.0.2' >>"/proc/$init/root/etc/default/ratelimit"
  inside systemctl restart 'ratelimit@*'
  eventually processes_are 2
  assert_equal "$(status /-/metrics --interface 127.0.0.2)" 200
  assert_equal "$(status /-/metrics --interface 127.0.0.3)" 403
}

@test "a system call outside of the filter kills the process, so the other tests would notice it" {
  needs_systemd
  drop_in ratelimit@denied.service 'ExecStart=' 'ExecStart=/bin/chown 0 /dev/null' 'Restart=no' \
    'SystemCallErrorNumber=kill' 'Type=oneshot'
  run ! inside systemctl start ratelimit@denied.service
  assert_equal "$(show Result ratelimit@denied.service) $(show ExecMainStatus ratelimit@denied.service)" \
    "signal $(kill -l SYS)"
  inside systemctl reset-failed ratelimit@denied.service
}

@test "while Redis is lost requests are allowed, then limited again, and no process dies" {
  needs_systemd
  local pids
  pids="$(pid_of 1) $(pid_of 2)"
  stop "$REDIS_PID"
  eventually undecided
  assert_equal "$(statuses 5 "$user")" '200 200 200 200 200'
  start_redis
  eventually decided 10
  assert_equal "$(statuses 4 "$user-again")" '200 200 200 429'
  assert_equal "$(pid_of 1) $(pid_of 2)" "$pids"
}

# messages OPTION... - what the journal has of the processes, without the times
messages() { inside journalctl -q -o cat -u 'ratelimit@*' "$@"; }

# With systemd's own journal in the place of the tests' log file.
@test "journalctl -p warning shows a lost Redis, -p notice its return and the start, and neither has a second time" {
  needs_systemd
  inside /lib/systemd/systemd-journald 3>&- &
  journald=$!
  eventually test -S "/proc/$init/root/run/systemd/journal/stdout"
  drop_in ratelimit@.service 'SystemCallErrorNumber=kill'
  inside systemctl restart 'ratelimit@*'
  eventually decided 10
  stop "$(<"$REDIS_DIR/pid")"
  eventually undecided
  start_redis
  eventually decided 10
  assert_matches "$(messages -p warning | sort -u)" '^redis redis.test:[0-9]+ is lost \(.*\): requests are decided without it$'
  assert_equal "$(messages -p notice | grep -cE '^redis redis.test:[0-9]+ is back after')" 2
  assert_equal "$(messages -p notice | grep -cE '^ratelimit.fcgi [0-9.]+: /etc/ratelimit/limits.yaml \(1 limit, sha256 ')" 2
  drop_in ratelimit@.service 'SystemCallErrorNumber=kill' 'StandardError=append:/run/ratelimit.log'
  inside systemctl restart 'ratelimit@*'
}

@test "systemctl reload takes a changed limits file, and fails without a change on one with a mistake" {
  needs_systemd
  local pids
  pids="$(pid_of 1) $(pid_of 2)"
  limits 2
  # They do not notice it themselves, because the file goes on to change.
  while touch "/proc/$init/root/etc/ratelimit/limits.yaml"; do sleep 0.1; done 3>&- &
  toucher=$!
  inside systemctl reload 'ratelimit@*'
  eventually limited_to 2
  stop "$toucher"
  assert_equal "$(statuses 3 "$user")" '200 200 429'
  limits none
  run ! inside systemctl reload 'ratelimit@*'
  assert_contains "$(tail -n 5 "$log")" 'limits.yaml:3:'
  assert_equal "$(statuses 3 "$user-again")" '200 200 429'
  assert_equal "$(pid_of 1) $(pid_of 2)" "$pids"
}

@test "a killed process is back within seconds, and the other answers meanwhile" {
  needs_systemd
  local victim
  victim=$(pid_of 1)
  kill -KILL "$victim"
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
  another() { [[ -n $(pid_of 1) ]] && [[ $(pid_of 1) != "$victim" ]]; }
  eventually another
  assert_equal "$(show Result ratelimit@1.service)" success
}

@test "restarting all processes under load loses no request" {
  needs_systemd
  local answers=$BATS_TEST_TMPDIR/answers load
  seq 400 | xargs -P 4 -I{} curl -s -o /dev/null -w '%{http_code}\n' "$URL/?user=$user-{}" >"$answers" &
  load=$!
  under_way() { [[ $(wc -l <"$answers") -gt 20 ]]; }
  eventually under_way
  inside systemctl restart 'ratelimit@*'
  wait "$load"
  assert_equal "$(count_statuses <"$answers")" 200:400
}

@test "with a mistake in the limits file it does not start and says why; once corrected it starts by itself" {
  needs_systemd
  inside systemctl stop ratelimit.socket
  limits none
  run ! inside systemctl start ratelimit@1.service
  assert_contains "$(tail -n 5 "$log")" 'limits.yaml:3:'
  # More often than systemd would try by default.
  restarted() { (($(show NRestarts ratelimit@1.service) >= 6)); }
  eventually restarted
  limits 3
  answered() { [[ $(status "/?user=$user" -m 5) == 200 ]]; }
  eventually answered
}

@test "stopping the socket stops every process and removes the socket" {
  needs_systemd
  local pids pid
  pids="$(pid_of 1) $(pid_of 2)"
  inside systemctl stop ratelimit.socket
  for pid in $pids; do gone "$pid"; done
  assert_equal "$(show Result ratelimit@1.service) $(show Result ratelimit@2.service)" 'success success'
  [[ ! -e $SOCKET ]]
  assert_equal "$(status "/?user=$user")" 503
}

@test "the socket alone is enough, because the first request starts a process" {
  needs_systemd
  inside systemctl stop ratelimit.socket
  inside systemctl start ratelimit.socket
  assert_equal "$(pid_of 1)" ''
  eventually decided 10
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
  [[ -n $(pid_of 1) ]]
}

# As in conf/systemd/README.md for Apache's mod_authnz_fcgi.
@test "systemctl edit ratelimit.socket can replace the unix socket with a port" {
  needs_systemd
  local port override=/proc/$init/root/run/units/ratelimit.socket.d conf=$BATS_TEST_TMPDIR/lighttpd.conf
  port=$(free_port)
  mkdir -p "$override"
  printf '%s\n' '[Socket]' ListenStream= "ListenStream=127.0.0.1:$port" >"$override/override.conf"
  inside systemctl daemon-reload
  inside systemctl restart ratelimit.socket
  sed "s/\"socket\" => env.SOCKET/\"host\" => \"127.0.0.1\", \"port\" => $port/" conf/lighttpd-connect.conf >"$conf"
  start_limiter "$conf"
  other_lighttpd=$LIGHTTPD_PID
  eventually decided 10
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
  rm -r "$override"
  inside systemctl daemon-reload
  inside systemctl restart ratelimit.socket
}

# As in conf/systemd/README.md: SupplementaryGroups=redis.  The tests' Redis has its socket in /tmp, which the unit cannot see.
@test "SupplementaryGroups= gives access to a Redis whose unix socket is for its group" {
  needs_systemd
  inside redis-server --port 0 --unixsocket /run/redis.sock --unixsocketperm 770 --save '' >/dev/null 3>&- &
  eventually test -S "/proc/$init/root/run/redis.sock"
  inside chgrp games /run/redis.sock
  sed 's/^REDIS_ADDR=.*/REDIS_ADDR=unix:\/run\/redis.sock/' "/proc/$init/root/etc/default/ratelimit" >"$BATS_TEST_TMPDIR/default"
  cp "$BATS_TEST_TMPDIR/default" "/proc/$init/root/etc/default/ratelimit"
  inside systemctl restart 'ratelimit@*'
  eventually undecided
  assert_contains "$(tail -n 2 "$log")" 'Permission denied'
  drop_in ratelimit@.service 'SystemCallErrorNumber=kill' 'StandardError=append:/run/ratelimit.log' \
    'SupplementaryGroups=games'
  inside systemctl restart 'ratelimit@*'
  eventually decided 10
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
}
