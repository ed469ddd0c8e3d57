#!lua flags=allow-oom
-- ARGV: how many. The largest swarms, how many peers they have, and how many seeders.
local found = {}
for _, swarm in ipairs(redis.call('ZREVRANGE', base .. 'swarms', 0, ARGV[1] - 1)) do
  local peers = redis.call('ZSCORE', base .. 'swarms', swarm)
  local seeders = redis.call('ZSCORE', base .. 'seeders', swarm)
  found[#found + 1] = {swarm, tonumber(peers), tonumber(seeders or 0)}
end
return found
