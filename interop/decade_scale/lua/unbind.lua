-- ARGV: account, a signed name. Take it away. Returns the name and the signature that were bound to it, or false.
local key = base .. 'signed:' .. ARGV[1]
local held = redis.call('HGET', key, ARGV[2])
if held then
  redis.call('HDEL', key, ARGV[2])
  redis.call('SREM', base .. 'names:' .. ARGV[1] .. string.sub(held, 1, 32), ARGV[2])
end
return held
