-- Helpers, put before every script by embed.sh.  KEYS[1] = acr:{<registry>}.
-- Numbers that may pass 2^53 (sizes, offsets) stay strings and are never
-- calculated with.  Redis 6.2 replicates the script itself unless told not to.
if redis.replicate_commands then
    redis.replicate_commands()
end

local P = KEYS[1] .. ':'
local LIMIT = 1000
local BAD_REFS = 'ERR 0 to 1000 references, of two arguments'

-- How long work that is under way is somebody's after his last call, in
-- seconds.
local LEASE = 10

-- Schemas of the index (schema.md): the one in which these scripts make it, and
-- the first one that they read and write as it is.
local SCHEMA = 2
local OLDEST = 2

-- "" if there is none.
local STATE = redis.call('GET', P .. 'state') or ''
local BEHIND = string.sub(STATE, -7) == ':behind'

-- True if the caller does not know the present state.
local function refused()
    return STATE == '' or STATE ~= ARGV[1]
end

-- A Redis that is behind knows nothing of a repository until that is rebuilt.
local function unsure(repo)
    return BEHIND and redis.call('SISMEMBER', P .. 'current', repo) == 0
end

local function now()
    return redis.call('TIME')[1]
end

local function microseconds()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- The schema of the index that there is: the number that its generation begins
-- with, 1 if that is of before there was one; 0 if there is no index.
local function schema()
    if STATE == '' then
        return 0
    end
    return tonumber(string.match(STATE, '^[^:]*:[^:]*:f(%d+)%.')) or 1
end

-- A new one, of an index in that schema.
local function generation(number)
    return string.format('f%.0f.%.0f', number, microseconds())
end

-- A number argument between low and high; what is not a number is low.
local function bounded(arg, low, high)
    local n = math.floor(tonumber(arg) or low)
    if not (n >= low) then
        return low
    end
    return n > high and high or n
end

-- max(last + 1, time in microseconds): below 2^53 until the year 2255.
local function next_seq()
    local seq = microseconds()
    local last = tonumber(redis.call('GET', P .. 'seq') or '0')
    if seq <= last then
        seq = last + 1
    end
    seq = string.format('%.0f', seq)
    redis.call('SET', P .. 'seq', seq)
    return seq
end

-- An entry has its sequence as its id, so that a reader finds where to go on.
-- That could not be only where somebody else has written to the log, or to the
-- sequence: then any id will do that is a higher one.
local function event(seq, action, repo, digest, tag, actor)
    local function add(call, id)
        return call('XADD', P .. 'events', 'MAXLEN', '~', '100000', id,
                    'seq', seq, 'action', action, 'repository', repo,
                    'digest', digest, 'tag', tag, 'actor', actor)
    end
    if type(add(redis.pcall, seq .. '-0')) == 'table' then
        add(redis.call, '*')
    end
end

local function publish(seq, action, repo, what)
    redis.call('PUBLISH', P .. 'feed',
               seq .. ' ' .. action .. ' ' .. repo .. ' ' .. what)
end

-- A link is a candidate while no manifest of its repository needs it.  In a
-- lookup (soft) a Redis that takes no writes must not spoil the answer.
local function touch(repo, digest, soft)
    local refs = redis.call('HGET', P .. 'refs:' .. repo, digest)
    if (tonumber(refs) or 0) > 0 then
        return
    end
    local call = soft and redis.pcall or redis.call
    call('ZADD', P .. 'candidates', 'GT', now(), repo .. ' ' .. digest)
end

local function collecting(digest)
    return redis.call('ZSCORE', P .. 'collecting', digest) and true or false
end

-- A digest, or something of a repository, that the last rebuild could not read.
local function is_unread(what)
    return redis.call('SISMEMBER', P .. 'unread', what) == 1
end

