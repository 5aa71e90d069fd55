-- KEYS[1] prefix  ARGV repo, name (a tag, or a digest)
-- Returns {"ok", what, state} | {"miss", state} | {"behind", state}.
-- what: of a tag its digest, of a digest its kinds ("b", "m", "bm").
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local what = link(repo, ARGV[2])
if what == '' then
    return {'miss', STATE}
end
return {'ok', what, STATE}
