#!/usr/bin/env bats
# reload.bats - the limits file is read again on SIGHUP and when it changes on disk, however it is changed.  If it has a
# mistake the old limits stay.  No client gains tokens by a reload, and no request is lost.

bats_require_minimum_version 1.5.0
load helper

setup_file() { start_redis; }
teardown_file() { stop_all; }

setup() {
  redis_cli FLUSHALL >/dev/null
  folder=$BATS_TEST_TMPDIR/config
  mkdir "$folder"
  export LIMITS_FILE=$folder/limits.yaml
}
teardown() { stop_limiters; }

# limits NAME [CAPACITY [REFILL]] - a limits file on standard output
limits() {
  printf '%s\n' 'redis: { timeout: 5s }' 'limits:' "  - { name: $1, key: \"query:user | ip\", capacity: ${2-5}, refill: ${3-1/day} }"
}

# begin [VARIABLE=VALUE...] - a limiter with the limits "old", or with LIMITS_FILE as it is
begin() {
  [[ -e $LIMITS_FILE ]] || limits old >"$LIMITS_FILE"
  start_limiter conf/lighttpd.conf "$@"
  eventually all_serve
}
# all_serve - every worker has read its file: besides the listening socket it has one to Redis
all_serve() {
  local pid pids
  pids=$(worker_pids)
  for pid in $pids; do
    (($(find "/proc/$pid/fd" -lname 'socket:*' | wc -l) > 1)) || return 1
  done
  [[ -n $pids ]]
}

# hang_up - SIGHUP to every worker
hang_up() {
  local pid
  for pid in $(worker_pids); do kill -HUP "$pid"; done
}

# logged TEXT [TIMES] - each worker, by its pid, has logged that line so often (once)
logged() {
  local pid pids
  pids=$(worker_pids)
  for pid in $pids; do
    (($(grep -cF "ratelimit.fcgi[$pid]: $1" "$LIMITER_LOG") == ${2-1})) || return 1
  done
  [[ -n $pids ]]
}
again() { logged "$LIMITS_FILE reloaded: ${2-1 limit} (sha256 " "${1-1}"; }

# the_limits - the names of the limits that decide about six requests, a line for each different answer
the_limits() {
  local names=''
  for _ in {1..6}; do
    request "/?user=$RANDOM"
    names+=$(header RateLimit-Policy | grep -o '"[^"]*"' | tr -d '"' | paste -sd,)$'\n'
  done
  sort -u <<<"$names" | sed '/^$/d'
}

@test "on SIGHUP every worker reads the file again and logs it" {
  begin
  assert_equal "$(the_limits)" old
  limits new >"$LIMITS_FILE"
  hang_up
  eventually again
  assert_equal "$(the_limits)" new
  # At its next look the watcher sees that the file is the same.
  sleep 1.2
  assert_equal "$(grep -c ' reloaded: ' "$LIMITER_LOG")" 2
}

@test "SIGHUP reads an unchanged file as well" {
  begin
  hang_up
  eventually again
  hang_up
  eventually again 2
}

@test "SIGHUP with the built-in limits says that there is no file" {
  begin LIMITS_FILE=
  hang_up
  eventually logged 'SIGHUP: there is no limits file to reload; the built-in limits are used'
  assert_equal "$(the_limits)" per-user
}

@test "a file that is rewritten in place is read again by every worker" {
  begin
  limits new >"$LIMITS_FILE"
  eventually again
  assert_equal "$(the_limits)" new
}

@test "a file that is replaced by rename is read again, even by one of the same size and time" {
  limits old >"$LIMITS_FILE"
  touch -d '2020-01-01' "$LIMITS_FILE"
  begin
  limits new >"$folder/limits.yaml.tmp"
  touch -d '2020-01-01' "$folder/limits.yaml.tmp"
  mv "$folder/limits.yaml.tmp" "$LIMITS_FILE"
  eventually again
  assert_equal "$(the_limits)" new
}

@test "a folder that is swapped behind a symbolic link, as Kubernetes does, is read again each time" {
  mkdir "$folder/..v1" "$folder/..v2" "$folder/..v3"
  limits one >"$folder/..v1/limits.yaml"
  ln -s ..v1 "$folder/..data"
  ln -s ..data/limits.yaml "$LIMITS_FILE"
  begin
  assert_equal "$(the_limits)" one
  swap 2 two
  eventually again
  assert_equal "$(the_limits)" two
  rm -r "$folder/..v1"
  swap 3 three
  eventually again 2
  assert_equal "$(the_limits)" three
}
# swap NUMBER NAME - ..data becomes the folder ..vNUMBER, which has the limits NAME
swap() {
  limits "$2" >"$folder/..v$1/limits.yaml"
  ln -s "..v$1" "$folder/..data_tmp"
  mv -T "$folder/..data_tmp" "$folder/..data"
}

