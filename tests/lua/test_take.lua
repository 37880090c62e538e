--[[ test_take.lua - lua/take.lua against a Redis that is a few tables and a clock we set.

  lua5.1 tests/lua/test_take.lua      from the top of the tree; SEED=N repeats a random run
  Prints TAP; exit status 1 if a test failed. ]]

local SCRIPT = 'lua/take.lua'
local START = 1764000000000000   -- us: some moment in 2025, 16 digits like every one until 2286
local MS, S = 1000, 1000000      -- in us
local YEAR = 365 * 86400 * S

-- Redis ---------------------------------------------------------------------------------------

local clock = START
local store = {}     -- key -> { value = string, or a table for another type; expires = us or nil }
local writes = 0
local denied         -- a command the ACL does not allow

local function live(key)
  local entry = store[key]
  if entry and entry.expires and clock >= entry.expires then
    store[key] = nil
    return nil
  end
  return entry
end

-- Redis's own conversion of a number in redis.call's arguments.
local function argument(value)
  assert(type(value) == 'string' or type(value) == 'number', 'arguments are strings or numbers')
  return type(value) == 'number' and string.format('%.17g', value) or value
end

local commands = {}

function commands.TIME()
  local seconds = math.floor(clock / S)
  return { string.format('%d', seconds), string.format('%d', clock - seconds * S) }
end

function commands.GET(key)
  local entry = live(key)
  if entry and type(entry.value) == 'table' then
    return { err = 'WRONGTYPE Operation against a key holding the wrong kind of value' }
  end
  return entry and entry.value or false
end

function commands.SET(key, value, option, ms)
  assert(option == 'PX', 'SET takes PX')
  assert(ms:find('^[1-9]%d*$'), 'PX takes a whole number above 0, not ' .. ms)
  store[key] = { value = value, expires = clock + tonumber(ms) * MS }
  writes = writes + 1
  return { ok = 'OK' }
end

local redis = {}

function redis.pcall(name, ...)
  if name == denied then return { err = "NOPERM No permissions to run '" .. name .. "'" } end
  local arguments = { ... }
  for i = 1, #arguments do arguments[i] = argument(arguments[i]) end
  return assert(commands[name], name)(unpack(arguments))
end

