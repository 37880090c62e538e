std = "lua51"
max_line_length = 100

-- What Redis hands to a script.
files["lua/*.lua"].read_globals = { "redis", "KEYS", "ARGV" }

-- wrk calls the globals that its script defines.
files['tests/bench/users.lua'] = { globals = { 'init', 'request', 'done' }, read_globals = { 'wrk' } }

-- What mod_magnet hands to a script.  It changes the response through a local.
files["conf/lighttpd/ratelimit.lua"].globals = { "lighty" }
