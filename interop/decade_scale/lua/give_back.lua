-- ARGV: token, uses, storage, amount. Subtract them; 0 if the token has not used that much. Nothing if it is forgotten; it is when
-- nothing is left.
local key = base .. 'token:' .. ARGV[1]
local held = redis.call('HMGET', key, 'uses', 'storage', 'amount')
if not held[1] then
  return 1
end
for at = 1, 3 do
  if tonumber(held[at]) < tonumber(ARGV[1 + at]) then
    return 0
  end
end
add(key, 'uses', 0 - tonumber(ARGV[2]))
add(key, 'storage', 0 - tonumber(ARGV[3]))
add(key, 'amount', 0 - tonumber(ARGV[4]))
local left = redis.call('HMGET', key, 'uses', 'storage', 'amount', 'account')
if left[1] == '0' and left[2] == '0' and left[3] == '0' then
  redis.call('DEL', key)
  redis.call('ZREM', base .. 'until', ARGV[1])
  if redis.call('HINCRBY', base .. 'counted', left[4], -1) <= 0 then
    redis.call('HDEL', base .. 'counted', left[4])
  end
end
return 1
