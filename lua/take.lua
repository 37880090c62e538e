--[[ take.lua - take tokens from every bucket, or from none.

  A bucket is one number, empty_at: the moment at which it was empty, or would have been.  Since
  then it has gained a token each interval; the time since is its credit, at most its window, which
  is capacity * interval.  All times are microseconds, on Redis's own clock.
  A limit that is changed applies as though it had been so since empty_at: a used-up bucket stays
  used up, whatever its new rate and capacity are.

  KEYS[i]      string: empty_at, since the epoch; absent: the bucket is full.  It expires when full.
               Keys must differ: a bucket named twice in one call would be charged only once.

  ARGV, per bucket
    [3i-2]     interval_us >= 1, until one more token drops in
    [3i-1]     capacity >= 1, tokens
    [3i]       cost >= 0, tokens; 0 looks at the bucket and writes nothing
               All are whole and a window is at most ten years, so that doubles are exact.
  ARGV, last
    [3n+1]     how many of the n buckets are enforced, the first ones; absent: all.  The others
               are shadows: each is charged if it has room and the enforced ones are charged; none
               refuses.

  Returns, per bucket, four whole numbers in one flat array
    allowed    0|1: this bucket had room.  If all that are enforced had, they are charged (200);
               else none is (429).  The next three tell how things stand after that.
    remaining  whole tokens left: RateLimit's r
    wait_us    until the same cost fits again, Retry-After; 0: at once, -1: never (cost > capacity)
    full_us    until the bucket is full

  Runs on Redis 5 to 8: a write after TIME needs effects replication, the default since 5.0. ]]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local enforced = tonumber(ARGV[3 * #KEYS + 1]) or #KEYS
local reply, credits, all_allow = {}, {}, true

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]

  -- A key that holds something else counts as absent and is overwritten.  Any other error goes to
  -- the caller: an ACL without GET must not look like buckets that are always full.
  local stored = redis.pcall('GET', KEYS[i])
  if type(stored) == 'table' and not stored.err:find('^WRONGTYPE') then return stored end

  local empty_at = tonumber(stored)
  local credit = empty_at and now - empty_at < window and now - empty_at or window
  -- Below 0 the bucket is emptier than empty: the clock stepped back.  It counts as empty.
  local allow = charge == 0 or charge <= credit
  if i <= enforced then all_allow = all_allow and allow end
  credits[i] = credit
  reply[4 * i - 3] = allow and 1 or 0
end

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]
  local allow, credit = reply[4 * i - 3] == 1, credits[i]

  local overdrawn = credit < 0
  if overdrawn then credit = 0 end
  local taken = all_allow and allow
  if taken then credit = credit - charge end
  local full = window - credit
  local ttl = math.ceil(full / 1000)

  -- A refusal writes nothing, but for two kinds of key.  An overdrawn one would have its client
  -- wait until the clock has caught up.  One that a limit with a shorter window left would expire,
  -- and be a full bucket, while the limit as it is now still refuses.
  local stale = overdrawn or (not allow and redis.call('PTTL', KEYS[i]) < ttl - 2)
  if charge > 0 and (taken or stale) then
    -- Not tostring, which keeps 14 digits of the 16.
    local set = redis.pcall('SET', KEYS[i], string.format('%.0f', now - credit), 'PX', ttl)
    -- A refusal does without its write, because a bucket that is empty must refuse also when Redis
    -- is out of memory.  A charge that cannot be written is an error, and nothing is charged: Redis
    -- refuses the first write of a script or none (it checks OOM, MISCONF, NOREPLICAS and READONLY
    -- until a script has written).
    if set.err and taken then return set end
  end

  local wait = charge - credit
  if charge > window then wait = -1 elseif wait < 0 then wait = 0 end
  reply[4 * i - 2] = math.floor(credit / interval)
  reply[4 * i - 1] = wait
  reply[4 * i] = full
end

return reply
