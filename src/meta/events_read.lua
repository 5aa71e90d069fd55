-- KEYS[1] prefix  ARGV after (a sequence; "" = tell only the newest), n (1 to
-- 1000)
-- Returns {"ok", state, gap (0|1), next, then for each event its seq, action,
-- repository, digest, tag, actor}.
-- The events after that sequence, in order: n at most, and 1 MiB (one alone may
-- be larger).  next: where the next call goes on, which is the newest sequence
-- if there are no more.  gap: there were others, or may have been, since the
-- log does not reach back so far, a history has begun since (see begin()), or
-- the sequence is none of this Redis; then there are none, and next is the
-- newest.
local key, after = P .. 'events', ARGV[1]
local newest = redis.call('GET', P .. 'seq') or '0'

if after == '' or after == newest then
    return {'ok', STATE, '0', newest}
end

local gap = {'ok', STATE, '1', newest}

if not (tonumber(after) < tonumber(newest))
   or #redis.call('XREVRANGE', key, after .. '-0', '-', 'COUNT', 1) == 0
then
    return gap
end

local n, room = bounded(ARGV[2], 1, LIMIT), 1048576
local last, id = newest, after .. '-0'
local found = {}

-- No more than a hundred at once: an entry may have a hundred tags.
while true do
    local look = math.min(n - #found / 6 + 1, 100)
    local list = redis.call('XRANGE', key, '(' .. id, '+', 'COUNT',
                            string.format('%.0f', look))
    for _, entry in ipairs(list) do
        local fields, size = entry[2], 0
        if fields[4] == 'begin' then
            return gap
        end
        for i = 2, 12, 2 do
            size = size + #fields[i]
        end
        room = room - size
        if #found == 6 * n or #found > 0 and room < 0 then
            return reply({'ok', STATE, '0', last}, found)
        end
        for i = 2, 12, 2 do
            found[#found + 1] = fields[i]
        end
        id, last = entry[1], fields[2]
    end
    if #list < look then
        return reply({'ok', STATE, '0', newest}, found)
    end
end
