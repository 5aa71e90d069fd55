-- KEYS[1] prefix  ARGV state, owner (of the work "rebuild", of this run alone)
-- Returns {"ok", state} | {"busy"} | {"lost"} | {"state"}.
-- All repositories of the volume were rebuilt: this Redis is complete, unless
-- one of them is under way still.  lost: not by a run that began since this
-- Redis fell behind, for that takes the work from whoever is at it.
if refused() then
    return {'state'}
end
if not BEHIND then
    return {'ok', STATE}
end
if lost_work(work_key('rebuild'), ARGV[2]) then
    return {'lost'}
end
if redis.call('EXISTS', P .. 'rebuilding') == 1 then
    return {'busy'}
end

STATE = string.sub(STATE, 1, -8)
redis.call('SET', P .. 'state', STATE)
redis.call('UNLINK', P .. 'current')

-- What the rebuild has found is no event.
begin()
return {'ok', STATE}
