-- ARGV: revoker, what ('cti', 'kid' or 'before'), the most of them, and the time: until when each cti, or before which.
-- Then the cti, or the kid. Returns 0, and revokes nothing, when there would be too many.
--
--   revoked-cti:<revoker>  zset  cti -> when no clock accepts it         revoked-kid:<revoker>  set of keys
--   revoked-before         hash  revoker -> Unix time                    revokers               set of revokers
local revoker, what, most, time = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if what == 'before' then
  local before = redis.call('HGET', base .. 'revoked-before', revoker)
  if not before or tonumber(before) < tonumber(time) then
    redis.call('HSET', base .. 'revoked-before', revoker, time)
  end
  return 1
end
local key = base .. 'revoked-' .. what .. ':' .. revoker
local is_in, count = (what == 'cti') and 'ZSCORE' or 'SISMEMBER', (what == 'cti') and 'ZCARD' or 'SCARD'
local fresh, seen = 0, {}
for at = 5, #ARGV do
  local found = redis.call(is_in, key, ARGV[at])
  if (not found or found == 0) and not seen[ARGV[at]] then
    seen[ARGV[at]] = true
    fresh = fresh + 1
  end
end
if redis.call(count, key) + fresh > most then
  return 0
end
for at = 5, #ARGV do
  if what == 'cti' then
    local before = redis.call('ZSCORE', key, ARGV[at])
    if not before or tonumber(before) < tonumber(time) then
      redis.call('ZADD', key, time, ARGV[at])
    end
  else
    redis.call('SADD', key, ARGV[at])
  end
end
redis.call('SADD', base .. 'revokers', revoker)
return 1
