-- ARGV: a peer, the version it was read in ('': it was not there), the ms that its timer runs from now, the next
-- version and record ('': it goes), an answer ('': none) and the ms to keep it, how many swarms it joins, and by turns
-- those and its modes there, then the swarms it leaves.
-- 0 if the peer is in another version by now, and nothing was done.
local peer, version, timer, next_version, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local now = now_ms()
local held = is_there(peer, now) and redis.call('HGET', base .. 'peer:' .. peer, 'v') or ''
if held ~= version then
  return 0
end
if record == '' then
  remove(peer)
else
  redis.call('HSET', base .. 'peer:' .. peer, 'v', next_version, 'r', record)
  redis.call('ZADD', base .. 'deadlines', now + tonumber(timer), peer)
  local first_left = 9 + 2 * tonumber(ARGV[8])
  for at = 9, first_left - 1, 2 do
    join(peer, ARGV[at], ARGV[at + 1])
  end
  for at = first_left, #ARGV do
    leave(peer, ARGV[at])
  end
end
if ARGV[6] ~= '' then
  redis.call('SET', base .. 'answer:' .. peer, ARGV[6], 'PX', ARGV[7])
end
return 1
