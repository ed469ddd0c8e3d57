-- ARGV: Unix time, count. Account, name and fields of rows whose time is over, those first that expired first.
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', base .. 'expiries', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local account, name = string.sub(member, 1, -33), string.sub(member, -32)
  found[#found + 1] = {account, name, read_row(account, name)}
end
return found
