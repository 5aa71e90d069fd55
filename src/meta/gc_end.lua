-- KEYS[1] prefix  ARGV state, digest, failed (0|1)
-- Returns {"ok"} | {"state"}.
-- The file is gone, or could not be removed and is a candidate anew; the lock
-- is still held.
if refused() then
    return {'state'}
end

-- A repeated call must not take away what has become of the digest since.
if redis.call('ZREM', P .. 'collecting', ARGV[2]) == 1 then
    redis.call('ZREM', P .. 'candidates', ARGV[2])
    if ARGV[3] == '1' then
        redis.call('ZADD', P .. 'candidates', now(), ARGV[2])
    else
        redis.call('SREM', P .. 'broken', ARGV[2])
    end
end
return {'ok'}
