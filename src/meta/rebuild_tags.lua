-- KEYS[1] prefix  ARGV state, repo, token, then tag, digest and time in
-- microseconds of each (up to 300), after the manifests
-- Returns {"ok", tag...} | {"lost"} | {"state"}: the tags of what is no
-- manifest, which were passed over.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if #ARGV > 903 or #ARGV % 3 ~= 0 then
    return redis.error_reply('ERR up to 300 tags, of three arguments')
end
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

local answer = {'ok'}
for i = 4, #ARGV, 3 do
    local tag, digest = ARGV[i], ARGV[i + 1]
    if is_manifest(repo, digest) then
        set_tag(repo, tag, digest, ARGV[i + 2])
        note_untagged(repo, digest)
    else
        answer[#answer + 1] = tag
    end
end
return answer
