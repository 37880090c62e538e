--[[ test_take.lua - test lua/take.lua with a simulated Redis: a few tables and a settable clock.

  lua5.1 tests/lua/test_take.lua      from the top of the tree; SEED=N repeats a random run
  Prints TAP; exit status 1 if a test failed. ]]

local SCRIPT = 'lua/take.lua'
local START = 1764000000000000   -- us: a moment in 2025; 16 digits, as until 2286
local MS, S = 1000, 1000000      -- in us
local YEAR = 365 * 86400 * S
local KEEP = 60 * S              -- how long a key lives after its bucket is full

-- Redis ---------------------------------------------------------------------------------------

local clock = START
local drift = 0      -- us by which the clock of everything except TIME is ahead; negative: behind
local store = {}     -- key -> { value = string, or a table for another type; expires = ms or nil }
local writes = 0
local denied         -- a command that the ACL does not allow
local no_memory      -- the error with which Redis refuses to write, or nil
local dirty          -- whether the running script has written

-- Keys expire at whole milliseconds.  Some versions of Redis compare them with the clock after
-- TIME, others with the clock at the beginning of the script.
local function now_ms() return math.floor((clock + drift) / MS) end

-- A key still exists in the millisecond at which it expires.
local function live(key)
  local entry = store[key]
  if entry and entry.expires and now_ms() > entry.expires then
    store[key] = nil
    return nil
  end
  return entry
end

-- How Redis converts a number in the arguments of redis.call.
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
  store[key] = { value = value, expires = now_ms() + tonumber(ms) }
  writes = writes + 1
  return { ok = 'OK' }
end

function commands.PTTL(key)
  local entry = live(key)
  return not entry and -2 or not entry.expires and -1 or entry.expires - now_ms()
end

local redis = {}

function redis.pcall(name, ...)
  if name == denied then return { err = "NOPERM No permissions to run '" .. name .. "'" } end
  -- Redis 5 to 8 check the memory before the first write of a script, but not after it.
  if name == 'SET' and no_memory and not dirty then return { err = no_memory } end
  if name == 'SET' then dirty = true end
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

-- Run the script as Redis does: arguments are strings, and creating a global or reading a missing
-- one is an error.
local function eval(keys, argv)
  local strings = {}
  dirty = false
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

