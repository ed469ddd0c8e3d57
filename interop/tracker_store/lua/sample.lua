#!lua flags=allow-oom
-- ARGV: a swarm, and how many. The records of so many of its peers.
return sample(ARGV[1], ARGV[2], now_ms())
