#!/usr/bin/env bats
# redis_tls.bats - Redis over TLS: certificates and names are checked, and what is wrong is said.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  command -v openssl >/dev/null || skip 'no openssl'
  export CERTS=$BATS_FILE_TMPDIR/certs
  mkdir "$CERTS"
  authority ca
  authority other
  certificate server ca DNS:localhost,DNS:redis.example,IP:127.0.0.1
  certificate named ca DNS:redis.example
  certificate client ca DNS:client
  start_tls_redis server
}
teardown_file() { stop_all; }
setup() { PATH=$(dirname "$PROGRAM"):$PATH; }
teardown() {
  local pid
  stop_limiters
  for pid in $HELPER_PIDS; do stop "$pid"; done
}

# authority NAME - a certificate that signs others: NAME.pem and NAME.key in CERTS
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$1" \
    -keyout "$CERTS/$1.key" -out "$CERTS/$1.pem" 2>/dev/null
}

# certificate NAME AUTHORITY NAMES [OPTION...] - a certificate for NAMES (subjectAltName), with OPTIONs of openssl x509
certificate() {
  local name=$1 authority=$2 names=$3
  shift 3
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$CERTS/$name.key" \
    -out "$CERTS/$name.csr" 2>/dev/null
  openssl x509 -req -in "$CERTS/$name.csr" -CA "$CERTS/$authority.pem" -CAkey "$CERTS/$authority.key" -CAcreateserial \
    -days 30 -extfile <(echo "subjectAltName=$names") -out "$CERTS/$name.new" "$@" 2>/dev/null
  mv "$CERTS/$name.new" "$CERTS/$name.pem"
}

# start_tls_redis CERTIFICATE [OPTION...] - a Redis with TLS on TLS_PORT, which asks for no certificate unless OPTION says so
start_tls_redis() {
  export TLS_PORT=${TLS_PORT:-$(free_port)}
  local certificate=$1
  shift
  start_redis --tls-port "$TLS_PORT" --tls-cert-file "$CERTS/$certificate.pem" --tls-key-file "$CERTS/$certificate.key" \
    --tls-ca-cert-file "$CERTS/ca.pem" --tls-auth-clients no "$@"
}

has_tls() { [[ $("$PROGRAM" --check --limits <(limits_with "address: rediss://localhost" ) 2>&1) != *'has no TLS'* ]]; }
needs_tls() { has_tls || skip 'this build has no TLS: its hiredis is below 1.0'; }

# limits_with LINE... - a limits file with these lines in redis
limits_with() {
  echo redis:
  printf '  %s\n' 'timeout: 5s' "$@"
  echo 'limits: [ { name: per-user, key: query:user, capacity: 3, refill: 1/h } ]'
}

# start_with LINE... - a program with these lines in redis
start_with() {
  limits_with "$@" >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
}

# has_lost TEXT - the program's log says that Redis is lost because of TEXT
has_lost() { grep -qF "$1" "$LIMITER_LOG"; }

# assert_decides - soon three requests of a client are served, and no more
assert_decides() {
  eventually decided
  local user=tls-$RANDOM
  assert_equal "$(statuses 4 "$user")" '200 200 200 429'
}

@test "a build without TLS says what to do instead" {
  ! has_tls || skip 'this build has TLS'
  run -2 "$PROGRAM" --check --limits <(limits_with 'address: rediss://localhost:6379')
  assert_contains "$output" ':3:12: address: this build has no TLS'
  assert_contains "$output" 'a stunnel in between: conf/README.md'
  run -2 "$PROGRAM" --check --limits <(limits_with 'cluster: [localhost]' 'tls: {}')
  assert_contains "$output" ':4:8: tls: this build has no TLS'
  run -2 "$PROGRAM" --redis rediss://localhost --listen "unix:$BATS_TEST_TMPDIR/socket"
  assert_contains "$output" 'this build has no TLS'
}

# start_stunnel NAME - the stunnel of conf/README.md, for the server NAME; STUNNEL_PORT
start_stunnel() {
  STUNNEL_PORT=$(free_port)
  {
    echo 'foreground = yes'
    echo 'pid ='
    awk '/^    \[redis\]/ { inside = 1 } /^$/ { inside = 0 } inside { print substr($0, 5) }' conf/README.md |
      sed "s/127.0.0.1:6390/127.0.0.1:$STUNNEL_PORT/; s/redis.example:6380/127.0.0.1:$TLS_PORT/
        s,/etc/ssl/certs/ca-certificates.crt,$CERTS/ca.pem,; s/redis.example/$1/"
  } >"$BATS_TEST_TMPDIR/stunnel.conf"
  stunnel "$BATS_TEST_TMPDIR/stunnel.conf" 2>"$BATS_TEST_TMPDIR/stunnel.log" 3>&- &
  HELPER_PIDS+=" $!"
  eventually accepts_tcp "$STUNNEL_PORT"
}

