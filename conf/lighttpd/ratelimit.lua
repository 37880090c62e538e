--[[ ratelimit.lua - the RateLimit headers of an allowed request, on whatever answers it.
  For lighttpd's mod_magnet: magnet.attract-response-start-to.  An authorizer's headers do not
  reach the client; ratelimit.fcgi says the fields as variables of the request, which this makes
  headers of again.  On refusals, and where no limit applied, there are none. ]]
local variables, headers = lighty.r.req_env, lighty.r.resp_header

-- Lists (RFC 9651): what the backend says of limits of its own stays, after ours.
for _, name in ipairs { "RateLimit-Policy", "RateLimit" } do
  local ours, theirs = variables[name:upper():gsub("-", "_")], headers[name]
  if ours then
    headers[name] = theirs and ours .. ", " .. theirs or ours
  end
end

-- With headers: [x-ratelimit] in the limits file.  Numbers: a second one would contradict it.
for _, name in ipairs { "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset" } do
  local ours = variables[name:upper():gsub("-", "_")]
  if ours then
    headers[name] = ours
  end
end
