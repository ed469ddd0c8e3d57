-- ARGV: account, name, a signed name, its signature, and the most names of an object. Give an object a signed name if it
-- is nobody's. Returns name and signature of what is bound to it now; false if the account has no such object, 'full' if
-- that has as many as it may have.
local account, name, signed = ARGV[1], ARGV[2], ARGV[3]
local key = base .. 'signed:' .. account
local held = redis.call('HGET', key, signed)
if held then
  return held
end
if redis.call('EXISTS', base .. 'row:' .. account .. name) == 0 then
  return false
end
if redis.call('SCARD', base .. 'names:' .. account .. name) >= tonumber(ARGV[5]) then
  return 'full'
end
redis.call('HSET', key, signed, name .. ARGV[4])
redis.call('SADD', base .. 'names:' .. account .. name, signed)
return name .. ARGV[4]
