-- ARGV: worker, octets, nodes, then of each node the limit and the version of its policy ('' for none). Reserve at every
-- node or at none.
local worker, octets, count = ARGV[1], tonumber(ARGV[2]), (#ARGV - 2) / 3
if not is_alive(worker) then
  return {'buried'}
end
for at = 1, count do
  local node, limit, version = ARGV[2 + at], ARGV[1 + count + 2 * at], ARGV[2 + count + 2 * at]
  if version ~= '' and version ~= (redis.call('HGET', base .. 'policies:version', node) or '0') then
    return {'outdated'}
  end
  if limit ~= '' then
    local held = holding(node)
    if held[1] + held[2] + octets > tonumber(limit) then
      return {'short', at - 1, unpack(held)}
    end
  end
end
for at = 1, count do
  reserve_more(worker, ARGV[2 + at], octets)
end
return {'done'}
