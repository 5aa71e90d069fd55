-- KEYS[1] prefix  ARGV state, kind
-- Returns {"ok"} | {"state"}.
-- Ends a run, whoever is at it, and drops a request.
if refused() then
    return {'state'}
end

local key = work_key(ARGV[2])
if redis.call('HGET', key, 'running') == '1' then
    redis.call('HSET', key, 'finished', now())
end
redis.call('HSET', key, 'requested', '0', 'running', '0', 'until', '0')
return {'ok'}
