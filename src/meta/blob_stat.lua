-- KEYS[1] prefix  ARGV repo, digest, touch (0|1)
-- Returns {"ok", size, state} | {"miss", state} | {"locked", state} (it may
-- not be read) | {"locked", state, "miss"} (nor what is to come from elsewhere)
-- | {"behind", state}.
local repo, digest = ARGV[1], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end

local size = redis.call('HGET', P .. 'blobs:' .. repo, digest)
local odd = is_odd(repo)
local locked = odd and is_off(repo, '', 'r')
if not size or odd and is_broken(digest) then
    return not_found(repo, locked)
end
if locked then
    return {'locked', STATE}
end
if ARGV[3] == '1' then
    touch(repo, digest, true)
end
return {'ok', size, STATE}
