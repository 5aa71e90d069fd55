-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", member...}: "<repo> <digest>" of hidden manifests that still
-- have tags, at least that old, the oldest first.
return reply({'ok'}, old_members(P .. 'removing', ARGV[1], ARGV[2]))
