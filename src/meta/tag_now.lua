-- KEYS[1] prefix  ARGV repo, tag
-- Returns {"ok", digest, state} | {"miss", state}.
local digest = tag_digest(ARGV[1], ARGV[2])
if not digest then
    return {'miss', state()}
end
return {'ok', digest, state()}
