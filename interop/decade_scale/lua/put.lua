-- ARGV: worker, account, name, copy, size, nodes (JSON), created, expires, media type, collections. What the worker has
-- reserved for an object becomes what is stored, with its row; if the account has it already, what is reserved stays so,
-- the later expiry wins, a media type is added, and it is in the collections of both, ARGV[11] at most. Returns what was
-- done, and the copy that this one replaces ('' for none).
local worker, account, name, copy, size = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local nodes, expires, media_type, collections = cjson.decode(ARGV[6]), ARGV[8], ARGV[9], ARGV[10]
if not is_alive(worker) then
  return {'buried', ''}
end
local before = redis.call('HGET', payloads(name), name) or ''
local key, held = base .. 'row:' .. account .. name, read_row(account, name)
if held then
  if held[4] == '' or expires == '' then
    expires = ''
  elseif tonumber(held[4]) > tonumber(expires) then
    expires = held[4]
  end
  if held[5] ~= '' then
    media_type = held[5]
  end
  local all = {}
  for one in string.gmatch((held[9] or '') .. ' ' .. collections, '%x+') do
    all[one] = true
  end
  local sorted = {}
  for one in pairs(all) do
    sorted[#sorted + 1] = one
  end
  if #sorted > tonumber(ARGV[11]) then
    return {'many', ''}
  end
  table.sort(sorted)
  redis.call('HSET', key, 'expires', expires, 'media_type', media_type, 'collections', table.concat(sorted, ' '))
  set_expiry(account, name, expires)
  redis.call('HSET', payloads(name), name, copy)
  return {'held', before}
end
for _, node in ipairs(nodes) do
  if reserved_by(worker, node) < size then
    return {'buried', ''}
  end
end
for _, node in ipairs(nodes) do
  reserve_more(worker, node, 0 - size)
end
redis.call('HSET', payloads(name), name, copy)
redis.call('HSET', key, 'size', ARGV[5], 'nodes', ARGV[6], 'created', ARGV[7], 'expires', expires,
  'media_type', media_type, 'reads', 0, 'octets_read', 0, 'last_read', '', 'collections', collections)
redis.call('ZADD', base .. 'rows:' .. account, 0, name)
redis.call('ZADD', base .. 'holders:' .. name, ARGV[7], account)
set_expiry(account, name, expires)
for _, node in ipairs(nodes) do
  add(base .. 'holding:' .. node, 'stored', size)
  add(base .. 'holding:' .. node, 'objects', 1)
end
return {'new', before}
