-- KEYS[1] prefix  ARGV state, repo, then of each name (a tag, a digest, or ""):
-- the name, what its links on disk say now (the digest, the kinds, "", as
-- link_now), and its attributes there
-- Returns {"ok"} | {"changed"} (one of them is something else by now; the
-- others are done) | {"behind"} | {"state"}.
if refused() then
    return {'state'}
end

local repo = ARGV[2]
if unsure(repo) then
    return {'behind'}
end

local answer = 'ok'
for i = 3, #ARGV, 3 do
    local name = ARGV[i]
    if link(repo, name) == ARGV[i + 1]
       and attributes(repo, name) == (ARGV[i + 2] or '')
    then
        redis.call('ZREM', P .. 'pending', member(repo, name))
    else
        answer = 'changed'
    end
end
return {answer}
