-- All that accounts have put: node, policy, over ('' for none) and version, of each.
local found, versions = {}, redis.call('HGETALL', base .. 'policies:version')
for at = 1, #versions, 2 do
  local node = versions[at]
  local policy, over = redis.call('HGET', base .. 'policies:put', node), redis.call('HGET', base .. 'policies:over', node)
  found[#found + 1] = {node, policy, over, versions[at + 1]}
end
return found
