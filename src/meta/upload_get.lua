-- KEYS[1] prefix  ARGV uuid, repo
-- Returns {"ok", offset, alg, file} | {"unknown"}.
local got = redis.call('HMGET', P .. 'upload:' .. ARGV[1], 'repository',
                       'offset', 'alg', 'file')
if got[1] ~= ARGV[2] then
    return {'unknown'}
end
return {'ok', got[2], got[3], got[4]}
