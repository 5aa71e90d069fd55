-- KEYS[1] prefix  ARGV none
-- Returns {"ok", then pairs: name, value}.
local function size(command, name)
    return tostring(redis.call(command, P .. name))
end

local function finished(kind)
    return redis.call('HGET', work_key(kind), 'finished') or '0'
end

local oldest = redis.call('ZRANGE', P .. 'pending', 0, 0, 'WITHSCORES')

return {'ok',
        'state', BEHIND and 'behind' or 'complete',
        'schema', tostring(schema()),
        'generation', STATE,
        'sequence', redis.call('GET', P .. 'seq') or '0',
        'repositories', size('ZCARD', 'repos'),
        'current', size('SCARD', 'current'),
        'sessions', tostring(redis.call('ZCOUNT', P .. 'sessions',
                                        '(' .. now(), '+inf')),
        'pending', size('ZCARD', 'pending'),
        'pending_age', string.format('%.0f', oldest[2]
                                       and math.max(now() - oldest[2], 0)
                                       or 0),
        'removing', size('ZCARD', 'removing'),
        'candidates', size('ZCARD', 'candidates'),
        'collecting', size('ZCARD', 'collecting'),
        'untagged', size('ZCARD', 'untagged'),
        'broken', size('SCARD', 'broken'),
        'gc_finished', finished('gc'),
        'scrub_finished', finished('scrub'),
        'unread', size('SCARD', 'unread'),
        'events', size('XLEN', 'events')}
