-- KEYS[1] prefix  ARGV state
-- Returns {"ok", state} | {"busy"} | {"state"}.
-- All repositories of the volume were rebuilt: this Redis is complete, unless
-- one of them is under way still.
if refused() then
    return {'state'}
end
if not BEHIND then
    return {'ok', STATE}
end
if redis.call('EXISTS', P .. 'rebuilding') == 1 then
    return {'busy'}
end

STATE = string.sub(STATE, 1, -8)
redis.call('SET', P .. 'state', STATE)
redis.call('UNLINK', P .. 'current')
return {'ok', STATE}
