-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", digest...}: digests whose collector has not been heard of for
-- so long.
return reply({'ok'}, old_members(P .. 'collecting', ARGV[1], ARGV[2]))
