-- KEYS[1] prefix  ARGV state, repo, name (a tag, a digest, or ""), what its
-- links on disk say now (the digest, the kinds, "", as link_now), and its
-- attributes there
-- Returns {"ok"} | {"changed"} | {"behind"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, name = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end
if link(repo, name) ~= ARGV[4] or attributes(repo, name) ~= (ARGV[5] or '')
then
    return {'changed'}
end
redis.call('ZREM', P .. 'pending', member(repo, name))
return {'ok'}
