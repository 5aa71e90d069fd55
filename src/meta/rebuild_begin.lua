-- KEYS[1] prefix  ARGV state, repo, token
-- Returns {"ok", more (0|1)} | {"busy"} | {"current"} | {"state"}.
-- Takes the rebuild of a repository, and removes a slice of what this Redis has
-- of it; more = 1: call again.  busy: somebody else is at it.
if refused() then
    return {'state'}
end

local repo, token = ARGV[2], ARGV[3]
if not unsure(repo) then
    return {'current'}
end

local value = redis.call('HGET', P .. 'rebuilding', repo)
if value then
    local time, owner = string.match(value, '^(%d+) (.*)$')
    if owner ~= token and tonumber(time) > tonumber(now()) then
        return {'busy'}
    end
end
own_rebuild(repo, token)
redis.call('SREM', P .. 'unread', repo)

local SLICE = 300

local function holds_no_more(digest)
    redis.call('SREM', P .. 'in:' .. digest, repo)
    redis.call('ZREM', P .. 'candidates', repo .. ' ' .. digest)
end

-- removes up to SLICE fields of a hash
local function fields(name, forget)
    local key = P .. name .. ':' .. repo
    local got = redis.call('HRANDFIELD', key, SLICE, 'WITHVALUES')
    for i = 1, #got, 2 do
        forget(got[i], got[i + 1])
        redis.call('HDEL', key, got[i])
    end
    return #got > 0
end

local function no_manifest(digest)
    holds_no_more(digest)
    redis.call('ZREM', P .. 'untagged', repo .. ' ' .. digest)
    redis.call('UNLINK', P .. 'uses:' .. repo .. ':' .. digest,
               P .. 'tagsof:' .. repo .. ':' .. digest,
               P .. 'lockedtags:' .. repo .. ':' .. digest,
               P .. 'namedby:' .. repo .. ':' .. digest)
end

if fields('blobs', holds_no_more)
   or fields('manifests', no_manifest)
   or fields('hidden', no_manifest)
   or fields('tag', function (_, named)
          local digest = string.match(named, '^(%S+)')
          redis.call('UNLINK', P .. 'tagsof:' .. repo .. ':' .. digest,
                     P .. 'lockedtags:' .. repo .. ':' .. digest)
      end)
   or fields('subject', function (_, subject)
          redis.call('UNLINK', P .. 'referrers:' .. repo .. ':' .. subject)
      end)
then
    return {'ok', '1'}
end

redis.call('UNLINK', P .. 'tags:' .. repo, P .. 'refs:' .. repo,
           P .. 'descriptor:' .. repo, P .. 'atype:' .. repo,
           P .. 'digests:' .. repo, P .. 'pushed:' .. repo,
           P .. 'moved:' .. repo, P .. 'attributes:' .. repo,
           P .. 'locked:' .. repo)
redis.call('SREM', P .. 'unlisted', repo)
tidy(repo)
return {'ok', '0'}
