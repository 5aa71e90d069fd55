-- KEYS[1] prefix  ARGV repo, digest, from ("" = any)
-- Returns {"ok", size, repository, state} | {"miss", state}
-- | {"behind", state}.
-- For a mount into repo; what may not be read gives nothing.  Without from:
-- repo itself, then up to 100 holders.
-- The link that answers is touched, so that it outlives the mount.  "behind" is
-- of repo; another one that is not known yet has nothing to give.
local repo, digest, from = ARGV[1], ARGV[2], ARGV[3]
local names = {from}

if unsure(repo) then
    return {'behind', STATE}
end
if from == '' then
    names = redis.call('SRANDMEMBER', P .. 'in:' .. digest, 100)
    table.insert(names, 1, repo)
end

for _, name in ipairs(names) do
    local size = not unsure(name)
                 and redis.call('HGET', P .. 'blobs:' .. name, digest)
    if size and not is_broken(digest) and not is_off(name, '', 'r') then
        touch(name, digest, true)
        return {'ok', size, name, STATE}
    end
end
return {'miss', STATE}
