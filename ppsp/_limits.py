"""Every bound on what a peer can make us hold or do, with its reason."""

# A path of 1500 octets leaves 1452 for a UDP payload over IPv6; IPv4 leaves 20 more, not worth a special case.
MAX_DATAGRAM = 1452
# UDP's own limit over IPv4: the most that one DATA message of a large chunk may take with its hashes.
MAX_UDP_PAYLOAD = 65_507
# Channels that we answered and that have not answered back. Each costs some 2 KiB; an honest one lives a round trip.
MAX_HALF_OPEN = 256
# An answered handshake that stays silent was spoofed or its peer is gone; the initiator repeats within this time.
HALF_OPEN_SECONDS = 10.0
# Readers of a swarm: each pick looks at the window of every one.
MAX_READERS = 64
# Channels a swarm keeps, and how many of them others may open to us: section 12.6.1 asks to keep some of our own.
MAX_CHANNELS = 256
MAX_INCOMING_CHANNELS = 192
# Ranges of one peer's HAVE set. An honest peer that fetches 64-chunk blocks at random from 4 GiB has 16 400 half-way.
MAX_HAVE_RANGES = 20_480
# What is likewise kept of a live stream: it has few gaps, and what is long past does not matter.
MAX_LIVE_RANGES = 1_024
# What every peer may have of them, whatever the others do, and what all may have together beyond that: fifty honest
# peers of a GiB are below it. A range takes some 160 octets here and in what is known of it when chunks are sent, so
# that 256 hostile peers take 75 MB of a swarm; with a bound for each alone it was ten times that.
OWN_HAVE_RANGES = 1_280
MAX_LENT_HAVE_RANGES = 163_840
# Pieces of what is held that the REQUESTs of one datagram are matched with. Ours need one each; a peer that repeats
# "everything" where we hold every other block would cost most of a second a datagram.
MAX_REQUEST_PIECES = 512
# Ranges waiting in one peer's request queue; ours asks for at most a few blocks at a time.
MAX_REQUEST_RANGES = 2_048
# INTEGRITY hashes of one peer that no chunk has used yet: twice what a chunk of the largest tree needs, peaks included.
MAX_LOOSE_HASHES = 128
# Events that only report junk are not queued beyond this, so that a flood costs no memory.
MAX_JUNK_EVENTS = 256
# Likewise for events that peers cause by coming and going.
MAX_PEER_EVENTS = 4_096
# Datagrams with an invalid message, after which a channel is closed and its peer is not spoken to again (section 3). A
# few are forgiven: the checksum of UDP lets one damaged datagram in 65 536 pass.
MAX_INVALID = 8
# Addresses of such peers, and of those that sent wrong chunks, remembered per swarm.
MAX_BANNED = 4_096
# HAVE messages in the answer to a handshake; more would be "a large number of smaller messages" (section 1.3).
MAX_HANDSHAKE_HAVES = 3
# Octets asked of one peer and not yet received: what a receive buffer of 4 MiB surely takes, since the kernel charges
# up to four times a small datagram's size. More in flight would be lost here, on a path that lost nothing.
MAX_OUTSTANDING_OCTETS = 1_048_576
MIN_OUTSTANDING = 64

# Channels to peers that other peers named: the rest is for those of trackers and of the user (section 3.10.1). And of
# these, the channels to peers that one peer named: who names only its friends gets no more.
MAX_EXCHANGED_CHANNELS = 96
MAX_EXCHANGED_BY_ONE = 16
# Addresses in one answer to PEX_REQ, sent or taken: 16 of IPv6 fit beside other messages of a datagram.
MAX_PEX_ANSWER = 16
# Peers that one peer has named and that did not answer, one after the other: then it is not believed any more. Some are
# behind NATs.
MAX_PEX_VAIN = 32
# Membership certificates in one answer; each fills a datagram, and costs who checks it a tenth of a millisecond.
MAX_PEX_CERTIFICATES = 4
# A certificate and its message type, size and channel ID fit one datagram. Ours have some 350 octets.
MAX_CERTIFICATE = MAX_DATAGRAM - 7
# "In the last 60 seconds" (section 3.10.1): peers heard of since are named to others.
PEX_FRESH_SECONDS = 60.0
# How often a peer is asked for others, and how often it is answered, at the most. Who has fewer peers than these asks
# more often: when they leave it has nobody.
PEX_ASK_SECONDS = 60.0
PEX_LONELY_SECONDS = 15.0
PEX_COMPANY = 4
PEX_ANSWER_SECONDS = 10.0

# Section 3.12: three minutes of silence and three datagrams sent.
DEAD_SECONDS = 180.0
DEAD_DATAGRAMS = 3
# Three keep-alives must fit into the three minutes.
KEEP_ALIVE_SECONDS = 55.0
# An initiating handshake is repeated after 1 s, 2 s, then every 4 s, and given up after 30 s: nine tries.
MAX_HANDSHAKE_GAP = 4.0
CONNECT_SECONDS = 30.0
# A request that brought nothing for this long (and four round trips) goes to another peer; libswift forgets it then.
REQUEST_SECONDS = 1.5
# How long a HAVE may wait for company: less than people notice, more than a round trip of a near peer.
HAVE_DELAY_SECONDS = 0.02
# Verified chunks that make a HAVE go out at once.
HAVE_BATCH = 64
# LEDBAT wants at least four delay samples a round trip (RFC 6817 section 2.5): so many ACKs a batch at the most.
MAX_SAMPLES = 4
# Chunks are asked for and sent in aligned blocks of so many: the hashes of a block come once.
BLOCK = 64
# DATA datagrams of one channel in one burst, and of all channels in one call: what 64 KiB of segmentation offload take.
BURST_CHUNKS = 64
FLUSH_CHUNKS = 256
