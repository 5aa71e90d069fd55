-- KEYS[1] prefix  ARGV last ("" = from the start), n (0 to 1000)
-- Returns {"ok", more (0|1), state, name...} | {"behind", state}.
if BEHIND then
    return {'behind', STATE}
end

local list, more = page(P .. 'repos', ARGV[1], bounded(ARGV[2], 0, LIMIT))
return reply({'ok', tostring(more), STATE}, list)
