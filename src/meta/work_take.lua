-- KEYS[1] prefix  ARGV state, kind ("rebuild", "gc", "scrub"), owner,
-- every (as for work_due; none: take it whether it is due or not)
-- Returns {"ok", request, at} | {"busy"} | {"unknown"} | {"state"}.
-- The work is the caller's now.  at: where who was at it before has stopped, ""
-- if it begins; request: what it was asked for with, "" if by nobody.  unknown:
-- somebody else has done it.
if refused() then
    return {'state'}
end

local kind, owner = ARGV[2], ARGV[3]
local key = work_key(kind)
if working(kind) then
    return {'busy'}
end
if ARGV[4] and not due(kind, ARGV[4]) then
    return {'unknown'}
end

local got = redis.call('HMGET', key, 'running', 'request', 'at', 'requested',
                       'wanted')
local request, at = got[2] or '', got[3] or ''
if got[1] ~= '1' then
    request, at = got[4] == '1' and got[5] or '', ''
    redis.call('DEL', key)
    redis.call('HSET', key, 'running', '1', 'started', now(), 'requested',
               '0', 'request', request)
end
redis.call('HSET', key, 'owner', owner, 'until',
           string.format('%.0f', now() + LEASE))
return {'ok', request, at}
