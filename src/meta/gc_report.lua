-- KEYS[1] prefix  ARGV age_seconds, offset, n (1 to 300)
-- Returns {"ok", state, more (0|1), links, freed, digest...}
-- | {"behind", state}.
-- What a run would remove now, a page of it: the number of links; the bytes
-- of blobs that go with them (but not of one that over 3 repositories hold);
-- digests that nobody holds.
if BEHIND then
    return {'behind', STATE}
end

-- The blob goes with this link: each repository that holds it lets it go, and
-- of these this one counts it.
local function goes(repo, digest)
    local held = P .. 'in:' .. digest
    if redis.call('SCARD', held) > 3 then
        return false
    end
    for _, name in ipairs(redis.call('SMEMBERS', held)) do
        local time = redis.call('ZSCORE', P .. 'candidates',
                                name .. ' ' .. digest)
        if name < repo or not time or tonumber(time) > tonumber(ago(ARGV[1]))
        then
            return false
        end
    end
    return true
end

local offset, n = bounded(ARGV[2], 0, 2 ^ 53), bounded(ARGV[3], 1, 300)
local list = redis.call('ZRANGEBYSCORE', P .. 'candidates', '-inf',
                        ago(ARGV[1]), 'LIMIT', string.format('%.0f', offset),
                        n)
local links, freed, bare = 0, 0, {}

for _, entry in ipairs(list) do
    local repo, digest = string.match(entry, '^(%S+) (%S+)$')
    if is_unread(repo or entry) then
        -- it stays
    elseif repo then
        links = links + 1
        if goes(repo, digest) then
            local size = redis.call('HGET', P .. 'blobs:' .. repo, digest)
            freed = freed + (tonumber(size) or 0)
        end
    else
        bare[#bare + 1] = entry
    end
end
return reply({'ok', STATE, #list == n and '1' or '0', tostring(links),
              string.format('%.0f', freed)}, bare)
