#!/usr/bin/env bats
# live.bats - the live page, in Chromium: it shows the state of the host, on a phone, in dark mode, by keyboard and to a
# screen reader, and believes nothing that clients send.

load helper

setup_file() {
  start_redis
  export DRIVER_PORT DRIVER_PID SESSION=''
  command -v chromium >/dev/null && command -v chromedriver >/dev/null || return 0
  DRIVER_PORT=$(free_port)
  # Chromium writes to the home folder, too.
  HOME=$BATS_FILE_TMPDIR chromedriver --port="$DRIVER_PORT" >"$BATS_FILE_TMPDIR/driver.log" 2>&1 3>&- &
  DRIVER_PID=$!
  eventually accepts_tcp "$DRIVER_PORT"
  SESSION=$(node tests/browser/webdriver.js start "$BATS_FILE_TMPDIR/chromium")
}

teardown_file() {
  [[ -z $SESSION ]] || node tests/browser/webdriver.js stop || true
  stop "$DRIVER_PID"
  stop_all
}

setup() {
  [[ -n $SESSION ]] || skip 'there is no Chromium here; conf/packages.sh browser installs it'
  redis_answers || start_redis
  redis_cli FLUSHALL >/dev/null
}

teardown() {
  local pid
  stop_limiters
  for pid in $HELPER_PIDS; do stop "$pid"; done
}

# two_limits - an enforced limit of 5 tokens and a shadow of 3 by user; two processes share memory
two_limits() {
  SHARED=$BATS_TEST_TMPDIR/ratelimit.shared
  start_limits SOCKET_DIR="$BATS_TEST_TMPDIR" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: per-user, key: "query:user", capacity: 5, refill: 1/day, on_redis_failure: allow }
  - { name: new, key: "query:user", capacity: 3, refill: 1/day, shadow: true }
YAML
  eventually decided 10
}

# sha256_12 FILE - the digits that the page shows
sha256_12() { sha256sum "$1" | cut -c 1-12; }

# in_page - run the script on standard input in the browser (tests/browser/webdriver.js).  It can use, too:
#   live()          open the page, wait until it shows something
#   headline()      what the page says of the state
#   until(text)     wait until the headline contains it
#   rows(id)        the rows of a table, their cells separated by ' | '
in_page() {
  { cat <<'JS'; cat; } | URL=$URL node tests/browser/webdriver.js
const live = async () => {
  await open(`${env.URL}/-/live`);
  await eventually(() => document.querySelector('#processes td'));
};
const headline = () => page(() => document.querySelector('#problems').innerText);
const until = (text) => eventually((part) => document.querySelector('#problems').innerText.includes(part), text);
const rows = (id) => page((table) => [...document.querySelectorAll(`#${table} tbody tr`)]
  .map((row) => [...row.cells].map((cell) => cell.innerText.replace(/\s+/g, ' ').trim()).join(' | ')), id);
JS
}

# assert_quiet - since the last call nothing was written to the console, among others of violations of the policy, and
# nothing but the page and the state was asked for
assert_quiet() {
  local seen
  seen=$(in_page <<<'print(...await said(), ...new Set(await requested()))')
  assert_equal "$(tr ' ' '\n' <<<"$seen" | sort | xargs)" "$URL/-/live $URL/-/status"
}

# forget - what the console and the network have had until now
forget() { in_page <<<'await open("about:blank"); await said(); await requested();'; }

