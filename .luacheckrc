std = "lua51"
max_line_length = 100

-- What Redis hands to a script.
files["lua/take.lua"].read_globals = { "redis", "KEYS", "ARGV" }

-- wrk calls the globals that its script defines.
files['tests/bench/users.lua'] = { globals = { 'init', 'request', 'done' }, read_globals = { 'wrk' } }
