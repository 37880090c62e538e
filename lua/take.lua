--[[ take.lua - take tokens from every bucket, or from none.

  A bucket is stored as one number, empty_at: the moment at which it was empty, or would have been.
  Since then it has gained one token per interval.  The time since empty_at is its credit, which is
  at most its window, capacity * interval.  All times are microseconds on the clock of Redis.
  If a limit is changed, the new rate and capacity apply from empty_at on, so that an empty bucket
  stays empty.  If the window has become shorter, the credit becomes less in the same proportion: a
  bucket that was half full is half full.  Therefore, however often a limit is changed, a client is
  admitted at most the largest capacity + T / the shortest interval in any time T, while its key is
  kept.

  A bucket can be in debt: empty_at is then in the future, and has a '+' before it.  Without the
  '+' it means that the clock has stepped back.

  KEYS[i]      string: empty_at, since the epoch.  An absent key is a full bucket.  The key expires
               KEEP_MS after the bucket is full, so that it is still there for a limit whose window
               becomes up to KEEP_MS longer.  Its time to live tells the window of the limit that
               wrote it.  With a window of less than 1 ms it expires when the bucket is full.
               Keys must differ: a bucket named twice in one call would be charged only once.

  ARGV, per bucket
    [3i-2]     interval_us >= 1, the time in which one token is refilled
    [3i-1]     capacity >= 1, in tokens
    [3i]       cost >= 0, in tokens; 0 reads the bucket and writes nothing
               All are whole numbers, and a window is at most ten years, so that doubles are exact.
  ARGV, last
    [3n+1]     the number of enforced buckets, which are the first of the n; absent: all.  The
               others are shadows.  A shadow is charged if it has room and the enforced buckets are
               charged; it never refuses.
    [3n+2]     absent: the costs are taken, as above.
               'force': all buckets are charged, whatever they have, and can be in debt then.  This
               is for tokens that were handed out while Redis was away.  A debt is paid by the
               refill; until then the bucket refuses.  It is at most one window, so that a client
               which kept its rate for hours without Redis is not refused for hours.
               'give': the costs are given back to all buckets, which are never more than full.
               The caller gives back no more than it has taken, and only once.

  Returns, per bucket, four whole numbers in one flat array
    allowed    1 if this bucket had room, else 0.  If all enforced buckets had room, they are
               charged (200); otherwise none is charged (429).  The next three are the state after
               that.
    remaining  whole tokens left: r in the RateLimit field
    wait_us    time until the same cost fits again, for Retry-After; 0: now, -1: never, because
               cost > capacity
    full_us    time until the bucket is full; in debt it is longer than a window

  Runs on Redis 5 to 8: a write after TIME needs effects replication, the default since 5.0. ]]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local enforced = tonumber(ARGV[3 * #KEYS + 1]) or #KEYS
local mode = ARGV[3 * #KEYS + 2]
local KEEP_MS = 60000
local reply, credits, stale, owes, all_allow = {}, {}, {}, {}, true

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]

  -- A key of another type counts as absent and is overwritten.  Any other error is returned to the
  -- caller: without permission for GET, for example, all buckets would look full.
  local stored = redis.pcall('GET', KEYS[i])
  if type(stored) == 'table' and not stored.err:find('^WRONGTYPE') then return stored end

  local empty_at, left = tonumber(stored), redis.call('PTTL', KEYS[i]) * 1000
  local credit = empty_at and now - empty_at < window and now - empty_at or window
  -- Times to live are whole milliseconds, on a clock that may differ from TIME's by one.  Rounded
  -- up, the window of the limit that wrote the key is at most 5 ms more than it was.
  local earlier = empty_at and now - empty_at + left - KEEP_MS * 1000 + 2000 or window
  local shorter = earlier > window + 5000
  if shorter then credit = math.floor(math.min(1, (now - empty_at) / earlier) * window) end
  stale[i] = empty_at and credit < window and (shorter or left < window - credit)
  owes[i] = credit < 0 and stored:byte() == 43
  -- A negative credit without a '+' means that the clock has stepped back.  The bucket counts as
  -- empty.
  local allow = charge == 0 or charge <= credit or mode ~= nil
  if i <= enforced then all_allow = all_allow and allow end
  credits[i] = credit
  reply[4 * i - 3] = allow and 1 or 0
end

for i = 1, #KEYS do
  local interval = ARGV[3 * i - 2]
  local window, charge = interval * ARGV[3 * i - 1], interval * ARGV[3 * i]
  local allow, credit = reply[4 * i - 3] == 1, credits[i]

  local overdrawn = credit < 0 and not owes[i]
  if overdrawn then credit = 0 end
  local taken = all_allow and allow
  if mode == 'give' then
    credit = math.min(window, credit + charge)
  elseif mode == 'force' then
    credit = math.max(credit - charge, math.min(credit, -window))
  elseif taken then
    credit = credit - charge
  end
  local full = window - credit

  -- A refusal writes nothing, except in three cases.  If the clock has stepped back, the stored
  -- time is moved back as well, because otherwise the client would have to wait until the clock has
  -- caught up.  If the window has become longer, the key must not expire while the bucket is not
  -- full.  If it has become shorter, what is refilled from now on counts in full.
  if charge > 0 and (taken or overdrawn or stale[i]) then
    -- tostring would keep only 14 of the 16 digits.
    local ttl = math.ceil(full / 1000) + (window < 1000 and 0 or KEEP_MS)
    if ttl < 1 then ttl = 1 end
    local empty_at = string.format(credit < 0 and '+%.0f' or '%.0f', now - credit)
    local set = redis.pcall('SET', KEYS[i], empty_at, 'PX', ttl)
    -- If the write of a refusal fails, ignore it, because an empty bucket must refuse even when
    -- Redis is out of memory.  If a charge cannot be written, return the error.  Nothing is charged
    -- then, because Redis refuses the first write of a script or none: it checks for OOM, MISCONF,
    -- NOREPLICAS and READONLY only until a script has written.
    if set.err and taken then return set end
  end

  local wait = charge - credit
  if charge > window then wait = -1 elseif wait < 0 then wait = 0 end
  reply[4 * i - 2] = credit > 0 and math.floor(credit / interval) or 0
  reply[4 * i - 1] = wait
  reply[4 * i] = full
end

return reply
