--[[ ratelimit.lua - add the RateLimit headers to the response of an allowed request.
  For lighttpd's mod_magnet: magnet.attract-response-start-to.  The headers of an authorizer do not
  reach the client.  ratelimit.fcgi sends the fields as variables of the request, which this script
  turns into response headers.  There are none on refusals and if no limit applied. ]]
local variables, headers = lighty.r.req_env, lighty.r.resp_header

-- These fields are lists (RFC 9651): the backend's own limits are kept, after ours.
for _, name in ipairs { "RateLimit-Policy", "RateLimit" } do
  local ours, theirs = variables[name:upper():gsub("-", "_")], headers[name]
  if ours then
    headers[name] = theirs and ours .. ", " .. theirs or ours
  end
end

-- With headers: [x-ratelimit] in the limits file.  These fields are numbers: replace those of the
-- backend, because two values would contradict each other.
for _, name in ipairs { "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset" } do
  local ours = variables[name:upper():gsub("-", "_")]
  if ours then
    headers[name] = ours
  end
end
