-- ARGV: kid, cti, iat, then all who may have revoked it. Returns 1 if such a token is revoked.
for at = 4, #ARGV do
  local before = redis.call('HGET', base .. 'revoked-before', ARGV[at])
  if
    (before and tonumber(ARGV[3]) <= tonumber(before))
    or redis.call('ZSCORE', base .. 'revoked-cti:' .. ARGV[at], ARGV[2])
    or redis.call('SISMEMBER', base .. 'revoked-kid:' .. ARGV[at], ARGV[1]) == 1
  then
    return 1
  end
end
return 0
