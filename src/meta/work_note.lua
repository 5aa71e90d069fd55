-- KEYS[1] prefix  ARGV state, kind, owner, at, then name and increment of each
-- counter
-- Returns {"ok"} | {"lost"} | {"state"}.
-- The work goes on.  lost: it is somebody else's, or was stopped.
if refused() then
    return {'state'}
end

local key = work_key(ARGV[2])
if lost_work(key, ARGV[3]) then
    return {'lost'}
end

redis.call('HSET', key, 'at', ARGV[4], 'until',
           string.format('%.0f', now() + LEASE))
for i = 5, #ARGV - 1, 2 do
    redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1])
end
return {'ok'}