-- Take from all BUCKETS, each { key=, interval=, capacity= } with an optional cost=, which defaults
-- to COST or 1.  The first ENFORCED are enforced, or all if it is nil.  Returns one { allowed=,
-- remaining=, wait=, full= } for each.
local function take_all(buckets, cost, enforced)
  local keys, argv = {}, {}
  for i, bucket in ipairs(buckets) do
    keys[i] = bucket.key
    argv[3 * i - 2] = bucket.interval
    argv[3 * i - 1] = bucket.capacity
    argv[3 * i] = cost or bucket.cost or 1
  end
  argv[#argv + 1] = enforced
  local reply = eval(keys, argv)
  if reply.err then return reply end
  assert(#reply == 4 * #buckets, 'four numbers for each bucket')
  local results = {}
  for i = 1, #buckets do
    results[i] = {}
    for n, field in ipairs(FIELDS) do
      local value = reply[4 * i - 4 + n]
      -- Redis truncates fractions silently.
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

-- Random numbers ------------------------------------------------------------------------------

-- Park and Miller's generator.  It is exact in doubles, so that a seed gives the same numbers
-- everywhere.
local random_state

local function random(low, high)
  random_state = random_state * 16807 % 2147483647
  return low + math.floor((random_state - 1) / 2147483646 * (high - low + 1))
end

local function one_of(...) return (select(random(1, select('#', ...)), ...)) end

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
    -- interval, capacity, cost, cost taken before, time since then
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

test('empty_at is stored as whole microseconds, every digit of them', function()
  clock = 1764000000123456
  take(default_bucket())
  same(stored(default_bucket().key), '1763999952123456')
end)

test('a key lives for a minute after its bucket is full, to the millisecond', function()
  local rows = {
    -- interval, cost, time to live in ms
    { 12 * S, 1, 72000 },
    { 12 * S, 5, 120000 },
    { 1, 1, 1 },                -- a window of less than 1 ms: no minute
    { 199, 5, 1 },
    { 200, 5, 60001 },
    { 1000, 1, 60001 },
    { 1001, 1, 60002 },
    { 999, 5, 60005 },
    { 2 * YEAR, 5, 10 * YEAR / MS + 60000 },
  }
  for i, row in ipairs(rows) do
    local bucket = { key = 'row' .. i, interval = row[1], capacity = 5 }
    take(bucket, row[2])
    same(store[bucket.key].expires - clock / MS, row[3], 'row ' .. i)
  end
  local bucket, left = default_bucket(), default_bucket('left')
  take_all({ bucket, left })
  clock = clock + 12 * S - 1
  same(take(bucket, 5).allowed, 0, '1 us before it is full')
  clock = clock + 1
  same(commands.PTTL(bucket.key), KEEP / MS, 'the time to live when it is full')
  same(take(bucket, 5).allowed, 1, 'when it is full')
  clock = clock + KEEP + MS - 1
  same(live(left.key) ~= nil, true, 'the key in the millisecond in which it expires')
  clock = clock + 1
  same(live(left.key), nil, 'the key in the next')
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
    same(stored(bucket.key), string.format('%.0f', clock - 48 * S))
    same(live(bucket.key).expires, (clock + 12 * S + KEEP) / MS)
  end
end)

test('a key from a far future is an empty bucket and heals', function()
  for _, garbage in ipairs({ 'inf', '1e300', '9999999999999999', '0x7fffffffffffffff' }) do
    local bucket = default_bucket()
    store[bucket.key] = { value = garbage }
    answers(take(bucket), 0, 0, 12 * S, 60 * S, garbage)
    clock = clock + 12 * S
    answers(take(bucket), 1, 0, 12 * S, 60 * S, garbage)
    same(live(bucket.key).expires, (clock + 60 * S + KEEP) / MS)
  end
end)

test('a bucket that must not be read is an error, not a full bucket', function()
  denied = 'GET'
  local reply = take_all({ default_bucket() })
  same(reply.err, "NOPERM No permissions to run 'GET'")
  same(writes, 0, 'writes')
end)

test('a key whose time to live must not be read is an error, not a bucket with room', function()
  local bucket = default_bucket()
  drain(bucket)
  writes, denied = 0, 'PTTL'
  local ok, message = pcall(take, bucket)
  same(ok, false)
  same(message, "NOPERM No permissions to run 'PTTL'")
  same(writes, 0, 'writes')
end)

test('a limit changed between calls gives no fresh bucket', function()
  local rows = {
    -- new interval, new capacity, then: remaining, wait, full
    { 12 * S, 6, 0, 12 * S, 72 * S },      -- a larger bucket does not gain the difference
    { 12 * S, 2, 0, 12 * S, 24 * S },      -- a smaller bucket is empty, not overdrawn
    { 6 * S, 5, 0, 6 * S, 30 * S },        -- so is a faster one
    { 24 * S, 5, 0, 24 * S, 120 * S },     -- a slower bucket is full later than before
  }
  for i, row in ipairs(rows) do
    store = {}
    local bucket = default_bucket()
    drain(bucket)
    bucket.interval, bucket.capacity = row[1], row[2]
    local peek = take(bucket, 0)
    answers(peek, 1, row[3], 0, row[5], 'row ' .. i)
    same(take(bucket).wait, row[4], 'row ' .. i .. ', the wait')
    clock = clock + row[4]
    same(take(bucket).allowed, 1, 'row ' .. i .. ', after the wait')
  end
end)

-- Shadows -------------------------------------------------------------------------------------

-- One bucket of the default limit for each letter of STATES: r has room, with 2 of its 5 tokens; n
-- has none.
local function prepared(states)
  local buckets = {}
  for state in states:gmatch('.') do
    local bucket = default_bucket('bucket' .. #buckets + 1)
    same(take(bucket, state == 'r' and 3 or 5).allowed, 1)
    buckets[#buckets + 1] = bucket
  end
  writes = 0
  return buckets
end

-- Take 1 token from buckets prepared so.  CHARGED has a 1 for each that must be charged, else a 0.
local function check_states(enforced, shadows, charged, argument_given)
  store = {}
  local what = string.format('enforced %s, shadows %s', enforced, shadows)
  local states = enforced .. shadows
  local buckets = prepared(states)
  local before, expires = {}, {}
  for i, bucket in ipairs(buckets) do
    before[i], expires[i] = stored(bucket.key), store[bucket.key].expires
  end
  local results = take_all(buckets, 1, argument_given ~= false and #enforced or nil)
  local count = 0
  for i, bucket in ipairs(buckets) do
    local each = what .. ', bucket ' .. i
    if states:sub(i, i) == 'n' then
      same(charged:sub(i, i), '0', 'what has no room is not charged')
      answers(results[i], 0, 0, 12 * S, 60 * S, each)
    elseif charged:sub(i, i) == '1' then
      count = count + 1
      answers(results[i], 1, 1, 0, 48 * S, each)
      same(stored(bucket.key), string.format('%.0f', clock - 12 * S), each)
      same(live(bucket.key).expires, (clock + 48 * S + KEEP) / MS, each)
    else
      answers(results[i], 1, 2, 0, 36 * S, each)
    end
    if charged:sub(i, i) == '0' then
      same(stored(bucket.key), before[i], each)
      same(live(bucket.key).expires, expires[i], each)
    end
  end
  same(writes, count, what .. ', writes')
end

test('a shadow is charged when all enforced allow and it has room', function()
  local rows = {
    -- enforced, shadows, charged; r has room, n has none
    { 'r', 'r', '11' },
    { 'r', 'n', '10' },       -- a shadow refuses nothing
    { 'n', 'r', '00' },       -- a refused request charges no shadow
    { 'n', 'n', '00' },
    { 'r', 'nr', '101' },     -- a shadow without room does not prevent others from being charged
    { 'r', 'rn', '110' },
    { 'n', 'nr', '000' },
    { 'rr', 'n', '110' },
    { 'rn', 'r', '000' },     -- any enforced bucket may refuse
    { 'nr', 'r', '000' },
    { 'rr', 'nrn', '11010' },
    { '', 'r', '1' },         -- if none is enforced, none refuses
    { '', 'n', '0' },
    { '', 'nrr', '011' },
  }
  for _, row in ipairs(rows) do check_states(row[1], row[2], row[3]) end
end)

-- All words of LENGTH letters r and n.
local function words(length)
  if length == 0 then return { '' } end
  local longer = {}
  for _, word in ipairs(words(length - 1)) do
    longer[#longer + 1] = word .. 'r'
    longer[#longer + 1] = word .. 'n'
  end
  return longer
end

test('up to 4 enforced buckets with up to 4 shadows: every combination', function()
  for enforced_count = 0, 4 do
    for shadow_count = enforced_count == 0 and 1 or 0, 4 do
      for _, enforced in ipairs(words(enforced_count)) do
        for _, shadows in ipairs(words(shadow_count)) do
          local charged = (enforced .. shadows):gsub('.', { r = '1', n = '0' })
          if enforced:find('n') then charged = charged:gsub('1', '0') end
          check_states(enforced, shadows, charged)
        end
      end
    end
  end
end)

test('without the last argument all buckets are enforced', function()
  for count = 1, 5 do
    for _, enforced in ipairs(words(count)) do
      local charged = string.rep(enforced:find('n') and '0' or '1', count)
      check_states(enforced, '', charged, false)
    end
  end
end)

test('a shadow tells what it would tell if it were enforced', function()
  local bucket, shadow = default_bucket(), default_bucket('shadow')
  drain(shadow)
  answers(take_all({ bucket, shadow }, 2, 1)[2], 0, 0, 24 * S, 60 * S, 'an empty one')
  clock = clock + 12 * S
  answers(take_all({ bucket, shadow }, 6, 1)[2], 0, 1, -1, 48 * S, 'a cost above the capacity')
  bucket.cost, shadow.cost = 1, 0
  answers(take_all({ bucket, shadow }, nil, 1)[2], 1, 1, 0, 48 * S, 'a look')
  shadow.cost = 6
  answers(take_all({ bucket, shadow }, nil, 1)[1], 1, 2, 0, 36 * S, 'the enforced beside it')
end)

test('a shadow emptied by a clock that steps back heals, allowed or not', function()
  for _, enforced_state in ipairs({ 'r', 'n' }) do
    clock, store = START, {}
    local bucket, shadow = default_bucket(), default_bucket('shadow')
    drain(shadow)
    clock = clock - 3600 * S
    if enforced_state == 'n' then drain(bucket) end
    local results = take_all({ bucket, shadow }, 1, 1)
    same(results[1].allowed, enforced_state == 'r' and 1 or 0)
    answers(results[2], 0, 0, 12 * S, 60 * S)
    same(stored('shadow'), string.format('%.0f', clock))
    same(live('shadow').expires, (clock + 60 * S + KEEP) / MS)
  end
end)

-- Changed limits ------------------------------------------------------------------------------

test('a used-up bucket stays used up, whatever capacity and interval become', function()
  for _, interval in ipairs({ 1, 7, MS, S, 6 * S, 12 * S, 12 * S + 1, 24 * S, 86400 * S, YEAR }) do
    for _, capacity in ipairs({ 1, 2, 4, 5, 6, 10, 1000, 1e6, 1e9 }) do
      if interval * capacity <= 10 * YEAR then
        clock, store = START, {}
        local what = string.format('interval %.0f, capacity %.0f', interval, capacity)
        local bucket = default_bucket()
        drain(bucket)
        bucket.interval, bucket.capacity = interval, capacity
        answers(take(bucket, 0), 1, 0, 0, interval * capacity, what .. ', a look')
        answers(take(bucket), 0, 0, interval, interval * capacity, what)
        clock = clock + interval - 1
        answers(take(bucket), 0, 0, 1, interval * (capacity - 1) + 1, what .. ', 1 us early')
        clock = clock + 1
        answers(take(bucket), 1, 0, interval, interval * capacity, what .. ', after the wait')
      end
    end
  end
end)

-- The window of the limit that wrote the key is known from its time to live, and taken for 2 ms
-- more.
test('a partial bucket under a changed limit has what it gained, or the same part', function()
  local rows = {
    -- time since it was empty, new interval, new capacity; then remaining, full
    { 36 * S, 12 * S, 10, 3, 84 * S },           -- a larger bucket has the same tokens
    { 36 * S, 12 * S, 3, 1, 14400720 },          -- a smaller one is as full as it was
    { 37 * S, 6 * S, 5, 3, 11500617 },           -- so is a faster one
    { 36 * S, 6 * S, 5, 2, 12000600 },
    { 36 * S, 6 * S, 10, 6, 24 * S },            -- with the same window it is as full, too
    { 36 * S, 24 * S, 5, 1, 84 * S },            -- a new, slower rate applies to the whole time
    { 36 * S, 36 * S, 5, 1, 144 * S },
    { 36 * S, 36 * S + 1, 5, 0, 144 * S + 5 },
    { 36 * S - 1, 36 * S, 5, 0, 144 * S + 1 },
    { 36 * S - 1, 12 * S, 10, 2, 84 * S + 1 },
    { 60 * S - 1, 10 * S, 1000, 5, 9940 * S + 1 },
    { 36 * S, 1, 1, 0, 1 },
    { 60 * S, 12 * S, 3, 2, 1200 },
    { 61 * S, 12 * S, 3, 3, 0 },                 -- a full bucket is full
    { 61 * S, 12 * S, 10, 5, 59 * S },           -- or has what it gained
    { 119 * S, 12 * S, 10, 9, 1 * S },
  }
  for i, row in ipairs(rows) do
    clock, store = START, {}
    local bucket = default_bucket()
    drain(bucket)
    clock = clock + row[1]
    bucket.interval, bucket.capacity = row[2], row[3]
    answers(take(bucket, 0), 1, row[4], 0, row[5], 'row ' .. i)
    if row[4] > 0 then
      same(take(bucket, row[4]).allowed, 1, 'row ' .. i .. ', all that remains')
    end
    same(take(bucket).allowed, 0, 'row ' .. i .. ', one more')
  end
end)

test('a bucket under a random longer window has min(capacity, credit / interval)', function()
  for run = 1, 2000 do
    clock, store = START + random(0, S), {}
    local bucket = default_bucket()
    drain(bucket)
    local credit = one_of(random(0, 60 * S - 1), 12 * S * random(0, 4), 12 * S * random(1, 5) - 1)
    clock = clock + credit
    bucket.interval = one_of(random(1, 1000), random(1, 60 * S), 12 * S, 6 * S, 24 * S)
    bucket.capacity = math.ceil(60 * S / bucket.interval) + one_of(0, 1, random(1, 1e6))
    -- Count up, because a division could round.
    local tokens = (credit - credit % bucket.interval) / bucket.interval
    same(take(bucket, 0).remaining, math.min(bucket.capacity, tokens), string.format(
      'run %d: credit %.0f, interval %.0f, capacity %.0f', run, credit, bucket.interval,
      bucket.capacity))
  end
end)

test('a partial bucket under a random shorter window is as full as it was', function()
  for run = 1, 2000 do
    clock, store = START + random(0, S), {}
    local bucket = default_bucket()
    drain(bucket)
    local credit = random(0, 60 * S)
    clock = clock + credit
    bucket.capacity = one_of(1, random(1, 10), random(1, 1e6))
    bucket.interval = random(1, 59 * S / bucket.capacity)
    local window = bucket.interval * bucket.capacity
    local want, got = credit / (60 * S) * window, window - take(bucket, 0).full
    if got > want or got < want * (1 - 6 * MS / (60 * S)) - 1 then
      error(string.format('run %d: credit %.0f, interval %.0f, capacity %.0f: %.0f of %.0f', run,
        credit, bucket.interval, bucket.capacity, got, window), 0)
    end
  end
end)

test('a bucket never seen is full under a changed limit too', function()
  local bucket = default_bucket()
  take(bucket)
  clock = clock + 3600 * S
  bucket.interval, bucket.capacity = 24 * S, 100
  answers(take(bucket, 0), 1, 100, 0, 0)
end)

test('a longer window that is changed back is as though it had not been', function()
  local bucket = default_bucket()
  drain(bucket)
  local before = stored(bucket.key)
  for _, changed in ipairs({ { 1 * S, 60 }, { 12 * S, 6 }, { 12 * S, 9 } }) do
    clock = clock + 1 * S
    bucket.interval, bucket.capacity = changed[1], changed[2]
    take(bucket, bucket.capacity + 1)
    same(stored(bucket.key), before)
  end
  bucket.interval, bucket.capacity = 12 * S, 5
  answers(take(bucket), 0, 0, 9 * S, 57 * S)
end)

-- A client that is told to wait is served when it has waited, although a refill before the change
-- counts in proportion.
test('the refill under a shorter window counts in full from the first refusal on', function()
  for _, credit in ipairs({ 0, 1, 5 * S, 600 * S }) do
    clock, store = START, {}
    local bucket = { key = 'bucket', interval = 720 * S, capacity = 5 }
    drain(bucket)
    clock = clock + credit
    bucket.interval = S / 5
    local refused = take(bucket)
    same(refused.allowed, 0)
    writes = 0
    clock = clock + refused.wait - 1
    same(take(bucket).allowed, 0, '1 us early')
    same(writes, 0, 'writes')
    clock = clock + 1
    same(take(bucket).allowed, 1, 'after the wait')
  end
end)

test('a used-up client that keeps asking gets no full bucket when its old window ends', function()
  for _, first_ask in ipairs({ 0, 1, MS - 1, 30 * S, 60 * S, 90 * S, 119 * S }) do
    clock, store = START, {}
    local bucket = default_bucket()
    drain(bucket)
    local before = stored(bucket.key)
    bucket.interval = 120 * S
    clock = clock + first_ask
    writes = 0
    while clock < START + 120 * S do
      local what = string.format('first asked after %.0f, at %.0f', first_ask, clock - START)
      answers(take(bucket), 0, 0, START + 120 * S - clock, START + 600 * S - clock, what)
      same(writes, 1, what .. ', writes')
      same(stored(bucket.key), before, what)
      same(live(bucket.key).expires, (START + 600 * S + KEEP) / MS, what)
      clock = math.min(clock + 7 * S, START + 120 * S)
    end
    answers(take(bucket), 1, 0, 120 * S, 600 * S)
  end
end)

test('a time to live that is too short is put right by a refusal and by nothing else', function()
  local longer = { key = 'longer', interval = 120 * S, capacity = 5 }
  local other = default_bucket('other')
  local rows = {
    -- cost, cost of the other bucket, whether it is a shadow, whether it is repaired
    { 0, 1, false, false },   -- reading writes nothing
    { 1, 1, false, true },
    { 5, 1, false, true },
    { 6, 1, false, true },    -- a cost that never fits is refused as well
    { 1, 6, false, true },    -- other refusals do not matter
    { 1, 0, false, true },
    { 0, 1, true, false },
    { 1, 1, true, true },     -- the same for a shadow
    { 6, 1, true, true },
    { 1, 6, true, true },
  }
  for i, row in ipairs(rows) do
    store = {}
    store.longer = { value = string.format('%.0f', clock), expires = clock / MS + 120000 }
    longer.cost, other.cost, writes = row[1], row[2], 0
    take_all({ other, longer }, nil, row[3] and 1 or 2)
    same(stored('longer'), string.format('%.0f', clock), 'row ' .. i)
    same(live('longer').expires, clock / MS + (row[4] and 660000 or 120000), 'row ' .. i)
    local other_charged = row[2] == 1 and (row[1] == 0 or row[3])
    same(writes, (row[4] and 1 or 0) + (other_charged and 1 or 0), 'row ' .. i .. ', writes')
  end
end)

test('a key without a time to live gets one from a refusal', function()
  local bucket = default_bucket()
  store[bucket.key] = { value = string.format('%.0f', clock - 6 * S) }
  answers(take(bucket), 0, 0, 6 * S, 54 * S)
  same(stored(bucket.key), string.format('%.0f', clock - 6 * S))
  same(live(bucket.key).expires, (clock + 54 * S + KEEP) / MS)
end)

test('a time to live that is too short is put right when another bucket refuses', function()
  local bucket, empty = default_bucket(), default_bucket('empty')
  take(bucket)
  drain(empty)
  bucket.interval, writes = 48 * S, 0
  answers(take_all({ bucket, empty })[1], 1, 1, 0, 192 * S)
  same(writes, 1, 'writes')
  same(live(bucket.key).expires, (clock + 192 * S + KEEP) / MS)
  take_all({ bucket, empty })
  same(writes, 1, 'writes')
end)

test('a key of an earlier version, which expires when its bucket is full, is as good', function()
  for _, interval in ipairs({ 12 * S, 12 * S + 1, 24 * S, 3600 * S }) do
    local bucket = default_bucket()
    store[bucket.key] = {
      value = string.format('%.0f', clock - 24 * S),
      expires = clock / MS + 36000,
    }
    bucket.interval = interval
    local remaining = math.floor(24 * S / interval)
    same(take(bucket, 0).remaining, remaining)
    same(take(bucket, 5).allowed, 0)
    same(take(bucket, 0).remaining, remaining)
  end
end)

-- The time to live is rounded to milliseconds when it is written and when it is read, and the
-- clocks for the two may differ by 1 ms.  A refusal must not mistake that for a changed limit.
test('an ordinary refusal writes nothing, whatever the microsecond', function()
  for run = 1, 4000 do
    clock, store, drift = START + random(0, 3 * S), {}, random(-500, 500)
    local bucket = {
      key = 'bucket',
      interval = one_of(1, random(1, 20), random(1, 5000), random(1, 5 * S), MS * random(1, 60)),
      capacity = one_of(1, random(1, 20), random(1, 2000)),
    }
    -- A key with a window of less than 1 ms expires at once.
    if bucket.interval * bucket.capacity < MS then bucket.capacity = MS end
    take(bucket, random(1, bucket.capacity))
    local limits = string.format('run %d: interval %.0f, capacity %.0f', run, bucket.interval,
      bucket.capacity)
    writes = 0
    for _ = 1, 5 do
      drift = random(-500, 500)
      local peek = take(bucket, 0)
      local refused = take(bucket, peek.remaining + random(1, 3))
      same(refused.allowed, 0, limits)
      same(writes, 0, string.format('%s, at %.0f, writes', limits, clock))
      -- Advance to a moment before it is full; edges of milliseconds are frequent.
      local step = random(0, refused.full)
      if random(1, 2) == 1 then
        step = math.min(refused.full, math.max(0, step - (clock + step) % MS - random(0, 1)))
      end
      clock = clock + step
    end
  end
end)

test('a key lives for a minute after its bucket is full, whatever the microsecond', function()
  for run = 1, 4000 do
    clock, store = START + random(0, 3 * S), {}
    local bucket = default_bucket()
    bucket.interval = one_of(200, random(200, 220), random(200, 5000), random(200, S))
    local full = take(bucket, random(1, 5)).full
    clock = clock + full + KEEP
    same(live(bucket.key) ~= nil, true, 'run ' .. run .. ', a minute later')
    clock = clock + 2 * MS
    same(live(bucket.key), nil, 'run ' .. run .. ', 2 ms later')
  end
end)

-- However often the client asks and takes, it gets no more tokens than were refilled since the
-- bucket was empty, provided that it asks once while the key is kept.
test('a used-up client under random longer windows gains nothing by the change', function()
  for run = 1, 300 do
    clock, store = START + random(0, S), {}
    local bucket = {
      key = 'bucket',
      interval = MS + one_of(0, random(1, 5000), random(1, 60) * MS),
      capacity = random(1, 20),
    }
    drain(bucket)
    local emptied, admitted = clock, 0
    local old_window = bucket.interval * bucket.capacity
    bucket.interval = one_of(bucket.interval, random(1, 3 * bucket.interval))
    bucket.capacity = math.ceil(old_window / bucket.interval) * random(1, 3)
    clock = clock + one_of(random(0, old_window), random(0, old_window + KEEP))
    for _ = 1, 20 do
      local left = take(bucket, 0).remaining
      if left > 0 then take(bucket, left) end
      admitted = admitted + left
      local refused = take(bucket)
      same(refused.allowed, 0)
      if admitted * bucket.interval > clock - emptied then
        error(string.format('run %d: %.0f admitted after %.0f us: interval %.0f, capacity %.0f',
          run, admitted, clock - emptied, bucket.interval, bucket.capacity), 0)
      end
      clock = clock + random(0, refused.full)
    end
  end
end)

-- 5/s, which becomes 5/h: the client asks for the first time after AWAY, and then every minute.
local function admitted_after_change(away)
  store = {}
  local bucket, admitted = { key = 'bucket', interval = S / 5, capacity = 5 }, 0
  drain(bucket)
  local emptied = clock
  bucket.interval = 720 * S
  clock = clock + away
  while clock < emptied + 720 * S do
    admitted = admitted + take(bucket).allowed
    clock = clock + 60 * S
  end
  return admitted
end

test('a client that used up 5/s gets nothing of 5/h, if it asks within a minute', function()
  for _, away in ipairs({ 0, 200 * MS, S - 1, S, 1500 * MS, 30 * S, 60 * S, 61 * S }) do
    same(admitted_after_change(away), 0, 'first asked after ' .. show(away))
  end
end)

test('a client that is not seen for a minute gets one bucket of the new limit at most', function()
  for _, away in ipairs({ 61 * S + MS, 300 * S, 700 * S }) do
    local admitted = admitted_after_change(away)
    same(admitted > 0 and admitted <= 5, true, 'first asked after ' .. show(away))
  end
end)

-- Random limits that are changed every 50 ms, and now and then after a pause in which nothing is
-- asked.  In any time T the client is admitted at most the largest capacity + T / the shortest
-- interval: check it with a bucket of these two.
local function changing_run(limits)
  store = {}
  local largest, shortest, used = 0, math.huge, 0
  for _, limit in ipairs(limits) do
    largest, shortest = math.max(largest, limit.capacity), math.min(shortest, limit.interval)
  end
  for _ = 1, 200 do
    local bucket = limits[random(1, #limits)]
    local left = take(bucket, 0).remaining
    local cost = one_of(0, math.min(1, left), left, random(0, left))
    if cost > 0 then same(take(bucket, cost).allowed, 1) end
    take(bucket, left - cost + 1)
    used = used + cost
    if used > largest + 1e-9 then
      local text = {}
      for i, limit in ipairs(limits) do
        text[i] = string.format('%.0f * %.0f', limit.capacity, limit.interval)
      end
      error(string.format('%.3f more than %.0f: limits %s', used - largest, largest,
        table.concat(text, ', ')), 0)
    end
    local elapsed = one_of(50 * MS, 50 * MS, 50 * MS, random(0, 10 * S))
    clock = clock + elapsed
    used = math.max(0, used - elapsed / shortest)
  end
end

test('limits that are changed again and again admit no more than the largest of them', function()
  local hour = 3600 * S
  for _ = 1, 50 do
    local limits = {}
    for i = 1, random(2, 4) do
      local capacity = one_of(random(1, 20), random(1, 200))
      -- Windows are whole tens of milliseconds: a difference of 5 ms is not seen.
      local window = one_of(S, 10 * MS * random(1, 1000), 60 * S, hour)
      local interval = 10 * MS * math.ceil(window / capacity / (10 * MS))
      limits[i] = { key = 'bucket', capacity = capacity, interval = interval }
    end
    changing_run(limits)
  end
  for _ = 1, 20 do
    local limits = {}
    for i, limit in ipairs({ { S, 5 }, { S, 10 }, { S, 20 }, { hour, 5 } }) do
      limits[i] = { key = 'bucket', capacity = limit[2], interval = limit[1] / limit[2] }
    end
    changing_run(limits)
  end
end)

-- The property --------------------------------------------------------------------------------

--[[ The reference: tokens = min(capacity, tokens + elapsed / interval).  To avoid rounding, tokens
  are counted in us of refill: a token is `interval` of them.  `level` is what the bucket held at
  the moment `at`, when it was last written.

  When the clock steps back by d, elapsed is -d: a bucket loses up to d of what was refilled, but
  never falls below empty, and gets it back as the clock passes the same time again.  The refill
  since `at` is that of the current limit.  If the limit changes, the level is kept, which is a time
  and not a number of tokens; it is scaled to a window that has become shorter.

  A bucket is kept until the end of the millisecond `dies`, a minute after the first that is not
  before it is full.  After that it is full, and a step back takes nothing from it.  Reading
  (cost 0) writes nothing.  A bucket that is not charged is written in three cases: if it was cut to
  empty, if it would expire before it is full, or if it was scaled. ]]
local Reference = {}
Reference.__index = Reference

local function reference(bucket)
  return setmetatable({ bucket = bucket, writes = 0 }, Reference)
end

-- Uses the remainder, because a division could round up to a token that is not there yet.
local function whole(level, interval)
  return (level - level % interval) / interval
end

local function whole_up(us)
  return us % MS == 0 and us / MS or whole(us, MS) + 1
end

function Reference:forget()
  if self.level and whole(clock, MS) > self.dies then self.level = nil end
end

function Reference:look()
  self:forget()
  local bucket = self.bucket
  self.price, self.window = bucket.cost * bucket.interval, bucket.interval * bucket.capacity
  self.seen, self.cut, self.stale = self.window, false, false
  if self.level then
    local level = self.level + (clock - self.at)
    local left = (self.dies - whole(clock, MS)) * MS
    local written = level + left - KEEP + 2 * MS
    self.cut = level < 0
    if written > self.window + 5 * MS then
      level = math.floor(math.min(1, level / written) * self.window)
      self.stale = level < self.window
    end
    self.seen = math.max(0, math.min(self.window, level))
    self.stale = self.stale or left < self.window - math.min(self.window, level)
  end
  self.fits = self.price <= self.seen
  return self.fits
end

function Reference:write(level)
  self.level, self.at = level, clock
  local keep = self.window < MS and 0 or KEEP
  self.dies = whole(clock, MS) + whole_up(self.window - level) + keep / MS
  self.writes = self.writes + 1
end

-- ALL_FIT says whether all enforced buckets have room.  Returns the expected reply, and the cost
-- that is charged.
function Reference:decide(all_fit)
  local bucket, left, charged = self.bucket, self.seen, 0
  if bucket.cost > 0 then
    if all_fit and self.fits then
      left, charged = left - self.price, bucket.cost
      self:write(left)
    elseif self.cut or self.stale then
      self:write(left)
    end
  end
  local wait = 0
  if bucket.cost > bucket.capacity then
    wait = -1
  elseif self.price > left then
    wait = self.price - left
  end
  return {
    allowed = self.fits and 1 or 0,
    remaining = whole(left, bucket.interval),
    wait = wait,
    full = self.window - left,
  }, charged
end

-- The contents of Redis, on one line.
function Reference:stored()
  self:forget()
  if not self.level then return 'nothing' end
  return string.format('%.0f until %.0f', self.at - self.level, self.dies)
end

local function stored_line(key)
  local entry = live(key)
  return entry and string.format('%s until %.0f', entry.value, entry.expires) or 'nothing'
end

local function random_limit(bucket, unit)
  bucket.interval = unit * one_of(1, random(2, 9), random(10, 5000), random(1, 60) * MS)
  bucket.capacity = one_of(1, 2, 5, random(1, 20), random(1, 1000))
end

local function random_buckets(count, unit)
  local buckets = {}
  for i = 1, count do
    buckets[i] = { key = 'bucket' .. i }
    random_limit(buckets[i], unit)
  end
  return buckets
end

-- Change the limit of BUCKET, often keeping the window or the interval.
local function change_limit(bucket, unit)
  local kind, interval, capacity = random(1, 4), bucket.interval, bucket.capacity
  random_limit(bucket, unit)
  if kind == 1 then bucket.interval = interval end
  if kind == 2 then bucket.capacity = capacity end
  if kind == 3 then bucket.interval, bucket.capacity = interval * capacity, 1 end
end

-- Some or all of the buckets, in any order.
local function random_choice(buckets)
  local rest, chosen = {}, {}
  for i, bucket in ipairs(buckets) do rest[i] = bucket end
  for i = 1, one_of(#rest, random(1, #rest)) do
    chosen[i] = table.remove(rest, random(1, #rest))
  end
  return chosen
end

-- A step of the clock that is likely to hit an edge of one of the buckets.  No step and small steps
-- are frequent.
local function random_step(buckets, unit)
  local bucket = buckets[random(1, #buckets)]
  local result, entry = bucket.result, store[bucket.key]
  local kind = random(1, 9)
  if kind <= 2 then return 0 end
  if kind == 3 then return unit * random(1, 3) end
  if kind == 4 then return bucket.interval * random(1, bucket.capacity) end
  if kind == 5 then return unit * random(0, 2 * bucket.interval / unit) end
  if kind == 6 and result then return result.full + unit * random(-1, 1) end
  -- The milliseconds around the expiry of its key.
  if kind == 7 and entry then return entry.expires * MS - clock + MS * random(-3, 1) end
  if result and result.wait > 0 then return result.wait + unit * random(-1, 1) end
  return unit * random(0, bucket.interval / unit)
end

-- The property: admitted cost over any window <= capacity + forward time in it / interval.  To
-- check it, keep a bucket that starts full, refills as the clock goes forward, and ignores steps
-- back.
local function never_too_much(state, bucket, forward, cost)
  local window = bucket.interval * bucket.capacity
  state.debt = math.max(0, (state.debt or 0) - forward) + cost * bucket.interval
  if state.debt > window then
    error(string.format('%s: %.0f us of refill admitted too much', bucket.key,
      state.debt - window), 0)
  end
end

-- Some runs use whole milliseconds only, like the time to live of a key, to hit more of its edges.
local function random_run(steps, backwards, changes)
  store, clock, writes = {}, START, 0
  local unit = one_of(1, MS)
  local buckets = random_buckets(random(1, 8), unit)
  for _, bucket in ipairs(buckets) do
    bucket.reference, bucket.bound, bucket.result = reference(bucket), {}, nil
  end

  for step = 1, steps do
    local elapsed = math.max(0, random_step(buckets, unit))
    if backwards and random(1, 5) == 1 then elapsed = -elapsed end
    clock = clock + elapsed
    if changes and random(1, 4) == 1 then
      change_limit(buckets[random(1, #buckets)], unit)
    end

    local chosen = random_choice(buckets)
    -- Sometimes absent, which means all of them.
    local enforced = one_of(nil, #chosen, random(0, #chosen))
    local all_fit = true
    for i, bucket in ipairs(chosen) do
      bucket.cost = one_of(0, 1, 1, 1, random(0, bucket.capacity),
        bucket.capacity + one_of(0, 1, random(1, 1000)))
      local fits = bucket.reference:look()
      if i <= (enforced or #chosen) then all_fit = all_fit and fits end
    end

    local results = take_all(chosen, nil, enforced)
    for i, bucket in ipairs(chosen) do
      local want, charged = bucket.reference:decide(all_fit)
      bucket.result, bucket.charged = results[i], charged
      same(line(results[i]), line(want), string.format(
        'step %d, %s, number %d of %d, %s enforced: interval %.0f, capacity %.0f, cost %.0f', step,
        bucket.key, i, #chosen, enforced or 'all', bucket.interval, bucket.capacity, bucket.cost))
    end

    local want_writes = 0
    for _, bucket in ipairs(buckets) do
      local what = string.format('step %d, %s: ', step, bucket.key)
      same(stored_line(bucket.key), bucket.reference:stored(), what .. 'what is stored')
      want_writes = want_writes + bucket.reference.writes
      if not changes then
        never_too_much(bucket.bound, bucket, math.max(0, elapsed), bucket.charged or 0)
      end
      bucket.charged = 0
    end
    same(writes, want_writes, string.format('step %d, writes', step))
  end
end

test('a clock that goes forward: random requests are decided as the reference does', function()
  for _ = 1, 150 do random_run(60, false) end
end)

test('a clock that steps back at times: the same, and never too much is admitted', function()
  for _ = 1, 150 do random_run(60, true) end
end)

test('limits that change, a clock that goes forward: the same', function()
  for _ = 1, 150 do random_run(60, false, true) end
end)

test('limits that change, a clock that steps back at times: the same', function()
  for _ = 1, 150 do random_run(60, true, true) end
end)

--[[ A greedy client takes tokens one by one at every step until it is refused, and comes back
  before its bucket overflows.  Then, from any moment with the clock at t to any later moment,

    admitted <= capacity + forward / interval       forward: all steps forward in between
    admitted >  (clock - t) / interval - 1          for any steps of the clock in between
    admitted >  capacity + (clock - t) / interval - 1                    when counted from the start

  so that a step back costs the client at most the refill of the time that the clock passes twice,
  and never makes it wait longer than from the lowest point of the clock. ]]
local function greedy_run(steps, backwards)
  store, clock = {}, START
  local bucket = random_buckets(1, one_of(1, MS))[1]
  local interval = bucket.interval
  local admitted, full, bound = 0, 0, {}
  local best                       -- the largest admitted * interval - clock at any moment so far

  for step = 1, steps do
    local elapsed = random(0, full)
    if backwards and random(1, 4) == 1 then elapsed = -one_of(elapsed, random(0, 3) * 3600 * S) end
    clock = clock + elapsed
    never_too_much(bound, bucket, math.max(0, elapsed), 0)

    -- If there are many, take all that remain at once instead of one by one, then one more.
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

-- No memory -----------------------------------------------------------------------------------

local OOM = "OOM command not allowed when used memory > 'maxmemory'."
-- Redis up to 6 prepends the name of the script to an error that it finds before the command runs.
local OOM_6 = '@user_script: 72: -' .. OOM

test('without memory a charge is an error that says so, and nothing is charged', function()
  for _, err in ipairs({ OOM, OOM_6 }) do
    store, no_memory = {}, nil
    take(default_bucket('old'), 2)
    local value = stored('old')
    no_memory = err
    local reply = take_all({ default_bucket('old'), default_bucket('new') })
    same(reply.err, err, 'the error of SET')
    same(stored('old'), value, 'the first bucket is as it was')
    same(stored('new'), nil, 'the second bucket is not made')
  end
end)

test('without memory a bucket that is empty refuses', function()
  drain(default_bucket())
  no_memory = OOM
  answers(take(default_bucket()), 0, 0, 12 * S, 60 * S)
end)

test('without memory an empty bucket refuses for those that could be charged', function()
  drain(default_bucket('empty'))
  no_memory = OOM
  local replies = take_all({ default_bucket('new'), default_bucket('empty') })
  answers(replies[1], 1, 5, 0, 0)
  answers(replies[2], 0, 0, 12 * S, 60 * S)
end)

test('without memory a refusal that would renew its key refuses all the same', function()
  drain(default_bucket())
  no_memory = OOM
  -- A limit whose window has become longer, then one whose clock has stepped back.
  local longer = { key = default_bucket().key, interval = 3600 * S, capacity = 5 }
  same(take(longer).allowed, 0, 'longer')
  clock = clock - 3600 * S
  same(take(default_bucket()).allowed, 0, 'overdrawn')
end)

test('without memory a look at a bucket is answered', function()
  no_memory = OOM
  answers(take(default_bucket(), 0), 1, 5, 0, 0)
end)

test('without memory a shadow that cannot be charged is an error', function()
  no_memory = OOM
  local looked = default_bucket('looked')
  looked.cost = 0
  same(take_all({ looked, default_bucket('shadow') }, nil, 1).err, OOM)
end)

-- Debt ----------------------------------------------------------------------------------------

-- Take COST from BUCKET whatever it has.
local function force(bucket, cost)
  local reply = eval({ bucket.key }, { bucket.interval, bucket.capacity, cost, 1, 'force' })
  return { allowed = reply[1], remaining = reply[2], wait = reply[3], full = reply[4] }
end

test('force takes what is there, and what is not becomes a debt', function()
  local bucket = default_bucket()
  local interval, capacity = bucket.interval, bucket.capacity
  answers(force(bucket, 2), 1, capacity - 2, 0, 2 * interval)
  answers(force(bucket, capacity), 1, 0, (capacity + 2) * interval, (capacity + 2) * interval)
  same(store[bucket.key].value:sub(1, 1), '+', 'marked')
end)

test('a debt refuses until the refill has paid it, and is not forgiven by a refusal', function()
  local bucket = default_bucket()
  local interval = bucket.interval
  drain(bucket)
  force(bucket, 2)
  for _ = 1, 5 do answers(take(bucket), 0, 0, 3 * interval, (bucket.capacity + 2) * interval) end
  clock = clock + 3 * interval - 1
  same(take(bucket).allowed, 0, 'a microsecond early')
  clock = clock + 1
  answers(take(bucket), 1, 0, interval, bucket.capacity * interval)
end)

test('a debt that is paid is an ordinary bucket again, if the clock then steps back too', function()
  local bucket = default_bucket()
  drain(bucket)
  force(bucket, 1)
  clock = clock + 2 * bucket.interval
  same(take(bucket).allowed, 1, 'paid')
  same(store[bucket.key].value:find('^%d+$') ~= nil, true, 'without a mark')
  clock = clock - 10 * bucket.interval
  take(bucket)
  clock = clock + bucket.interval
  same(take(bucket).allowed, 1, 'the step is forgiven')
end)

test('the key of a debt lives until the bucket is full, and a minute', function()
  local bucket = default_bucket()
  drain(bucket)
  force(bucket, 3)
  local full = (bucket.capacity + 3) * bucket.interval
  same(store[bucket.key].expires, now_ms() + (full + KEEP) / MS)
end)

test('forced charges take from every bucket, and look at none first', function()
  local full, empty = default_bucket('full'), default_bucket('empty')
  drain(empty)
  local argv = { empty.interval, empty.capacity, 1, full.interval, full.capacity, 1, 2, 'force' }
  local reply = eval({ empty.key, full.key }, argv)
  same(reply[1] == 1 and reply[5] == 1, true, 'both')
  same(reply[6], full.capacity - 1, 'the full one')
  same(take(empty).wait, 2 * empty.interval, 'the empty one')
end)

test('without memory a forced charge is an error, and nothing is charged', function()
  no_memory = OOM
  local reply = eval({ 'k' }, { S, 5, 1, 1, 'force' })
  same(reply.err, OOM)
end)

test('after hours without Redis a client that kept its rate owes a window at most', function()
  for _, first in ipairs({ 1, 5 }) do
    local bucket = default_bucket('first' .. first)
    take(bucket, first)
    clock = clock + 3600 * S
    force(bucket, 3600 * S / bucket.interval)
    same(take(bucket).wait <= (bucket.capacity + 1) * bucket.interval, true, 'a window at most')
  end
end)

test('a debt is at most a window, and none is forgiven', function()
  local bucket = default_bucket()
  drain(bucket)
  local window = bucket.capacity * bucket.interval
  same(force(bucket, 1000).full, 2 * window)
  same(force(bucket, 1).full, 2 * window, 'again')
  clock = clock + window
  same(take(bucket, 0).full, window, 'paid')
end)

test('force with a cost of 0 looks at the bucket and writes nothing', function()
  local bucket = default_bucket()
  drain(bucket)
  local before = writes
  answers(force(bucket, 0), 1, 0, 0, bucket.capacity * bucket.interval)
  same(writes, before)
end)

test('force after a step of the clock begins with an empty bucket', function()
  local bucket = default_bucket()
  drain(bucket)
  clock = clock - 100 * S
  answers(force(bucket, 1), 1, 0, 2 * bucket.interval, (bucket.capacity + 1) * bucket.interval)
end)

test('what is forced and what is taken is never more than the refill in the end', function()
  for _ = 1, 200 do
    local bucket = { key = 'k' .. random(1, 1e6), interval = random(1, 2 * S),
      capacity = random(1, 20) }
    local begin, taken, forced, most_owed = clock, 0, 0, false
    for _ = 1, 60 do
      clock = clock + random(0, 3 * bucket.interval)
      if random(1, 4) == 1 then
        local cost = random(1, bucket.capacity)
        local full = force(bucket, cost).full
        most_owed = most_owed or full == 2 * bucket.capacity * bucket.interval
        forced = forced + cost
      else
        taken = taken + take(bucket).allowed
      end
    end
    -- What was taken left room for everything that was forced before it.
    local refill = (clock - begin) / bucket.interval
    same(taken <= bucket.capacity + refill, true, 'taken')
    local look = take(bucket, 0)
    local debt = (look.full / bucket.interval) - bucket.capacity
    same(debt <= bucket.capacity + 1e-6, true, 'the debt')
    -- Unless a debt came to its most, nothing that was forced is lost.
    local most = bucket.capacity + refill + math.max(0, debt) + 1e-6
    same(most_owed or taken + forced <= most, true, 'all')
  end
end)

-- Giving back ---------------------------------------------------------------------------------

local function give(bucket, cost)
  local reply = eval({ bucket.key }, { bucket.interval, bucket.capacity, cost, 1, 'give' })
  return { allowed = reply[1], remaining = reply[2], wait = reply[3], full = reply[4] }
end

test('what is given back is as if it had not been taken', function()
  local bucket = default_bucket()
  take(bucket, 2)
  local before = stored(bucket.key)
  take(bucket, 3)
  answers(give(bucket, 3), 1, 3, 0, 2 * bucket.interval)
  same(stored(bucket.key), before)
end)

test('a bucket is never more than full', function()
  local bucket = default_bucket()
  take(bucket, 1)
  answers(give(bucket, 3), 1, 5, 0, 0)
  answers(take(bucket, 5), 1, 0, 5 * bucket.interval, 5 * bucket.interval)
  answers(give(default_bucket('absent'), 3), 1, 5, 0, 0)
end)

test('what is given back pays a debt', function()
  local bucket = default_bucket()
  drain(bucket)
  force(bucket, 3)
  answers(give(bucket, 2), 1, 0, 3 * bucket.interval, 6 * bucket.interval)
  same(stored(bucket.key):sub(1, 1), '+', 'still marked')
  answers(give(bucket, 2), 1, 1, bucket.interval, 4 * bucket.interval)
  same(stored(bucket.key):sub(1, 1) ~= '+', true, 'paid')
end)

test('a bucket whose window is below a millisecond can be given back to', function()
  local bucket = { key = 'k', interval = 1, capacity = 10 }
  take(bucket, 10)
  answers(give(bucket, 10), 1, 10, 0, 0)
end)

test('giving back reaches every bucket, the shadows too', function()
  local one, two = default_bucket('one'), default_bucket('two')
  take_all({ one, two }, 2, 1)
  local argv = { one.interval, one.capacity, 2, two.interval, two.capacity, 2, 1, 'give' }
  local reply = eval({ one.key, two.key }, argv)
  same(reply[2] == 5 and reply[6] == 5, true)
end)

-- Main ----------------------------------------------------------------------------------------

local seed = tonumber(os.getenv('SEED')) or os.time()
print('# SEED=' .. show(seed))
print('1..' .. #tests)

local failed = 0
for i, case in ipairs(tests) do
  clock, drift, store, writes, denied, no_memory = START, 0, {}, 0, nil, nil
  random_state = seed % 2147483646 + 1     -- per test, so that each can be repeated alone
  local ok, message = pcall(case.run)
  print((ok and 'ok ' or 'not ok ') .. i .. ' - ' .. case.name)
  if not ok then
    failed = failed + 1
    print((tostring(message):gsub('[^\n]+', '# %0')))
  end
end
os.exit(failed == 0 and 0 or 1)
