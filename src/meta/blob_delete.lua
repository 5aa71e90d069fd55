-- KEYS[1] prefix  ARGV state, repo, digest, actor
-- Returns {"ok", seq} | {"unknown"} | {"behind"} | {"state"}.
-- Takes no notice of references; their counts stay.
if refused() then
    return {'state'}
end

local repo, digest = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end
if not is_blob(repo, digest) then
    return {'unknown'}
end

return {'ok', remove_blob(repo, digest, ARGV[4])}
