-- KEYS[1] prefix  ARGV state, digest
-- Returns {"ok"} | {"state"}.
-- The file is gone; the lock is still held.
if refused() then
    return {'state'}
end

-- A repeated call must not take away what has become of the digest since.
if redis.call('ZREM', P .. 'collecting', ARGV[2]) == 1 then
    redis.call('ZREM', P .. 'candidates', ARGV[2])
    redis.call('SREM', P .. 'broken', ARGV[2])
end
return {'ok'}
