-- KEYS[1] prefix  ARGV state, repo, tag, actor, conditions
-- Returns {"ok", seq, digest} | {"unknown"} | {"changed"} | {"locked"}
-- | {"behind"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, tag = ARGV[2], ARGV[3]
if unsure(repo) then
    return {'behind'}
end

local digest = tag_raw(repo, tag)
if not digest then
    return {'unknown'}
end
if is_off(repo, '', 'w') or is_off(repo, tag, 'dw') then
    return {'locked'}
end
if unexpected(repo, ARGV[5]) then
    return {'changed'}
end

local seq = next_seq()
forget_attributes(repo, tag)
redis.call('HDEL', P .. 'tag:' .. repo, tag)
redis.call('ZREM', P .. 'tags:' .. repo, tag)
redis.call('ZREM', P .. 'moved:' .. repo, tag)
redis.call('ZREM', P .. 'tagsof:' .. repo .. ':' .. digest, tag)
pending(repo, tag)
note_untagged(repo, digest)
updated(repo, seq)

event(seq, 'tag_delete', repo, digest, tag, ARGV[4])
publish(seq, 'tag_delete', repo, tag)
tidy(repo)
return {'ok', seq, digest}
