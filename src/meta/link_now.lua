-- KEYS[1] prefix  ARGV repo, name... (tags, digests, or "" for the repository)
-- Returns {"ok", itself (0|1), state, then of each name: what, attributes}
-- | {"behind", state}.
-- itself: the attributes of the repository are pending as well; who settles any
-- name of it sees to these, too, so that it does not get back those that ended
-- when it was emptied.  what: of a tag its digest, of a digest its kinds ("b",
-- "m", "bm"); "": there is to be no link.  attributes: as they are in Redis;
-- "": there is to be no file.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local now = {'ok',
             redis.call('ZSCORE', P .. 'pending', repo .. ':') and '1' or '0',
             STATE}
for i = 2, #ARGV do
    now[#now + 1] = link(repo, ARGV[i])
    now[#now + 1] = attributes(repo, ARGV[i])
end
return now
