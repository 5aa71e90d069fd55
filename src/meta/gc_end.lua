-- KEYS[1] prefix  ARGV state, digest, failed (0|1)
-- Returns {"ok"} | {"state"}.
-- The file is gone, or could not be removed and is a candidate anew; the lock is
-- still held.
if refused() then
    return {'state'}
end

local digest = ARGV[2]
redis.call('ZREM', P .. 'collecting', digest)
if ARGV[3] == '1' and redis.call('EXISTS', P .. 'in:' .. digest) == 0 then
    redis.call('ZADD', P .. 'candidates', now(), digest)
else
    redis.call('ZREM', P .. 'candidates', digest)
end
return {'ok'}
