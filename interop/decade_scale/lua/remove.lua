-- ARGV: account, name and expiry ('*' for any) of each row. Take rows away: for each its fields, and the copy that
-- nobody has any more ('' while somebody has it); false for those that are not there, or have another expiry.
local removed = {}
for at = 1, #ARGV, 3 do
  local account, name, expires = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local held = redis.call('HGET', base .. 'row:' .. account .. name, 'expires')
  local row = held and (expires == '*' or expires == held) and take_row(account, name)
  removed[#removed + 1] = row and {row, let_go(name)} or false
end
return removed
