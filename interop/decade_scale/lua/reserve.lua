-- ARGV: worker, octets, then node and limit ('' for none). Reserve at every node or at none.
local worker, octets = ARGV[1], tonumber(ARGV[2])
if not is_alive(worker) then
  return {'buried'}
end
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] ~= '' then
    local held = redis.call('HMGET', base .. 'holding:' .. ARGV[at], 'stored', 'reserved', 'objects')
    local stored, reserved = tonumber(held[1] or 0), tonumber(held[2] or 0)
    if stored + reserved + octets > tonumber(ARGV[at + 1]) then
      return {'short', (at - 3) / 2, held[1] or '0', held[2] or '0', held[3] or '0'}
    end
  end
end
for at = 3, #ARGV, 2 do
  reserve_more(worker, ARGV[at], octets)
end
return {'done'}
