-- KEYS[1] prefix  ARGV repo, digest
-- Returns {"ok", "<size> <media type>", time, attributes, state, tag...}
-- | {"miss", state, exists (0|1)} | {"behind", state}.  time: when it was put,
-- in microseconds; up to 1000 tags; exists: there is the repository.
local repo, digest = ARGV[1], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end

local value, time, attrs = manifest_about(repo, digest)
if not value then
    return {'miss', STATE, redis.call('ZSCORE', P .. 'repos', repo) and '1'
                           or '0'}
end
return reply({'ok', value, time, attrs, STATE},
             redis.call('ZRANGE', P .. 'tagsof:' .. repo .. ':' .. digest, 0,
                        LIMIT - 1))
