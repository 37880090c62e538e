#!/usr/bin/env bats
# redis_cluster.bats - an error about one request ends that request and no other: a node of a Redis Cluster decides the
# requests whose keys it has, whichever node has the key of the probe.

load helper

setup() {
  # By default the bus has the port 10000 above, which an outgoing connection may have.
  start_redis --cluster-enabled yes --cluster-require-full-coverage no --cluster-port "$(free_port)"
  # The node has the slots of the users a and c, and not those of user b and the probe.
  redis_cli CLUSTER ADDSLOTS "$(slot 'query:user=a')" "$(slot 'query:user=c')"
  eventually serves a
  cat >"$BATS_TEST_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: user, key: "query:user", capacity: 1000000, refill: 1/s, on_redis_failure: allow }
  - { name: both, key: "query:other", match: { path: /both }, capacity: 1000000, refill: 1/s, on_redis_failure: allow }
YAML
  start_program LIMITS_FILE="$BATS_TEST_TMPDIR/limits.yaml" REDIS_ADDR="unix:$REDIS_SOCK"
}

teardown() { stop_all; }

slot() { redis_cli CLUSTER KEYSLOT "{$1}"; }
serves() { [[ $(redis_cli GET "{query:user=$1}") == '' ]]; }

# is_decided URI - Redis decides about it
is_decided() {
  request "$1" --max-time 60
  [[ -n $(header RateLimit) ]]
}

@test "redis.cluster is an error that says what to write" {
  echo 'redis: { cluster: [127.0.0.1:7000] }' >"$BATS_TEST_TMPDIR/cluster.yaml"
  sed 1d "$BATS_TEST_TMPDIR/limits.yaml" >>"$BATS_TEST_TMPDIR/cluster.yaml"
  run env -u REDIS_ADDR "$PROGRAM" --check --limits "$BATS_TEST_TMPDIR/cluster.yaml"
  assert_equal "$status" 2
  assert_contains "$output" 'redis.cluster: a Redis Cluster is not supported yet; name one server'
}

@test "a node that does not have the slot of the probe decides the requests whose slots it has" {
  eventually is_decided '/?user=a'
  ! is_decided '/?user=b' || false
  is_decided '/?user=c'
  assert_equal "$(log_count 'is lost')" 0
  assert_equal "$(log_count 'does not decide every request (CLUSTERDOWN')" 1
}

@test "requests among which one in a hundred is refused by an error are all decided but for those" {
  eventually is_decided '/?user=a'
  local i answers
  for i in {1..2000}; do
    case $((i % 200)) in
      50) echo "url = $URL/?user=b" ;;
      150) echo "url = $URL/both?user=a&other=c" ;; # CROSSSLOT
      *) echo "url = $URL/?user=a" ;;
    esac
  done >"$BATS_TEST_TMPDIR/urls"
  answers=$(curl --silent --parallel --parallel-max 50 --include --config "$BATS_TEST_TMPDIR/urls")
  assert_equal "$(grep -c '^HTTP/1.1 200' <<<"$answers") $(grep -ci '^RateLimit:' <<<"$answers")" '2000 1980'
  assert_equal "$(log_count 'is lost')" 0
}
