#!lua
-- ARGV: a peer, the version it was read in ('': it was not there), the ms that its timer runs from now, the next
-- version, what lists need of it ('': it goes) and the rest, an answer ('': none) and the ms to keep it, the host that
-- the peer counts for ('': nobody), in how many swarms it is, the most peers, swarms, memberships and memberships of a
-- host that there may be, how many swarms the peer joins, and by turns those and its modes there, then the swarms it
-- leaves.
-- 0 if the peer is in another version by now, or there would be too many, and nothing was done.
local peer, version, timer, next_version, listed = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local host, number = ARGV[9], tonumber(ARGV[10])
local first_join, first_left = 16, 16 + 2 * tonumber(ARGV[15])
local now = now_ms()
local key = base .. 'peer:' .. peer
local held = is_there(peer, now) and redis.call('HGET', key, 'v') or ''
if held ~= version then
  return 0
end

local function is_full()
  local more = number - math.max(0, redis.call('HLEN', key) - 3)
  local before, from = places_of(peer)
  local more_of_host = host ~= '' and number - (from == host and before or 0) or 0
  local fresh = 0
  for at = first_join, first_left - 1, 2 do
    fresh = fresh + 1 - redis.call('EXISTS', base .. 'swarm:' .. ARGV[at])
  end
  return held == '' and redis.call('ZCARD', base .. 'deadlines') >= tonumber(ARGV[11])
    or fresh > 0 and redis.call('ZCARD', base .. 'swarms') + fresh > tonumber(ARGV[12])
    or more > 0 and tonumber(redis.call('GET', base .. 'memberships') or 0) + more > tonumber(ARGV[13])
    or more_of_host > 0 and places_of_others(peer, host) + number > tonumber(ARGV[14])
end

if listed == '' then
  remove(peer)
else
  if first_left > first_join and is_full() then
    return 0
  end
  redis.call('HSET', key, 'v', next_version, 'l', listed, 'r', ARGV[6])
  redis.call('ZADD', base .. 'deadlines', now + tonumber(timer), peer)
  hold(peer, host, number)
  for at = first_join, first_left - 1, 2 do
    join(peer, ARGV[at], ARGV[at + 1])
  end
  for at = first_left, #ARGV do
    leave(peer, ARGV[at])
  end
end
if ARGV[7] ~= '' then
  redis.call('SET', base .. 'answer:' .. peer, ARGV[7], 'PX', ARGV[8])
end
return 1
