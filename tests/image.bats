#!/usr/bin/env bats
# image.bats - the image is small, runs without root and read-only, and stops at once.
#
# The commands are those of conf/docker/README.md, with unique names, so that other containers are left alone:
#   docker network create app-net
#   docker run -d --name my-redis --network app-net redis:8
#   docker build -t rate-limiter .
#   docker run -p 127.0.0.1:8080:8080 --network app-net -e REDIS_ADDR=my-redis:6379 rate-limiter

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  docker_runs || return 0 # setup skips every test
  export id=$$-$RANDOM
  export network=app-net-$id redis=my-redis-$id image=rate-limiter-$id
  docker network create "$network"
  docker run -d --name "$redis" --network "$network" redis:8
  with_images docker build -t "$image" .
  run_limiter limiter
  eventually decided
}

teardown_file() {
  [[ -n ${id:-} ]] || return 0
  docker ps -aq --filter name="-$id\$" | xargs -r docker rm -fv >/dev/null
  docker network rm "$network" >/dev/null
  with_images docker rmi -f "$image" >/dev/null
}

# A user that no other test has, and the limiter that setup_file started.
setup() {
  [[ -n ${id:-} ]] || skip 'no Docker here: the image is NOT tested'
  user=user-$BATS_TEST_NUMBER
  use limiter
}

# create_limiter NAME [DOCKER-OPTION...]: a container that is not started yet.
create_limiter() {
  docker create --name "$1-$id" -p 127.0.0.1:0:8080 --network "$network" \
    -e REDIS_ADDR="$redis:6379" "${@:2}" "$image" >/dev/null
}

# use NAME [PORT]: requests go to this limiter.
use() {
  container=$1-$id
  URL=http://$(docker port "$container" "${2:-8080}")
}

run_limiter() {
  create_limiter "$@"
  docker start "$1-$id" >/dev/null
  use "$1"
}

# put NAME FILE: standard input becomes a file in /etc/ratelimit of a container that is not started yet.
put() {
  cat >"$BATS_TEST_TMPDIR/$2"
  chmod 644 "$BATS_TEST_TMPDIR/$2"
  docker cp "$BATS_TEST_TMPDIR/$2" "$1-$id:/etc/ratelimit/$2"
}

# change_limits NAME SED-EXPRESSION: give it a changed conf/limits.yaml.
change_limits() { sed "$2" conf/limits.yaml | put "$1" limits.yaml; }

answering() { [[ $(status / --max-time 30) != 000 ]]; }
health_is() { [[ $(docker inspect -f '{{.State.Health.Status}}' "$container") == "$1" ]]; }

# stop_ms CONTAINER: docker stop takes so many milliseconds.
stop_ms() {
  local before=${EPOCHREALTIME/[.,]/}
  docker stop "$1" >/dev/null
  echo $(((${EPOCHREALTIME/[.,]/} - before) / 1000))
}

# stop_in MILLISECONDS: docker stop takes no longer, and the container ends with exit status 0.  A busy machine
# gets twice the time more that it takes to stop an idle Redis.
stop_in() {
  local idle
  docker run -d --name "idle-redis-$id" redis:8 >/dev/null
  idle=$(stop_ms "idle-redis-$id")
  docker rm "idle-redis-$id" >/dev/null
  assert_between "$(stop_ms "$container")" 0 $(($1 + 2 * idle))
  assert_equal "$(docker inspect -f '{{.State.ExitCode}}' "$container")" 0
}

@test "the image is below 15 MB" {
  local size
  size=$(docker image inspect -f '{{.Size}}' "$image")
  echo "$size bytes"
  ((size < 15000000))
}

@test "five requests of one user are allowed, the sixth is refused, another user is untouched" {
  eventually admits_five
  assert_equal "$(status "/?user=$user")" 200
}

