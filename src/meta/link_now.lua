-- KEYS[1] prefix  ARGV repo, name (a tag, or a digest)
-- Returns {"ok", what, state} | {"miss", state}.  what: of a tag its digest, of
-- a digest its kinds ("b", "m", "bm").
-- A tag that a Redis which is behind brought along may be older than the link
-- on disk, so it is a miss.
local repo, name = ARGV[1], ARGV[2]
local what, now_state = link(repo, name), state()

if what ~= '' and is_behind(now_state) then
    local tag = redis.call('HGET', P .. 'tag:' .. repo, name)
    local seq = tag and tonumber(string.match(tag, ' (%d+)$')) or math.huge
    if seq <= tonumber(redis.call('GET', P .. 'behind') or '0') then
        what = ''
    end
end

if what == '' then
    return {'miss', now_state}
end
return {'ok', what, now_state}
