-- KEYS[1] prefix  ARGV repo, digest, touch (0|1)
-- Returns {"ok", size, state} | {"miss", state} | {"locked", state} (it may
-- not be read) | {"behind", state}.
local repo, digest = ARGV[1], ARGV[2]

if unsure(repo) then
    return {'behind', STATE}
end

local size = redis.call('HGET', P .. 'blobs:' .. repo, digest)
local odd = size and is_odd(repo)
if not size or odd and is_broken(digest) then
    return {is_unread(repo) and 'behind' or 'miss', STATE}
end
if odd and is_off(repo, '', 'r') then
    return {'locked', STATE}
end
if ARGV[3] == '1' then
    touch(repo, digest, true)
end
return {'ok', size, STATE}