function redis.call(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then error(reply.err, 0) end
  return reply
end

local script = assert(loadfile(SCRIPT))

-- Runs the script as Redis does: arguments are strings, globals can be neither made nor missed.
local function eval(keys, argv)
  local strings = {}
  for i = 1, #argv do strings[i] = argument(argv[i]) end
  setfenv(script, setmetatable({ redis = redis, KEYS = keys, ARGV = strings }, {
    __index = function(_, name)
      assert(name ~= 'os' and name ~= 'io' and name ~= 'unpack', 'not in every Redis: ' .. name)
      return _G[name] == nil and error('no global ' .. name, 2) or _G[name]
    end,
    __newindex = function(_, name) error('creates the global ' .. name, 2) end,
  }))
  return script()
end

local FIELDS = { 'allowed', 'remaining', 'wait', 'full' }

-- Takes from all BUCKETS, each { key=, interval=, capacity= } and perhaps cost=, else COST or 1.
-- Returns one { allowed=, remaining=, wait=, full= } for each.
local function take_all(buckets, cost)
  local keys, argv = {}, {}
  for i, bucket in ipairs(buckets) do
    keys[i] = bucket.key
    argv[3 * i - 2] = bucket.interval
    argv[3 * i - 1] = bucket.capacity
    argv[3 * i] = cost or bucket.cost or 1
  end
  local reply = eval(keys, argv)
  if reply.err then return reply end
  assert(#reply == 4 * #buckets, 'four numbers for each bucket')
  local results = {}
  for i = 1, #buckets do
    results[i] = {}
    for n, field in ipairs(FIELDS) do
      local value = reply[4 * i - 4 + n]
      -- Redis cuts the fraction off without a word.
      assert(value == math.floor(value), field .. ' is whole: ' .. value)
      results[i][field] = value
    end
  end
  return results
end

local function take(bucket, cost)
  return take_all({ bucket }, cost)[1]
end

-- TAP -----------------------------------------------------------------------------------------

local tests = {}
local function test(name, run) tests[#tests + 1] = { name = name, run = run } end

local function show(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  return tostring(value)
end

local function same(got, want, what)
  if got ~= want then
    error(string.format('%s\n  got:  %s\n  want: %s', what or 'values differ', show(got),
      show(want)), 0)
  end
end

local function line(result)
  return string.format('allowed %.0f, remaining %.0f, wait %.0f, full %.0f', result.allowed,
    result.remaining, result.wait, result.full)
end

local function answers(result, allowed, remaining, wait, full, what)
  same(line(result),
    line({ allowed = allowed, remaining = remaining, wait = wait, full = full }), what)
end

local function stored(key)
  local entry = live(key)
  return entry and entry.value
end

-- The default limit: 5 tokens, one more every 12 s.
local function default_bucket(key)
  return { key = key or 'rl:{query:user=a}:per-user', interval = 12 * S, capacity = 5 }
end

local function drain(bucket)
  same(take(bucket, bucket.capacity).allowed, 1, 'draining a full bucket')
end

-- The contract --------------------------------------------------------------------------------

test('a client never seen has a full bucket', function()
  answers(take(default_bucket()), 1, 4, 0, 12 * S)
end)

test('five requests pass, the sixth waits for the first token', function()
  local bucket = default_bucket()
  local rows = {
    -- allowed, remaining, wait, full
    { 1, 4, 0, 12 * S },
    { 1, 3, 0, 24 * S },
    { 1, 2, 0, 36 * S },
    { 1, 1, 0, 48 * S },
    { 1, 0, 12 * S, 60 * S },
    { 0, 0, 12 * S, 60 * S },
    { 0, 0, 12 * S, 60 * S },
  }
  for i, row in ipairs(rows) do
    answers(take(bucket), row[1], row[2], row[3], row[4], 'request ' .. i)
  end
end)

test('an empty bucket refills one token at a time', function()
  local bucket = default_bucket()
  drain(bucket)
  for tokens = 1, 5 do
    clock = clock + 12 * S - 1
    same(take(bucket, 0).remaining, tokens - 1, 'one us before token ' .. tokens)
    clock = clock + 1
    same(take(bucket, 0).remaining, tokens, 'at token ' .. tokens)
  end
  clock = clock + 3600 * S
  answers(take(bucket, 0), 1, 5, 0, 0, 'a full bucket overflows')
end)

test('a client that waits wait_us is served, one that waits 1 us less is not', function()
  local rows = {
    -- interval, capacity, cost, taken before, time passed since
    { 12 * S, 5, 1, 5, 0 },
    { 12 * S, 5, 1, 5, 7654321 },
    { 12 * S, 5, 5, 1, 1 },
    { 12 * S, 5, 3, 5, 11 * S },
    { 1, 1, 1, 1, 0 },
    { 7, 3, 2, 3, 3 },
    { 333333, 3, 2, 2, 1 },
    { 10 * YEAR, 1, 1, 1, 12345 },
    { 1, 10 * YEAR, 10 * YEAR, 1, 0 },
  }
  for i, row in ipairs(rows) do
    for early = 1, 0, -1 do
      local bucket = { key = 'row' .. i .. early, interval = row[1], capacity = row[2] }
      same(take(bucket, row[4]).allowed, 1, 'row ' .. i .. ', before')
      clock = clock + row[5]
      local refused = take(bucket, row[3])
      same(refused.allowed, 0, 'row ' .. i .. ', at once')
      clock = clock + refused.wait - early
      same(take(bucket, row[3]).allowed, 1 - early, 'row ' .. i .. ', ' .. early .. ' us early')
    end
  end
end)

test('wait_us of an allowed request is the wait for the next one', function()
  local bucket = default_bucket()
  answers(take(bucket, 3), 1, 2, 12 * S, 36 * S)
  clock = clock + 12 * S - 1
  same(take(bucket, 3).allowed, 0, '1 us early')
  clock = clock + 1
  same(take(bucket, 3).allowed, 1, 'on time')
end)

test('a cost above the capacity never fits', function()
  local bucket = default_bucket()
  answers(take(bucket, 6), 0, 5, -1, 0, 'a full bucket')
  take(bucket, 2)
  answers(take(bucket, 6), 0, 3, -1, 24 * S, 'with 3 tokens left')
  answers(take(bucket, 1e9), 0, 3, -1, 24 * S, 'a huge cost')
  answers(take(bucket, 5), 0, 3, 24 * S, 24 * S, 'all of the capacity fits one day')
end)

test('cost 0 looks and writes nothing', function()
  local bucket = default_bucket()
  answers(take(bucket, 0), 1, 5, 0, 0, 'a full bucket')
  drain(bucket)
  writes = 0
  clock = clock + 1
  answers(take(bucket, 0), 1, 0, 0, 60 * S - 1, 'an empty bucket')
  clock = clock - 3600 * S
  answers(take(bucket, 0), 1, 0, 0, 60 * S, 'a clock that stepped back')
  same(writes, 0, 'writes')
end)

test('cost 0 beside another cost leaves its own bucket alone', function()
  local peeked, paid = default_bucket('peeked'), default_bucket('paid')
  peeked.cost, paid.cost = 0, 2
  drain(peeked)
  local before = stored('peeked')
  local results = take_all({ peeked, paid })
  answers(results[1], 1, 0, 0, 60 * S)
  answers(results[2], 1, 3, 0, 24 * S)
  same(stored('peeked'), before)
end)

test('a refused request writes nothing and costs nothing', function()
  local bucket = default_bucket()
  drain(bucket)
  local before, expires = stored(bucket.key), store[bucket.key].expires
  writes = 0
  for _ = 1, 100 do
    clock = clock + 100 * MS
    same(take(bucket).allowed, 0)
  end
  take(bucket, 6)
  same(writes, 0, 'writes')
  same(stored(bucket.key), before)
  same(store[bucket.key].expires, expires)
  clock = clock + 2 * S
  same(take(bucket).allowed, 1, 'the token comes when it would have come without them')
end)

test('of 2 to 8 buckets all are charged or none, whichever is empty', function()
  for count = 2, 8 do
    for empty = 0, count do
      store = {}
      local buckets = {}
      for i = 1, count do
        buckets[i] = { key = 'bucket' .. i, interval = i * S, capacity = 10 + i, cost = i }
      end
      if empty > 0 then drain(buckets[empty]) end
      writes = 0
      local results = take_all(buckets)
      for i, bucket in ipairs(buckets) do
        local what = string.format('bucket %d of %d, number %d is empty', i, count, empty)
        local window = bucket.capacity * bucket.interval
        if empty == 0 then
          answers(results[i], 1, 10, 0, i * i * S, what)
        elseif i == empty then
          answers(results[i], 0, 0, i * i * S, window, what)
        else
          answers(results[i], 1, 10 + i, 0, 0, what)
        end
      end
      same(writes, empty == 0 and count or 0, 'writes')
    end
  end
end)

test('the bucket that refuses says how long, the others say they have room', function()
  local minute = { key = 'minute', interval = 12 * S, capacity = 5 }
  local day = { key = 'day', interval = 86400 * S, capacity = 2 }
  take_all({ minute, day })
  take_all({ minute, day })
  local results = take_all({ minute, day })
  answers(results[1], 1, 3, 0, 24 * S)
  answers(results[2], 0, 0, 86400 * S, 2 * 86400 * S)
end)

test('full_at is stored as whole microseconds, every digit of them', function()
  clock = 1764000000123456
  take(default_bucket())
  same(stored(default_bucket().key), '1764000012123456')
end)

test('a key lives until its bucket is full, to the millisecond', function()
  local rows = {
    -- interval, cost, time to live in ms
    { 12 * S, 1, 12000 },
    { 12 * S, 5, 60000 },
    { 1, 1, 1 },
    { 1000, 1, 1 },
    { 1001, 1, 2 },
    { 999, 5, 5 },
    { 2 * YEAR, 5, 10 * YEAR / MS },
  }
  for i, row in ipairs(rows) do
    local bucket = { key = 'row' .. i, interval = row[1], capacity = 5 }
    take(bucket, row[2])
    same((store[bucket.key].expires - clock) / MS, row[3], 'row ' .. i)
  end
  local bucket = default_bucket()
  take(bucket)
  clock = clock + 12 * S - 1
  same(take(bucket, 5).allowed, 0, '1 us before it is full')
  same(live(bucket.key) ~= nil, true, 'the key is there 1 us before it is full')
  clock = clock + 1
  same(live(bucket.key), nil, 'the key when it is full')
  same(take(bucket, 5).allowed, 1, 'when it is full')
end)

test('a clock that steps back does not lock a client out', function()
  for _, step in ipairs({ 1, 12 * S, 60 * S, 3600 * S, YEAR, 50 * YEAR }) do
    clock, store = START, {}
    local bucket = default_bucket()
    drain(bucket)
    clock = clock - step
    answers(take(bucket), 0, 0, 12 * S, 60 * S, 'right after the step')
    clock = clock + 12 * S - 1
    same(take(bucket).allowed, 0, '1 us before the wait is over')
    clock = clock + 1
    answers(take(bucket), 1, 0, 12 * S, 60 * S, 'when it is over')
    clock = clock + 60 * S
    same(take(bucket, 5).allowed, 1, 'a window later')
  end
end)

test('a clock that steps back gives no token away', function()
  local bucket = default_bucket()
  take(bucket, 3)
  clock = clock - 6 * S
  answers(take(bucket, 0), 1, 1, 0, 42 * S)
  clock = clock + 6 * S
  answers(take(bucket, 0), 1, 2, 0, 36 * S)
end)

test('a bucket emptied by a step back is emptied alone', function()
  local other, bucket = default_bucket('other'), default_bucket()
  drain(bucket)
  clock = clock - 3600 * S
  local results = take_all({ other, bucket })
  answers(results[1], 1, 5, 0, 0)
  answers(results[2], 0, 0, 12 * S, 60 * S)
  same(stored('other'), nil)
end)

test('a key that holds anything else is a full bucket and heals', function()
  local list = { 'a', 'list' }
  for _, garbage in ipairs({ '', 'x', '-', 'nan', '-nan', '-inf', '-1', '0', '12x', '1e', list }) do
    local bucket = default_bucket()
    store[bucket.key] = { value = garbage }
    answers(take(bucket), 1, 4, 0, 12 * S, show(garbage))
    same(stored(bucket.key), string.format('%.0f', clock + 12 * S))
    same(live(bucket.key).expires, clock + 12 * S)
  end
end)

test('a key from a far future is an empty bucket and heals', function()
  for _, garbage in ipairs({ 'inf', '1e300', '9999999999999999', '0x7fffffffffffffff' }) do
    local bucket = default_bucket()
    store[bucket.key] = { value = garbage }
    answers(take(bucket), 0, 0, 12 * S, 60 * S, garbage)
    clock = clock + 12 * S
    answers(take(bucket), 1, 0, 12 * S, 60 * S, garbage)
    same(live(bucket.key).expires, clock + 60 * S)
  end
end)

test('a bucket that must not be read is an error, not a full bucket', function()
  denied = 'GET'
  local reply = take_all({ default_bucket() })
  same(reply.err, "NOPERM No permissions to run 'GET'")
  same(writes, 0, 'writes')
end)

test('a limit changed between calls gives no fresh bucket', function()
  local rows = {
    -- new interval, new capacity, then: remaining, wait, full
    { 12 * S, 6, 1, 0, 60 * S },           -- a larger one gains what it grew by, and no more
    { 12 * S, 2, 0, 12 * S, 24 * S },      -- a smaller one is empty, not overdrawn
    { 6 * S, 5, 0, 6 * S, 30 * S },        -- a faster one too
    { 24 * S, 5, 2, 0, 60 * S },           -- a slower one keeps the moment when it is full
  }
  for i, row in ipairs(rows) do
    store = {}
    local bucket = default_bucket()
    drain(bucket)
    bucket.interval, bucket.capacity = row[1], row[2]
    local peek = take(bucket, 0)
    answers(peek, 1, row[3], 0, row[5], 'row ' .. i)
    if row[4] > 0 then
      same(take(bucket).wait, row[4], 'row ' .. i .. ', the wait')
      clock = clock + row[4]
      same(take(bucket).allowed, 1, 'row ' .. i .. ', after the wait')
    end
  end
end)

-- The property --------------------------------------------------------------------------------

-- Park and Miller's generator: exact in doubles, so that a seed means the same everywhere.
local random_state

local function random(low, high)
  random_state = random_state * 16807 % 2147483647
  return low + math.floor((random_state - 1) / 2147483646 * (high - low + 1))
end

local function one_of(...) return (select(random(1, select('#', ...)), ...)) end

--[[ The reference: tokens = min(capacity, tokens + elapsed / interval), with the tokens counted in
  us of refill (`level`, a token is interval of them), so that nothing is rounded.

  When the clock steps back by d, elapsed is -d: a bucket gives back up to d of what it refilled
  but never falls below empty, and gets it again as the clock passes the same stretch again.  Two
  things a bucket does not remember: once seen full it is forgotten, and a step back takes nothing
  from it; and a look (cost 0) stores nothing, so neither does it store that it was cut to empty.
  Such runs keep to whole milliseconds, as a key's time to live does. ]]
local Reference = {}
Reference.__index = Reference

local function reference(bucket)
  local window = bucket.interval * bucket.capacity
  return setmetatable({ bucket = bucket, window = window, level = window, at = clock }, Reference)
end

function Reference:look(cost)
  local elapsed = clock - self.at
  if self.level == self.window and elapsed < 0 then elapsed = 0 end
  self.seen = math.max(0, math.min(self.window, self.level + elapsed))
  if cost > 0 or self.seen == self.window then self.level, self.at = self.seen, clock end
  return cost * self.bucket.interval <= self.seen
end

-- By the remainder: a division could round up to a token that is not there yet.
local function whole(level, interval)
  return (level - level % interval) / interval
end

function Reference:decide(cost, fits, all_fit)
  local price = cost * self.bucket.interval
  local left = self.seen
  if all_fit and cost > 0 then
    left = left - price
    self.level, self.at = left, clock
  end
  local wait = 0
  if cost > self.bucket.capacity then wait = -1 elseif price > left then wait = price - left end
  return {
    allowed = fits and 1 or 0,
    remaining = whole(left, self.bucket.interval),
    wait = wait,
    full = self.window - left,
  }
end

local function random_buckets(count, unit)
  local buckets = {}
  for i = 1, count do
    buckets[i] = {
      key = 'bucket' .. i,
      interval = unit * one_of(1, random(2, 9), random(10, 5000), random(1, 60) * MS),
      capacity = one_of(1, 2, 5, random(1, 20), random(1, 1000)),
    }
  end
  return buckets
end

-- A step that is likely to hit an edge of one of the buckets; none and small ones are frequent.
local function random_step(buckets, results, unit)
  local n = random(1, #buckets)
  local bucket, result = buckets[n], results and results[n]
  local kind = random(1, 8)
  if kind <= 2 then return 0 end
  if kind == 3 then return unit * random(1, 3) end
  if kind == 4 then return bucket.interval * random(1, bucket.capacity) end
  if kind == 5 then return unit * random(0, 2 * bucket.interval / unit) end
  if kind == 6 and result then return result.full + unit * random(-1, 1) end
  if result and result.wait > 0 then return result.wait + unit * random(-1, 1) end
  return unit * random(0, bucket.interval / unit)
end

-- Admitted cost over any window <= capacity + forward time in it / interval: the same as a bucket
-- that starts full, refills as the clock goes forward and does not notice when it goes back.
local function never_too_much(state, bucket, forward, cost)
  local window = bucket.interval * bucket.capacity
  state.debt = math.max(0, (state.debt or 0) - forward) + cost * bucket.interval
  if state.debt > window then
    error(string.format('%s: %.0f us of refill admitted too much', bucket.key,
      state.debt - window), 0)
  end
end

local function random_run(steps, backwards)
  store, clock = {}, START
  local unit = backwards and MS or 1
  local buckets = random_buckets(random(1, 8), unit)
  local references, bounds = {}, {}
  for i, bucket in ipairs(buckets) do references[i], bounds[i] = reference(bucket), {} end

  local results
  for step = 1, steps do
    local elapsed = math.max(0, random_step(buckets, results, unit))
    if backwards and random(1, 5) == 1 then elapsed = -elapsed end
    clock = clock + elapsed

    local fits, all_fit = {}, true
    for i, bucket in ipairs(buckets) do
      bucket.cost = one_of(0, 1, 1, 1, random(0, bucket.capacity), bucket.capacity + random(0, 1))
      fits[i] = references[i]:look(bucket.cost)
      all_fit = all_fit and fits[i]
    end
    results = take_all(buckets)
    for i, bucket in ipairs(buckets) do
      same(line(results[i]), line(references[i]:decide(bucket.cost, fits[i], all_fit)),
        string.format('step %d, bucket %d of %d: interval %.0f, capacity %.0f, cost %.0f', step, i,
          #buckets, bucket.interval, bucket.capacity, bucket.cost))
      never_too_much(bounds[i], bucket, math.max(0, elapsed), all_fit and bucket.cost or 0)
    end
  end
end

test('a clock that goes forward: random requests are decided as the reference does', function()
  for _ = 1, 150 do random_run(60, false) end
end)

test('a clock that steps back at times: the same, and never too much is admitted', function()
  for _ = 1, 150 do random_run(60, true) end
end)

--[[ A greedy client takes token after token at every step until it is refused, and comes back
  before its bucket overflows.  Then from any moment on, with the clock at t, to any later one

    admitted <= capacity + forward / interval       forward: all steps forward in between
    admitted >  (clock - t) / interval - 1          whatever the clock did in between
    admitted >  capacity + (clock - t) / interval - 1                    when counted from the start

  so a step back costs the client at most what it refills while the clock passes that stretch once
  more, and never more than the lowest point of the clock would have it wait. ]]
local function greedy_run(steps, backwards)
  store, clock = {}, START
  local bucket = random_buckets(1, backwards and MS or 1)[1]
  local interval = bucket.interval
  local admitted, full, bound = 0, 0, {}
  local best                       -- the largest admitted * interval - clock at any moment so far

  for step = 1, steps do
    local elapsed = random(0, full)
    if backwards and random(1, 4) == 1 then elapsed = -one_of(elapsed, random(0, 3) * 3600 * S) end
    clock = clock + elapsed
    never_too_much(bound, bucket, math.max(0, elapsed), 0)

    -- Not one by one when there are many: all that is said to be left, then one more.
    local left = take(bucket, 0).remaining
    if left > 0 then
      same(take(bucket, left).allowed, 1, 'what remains can be taken')
      admitted = admitted + left
      never_too_much(bound, bucket, 0, left)
    end
    local refused = take(bucket, 1)
    same(refused.allowed, 0, 'nothing is left')
    full = refused.full

    local ahead = admitted * interval - (clock - START)
    local least = best and best - interval or bucket.capacity * interval - interval
    if ahead <= least then
      error(string.format('step %d: interval %.0f, capacity %.0f: %.0f us short of a token less',
        step, interval, bucket.capacity, least - ahead), 0)
    end
    best = math.max(best or ahead, ahead)
  end
end

test('a greedy client gets all of its rate, less one token at most', function()
  for _ = 1, 100 do greedy_run(60, false) end
end)

test('a greedy client gets it with a clock that steps back too', function()
  for _ = 1, 100 do greedy_run(60, true) end
end)

-- Main ----------------------------------------------------------------------------------------

local seed = tonumber(os.getenv('SEED')) or os.time()
print('# SEED=' .. show(seed))
print('1..' .. #tests)

local failed = 0
for i, case in ipairs(tests) do
  clock, store, writes, denied = START, {}, 0, nil
  random_state = seed % 2147483646 + 1     -- each test for itself: any one can be repeated alone
  local ok, message = pcall(case.run)
  print((ok and 'ok ' or 'not ok ') .. i .. ' - ' .. case.name)
  if not ok then
    failed = failed + 1
    print((tostring(message):gsub('[^\n]+', '# %0')))
  end
end
os.exit(failed == 0 and 0 or 1)
