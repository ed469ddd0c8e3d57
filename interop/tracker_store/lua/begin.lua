#!lua flags=allow-oom
-- ARGV: a peer, the host that asks ('': nobody), the records of how many peers of one swarm
-- are wanted and of how many at all, of how many of the swarms that follow, and the swarms that the peer speaks of.
-- What is known of all that.
local peer, host, each, room, listed = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()
local known, records, found, of_host = {false, false, false}, {}, {}, 0
if is_there(peer, now) then
  known = redis.call('HMGET', base .. 'peer:' .. peer, 'v', 'l', 'r')
end
if host ~= '' then
  of_host = places_of_others(peer, host)
end
for at = 6, #ARGV do
  local one = {}
  if at < 6 + listed and room > 0 then
    one = sample(ARGV[at], math.min(each, room), now)
    room = room - #one
  end
  records[at - 5] = one
  found[at - 5] = redis.call('EXISTS', base .. 'swarm:' .. ARGV[at])
end
return {
  known[1], known[2], known[3], redis.call('GET', base .. 'answer:' .. peer), redis.call('ZCARD', base .. 'deadlines'),
  redis.call('ZCARD', base .. 'swarms'), tonumber(redis.call('GET', base .. 'memberships') or 0), of_host, found, records
}
