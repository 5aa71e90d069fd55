-- KEYS[1] prefix  ARGV state, repo, before (a sequence; "" = it begins now)
-- Returns {"ok", before, kind ("m", "b", ""), digest...} | {"unknown"}
-- | {"locked"} | {"behind"} | {"state"}.
-- What is to be deleted next for the whole repository to go: up to 100
-- manifests that were put before its deletion began, or whose removal is under
-- way; then blobs that no manifest needs; "" when there is nothing left, or it
-- is needed.
if refused() then
    return {'state'}
end

local repo, before = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end

if before == '' and not redis.call('ZSCORE', P .. 'repos', repo) then
    return {'unknown'}
end
if is_off(repo, '', 'dw')
   or redis.call('EXISTS', P .. 'locked:' .. repo) == 1
then
    return {'locked'}
end
if before == '' then
    before = next_seq()
end

local list = redis.call('ZRANGEBYSCORE', P .. 'pushed:' .. repo, '-inf',
                        before, 'LIMIT', 0, 100)
if #list == 0 then
    list = redis.call('HRANDFIELD', P .. 'hidden:' .. repo, 100)
end
if #list > 0 then
    return reply({'ok', before, 'm'}, list)
end

-- HSCAN has all of a hash, whatever it has been given; 10 times 100 of it are
-- looked at, and where those are needed the rest is left to the collector.
local found, cursor = {}, '0'
for _ = 1, 10 do
    local page = redis.call('HSCAN', P .. 'blobs:' .. repo, cursor, 'COUNT',
                            100)
    cursor = page[1]
    for i = 1, #page[2], 2 do
        local digest = page[2][i]
        if #found < 100
           and redis.call('HEXISTS', P .. 'refs:' .. repo, digest) == 0
        then
            found[#found + 1] = digest
        end
    end
    if #found > 0 or cursor == '0' then
        break
    end
end
return reply({'ok', before, #found > 0 and 'b' or ''}, found)
