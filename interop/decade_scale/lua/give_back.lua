-- ARGV: token, uses, storage, amount. Subtract them; 0 if the token has not used that much. Nothing if it is forgotten.
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
return 1
