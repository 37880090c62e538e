# Take from a bucket what it has, even if the request is refused.
s/^  elseif taken then$/  else/
s/^    credit = credit - charge$/    credit = math.max(0, credit - charge)/
s/if charge > 0 and (taken or/if charge > 0 and (true or/
