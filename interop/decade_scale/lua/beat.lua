-- ARGV: worker, ms that a worker counts as alive, 'join' or 'stay'. A worker lives; those that have not said so for too
-- long are buried, and what they have reserved is free. Returns whether the worker is known.
local worker, lease, workers = ARGV[1], tonumber(ARGV[2]), base .. 'workers'
local now = now_ms()
local newest = redis.call('ZREVRANGE', workers, 0, 0, 'WITHSCORES')[2]
if newest and (now - tonumber(newest) > lease or tonumber(newest) > now) then
  -- Nobody could say that it lives, as this server was away, or its clock was set: everybody gets another lease.
  for _, other in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    redis.call('ZADD', workers, now, other)
  end
end
if ARGV[3] == 'stay' and not is_alive(worker) then
  return 0
end
redis.call('ZADD', workers, now, worker)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', '(' .. (now - lease))) do
  bury(dead)
end
return 1
