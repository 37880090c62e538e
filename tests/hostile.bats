#!/usr/bin/env bats
# hostile.bats - whatever a client sends gets a clear answer and does not affect the next client.

load helper

setup_file() {
  start_redis
  default_limits >"$BATS_FILE_TMPDIR/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

# No request may kill a worker, and after each test the next client is served.
setup() { workers_before=$(worker_pids); }
teardown() {
  assert_equal "$(worker_pids)" "$workers_before" || return 1 # bats only checks the last command
  assert_equal "$(status "/?user=after-$BATS_TEST_NUMBER")" 200
}

@test "different names never share a bucket, whatever bytes they contain" {
  # NUL and other control characters are not among them: lighttpd refuses those, below.
  local name names=('a%20b' 'a%2Bb' 'a%2520b' '%7Ba%7D' 'a}:per-user' 'a%7D:per-user%7B' 'a%2525' 'a%25' 'a%2' 'a%zz'
    '%C3%A9' '%E9' '%22quoted%22' 'a%26user=b' 'a=b' "a'b" 'a*' 'a[1]' 'a~' 'a|b' 'a%5Cb' 'a/b' '..' '%3Cscript%3E')
  for name in "${names[@]}"; do
    request "/?user=$name"
    assert_contains "$body" '"remaining":4'
  done
}

@test "two spellings of one name are one client" {
  request '/?user=%7Bsame%7D'
  request '/?user={same}'
  assert_contains "$body" '"remaining":3'
  request '/?user=broken%25escape'
  request '/?user=broken%escape'
  assert_contains "$body" '"remaining":3'
}

@test "control characters in the query get a clear answer" {
  for escape in %00 %0D%0A %01 %7F; do
    assert_equal "$(status "/?user=x${escape}y")" 400
  done
}

@test "a name of 7 KB has a bucket of its own, under a digest" {
  local long
  long=$(head -c 7000 /dev/zero | tr '\0' x)
  request "/?user=${long}a"
  assert_contains "$body" '"remaining":4'
  request "/?user=${long}b"
  assert_contains "$body" '"remaining":4'
  request "/?user=${long}a"
  assert_contains "$body" '"remaining":3'
  assert_equal "$(redis_cli --scan --pattern 'rl:{query:user=#*' | wc -l)" 2
}

@test "lighttpd refuses a request line that is too long for it" {
  local long
  long=$(head -c 40000 /dev/zero | tr '\0' x)
  assert_equal "$(status "/?user=$long")" 431
}

@test "a request with a body is answered like any other, and lighttpd logs no error" {
  head -c 30000 /dev/zero >"$BATS_TEST_TMPDIR/body"
  for _ in 1 2 3 4 5; do
    assert_equal "$(status '/?user=body' --data-binary "@$BATS_TEST_TMPDIR/body")" 200
  done
  assert_equal "$(status '/?user=body' --data-binary "@$BATS_TEST_TMPDIR/body")" 429
  assert_equal "$(grep -c 'dropped after accept' "$LIMITER_LOG" || true)" 0
}

@test "lighttpd refuses a body that is too large for it" {
  head -c 40000 /dev/zero >"$BATS_TEST_TMPDIR/body"
  assert_equal "$(status '/?user=large' --data-binary "@$BATS_TEST_TMPDIR/body")" 413
}

@test "a chunked body and an aborted one do not affect the next request" {
  head -c 30000 /dev/zero >"$BATS_TEST_TMPDIR/body"
  assert_equal "$(status '/?user=chunked' -H 'Transfer-Encoding: chunked' --data-binary "@$BATS_TEST_TMPDIR/body")" 200
  exec 9<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /?user=aborted HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\nhalf' >&9
  exec 9>&-
}
