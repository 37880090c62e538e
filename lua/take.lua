--[[ take.lua - take tokens from every bucket, or from none.

  A bucket is one number, full_at: the moment at which it will be full again.  The time until then
  is its debt; its window, capacity * interval, is the debt of an empty bucket.  All times are
  microseconds, on Redis's own clock.

  KEYS[i]      string: full_at, since the epoch; absent: the bucket is full.  It expires when full.
               Keys must differ: a bucket named twice in one call would be charged only once.

  ARGV, per bucket
    [3i-2]     interval_us >= 1, until one more token drops in
    [3i-1]     capacity >= 1, tokens
    [3i]       cost >= 0, tokens; 0 looks at the bucket and writes nothing
               All are whole and a window is at most ten years, so that doubles are exact.

  Returns, per bucket, four whole numbers in one flat array
    allowed    0|1: this bucket had room.  If all had, all are charged (200); else none is (429).
               The next three tell how things stand after that.
    remaining  whole tokens left: RateLimit's r
    wait_us    until the same cost fits again, Retry-After; 0: at once, -1: never (cost > capacity)
    full_us    until the bucket is full

  Runs on Redis 5 to 8: a write after TIME needs effects replication, the default since 5.0. ]]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local reply, debts, all_allow = {}, {}, true

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]

  -- A key that holds something else counts as absent and is overwritten.  Any other error goes to
  -- the caller: an ACL without GET must not look like buckets that are always full.
  local stored = redis.pcall('GET', KEYS[i])
  if type(stored) == 'table' and not stored.err:find('^WRONGTYPE') then return stored end

  local full_at = tonumber(stored) or now
  local debt = full_at > now and full_at - now or 0
  local allow = charge == 0 or debt + charge <= window
  all_allow = all_allow and allow
  debts[i] = debt
  reply[4 * i - 3] = allow and 1 or 0
end

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]

  -- Emptier than empty: the clock stepped back, or the limit was lowered.  It counts as empty, and
  -- is stored so even on a refusal, or the client would wait until the clock has caught up.
  local debt = debts[i]
  local overdrawn = debt > window
  if overdrawn then debt = window end
  if all_allow then debt = debt + charge end

  if charge > 0 and (all_allow or overdrawn) then
    -- Not tostring, which keeps 14 digits of the 16.
    redis.call('SET', KEYS[i], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
  end

  local wait = debt + charge - window
  if charge > window then wait = -1 elseif wait < 0 then wait = 0 end
  reply[4 * i - 2] = math.floor((window - debt) / interval)
  reply[4 * i - 1] = wait
  reply[4 * i] = debt
end

return reply
