-- KEYS[1] prefix  ARGV repo, tag
-- Returns {"ok", digest, updated, created, attributes, state}
-- | {"miss", state, exists (0|1)} | {"behind", state}.  exists: there is the
-- repository.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local digest, time, first, value = tag_about(repo, ARGV[2])
if not digest then
    return {'miss', STATE, redis.call('ZSCORE', P .. 'repos', repo) and '1'
                           or '0'}
end
return {'ok', digest, time, first, value, STATE}
