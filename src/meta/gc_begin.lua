-- KEYS[1] prefix  ARGV state, digest, age_seconds
-- Returns {"ok"} | {"unknown"} | {"behind"} | {"state"}.
-- A digest that no repository holds, and that is due, is being collected from
-- now on: commits and puts wait for the end of that.
if refused() then
    return {'state'}
end
if BEHIND then
    return {'behind'}
end

local digest = ARGV[2]
if redis.call('EXISTS', P .. 'in:' .. digest) == 1 then
    redis.call('ZREM', P .. 'candidates', digest)
    return {'unknown'}
end
if is_unread(digest) then
    redis.call('ZADD', P .. 'candidates', now(), digest)
    return {'unknown'}
end
if not is_due(P .. 'candidates', digest, ARGV[3]) then
    return {'unknown'}
end

redis.call('ZADD', P .. 'collecting', now(), digest)
return {'ok'}
