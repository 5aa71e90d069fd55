-- KEYS[1] prefix  ARGV state, digest
-- Returns {"ok"} | {"state"}.
-- A scrub has moved the file of the digest away, so nobody has it until it is
-- pushed again.  Called with the digest's lock held, or it would come after the
-- push that heals it.
if refused() then
    return {'state'}
end

redis.call('SADD', P .. 'broken', ARGV[2])
publish(redis.call('GET', P .. 'seq') or '0', 'broken', '', ARGV[2])
return {'ok'}