@test "a file with mistakes is refused with the place of each, and the old limits stay" {
  begin
  cat >"$LIMITS_FILE" <<'YAML'
limits:
  - name: new
    key: ip
    capacity: -5
    refil: 1/s
YAML
  eventually logged "$LIMITS_FILE is refused for 3 mistakes, the limits stay as they were"
  logged "$LIMITS_FILE:2:5: the field 'refill' is missing"
  logged "$LIMITS_FILE:4:15: capacity: a sign is not allowed"
  logged "$LIMITS_FILE:5:5: unknown field 'refil'"
  assert_equal "$(the_limits)" old
  # The corrected file is taken.
  limits new >"$LIMITS_FILE"
  hang_up
  eventually again
  assert_equal "$(the_limits)" new
}

@test "the log has ten mistakes of a file with many, and their number" {
  begin WORKERS=1
  { echo 'limits:' && yes '  - { name: a b }' | head -n 30; } >"$LIMITS_FILE"
  hang_up
  eventually logged "$LIMITS_FILE is refused for 120 mistakes, the limits stay as they were"
  assert_equal "$(grep -c "]: $LIMITS_FILE:[0-9]*:[0-9]*: " "$LIMITER_LOG")" 10
}

@test "a file that disappears is logged once, the old limits stay, and it is read when it is back" {
  begin
  mv "$LIMITS_FILE" "$folder/away"
  gone_line="$LIMITS_FILE: No such file or directory"
  eventually logged "$gone_line"
  assert_equal "$(the_limits)" old
  sleep 1.2 # one look more
  logged "$gone_line"
  mv "$folder/away" "$LIMITS_FILE"
  eventually again
  assert_equal "$(the_limits)" old
}

@test "a FIFO or a folder in the file's place is refused, and delays no request" {
  begin
  rm "$LIMITS_FILE"
  mkfifo "$LIMITS_FILE"
  hang_up
  eventually logged "$LIMITS_FILE: a pipe cannot be read again; name a file"
  assert_equal "$(status / --max-time 60)" 200
  rm "$LIMITS_FILE"
  mkdir "$LIMITS_FILE"
  hang_up
  eventually logged "$LIMITS_FILE: Is a directory"
  assert_equal "$(the_limits)" old
}

# write_in_pieces FILE PIECES SECONDS - append FILE to LIMITS_FILE in so many pieces, with pauses of SECONDS.  It fails if the
# machine was too busy for it, because the file may then have been unchanged for a second.
write_in_pieces() {
  # shellcheck disable=SC2016  # the variables are Perl's
  perl -MTime::HiRes=time,sleep -e '
    my ($from, $pieces, $pause, $to) = @ARGV;
    my ($bytes, $last, $longest) = (do { local (@ARGV, $/) = $from; <> }, time, 0);
    my $size = int(length($bytes) / $pieces) + 1;
    for (my $at = 0; $at < length $bytes; $at += $size) {
      sleep $pause if $at > 0;
      open my $file, ">>", $to or die;
      syswrite $file, substr($bytes, $at, $size);
      close $file;
      $longest = time - $last if time - $last > $longest;
      $last = time;
    }
    exit($longest > 0.95)' "$@" "$LIMITS_FILE"
}

# rewrite_in_pieces FILE PIECES SECONDS - replace LIMITS_FILE like this, for new workers with the limits "old"
rewrite_in_pieces() {
  stop_limiters
  limits old >"$LIMITS_FILE"
  begin
  : >"$LIMITS_FILE"
  write_in_pieces "$@"
}

@test "a file that is being written is not taken before it is finished" {
  # After each of its lines it is a valid file, which would be taken.
  {
    limits one
    seq -f '  - { name: more-%g, key: ip, capacity: 1000, refill: 1/s }' 8
  } >"$BATS_TEST_TMPDIR/whole"
  eventually rewrite_in_pieces "$BATS_TEST_TMPDIR/whole" 20 0.15
  eventually again 1 '9 limits'
  [[ $(<"$LIMITER_LOG") != *refused* ]] || fail "$(<"$LIMITER_LOG")" contains 'nothing refused'
  assert_equal "$(grep -c ' reloaded: ' "$LIMITER_LOG")" 2
}

@test "half a file that changes again within a second is not taken" {
  limits new >"$BATS_TEST_TMPDIR/whole"
  eventually rewrite_in_pieces "$BATS_TEST_TMPDIR/whole" 2 0.7
  eventually again
  assert_equal "$(the_limits)" new
  [[ $(<"$LIMITER_LOG") != *refused* ]] || fail "$(<"$LIMITER_LOG")" contains 'nothing refused'
}

# change_to CAPACITY REFILL - by SIGHUP, for all workers
change_to() {
  limits user "$@" >"$LIMITS_FILE"
  hang_up
  changes=$((changes + 1))
  eventually again "$changes"
}

