-- KEYS[1] prefix
-- ARGV state, uuid, owner, offset, hash, file, release (0|1), ttl_seconds
-- Returns {"ok"} | {"lost"} | {"unknown"} | {"state"}.
if refused() then
    return {'state'}
end

local key = P .. 'upload:' .. ARGV[2]
local owner = redis.call('HGET', key, 'owner')
if not owner then
    return {'unknown'}
end
if owner ~= ARGV[3] then
    return {'lost'}
end

redis.call('HSET', key, 'offset', ARGV[4], 'hash', ARGV[5], 'file', ARGV[6],
           'held', ARGV[7] == '1' and '0' or '1')
keep_session(ARGV[2], ARGV[8])
return {'ok'}
