-- KEYS[1] prefix  ARGV state, uuid, repo, alg, ttl_seconds
-- Returns {"ok"} | {"locked"} | {"state"}.
-- Offset 0, owner 0, not held, hash and file empty.
if refused() then
    return {'state'}
end

if is_off(ARGV[3], '', 'w') then
    return {'locked'}
end

local key = P .. 'upload:' .. ARGV[2]
redis.call('HSET', key, 'repository', ARGV[3], 'offset', '0',
           'alg', ARGV[4], 'hash', '', 'owner', '0', 'held', '0',
           'file', '', 'started', now(), 'history', history(),
           'doubt', '0')
keep_session(ARGV[2], ARGV[5])
forget_sessions()
return {'ok'}
