-- KEYS[1] prefix  ARGV channel (after <p>:beat:), text
-- Returns {"ok", state}.
-- The text comes back to the worker that has subscribed to the channel, after
-- all that was published before.
redis.call('PUBLISH', P .. 'beat:' .. ARGV[1], ARGV[2])
return {'ok', STATE}
