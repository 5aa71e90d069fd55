-- KEYS[1] prefix  ARGV repo, name (a tag, a digest, or "" for the repository)
-- Returns {"ok", what, attributes, itself (0|1), state} | {"behind", state}.
-- what: of a tag its digest, of a digest its kinds ("b", "m", "bm"); "": there
-- is to be no link.  attributes: as they are in Redis; "": there is to be no
-- file.  itself: the attributes of the repository are pending as well; who
-- settles any name of it sees to these, too, so that it does not get back those
-- that ended when it was emptied.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

return {'ok', link(repo, ARGV[2]), attributes(repo, ARGV[2]),
        redis.call('ZSCORE', P .. 'pending', repo .. ':') and '1' or '0',
        STATE}
