-- KEYS[1] prefix  ARGV state, kind, owner
-- Returns {"ok"} | {"lost"} | {"state"}.
if refused() then
    return {'state'}
end

local key = work_key(ARGV[2])
if redis.call('HGET', key, 'owner') ~= ARGV[3] then
    return {'lost'}
end
redis.call('HSET', key, 'running', '0', 'until', '0',
           'finished', now())
return {'ok'}
