-- KEYS[1] prefix  ARGV state, repo, token
-- Returns {"ok"} | {"lost"} | {"state"}.
-- The rebuild has failed: it is nobody's, so that whoever wants the repository
-- need not wait for the end of a lease.  It stays begun: the repository may be
-- in no other list.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if lost_rebuild(repo, ARGV[3]) then
    return {'lost'}
end

redis.call('HSET', P .. 'rebuilding', repo, '0 -')
return {'ok'}
