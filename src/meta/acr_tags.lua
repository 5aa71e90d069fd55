-- KEYS[1] prefix  ARGV repo, last ("" = from the start), n (0 to 200), order
-- ("", "timeasc" or "timedesc"), time of last in microseconds ("" = not known),
-- digest ("" = of all manifests)
-- Returns {"ok", exists (0|1), more (0|1), last, its_time, state,
-- then of each tag: tag, digest, updated, created, attributes}
-- | {"behind", state}.
-- Passes over what is not to be listed: looks at up to 1000.  Of 1000 tags or
-- more of one digest the order is always that of their names.
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
    head, list = page_of_digest(repo, ARGV[6], ARGV[4], ARGV[2], ARGV[5], n)
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
