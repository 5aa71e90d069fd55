-- KEYS[1] prefix  ARGV state, kind, request
-- Returns {"ok"} | {"state"}.
-- A run under way ends first; of several requests the last one counts.
if refused() then
    return {'state'}
end

redis.call('HSET', work_key(ARGV[2]), 'requested', '1', 'wanted', ARGV[3])
return {'ok'}
