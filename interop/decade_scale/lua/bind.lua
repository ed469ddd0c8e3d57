-- ARGV: account, name, a signed name and its signature. Give an object a signed name if it is nobody's. Returns name and
-- signature of what is bound to it now; false if the account has no such object.
local account, name, signed = ARGV[1], ARGV[2], ARGV[3]
local key = base .. 'signed:' .. account
local held = redis.call('HGET', key, signed)
if held then
  return held
end
if redis.call('EXISTS', base .. 'row:' .. account .. name) == 0 then
  return false
end
redis.call('HSET', key, signed, name .. ARGV[4])
redis.call('SADD', base .. 'names:' .. account .. name, signed)
return name .. ARGV[4]
