-- KEYS[1] prefix  ARGV state, repo, name (a tag, or a digest), what its links
-- on disk say now: the digest, the kinds (as link_now), "" = there is none
-- Returns {"ok"} | {"changed"} | {"behind"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, name = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end
if link(repo, name) ~= ARGV[4] then
    return {'changed'}
end
redis.call('ZREM', P .. 'pending', member(repo, name))
return {'ok'}
