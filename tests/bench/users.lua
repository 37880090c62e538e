-- users.lua - for wrk: a thousand users in turn, with the path of the URL.  Requests are formatted
-- once, to keep wrk's own load small.
local requests, turn = {}, 0

function init()
  for i = 1, 1000 do
    requests[i] = wrk.format('GET', string.format('%s?user=user%06d', wrk.path, i))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT %d %d %d %d %d\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
