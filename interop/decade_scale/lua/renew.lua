-- ARGV: new worker, the number of old ones and these, then node and octets. The new worker takes over what the old ones
-- have reserved, one of which may have taken it over from another: at most so many octets at each node. Commands of the
-- old ones that are still on their way find them gone. Returns the octets at each node.
local new, first, kept = ARGV[1], 3 + tonumber(ARGV[2]), {}
for at = first, #ARGV, 2 do
  local had = 0
  for old = 3, first - 1 do
    had = had + reserved_by(ARGV[old], ARGV[at])
  end
  kept[#kept + 1] = math.min(tonumber(ARGV[at + 1]), had)
end
for old = 3, first - 1 do
  bury(ARGV[old])
end
redis.call('ZADD', base .. 'workers', now_ms(), new)
for at = first, #ARGV, 2 do
  reserve_more(new, ARGV[at], kept[(at - first) / 2 + 1])
end
return kept
