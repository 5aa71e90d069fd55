-- KEYS[1] prefix  ARGV state, repo, name (a tag, a digest, or "" for the
-- repository), letters of what becomes false, letters of what becomes true
-- (both as in attributes), quarantine state ("" = as it is), details ("" = as
-- they are, else behind "="), actor
-- Returns {"ok", seq} | {"unknown"} | {"behind"} | {"state"}.
-- No lock keeps anybody who may do this from it, or none could be taken off.
if refused() then
    return {'state'}
end

local repo, name = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end

local digest = ''
if name == '' then
    if not redis.call('ZSCORE', P .. 'repos', repo) then
        return {'unknown'}
    end
elseif string.find(name, ':', 1, true) then
    if not is_manifest(repo, name) then
        return {'unknown'}
    end
    digest = name
else
    digest = tag_digest(repo, name)
    if not digest then
        return {'unknown'}
    end
end

local off, state, details = string.match(attributes(repo, name),
                                         '^(%S+) (%S+) ?(.*)$')
off, state, details = off or '', state or '-', details or ''

local now_off = ''
for letter in string.gmatch('dwlr', '.') do
    local set = string.find(ARGV[4], letter, 1, true)
    local keep = string.find(off, letter, 1, true)
                 and not string.find(ARGV[5], letter, 1, true)
    if set or keep then
        now_off = now_off .. letter
    end
end
if ARGV[6] ~= '' then
    state = ARGV[6]
end
if ARGV[7] ~= '' then
    details = string.sub(ARGV[7], 2)
end

local value = ''
if now_off ~= '' or state ~= '-' or details ~= '' then
    value = (now_off ~= '' and now_off or '-') .. ' ' .. state .. ' '
            .. details
end

local seq = next_seq()
set_attributes(repo, name, value)
redis.call('ZADD', P .. 'pending', 'NX', now(), member(repo, name))
event(seq, 'attributes_set', repo, digest,
      name ~= digest and name or '', ARGV[8])
publish(seq, 'attributes_set', repo, name)
return {'ok', seq}