-- What a lookup says of what it has not found.  In a repository that may not be
-- read nothing comes from elsewhere either.
local function not_found(repo, locked)
    if is_unread(repo) then
        return {'behind', STATE}
    end
    return locked and {'locked', STATE, 'miss'} or {'miss', STATE}
end

-- A scrub has found that its file is not what its name says.
local function is_broken(digest)
    return redis.call('SISMEMBER', P .. 'broken', digest) == 1
end

local function is_blob(repo, digest)
    return redis.call('HEXISTS', P .. 'blobs:' .. repo, digest) == 1
end

local function is_manifest(repo, digest)
    return redis.call('HEXISTS', P .. 'manifests:' .. repo, digest) == 1
end

-- The repository holds the digest.
local function hold(repo, digest)
    if redis.call('ZADD', P .. 'repos', 0, repo) == 1 then
        redis.call('HSET', P .. 'repository:' .. repo, 'created',
                   string.format('%.0f', microseconds()))
    end
    redis.call('SADD', P .. 'in:' .. digest, repo)
    redis.call('ZREM', P .. 'candidates', digest)
end

-- A manifest is an untagged one since its last tag went, or its last put.
local function note_untagged(repo, digest)
    if redis.call('EXISTS', P .. 'tagsof:' .. repo .. ':' .. digest) == 1 then
        redis.call('ZREM', P .. 'untagged', repo .. ' ' .. digest)
    elseif is_manifest(repo, digest) then
        redis.call('ZADD', P .. 'untagged', now(), repo .. ' ' .. digest)
    end
end

-- The repository lost a blob or manifest: is it still held, by anyone?
local function let_go(repo, digest)
    if not is_blob(repo, digest) then
        redis.call('ZREM', P .. 'candidates', repo .. ' ' .. digest)
        if not is_manifest(repo, digest) then
            redis.call('SREM', P .. 'in:' .. digest, repo)
            if redis.call('EXISTS', P .. 'in:' .. digest) == 0 then
                redis.call('ZADD', P .. 'candidates', 'GT', now(), digest)
            end
        end
    end
end

-- What the tag names, even if that manifest is being removed.
local function tag_raw(repo, tag)
    local value = redis.call('HGET', P .. 'tag:' .. repo, tag)
    return value and string.match(value, '^(%S+)')
end

-- Attributes that are not the default: "<off> <state> <details>", where off
-- has a letter for each that is false (d: deleteEnabled, w: writeEnabled,
-- l: listEnabled, r: readEnabled), or is "-".  Of a tag, a digest, or "" for
-- the repository; "" if there are none.
local function attributes(repo, name)
    return redis.call('HGET', P .. 'attributes:' .. repo, name) or ''
end

-- Is one of the letters among those of the value?
local function has_off(value, letters)
    local off = string.match(value or '', '^(%S+)')
    return off and string.find(off, '[' .. letters .. ']') and true or false
end

local function is_off(repo, name, letters)
    return has_off(redis.call('HGET', P .. 'attributes:' .. repo, name),
                   letters)
end

-- May something of the repository be broken, or have attributes?  Mostly not,
-- and then this is all that a lookup has to ask about both.
local function is_odd(repo)
    return redis.call('EXISTS', P .. 'broken', P .. 'attributes:' .. repo) > 0
end

-- Sets them, and what hangs on them: who is locked, and which tags hold a
-- manifest.
local function set_attributes(repo, name, value)
    local key = P .. 'attributes:' .. repo
    if value == '' then
        redis.call('HDEL', key, name)
    else
        redis.call('HSET', key, name, value)
    end

    local add = has_off(value, 'dw') and 'SADD' or 'SREM'
    if name == '' then
        redis.call(has_off(value, 'l') and 'SADD' or 'SREM', P .. 'unlisted',
                   repo)
        return
    end
    redis.call(add, P .. 'locked:' .. repo, name)

    local digest = not string.find(name, ':', 1, true) and tag_raw(repo, name)
    if digest then
        redis.call(add, P .. 'lockedtags:' .. repo .. ':' .. digest, name)
    end
