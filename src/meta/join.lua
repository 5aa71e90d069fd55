-- KEYS[1] prefix  ARGV run_id, mark, epoch
-- Returns {"complete"|"behind", state}.
-- mark: the highest acknowledged sequence on disk, decimal; "0" if none.
-- A Redis that was behind stays behind through its restarts (writes have gone
-- on, so its sequence proves nothing); only a finished rebuild ends that.
local run_id, mark, epoch = ARGV[1], ARGV[2], ARGV[3]

local function digits(s)
    s = string.gsub(s, '^0+', '')
    return s
end

local function less(a, b)
    if #a ~= #b then
        return #a < #b
    end
    return a < b
end

local old = state()
if string.sub(old, 1, #run_id + 1) == run_id .. ':' then
    return {is_behind(old) and 'behind' or 'complete', old}
end

mark = digits(mark)
local seq = digits(redis.call('GET', P .. 'seq') or '0')
local new = run_id .. ':' .. epoch

if is_behind(old) or less(seq, mark) then
    if less(seq, mark) then
        -- The sequence does not go back, whatever was lost.
        redis.call('SET', P .. 'seq', mark)
        seq = mark
    end
    redis.call('SET', P .. 'behind', seq == '' and '0' or seq)
    new = new .. ':behind'
    redis.call('SET', P .. 'state', new)
    return {'behind', new}
end

redis.call('SET', P .. 'state', new)
return {'complete', new}
