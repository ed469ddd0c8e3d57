-- ARGV: account, token, until, the most tokens of an account, limits ('' for none) and use: each of uses, storage and
-- amount. Returns 'held', 'full', or which of the three is short, from 0, and how much of it is used.
--
--   token:<token>  hash  account, uses, storage, amount
--   until          zset  token -> when no clock accepts it
--   counted        hash  account -> its tokens here
local account, token = ARGV[1], ARGV[2]
local key = base .. 'token:' .. token
local held = redis.call('HMGET', key, 'uses', 'storage', 'amount')
for at = 1, 3 do
  local limit = ARGV[4 + at]
  if limit ~= '' and tonumber(held[at] or 0) + tonumber(ARGV[7 + at]) > tonumber(limit) then
    return {'short', at - 1, held[at] or '0'}
  end
end
if not held[1] then
  if tonumber(redis.call('HGET', base .. 'counted', account) or 0) >= tonumber(ARGV[4]) then
    return {'full'}
  end
  redis.call('HINCRBY', base .. 'counted', account, 1)
  redis.call('HSET', key, 'account', account, 'uses', 0, 'storage', 0, 'amount', 0)
end
redis.call('ZADD', base .. 'until', 'GT', ARGV[3], token)
add(key, 'uses', tonumber(ARGV[8]))
add(key, 'storage', tonumber(ARGV[9]))
add(key, 'amount', tonumber(ARGV[10]))
return {'held'}
