-- KEYS[1] prefix  ARGV repo, last ("" = from the start), n (0 to 1000)
-- Returns {"ok", exists (0|1), more (0|1), state, last_looked_at, tag...}
-- | {"behind", state}.
-- Passes over tags that are not to be listed: looks at up to 1000.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local exists = redis.call('ZSCORE', P .. 'repos', repo) and '1' or '0'
local n = bounded(ARGV[3], 0, LIMIT)
local list, more = page(P .. 'tags:' .. repo, ARGV[2], to_look_at(repo, n))
local last
list, more, last = listed(repo, list, more, n)
return reply({'ok', exists, tostring(more), STATE, last}, list)
