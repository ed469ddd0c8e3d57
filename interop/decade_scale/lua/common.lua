-- What the scripts share. KEYS[1] is what all keys begin with; a hash tag in it keeps them in one slot.
--
--   workers              zset  worker -> when it last said that it lives, in ms by the clock of this server
--   worker:<id>          hash  node -> octets that this worker has reserved there
--   holding:<node>       hash  stored, reserved, objects
--   policies             how often one was put; policies:put, :over, :version are hashes of nodes: what an account has
--                        put last, over what, and the number of that
--   row:<account><name>  hash  an object of an account; names have 32 octets
--   rows:<account>       zset  names, all with score 0: in the order of their octets
--   holders:<name>       zset  accounts that have the object -> when each has stored it
--   payloads:<xx>        hash  name -> the copy in the bucket that holds its octets, by the first octet of the name
--   signed:<account>     hash  publisher and label of a signed name -> name and signature
--   names:<account><name> set  the signed names of an object
--   expiries             zset  <account><name> -> when it expires
local base = KEYS[1]
local FIELDS = {'size', 'nodes', 'created', 'expires', 'media_type', 'reads', 'octets_read', 'last_read',
  'collections'}

local function add(key, field, number)
  if number ~= 0 then
    redis.call('HINCRBY', key, field, string.format('%.0f', number))
  end
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The octets stored and reserved, and the objects, of a node.
local function holding(node)
  local held = redis.call('HMGET', base .. 'holding:' .. node, 'stored', 'reserved', 'objects')
  return {tonumber(held[1] or 0), tonumber(held[2] or 0), tonumber(held[3] or 0)}
end

local function is_alive(worker)
  return redis.call('ZSCORE', base .. 'workers', worker)
end

local function reserved_by(worker, node)
  return tonumber(redis.call('HGET', base .. 'worker:' .. worker, node) or 0)
end

-- More (or, below 0, less) is reserved at a node by a worker; 0 takes no room in a hash.
local function reserve_more(worker, node, number)
  local key = base .. 'worker:' .. worker
  add(key, node, number)
  if redis.call('HGET', key, node) == '0' then
    redis.call('HDEL', key, node)
  end
  add(base .. 'holding:' .. node, 'reserved', number)
end

local function bury(worker)
  local reserved = redis.call('HGETALL', base .. 'worker:' .. worker)
  for at = 1, #reserved, 2 do
    add(base .. 'holding:' .. reserved[at], 'reserved', 0 - tonumber(reserved[at + 1]))
  end
  redis.call('DEL', base .. 'worker:' .. worker)
  redis.call('ZREM', base .. 'workers', worker)
end

local function payloads(name)
  return base .. 'payloads:' .. string.format('%02x', string.byte(name))
end

local function set_expiry(account, name, expires)
  if expires == '' then
    redis.call('ZREM', base .. 'expiries', account .. name)
  else
    redis.call('ZADD', base .. 'expiries', expires, account .. name)
  end
end

local function read_row(account, name)
  local row = redis.call('HMGET', base .. 'row:' .. account .. name, unpack(FIELDS))
  return row[1] and row
end

-- Take a row away, with what its nodes hold for it; its fields, or false.
local function take_row(account, name)
  local row = read_row(account, name)
  if not row then
    return false
  end
  redis.call('DEL', base .. 'row:' .. account .. name)
  redis.call('ZREM', base .. 'rows:' .. account, name)
  redis.call('ZREM', base .. 'expiries', account .. name)
  redis.call('ZREM', base .. 'holders:' .. name, account)
  for _, signed in ipairs(redis.call('SMEMBERS', base .. 'names:' .. account .. name)) do
    redis.call('HDEL', base .. 'signed:' .. account, signed)
  end
  redis.call('DEL', base .. 'names:' .. account .. name)
  for _, node in ipairs(cjson.decode(row[2])) do
    add(base .. 'holding:' .. node, 'stored', 0 - tonumber(row[1]))
    add(base .. 'holding:' .. node, 'objects', -1)
  end
  return row
end

-- The copy of an object that nobody has any more, which is forgotten; '' while somebody has it.
local function let_go(name)
  if redis.call('EXISTS', base .. 'holders:' .. name) == 1 then
    return ''
  end
  local copy = redis.call('HGET', payloads(name), name) or ''
  redis.call('HDEL', payloads(name), name)
  return copy
end
