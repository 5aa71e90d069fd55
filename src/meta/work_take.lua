-- KEYS[1] prefix  ARGV state, kind ("rebuild", "gc", "scrub"), owner
-- Returns {"ok", request, at} | {"busy"} | {"state"}.
-- The work is the caller's now.  at: where who was at it before has stopped, ""
-- if it begins; request: what it was asked for with.
if refused() then
    return {'state'}
end

local kind, owner = ARGV[2], ARGV[3]
local key = work_key(kind)
if working(kind) then
    return {'busy'}
end

local got = redis.call('HMGET', key, 'running', 'requested', 'request', 'at')
local again = got[1] == '1'
local request = (again or got[2] == '1') and got[3] or ''
local at = again and got[4] or ''
if not again then
    redis.call('DEL', key)
    redis.call('HSET', key, 'running', '1', 'started', now(), 'request',
               request)
end
redis.call('HSET', key, 'requested', '0', 'owner', owner, 'until',
           string.format('%.0f', now() + LEASE))
return {'ok', request, at}
