-- ARGV: the highest Unix time seen, and how many tokens to forget at most. What no clock accepts from then on goes.
-- Returns the highest time that anybody has seen, and whether tokens are left to forget.
local wall, most = tonumber(redis.call('GET', base .. 'wall') or 0), tonumber(ARGV[2])
if tonumber(ARGV[1]) > wall then
  wall = tonumber(ARGV[1])
  redis.call('SET', base .. 'wall', ARGV[1])
end
local over = redis.call('ZRANGEBYSCORE', base .. 'until', '-inf', string.format('%.0f', wall), 'LIMIT', 0, most)
for _, token in ipairs(over) do
  local key = base .. 'token:' .. token
  local account = redis.call('HGET', key, 'account')
  redis.call('DEL', key)
  redis.call('ZREM', base .. 'until', token)
  if redis.call('HINCRBY', base .. 'counted', account, -1) <= 0 then
    redis.call('HDEL', base .. 'counted', account)
  end
end
for _, account in ipairs(redis.call('SMEMBERS', base .. 'revokers')) do
  redis.call('ZREMRANGEBYSCORE', base .. 'revoked-cti:' .. account, '-inf', string.format('%.0f', wall))
end
return {string.format('%.0f', wall), #over == most and 1 or 0}
