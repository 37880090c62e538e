std = "lua51"
max_line_length = 100

-- What Redis hands to a script.
files["lua/take.lua"].read_globals = { "redis", "KEYS", "ARGV" }
