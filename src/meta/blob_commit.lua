-- KEYS[1] prefix  ARGV state, repo, digest, size, uuid ("" none), owner, actor,
-- from ("" or none: the caller has stored the content; a mount: the repository
-- that has it)
-- Returns {"ok", seq, kinds} | {"lost"} | {"unknown"} | {"collecting", digest}
-- | {"locked"} | {"behind"} | {"state"}.  kinds: plain_link's.
-- A session that is gone is no error if the repository has the blob: that is
-- a repeat of a commit whose answer was lost.  A mount whose source is gone by
-- now, or may not be read, is unknown: its content may have been collected
-- since it was found.
if refused() then
    return {'state'}
end

local repo, digest, uuid = ARGV[2], ARGV[3], ARGV[5]
local from = ARGV[8] or ''
local session = P .. 'upload:' .. uuid

if unsure(repo) then
    return {'behind'}
end
if uuid ~= '' then
    local got = redis.call('HMGET', session, 'repository', 'owner')
    if not got[1] then
        if not is_blob(repo, digest) then
            return {'unknown'}
        end
    elseif got[1] ~= repo then
        return {'unknown'}
    elseif got[2] ~= ARGV[6] then
        return {'lost'}
    end
end
if from ~= '' and (unsure(from) or not is_blob(from, digest)
                   or is_broken(digest) or is_off(from, '', 'r'))
then
    return {'unknown'}
end
if is_off(repo, '', 'w') then
    return {'locked'}
end
if collecting(digest) then
    return {'collecting', digest}
end

local seq = next_seq()
redis.call('HSET', P .. 'blobs:' .. repo, digest, ARGV[4])
if from == '' then
    redis.call('SREM', P .. 'broken', digest)
    redis.call('SREM', P .. 'unread', digest)
end
hold(repo, digest)
pending(repo, digest)
touch(repo, digest)
if uuid ~= '' then
    redis.call('DEL', session)
    redis.call('ZREM', P .. 'sessions', uuid)
end

event(seq, 'blob_commit', repo, digest, '', ARGV[7])
publish(seq, 'blob_commit', repo, digest)
return {'ok', seq, plain_link(repo, digest)}
