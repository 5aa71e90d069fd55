-- KEYS[1] prefix  ARGV repo, last ("" = from the start), n (0 to 200), order
-- ("", "timeasc" or "timedesc"), time of last in microseconds ("" = not known),
-- digest ("" = of all manifests)
-- Returns {"ok", exists (0|1), more (0|1), last_looked_at, its_time, state,
-- then of each tag: tag, digest, updated, created, attributes}
-- | {"behind", state}.
-- Passes over what is not to be listed: looks at up to 1000.  Tags of one
-- digest are always in the order of their names.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local n = bounded(ARGV[3], 0, 200)
local head, list
if ARGV[6] == '' then
    head, list = page_of(repo, 'tags:', 'moved:', ARGV[4], ARGV[2], ARGV[5],
                         n)
else
    local more, last
    list, more = page(P .. 'tagsof:' .. repo .. ':' .. ARGV[6], ARGV[2],
                      to_look_at(repo, n))
    list, more, last = listed(repo, list, more, n)
    head = {tostring(more), last, ''}
end

local answer = {'ok',
                redis.call('ZSCORE', P .. 'repos', repo) and '1' or '0',
                head[1], head[2], head[3], STATE}
for _, tag in ipairs(list) do
    local digest, time, first, value = tag_about(repo, tag)
    if digest then
        reply(answer, {tag, digest, time, first, value})
    end
end
return answer
