#!lua flags=allow-oom
-- ARGV: a peer, the version it was read in, the ms that its timer runs from now. 0 if it is in another version by now.
local peer = ARGV[1]
local now = now_ms()
if not is_there(peer, now) or redis.call('HGET', base .. 'peer:' .. peer, 'v') ~= ARGV[2] then
  return 0
end
redis.call('ZADD', base .. 'deadlines', now + tonumber(ARGV[3]), peer)
return 1