@test "the stunnel of the document reaches it, and refuses a server of another name" {
  command -v stunnel >/dev/null || skip 'no stunnel'
  start_stunnel redis.example
  start_with "address: 127.0.0.1:$STUNNEL_PORT"
  assert_decides
  stop_limiters
  start_stunnel other.example
  start_with "address: 127.0.0.1:$STUNNEL_PORT"
  eventually undecided
  grep -q 'CERT: ' "$BATS_TEST_TMPDIR/stunnel.log"
}

@test "a server with a certificate of the authority is asked" {
  needs_tls
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  assert_decides
  assert_contains "$(redis_cli CLIENT LIST | grep -c 'cmd=evalsha')" 1
  grep -q "redis rediss://localhost:$TLS_PORT" "$LIMITER_LOG"
}

@test "an address is compared with those in the certificate, and a server_name with its names" {
  needs_tls
  start_with "address: rediss://127.0.0.1:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  assert_decides
  stop_limiters
  start_with "address: rediss://127.0.0.1:$TLS_PORT" "tls: { ca: $CERTS/ca.pem, server_name: redis.example }"
  assert_decides
}

@test "a server of another name, of another authority or without TLS is refused, and the log says why" {
  needs_tls
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem, server_name: other.example }"
  eventually has_lost 'TLS: the certificate is not for other.example; write tls: { server_name: NAME }'
  stop_limiters
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/other.pem }"
  eventually has_lost 'TLS: the certificate of the server is not accepted: '
  stop_limiters
  start_with "address: rediss://localhost:$TLS_PORT" # the authorities of the system do not know it
  eventually has_lost 'TLS: the certificate of the server is not accepted: '
  stop_limiters
  start_with "address: rediss://localhost:$REDIS_PORT" "tls: { ca: $CERTS/ca.pem }"
  eventually has_lost 'TLS: the server does not speak TLS; use its port for TLS'
  stop_limiters
  start_with "address: rediss://127.0.0.1:$TLS_PORT" "tls: { ca: $CERTS/ca.pem, server_name: 192.0.2.7 }"
  eventually has_lost 'TLS: the certificate is not for 192.0.2.7; write'
}

# The alert that says why is lost if the server closes a socket from which it has not read all.  The program then asks the
# question, which has the same words.
@test "a server that wants TLS or a certificate is told from one that is away" {
  needs_tls
  start_with "address: redis://localhost:$TLS_PORT"
  eventually has_lost 'an address with rediss://'
  run -1 ratelimitctl override list --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" 'does it want TLS (an address with rediss://)?'
  stop_limiters
  start_tls_redis_again server --tls-auth-clients yes
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  eventually has_lost 'for a certificate'
  run -1 ratelimitctl override list --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" 'for a certificate'
  start_tls_redis_again server
}

# The kernel accepts connections for it.
@test "a server that is silent in the handshake is given up, and the log asks for the port" {
  needs_tls
  local port
  port=$(free_port)
  perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ARGV[0]", Listen => 50) or die; sleep' \
    "$port" 3>&- &
  HELPER_PIDS+=" $!"
  eventually accepts_tcp "$port"
  start_with "address: rediss://127.0.0.1:$port" "tls: { ca: $CERTS/ca.pem }"
  eventually has_lost "ms: is it the server's port for TLS?"
}

@test "insecure accepts any certificate, and --check warns of it" {
  needs_tls
  start_with "address: rediss://localhost:$TLS_PORT" 'tls: { insecure: true }'
  assert_decides
  assert_equal "$(log_count 'insecure: true: certificates are not checked')" 1
  run -2 "$PROGRAM" --check --strict --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" 'warning: insecure: certificates are not checked'
}

