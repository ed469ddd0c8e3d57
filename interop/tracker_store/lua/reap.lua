#!lua flags=allow-oom
-- ARGV: how many, and the key of nonces ('': none). Remove so many peers whose time is up, and keep that key.
if ARGV[2] ~= '' then
  redis.call('SET', base .. 'nonce-key', ARGV[2], 'NX')
end
local peers = redis.call('ZRANGEBYSCORE', base .. 'deadlines', '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
for _, peer in ipairs(peers) do
  remove(peer)
end
return #peers
