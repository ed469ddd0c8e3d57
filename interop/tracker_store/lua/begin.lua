-- ARGV: a peer, of how many peers of the first swarm the records are wanted as well, and the swarms that it speaks of.
-- What is known of all that.
local peer, number = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local held, records, found = {false, false}, {}, {}
if is_there(peer, now) then
  held = redis.call('HMGET', base .. 'peer:' .. peer, 'v', 'r')
end
if number > 0 then
  records = sample(ARGV[3], number, now)
end
for at = 3, #ARGV do
  found[at - 2] = redis.call('EXISTS', base .. 'swarm:' .. ARGV[at])
end
return {
  held[1], held[2], redis.call('GET', base .. 'answer:' .. peer), redis.call('ZCARD', base .. 'deadlines'),
  redis.call('ZCARD', base .. 'swarms'), tonumber(redis.call('GET', base .. 'memberships') or 0), found, records
}
