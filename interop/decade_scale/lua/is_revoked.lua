-- ARGV: account, kid, cti, iat. Returns 1 if such a token is revoked.
local before = redis.call('HGET', base .. 'revoked-before', ARGV[1])
if before and tonumber(ARGV[4]) <= tonumber(before) then
  return 1
end
if redis.call('ZSCORE', base .. 'revoked-cti:' .. ARGV[1], ARGV[3]) then
  return 1
end
return redis.call('SISMEMBER', base .. 'revoked-kid:' .. ARGV[1], ARGV[2])
