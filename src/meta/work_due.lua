-- KEYS[1] prefix  ARGV gc_every, scrub_every (seconds; 0 = on request only)
-- Returns {"ok", rebuild, gc, scrub (0|1 each)}: work that waits for somebody.
local function waits(kind, every)
    return due(kind, every) and not working(kind) and '1' or '0'
end

return {'ok', waits('rebuild'), waits('gc', ARGV[1]), waits('scrub', ARGV[2])}
