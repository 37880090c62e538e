# helper.bash - what the bats files share: servers of their own, requests, comparisons.
# Every server listens on 127.0.0.1 or a unix socket, in a folder that bats removes, and is stopped by
# its pid in stop_all.  Background processes close descriptor 3, or bats would wait for them.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # the variables set here are read by the tests, and the other way round

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps lighttpd
cd "$BATS_TEST_DIRNAME/.." || exit 1
# shellcheck source=conf/ports.bash
source conf/ports.bash
export PROGRAM=${PROGRAM:-$PWD/${BUILD:-build}/ratelimit.fcgi}

# ---- Waiting and comparing ----

# eventually COMMAND... - run COMMAND again and again until it succeeds.  It fails after a minute, which even a busy machine
# does not need: a test that is about a time bounds it with wait_until, or measures it.
eventually() { wait_until 60 "$@"; }

# wait_until SECONDS COMMAND... - the same for SECONDS, up to one second more.  It looks every 20 ms, and every 100 ms when it
# has waited for a while, because the looks take processor time from what it waits for.
wait_until() {
  local seconds=$1 deadline=$((SECONDS + $1 + 1)) pause=0.02 looks=0
  shift
  until "$@"; do
    if ((SECONDS >= deadline)); then
      echo "not within $seconds s: $*" >&2
      return 1
    fi
    ((++looks < 25)) || pause=0.1
    sleep "$pause"
  done
}

# assert_equal ACTUAL EXPECTED
assert_equal() {
  [[ $1 == "$2" ]] || fail "$1" 'is not' "$2"
}

# assert_equal_by_now ACTUAL EXPECTED - the same, except that each number of seconds until a bucket has gained tokens (after
# "t=" or "reset":, or ACTUAL alone) may be lower, by no more than the age of the test: it shrinks while a test runs
assert_equal_by_now() {
  local actual=$1
  # shellcheck disable=SC2016  # the variables are Perl's
  [[ $1 == "$2" ]] || actual=$(perl -e '
    my ($actual, $expected, $age) = @ARGV;
    my $seconds = qr/(?:\bt=|"reset":|\A(?=\d+\z))\K\d+/;
    my @expected = $expected =~ /$seconds/g;
    $actual =~ s/$seconds/ my $e = shift @expected; defined $e && $& <= $e && $e - $& <= $age ? $e : $& /ge;
    print $actual' -- "$1" "$2" $((SECONDS + 1)))
  assert_equal "$actual" "$2"
}

# assert_contains ACTUAL PART
assert_contains() {
  [[ $1 == *"$2"* ]] || fail "$1" 'does not contain' "$2"
}

# assert_matches ACTUAL REGEX
assert_matches() {
  [[ $1 =~ $2 ]] || fail "$1" 'does not match' "$2"
}

# assert_between ACTUAL LOWEST HIGHEST - whole numbers
assert_between() {
  (($1 >= $2 && $1 <= $3)) || fail "$1" 'is not between' "$2 and $3"
}

fail() {
  printf 'actual:   %s\n%s\nexpected: %s\n' "$1" "$2" "$3" >&2
  return 1
}

# ---- Processes ----

# gone PID - it is no process, or one that only waits to be reaped
gone() { [[ ! -e /proc/$1 || $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) == [Z] ]]; }

# scheduling_policy PID - SCHED_OTHER, SCHED_BATCH, ...
scheduling_policy() { chrt -p "$1" | sed -n 's/.*policy: //p'; }

# stop PID - TERM, and KILL if it is still there after 20 s.  '' is allowed: nothing was started.
stop() {
  [[ -n $1 ]] || return 0
  kill -CONT "$1" 2>/dev/null || true
  kill -TERM "$1" 2>/dev/null || true
  wait_until 20 gone "$1" || kill -KILL "$1" 2>/dev/null || true
}

# ends_at_once PID - the program, which was sent SIGTERM, ends before the 5 s for which it waits for requests in flight
ends_at_once() { wait_until 4 gone "$1"; }

