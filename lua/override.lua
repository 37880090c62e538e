--[[ override.lua - change the overrides that are stored in Redis.

  KEYS[1]      hash, rl:overrides
    version    a whole number, which every change makes larger; the processes poll it
    NAME       "SETTINGS set=US" or "SETTINGS set=US until=US": what is in force for the clients of
               NAME, since when, and until when.  Times are microseconds on the clock of Redis.

  ARGV[1]      what to do with the names
    set        ARGV[2] SETTINGS, such as "capacity=200 refill=50/s"; ARGV[3] how many microseconds
               they last, 0: without an end; ARGV[4] ... names
    delete     ARGV[2] ... names
    prune      ARGV[2] ... names: those whose time is over are deleted.  This is no change.

  Returns the number of names that were set or deleted. ]]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count = 0

local function text_of(number) return string.format('%.0f', number) end

-- A number that was never there before, also if the hash is deleted or the clock steps back.
local function change()
  local version = tonumber(redis.call('HGET', KEYS[1], 'version')) or 0
  redis.call('HSET', KEYS[1], 'version', text_of(math.max(now, version + 1)))
end

local function is_over(name)
  local stored = redis.call('HGET', KEYS[1], name)
  local ends = stored and tonumber(stored:match('until=(%d+)'))
  return ends and ends <= now
end

if ARGV[1] == 'set' then
  local value = ARGV[2] .. ' set=' .. text_of(now)
  if ARGV[3] ~= '0' then value = value .. ' until=' .. text_of(now + ARGV[3]) end
  for i = 4, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], value) end
  count = #ARGV - 3
else
  for i = 2, #ARGV do
    if ARGV[1] == 'delete' or is_over(ARGV[i]) then
      count = count + redis.call('HDEL', KEYS[1], ARGV[i])
    end
  end
end
if count > 0 and ARGV[1] ~= 'prune' then change() end
return count
