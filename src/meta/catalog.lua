-- KEYS[1] prefix  ARGV last ("" = from the start), n (0 to 1000)
-- Returns {"ok", more (0|1), state, last, name...}
-- | {"behind", state}.
-- Passes over repositories that are not to be listed: looks at up to 1000.
-- last: the next call starts after it.
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
local found
found, more = first(list, more, n, function(i) return hidden[i] == 0 end)
return reply({'ok', tostring(more), STATE, found[#found] or list[#list]},
             found)
