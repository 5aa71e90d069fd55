-- KEYS[1] prefix
-- ARGV state, repo, digest, size, mediaType, subject (""), artifactType (""),
-- descriptor ("" without subject), conditions, actor, ntags, tag...,
-- nrefs, then for each reference its kind (b, m, o) and digest; which of them
-- must be there is missing_ref's
-- Returns {"ok", seq} | {"missing", digest} | {"collecting", digest}
-- | {"changed"} | {"state"}.
if refused() then
    return {'state'}
end

local repo, digest, size, media = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local subject, atype, descriptor = ARGV[6], ARGV[7], ARGV[8]
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

-- A removal of this digest is under way: help it, so that what it has still
-- to remove is not taken for part of the new manifest.
if redis.call('ZSCORE', P .. 'removing', repo .. ' ' .. digest) then
    local _, more = remove_slice(repo, digest, LIMIT)
    if more == 1 then
        return {'collecting', digest}
    end
end

if redis.call('EXISTS', P .. 'collecting') == 1 then
    if collecting(digest) then
        return {'collecting', digest}
    end
    if subject ~= '' and collecting(subject) then
        return {'collecting', subject}
    end
    for i = 1, nrefs do
        if collecting(ARGV[base + 2 * i]) then
            return {'collecting', ARGV[base + 2 * i]}
        end
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
redis.call('HSET', P .. 'manifests:' .. repo, digest, size .. ' ' .. media)
hold(repo, digest)
pending(repo, digest)

-- Each digest counts once for each manifest, however often it is named.
local uses = P .. 'uses:' .. repo .. ':' .. digest
local refs = P .. 'refs:' .. repo
for i = 1, nrefs do
    local ref = ARGV[base + 2 * i]
    if redis.call('SADD', uses, ref) == 1 then
        redis.call('HINCRBY', refs, ref, 1)
        redis.call('ZREM', P .. 'candidates', repo .. ' ' .. ref)
    end
end

local old = redis.call('HGET', P .. 'subject:' .. repo, digest)
if old and old ~= subject then
    redis.call('ZREM', P .. 'referrers:' .. repo .. ':' .. old, digest)
    redis.call('HDEL', P .. 'subject:' .. repo, digest)
    redis.call('HDEL', P .. 'descriptor:' .. repo, digest)
    redis.call('HDEL', P .. 'atype:' .. repo, digest)
end
if subject ~= '' then
    redis.call('ZADD', P .. 'referrers:' .. repo .. ':' .. subject, 0, digest)
    redis.call('HSET', P .. 'subject:' .. repo, digest, subject)
    redis.call('HSET', P .. 'descriptor:' .. repo, digest, descriptor)
    redis.call('HSET', P .. 'atype:' .. repo, digest, atype)
end

local tags = {}
for i = 1, ntags do
    local tag = ARGV[11 + i]
    local was = tag_raw(repo, tag)
    if was and was ~= digest then
        redis.call('ZREM', P .. 'tagsof:' .. repo .. ':' .. was, tag)
    end
    redis.call('HSET', P .. 'tag:' .. repo, tag, digest .. ' ' .. seq)
    redis.call('ZADD', P .. 'tags:' .. repo, 0, tag)
    redis.call('ZADD', P .. 'tagsof:' .. repo .. ':' .. digest, 0, tag)
    pending(repo, tag)
    tags[i] = tag
end

event(seq, 'manifest_put', repo, digest, table.concat(tags, ' '), actor)
publish(seq, 'manifest_put', repo, digest)
for _, tag in ipairs(tags) do
    publish(seq, 'manifest_put', repo, tag)
end
return {'ok', seq}
