-- KEYS[1] prefix  ARGV age_seconds, n (0 to 1000)
-- Returns {"ok", member...}: "<repo>:<tag>" and "<repo>@<digest>", at least
-- that old, the oldest first.
local before = string.format('%.0f', now() - bounded(ARGV[1], 0, 2 ^ 31))
local list = redis.call('ZRANGEBYSCORE', P .. 'pending', '-inf', before,
                        'LIMIT', 0, bounded(ARGV[2], 0, LIMIT))
return reply({'ok'}, list)
