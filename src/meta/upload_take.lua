-- KEYS[1] prefix  ARGV state, uuid, repo, start ("" = any), ttl_seconds
-- Returns {"ok", owner, offset, alg, hash, file, clean, doubt}
-- | {"range", offset} | {"unknown"} | {"locked"} | {"state"}.
-- clean = 1: the owner before let go.  "range" changes nothing.
-- doubt = 1: the Redis that there was may have known more of the session: a
-- later offset, or owners that are still at work.  So it is not clean, and the
-- number is that of none of those.
if refused() then
    return {'state'}
end

local key = P .. 'upload:' .. ARGV[2]
local got = redis.call('HMGET', key, 'repository', 'offset', 'alg', 'hash',
                       'file', 'held', 'history', 'doubt', 'owner')
if got[1] ~= ARGV[3] then
    return {'unknown'}
end
if is_off(ARGV[3], '', 'w') then
    return {'locked'}
end
if ARGV[4] ~= '' and ARGV[4] ~= got[2] then
    return {'range', got[2]}
end

local clean, doubt = got[6] == '0' and '1' or '0', got[8] or '1'
local owner = (tonumber(got[9]) or 0) + 1

if got[7] ~= history() then
    clean, doubt = '0', '1'
    owner = math.max(owner, microseconds())
end

owner = string.format('%.0f', owner)
redis.call('HSET', key, 'owner', owner, 'held', '1', 'history', history(),
           'doubt', doubt)
keep_session(ARGV[2], ARGV[5])
return {'ok', owner, got[2], got[3], got[4], got[5], clean, doubt}
