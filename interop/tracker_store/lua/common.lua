-- What the scripts share. KEYS[1] is what all keys begin with; a hash tag in it keeps them in one slot.
--
--   peer:<peer>      hash  v: a version, l: what lists need as JSON, r: the rest, s<swarm>: S(eeder) or L(eech)
--   swarm:<swarm>    set   peers
--   swarms, seeders  zset  swarm -> how many peers, and seeders among them, it has
--   deadlines        zset  peer -> when its track timer ends, in ms by the clock of this server
--   memberships      how many, over all peers
--   places           hash  host -> the memberships that count for it
--   held             hash  peer -> how many of those are its own, and the host
--   nonce-key        the secret under which the trackers make Digest nonces
--   answer:<peer>    what answered the peer's last request that changed something, for a minute
local base = KEYS[1]

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Add to the score of a swarm; one without any is no swarm.
local function count(name, swarm, number)
  if tonumber(redis.call('ZINCRBY', base .. name, number, swarm)) <= 0 then
    redis.call('ZREM', base .. name, swarm)
  end
end

local function leave(peer, swarm)
  local mode = redis.call('HGET', base .. 'peer:' .. peer, 's' .. swarm)
  redis.call('HDEL', base .. 'peer:' .. peer, 's' .. swarm)
  if redis.call('SREM', base .. 'swarm:' .. swarm, peer) == 1 then
    redis.call('DECR', base .. 'memberships')
    count('swarms', swarm, -1)
  end
  if mode == 'S' then
    count('seeders', swarm, -1)
  end
end

local function join(peer, swarm, mode)
  local before = redis.call('HGET', base .. 'peer:' .. peer, 's' .. swarm)
  redis.call('HSET', base .. 'peer:' .. peer, 's' .. swarm, mode)
  if redis.call('SADD', base .. 'swarm:' .. swarm, peer) == 1 then
    redis.call('INCR', base .. 'memberships')
    count('swarms', swarm, 1)
  end
  if (mode == 'S') ~= (before == 'S') then
    count('seeders', swarm, mode == 'S' and 1 or -1)
  end
end

-- How many places the peer holds, and of which host's; false without any.
local function places_of(peer)
  local held = redis.call('HGET', base .. 'held', peer)
  if not held then
    return 0, false
  end
  local number, host = string.match(held, '^(%d+) (.+)$')
  return tonumber(number), host
end

-- How many places the peers of a host hold, but for this one.
local function places_of_others(peer, host)
  local own, of = places_of(peer)
  return tonumber(redis.call('HGET', base .. 'places', host) or 0) - (of == host and own or 0)
end

-- Have the peer hold so many places of a host ('': nobody's), in place of those that it held.
local function hold(peer, host, number)
  local before, from = places_of(peer)
  if from == host and before == number then
    return
  end
  if from then
    if redis.call('HINCRBY', base .. 'places', from, -before) <= 0 then
      redis.call('HDEL', base .. 'places', from)
    end
    redis.call('HDEL', base .. 'held', peer)
  end
  if host ~= '' then
    redis.call('HINCRBY', base .. 'places', host, number)
    redis.call('HSET', base .. 'held', peer, number .. ' ' .. host)
  end
end

-- Take a peer out of everything.
local function remove(peer)
  for _, field in ipairs(redis.call('HKEYS', base .. 'peer:' .. peer)) do
    if string.sub(field, 1, 1) == 's' then
      leave(peer, string.sub(field, 2))
    end
  end
  redis.call('DEL', base .. 'peer:' .. peer)
  redis.call('ZREM', base .. 'deadlines', peer)
  hold(peer, '', 0)
end

-- Whether the peer is there, and its time not up; one whose time is up is removed.
local function is_there(peer, now)
  local deadline = redis.call('ZSCORE', base .. 'deadlines', peer)
  if deadline and tonumber(deadline) > now then
    return true
  end
  remove(peer)
  return false
end

-- The records of so many peers of a swarm, at random. A Redis short of memory may have dropped one (maxmemory-policy).
local function sample(swarm, number, now)
  local records = {}
  for _, peer in ipairs(redis.call('SRANDMEMBER', base .. 'swarm:' .. swarm, number)) do
    local record = is_there(peer, now) and redis.call('HGET', base .. 'peer:' .. peer, 'l')
    if record then
      records[#records + 1] = record
    else
      remove(peer)
      leave(peer, swarm)
    end
  end
  return records
end
