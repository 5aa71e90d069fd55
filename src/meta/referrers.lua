-- KEYS[1] prefix  ARGV repo, subject, artifactType ("" = any), last, n
-- Returns {"ok", more (0|1), state, last_digest_looked_at, descriptor...}.
-- Looks at up to 1000 digests; with more = 1 the next call starts after the
-- last one looked at, even if this call found nothing.
local repo, atype, last = ARGV[1], ARGV[3], ARGV[4]
local n = bounded(ARGV[5], 0, LIMIT)
local look = atype == '' and n or n > 0 and LIMIT or 0
local list, more = page(P .. 'referrers:' .. repo .. ':' .. ARGV[2], last,
                        look)
local types = {}
if atype ~= '' and #list > 0 then
    types = redis.call('HMGET', P .. 'atype:' .. repo, unpack(list))
end

local found = {}
for i, digest in ipairs(list) do
    if #found == n then
        more = 1
        break
    end
    last = digest
    if atype == '' or types[i] == atype then
        found[#found + 1] = redis.call('HGET', P .. 'descriptor:' .. repo,
                                       digest) or nil
    end
end
return reply({'ok', tostring(more), state(), last}, found)
