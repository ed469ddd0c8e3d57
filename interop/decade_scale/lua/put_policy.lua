-- ARGV: node, policy, over ('' for none), the most that the node may hold ('' for any). Keep what an account has put, or
-- nothing if it is what is there anyway. Returns what the node holds if that is too much.
local node, policy, over, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = holding(node)
if most ~= '' and held[1] + held[2] > tonumber(most) or policy == '' and held[3] > 0 then
  return held
end
local version = redis.call('INCR', base .. 'policies')
if policy == over then
  redis.call('HDEL', base .. 'policies:put', node)
  redis.call('HDEL', base .. 'policies:over', node)
  redis.call('HDEL', base .. 'policies:version', node)
else
  redis.call('HSET', base .. 'policies:put', node, policy)
  redis.call('HSET', base .. 'policies:over', node, over)
  redis.call('HSET', base .. 'policies:version', node, version)
end
return false
