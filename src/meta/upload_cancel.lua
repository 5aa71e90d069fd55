-- KEYS[1] prefix  ARGV state, uuid, repo, owner ("" or none: whoever it is)
-- Returns {"ok", file} | {"lost"} | {"unknown"} | {"state"}.
if refused() then
    return {'state'}
end

local key = P .. 'upload:' .. ARGV[2]
local got = redis.call('HMGET', key, 'repository', 'file', 'owner')
if got[1] ~= ARGV[3] then
    return {'unknown'}
end
if (ARGV[4] or '') ~= '' and ARGV[4] ~= got[3] then
    return {'lost'}
end

redis.call('DEL', key)
redis.call('ZREM', P .. 'sessions', ARGV[2])
return {'ok', got[2]}
