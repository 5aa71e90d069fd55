-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", state, member...} | {"behind", state}: candidates that are
-- due, the oldest first: "<repo> <digest>" and "<digest>".
if BEHIND then
    return {'behind', STATE}
end
return reply({'ok', STATE}, due_members(P .. 'candidates', ARGV[1], ARGV[2]))
