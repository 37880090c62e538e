#!/usr/bin/env bats
# compose.bats - docker-compose up --build: Redis and two limiters that share their limits.

bats_require_minimum_version 1.5.0
load helper
load guarded

setup_file() {
  docker_runs || return 0 # setup skips every test
  if docker compose version >/dev/null 2>&1; then
    export COMPOSE='docker compose'
  elif command -v docker-compose >/dev/null; then
    export COMPOSE=docker-compose
  else
    return 0
  fi
  # A project name of its own leaves other projects alone.  Ports stay the same when a container is made anew.
  export COMPOSE_PROJECT_NAME=ratelimit-test-$$-$RANDOM PORT_A PORT_B
  PORT_A=$(free_port) PORT_B=$(free_port)
  export RATELIMIT_ALLOW=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 # Docker's networks
  # shellcheck disable=SC2086  # COMPOSE is one word or two
  with_images $COMPOSE up --build -d
  url_a=http://$(compose port limiter-a 8080)
  url_b=http://$(compose port limiter-b 8080)
  export url_a url_b
  eventually all_healthy
  eventually both_do decided
}

teardown_file() {
  # shellcheck disable=SC2086  # COMPOSE is one word or two
  [[ -z ${COMPOSE:-} ]] || with_images $COMPOSE down -v --rmi local
}

setup() {
  [[ -n ${COMPOSE:-} ]] || skip 'no Docker with Compose here: docker-compose.yml is NOT tested'
  user=user-$BATS_TEST_NUMBER
}

# shellcheck disable=SC2086  # COMPOSE is one word or two
compose() { $COMPOSE "$@"; }

# of_project LIST-COMMAND...: the objects of this project that docker lists
of_project() { docker "$@" --filter label=com.docker.compose.project="$COMPOSE_PROJECT_NAME"; }

all_healthy() { [[ $(of_project ps -q --filter health=healthy | wc -l) == 3 ]]; }

# both_do COMMAND...: it succeeds with each limiter at URL.
both_do() {
  local URL
  for URL in "$url_a" "$url_b"; do "$@" || return 1; done
}

# share_five: a new client is served five times by the two limiters, and then refused by both.
share_five() {
  local user=shared-$RANDOM list='' url
  for url in "$url_a" "$url_b" "$url_a" "$url_b" "$url_a" "$url_a" "$url_b"; do
    list+=" $(URL=$url status "/?user=$user" --max-time 30)"
  done
  [[ $list == ' 200 200 200 200 200 429 429' ]]
}

@test "Redis and both limiters become healthy" {
  all_healthy
}

@test "two limiters share one limit: five requests over both, then both refuse" {
  # With the limits of the image Redis has 50 ms: on a busy machine try again.
  eventually share_five
}

@test "they are published for this machine alone, Redis not at all" {
  assert_contains "$url_a" http://127.0.0.1:
  assert_contains "$url_b" http://127.0.0.1:
  assert_equal "$(docker port "$(compose ps -q redis)")" ''
}

@test "all of them run read-only and without capabilities" {
  local container
  for container in $(compose ps -q); do
    assert_equal "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$container")" \
      'true [ALL]'
  done
}

@test "RATELIMIT_ALLOW opens the pages to requests through the published port, and they know both processes" {
  local page processes
  for URL in "$url_a" "$url_b"; do
    for page in health ready metrics status live; do assert_equal "$page $(status "/-/$page")" "$page 200"; done
    processes=$(curl -s "$URL/-/status" | grep -o '"pid":' | wc -l)
    assert_equal "$processes" 2
  done
}

# As conf/operating.md says, with the nginx of that page as the balancer.
@test "replacing one container after the other behind a balancer loses no request" {
  local dir=$BATS_TEST_TMPDIR/nginx port
  mkdir "$dir"
  port=$(free_port)
  {
    printf '%s\n' "pid $dir/pid;" 'error_log stderr;' 'events { }' 'http {' 'access_log off;' "client_body_temp_path $dir/b;" \
      "proxy_temp_path $dir/p;" "fastcgi_temp_path $dir/f;" "uwsgi_temp_path $dir/u;" "scgi_temp_path $dir/s;"
    block conf/operating.md 'nginx (without a subscription)' | with 192.0.2.11:8080 "${url_a#http://}" \
      192.0.2.12:8080 "${url_b#http://}" 'listen 80;' "listen 127.0.0.1:$port;"
    echo '}'
  } >"$dir/nginx.conf"
  run_nginx "$dir" "$port"
  URL=http://127.0.0.1:$port
  replaced=a
  replace() {
    compose up -d --no-deps --force-recreate "limiter-$replaced"
    replaced=b
    eventually all_healthy
    eventually both_do decided
  }
  local failed=0
  load_during replace || failed=1
  stop "$NGINX_PID"
  ((failed == 0))
}

@test "without Redis each limits by its share and stays healthy; with it they limit again" {
  compose stop redis
  eventually both_do undecided
  for _ in 1 2 3 4 5 6; do
    for URL in "$url_a" "$url_b"; do assert_matches "$(status "/?user=$user" --max-time 2)" '200|429'; done
  done
  docker exec "$(compose ps -q limiter-a)" healthcheck
  compose start redis
  eventually both_do decided
}

# This is the last test, because it takes the stack down.
@test "docker-compose down leaves nothing behind" {
  compose down
  assert_equal "$(of_project ps -aq)" ''
  assert_equal "$(of_project network ls -q)" ''
  assert_equal "$(of_project volume ls -q)" ''
}
