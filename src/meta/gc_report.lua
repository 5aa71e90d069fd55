-- KEYS[1] prefix  ARGV age_seconds, offset, n (1 to 300)
-- Returns {"ok", state, more (0|1), links, freed, digest...}
-- | {"behind", state}.
-- What a run would remove now, a page of it: the number of links; the bytes
-- of those that are the last one of their blob; digests that nobody holds.
if BEHIND then
    return {'behind', STATE}
end

local offset, n = bounded(ARGV[2], 0, 2 ^ 53), bounded(ARGV[3], 1, 300)
local list = redis.call('ZRANGEBYSCORE', P .. 'candidates', '-inf',
                        ago(ARGV[1]), 'LIMIT', string.format('%.0f', offset),
                        n)
local links, freed, bare = 0, 0, {}

for _, entry in ipairs(list) do
    local repo, digest = string.match(entry, '^(%S+) (%S+)$')
    if repo then
        links = links + 1
        if redis.call('SCARD', P .. 'in:' .. digest) == 1 then
            local size = redis.call('HGET', P .. 'blobs:' .. repo, digest)
            freed = freed + (tonumber(size) or 0)
        end
    else
        bare[#bare + 1] = entry
    end
end
return reply({'ok', STATE, #list == n and '1' or '0', tostring(links),
              string.format('%.0f', freed)}, bare)
