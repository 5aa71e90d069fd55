-- KEYS[1] prefix  ARGV state, repo, token, name (a tag, a digest, or "" for the
-- repository), attributes
-- Returns {"ok"} | {"lost"} | {"state"}.
-- After what they are of; but where something could not be read they stay, for
-- it may be that.
if refused() then
    return {'state'}
end

local repo, name = ARGV[2], ARGV[4]
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

local is_digest = string.find(name, ':', 1, true)
if name == '' or is_unread(repo) or is_digest and is_manifest(repo, name)
   or not is_digest and tag_raw(repo, name)
then
    set_attributes(repo, name, ARGV[5])
end
return {'ok'}
