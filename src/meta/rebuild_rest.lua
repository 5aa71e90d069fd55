-- KEYS[1] prefix  ARGV last ("" = from the start), n (1 to 1000)
-- Returns {"ok", more (0|1), state, last_looked_at, name...}: repositories of
-- this Redis that are not current, and, from the start, up to 1000 of those
-- whose rebuild was begun (a repository that was emptied is in no other list).
-- With more = 1 the next call starts after the last one looked at.
local list, more = page(P .. 'repos', ARGV[1], bounded(ARGV[2], 1, LIMIT))
local found = {}

if ARGV[1] == '' then
    found = redis.call('HRANDFIELD', P .. 'rebuilding', LIMIT)
end
for _, repo in ipairs(list) do
    if unsure(repo) then
        found[#found + 1] = repo
    end
end
return reply({'ok', tostring(more), STATE, list[#list] or ''}, found)
