-- KEYS[1] prefix  ARGV state, repo, token, digest ("": of a tag)
-- Returns {"ok"} | {"lost"} | {"state"}.
-- There is a name, but it or what it leads to could not be read.  That may be
-- needed, and may be a manifest that needs others: the collector keeps all of
-- it.  And a miss is no answer in this repository.
if refused() then
    return {'state'}
end
if lost_rebuild(ARGV[2], ARGV[3]) then
    return {'lost'}
end

redis.call('SADD', P .. 'unread', ARGV[2])
if ARGV[4] ~= '' then
    redis.call('SADD', P .. 'unread', ARGV[4])
end
return {'ok'}
