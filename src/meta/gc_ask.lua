-- KEYS[1] prefix  ARGV state, digest
-- Returns {"ok"} | {"unknown"} | {"behind"} | {"state"}.
-- Asked by the collector once it has the digest's lock.
if refused() then
    return {'state'}
end
if BEHIND then
    return {'behind'}
end

local digest = ARGV[2]
if not collecting(digest) then
    return {'unknown'}
end
if redis.call('EXISTS', P .. 'in:' .. digest) == 1 then
    redis.call('ZREM', P .. 'collecting', digest)
    return {'unknown'}
end

redis.call('ZADD', P .. 'collecting', now(), digest)
return {'ok'}
