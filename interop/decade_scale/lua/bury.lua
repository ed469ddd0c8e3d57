-- ARGV: worker. It ends: what it has reserved is free.
bury(ARGV[1])
return 1