@test "a file that is no certificate, or a key of another one, is named in the log" {
  needs_tls
  echo nonsense >"$BATS_TEST_TMPDIR/nonsense"
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $BATS_TEST_TMPDIR/nonsense }"
  eventually has_lost "$BATS_TEST_TMPDIR/nonsense: "
  eventually has_lost 'it must be certificates of authorities in PEM'
  stop_limiters
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem, cert: $CERTS/client.pem, key: $CERTS/server.key }"
  eventually has_lost "$CERTS/server.key: "
  eventually has_lost 'it must be the private key of that certificate'
  stop_limiters
  certificate old ca DNS:client -days 0
  sleep 1.1 # certificates have whole seconds
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem, cert: $CERTS/old.pem, key: $CERTS/old.key }"
  eventually has_lost "$CERTS/old.pem: the certificate has expired"
}

@test "the authorities of the system are known, also after a change of them, and a dot after a name is none of it" {
  needs_tls
  limits_with "address: rediss://127.0.0.1:$TLS_PORT" "tls: { server_name: localhost. }" >"$BATS_TEST_TMPDIR/limits.yaml"
  cp "$CERTS/other.pem" "$BATS_TEST_TMPDIR/authorities.pem"
  start_program SSL_CERT_FILE="$BATS_TEST_TMPDIR/authorities.pem" -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
  eventually has_lost 'TLS: the certificate of the server is not accepted: '
  cp "$CERTS/ca.pem" "$BATS_TEST_TMPDIR/authorities.pem"
  assert_decides
}

@test "an expired certificate is refused, and a renewed one is used at the next connection" {
  needs_tls
  certificate short ca DNS:localhost -days 0 # it ends now
  sleep 1.1                                   # certificates have whole seconds
  start_tls_redis_again short
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  eventually has_lost 'certificate has expired'
  start_tls_redis_again server
  assert_decides
}

# start_tls_redis_again CERTIFICATE [OPTION...] - in the place of the Redis that runs
start_tls_redis_again() {
  stop "$(<"$REDIS_DIR/pid")"
  start_tls_redis "$@"
}

@test "a client certificate is sent, and changed files are read at the next connection" {
  needs_tls
  start_tls_redis_again server --tls-auth-clients yes
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  eventually has_lost 'for a certificate'
  stop_limiters
  cp "$CERTS"/client.{pem,key} "$BATS_TEST_TMPDIR"
  start_with "address: rediss://localhost:$TLS_PORT" \
    "tls: { ca: $CERTS/ca.pem, cert: $BATS_TEST_TMPDIR/client.pem, key: $BATS_TEST_TMPDIR/client.key }"
  assert_decides
  # A certificate that Redis does not accept, and then one that it does.
  certificate stranger other DNS:client
  cp "$CERTS/stranger.pem" "$BATS_TEST_TMPDIR/client.pem"
  cp "$CERTS/stranger.key" "$BATS_TEST_TMPDIR/client.key"
  redis_cli CLIENT KILL TYPE normal SKIPME yes >/dev/null
  eventually undecided
  cp "$CERTS"/client.{pem,key} "$BATS_TEST_TMPDIR"
  assert_decides
  start_tls_redis_again server
}

@test "many clients and the longest answers pass through it, and it comes back after a restart" {
  needs_tls
  { limits_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }" | sed '/^limits:/d'
    echo limits:
    for i in $(seq 64); do echo "- { name: limit-$i, key: query:user, capacity: 100000, refill: 100/h }"; done
  } >"$BATS_TEST_TMPDIR/limits.yaml"
  start_program -- --limits "$BATS_TEST_TMPDIR/limits.yaml"
  eventually decided
  assert_equal "$(burst 2000 '/?user=alice')" '200:2000'
  # Sixty-four buckets of one client, from each of which 2000 were taken.
  assert_equal "$(tokens 'rl:{query:user=alice}:limit-64' 100000 36)" 98000
  start_tls_redis_again server
  eventually decided
  assert_equal "$(burst 200 '/?user=bob')" '200:200'
}

@test "ratelimitctl and the overrides use it, too" {
  needs_tls
  start_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/ca.pem }"
  assert_decides
  run -0 ratelimitctl peek --key alice --limits "$BATS_TEST_TMPDIR/limits.yaml"
  assert_contains "$output" '3 of 3'
  run -0 ratelimitctl override set per-user alice blocked --limits "$BATS_TEST_TMPDIR/limits.yaml"
  blocked() { [[ $(status '/?user=alice') == 403 ]]; }
  eventually blocked
  run -1 ratelimitctl override list --limits <(limits_with "address: rediss://localhost:$TLS_PORT" "tls: { ca: $CERTS/other.pem }")
  assert_contains "$output" 'TLS: the certificate of the server is not accepted'
  redis_cli DEL rl:overrides >/dev/null
}
