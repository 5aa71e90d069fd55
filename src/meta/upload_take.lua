-- KEYS[1] prefix  ARGV state, uuid, repo, start ("" = any), ttl_seconds
-- Returns {"ok", owner, offset, alg, hash, file, clean} | {"range", offset}
-- | {"unknown"} | {"state"}.
-- clean = 1: the owner before let go.  "range" changes nothing.
if refused() then
    return {'state'}
end

local key = P .. 'upload:' .. ARGV[2]
local got = redis.call('HMGET', key, 'repository', 'offset', 'alg', 'hash',
                       'file', 'held')
if got[1] ~= ARGV[3] then
    return {'unknown'}
end
if ARGV[4] ~= '' and ARGV[4] ~= got[2] then
    return {'range', got[2]}
end

local owner = redis.call('HINCRBY', key, 'owner', 1)
redis.call('HSET', key, 'held', '1')
keep_session(ARGV[2], ARGV[5])
return {'ok', string.format('%.0f', owner), got[2], got[3], got[4], got[5],
        got[6] == '0' and '1' or '0'}
