-- KEYS[1] prefix  ARGV last ("" = from the start), n (0 to 1000)
-- Returns {"ok", more (0|1), state, last_looked_at, name...}
-- | {"behind", state}.
-- Passes over repositories that are not to be listed: looks at up to 1000.
if BEHIND then
    return {'behind', STATE}
end

local n = bounded(ARGV[2], 0, LIMIT)
local plain = redis.call('EXISTS', P .. 'unlisted') == 0
local list, more = page(P .. 'repos', ARGV[1],
                        plain and n or n > 0 and LIMIT or 0)
if plain or #list == 0 then
    return reply({'ok', tostring(more), STATE, list[#list] or ''}, list)
end

local hidden = redis.call('SMISMEMBER', P .. 'unlisted', unpack(list))
local found, last = {}, ''
for i, name in ipairs(list) do
    if #found == n then
        more = 1
        break
    end
    last = name
    if hidden[i] == 0 then
        found[#found + 1] = name
    end
end
return reply({'ok', tostring(more), STATE, last}, found)
