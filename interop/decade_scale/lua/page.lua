-- ARGV: account, name, count. Name and fields of the first rows of an account behind a name.
local account, found = ARGV[1], {}
local after = ARGV[2] == '' and '-' or '(' .. ARGV[2]
for _, name in ipairs(redis.call('ZRANGEBYLEX', base .. 'rows:' .. account, after, '+', 'LIMIT', 0, ARGV[3])) do
  found[#found + 1] = {name, read_row(account, name)}
end
return found
