-- KEYS[1] prefix  ARGV state
-- Returns {"ok", state} | {"state"}.
-- The operator says that the directory is right and this Redis is not.  Then it
-- is made in our schema, also if it had an older one.
if refused() then
    return {'state'}
end
if not BEHIND then
    local run_id, epoch = string.match(STATE, '^([^:]*):([^:]*)')
    fall_behind(run_id, epoch, SCHEMA)
end
return {'ok', STATE}
