-- KEYS[1] prefix  ARGV repo, digest, touch (0|1)
-- Returns {"ok", size, state} | {"miss", state} | {"locked", state} (nothing
-- may be read there, what is to come from elsewhere neither)
-- | {"behind", state}.
local repo, digest = ARGV[1], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end

local size = redis.call('HGET', P .. 'blobs:' .. repo, digest)
local odd = is_odd(repo)
if odd and is_off(repo, '', 'r') then
    return {'locked', STATE}
end
if not size or odd and is_broken(digest) then
    return {is_unread(repo) and 'behind' or 'miss', STATE}
end
if ARGV[3] == '1' then
    touch(repo, digest, true)
end
return {'ok', size, STATE}
