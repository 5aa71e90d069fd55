-- KEYS[1] prefix  ARGV repo, digest, touch (0|1)
-- Returns {"ok", size, state} | {"miss", state}.
local size = redis.call('HGET', P .. 'blobs:' .. ARGV[1], ARGV[2])
if not size then
    return {'miss', state()}
end
if ARGV[3] == '1' then
    touch(ARGV[1], ARGV[2], true)
end
return {'ok', size, state()}
