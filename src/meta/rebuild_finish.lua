-- KEYS[1] prefix  ARGV state, repo, token
-- Returns {"ok"} | {"lost"} | {"state"}.
-- All of the repository was applied: from here on this Redis knows it.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

redis.call('HDEL', P .. 'rebuilding', repo)
redis.call('SADD', P .. 'current', repo)
tidy(repo)
return {'ok'}