# tmpdir - the folder of the test, or of the file in setup_file
tmpdir() { echo "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}"; }

# ---- Redis ----

# start_redis [OPTION...] - a Redis that keeps nothing, on REDIS_SOCK and REDIS_PORT; REDIS_PID.
# Called again it starts another one in its place.  REDIS_SERVER names another program, such as valkey-server.
start_redis() {
  export REDIS_DIR=${REDIS_DIR:-$(tmpdir)/redis}
  export REDIS_SOCK=$REDIS_DIR/socket REDIS_PORT=${REDIS_PORT:-$(free_port)}
  mkdir -p "$REDIS_DIR"
  rm -f "$REDIS_SOCK"
  "${REDIS_SERVER:-redis-server}" --port "$REDIS_PORT" --bind 127.0.0.1 --unixsocket "$REDIS_SOCK" --dir "$REDIS_DIR" \
    --save '' --appendonly no "$@" >>"$REDIS_DIR/log" 3>&- &
  export REDIS_PID=$!
  echo "$REDIS_PID" >"$REDIS_DIR/pid" # for stop_all, if a test has started another one in its place
  eventually redis_answers
}

redis_cli() { redis-cli -s "$REDIS_SOCK" "$@" 2>&1; }
# digest_of VALUE - what the key of a client has in the place of a secret VALUE
digest_of() { printf '#%s' "$(printf %s "$1" | sha256sum | cut -c 1-64)"; }
# redis_keys - the keys of buckets and of overrides, without that of the hosts, which is there soon or late
redis_keys() { redis_cli --scan | grep -vx rl:hosts | sort; }
redis_answers() { [[ -n $(redis-cli -s "$REDIS_SOCK" PING 2>/dev/null) ]]; }

# tokens KEY CAPACITY PERIOD - the whole tokens that the bucket at KEY holds, of a limit with CAPACITY that gains
# one in PERIOD seconds
tokens() {
  # A number that Lua returns is cut to a whole one.
  redis_cli EVAL 'local time, empty_at = redis.call("TIME"), redis.call("GET", KEYS[1])
    if not empty_at then return tonumber(ARGV[1]) end
    return math.min(ARGV[1], (time[1] + time[2] / 1000000 - empty_at / 1000000) / ARGV[2])' 1 "$@"
}

# start_fake_redis FOLDER [HOST:PORT] - tests/fake_redis.pl; FAKE_PID
start_fake_redis() {
  perl tests/fake_redis.pl "$@" 3>&- &
  FAKE_PID=$!
  HELPER_PIDS+=" $FAKE_PID"
  eventually test -e "$1/listens"
}

# ---- The limiter ----

# start_limiter CONF [VARIABLE=VALUE...] - lighttpd with CONF and 2 workers on a free port, in front of
# REDIS_SOCK unless the variables say otherwise; PORT, URL, LIGHTTPD_PID and LIMITER_LOG, the log of
# lighttpd and of the workers that it starts.
start_limiter() {
  local conf=$1 sockets
  shift
  sockets=$(mktemp -d "$(tmpdir)/lighttpd.XXXXXX")
  export PORT URL LIGHTTPD_PID LIGHTTPD_PIDS LIMITER_LOG=$sockets/log
  PORT=$(free_port)
  URL=http://127.0.0.1:$PORT
  env BIND=127.0.0.1 PORT="$PORT" WORKERS=2 PROGRAM="$PROGRAM" SOCKET_DIR="$sockets" \
    REDIS_ADDR="unix:$REDIS_SOCK" "$@" lighttpd -D -f "$conf" 2>"$LIMITER_LOG" 3>&- &
  LIGHTTPD_PID=$!
  LIGHTTPD_PIDS+=" $LIGHTTPD_PID"
  eventually accepts_tcp "$PORT" || {
    cat "$LIMITER_LOG" >&2
    return 1
  }
}

