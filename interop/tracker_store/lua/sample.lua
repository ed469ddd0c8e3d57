-- ARGV: a swarm, and how many. The records of so many of its peers, at random.
local records = {}
local now = now_ms()
for _, peer in ipairs(redis.call('SRANDMEMBER', base .. 'swarm:' .. ARGV[1], ARGV[2])) do
  if is_there(peer, now) then
    records[#records + 1] = redis.call('HGET', base .. 'peer:' .. peer, 'r')
  else
    redis.call('SREM', base .. 'swarm:' .. ARGV[1], peer)
  end
end
return records
