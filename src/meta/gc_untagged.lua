-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", state, member...} | {"behind", state}: "<repo> <digest>" of
-- manifests that have had no tag for so long and are due, the oldest first.
if BEHIND then
    return {'behind', STATE}
end
return reply({'ok', STATE}, due_members(P .. 'untagged', ARGV[1], ARGV[2]))
