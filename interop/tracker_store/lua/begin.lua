-- ARGV: a peer, and the swarms that it speaks of. What is known of all that.
local peer = ARGV[1]
local found = {}
for at = 2, #ARGV do
  found[at - 1] = redis.call('EXISTS', base .. 'swarm:' .. ARGV[at])
end
local held = {false, false}
if is_there(peer, now_ms()) then
  held = redis.call('HMGET', base .. 'peer:' .. peer, 'v', 'r')
end
return {
  held[1], held[2], redis.call('GET', base .. 'answer:' .. peer), redis.call('ZCARD', base .. 'deadlines'),
  redis.call('ZCARD', base .. 'swarms'), tonumber(redis.call('GET', base .. 'memberships') or 0), found
}
