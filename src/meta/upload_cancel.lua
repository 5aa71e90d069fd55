-- KEYS[1] prefix  ARGV state, uuid, repo
-- Returns {"ok", file} | {"unknown"} | {"state"}.
if refused() then
    return {'state'}
end

local key = P .. 'upload:' .. ARGV[2]
local got = redis.call('HMGET', key, 'repository', 'file')
if got[1] ~= ARGV[3] then
    return {'unknown'}
end

redis.call('DEL', key)
return {'ok', got[2]}
