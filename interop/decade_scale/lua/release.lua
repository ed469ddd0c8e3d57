-- ARGV: worker, octets, then nodes. What a worker had reserved is free; nothing if it has lapsed.
local worker, octets = ARGV[1], tonumber(ARGV[2])
if not is_alive(worker) then
  return 0
end
for at = 3, #ARGV do
  if reserved_by(worker, ARGV[at]) < octets then
    return 0
  end
end
for at = 3, #ARGV do
  reserve_more(worker, ARGV[at], 0 - octets)
end
return 1