# certify FOLDER NAME - a certificate for NAME and the authority that signed it, in FOLDER: ca.pem, redis.pem, redis.key
certify() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout "$1/ca.key" -out "$1/ca.pem"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$1/redis.key" -out "$1/redis.csr"
  openssl x509 -req -in "$1/redis.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=DNS:$2") -out "$1/redis.pem"
  chmod 644 "$1"/*
}

@test "it reaches a Redis over TLS, whose authority a limits file names" {
  local certs=$BATS_TEST_TMPDIR/certs
  mkdir "$certs"
  certify "$certs" "tls-redis-$id" 2>/dev/null
  docker create --name "tls-redis-$id" --network "$network" redis:8 --port 0 --tls-port 6380 --tls-auth-clients no \
    --tls-cert-file /certs/redis.pem --tls-key-file /certs/redis.key --tls-ca-cert-file /certs/ca.pem >/dev/null
  docker cp "$certs" "tls-redis-$id:/certs"
  docker start "tls-redis-$id" >/dev/null
  create_limiter tls -e "REDIS_ADDR=rediss://tls-redis-$id:6380"
  put tls ca.pem <"$certs/ca.pem"
  change_limits tls 's|^redis:|&\n  address: rediss://replaced-by-REDIS_ADDR\n  tls: { ca: /etc/ratelimit/ca.pem }|'
  docker start "tls-$id" >/dev/null
  use tls
  eventually decided
  eventually admits_five
}

@test "none of its processes is root" {
  local users
  users=$(docker top "$container" -o pid,uid | sed '1d;s/.* //')
  assert_equal "$(wc -l <<<"$users")" 3 # lighttpd and two ratelimit.fcgi
  assert_equal "$(sort -u <<<"$users")" 65532
}

@test "it works with a read-only root, without capabilities and as any user" {
  run_limiter hardened --read-only --cap-drop ALL --security-opt no-new-privileges --user 12345:12345
  eventually decided
  eventually admits_five
  assert_equal "$(docker top "$container" -o pid,uid | sed '1d;s/.* //' | sort -u)" 12345
  assert_equal "$(status "/?user=$user-b" --data-binary "$(printf '%030000d' 0)")" 200 # a body is kept in memory
}

@test "PORT and WORKERS come from the environment" {
  create_limiter port -e PORT=9000 -e WORKERS=3 -p 127.0.0.1:0:9000
  docker start "port-$id" >/dev/null
  use port 9000
  eventually decided
  assert_equal "$(docker top "$container" -o pid,args | grep -c 'ratelimit\.fcgi')" 3
  docker exec "$container" healthcheck
}

@test "the image checks a limits file" {
  run -0 docker run --rm "$image" ratelimit.fcgi --check
  assert_contains "$output" '/etc/ratelimit/limits.yaml: fine, 1 limit'
}

@test "a mistake in the limits file ends the container at once, with its place in the log" {
  create_limiter mistaken
  change_limits mistaken 's/capacity: 5/capacity: -5/'
  run -2 docker start -a "mistaken-$id"
  assert_contains "$output" '/etc/ratelimit/limits.yaml:11:15: capacity: '
}

@test "limits in a mounted folder are used, and so are those that sed -i replaces them with" {
  local limits=$BATS_TEST_TMPDIR/limits
  mkdir -m 755 "$limits"
  sed 's/capacity: 5 /capacity: 9 /' conf/limits.yaml >"$limits/limits.yaml"
  chmod 644 "$limits/limits.yaml"
  run_limiter mounted -v "$limits:/etc/ratelimit/limits:ro" -e LIMITS_FILE=/etc/ratelimit/limits/limits.yaml
  capacity_is() { curl -s -m 5 -i "$URL/?user=mounted" | grep -q "^RateLimit-Policy: \"per-user\";q=$1;"; }
  wait_until 30 capacity_is 9
  sed -i 's/capacity: 9 /capacity: 7 /' "$limits/limits.yaml"
  wait_until 60 capacity_is 7
}

@test "it is healthy while it decides, even if it has to refuse without Redis" {
  run_limiter healthy --health-interval 1s
  eventually health_is healthy
  create_limiter denying -e REDIS_ADDR=127.0.0.1:1
  change_limits denying 's/on_redis_failure: local/on_redis_failure: deny/'
  docker start "denying-$id" >/dev/null
  use denying
  eventually answering
  assert_equal "$(status "/?user=$user")" 503
  docker exec "$container" healthcheck
}

# probe KIND - the status of the probe that conf/operating.md shows for Kubernetes
probe() {
  local get
  get=$(sed -n "/^ *$1Probe:/{n;s/^ *httpGet: { path: \(.*\), port: 8080 }\$/\1/p}" conf/operating.md)
  assert_matches "$get" '^/-/[a-z]+$' || return
  status "$get" --max-time 30
}

@test "the probes for Kubernetes: alive in any case, ready if it can decide" {
  # It is YAML: --check finds nothing wrong but the fields.
  sed -n '/^    containers:$/,/^$/s/^    //p' conf/operating.md >"$BATS_TEST_TMPDIR/pod.yaml"
  run -2 "$PROGRAM" --check "$BATS_TEST_TMPDIR/pod.yaml"
  assert_contains "${lines[0]}" "unknown field 'containers'"
  eventually decided
  assert_equal "$(probe liveness) $(probe readiness)" '200 200'
  create_limiter unready -e REDIS_ADDR=127.0.0.1:1
  change_limits unready 's/on_redis_failure: local/on_redis_failure: deny/'
  docker start "unready-$id" >/dev/null
  use unready
  eventually answering
  assert_equal "$(probe liveness) $(probe readiness)" '200 503'
}

@test "metrics, status and live are for RATELIMIT_ALLOW, and know all processes, with a read-only root" {
  local page
  for page in metrics status live; do assert_equal "$page $(status "/-/$page")" "$page 403"; done
  run_limiter pages -e RATELIMIT_ALLOW=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 --read-only --cap-drop ALL --user 12345:12345
  for page in health ready metrics status live; do eventually page_is_there "$page"; done
  both() { [[ $(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l) == 2 ]]; }
  eventually both
  assert_equal "$(docker exec "$container" ratelimitctl status | grep -c '^process ')" 2
  assert_equal "$(docker logs "$container" 2>&1 | grep -c 'shared memory' || true)" 0
}
page_is_there() { [[ $(status "/-/$1") == 200 ]]; }

@test "it is unhealthy if nothing answers, or only lighttpd does" {
  run -1 docker exec -e PORT=1 "$container" healthcheck
  assert_equal "$output" 'lighttpd cannot be reached'
  create_limiter alone
  printf 'server.%s\n' port=env.PORT 'document-root="/"' 'compat-module-load="disable"' |
    put alone lighttpd.conf
  docker start "alone-$id" >/dev/null
  use alone
  eventually answering
  run -1 docker exec "$container" healthcheck
  assert_contains "$output" 'HTTP/1.0 40'
}

@test "it starts and serves without Redis, even if the name is unknown" {
  run_limiter early -e REDIS_ADDR="late-redis-$id:6379"
  eventually answering
  assert_equal "$(statuses 6 "$user")" '200 200 200 200 200 429' # by the share of this host
  docker run -d --name "late-redis-$id" --network "$network" redis:8 >/dev/null
  eventually decided
}

@test "without Redis every request is answered at once, and limiting resumes with Redis" {
  docker stop "$redis" >/dev/null
  eventually undecided
  for _ in {1..20}; do assert_matches "$(status "/?user=$user" --max-time 2)" '200|429'; done # looking up a name takes 5 s
  docker start "$redis" >/dev/null
  eventually decided
  eventually admits_five
  # No process died of looking up the name: lighttpd would log that it restarted one.
  run docker logs "$container"
  [[ $output != *child* ]]
}

@test "docker stop ends it in under 2 seconds with exit status 0" {
  run_limiter stopping
  eventually decided
  stop_in 2000
  assert_contains "$(docker logs "$container" 2>&1)" 'graceful shutdown started'
}

@test "docker stop does not wait for idle connections" {
  local port answer
  run_limiter idle
  eventually decided
  port=${URL##*:}
  exec 7<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET /?user=%s HTTP/1.1\r\nHost: x\r\n\r\n' "$user" >&7
  IFS= read -r answer <&7
  assert_contains "$answer" '200 OK'
  stop_in 2000
  exec 7>&-
}

@test "docker stop waits for the answer to a request in progress" {
  create_limiter answering
  change_limits answering 's/timeout: 50ms/timeout: 1s/'
  docker start "answering-$id" >/dev/null
  use answering
  eventually decided
  docker pause "$redis" >/dev/null
  status "/?user=$user" --trace-ascii "$BATS_TEST_TMPDIR/trace" >"$BATS_TEST_TMPDIR/code" 3>&- &
  eventually grep -qs '^=> Send header' "$BATS_TEST_TMPDIR/trace"
  docker stop "$container" >/dev/null
  docker unpause "$redis" >/dev/null
  wait $!
  assert_equal "$(<"$BATS_TEST_TMPDIR/code")" 200
  assert_equal "$(docker inspect -f '{{.State.ExitCode}}' "$container")" 0
}
