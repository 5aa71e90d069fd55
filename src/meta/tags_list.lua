-- KEYS[1] prefix  ARGV repo, last ("" = from the start), n (0 to 1000)
-- Returns {"ok", exists (0|1), more (0|1), state, tag...} | {"behind", state}.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local exists = redis.call('ZSCORE', P .. 'repos', repo) and '1' or '0'
local list, more = page(P .. 'tags:' .. repo, ARGV[2],
                        bounded(ARGV[3], 0, LIMIT))
return reply({'ok', exists, tostring(more), STATE}, list)
