-- KEYS[1] prefix  ARGV state, repo, token, then tag, digest, time and time of
-- its first put in microseconds of each (up to 250), after the manifests
-- Returns {"ok", tag...} | {"lost"} | {"state"}: the tags of what is no
-- manifest, which were passed over.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if #ARGV > 1003 or #ARGV % 4 ~= 3 then
    return redis.error_reply('ERR up to 250 tags, of four arguments')
end
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

local answer = {'ok'}
for i = 4, #ARGV, 4 do
    local tag, digest = ARGV[i], ARGV[i + 1]
    if is_manifest(repo, digest) then
        set_tag(repo, tag, digest, ARGV[i + 2], ARGV[i + 3])
        note_untagged(repo, digest)
    else
        answer[#answer + 1] = tag
    end
end
return answer
