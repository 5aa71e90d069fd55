-- KEYS[1] prefix  ARGV state, repo, digest, age_seconds
-- Returns {"ok", seq} | {"unknown"} | {"behind"} | {"state"}.
-- Removes a blob from the repository if it is a candidate that is due and no
-- manifest needs it; unknown: it is not, or the repository is locked.
if refused() then
    return {'state'}
end
if BEHIND then
    return {'behind'}
end

local repo, digest = ARGV[2], ARGV[3]
local entry = repo .. ' ' .. digest
local refs = redis.call('HGET', P .. 'refs:' .. repo, digest)

if not is_blob(repo, digest) or (tonumber(refs) or 0) > 0 then
    redis.call('ZREM', P .. 'candidates', entry)
    return {'unknown'}
end
if is_unread(repo) or is_off(repo, '', 'w') then
    redis.call('ZADD', P .. 'candidates', now(), entry)
    return {'unknown'}
end
if not is_due(P .. 'candidates', entry, ARGV[4]) then
    return {'unknown'}
end

return {'ok', remove_blob(repo, digest, 'gc')}
