-- ARGV: name, copy. This copy of an object is not to be had any more: if it is the one in use, nobody has the object.
-- Returns account and fields of the rows that are gone.
local name, lost = ARGV[1], {}
if redis.call('HGET', payloads(name), name) ~= ARGV[2] then
  return lost
end
for _, account in ipairs(redis.call('ZRANGE', base .. 'holders:' .. name, 0, -1)) do
  local row = take_row(account, name)
  if row then
    lost[#lost + 1] = {account, row}
  end
end
redis.call('HDEL', payloads(name), name)
return lost