# start_limits [VARIABLE=VALUE...] - start_limiter with conf/lighttpd.conf and the limits file on standard
# input, which is LIMITS_FILE from then on
start_limits() {
  export LIMITS_FILE
  LIMITS_FILE=$(tmpdir)/limits.yaml
  cat >"$LIMITS_FILE"
  start_limiter conf/lighttpd.conf "$@"
}

# fcgi [ARGUMENT...] - run the script on standard input as a FastCGI client of SOCKET (tests/fastcgi/client.js)
fcgi() { node tests/fastcgi/client.js "$SOCKET" "$@" 3>&-; }

# default_limits - conf/limits.yaml, which is also built in, but Redis has more time: a busy machine decides all requests
default_limits() { sed 's/timeout: 50ms/timeout: 5s/' conf/limits.yaml; }

# start_program [VARIABLE=VALUE...] [-- OPTION...] - one ratelimit.fcgi, run by LAUNCHER, on a socket of its own, and a
# lighttpd that connects to it; PROGRAM_PID, PROGRAM_SOCKET and LIMITER_LOG, the program's log.
start_program() {
  local variables=()
  while (($# > 0)) && [[ $1 != -- ]]; do
    variables+=("$1")
    shift
  done
  (($# == 0)) || shift
  PROGRAM_SOCKET=$(tmpdir)/program.sock
  local log
  log=$(tmpdir)/program.log
  env "${variables[@]}" "${LAUNCHER[@]}" "$PROGRAM" --listen "unix:$PROGRAM_SOCKET" "$@" 2>"$log" 3>&- &
  PROGRAM_PID=$!
  eventually test -S "$PROGRAM_SOCKET"
  start_limiter conf/lighttpd-connect.conf SOCKET="$PROGRAM_SOCKET"
  LIMITER_LOG=$log
}

# start_program_seeing FILE PATH [OPTION...] - the same, for a program that sees FILE at PATH, which needs mount_or_skip
start_program_seeing() {
  # shellcheck disable=SC2016  # the inner shell expands
  local LAUNCHER=(unshare --mount sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$1" "$2")
  shift 2
  start_program -- "$@"
}
mount_or_skip() { unshare --mount true 2>/dev/null || skip 'no right to mount a file over another one'; }

# log_count PATTERN - the lines of LIMITER_LOG that match
log_count() { grep -c "$1" "$LIMITER_LOG" || true; }

# START_LINE - a regular expression of the line that each process logs when it is ready to serve
START_LINE=': ratelimit\.fcgi [0-9.]*: .* ([0-9]* limits\?, sha256 [0-9a-f]\{12\}), redis [^ ]*$'

# REFUSAL_LINE - a regular expression of the line that summarises what a limit has refused
REFUSAL_LINE='limit [^ ]* \(would have \)\?refused [0-9]* requests\? of '

# log_after_start FILE... - the lines of logs, without the lines of starts, of refusals and, where the tests run as root,
# of that
log_after_start() { cat "$@" | grep -v "$START_LINE" | grep -v "$REFUSAL_LINE" | grep -v ': running as root' || true; }

# worker_pids - the pids of the ratelimit.fcgi that LIGHTTPD_PID started
worker_pids() { cat "/proc/$LIGHTTPD_PID/task/$LIGHTTPD_PID/children"; }

# stop_limiters - every lighttpd and program that was started; lighttpd stops its workers
stop_limiters() {
  local pid
  for pid in $LIGHTTPD_PIDS $PROGRAM_PID; do stop "$pid"; done
  LIGHTTPD_PIDS='' PROGRAM_PID=''
}

# stop_all - all of these, and what a test started itself and named in HELPER_PIDS
stop_all() {
  local pid
  stop_limiters
  for pid in $(cat "$REDIS_DIR/pid" 2>/dev/null) $HELPER_PIDS; do stop "$pid"; done
}

# debian_lighttpd ROOT - Debian's lighttpd.conf as ROOT/etc/lighttpd/lighttpd.conf, with the folders that it names and a
# page: for any user, on a free port; PORT, URL
debian_lighttpd() {
  export PORT URL
  PORT=$(free_port)
  URL=http://127.0.0.1:$PORT
  mkdir -p "$1"/{run/lighttpd,var/log/lighttpd,var/cache/lighttpd/uploads,var/www/html,etc/lighttpd/conf-enabled}
  echo 'a static page' >"$1/var/www/html/index.html"
  # No root, no port 80, no IPv6; paths in our folder.
  sed -e "s|\"/etc/|\"$1/etc/|; s|\"/run/|\"$1/run/|; s|\"/var/|\"$1/var/|" \
    -e '/^server\.\(username\|groupname\)/d; /use-ipv6/d' \
    -e "s|^server.port.*|server.port = $PORT\nserver.bind = \"127.0.0.1\"|" \
    /etc/lighttpd/lighttpd.conf >"$1/etc/lighttpd/lighttpd.conf"
}

# adapt_nginx FOLDER - conf/nginx in FOLDER, with the values that adapt.sh takes from the environment.  The limiter has
# 20 s to answer and not one: on a busy machine it would count as away.
adapt_nginx() {
  conf/nginx/adapt.sh "$1"
  nginx_timeouts "$1" 20
}

# nginx_timeouts FOLDER SECONDS - change the time that the limiter has to answer
nginx_timeouts() { sed -i "/fastcgi_[a-z]*_timeout/ s/ [0-9]*s;/ $2s;/" "$1"/*.conf; }

# run_nginx FOLDER PORT - nginx with FOLDER/nginx.conf, which listens on PORT; NGINX_PID, and FOLDER/nginx.log
run_nginx() {
  nginx -p "$1" -c "$1/nginx.conf" -e stderr -g "daemon off; user $(id -un) $(id -gn);" 2>"$1/nginx.log" 3>&- &
  NGINX_PID=$!
  eventually accepts_tcp "$2"
}

# ---- Docker ----

# docker_runs - a Docker daemon answers here
docker_runs() { docker info >/dev/null 2>&1; }

# with_images COMMAND... - a command that builds or removes an image, beside no other one of these tests: what is removed may
# be a layer on which the other one builds
with_images() { flock Dockerfile "$@"; }

# statuses COUNT USER - of so many requests by USER, one after the other, as '200 200 429'
statuses() {
  local list='' _
  for _ in $(seq "$1"); do list+=" $(status "/?user=$2" --max-time 30)"; done
  echo "${list# }"
}

# admits_five - a new client is served five times and then refused.  With the limits of the image a request waits
# for Redis for 50 ms and is then allowed; on a busy machine try again.
admits_five() { [[ $(statuses 6 "fresh-$RANDOM") == '200 200 200 200 200 429' ]]; }

# ---- Requests ----

# decided [COUNT] - Redis decides about a request; with COUNT about so many in a row, and so in every worker.  A decision
# by the share of this host is none of Redis.
decided() {
  local _
  for _ in $(seq "${1:-1}"); do
    request "/?user=decided-$RANDOM" --max-time 60
    [[ -n $(header RateLimit) && $body != *'"local":true'* ]] || return 1
  done
}

# undecided - a request is answered without Redis
undecided() {
  request "/?user=undecided-$RANDOM" --max-time 60
  [[ -n $(header Status) && (-z $(header RateLimit) || $body == *'"local":true'*) ]]
}

# assert_limits - soon all workers decide, and a new client has three requests and no more
assert_limits() {
  eventually decided 10
  local user=limited-$RANDOM
  for _ in 1 2 3; do assert_equal "$(status "/?user=$user")" 200; done
  assert_equal "$(status "/?user=$user")" 429
}

# request PATH [CURL-OPTION...] - ask URL; the answer's head and body are in $head and $body
request() {
  local path=$1 answer
  shift
  answer=$(curl --globoff --silent --include "$@" "$URL$path")
  head=${answer%%$'\r\n\r\n'*}
  body=${answer#*$'\r\n\r\n'}
}

# header NAME - its value in $head, '' without it; Status: code and reason
header() {
  if [[ $1 == Status ]]; then
    sed -n '1s/^HTTP[^ ]* \([^\r]*\)\r*$/\1/p' <<<"$head"
  else
    sed -n "s/^$1: \([^\r]*\)\r*\$/\1/Ip" <<<"$head"
  fi
}

# fields - the RateLimit fields in $head as a parser of structured fields reads them (tests/fields/parse.js)
fields() { node tests/fields/parse.js <<<"$head"; }

# assert_fields [LINE...] - these are the items of the RateLimit fields in $head, and all of them (t= by now):
#   assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
assert_fields() {
  local actual
  actual=$(fields) || return
  assert_equal_by_now "$actual" "$(printf '%s\n' "$@")"
}

# assert_replaces_own_limits PATH - behind a guard, PATH is that of the echo application: the limiter's fields replace its
# own, and are there once
assert_replaces_own_limits() {
  request "$1" -H 'X-Own-Limits: 1'
  assert_equal "$(header Status)" '200 OK'
  assert_equal "$(grep -ci '^ratelimit: ' <<<"$head") $(grep -ci '^ratelimit-policy: ' <<<"$head")" '1 1'
  [[ $head != *'"own"'* ]] || fail "$head" 'has' "the application's fields"
  ! grep -qiE '^X-RateLimit-[A-Za-z]+: 9[789]' <<<"$head" || fail "$head" 'has' "the application's numbers"
}

# assert_answers_ranges_and_conditions PATH - behind a guard, PATH is that of conf/demo/site/index.html with a query:
# range and conditional requests are answered by the file server and not by the limiter
assert_answers_ranges_and_conditions() {
  local file=$1 modified page=conf/demo/site/index.html
  request "$file" -H 'Range: bytes=3-12'
  assert_equal "$(header Status)" '206 Partial Content'
  assert_equal "$body" "$(tail -c +4 $page | head -c 10)"
  request "$file" -H 'Range: bytes=50000-'
  assert_equal "$(header Status | cut -c 1-3)" 416
  [[ $body != *allowed* ]] || fail "$body" 'is' "not the limiter's"
  request "$file"
  modified=$(header Last-Modified)
  request "$file" -H "If-Modified-Since: $modified"
  assert_equal "$(header Status)" '304 Not Modified'
  request "$file" -H 'If-None-Match: "none"' -H 'Range: bytes=0-4'
  assert_equal "$(header Status)" '206 Partial Content'
  request "$file" -H 'Expect: 100-continue' -H 'Upgrade: websocket' -H 'Connection: upgrade'
  assert_contains "$body" 'This page is static.'
}

# status PATH [CURL-OPTION...] - print the status code alone
status() {
  local path=$1
  shift
  curl --globoff --silent --output /dev/null --write-out '%{http_code}' "$@" "$URL$path"
}

# count_statuses - of the statuses on standard input, one a line, how many there are of each, as 200:40 429:160
count_statuses() { sort | uniq -c | awk '{ printf "%s%s:%s", separator, $2, $1; separator = " " }'; }

# storm COUNT URL... - that many requests, each of a process of its own and all at once, to the URLs in turn;
# count_statuses
storm() {
  local i count=$1
  shift
  local urls=("$@")
  for ((i = 0; i < count; i++)); do echo "${urls[i % $#]}"; done |
    xargs -P "$count" -n 1 curl --globoff -s -o /dev/null -w '%{http_code}\n' | count_statuses
}

# burst COUNT PATH [CURL-OPTION...] - that many requests, 50 at once; count_statuses
burst() {
  local count=$1 path=$2
  shift 2
  # A fragment is not sent: all requests are the same.
  curl --silent --parallel --parallel-immediate --parallel-max 50 --output /dev/null --write-out '%{http_code}\n' \
    "$@" "$URL$path#[1-$count]" | count_statuses
}
