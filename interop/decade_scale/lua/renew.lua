-- ARGV: old worker, new worker, then node and octets. The new worker takes over what the old one has reserved, at most
-- so many octets at each node; commands of the old one that are still on their way find it gone. Returns the octets at
-- each node. Again with the same new worker it changes nothing.
local old, new, kept = ARGV[1], ARGV[2], {}
if not is_alive(new) then
  local taken = {}
  for at = 3, #ARGV, 2 do
    taken[#taken + 1] = math.min(tonumber(ARGV[at + 1]), reserved_by(old, ARGV[at]))
  end
  bury(old)
  redis.call('ZADD', base .. 'workers', now_ms(), new)
  for at = 3, #ARGV, 2 do
    reserve_more(new, ARGV[at], taken[(at - 1) / 2])
  end
end
for at = 3, #ARGV, 2 do
  kept[#kept + 1] = reserved_by(new, ARGV[at])
end
return kept
