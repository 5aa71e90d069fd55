-- KEYS[1] prefix  ARGV key... (what has failed, in hex)
-- Returns {"ok", n...}: how often each has in the last minute, this one too.
local answer = {'ok'}
for i = 1, #ARGV do
    local key = P .. 'failures:' .. ARGV[i]
    local n = redis.call('INCR', key)
    if n == 1 then
        redis.call('EXPIRE', key, 60)
    end
    answer[i + 1] = string.format('%.0f', n)
end
return answer
