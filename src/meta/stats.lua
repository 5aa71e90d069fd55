-- KEYS[1] prefix  ARGV none
-- Returns {"ok", then pairs: name, value}.
local function size(command, name)
    return tostring(redis.call(command, P .. name))
end

local oldest = redis.call('ZRANGE', P .. 'pending', 0, 0, 'WITHSCORES')

redis.call('ZREMRANGEBYSCORE', P .. 'sessions', '-inf', now())

return {'ok',
        'state', BEHIND and 'behind' or 'complete',
        'generation', STATE,
        'sequence', redis.call('GET', P .. 'seq') or '0',
        'repositories', size('ZCARD', 'repos'),
        'current', size('SCARD', 'current'),
        'sessions', size('ZCARD', 'sessions'),
        'pending', size('ZCARD', 'pending'),
        'pending_age', tostring(oldest[2] and now() - oldest[2] or 0),
        'removing', size('ZCARD', 'removing'),
        'candidates', size('ZCARD', 'candidates'),
        'collecting', size('ZCARD', 'collecting'),
        'untagged', size('ZCARD', 'untagged'),
        'broken', size('SCARD', 'broken'),
        'events', size('XLEN', 'events')}
