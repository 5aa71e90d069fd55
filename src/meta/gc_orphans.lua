-- KEYS[1] prefix  ARGV state, digest... (up to 1000)
-- Returns {"ok", added} | {"behind"} | {"state"}.
-- Digests whose files were found: those that no repository holds become
-- candidates, unless they are.
if refused() then
    return {'state'}
end
if BEHIND then
    return {'behind'}
end

local added = 0
for i = 2, math.min(#ARGV, LIMIT + 1) do
    local digest = ARGV[i]
    if redis.call('EXISTS', P .. 'in:' .. digest) == 0 then
        added = added + redis.call('ZADD', P .. 'candidates', 'NX', now(),
                                   digest)
    end
end
return {'ok', tostring(added)}