@test "it shows what each limit decided, which clients were refused, and the processes" {
  forget
  two_limits
  burst 12 '/?user=alice' >/dev/null
  local shown
  shown=$(in_page <<'JS'
await live();
await eventually(() => [...document.querySelectorAll('#plots svg')].some((svg) => svg.ariaLabel.includes('Refused')));
print(await headline());
for (const id of ['limits', 'refused', 'shadow_refused', 'files', 'processes']) print((await rows(id)).join('\n'));
print(await page(() => [...document.querySelectorAll('#plots h3')].map((h) => h.innerText).sort().join(' ')));
JS
  )
  assert_contains "$shown" 'OK: Redis is connected in 2 processes'
  # Rates come first, then totals: of 12 requests of alice, and of those that waited for the limiter.
  assert_matches "$shown" $'\nper-user \\| [0-9.]+ [0-9]+ \\| [0-9.]+ 7 \\| 0 \\| 0 \\| 0 \\| 0\n'
  assert_matches "$shown" $'\nnew \\| [0-9.]+ [0-9]+ \\| 0 \\| 0 \\| [0-9.]+ 9 \\| 0 \\| 0\n'
  assert_matches "$shown" $'\nrl:[{]query:user=alice}:per-user per-user \\| 7 \\| [0-9:]{8} [0-9]+ s ago \\| [0-9:]{8} '
  assert_contains "$shown" $'\nrl:{query:user=alice}:new new | 9 | '
  assert_contains "$shown" $'\n'"$LIMITS_FILE | $(sha256_12 "$LIMITS_FILE") | 2 | 2"$'\n'
  local pid
  for pid in $(worker_pids); do
    assert_matches "$shown" $'\n'"$pid \\| [0-9.]+ \\| $(sha256_12 "$LIMITS_FILE") \\| [0-9: a-z]+ \\| connected unix:"
  done
  assert_contains "$shown" $'\nnew per-user'
  assert_quiet
}

@test "it says when Redis goes, which requests are decided without it, and when it is back" {
  forget
  two_limits
  in_page <<<'await live(); await until("OK: Redis is connected in 2 processes");'
  stop "$REDIS_PID"
  in_page <<<'await until("Problem: Redis is not connected in 2 of 2 processes: requests are decided without it");'
  burst 20 '/?user=alice' >/dev/null
  local shown
  shown=$(in_page <<'JS'
await eventually(() => document.querySelector('#plots svg').ariaLabel.includes('Without Redis: allowed'));
print(await page(() => document.title));
print(await page(() => document.querySelector('#tiles').innerText.replace(/\n+/g, ' ')));
print((await rows('processes')).join('\n'));
await eventually(() => document.querySelector('#redis > svg').ariaLabel.includes('lost for'));
await eventually(() => document.querySelector('#age').innerText.includes('. Without Redis for'));
JS
  )
  assert_matches "$shown" '^Problem: Redis is not connected'
  assert_contains "$shown" 'Redis connected 0 of 2'
  assert_contains "$shown" "not connected unix:$REDIS_SOCK"
  start_redis
  in_page <<<'await until("Redis is connected in 2 processes");'
  assert_quiet
}

