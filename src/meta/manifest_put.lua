-- KEYS[1] prefix
-- ARGV state, repo, digest, size, mediaType, subject (""), artifactType (""),
-- descriptor ("" without subject), conditions, actor, ntags, tag...,
-- nrefs, then for each reference its kind (b, m, o, n) and digest; which of
-- them must be there is missing_ref's
-- Returns {"ok", seq, kinds} | {"missing", digest} | {"collecting", digest}
-- | {"changed"} | {"locked"} | {"behind"} | {"state"}.  kinds: plain_link's of
-- the digest.
if refused() then
    return {'state'}
end

local repo, digest, size, media = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local about = {subject = ARGV[6], type = ARGV[7], descriptor = ARGV[8]}
local conditions, actor = ARGV[9], ARGV[10]

local ntags = tonumber(ARGV[11]) or -1
if ntags < 0 or ntags > 100 then
    return redis.error_reply('ERR 0 to 100 tags')
end
local base = 12 + ntags
local nrefs = count_refs(base)
if not nrefs then
    return redis.error_reply(BAD_REFS)
end

if unsure(repo) then
    return {'behind'}
end

-- A removal of this digest is under way: help it, so that what it has still
-- to remove is not taken for part of the new manifest.
if redis.call('HEXISTS', P .. 'hidden:' .. repo, digest) == 1 then
    local _, more = remove_slice(repo, digest, LIMIT)
    if more == 1 then
        return {'collecting', digest}
    end
end

if collecting(digest) then
    return {'collecting', digest}
end

if is_off(repo, '', 'w') then
    return {'locked'}
end
for i = 1, ntags do
    if is_off(repo, ARGV[11 + i], 'w') then
        return {'locked'}
    end
end

if unexpected(repo, conditions) then
    return {'changed'}
end

local missing, wrong = missing_ref(repo, base, nrefs)
if wrong then
    return wrong
end
if missing then
    return {'missing', missing}
end

local seq = next_seq()
add_manifest(repo, digest, size .. ' ' .. media, about, seq, base, nrefs)
redis.call('SREM', P .. 'broken', digest)
redis.call('SREM', P .. 'unread', digest)
pending(repo, digest)

local tags = {}
for i = 1, ntags do
    tags[i] = ARGV[11 + i]
    set_tag(repo, tags[i], digest, seq)
    pending(repo, tags[i])
end
note_untagged(repo, digest)
updated(repo, seq)

event(seq, 'manifest_put', repo, digest, table.concat(tags, ' '), actor)
publish(seq, 'manifest_put', repo, digest)
for _, tag in ipairs(tags) do
    publish(seq, 'manifest_put', repo, tag)
end
return {'ok', seq, plain_link(repo, digest)}
