-- KEYS[1] prefix  ARGV state, repo, token, time of its first push in
-- microseconds, or "" if that is not known
-- Returns {"ok"} | {"lost"} | {"state"}.
-- All of the repository was applied: from here on this Redis knows it.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

-- the last change that can be told
local last = 0
for _, key in ipairs({'pushed:', 'moved:'}) do
    local newest = redis.call('ZREVRANGE', P .. key .. repo, 0, 0,
                              'WITHSCORES')
    last = math.max(last, tonumber(newest[2] or 0))
end
if last > 0 then
    updated(repo, string.format('%.0f', last))
end
if (ARGV[4] or '') ~= '' then
    redis.call('HSET', P .. 'repository:' .. repo, 'created', ARGV[4])
end

redis.call('HDEL', P .. 'rebuilding', repo)
redis.call('SADD', P .. 'current', repo)
tidy(repo)
return {'ok'}
