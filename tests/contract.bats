#!/usr/bin/env bats
# contract.bats - what a client sees: status, headers and body, and which bucket is charged.

load helper

setup_file() {
  start_redis
  default_limits >"$BATS_FILE_TMPDIR/limits.yaml"
  start_limiter conf/lighttpd.conf LIMITS_FILE="$BATS_FILE_TMPDIR/limits.yaml"
}

teardown_file() { stop_all; }

# A user that no other test has.
setup() { user=user-$BATS_TEST_NUMBER; }

@test "five requests of one user are allowed, the sixth is refused, another user is untouched" {
  for _ in 1 2 3 4 5; do assert_equal "$(status "/?user=$user")" 200; done
  assert_equal "$(status "/?user=$user")" 429
  assert_equal "$(status "/?user=$user-other")" 200
}

@test "an allowed answer has the policy, the tokens left and the time until the bucket is full, and is not stored" {
  request "/?user=$user"
  assert_equal "$(header Status)" '200 OK'
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=4 t=48'
  assert_equal "$(header Cache-Control)" no-store
  assert_equal "$(header Content-Type)" application/json
  assert_equal "$(header Retry-After)" ''
  assert_equal "$body" '{"allowed":true,"limit":5,"remaining":4,"reset":12}'
}

@test "a refusal says when to retry, in a problem document that names the policy" {
  for _ in 1 2 3 4 5; do request "/?user=$user"; done
  assert_equal_by_now "$body" '{"allowed":true,"limit":5,"remaining":0,"reset":60}'
  request "/?user=$user"
  assert_equal "$(header Status)" '429 Too Many Requests'
  assert_equal_by_now "$(header Retry-After)" 12
  assert_fields 'RateLimit-Policy per-user q=5 w=60' 'RateLimit per-user r=0 t=12'
  assert_equal "$(header Cache-Control)" no-store
  assert_equal "$(header Content-Type)" application/problem+json
  assert_equal "$body" '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"violated-policies":["per-user"]}'
}

@test "any path and any method take from the same bucket, HEAD without a body" {
  assert_equal "$(status "/?user=$user" -X POST --data x)" 200
  assert_equal "$(status "/some/path?a=b&user=$user" -X PUT --data x)" 200
  assert_equal "$(status "/?user=$user" --head)" 200
  assert_equal "$(status "/?user=$user" -X DELETE)" 200
  assert_equal "$(status "/?user=$user" -X OPTIONS)" 200
  assert_equal "$(status "/?user=$user")" 429
}

@test "the user is percent-decoded, and so is the parameter's name" {
  request "/?user=$user%20x"
  request "/?user=$user+x"
  request "/?%75ser=$user%20%78"
  assert_contains "$body" '"remaining":2'
}

@test "a request with two users, in any spelling of the name, is 400 and takes no token" {
  local query
  for query in "user=$user-a&user=$user-b" "user=$user-a&us%65r=$user-b" "user=$user-a;user=$user-b" \
    "user[]=$user-a&user[]=$user-b" "user=$user-a&+user=$user-b" "user=&user=$user-b"; do
    request "/?$query"
    assert_equal "$query $(header Status)" "$query 400 Bad Request"
    assert_contains "$body" '"detail":"A limit counts by query:user, which this request has more than once'
  done
  request "/?user=$user-b"
  assert_contains "$body" '"remaining":4'
}

@test "without a user, or with an empty one, two connections of one address share its bucket" {
  for path in / '/?user=' '/?user' '/?other=1' '/?other=user'; do
    assert_equal "$(status "$path")" 200
  done
  assert_equal "$(status /)" 429
  assert_equal "$(redis_cli KEYS 'rl:{ip=*')" 'rl:{ip=127.0.0.1}:per-user'
}

@test "a user named like an address is not the client at that address" {
  request "/?user=127.0.0.1"
  assert_contains "$body" '"remaining":4'
}

@test "a bucket is one integer, the time at which it was empty, and is deleted a minute after it is full" {
  request "/?user=$user"
  local empty_at now
  empty_at=$(redis_cli GET "rl:{query:user=$user}:per-user")
  now=$(redis_cli TIME | head -1)
  assert_between $((now - empty_at / 1000000)) 48 $((50 + SECONDS))
  assert_between "$(redis_cli PTTL "rl:{query:user=$user}:per-user")" 1 72001
}

@test "a bucket takes less than 120 bytes" {
  request "/?user=user000001"
  assert_between "$(redis_cli MEMORY USAGE 'rl:{query:user=user000001}:per-user')" 1 119
}
