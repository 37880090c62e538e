--[[ hosts.lua - count the hosts that share the limits, so that each knows its share of them while
  Redis is away.  Every host calls it every few seconds.

  KEYS[1]      sorted set: the names of hosts, by the millisecond of their last call
  ARGV[1]      the name of this host
  ARGV[2]      ms: a host that has not called for so long is gone

  Returns an array of one number: the hosts that are there, with this one. ]]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { redis.call('ZCARD', KEYS[1]) }
