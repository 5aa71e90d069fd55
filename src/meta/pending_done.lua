-- KEYS[1] prefix  ARGV state, repo, tag, digest ("" = the tag is gone)
-- Returns {"ok"} | {"changed"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, tag = ARGV[2], ARGV[3]
if (tag_digest(repo, tag) or '') ~= ARGV[4] then
    return {'changed'}
end
redis.call('ZREM', P .. 'pending', repo .. ':' .. tag)
return {'ok'}
