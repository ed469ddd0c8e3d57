-- ARGV: account, name, reads, octets and the time of the last read, for each object that was read.
for at = 1, #ARGV, 5 do
  local key = base .. 'row:' .. ARGV[at] .. ARGV[at + 1]
  local last = redis.call('HGET', key, 'last_read')
  if last then
    add(key, 'reads', tonumber(ARGV[at + 2]))
    add(key, 'octets_read', tonumber(ARGV[at + 3]))
    if last == '' or tonumber(last) < tonumber(ARGV[at + 4]) then
      redis.call('HSET', key, 'last_read', ARGV[at + 4])
    end
  end
end
return 1
