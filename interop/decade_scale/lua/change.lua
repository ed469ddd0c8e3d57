-- ARGV: account, name, expiry, media type and collections as they were seen, and as they are to be. Returns 1 if done.
local account, name = ARGV[1], ARGV[2]
local key = base .. 'row:' .. account .. name
local held = redis.call('HMGET', key, 'expires', 'media_type', 'collections')
if held[1] ~= ARGV[3] or held[2] ~= ARGV[4] or (held[3] or '') ~= ARGV[5] then
  return 0
end
redis.call('HSET', key, 'expires', ARGV[6], 'media_type', ARGV[7], 'collections', ARGV[8])
set_expiry(account, name, ARGV[6])
return 1