end

-- What is gone takes its attributes with it.  The names are pending.
local function forget_attributes(repo, name)
    if redis.call('HEXISTS', P .. 'attributes:' .. repo, name) == 1 then
        set_attributes(repo, name, '')
    end
end

-- May the manifest not be deleted, because it, a tag of it, or an index that
-- names it, directly or by another one, is locked?  Where more than LIMIT
-- would have to be looked at it may not.
local function is_locked(repo, digest)
    local key = P .. 'locked:' .. repo
    if redis.call('EXISTS', key) == 0 then
        return false
    end

    local seen, list, i, looks = {[digest] = true}, {digest}, 1, 0
    while list[i] do
        if redis.call('SISMEMBER', key, list[i]) == 1
           or redis.call('EXISTS', P .. 'lockedtags:' .. repo .. ':'
                                   .. list[i])
              == 1
        then
            return true
        end

        local above = redis.call('SRANDMEMBER', P .. 'namedby:' .. repo .. ':'
                                                .. list[i], LIMIT)
        looks = looks + #above
        if looks > LIMIT then
            return true
        end
        for _, name in ipairs(above) do
            if not seen[name] and is_manifest(repo, name) then
                seen[name] = true
                list[#list + 1] = name
            end
        end
        i = i + 1
    end
    return false
end

-- A repository is listed while it has a blob, a manifest or a tag.
local function tidy(repo)
    if redis.call('EXISTS', P .. 'blobs:' .. repo, P .. 'manifests:' .. repo,
                  P .. 'tags:' .. repo) == 0
    then
        redis.call('ZREM', P .. 'repos', repo)
        redis.call('DEL', P .. 'repository:' .. repo)
        if attributes(repo, '') ~= '' then
            set_attributes(repo, '', '')
            redis.call('ZADD', P .. 'pending', 'NX', now(), repo .. ':')
        end
    end
end

-- A tag or manifest of the repository has changed.  When the last manifest went
-- is written nowhere else, so a rebuild could not tell it.
local function updated(repo, seq)
    if redis.call('EXISTS', P .. 'manifests:' .. repo) == 1 then
        redis.call('HSET', P .. 'repository:' .. repo, 'updated', seq)
    else
        redis.call('HDEL', P .. 'repository:' .. repo, 'updated')
    end
end

-- What the tag names; a tag of a removed manifest is no tag.
local function tag_digest(repo, tag)
    local digest = tag_raw(repo, tag)
    return digest and is_manifest(repo, digest) and digest
end

-- What the links on disk of a name have to say: of a tag its digest; of a
-- digest (which has a colon) "b", "m" or "bm": it is a blob, a manifest of the
-- repository.  "" if there is to be none, and for "", the repository.
local function link(repo, name)
    if name == '' then
        return ''
    end
    if not string.find(name, ':', 1, true) then
        return tag_digest(repo, name) or ''
    end
    return (is_blob(repo, name) and 'b' or '')
           .. (is_manifest(repo, name) and 'm' or '')
end

-- For the disk step of a change of a digest and, perhaps, of tags of it: the
-- kinds of the digest.  "" if that does not tell all, since something of the
-- repository has attributes, or the repository itself is pending.
local function plain_link(repo, digest)
    if redis.call('EXISTS', P .. 'attributes:' .. repo) == 1
       or redis.call('ZSCORE', P .. 'pending', repo .. ':')
    then
        return ''
    end
    return link(repo, digest)
end

-- A name's member of pending.
local function member(repo, name)
    return repo .. (string.find(name, ':', 1, true) and '@' or ':') .. name
end

-- Its time is that of the first change that may not be on disk yet.
local function pending(repo, name)
    redis.call('ZADD', P .. 'pending', 'NX', now(), member(repo, name))
end

-- References: their number at ARGV[at], then the kind and digest of each, and
-- nothing behind them.  The number, or nil if that is not so.
local function count_refs(at)
    local n = tonumber(ARGV[at]) or -1
    if n < 0 or n > LIMIT or n % 1 ~= 0 or #ARGV ~= at + 2 * n then
        return nil
    end
    return n
end

-- The first reference that has to be there and is not, or nil; and the error
-- reply if a kind is wrong.  Kind b: a blob, m: a manifest or blob, o: a blob
-- that may be missing, n: a manifest or blob that may be.
local function missing_ref(repo, at, n)
    local broken = redis.call('EXISTS', P .. 'broken') == 1
    for i = 1, n do
        local kind, ref = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
        if kind == 'b' then
            if not is_blob(repo, ref) or broken and is_broken(ref) then
                return ref
            end
        elseif kind == 'm' then
            if not is_manifest(repo, ref) and not is_blob(repo, ref)
               or broken and is_broken(ref)
            then
                return ref
            end
        elseif kind ~= 'o' and kind ~= 'n' then
            return nil, redis.error_reply('ERR a kind is b, m, o or n')
        end
    end
end

-- Conditions of a change (RFC 9110 section 13): lines "m <name> <list>", of
-- which the name must be one (If-Match), and "n <name> <list>", of which it
-- must be none (If-None-Match).  The name is a tag or digest; the list is
-- digests or "*".  True if one does not hold.
local function unexpected(repo, conditions)
    for kind, name, list in string.gmatch(conditions or '',
                                          '([mn]) (%S+) ([^\n]*)')
    do
        local now = string.find(name, ':', 1, true)
                    and is_manifest(repo, name) and name
                    or tag_digest(repo, name)
        local hit = now and (list == '*'
                             or string.find(' ' .. list .. ' ',
                                            ' ' .. now .. ' ', 1, true))
        if (kind == 'm') ~= (hit and true or false) then
            return true
        end
    end
    return false
end

-- What the referrers of its subject say of a manifest.
local function unlist_referrer(repo, digest)
    local subject = redis.call('HGET', P .. 'subject:' .. repo, digest)
    if subject then
        redis.call('ZREM', P .. 'referrers:' .. repo .. ':' .. subject,
                   digest)
        redis.call('HDEL', P .. 'subject:' .. repo, digest)
        redis.call('HDEL', P .. 'descriptor:' .. repo, digest)
        redis.call('HDEL', P .. 'atype:' .. repo, digest)
    end
end

-- What is known of a manifest but its tags.  Its references stand at
-- ARGV[base], as for count_refs.  Each digest counts once for each manifest,
-- however often it is named.  time: when it was put, in microseconds, unless
-- it was there.
local function add_manifest(repo, digest, value, about, time, base, nrefs)
    local uses = P .. 'uses:' .. repo .. ':' .. digest
    if not is_manifest(repo, digest) then
        -- better one count too many than one too few
        redis.call('DEL', uses)
    end
    redis.call('HSET', P .. 'manifests:' .. repo, digest, value)
    redis.call('ZADD', P .. 'digests:' .. repo, 0, digest)
    redis.call('ZADD', P .. 'pushed:' .. repo, 'NX', time, digest)
    hold(repo, digest)

    for i = 1, nrefs do
        local kind, ref = ARGV[base + 2 * i - 1], ARGV[base + 2 * i]
        if kind == 'm' or kind == 'n' then
            redis.call('SADD', P .. 'namedby:' .. repo .. ':' .. ref, digest)
        end
        if redis.call('SADD', uses, ref) == 1 then
            redis.call('HINCRBY', P .. 'refs:' .. repo, ref, 1)
            redis.call('ZREM', P .. 'candidates', repo .. ' ' .. ref)
        end
    end

    if redis.call('HGET', P .. 'subject:' .. repo, digest) ~= about.subject
    then
        unlist_referrer(repo, digest)
    end
    if about.subject ~= '' then
        redis.call('ZADD', P .. 'referrers:' .. repo .. ':' .. about.subject,
                   0, digest)
        redis.call('HSET', P .. 'subject:' .. repo, digest, about.subject)
        redis.call('HSET', P .. 'descriptor:' .. repo, digest,
                   about.descriptor)
        redis.call('HSET', P .. 'atype:' .. repo, digest, about.type)
    end
end

-- The tag names the manifest from now on.  created: its first time, if it was
-- not there.
local function set_tag(repo, tag, digest, seq, created)
    local value = redis.call('HGET', P .. 'tag:' .. repo, tag)
    local was, first = string.match(value or '', '^(%S+) %S+ ?(%S*)')
    if was and was ~= digest then
        redis.call('ZREM', P .. 'tagsof:' .. repo .. ':' .. was, tag)
        redis.call('SREM', P .. 'lockedtags:' .. repo .. ':' .. was, tag)
        note_untagged(repo, was)
        if not is_manifest(repo, was) then
            -- its removal is under way, and has not come to this tag yet
            forget_attributes(repo, tag)
            first = ''
        end
    end
    if not first or first == '' then
        first = created or seq
    end
    redis.call('HSET', P .. 'tag:' .. repo, tag,
               digest .. ' ' .. seq .. ' ' .. first)
    redis.call('ZADD', P .. 'tags:' .. repo, 0, tag)
    redis.call('ZADD', P .. 'moved:' .. repo, seq, tag)
    redis.call('ZADD', P .. 'tagsof:' .. repo .. ':' .. digest, 0, tag)
    if redis.call('SISMEMBER', P .. 'locked:' .. repo, tag) == 1 then
        redis.call('SADD', P .. 'lockedtags:' .. repo .. ':' .. digest, tag)
    end
end

-- The first step of a manifest's removal: from here on it is not there.
local function hide_manifest(seq, repo, digest, actor)
    redis.call('HDEL', P .. 'manifests:' .. repo, digest)
    redis.call('ZREM', P .. 'digests:' .. repo, digest)
    redis.call('ZREM', P .. 'pushed:' .. repo, digest)
    redis.call('HSET', P .. 'hidden:' .. repo, digest, now())
    redis.call('ZADD', P .. 'removing', now(), repo .. ' ' .. digest)
    redis.call('ZREM', P .. 'untagged', repo .. ' ' .. digest)
    pending(repo, digest)
    forget_attributes(repo, digest)
    updated(repo, seq)
    unlist_referrer(repo, digest)
    event(seq, 'manifest_delete', repo, digest, '', actor)
    publish(seq, 'manifest_delete', repo, digest)
end

-- The repository does not hold the blob any more.
local function remove_blob(repo, digest, actor)
    local seq = next_seq()
    redis.call('HDEL', P .. 'blobs:' .. repo, digest)
    pending(repo, digest)
    let_go(repo, digest)
    event(seq, 'blob_delete', repo, digest, '', actor)
    publish(seq, 'blob_delete', repo, digest)
    tidy(repo)
    return seq
end

-- One slice of the removal of a manifest that is hidden already: up to limit
-- tags and, when none is left, what the manifest referred to.
-- Returns the tags, and 1 if there are more.
local function remove_slice(repo, digest, limit)
    local key = P .. 'tagsof:' .. repo .. ':' .. digest
    local tags = redis.call('ZRANGE', key, 0, limit - 1)
    if #tags > 0 then
        redis.call('HDEL', P .. 'tag:' .. repo, unpack(tags))
        redis.call('ZREM', P .. 'tags:' .. repo, unpack(tags))
        redis.call('ZREM', P .. 'moved:' .. repo, unpack(tags))
        redis.call('ZREM', key, unpack(tags))
        redis.call('HDEL', P .. 'attributes:' .. repo, unpack(tags))
        redis.call('SREM', P .. 'locked:' .. repo, unpack(tags))
        redis.call('SREM', P .. 'lockedtags:' .. repo .. ':' .. digest,
                   unpack(tags))
        for _, tag in ipairs(tags) do
            pending(repo, tag)
        end
    end
    if redis.call('EXISTS', key) == 1 then
        return tags, 1
    end

    local uses = P .. 'uses:' .. repo .. ':' .. digest
    local refs = P .. 'refs:' .. repo
    for _, ref in ipairs(redis.call('SMEMBERS', uses)) do
        redis.call('SREM', P .. 'namedby:' .. repo .. ':' .. ref, digest)
        if redis.call('HINCRBY', refs, ref, -1) <= 0 then
            redis.call('HDEL', refs, ref)
            if is_blob(repo, ref) then
                touch(repo, ref)
            end
        end
    end
    redis.call('DEL', uses)
    redis.call('HDEL', P .. 'hidden:' .. repo, digest)
    redis.call('ZREM', P .. 'removing', repo .. ' ' .. digest)
    let_go(repo, digest)
    tidy(repo)
    return tags, 0
end

-- A page of a zset in lexical order, after last: members, 1 if there are more.
local function page(key, last, n)
    if n == 0 then
        return {}, 0
    end
    local list = redis.call('ZRANGEBYLEX', key,
                            last == '' and '-' or '(' .. last, '+',
                            'LIMIT', 0, n + 1)
    if #list > n then
        list[n + 1] = nil
        return list, 1
    end
    return list, 0
end

-- The same of a zset of times, in that order or backwards; time is that of
-- last, if the caller knows it: it goes on there although last is gone, or has
-- another time by now.
local function page_by_time(key, order, last, time, n)
    if n == 0 then
        return {}, 0
    end

    local down, at = order == 'timedesc', 0
    if last ~= '' then
        local score = redis.call('ZSCORE', key, last)
        if score and (time == '' or tonumber(score) == tonumber(time)) then
            at = redis.call(down and 'ZREVRANK' or 'ZRANK', key, last) + 1
        elseif not tonumber(time) then
            return {}, 0
        elseif down then
            at = redis.call('ZCOUNT', key, '(' .. time, '+inf')
        else
            at = redis.call('ZCOUNT', key, '-inf', '(' .. time)
        end
    end

    local list = redis.call(down and 'ZREVRANGE' or 'ZRANGE', key, at, at + n)
    if #list > n then
        list[n + 1] = nil
        return list, 1
    end
    return list, 0
end

-- Of a page the first n members of which good(place) says so, and 1 if there
-- is more of the page, else more.
local function first(list, more, n, good)
    local found = {}
    for i, member in ipairs(list) do
        if #found == n then
            return found, 1
        end
        if good(i) then
            found[#found + 1] = member
        end
    end
    return found, more
end

-- How many names of the repository have to be looked at for n that may be
-- listed.
local function to_look_at(repo, n)
    if n == 0 or redis.call('EXISTS', P .. 'attributes:' .. repo) == 0 then
        return n
    end
    return LIMIT
end

-- Of a page of so many names those that may be listed, up to n; 1 if there may
-- be more; the name to go on after: the last of these, so that no Link has one
-- that is not to be listed, unless there was nothing else.
local function listed(repo, list, more, n)
    if #list == 0
       or redis.call('EXISTS', P .. 'attributes:' .. repo) == 0
    then
        return list, more, list[#list] or ''
    end

    local values = redis.call('HMGET', P .. 'attributes:' .. repo,
                              unpack(list))
    local found
    found, more = first(list, more, n, function(i)
        return not has_off(values[i], 'l')
    end)
    return found, more, found[#found] or list[#list]
end

-- A page of tags or manifests in one of the orders, as an answer has it: more,
-- the last one looked at and its time; and the names.
local function page_of(repo, names, times, order, last, time, n)
    local list, more
    if order == 'timeasc' or order == 'timedesc' then
        list, more = page_by_time(P .. times .. repo, order, last, time,
                                  to_look_at(repo, n))
    else
        list, more = page(P .. names .. repo, last, to_look_at(repo, n))
    end

    list, more, last = listed(repo, list, more, n)
    time = last ~= '' and redis.call('ZSCORE', P .. times .. repo, last)
    time = time and string.format('%.0f', time) or ''
    return {tostring(more), last, time}, list
end

-- The same of the tags of one manifest, which are few, or in the order of their
-- names.
local function page_of_digest(repo, digest, order, last, time, n)
    local key, more = P .. 'tagsof:' .. repo .. ':' .. digest, 0
    local all = order ~= '' and redis.call('ZRANGE', key, 0, LIMIT - 1) or {}

    if n == 0 or #all == 0 or #all == LIMIT then
        all, more = page(key, last, to_look_at(repo, n))
        all, more, last = listed(repo, all, more, n)
        return {tostring(more), last, ''}, all
    end

    local sign = order == 'timedesc' and -1 or 1
    local scores, at = redis.call('ZMSCORE', P .. 'moved:' .. repo,
                                  unpack(all)), {}
    for i, tag in ipairs(all) do
        at[tag] = sign * (tonumber(scores[i]) or 0)
    end
    local function before(a, b)
        return at[a] < at[b] or at[a] == at[b] and a < b
    end
    table.sort(all, before)

    if last ~= '' then
        at[last] = at[last] or sign * (tonumber(time) or 0)
        local rest = {}
        for _, tag in ipairs(all) do
            if before(last, tag) then
                rest[#rest + 1] = tag
            end
        end
        all = rest
    end

    all, more, last = listed(repo, all, 0, n)
    for i = #all, n + 1, -1 do
        all[i], more = nil, 1
        last = all[#all]
    end
    return {tostring(more), last, at[last] and string.format('%.0f',
                                                      sign * at[last]) or ''},
           all
end

-- What an answer says of a tag: digest, times of its last change and its first
-- one in microseconds, attributes; nil if it is none.
local function tag_about(repo, tag)
    local value = redis.call('HGET', P .. 'tag:' .. repo, tag) or ''
    local digest, time, first = string.match(value, '^(%S+) (%S+) ?(%S*)')
    if digest and is_manifest(repo, digest) then
        return digest, time, first ~= '' and first or time,
               attributes(repo, tag)
    end
end

-- And of a manifest: "<size> <media type>", time of its put, attributes.
local function manifest_about(repo, digest)
    local value = redis.call('HGET', P .. 'manifests:' .. repo, digest)
    local time = redis.call('ZSCORE', P .. 'pushed:' .. repo, digest)
    return value, string.format('%.0f', time or 0), attributes(repo, digest)
end

-- The time that is age seconds ago.
local function ago(age)
    return string.format('%.0f', now() - bounded(age, 0, 2 ^ 31))
end

-- Members of a zset of times that are at least age seconds old, oldest first.
local function old_members(key, age, n)
    return redis.call('ZRANGEBYSCORE', key, '-inf', ago(age), 'LIMIT', 0,
                      bounded(n, 0, LIMIT))
end

-- The time of the oldest change that may not be on disk yet, or nil.
local function oldest_pending()
    local oldest = redis.call('ZRANGE', P .. 'pending', 0, 0, 'WITHSCORES')
    return oldest[2]
end

-- True if the member of a zset of times may be collected: it is at least age
-- seconds old, and the disk knows all changes up to its time.  If Redis were
-- lost before that, a rebuild would bring back what needs it.
local function is_due(key, member, age)
    local time = redis.call('ZSCORE', key, member)
    if not time or tonumber(time) > tonumber(ago(age)) then
        return false
    end
    local oldest = oldest_pending()
    return not oldest or tonumber(oldest) > tonumber(time)
end

-- The members for which that is true, the oldest first: a run that was told of
-- others would ask for them again and again.
local function due_members(key, age, n)
    local last, oldest = ago(age), oldest_pending()
    if oldest and tonumber(oldest) <= tonumber(last) then
        last = '(' .. oldest
    end
    return redis.call('ZRANGEBYSCORE', key, '-inf', last, 'LIMIT', 0,
                      bounded(n, 0, LIMIT))
end

-- A history of events begins: of what was before, a reader may have missed
-- something that this Redis cannot tell.
local function begin()
    local seq = next_seq()
    event(seq, 'begin', '', '', '', '')
    publish(seq, 'begin', '', '')
end

-- This Redis is behind from now on: nothing that it has counts before it is
-- rebuilt, in that schema.  What is under way by it is not under way any more.
local function fall_behind(run_id, epoch, number)
    redis.call('UNLINK', P .. 'pending', P .. 'removing', P .. 'collecting',
               P .. 'candidates', P .. 'untagged', P .. 'broken',
               P .. 'current', P .. 'rebuilding', P .. 'unread',
               P .. 'work:rebuild')
    STATE = run_id .. ':' .. epoch .. ':' .. generation(number)
            .. ':behind'
    redis.call('SET', P .. 'state', STATE)
    begin()
end

-- The rebuild of a repository belongs to who has its token.
local function own_rebuild(repo, token)
    redis.call('HSET', P .. 'rebuilding', repo,
               string.format('%.0f %s', now() + LEASE, token))
end

local function lost_rebuild(repo, token)
    local value = redis.call('HGET', P .. 'rebuilding', repo)
    if not BEHIND or not value or string.match(value, ' (.*)$') ~= token then
        return true
    end
    own_rebuild(repo, token)
    return false
end

-- Work of the whole registry is a hash; it is somebody's until a time.
local function work_key(kind)
    return P .. 'work:' .. kind
end

local function working(kind)
    local got = redis.call('HMGET', work_key(kind), 'owner', 'until')
    if got[2] and tonumber(got[2]) > tonumber(now()) then
        return got[1]
    end
end

-- True if the work is not the owner's any more.
local function lost_work(key, owner)
    local got = redis.call('HMGET', key, 'owner', 'running')
    return got[1] ~= owner or got[2] ~= '1'
end

-- Is there work of this kind for somebody?  every: seconds, 0 = only what was
-- asked for or left.
local function due(kind, every)
    if kind == 'rebuild' or kind == 'gc' and BEHIND then
        return kind == 'rebuild' and BEHIND
    end
    local got = redis.call('HMGET', work_key(kind), 'requested', 'running',
                           'finished')
    every = bounded(every, 0, 2 ^ 31)
    return got[1] == '1' or got[2] == '1'
           or every > 0 and now() - (got[3] or 0) >= every
end

-- Another run of Redis, or another generation, may know less than the one that
-- there was: the state, but for the end of a rebuild.
local function history()
    return BEHIND and string.sub(STATE, 1, -8) or STATE
end

-- An upload session lives for ttl seconds more.
local function keep_session(uuid, ttl)
    ttl = bounded(ttl, 0, 2 ^ 31)
    redis.call('EXPIRE', P .. 'upload:' .. uuid, string.format('%.0f', ttl))
    redis.call('ZADD', P .. 'sessions', string.format('%.0f', now() + ttl),
               uuid)
end

-- Some of the sessions that have expired by themselves.
local function forget_sessions()
    local old = redis.call('ZRANGEBYSCORE', P .. 'sessions', '-inf', now(),
                           'LIMIT', 0, 100)
    if #old > 0 then
        redis.call('ZREM', P .. 'sessions', unpack(old))
    end
end

-- The reply head with the members of list behind it.
local function reply(head, list)
    for _, member in ipairs(list) do
        head[#head + 1] = member
    end
    return head
end
