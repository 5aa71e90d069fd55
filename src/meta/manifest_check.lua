-- KEYS[1] prefix  ARGV repo, tag ("" = none, or several), conditions, nrefs,
-- then the kind and digest of each reference, as for manifest_put
-- Returns {"ok", state} | {"missing", digest, state} | {"changed", state}
-- | {"locked", state} | {"behind", state}.
-- Asked before anything of a manifest is written; manifest_put asks again.
local n = count_refs(4)
if not n then
    return redis.error_reply(BAD_REFS)
end

if unsure(ARGV[1]) then
    return {'behind', STATE}
end
if is_off(ARGV[1], '', 'w')
   or ARGV[2] ~= '' and is_off(ARGV[1], ARGV[2], 'w')
then
    return {'locked', STATE}
end
if unexpected(ARGV[1], ARGV[3]) then
    return {'changed', STATE}
end

local missing, wrong = missing_ref(ARGV[1], 4, n)
if wrong then
    return wrong
end
if missing then
    return {'missing', missing, STATE}
end
return {'ok', STATE}
