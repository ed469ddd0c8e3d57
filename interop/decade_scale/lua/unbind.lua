-- ARGV: account, a signed name, and the name of the object that it is taken from. Returns 1, or 0 if it is not that one's.
local key = base .. 'signed:' .. ARGV[1]
local held = redis.call('HGET', key, ARGV[2])
if not held or string.sub(held, 1, 32) ~= ARGV[3] then
  return 0
end
redis.call('HDEL', key, ARGV[2])
redis.call('SREM', base .. 'names:' .. ARGV[1] .. ARGV[3], ARGV[2])
return 1
