-- ARGV: name, count. Account, name and fields of the first rows of an object, in the order in which they were stored.
local name, found = ARGV[1], {}
for _, account in ipairs(redis.call('ZRANGE', base .. 'holders:' .. name, 0, tonumber(ARGV[2]) - 1)) do
  found[#found + 1] = {account, name, read_row(account, name)}
end
return found
