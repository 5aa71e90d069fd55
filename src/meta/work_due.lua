-- KEYS[1] prefix  ARGV gc_every, scrub_every (seconds; 0 = on request only)
-- Returns {"ok", rebuild, gc, scrub (0|1 each)}: work that waits for somebody.
local function due(kind, every)
    if working(kind) then
        return '0'
    end
    local got = redis.call('HMGET', work_key(kind), 'requested', 'running',
                           'finished')
    every = bounded(every, 0, 2 ^ 31)
    return (got[1] == '1' or got[2] == '1'
            or every > 0 and now() - (got[3] or 0) >= every)
           and '1' or '0'
end

return {'ok', BEHIND and not working('rebuild') and '1' or '0',
        BEHIND and '0' or due('gc', ARGV[1]), due('scrub', ARGV[2])}
