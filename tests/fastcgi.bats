#!/usr/bin/env bats
# fastcgi.bats - any stock client of FastCGI is answered as the specification demands, and none, whatever it sends
# and whenever it closes, delays or changes the answers of others.  The client is tests/fastcgi/client.js.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
  start_redis
  cat >"$BATS_FILE_TMPDIR/limits.yaml" <<'YAML'
redis: { timeout: 10s }    # Redis is stopped for a while in some tests
headers: [ietf]
limits:
  - { name: many, key: "query:user | ip", capacity: 3000, refill: 1/day }
  - { name: two, match: { path: /two/** }, key: "query:user", capacity: 2, refill: 1/day }
YAML
  # Freed memory that the sanitizers keep would look like a leak.
  export ASAN_OPTIONS=quarantine_size_mb=4
  export LIMITS=$BATS_FILE_TMPDIR/limits.yaml
  start_fastcgi
}

teardown_file() {
  stop "$PROGRAM_PID"
  stop_all
  # A sanitizer reports leaks at the end.
  assert_equal "$(log_after_start "$LIMITER_LOG" | grep -v 'invalid FastCGI')" ''
}

# After each test the same process still serves, has no descriptor left open, and sleeps.
teardown() {
  local failed=0
  checks || failed=1
  for pid in $OWN_PIDS; do stop "$pid"; done
  return "$failed"
}

checks() {
  ! gone "$PROGRAM_PID" || [[ -n $STOPPED ]] || fail "process $PROGRAM_PID" 'is gone' "$(cat "$LIMITER_LOG")" || return 1
  [[ -z $STOPPED ]] || return 0
  eventually descriptors_are "$DESCRIPTORS" || fail "$(descriptors)" 'are not the descriptors of before' "$DESCRIPTORS" || return 1
  assert_equal "$(fcgi <<<"print(await ask('/?user=after'))" | cut -c 1-6)" '1: 200' || return 1
  sleeps "$PROGRAM_PID"
}

# listen_at ADDRESS [COMMAND...] - the program by itself: PROGRAM_PID, and LIMITER_LOG
listen_at() {
  export PROGRAM_PID LIMITER_LOG
  LIMITER_LOG=$(mktemp "$(tmpdir)/log.XXXXXX")
  REDIS_ADDR=unix:$REDIS_SOCK "${@:2}" "$PROGRAM" --limits "$LIMITS" --listen "$1" 2>"$LIMITER_LOG" 3>&- &
  PROGRAM_PID=$!
}

# start_fastcgi [COMMAND...] - the same at SOCKET, until it answers; DESCRIPTORS, the number that it has open
start_fastcgi() {
  export SOCKET DESCRIPTORS
  SOCKET=$(mktemp -u "$(tmpdir)/XXXXXX")
  listen_at "unix:$SOCKET" "$@"
  eventually answers
  DESCRIPTORS=$(descriptors)
}

# start_own [COMMAND...] - another program for this test alone; the functions use it from now on
start_own() {
  start_fastcgi "$@"
  OWN_PIDS+=" $PROGRAM_PID"
}

answers() { [[ $(fcgi 2>/dev/null <<<"print(await ask('/?user=start'))") == '1: 200 '* ]]; }

# assert_fcgi LINES - what the script on standard input prints
assert_fcgi() {
  local actual
  actual=$(fcgi) || return
  assert_equal "$actual" "$1"
}

descriptors() { find "/proc/$PROGRAM_PID/fd" -type l 2>/dev/null | wc -l; }
descriptors_are() { [[ $(descriptors) == "$1" ]]; }

# ticks PID - the processor time that it has used, in units of 10 ms
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# sleeps PID - with nothing to do it takes no processor time: in one of three looks, because it may have to finish
# something first
sleeps() {
  local before used
  for _ in 1 2 3; do
    before=$(ticks "$1")
    sleep 0.2
    used=$(($(ticks "$1") - before))
    ((used > 2)) || return 0
  done
  fail "$used ticks" 'are more than' 2
}

# ask_while_redis_sleeps - run the script on standard input as a client while Redis is stopped, until it has created
# the file args[0]; then the program sleeps.  What it prints, once Redis goes on, is in $BATS_TEST_TMPDIR/out.
ask_while_redis_sleeps() {
  kill -STOP "$REDIS_PID"
  node tests/fastcgi/client.js "$SOCKET" "$BATS_TEST_TMPDIR/sent" <&0 >"$BATS_TEST_TMPDIR/out" 3>&- &
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/sent"
  sleeps "$PROGRAM_PID"
  kill -CONT "$REDIS_PID"
  wait "$HELPER_PIDS"
  HELPER_PIDS=''
}

# bucket USER - the keys in Redis that contain USER
bucket() { redis_cli --scan --pattern "*$1*"; }

resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$PROGRAM_PID/status"; }

# assert_growth BEFORE MOST - resident memory in KB.  The sanitizers keep up to quarantine_size_mb of what is freed; a leak
# is then found by their report at the end.
assert_growth() {
  local most=$2
  [[ $BUILD != *asan* ]] || most=$((most + 4096))
  assert_between "$(($(resident_kb) - $1))" -100000 "$most"
}

# ---- Roles ----

@test "a responder and an authorizer are answered alike" {
  assert_fcgi '1: 200 1 left, complete
1: 200 0 left, complete
1: 429, complete
1: 429, complete
true' <<'JS'
const path = '/two/x?user=alike', authorizer = { role: ROLE.AUTHORIZER };
print(await ask(path));
print(await ask(path, authorizer));
const refused = [];
for (const options of [{}, authorizer]) {
  const c = await connect();
  c.send(request(path, options));
  refused.push(await c.next());
  print(line(refused.at(-1)));
}
print(refused[0].out.replace(/[rt]=\d+|Retry-After: \d+/g, '') === refused[1].out.replace(/[rt]=\d+|Retry-After: \d+/g, ''));
JS
}

@test "an authorizer's 200 has Status first, variables and no body, and its refusal has no variables" {
  assert_fcgi 'Status: 200 OK
Variable-RATELIMIT_POLICY: "many";q=3000;w=259200000, "two";q=2;w=172800
Variable-RATELIMIT: "many";r=2999;t=259113600, "two";r=1;t=86400
Variable-RATELIMIT_NAME: two
Variable-RATELIMIT_REMAINING: 1

Status: 429 Too Many Requests
false true' <<'JS'
const path = '/two/x?user=variables', authorizer = { role: ROLE.AUTHORIZER };
const one = async () => {
  const c = await connect();
  c.send(request(path, authorizer));
  return (await c.next()).out.replaceAll('\r\n', '\n');
};
const allowed = await one();
print(allowed.trimEnd() + '\n');
if (!allowed.endsWith('\n\n')) throw new Error('there is a body');
await one();
const refused = await one();
print(refused.split('\n')[0]);
print(refused.includes('Variable-'), /\n\n{"type":/.test(refused));
JS
}

@test "the body of a request is not waited for in either role" {
  assert_fcgi '1: 200 2999 left, complete
1: 200 2998 left, complete
1: 200 2997 left, complete
1: 200 2996 left, complete
true' <<'JS'
const control = await took(() => repeat(4, () => ask('/?user=control'))), from = now();
for (const role of [ROLE.RESPONDER, ROLE.AUTHORIZER])
  for (const keep of [false, true])
    print(await ask('/?user=endless', { role, keep, stdin: false, params: { CONTENT_LENGTH: '1000000' } }));
print(now() - from < 1000 + 10 * control);
JS
}

@test "the filter role is answered with UNKNOWN_ROLE, whatever follows, and costs no token" {
  assert_fcgi '1: nothing, unknown role
300: nothing, unknown role
kept
1: 200 2999 left, complete' <<'JS'
print(await ask('/?user=filter', { role: ROLE.FILTER }));
const bytes = request('/?user=filter', { role: ROLE.FILTER, id: 300, keep: true, body: 'x'.repeat(1000000) });
const c = await connect();
c.send(bytes, record(T.DATA, 'x'.repeat(60000), 300), record(T.DATA, '', 300));
print(await c.answer());
print(await c.left());
c.send(request('/?user=served', { keep: true }));
print(await c.answer());
JS
  assert_equal "$(bucket filter)" ''
}

@test "an undefined role is answered with UNKNOWN_ROLE, and the next request is answered" {
  assert_fcgi '0 1: nothing, unknown role
4 300: nothing, unknown role
65535 65535: nothing, unknown role
with a body: 1: nothing, unknown role
kept
not kept: 1: nothing, unknown role
closed
1: 200 2999 left, complete
true' <<'JS'
const control = await took(() => repeat(6, () => ask('/?user=control'))), from = now();
for (const [role, id] of [[0, 1], [4, 300], [65535, 65535]]) print(role, await ask('/?user=norole', { role, id }));
const c = await connect();
c.send(request('/?user=norole', { role: 4, keep: true, body: 'x'.repeat(1000000) }));
print('with a body:', await c.answer());
print(await c.left());
const d = await connect();
d.send(request('/?user=norole', { role: 4, body: 'x'.repeat(1000000) }));
print('not kept:', await d.answer());
print(await d.left(20000));
print(await ask('/?user=role'));
print(now() - from < 1000 + 10 * control);
JS
  assert_equal "$(bucket norole)" ''
}

@test "an undefined role on a kept connection is answered with UNKNOWN_ROLE, and the next request is answered" {
  assert_fcgi '1: 200 2999 left, complete
2: nothing, unknown role
3: 200 2998 left, complete' <<'JS'
const c = await connect();
c.send(request('/?user=other', { keep: true }));
print(await c.answer());
c.send(request('/?user=norole', { keep: true, role: 4, id: 2, body: 'body' }));
print(await c.answer());
c.send(request('/?user=other', { keep: true, id: 3 }));
print(await c.answer());
JS
  assert_equal "$(bucket norole)" ''
}

@test "management records are answered with and without a request" {
  assert_fcgi 'GET_VALUES_RESULT "\u000e\u0001FCGI_MAX_CONNS1\r\u0001FCGI_MAX_REQS1\u000f\u0001FCGI_MPXS_CONNS0"
UNKNOWN_TYPE "*\u0000\u0000\u0000\u0000\u0000\u0000\u0000"
kept
1: 200 2999 left, complete
GET_VALUES_RESULT "\r\u0001FCGI_MAX_REQS1"
GET_VALUES_RESULT ""
GET_VALUES_RESULT "\u000e\u0001FCGI_MAX_CONNS1"
1: 200 2998 left, complete' <<'JS'
const c = await connect(), asked = (...names) => record(T.GET_VALUES, Buffer.concat(names.map((name) => pairs({ [name]: '' }))), 0);
c.send(asked('FCGI_MAX_CONNS', 'FCGI_MAX_REQS', 'FCGI_MPXS_CONNS'), record(42, '', 0));
const left = await c.left();
print(c.other.splice(0).join('\n'));
print(left);
const whole = request('/?user=values', { keep: true });
c.send(asked('FCGI_MAX_REQS'), whole.subarray(0, 16), asked(), whole.subarray(16, 30), whole.subarray(30),
  asked(...Array(3000).fill('FCGI_MAX_CONNS'), 'FCGI_'.repeat(20)));
print(await c.answer());
print(c.other.join('\n'));
c.send(whole);
print(await c.answer());
JS
}

@test "a FCGI_GET_VALUES with wrong lengths closes its own connection and no other" {
  assert_fcgi 'closed closed closed closed
1: 200 2999 left, complete' <<'JS'
const long = [0xff, 0xff, 0xff, 0xff], answers = [];
for (const content of [[...long, ...long], [1, 0], [200], [0x80, 0, 0, 14, 0x7f]]) {
  const c = await connect();
  c.send(record(T.GET_VALUES, content, 0));
  answers.push(await c.answer());
}
print(answers.join(' '));
print(await ask('/?user=longer'));
JS
}

@test "100,000 records of unknown types leave no memory behind" {
  local before
  unknown() {
    fcgi <<'JS'
const c = await connect(), some = Buffer.concat(Array(500).fill(record(99, 'x', 0)));
await repeat(200, async () => {
  c.send(some);
  while (c.other.length < 500) await sleep(1);
  c.other.length = 0;
});
JS
  }
  unknown
  before=$(resident_kb)
  unknown
  assert_growth "$before" 1000
}

@test "a second request at once on a connection is answered with CANT_MPX_CONN, and the first is answered" {
  assert_fcgi '2: nothing, cannot multiplex
1: 200 2999 left, complete' <<'JS'
const c = await connect(), whole = request('/?user=first', { keep: true });
c.send(whole.subarray(0, 16), begin(ROLE.RESPONDER, KEEP, 2), whole.subarray(16));
print(await c.answer());
print(await c.answer());
JS
}

# ---- Kept connections ----

@test "1000 requests on one connection get 1000 answers, each its own" {
  assert_fcgi 'all of them
kept' <<'JS'
const c = await connect();
await repeat(1000, async (i) => {
  const id = 1 + i * 61 % 65535;
  c.send(request('/?user=thousand', { keep: true, id }));
  const answer = await c.answer();
  if (answer !== `${id}: 200 ${2999 - i} left, complete`) throw new Error(`${i}: ${answer}`);
});
print('all of them');
print(await c.left());
JS
}

@test "20 connections with 20 requests each do not mix up their answers" {
  assert_fcgi 'none' <<'JS'
await all(20, async (user) => {
  const c = await connect();
  await repeat(20, async (i) => {
    c.send(request(`/?user=mixed${user}`, { keep: true, id: user + 1 }));
    const answer = await c.answer();
    if (answer !== `${user + 1}: 200 ${2999 - i} left, complete`) throw new Error(answer);
  });
});
print('none');
JS
}

@test "500 idle kept connections do not slow other requests, and all of them still work" {
  assert_fcgi '500 kept
fast
500 answered' <<'JS'
const control = await took(() => repeat(100, () => ask('/?user=control'))), kept = [];
await repeat(500, async () => {
  const c = await connect();
  c.send(request('/?user=idle', { keep: true }));
  await c.answer();
  kept.push(c);
});
print(kept.length, 'kept');
const busy = await took(() => repeat(100, () => ask('/?user=busy')));
print(busy < 3000 + 3 * control ? 'fast' : `${busy} ms; without them ${control} ms`);
let answered = 0;
await all(500, async (i) => {
  kept[i].send(request('/?user=idle', { keep: true }));
  if ((await kept[i].answer()).startsWith('1: 200')) answered++;
});
print(answered, 'answered');
JS
}

@test "connections that close without a request do not affect the next request" {
  assert_fcgi '1: 200 2999 left, complete' <<'JS'
await repeat(300, async () => (await connect()).drop());
print(await ask('/?user=more'));
JS
}

@test "kept connections give way to new ones when descriptors run out" {
  start_own bash -c 'ulimit -n 60; exec "$@"' _
  assert_fcgi '55 new ones answered' <<'JS'
// More than there are descriptors: those that are kept first are closed.
let answered = 0;
await repeat(55, async () => {
  const c = await connect();
  c.send(request('/?user=descriptors', { keep: true }));
  if ((await c.answer()).startsWith('1: 200')) answered++;
});
print(answered, 'new ones answered');
JS
  assert_equal "$(grep -c 'out of descriptors' "$LIMITER_LOG")" 1
}

@test "a pipelined request neither mixes answers nor keeps the program busy" {
  redis_cli FLUSHALL >/dev/null
  ask_while_redis_sleeps <<'JS'
const c = await connect();
c.send(request('/?user=pipe1', { keep: true }));
await c.flush();
await sleep(100);
c.send(request('/?user=pipe2', { keep: true }));
await c.flush();
require('fs').writeFileSync(args[0], '');
print(await c.answer());
print(await c.answer());
JS
  assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" '1: 200 2999 left, complete
closed'
  assert_equal "$(bucket pipe2)" ''
}

@test "a peer that keeps its connection and reads no answers is disconnected" {
  assert_fcgi 'closed, the others served' <<'JS'
const c = await connect();
let closed = false;
c.socket.pause();
c.socket.on('error', () => { closed = true; });
for (let i = 0; i < 2900 && !closed; i++) {
  c.send(request('/?user=deaf', { keep: true }));
  await c.flush();
  const answer = await ask('/?user=hearing');
  if (!answer.startsWith('1: 200')) throw new Error(answer);
}
print(closed ? 'closed, the others served' : 'still there');
JS
}

# ---- What comes in pieces ----

@test "parameters arrive whole, however they are cut" {
  assert_fcgi 'bytes: 1: 200 2999 left, complete
records: 1: 200 2998 left, complete
300 records: 1: 200 2997 left, complete
8180 to 8204 bytes before the end of the parameters: 25 answered
8180 to 8204 bytes before the end of the body: 25 answered' <<'JS'
const uri = '/?user=pieces', whole = request(uri);
const c = await connect();
for (const byte of whole) {
  c.send([byte]);
  await c.flush();
}
print('bytes:', await c.answer());

const values = pairs({ REQUEST_METHOD: 'GET', REQUEST_URI: uri, QUERY_STRING: 'user=pieces', REMOTE_ADDR: '::1', PAD: 'x'.repeat(200) });
for (const [name, step] of [['records', 1], ['300 records', Math.ceil(values.length / 300)]]) {
  const d = await connect();
  d.send(begin());
  for (let at = 0; at < values.length; at += step) d.send(record(T.PARAMS, values.subarray(at, at + step)));
  d.send(record(T.PARAMS), record(T.STDIN));
  print(`${name}:`, await d.answer());
}

const length = (n) => request(uri, { keep: true, params: { PAD: 'x'.repeat(n) } }).length;
const size = length(5000) - 5000;
for (const [what, after] of [['the parameters', 8], ['the body', 0]]) {
  let answered = 0;
  for (let n = 8180; n < 8205; n++) {
    const e = await connect(), bytes = request(uri, { keep: true, params: { PAD: 'x'.repeat(n + after - size) } });
    if (bytes.length !== n + after) throw new Error(`${bytes.length} bytes`);
    e.send(bytes);
    if ((await e.answer()).startsWith('1: 200')) answered++;
    // Kept or not, the next is answered.
    e.send(bytes);
    const second = await e.answer();
    if (second !== 'closed' && !second.startsWith('1: 200')) throw new Error(`then ${second}`);
    e.drop();
  }
  print(`8180 to 8204 bytes before the end of ${what}: ${answered} answered`);
}
JS
}

@test "a body's end that comes late is not waited for, and the next request is answered" {
  assert_fcgi '20 ms: 1: 200 2999 left, complete
200 ms: 1: 200 2998 left, complete
true' <<'JS'
for (const ms of [20, 200]) {
  const c = await connect(), from = now();
  c.send(request('/?user=late', { keep: true, stdin: false }));
  setTimeout(() => c.send(record(T.STDIN)), ms);
  print(`${ms} ms:`, await c.answer());
  await c.next(1000);
}
let worst = 0;
// A server that passes bodies on as they come, with clients that send none and do not say so.
const slow = all(40, async (i) => {
  await sleep(i * 5);
  const c = await connect();
  c.send(request('/?user=slow', { keep: true, stdin: false }));
  await sleep(2000);
  c.drop();
});
await repeat(40, async () => {
  const at = now();
  await ask('/?user=quick');
  worst = Math.max(worst, now() - at);
});
await slow;
print(worst < 1500 ? true : worst);   // one that waits for a body waits for 2 s
JS
}

@test "a connection is kept if the end of the body comes while Redis is asked" {
  ask_while_redis_sleeps <<'JS'
const c = await connect();
c.send(request('/?user=apart', { keep: true, stdin: false }));
await c.flush();
await sleep(200);
c.send(record(T.STDIN));
await c.flush();
require('fs').writeFileSync(args[0], '');
print(await c.answer(), await c.left());
c.send(request('/?user=apart', { keep: true }));
print(await c.answer(), await c.left());
JS
  assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" '1: 200 2999 left, complete kept
1: 200 2998 left, complete kept'
}

@test "half a request is cut off after 10 s, and others are served meanwhile" {
  assert_fcgi '25 cut off, others served' <<'JS'
const control = await took(() => repeat(100, () => ask('/?user=control')));
const whole = request('/?user=half', { keep: true }), peers = [];
for (const kept of [false, true])
  for (const bytes of [...(kept ? [] : [0]), 1, 7, 8, 9, 15, 16, 17, 23, 24, 30, whole.length - 20, whole.length - 9]) {
    const c = await connect();
    if (kept) {
      c.send(whole);
      await c.answer();
    }
    c.send(whole.subarray(0, bytes));
    await c.flush();
    peers.push(c);
  }
const others = await took(() => repeat(100, async () => {
  const answer = await ask('/?user=others');
  if (!answer.startsWith('1: 200')) throw new Error(answer);
}));
if (others > 5000 + 3 * control) throw new Error(`100 requests took ${others} ms; without half requests ${control} ms`);
const answers = await Promise.all(peers.map((c) => c.answer()));
print(answers.filter((answer) => answer === 'closed').length, 'cut off, others served');
JS
}

@test "a request in one-byte records is answered, whatever other records come between" {
  assert_fcgi '1: 200 2999 left, complete kept
1: 200 2998 left, complete kept
1: 200 2997 left, complete' <<'JS'
const values = pairs({ REQUEST_METHOD: 'GET', REQUEST_URI: '/?user=between', REMOTE_ADDR: '192.0.2.1' });
const c = await connect();
// Records of requests that do not exist are ignored.
const other = [record(T.STDIN, 'x', 9), record(T.ABORT, '', 9), record(T.PARAMS, 'x', 9, 3)];
c.send(begin(ROLE.RESPONDER, KEEP));
for (const byte of values) c.send(record(T.PARAMS, [byte], 1, byte % 5), ...other);
c.send(record(T.PARAMS), record(T.STDIN));
print(await c.answer(), await c.left());
c.send(begin(ROLE.RESPONDER, KEEP), record(T.PARAMS, values), record(T.PARAMS));
for (const byte of 'the body of a client that sends byte by byte') c.send(record(T.STDIN, byte));
c.send(record(T.STDIN));
print(await c.answer(), await c.left());
c.send(request('/?user=between', { keep: true }));
print(await c.answer());
JS
}

@test "an aborted request is ended, costs nothing, and the next one is answered" {
  assert_fcgi '7: nothing, complete
1: 200 2999 left, complete' <<'JS'
const c = await connect();
c.send(begin(ROLE.RESPONDER, KEEP, 7), record(T.PARAMS, pairs({ REQUEST_URI: '/?user=aborted' }), 7), record(T.ABORT, '', 7));
print(await c.answer());
c.send(request('/?user=not-aborted', { keep: true }));
print(await c.answer());
JS
  assert_equal "$(bucket '=aborted')" ''
}

# ---- What no web server sends ----

@test "malformed input closes its own connection, costs no token and does not affect others" {
  assert_fcgi 'all of them closed
1: 200 2999 left, complete' <<'JS'
const values = pairs({ REQUEST_METHOD: 'GET', REQUEST_URI: '/?user=malformed', REMOTE_ADDR: '192.0.2.1' });
const hidden = request('/?user=malformed', { keep: true }), end = Buffer.concat([record(T.PARAMS), record(T.STDIN)]);
const head = (...parts) => Buffer.concat([begin(ROLE.RESPONDER, KEEP), ...parts, end]);
const padded = (bytes, type, padding) => {   // PADDING in the place of the zeros that record() writes
  const header = Buffer.from(record(type, bytes));
  header[6] = padding.length;
  return Buffer.concat([header, padding]);
};
const tries = {
  'HTTP': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  'TLS': Buffer.from('160301020001000001fc0303', 'hex'),
  'version 0': Buffer.from([0, 1, 0, 1, 0, 8, 0, 0]),
  'version 2': Buffer.concat([Buffer.from([2]), head(record(T.PARAMS, values)).subarray(1)]),
  'begin without an id': Buffer.concat([begin(ROLE.RESPONDER, KEEP, 0), record(T.PARAMS, values), end]),
  'short begin': Buffer.concat([record(T.BEGIN, [0, 1, 1, 0]), record(T.PARAMS, values), end]),
  'long begin': Buffer.concat([record(T.BEGIN, [0, 1, 1, 0, 0, 0, 0, 0, 0]), record(T.PARAMS, values), end]),
  'padded begin': Buffer.concat([padded([0, 1, 1, 0, 0, 0, 0, 0], T.BEGIN, hidden.subarray(0, 200)), record(T.PARAMS, values), end]),
  'requests in the padding of the empty PARAMS': Buffer.concat([begin(ROLE.RESPONDER, KEEP), record(T.PARAMS, values), padded('', T.PARAMS, hidden.subarray(0, 200))]),
  'two begins': Buffer.concat([begin(), begin(), record(T.PARAMS, values), end]),
  'a body amid the parameters': head(record(T.PARAMS, values), record(T.STDIN, 'x'), record(T.PARAMS, values)),
  'a name longer than all': head(record(T.PARAMS, [100, 0, 65])),
  'a value longer than all': head(record(T.PARAMS, [1, 100, 65])),
  'lengths of which one is missing': head(record(T.PARAMS, [...values, 1])),
  'a long length that is cut': head(record(T.PARAMS, [...values, 1, 0x80, 0])),
  'lengths whose sum overflows': head(record(T.PARAMS, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...values])),
  'a length of 2 GB': head(record(T.PARAMS, [...values, 1, 0xff, 0xff, 0xff, 0xfe, 65])),
  'output': head(record(T.STDOUT, 'x')),
};
for (const [what, bytes] of Object.entries(tries)) {
  const c = await connect();
  c.send(bytes);
  const answer = await c.answer();
  if (answer !== 'closed') throw new Error(`${what}: ${answer}`);
}
print('all of them closed');
print(await ask('/?user=well-formed'));
JS
  assert_equal "$(bucket malformed)" ''
}

@test "more parameters than are read get 431, a name or a value that cannot be read gets 400, and neither costs a token" {
  assert_fcgi '64 KB: 1: 200 2999 left, complete
65 KB: 1: 431, complete closed
1 MB: 1: 431, complete closed
one value of 300 KB: 1: 431, complete closed
1001 parameters: 1: 431, complete kept
100,000 without a name and a value: 1: 431, complete closed
NUL in a value: 1: 400, complete kept
NUL in a name: 1: 400, complete kept
= in a name: 1: 400, complete kept
no name: 1: 400, complete kept
authorizer: 1: 431, complete closed
as auth_request: 1: 403, complete closed' <<'JS'
const many = (count, value = '') => Object.fromEntries(Array.from({ length: count }, (_, i) => [`HTTP_X${i}`, value]));
const one = async (what, params, options = {}) => {
  const c = await connect();
  const names = { REQUEST_METHOD: 'GET', REQUEST_URI: '/?user=large', REMOTE_ADDR: '192.0.2.1', ...params };
  c.send(begin(options.role ?? ROLE.RESPONDER, KEEP), stream(T.PARAMS, options.bytes ?? pairs(names), 1), record(T.STDIN));
  print(`${what}:`, await c.answer(), await c.left(options.gone ? 20000 : 300));
};
const gone = { gone: true };
const c = await connect();
c.send(begin(), stream(T.PARAMS, pairs({ REQUEST_METHOD: 'GET', REQUEST_URI: '/?user=fits', REMOTE_ADDR: '::1', HTTP_X: 'x'.repeat(65400) }), 1), record(T.STDIN));
print('64 KB:', await c.answer());
await one('65 KB', many(66, 'x'.repeat(1000)), gone);
await one('1 MB', many(1000, 'x'.repeat(1000)), gone);
await one('one value of 300 KB', { HTTP_X: 'x'.repeat(300000) }, gone);
await one('1001 parameters', many(998));
await one('100,000 without a name and a value', {}, { ...gone, bytes: Buffer.alloc(200000) });
await one('NUL in a value', { HTTP_X: 'a\0b' });
await one('NUL in a name', { 'HTTP_\0X': 'a' });
await one('= in a name', { 'HTTP_X=Y': 'a' });
await one('no name', { '': 'a' });
await one('authorizer', many(1000, 'x'.repeat(1000)), { role: ROLE.AUTHORIZER, ...gone });
await one('as auth_request', { RATELIMIT_AUTH_REQUEST: '1', ...many(1000, 'x'.repeat(1000)) }, gone);
JS
  assert_equal "$(bucket large)" ''
}

# ---- Bodies, and what may hide in them ----

@test "a forged request in a body is never answered, wherever it begins" {
  assert_fcgi 'none was answered, no connection was closed' <<'JS'
// Around the end of libfcgi's buffer, and at its beginning.  The forged one is in the body's record, as a web server
// would send it, whatever the headers say about the length.
const forged = request('/?user=forged', { keep: true });
const tries = [];
for (const length of [undefined, '', '0', '5', '100000'])
  for (const pad of [0, 1, 8, 7000, ...Array.from({ length: 35 }, (_, i) => 7980 + i * 7)])
    for (const tail of [0, 9000]) tries.push({ length, pad, tail });
for (const { length, pad, tail } of tries) {
  const c = await connect();
  const body = Buffer.concat([Buffer.alloc(pad, 1), forged, Buffer.alloc(tail), forged]);
  const head = request('/?user=honest', { keep: true, stdin: false, params: length === undefined ? {} : { CONTENT_LENGTH: length } });
  c.send(head, record(T.STDIN, body), record(T.STDIN));
  const answer = await c.answer();
  if (!answer.startsWith('1: 200')) throw new Error(`${length} ${pad} ${tail}: ${answer}`);
  c.send(request('/?user=next', { keep: true, id: 2 }));
  const next = await c.answer();
  if (!next.startsWith('2: 200')) throw new Error(`${length} ${pad} ${tail}: then ${next}`);
  c.drop();
}
print('none was answered, no connection was closed');
JS
  assert_equal "$(bucket forged)" ''
}

@test "a forged request that begins exactly at the end of the first read is never answered" {
  assert_fcgi 'none was answered' <<'JS'
// Head, the body's record header and PAD fill the buffer of 8192 bytes up to OFF, then the forged one begins; it comes
// in a packet of its own, before the answer and after it.
const forged = request('/?user=forged2', { keep: true });
for (const wait of [0, 60])
  for (let off = -10; off <= 10; off++) {
    const c = await connect();
    const head = request('/?user=honest2', { keep: true, stdin: false });
    const pad = 8192 + off - head.length - 8;
    const body = Buffer.concat([Buffer.alloc(pad, 1), forged]);
    const all = Buffer.concat([head, record(T.STDIN, body), record(T.STDIN)]);
    c.send(all.subarray(0, 8192 + off));
    await c.flush();
    if (wait) await sleep(wait);
    c.send(all.subarray(8192 + off));
    const answer = await c.answer();
    if (!answer.startsWith('1: 200')) throw new Error(`${off}: ${answer}`);
    if (await c.left(20) !== 'kept') throw new Error(`${off}: closed`);
    c.send(request('/?user=honest2', { keep: true, id: 2 }));
    const next = await c.answer();
    if (!next.startsWith('2: 200')) throw new Error(`${off}: then ${next}`);
    c.drop();
  }
print('none was answered');
JS
  assert_equal "$(bucket forged2)" ''
}

@test "a body of 10 MB does not delay the answer in any role, nor the next request" {
  assert_fcgi '1: 200 2999 left, complete closed
1: 200 2998 left, complete kept
1: 200 2997 left, complete closed
1: 200 2996 left, complete kept
1: 200 2995 left, complete
true' <<'JS'
const small = 'x'.repeat(100000), body = small.repeat(100);
const control = await took(() => repeat(40, () => ask('/?user=control', { body: small })));
const from = now();
for (const role of [ROLE.RESPONDER, ROLE.AUTHORIZER])
  for (const keep of [false, true]) {
    const bytes = request('/?user=large', { role, keep, body }), c = await connect();
    c.send(bytes);
    print(await c.answer(), await c.left(keep ? 300 : 20000));
    c.drop();
  }
print(await ask('/?user=large'));
print(now() - from < 5000 + 20 * control);   // ten times the bytes
JS
}

@test "endless bodies, sent as fast as possible, do not stall other requests" {
  assert_fcgi 'true' <<'JS'
const piece = record(T.STDIN, Buffer.alloc(65535));
let over = false, worst = 0, control = 0;
await repeat(100, async () => { control = Math.max(control, await took(() => ask('/?user=control'))); });
const floods = all(4, async (i) => {
  while (!over) {
    const c = await connect();
    c.send(request('/?user=flood', { keep: i % 2 === 0, stdin: false, params: { CONTENT_LENGTH: '999999999' } }));
    for (let n = 0; n < 100 && !over && !c.socket.destroyed; n++) {
      c.send(piece);
      await sleep(0);
    }
    c.drop();
  }
});
await repeat(100, async () => {
  const at = now();
  await ask('/?user=dry');
  worst = Math.max(worst, now() - at);
});
over = true;
await floods;
print(worst < 1000 + 20 * control ? true : `${worst} ms; without them ${control} ms`);
JS
}

@test "a body on one of many kept connections does not affect the others" {
  strace -o /dev/null true 2>/dev/null || skip 'strace may not trace here: the cost of a body to the others is NOT tested'
  strace -f -e trace=epoll_create1 -o "$BATS_TEST_TMPDIR/trace" -p "$PROGRAM_PID" 2>/dev/null 3>&- &
  HELPER_PIDS=$!
  eventually grep -q '^TracerPid:[^0]*[1-9]' "/proc/$PROGRAM_PID/status"
  assert_fcgi 'answered' <<'JS'
const kept = await connect();
kept.send(request('/?user=watched', { keep: true }));
await kept.answer();
await repeat(20, async () => {
  await ask('/?user=body', { keep: true, body: 'x'.repeat(100) });
  kept.send(request('/?user=watched', { keep: true, body: 'x' }));
  await kept.answer();
});
print('answered');
JS
  stop "$HELPER_PIDS"
  HELPER_PIDS=''
  # libev would create a new epoll instance with all descriptors.
  assert_equal "$(grep -c epoll_create1 "$BATS_TEST_TMPDIR/trace" || true)" 0
}

# ---- Peers that go away ----

@test "a peer that closes at any point does not affect others" {
  assert_fcgi '1: 200 2999 left, complete' <<'JS'
for (const kept of [false, true])
  for (const keep of [false, true]) {
    const whole = request('/?user=gone', { keep, body: 'body' });
    for (let bytes = 0; bytes <= whole.length; bytes++) {
      const c = await connect();
      if (kept) {
        c.send(request('/?user=stays', { keep: true }));
        await c.answer();
      }
      c.send(whole.subarray(0, bytes));
      c.socket.end();
      if (bytes % 3 === 0) c.drop();
    }
  }
print(await ask('/?user=remains'));
JS
}

@test "peers that close while their requests are in flight leave nothing behind" {
  kill -STOP "$REDIS_PID"
  fcgi <<'JS'
await all(50, async (i) => {
  const c = await connect();
  c.send(request('/?user=flight', { keep: i % 2 === 0, body: i % 3 === 0 ? 'body' : '' }));
  await c.flush();
  await sleep(100);
  c.drop();
});
JS
  sleep 0.2
  sleeps "$PROGRAM_PID"
  kill -CONT "$REDIS_PID"
  eventually descriptors_are "$DESCRIPTORS"
}

# ---- The end ----

@test "a stop closes idle connections and answers requests that are in flight or wait on a kept connection" {
  start_own
  fcgi >"$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR" <<'JS' &
const fs = require('fs'), [dir] = args;
const until = async (file) => { while (!fs.existsSync(`${dir}/${file}`)) await sleep(10); };
const kept = await all(3, async () => {
  const c = await connect();
  c.send(request('/?user=stop', { keep: true }));
  await c.answer();
  return c;
});
fs.writeFileSync(`${dir}/idle`, '');
await until('stopped');              // the program sleeps, by SIGSTOP, and so does Redis
kept[1].send(request('/?user=waits', { keep: true }));
const fresh = await connect();
fresh.send(request('/?user=new', { keep: true }));
await kept[1].flush();
fs.writeFileSync(`${dir}/sent`, '');
print('idle:', await kept[0].answer());
print('waits:', await kept[1].answer(), await kept[1].left(20000));
print('new:', await fresh.answer(), await fresh.left(20000));
JS
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/idle"
  kill -STOP "$PROGRAM_PID" "$REDIS_PID"
  touch "$BATS_TEST_TMPDIR/stopped"
  eventually test -e "$BATS_TEST_TMPDIR/sent"
  kill -TERM "$PROGRAM_PID"
  kill -CONT "$PROGRAM_PID"
  eventually test ! -e "$SOCKET" # it has read what was sent
  if gone "$PROGRAM_PID"; then fail 'the process' 'is gone before' 'the answers'; fi
  kill -CONT "$REDIS_PID"
  ends_at_once "$PROGRAM_PID"
  wait "$HELPER_PIDS"
  HELPER_PIDS=''
  assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" 'idle: closed
waits: 1: 200 2999 left, complete closed
new: 1: 200 2999 left, complete closed'
  STOPPED=yes
}

# answered_after_stop - whether a request is answered that comes on a kept connection when the stop has begun
answered_after_stop() {
  start_own
  rm -f "$BATS_TEST_TMPDIR/kept"
  fcgi >"$BATS_TEST_TMPDIR/out" "$SOCKET" "$BATS_TEST_TMPDIR/kept" <<'JS' &
const fs = require('fs'), [socket, file] = args, kept = await connect();
kept.send(request('/?user=kept', { keep: true }));
await kept.answer();
fs.writeFileSync(file, '');
while (fs.existsSync(socket)) await sleep(1);
kept.send(request('/?user=kept', { keep: true }));
print(await kept.answer(), await kept.left(20000));
JS
  HELPER_PIDS=$!
  eventually test -e "$BATS_TEST_TMPDIR/kept"
  kill -TERM "$PROGRAM_PID"
  ends_at_once "$PROGRAM_PID"
  wait "$HELPER_PIDS"
  HELPER_PIDS=''
  STOPPED=yes
  [[ $(<"$BATS_TEST_TMPDIR/out") == '1: 200 '*' left, complete closed' ]]
}

@test "a web server that has not noticed the stop yet gets an answer on a kept connection" {
  wait_until 30 answered_after_stop # a busy machine may be later than the half second that the connection stays
}

@test "with 100 idle connections and a silent Redis it stops before the timeout of Redis" {
  start_own
  node tests/fastcgi/client.js "$SOCKET" <<'JS' 3>&- & # not fcgi, which would be a shell in the background
await all(100, async () => {
  const c = await connect();
  c.send(request('/?user=held', { keep: true }));
  await c.answer();
});
await sleep(200000);
JS
  HELPER_PIDS=$!
  eventually descriptors_are $((DESCRIPTORS + 100))
  kill -STOP "$REDIS_PID"
  fcgi <<<"(await connect()).send(request('/?user=last', { keep: true })); await sleep(100)"
  kill -TERM "$PROGRAM_PID"
  wait_until 8 gone "$PROGRAM_PID" # 5 s for what is in flight; Redis has 10
  kill -CONT "$REDIS_PID"
  stop "$HELPER_PIDS"
  HELPER_PIDS=''
  STOPPED=yes
}

@test "20,000 requests on kept connections and 20,000 on others leave memory as it was" {
  local before
  load() {
    fcgi <<'JS'
const run = async (keep, n) => {
  let c;
  for (let i = 0; i < n; i++) {
    if (!c || !keep) c = await connect();
    c.send(request(`/?user=memory${i % 50}`, { keep }));
    const answer = await c.answer();
    if (!answer.endsWith(', complete')) throw new Error(`${keep ? 'kept' : 'other'} ${i}: ${answer}`);
    if (!keep) c.drop();
  }
};
await all(10, () => run(true, 2000));
await all(10, () => run(false, 2000));
JS
  }
  fcgi <<'JS'
await all(50, async (i) => { await repeat(20, () => ask(`/?user=memory${i}`)); });
JS
  before=$(resident_kb)
  load
  assert_growth "$before" 1500
}

# listen_on_tcp - another program for this test alone, at SOCKET, which is HOST:PORT
listen_on_tcp() {
  SOCKET=127.0.0.1:$(free_port)
  listen_at "$SOCKET"
  OWN_PIDS+=" $PROGRAM_PID"
  eventually accepts_tcp "${SOCKET#*:}"
}

@test "a listening socket that another process makes blocking, as systemd does, delays neither requests nor the end" {
  SOCKET=$BATS_TEST_TMPDIR/blocking
  REDIS_ADDR=unix:$REDIS_SOCK perl -MIO::Socket::UNIX -MFcntl -e '
    my $listening = IO::Socket::UNIX->new(Local => shift, Listen => 100) or die;
    my $pid = fork // die;
    if ($pid == 0) { open STDIN, "<&", $listening or die; exec @ARGV or die }
    $SIG{TERM} = sub { kill TERM => $pid; exit };
    while (1) { fcntl $listening, F_SETFL, 0; select undef, undef, undef, 0.0005 }
  ' "$SOCKET" "$PROGRAM" --limits "$LIMITS" 2>"$BATS_TEST_TMPDIR/log" 3>&- &
  OWN_PIDS+=" $!"
  eventually answers
  PROGRAM_PID=$(pgrep -P "${OWN_PIDS##* }")
  assert_fcgi 'all of them' <<'JS'
const control = await took(() => repeat(10, () => ask('/?user=control'))), from = now(), kept = await connect();
await repeat(100, async () => {
  kept.send(request('/?user=blocking', { keep: true }));
  for (const answer of [await ask('/?user=blocking'), await kept.answer()])
    if (!answer.startsWith('1: 200')) throw new Error(answer);
});
print(now() - from < 8000 + 20 * control ? 'all of them' : now() - from);
JS
  kill -TERM "$PROGRAM_PID"
  ends_at_once "$PROGRAM_PID"
  STOPPED=yes
}

@test "over TCP only the web servers in FCGI_WEB_SERVER_ADDRS are answered, if it is set" {
  local addresses
  for addresses in 192.0.2.1 192.0.2.1,127.0.0.1; do
    FCGI_WEB_SERVER_ADDRS=$addresses listen_on_tcp
    fcgi <<<"print(await ask('/?user=$addresses'))"
    stop "$PROGRAM_PID"
  done >"$BATS_TEST_TMPDIR/out"
  STOPPED=yes
  assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" 'closed
1: 200 2999 left, complete'
}

@test "requests over TCP are answered as over a unix socket" {
  listen_on_tcp
  eventually answers
  DESCRIPTORS=$(descriptors)
  assert_fcgi '1: 200 2999 left, complete
1: 200 2998 left, complete kept
1: 200 2997 left, complete kept
1: 200 2996 left, complete kept
1: 200 2995 left, complete closed
1: nothing, unknown role
1: nothing, unknown role' <<'JS'
print(await ask('/?user=tcp'));
let c = await connect();
for (let i = 0; i < 2; i++) {
  c.send(request('/?user=tcp', { keep: true }));
  print(await c.answer(), await c.left());
}
const body = 'x'.repeat(10000000), bytes = request('/?user=tcp', { role: ROLE.AUTHORIZER, body });
c.send(request('/?user=tcp', { keep: true, body }));
print(await c.answer(), await c.left(300));
c = await connect();
c.send(bytes);
print(await c.answer(), await c.left(20000));
for (const role of [ROLE.FILTER, 4]) print(await ask('/?user=tcp', { role, body }));
JS
}
