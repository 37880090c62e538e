# Charge the buckets that have room, even if another one refuses.
s/local taken = all_allow and allow/local taken = allow/
