-- KEYS[1] prefix  ARGV state, repo, digest, actor
-- Returns {"ok", seq} | {"unknown"} | {"state"}.
-- Takes no notice of references; their counts stay.
if refused() then
    return {'state'}
end

local repo, digest = ARGV[2], ARGV[3]
if not is_blob(repo, digest) then
    return {'unknown'}
end

local seq = next_seq()
redis.call('HDEL', P .. 'blobs:' .. repo, digest)
pending(repo, digest)
let_go(repo, digest)
tidy(repo)

event(seq, 'blob_delete', repo, digest, '', ARGV[4])
publish(seq, 'blob_delete', repo, digest)
return {'ok', seq}
