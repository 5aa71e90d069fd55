-- KEYS[1] prefix  ARGV state, repo, digest, actor
-- Returns {"ok", seq} | {"unknown"} | {"locked"} | {"behind"} | {"state"}.
-- Takes no notice of references; their counts stay.  But where something of the
-- repository is locked, what any manifest refers to stays: that may be it.
if refused() then
    return {'state'}
end

local repo, digest = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end
if not is_blob(repo, digest) then
    return {'unknown'}
end

if is_off(repo, '', 'w')
   or redis.call('EXISTS', P .. 'locked:' .. repo) == 1
      and (redis.call('HEXISTS', P .. 'refs:' .. repo, digest) == 1
           or is_unread(repo))
then
    return {'locked'}
end

return {'ok', remove_blob(repo, digest, ARGV[4])}
