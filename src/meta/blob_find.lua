-- KEYS[1] prefix  ARGV repo, digest, from ("" = any)
-- Returns {"ok", size, repository, state} | {"miss", state}.
-- For a mount.  Without from: repo itself, then up to 100 holders.  The link
-- that answers is touched, so that it outlives the mount.
local repo, digest, from = ARGV[1], ARGV[2], ARGV[3]
local names = {from}

if from == '' then
    names = redis.call('SRANDMEMBER', P .. 'in:' .. digest, 100)
    table.insert(names, 1, repo)
end

for _, name in ipairs(names) do
    local size = redis.call('HGET', P .. 'blobs:' .. name, digest)
    if size then
        touch(name, digest, true)
        return {'ok', size, name, state()}
    end
end
return {'miss', state()}
