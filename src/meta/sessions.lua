-- KEYS[1] prefix  ARGV offset, n (0 to 100)
-- Returns {"ok", more (0|1), then of each session its uuid, repository, offset,
-- time of its begin, held (0|1), time of its end}, those that end first first.
-- There may be fewer of them than n with more = 1.
local offset, n = bounded(ARGV[1], 0, 2 ^ 53), bounded(ARGV[2], 0, 100)
local list = redis.call('ZRANGEBYSCORE', P .. 'sessions', '(' .. now(),
                        '+inf', 'WITHSCORES', 'LIMIT',
                        string.format('%.0f', offset), n + 1)
local answer = {'ok', #list > 2 * n and '1' or '0'}

for i = 1, math.min(#list, 2 * n), 2 do
    local got = redis.call('HMGET', P .. 'upload:' .. list[i], 'repository',
                           'offset', 'started', 'held')
    if got[1] then
        reply(answer, {list[i], got[1], got[2], got[3], got[4],
                       list[i + 1]})
    end
end
return answer
