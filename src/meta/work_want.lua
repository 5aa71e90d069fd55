-- KEYS[1] prefix  ARGV state, kind, request
-- Returns {"ok"} | {"state"}.
if refused() then
    return {'state'}
end

redis.call('HSET', work_key(ARGV[2]), 'requested', '1', 'request', ARGV[3])
return {'ok'}
