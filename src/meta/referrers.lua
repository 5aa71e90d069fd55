-- KEYS[1] prefix  ARGV repo, subject, artifactType ("" = any), last, n
-- Returns {"ok", more (0|1), state, last_digest_looked_at, descriptor...}
-- | {"locked", state} (the repository may not be read) | {"behind", state}.
-- Looks at up to 1000 digests, and finds descriptors of 1 MiB altogether (one
-- alone may be larger); with more = 1 the next call starts after the last one
-- looked at, even if this call found nothing.
local repo, atype, last = ARGV[1], ARGV[3], ARGV[4]

if unsure(repo) then
    return {'behind', STATE}
end

if is_off(repo, '', 'r') then
    return {'locked', STATE}
end

local n = bounded(ARGV[5], 0, LIMIT)
local plain = redis.call('EXISTS', P .. 'attributes:' .. repo) == 0
local look = atype == '' and plain and n or n > 0 and LIMIT or 0
local list, more = page(P .. 'referrers:' .. repo .. ':' .. ARGV[2], last,
                        look)
local types = {}
if atype ~= '' and #list > 0 then
    types = redis.call('HMGET', P .. 'atype:' .. repo, unpack(list))
end

local found, room = {}, 1048576
for i, digest in ipairs(list) do
    local descriptor = (atype == '' or types[i] == atype)
                       and (plain or not is_off(repo, digest, 'l'))
                       and redis.call('HGET', P .. 'descriptor:' .. repo,
                                      digest)
    room = room - (descriptor and #descriptor or 0)
    if #found == n or #found > 0 and room < 0 then
        more = 1
        break
    end
    last = digest
    if descriptor then
        found[#found + 1] = descriptor
    end
end
return reply({'ok', tostring(more), STATE, last}, found)