@test "a larger capacity applies at once, and gives no tokens to a client without any" {
  limits user 3 1/h >"$LIMITS_FILE"
  begin
  burst 5 '/?user=u' >/dev/null
  change_to 1000 1/h
  request '/?user=u'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_fields 'RateLimit-Policy user q=1000 w=3600000' 'RateLimit user r=0 t=3600'
  request '/?user=v'
  assert_fields 'RateLimit-Policy user q=1000 w=3600000' 'RateLimit user r=999 t=3596400'
}

@test "a smaller capacity applies at once, to clients that have more tokens as well" {
  limits user 1000 1/h >"$LIMITS_FILE"
  begin
  request '/?user=u'
  change_to 3 1/h
  # 999 of 1000 tokens become 2.997 of 3.
  assert_equal "$(burst 10 '/?user=u')" '200:2 429:8'
}

@test "a client without tokens still has none after a slower refill, which it waits for" {
  limits user 3 1/h >"$LIMITS_FILE"
  begin
  burst 5 '/?user=u' >/dev/null
  change_to 3 1/day
  request '/?user=u'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal_by_now "$(header Retry-After)" 86400
}

@test "a client without tokens waits for a faster refill, and no less" {
  limits user 3 1/day >"$LIMITS_FILE"
  begin
  burst 5 '/?user=u' >/dev/null
  change_to 3 1/h
  request '/?user=u'
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal_by_now "$(header Retry-After)" 3600
  change_to 1000 1/h
  assert_equal "$(status '/?user=u')" 429
}

@test "limits are added and removed, and an empty bucket is still empty when its limit is back" {
  limits one >"$LIMITS_FILE"
  begin
  burst 7 '/?user=u' >/dev/null
  { limits two && limits three | tail -n 1; } >"$LIMITS_FILE"
  hang_up
  eventually again 1 '2 limits'
  assert_equal "$(the_limits)" two,three
  assert_equal "$(status '/?user=u')" 200
  { limits three && limits one | tail -n 1; } >"$LIMITS_FILE"
  hang_up
  eventually again 2 '2 limits'
  assert_equal "$(the_limits)" three,one
  request '/?user=u'
  assert_contains "$body" '"violated-policies":["one"]'
}

@test "the log says that changed settings of redis need a restart" {
  begin WORKERS=1
  limits new >"$LIMITS_FILE"
  hang_up
  eventually again
  assert_equal "$(grep -c restart "$LIMITER_LOG" || true)" 0
  limits new | sed 's/5s/4s/' >"$LIMITS_FILE"
  hang_up
  eventually again 2
  logged 'the limits file has other settings of redis, which take a restart'
}

# overrides COUNT NAME - a limits file with so many exact overrides
overrides() {
  printf '%s\n' 'redis: { timeout: 5s }' 'limits:' "  - name: $2" '    key: "query:user | ip"' '    capacity: 5' \
    '    refill: 1/day' '    overrides:'
  seq -f '      - { key: c%06g, capacity: 7 }' "$1"
}

# worst_latency SECONDS - of requests by 4 clients, in ms
worst_latency() {
  wrk -t 1 -c 4 -d "$1s" "$URL/?user=beside" 3>&- |
    awk '$1 == "Latency" && $2 ~ /s$/ { ms = $4 ~ /us$/ ? 0.001 : $4 ~ /ms$/ ? 1 : 1000; print int($4 * ms) }'
}

@test "98,000 overrides are loaded and freed beside the loop, and no request waits for it" {
  local worst without times=0
  overrides 98000 old >"$LIMITS_FILE"
  begin WORKERS=1
  overrides 97000 new >"$BATS_TEST_TMPDIR/new"
  # Loading in the loop took more than 300 ms.  On a busy machine requests may take as long without a reload.
  for _ in 1 2 3; do
    worst_latency 6 >"$BATS_TEST_TMPDIR/worst" &
    sleep 1
    cp "$BATS_TEST_TMPDIR/new" "$LIMITS_FILE.new"
    mv "$LIMITS_FILE.new" "$LIMITS_FILE"
    hang_up
    eventually again $((times += 1))
    limits old >"$LIMITS_FILE"
    hang_up
    eventually again $((times += 1))
    wait $!
    worst=$(<"$BATS_TEST_TMPDIR/worst")
    ((worst >= 150)) || break
    without=$(worst_latency 4)
    ((worst >= 2 * without)) || break
  done
  ((worst < 150 || worst < 2 * without)) || fail "$worst ms" 'is too long; without a change of the file it is' "$without ms"
  request '/?user=c000007'
  assert_fields "$(printf 'RateLimit-Policy old q=5 w=432000')" "$(printf 'RateLimit old r=4 t=345600')"
}

