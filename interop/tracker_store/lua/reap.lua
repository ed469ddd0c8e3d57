-- ARGV: how many. Remove so many peers whose time is up.
local peers = redis.call('ZRANGEBYSCORE', base .. 'deadlines', '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
for _, peer in ipairs(peers) do
  remove(peer)
end
return #peers
