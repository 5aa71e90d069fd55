-- KEYS[1] prefix  ARGV repo
-- Returns {"ok", manifests, tags, created, updated, attributes, state}
-- | {"miss", state} | {"behind", state}.  Times in microseconds; updated is
-- that of the last change of a tag or manifest, or as created.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end
if not redis.call('ZSCORE', P .. 'repos', repo) then
    return {'miss', STATE}
end

local times = redis.call('HMGET', P .. 'repository:' .. repo, 'created',
                         'updated')
local created = times[1] or times[2] or '0'
return {'ok', tostring(redis.call('HLEN', P .. 'manifests:' .. repo)),
        tostring(redis.call('HLEN', P .. 'tag:' .. repo)), created,
        times[2] or created, attributes(repo, ''), STATE}
