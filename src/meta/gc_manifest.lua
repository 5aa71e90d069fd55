-- KEYS[1] prefix  ARGV state, repo, digest, age_seconds
-- Returns {"ok", seq} | {"unknown"} | {"behind"} | {"state"}.
-- Removes a manifest that has had no tag for so long.  One that an index of the
-- repository names or may name, or whose subject is there, or that is locked,
-- is looked at again as late.
if refused() then
    return {'state'}
end
if BEHIND then
    return {'behind'}
end

local repo, digest = ARGV[2], ARGV[3]
local entry = repo .. ' ' .. digest

if not is_manifest(repo, digest)
   or redis.call('EXISTS', P .. 'tagsof:' .. repo .. ':' .. digest) == 1
then
    redis.call('ZREM', P .. 'untagged', entry)
    return {'unknown'}
end
if not is_due(P .. 'untagged', entry, ARGV[4]) then
    return {'unknown'}
end

local refs = redis.call('HGET', P .. 'refs:' .. repo, digest)
local subject = redis.call('HGET', P .. 'subject:' .. repo, digest)
if (tonumber(refs) or 0) > 0 or subject and is_manifest(repo, subject)
   or is_unread(repo) or is_off(repo, '', 'w') or is_locked(repo, digest)
then
    redis.call('ZADD', P .. 'untagged', now(), entry)
    return {'unknown'}
end

local seq = next_seq()
hide_manifest(seq, repo, digest, 'gc')
remove_slice(repo, digest, LIMIT)
return {'ok', seq}
