-- ARGV: account, name, expiry and media type as they were seen, and as they are to be. Returns 1 if done.
local account, name = ARGV[1], ARGV[2]
local key = base .. 'row:' .. account .. name
local held = redis.call('HMGET', key, 'expires', 'media_type')
if held[1] ~= ARGV[3] or held[2] ~= ARGV[4] then
  return 0
end
redis.call('HSET', key, 'expires', ARGV[5], 'media_type', ARGV[6])
set_expiry(account, name, ARGV[5])
return 1
