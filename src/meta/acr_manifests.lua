-- KEYS[1] prefix  ARGV repo, last ("" = from the start), n (0 to 100), order
-- ("", "timeasc" or "timedesc"), time of last in microseconds ("" = not known)
-- Returns {"ok", exists (0|1), more (0|1), last_looked_at, its_time, state,
-- then of each manifest: digest, "<size> <media type>", time, attributes,
-- ntags, tag...} | {"behind", state}.
-- Passes over what is not to be listed: looks at up to 1000.  Of a manifest it
-- tells up to 50 tags.
local repo = ARGV[1]

if unsure(repo) then
    return {'behind', STATE}
end

local head, list = page_of(repo, 'digests:', 'pushed:', ARGV[4], ARGV[2],
                           ARGV[5], bounded(ARGV[3], 0, 100))
local answer = {'ok',
                redis.call('ZSCORE', P .. 'repos', repo) and '1' or '0',
                head[1], head[2], head[3], STATE}
for _, digest in ipairs(list) do
    local value, time, attrs = manifest_about(repo, digest)
    local tags = redis.call('ZRANGE', P .. 'tagsof:' .. repo .. ':' .. digest,
                            0, 49)
    reply(answer, {digest, value, time, attrs, tostring(#tags)})
    reply(answer, tags)
end
return answer
