-- KEYS[1] prefix  ARGV state, repo, digest, actor, limit (1 to 1000),
-- conditions (none: only goes on with a removal that was begun)
-- Returns {"ok", seq, more (0|1), tag...} | {"unknown"} | {"changed"}
-- | {"locked"} | {"behind"} | {"state"}.
-- The first call hides the manifest and is the event; each call removes up to
-- limit of its tags, the last one what it referred to.  more = 1: call again,
-- without conditions, or a manifest that was put meanwhile would be deleted as
-- well ("unknown" then means that somebody else finished it).
if refused() then
    return {'state'}
end

local repo, digest = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end

local first = is_manifest(repo, digest)
if first and not ARGV[6]
   or not first
      and redis.call('HEXISTS', P .. 'hidden:' .. repo, digest) == 0
then
    return {'unknown'}
end
if first and (is_off(repo, '', 'w') or is_locked(repo, digest)) then
    return {'locked'}
end
if first and unexpected(repo, ARGV[6]) then
    return {'changed'}
end

local seq = next_seq()
if first then
    hide_manifest(seq, repo, digest, ARGV[4])
end

local tags, more = remove_slice(repo, digest, bounded(ARGV[5], 1, LIMIT))
if more == 1 then
    -- somebody is at it
    redis.call('ZADD', P .. 'removing', now(), repo .. ' ' .. digest)
end
return reply({'ok', seq, tostring(more)}, tags)
