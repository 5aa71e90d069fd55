-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", member...}: "<repo>:<tag>" and "<repo>@<digest>", at least
-- that old, the oldest first.
return reply({'ok'}, old_members(P .. 'pending', ARGV[1], ARGV[2]))
