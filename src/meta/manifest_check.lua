-- KEYS[1] prefix  ARGV repo, conditions, nrefs, then the kind and digest of
-- each reference, as for manifest_put
-- Returns {"ok", state} | {"missing", digest, state} | {"changed", state}
-- | {"behind", state}.
-- Asked before anything of a manifest is written; manifest_put asks again.
local n = count_refs(3)
if not n then
    return redis.error_reply(BAD_REFS)
end

if unsure(ARGV[1]) then
    return {'behind', STATE}
end
if unexpected(ARGV[1], ARGV[2]) then
    return {'changed', STATE}
end

local missing, wrong = missing_ref(ARGV[1], 3, n)
if wrong then
    return wrong
end
if missing then
    return {'missing', missing, STATE}
end
return {'ok', STATE}