@test "it says when processes have different limits files, and when a changed file is refused" {
  forget
  two_limits
  in_page <<<'await live(); await until("OK");'
  echo 'limits: [{ name: other, key: ip, capacity: 5, refill: 1/s }]' >"$BATS_TEST_TMPDIR/other.yaml"
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --shared "$SHARED" --limits "$BATS_TEST_TMPDIR/other.yaml" \
    --listen "unix:$BATS_TEST_TMPDIR/other.sock" 2>"$BATS_TEST_TMPDIR/other.log" 3>&- &
  HELPER_PIDS=$!
  local shown
  shown=$(in_page <<<'await until("Warning: Drift: processes have different limits files in force");
    print((await rows("files")).join("\n"));')
  assert_contains "$shown" "/other.yaml | $(sha256_12 "$BATS_TEST_TMPDIR/other.yaml") differs | 1 | 1"
  stop "$HELPER_PIDS"
  in_page <<<'await until("OK");'
  echo 'limits: [' >"$LIMITS_FILE"
  in_page <<<'await until("Warning: The changed limits file was refused in 2 processes; the log names the mistakes");
    await eventually(() => document.querySelector("#processes").innerText.includes("change refused"));'
  assert_quiet
}

@test "what clients and operators write stays text" {
  forget
  local evil='<img src=x onerror="document.title=1">'
  SHARED=$BATS_TEST_TMPDIR/ratelimit.shared
  default_limits >"$BATS_TEST_TMPDIR/$evil.yaml"
  start_limiter conf/lighttpd.conf SOCKET_DIR="$BATS_TEST_TMPDIR" LIMITS_FILE="$BATS_TEST_TMPDIR/$evil.yaml"
  eventually decided 10
  burst 12 '/?user=%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D1%22%3E' >/dev/null
  local shown
  shown=$(EVIL=$evil in_page <<'JS'
await live();
await eventually(() => document.querySelector('#refused td'));
print((await rows('files')).join(), (await rows('refused')).join());
// A key as no version of the program writes it: the page does not rely on its encoding.
await page((evil) => {
  for (const row of [...data.top.refused, ...data.limits]) row.key = row.name = row.limit = evil;
  data.limits[0].in_force = true;
  for (const sample of past.values()) sample.limits = { [evil]: [1, 1, 1, 1, 1, 1] };
  data.host = evil;
  drawn = '';
  show();
}, env.EVIL);
print(await page(() => {
  const [title, host] = ['h3', '#host'].map((selector) => document.querySelector(selector).innerText);
  return `${document.images.length} ${title} ${host}`;
}));
await sleep(500); // an image would have failed by then
print(await page(() => document.title));
JS
  )
  assert_contains "$shown" "$evil.yaml | "
  assert_contains "$shown" 'rl:{query:user=%3Cimg%20src%3Dx'
  assert_contains "$shown" $'\n'"0 $evil $evil"$'\n'
  assert_contains "$shown" $'\nOK: Redis is connected'
  assert_quiet
}

@test "it says when the server does not answer or refuses, and how old the numbers are" {
  two_limits
  local shown
  shown=$(in_page <<'JS'
await live();
await headers({ 'X-Forwarded-For': '192.0.2.1' });
await until('Problem: The server answers 403 instead of the state. ');
print(await headline(), await page(() => document.body.className));
await headers({});
await until('OK');
JS
  )
  assert_contains "$shown" 'RATELIMIT_ALLOW'
  assert_contains "$shown" 'stale'
  stop_limiters
  shown=$(in_page <<'JS'
await until('Problem: The server does not answer as it should');
print(await page(() => document.querySelector('#age').innerText));
print(await page(() => document.querySelector('#processes').innerText.length > 0));
JS
  )
  assert_matches "$shown" '^Data of [0-9:]{8}, [0-9]+ s old'
  assert_contains "$shown" true
}

# many_limits - ten of them, and a client with a long key
many_limits() {
  start_limits RATELIMIT_SHARED="$BATS_TEST_TMPDIR/shared" <<YAML
redis: { timeout: 5s }
limits:
$(printf -- '- { name: limit-%d, key: query:user | ip, capacity: 5, refill: 1/day }\n' {1..10})
YAML
  eventually decided 10
  burst 12 "/?user=$(printf 'w%.0s' {1..100})" >/dev/null
}

@test "on a phone the page does not scroll sideways" {
  many_limits
  run in_page <<'JS'
await size(360, 740);
await live();
await eventually(() => document.querySelector('#refused td') && document.querySelector('#plots svg'));
print(await page(() => `${document.documentElement.scrollWidth} of ${innerWidth}`));
await page(() => document.querySelector('#all').click());
print(await page(() => `${document.documentElement.scrollWidth} of ${innerWidth}`));
// Controls are large enough for a finger.
print(await page(() => [...document.querySelectorAll('button, select')].every((node) => node.offsetHeight >= 40)));
await size(1280, 900);
JS
  assert_equal "$output" $'360 of 360\n360 of 360\ntrue'
}

@test "every control is reached by keyboard in the order of the page, shows its focus, and works" {
  many_limits
  run in_page <<'JS'
await live();
await eventually(() => document.querySelector('#choice').length === 11);
const focused = () => page(() => document.activeElement.id || document.activeElement.textContent);
const seen = [];
for (let i = 0; i < 4; i++) {
  await keys(TAB);
  const outline = await page(() => getComputedStyle(document.activeElement).outlineStyle);
  seen.push(`${await focused()} ${outline}`);
}
print(seen.join(', '));
await page(() => document.querySelector('#all').focus());
await keys('\ue00d'); // the space bar
print(await page(() => document.querySelector('#all').ariaExpanded), (await rows('limits')).length);
await page(() => document.querySelector('#choice').focus());
await keys('limit-7');
await eventually(() => document.querySelectorAll('#plots h3').length === 1);
print(await page(() => document.querySelector('#plots h3').innerText));
await page(() => document.querySelector('#pause').focus());
await keys('\ue007'); // enter
await until('Paused. OK');
await requested();
print(await page(() => document.querySelector('#pause').ariaPressed));
await sleep(3000); // longer than between two questions
print((await requested()).length);
await keys('\ue007');
await eventually(() => !document.querySelector('#problems').innerText.includes('Paused'));
JS
  assert_equal "$output" $'pause solid, all solid, choice solid, status solid\ntrue 10\nlimit-7\ntrue\n0'
}

@test "text is legible in light and dark mode, whose colours differ" {
  two_limits
  burst 12 '/?user=alice' >/dev/null
  run in_page <<'JS'
// The contrast of each text with what is behind it (WCAG 2.2, 1.4.3).
const contrasts = () => page(() => {
  const rgba = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (text) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgba(text).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor, [, , , alpha = 1] = rgba(color);
      if (alpha) return color;
    }
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  const texts = [...document.querySelectorAll('body *')]
    .filter((node) => hasText(node) && node.checkVisibility() && !node.closest('svg, script, noscript'));
  return Math.min(...texts.map((node) => {
    const both = [light(getComputedStyle(node).color), light(behind(node))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  }));
});
const colors = [];
for (const scheme of ['light', 'dark']) {
  await media({ 'prefers-color-scheme': scheme, 'prefers-reduced-motion': scheme === 'dark' ? 'reduce' : '' });
  await live();
  await eventually(() => document.querySelector('#refused td') && document.querySelector('#plots svg'));
  colors.push(await page(() => getComputedStyle(document.body).backgroundColor));
  const least = await contrasts();
  print(scheme, least >= 4.5 ? 'legible' : least, await page(() => POLL_MS));
}
print(colors[0] !== colors[1]);
await media({});
JS
  assert_equal "$output" $'light legible 2000\ndark legible 5000\ntrue'
}

@test "a screen reader finds landmarks, headers and what plots show, and hears only changes of the state" {
  two_limits
  burst 12 '/?user=alice' >/dev/null
  run in_page <<'JS'
await live();
await eventually(() => document.querySelector('#refused td') && document.querySelector('#plots svg'));
print(await page(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  return [
    ['landmarks', ['header', 'main', 'footer', 'h1'].every((name) => all(name).length === 1)],
    ['language', document.documentElement.lang === 'en'],
    ['captions', all('table').every((table) => table.caption.innerText)],
    ['columns', all('thead th').every((th) => th.scope === 'col')],
    ['row headers', all('tbody th').every((th) => th.scope === 'row')],
    ['rows', all('tbody tr').every((row) => row.cells[0].tagName === 'TH')],
    ['plots', all('figure > svg').every((svg) => svg.role === 'img' && svg.ariaLabel)],
    ['labels', all('select').every((node) => node.labels.length)],
    ['buttons', all('button').every((node) => node.type === 'button' && (node.hidden || node.innerText))],
    ['heard', all('[aria-live], [role=status], [role=alert]').map((node) => node.id).join() === 'problems'],
  ].filter(([, holds]) => !holds).map(([name]) => name).join() || 'all hold';
}));
// While numbers change and the state does not, nothing is read aloud.
await page(() => {
  changes = 0;
  new MutationObserver((list) => { changes += list.length; })
    .observe(document.querySelector('#problems'), { childList: true, characterData: true, subtree: true, attributes: true });
});
const before = await page(() => document.querySelector('#age').innerText);
await eventually((text) => document.querySelector('#age').innerText.slice(0, 16) !== text.slice(0, 16), before);
print(await page(() => changes));
JS
  assert_equal "$output" $'all hold\n0'
}

@test "the example of the state in conf/operating.md has the names that the state has" {
  local name status
  two_limits
  burst 12 '/?user=alice' >/dev/null
  has_samples() {
    status=$(curl -s "$URL/-/status")
    [[ $status == *'"per_second":{'*'"recent":['?'{'* ]]
  }
  eventually has_samples
  sed -n 's/^    //; /^{"host"/,/^"responses":{"200":4/p' conf/operating.md >"$BATS_TEST_TMPDIR/example.json"
  node -e 'JSON.parse(require("fs").readFileSync(process.argv[1]))' "$BATS_TEST_TMPDIR/example.json"
  while read -r name; do
    assert_contains "$status" "$name"
  done < <(grep -o '"[a-z_0-9]*":' "$BATS_TEST_TMPDIR/example.json" | sort -u)
}

@test "the page is small and loads nothing" {
  assert_between "$(wc -c <fcgi/decide/live.html)" 1 25600
  run grep -nE 'innerHTML|insertAdjacentHTML|document\.write|eval\(|https?://' fcgi/decide/live.html
  assert_equal "$output" "$(grep -n 'http://www.w3.org/2000/svg' fcgi/decide/live.html)"
}
