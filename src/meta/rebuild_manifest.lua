-- KEYS[1] prefix
-- ARGV state, repo, token, digest, size, mediaType, subject (""),
-- artifactType (""), descriptor ("" without subject), time of its link in
-- microseconds, nrefs, then for each reference its kind and digest, as for
-- manifest_put
-- Returns {"ok"} | {"lost"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, digest = ARGV[2], ARGV[4]
local nrefs = count_refs(11)
if not nrefs then
    return redis.error_reply(BAD_REFS)
end
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

add_manifest(repo, digest, ARGV[5] .. ' ' .. ARGV[6],
             {subject = ARGV[7], type = ARGV[8], descriptor = ARGV[9]},
             ARGV[10], 11, nrefs)
note_untagged(repo, digest)
redis.call('SREM', P .. 'unread', digest)
return {'ok'}
