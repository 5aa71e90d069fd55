-- KEYS[1] prefix  ARGV state, digest
-- Returns {"ok"} | {"state"}.
-- The file is gone; the lock is still held.
if refused() then
    return {'state'}
end

redis.call('ZREM', P .. 'collecting', ARGV[2])
redis.call('ZREM', P .. 'candidates', ARGV[2])
return {'ok'}
