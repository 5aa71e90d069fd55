-- KEYS[1] prefix  ARGV state, repo, token, then digest and size of each (up to
-- 500), after the manifests
-- Returns {"ok"} | {"lost"} | {"state"}.
-- What no manifest needs is a candidate from now on.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if #ARGV > 1003 or #ARGV % 2 ~= 1 then
    return redis.error_reply('ERR up to 500 blobs, of two arguments')
end
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

for i = 4, #ARGV, 2 do
    redis.call('HSET', P .. 'blobs:' .. repo, ARGV[i], ARGV[i + 1])
    hold(repo, ARGV[i])
    touch(repo, ARGV[i])
end
return {'ok'}
