-- KEYS[1] prefix  ARGV run_id, mark, epoch, certain (0|1), empty (0|1)
-- Returns {"complete"|"behind", state, why} | {"newer", state, reason}.
-- mark: the highest acknowledged sequence on disk, decimal; "0" if none.
-- certain: no higher mark was lost.  empty: the volume holds nothing.
-- why, of a state that is new: "", "new" (this Redis), "schema" (it had an
-- older one), "volume" (it is of another), "lost" (changes), "power" (whether
-- any were lost is not known).
-- A Redis that was behind and has lost nothing since stays so, and goes on.
-- newer: its index has a schema that we do not know.  Nothing is changed.
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

local function answer(why)
    return {string.sub(STATE, -7) == ':behind' and 'behind' or 'complete',
            STATE, why}
end

if not string.find(mark, '^%d+$') then
    return redis.error_reply('ERR the mark is no number')
end

local number = schema()
if number > SCHEMA then
    return {'newer', STATE,
            string.format('its index has schema %.0f, and this module knows '
                          .. 'none above %.0f', number, SCHEMA)}
end

-- An older schema is kept as long as we can write it: there may be nodes that
-- know no other.  Else the index is made anew.
local older = number > 0 and number < OLDEST
local old_run, old_epoch, rest
if number >= OLDEST then
    old_run, old_epoch, rest = string.match(STATE, '^([^:]*):([^:]*)(:.*)$')
else
    number = SCHEMA
end

mark = digits(mark)
local seq = digits(redis.call('GET', P .. 'seq') or '0')
local why = ''

-- The same run may have lost something, too: if it has been a replica of one
-- that was behind it.
if old_run == run_id and old_epoch == epoch and not less(seq, mark) then
    return answer('')
end

if not old_run then
    if older or seq ~= '' or mark ~= '' or ARGV[5] ~= '1' then
        why = less(seq, mark) and 'lost' or older and 'schema' or 'new'
    end
    rest = ':' .. generation(number)
elseif old_epoch ~= epoch then
    why = 'volume'
elseif less(seq, mark) then
    why = 'lost'
elseif ARGV[4] ~= '1' then
    why = 'power'
end

if less(seq, mark) then
    -- The sequence does not go back, whatever was lost.
    redis.call('SET', P .. 'seq', mark)
end
if why ~= '' then
    fall_behind(run_id, epoch, number)
else
    -- What is current is so, but of what was applied to other repositories the
    -- run before this one may have had more: who rebuilds them begins again.
    redis.call('UNLINK', P .. 'rebuilding', P .. 'work:rebuild')
    STATE = run_id .. ':' .. epoch .. rest
    redis.call('SET', P .. 'state', STATE)
    if not old_run then
        begin()
    end
end
return answer(why)
