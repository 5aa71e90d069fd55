-- KEYS[1] prefix  ARGV repo, reference, kind ("tag"|"digest")
-- Returns {"ok", digest, size, mediaType, state} | {"miss", state}
-- | {"locked", state} (what is there may not be read) | {"behind", state}.
local repo, name, digest = ARGV[1], ARGV[2], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end
if ARGV[3] == 'tag' then
    digest = tag_raw(repo, name)
end

local value = digest and redis.call('HGET', P .. 'manifests:' .. repo, digest)
if not value or is_broken(digest) then
    return {is_unread(repo) and 'behind' or 'miss', STATE}
end

if redis.call('EXISTS', P .. 'attributes:' .. repo) == 1
   and (is_off(repo, '', 'r') or is_off(repo, name, 'r')
        or is_off(repo, digest, 'r'))
then
    return {'locked', STATE}
end

local size, media = string.match(value, '^(%d+) (.*)$')
return {'ok', digest, size, media, STATE}
