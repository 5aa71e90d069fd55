-- KEYS[1] prefix  ARGV kind
-- Returns {"ok", behind (0|1), then pairs: name, value}.
return reply({'ok', BEHIND and '1' or '0'},
             redis.call('HGETALL', work_key(ARGV[1])))