@test "a SIGHUP that comes while the file is read is not lost" {
  eventually hung_up_while_it_reads
  eventually again 2
  assert_equal "$(the_limits)" second
}
# hung_up_while_it_reads - start a worker with the limits "first" and send it SIGHUP while it reads "second".  It fails if
# the worker has finished before.
hung_up_while_it_reads() {
  stop_limiters
  overrides 98000 first >"$LIMITS_FILE"
  begin WORKERS=1
  # shellcheck disable=SC2046  # a pid and a space
  set -- $(worker_pids)
  threads=$(thread_count "$1")
  overrides 97000 second >"$LIMITS_FILE.new"
  mv "$LIMITS_FILE.new" "$LIMITS_FILE"
  hang_up
  wait_until 10 reading "$1" || return
  # The file is the same, so that the watcher does not cause this read.
  hang_up
  hang_up
  reading "$1"
}
thread_count() { find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l; }
reading() { (($(thread_count "$1") > threads)); } # in a thread

@test "the log refers to --check for warnings, and the file is taken" {
  begin WORKERS=1
  echo '  - { name: twin, key: "query:user | ip", capacity: 5, refill: 1/day }' >>"$LIMITS_FILE"
  hang_up
  eventually logged "$LIMITS_FILE reloaded: 2 limits (sha256 $(sha256sum "$LIMITS_FILE" | cut -c1-12)); --check has warnings for it"
  assert_equal "$(the_limits)" old,twin
}

@test "under load every request gets 200 by one whole file or another, whatever happens to the file" {
  export first=$BATS_TEST_TMPDIR/first.yaml second=$BATS_TEST_TMPDIR/second.yaml
  cat >"$first" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: a, key: ip, capacity: 1000000000, refill: 1000000/s }
  - { name: b, key: ip + path, capacity: 1000000000, refill: 1000000/s }
YAML
  cat >"$second" <<'YAML'
redis: { timeout: 5s }
headers: [ietf, x-ratelimit]
limits:
  - { name: c, key: "query:user | ip", capacity: 900000000, refill: 1000000/s, overrides: [{ key: x, blocked: true }] }
  - { name: d, key: global, capacity: 900000000, refill: 1000000/s, shadow: true }
  - { name: e, key: method, capacity: 900000000, refill: 1000000/s }
YAML
  # It counts the answers by the limits that they name.
  cat >"$BATS_TEST_TMPDIR/count.lua" <<'LUA'
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function init() first, second, others = 0, 0, 0 end
function response(status, headers)
  local policy = status == 200 and headers["RateLimit-Policy"]
  if policy == '"a";q=1000000000;w=1000, "b";q=1000000000;w=1000' then first = first + 1
  elseif policy == '"c";q=900000000;w=900, "e";q=900000000;w=900' then second = second + 1
  else others = others + 1 end
end
function done()
  for _, thread in ipairs(threads) do
    print("answers by", thread:get("first"), thread:get("second"), thread:get("others"))
  end
end
LUA
  cp "$first" "$LIMITS_FILE"
  begin
  wrk -t 1 -c 32 -d 5s --timeout 30s -s "$BATS_TEST_TMPDIR/count.lua" "$URL/x?user=u" >"$BATS_TEST_TMPDIR/wrk" 3>&- &
  HELPER_PIDS=$!
  # By SIGHUP, with the file replaced and with it rewritten, some of it while it is being written ...
  for _ in {1..8}; do
    for next in "$second" "$first"; do
      cp "$next" "$folder/new"
      mv "$folder/new" "$LIMITS_FILE"
      hang_up
      sleep 0.1
    done
  done
  # ... with a mistake, and gone ...
  echo 'limits: [' >"$LIMITS_FILE"
  hang_up
  rm "$LIMITS_FILE"
  hang_up
  # ... and by the watcher.
  local before
  before=$(grep -c ' reloaded: ' "$LIMITER_LOG")
  cp "$second" "$LIMITS_FILE"
  eventually read_since "$before"
  wait "$HELPER_PIDS"
  HELPER_PIDS=''
  cat "$BATS_TEST_TMPDIR/wrk"
  grep -v 'read again\|limits file' "$LIMITER_LOG" || true
  [[ $(<"$BATS_TEST_TMPDIR/wrk") != *Non-2xx* && $(<"$BATS_TEST_TMPDIR/wrk") != *'Socket errors'* ]]
  local by_first by_second others
  read -r _ _ by_first by_second others < <(grep 'answers by' "$BATS_TEST_TMPDIR/wrk")
  assert_equal "$others" 0
  assert_between "$by_first" 100 10000000
  assert_between "$by_second" 100 10000000
}
# read_since LINES - both workers have read the file after the log had so many lines about it
read_since() { (($(grep -c ' reloaded: ' "$LIMITER_LOG") >= $1 + 2)); }
