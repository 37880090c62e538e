# log-json.sed - the escapes of Apache's log (\xHH, \v) in the form of JSON (\u00HH).
# A backslash of the client is two in the log.  They become \x01 meanwhile, which Apache does not
# write itself, so that \\x41 stays as it is.
s/\\\\/\x01/g
s/\\x\([0-9a-f][0-9a-f]\)/\\u00\1/g
s/\\v/\\u000b/g
s/\x01/\\\\/g
