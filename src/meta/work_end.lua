-- KEYS[1] prefix  ARGV state, kind, owner, done (0|1)
-- Returns {"ok"} | {"lost"} | {"state"}.
-- The caller is not at it any more; if it is not done somebody goes on.
if refused() then
    return {'state'}
end

local key = work_key(ARGV[2])
if lost_work(key, ARGV[3]) then
    return {'lost'}
end

redis.call('HSET', key, 'until', '0')
if ARGV[4] == '1' then
    redis.call('HSET', key, 'running', '0', 'finished', now())
end
return {'ok'}
