-- KEYS[1] prefix  ARGV repo, name (a tag, a digest, or "" for the repository)
-- Returns {"ok", what, attributes, state} | {"behind", state}.
-- what: of a tag its digest, of a digest its kinds ("b", "m", "bm"); "": there
-- is to be no link.  attributes: as they are in Redis; "": there is to be no
-- file.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

return {'ok', link(repo, ARGV[2]), attributes(repo, ARGV[2]), STATE}
