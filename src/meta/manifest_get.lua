-- KEYS[1] prefix  ARGV repo, reference, kind ("tag"|"digest")
-- Returns {"ok", digest, size, mediaType, state} | {"miss", state}
-- | {"locked", state} (what is there may not be read)
-- | {"locked", state, "miss"} (nor what is to come from elsewhere)
-- | {"behind", state}.
local repo, name, digest = ARGV[1], ARGV[2], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end
if ARGV[3] == 'tag' then
    digest = tag_raw(repo, name)
end

local value = digest and redis.call('HGET', P .. 'manifests:' .. repo, digest)
local odd = is_odd(repo)
local locked = odd and is_off(repo, '', 'r')
if not value or odd and is_broken(digest) then
    return not_found(repo, locked)
end

if locked then
    return {'locked', STATE}
end
if odd then
    local values = redis.call('HMGET', P .. 'attributes:' .. repo, name,
                              digest)
    if has_off(values[1], 'r') or has_off(values[2], 'r') then
        return {'locked', STATE}
    end
end

local size, media = string.match(value, '^(%d+) (.*)$')
return {'ok', digest, size, media, STATE}
