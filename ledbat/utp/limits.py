"""Every number that bounds what a connection or an endpoint keeps, sends or waits for, and why it is that number."""

RECEIVE_BUFFER = 1 << 20
"""Octets that a connection holds for its application, unless told otherwise: 100 Mbit/s over 80 ms."""
SEND_BUFFER = 1 << 20
"""Octets that wait to be sent or acknowledged, unless told otherwise."""
MAX_BUFFER = 1 << 30
"""The largest buffer allowed: the window has 32 bits, and half of them tell which of two edges is further right."""

MAX_OUTSTANDING = 1 << 14
"""Packets sent and not acknowledged: sequence numbers are compared modulo 2^16, so it must be below 2^15."""
MAX_REORDERED = 4096
"""Packets kept that came ahead of a missing one. The receive buffer limits their octets; this limits the work and the
memory that packets of one octet each would cost."""
SMALL_PAYLOAD = 256
"""Payloads up to this are joined in the receive queue: an object each would cost more than what they carry."""
OLD_ACKS = 4096
"""How far behind an ack_nr may be, for packets that were overtaken; what is further off is not of this connection."""
RESET_SLACK = 128
"""How far below the oldest outstanding packet the ack_nr of a RESET may be: our packets that crossed it."""
MAX_DELAYS = 512
"""Delay samples of one batch: more datagrams than this in one drain bring nothing new."""

MIN_TIMEOUT = 0.5
"""Seconds: "the minimum timeout for a packet is 1/2 second"."""
FIRST_TIMEOUT = 1.0
"""Seconds: "the initial timeout is set to 1000 milliseconds"."""
MAX_TIMEOUT = 60.0
"""Seconds that back-off leads to at most."""
GIVE_UP = 60.0
"""Seconds without an answer to what we send, after which the next timeout ends the connection."""
CONNECT_TIMEOUT = 30.0
"""Seconds until an unanswered SYN is given up: five transmissions."""
HALF_OPEN_TIMEOUT = 30.0
"""Seconds for the first packet after our answer to a SYN: an initiator retries its first data for about as long."""
KEEP_ALIVE = 29.0
"""Seconds without a packet sent after which a NAT may forget us: libutp's figure."""
LINGER = 4.0
"""Seconds at least for which the FIN of a peer that missed our acknowledgement is answered again: one that has not
measured a round trip sends its FIN again after 1 and after 3 seconds."""
CLOSE_TIMEOUT = 60.0
"""Seconds for the peer's FIN after ours was acknowledged and the application has closed."""

QUICK_ACKS = 16
"""Packets at the start that are each acknowledged at once: the sender's window grows with acknowledgements."""
ACK_EVERY = 2
"""Data packets that one acknowledgement waits for, as in RFC 5681 section 4.2."""
ACK_DELAY = 0.02
"""Seconds that an acknowledgement waits at most; less when a quarter of the round-trip time is less."""
PEER_ACK_DELAY = 0.05
"""Seconds that a tail-loss probe allows a peer for an acknowledgement that it delays."""

FLUSH_DATAGRAMS = 256
"""Datagrams returned by one call of `datagrams_to_send`: what a driver sends before it reads again."""
FLUSH_PACKETS = 64
"""Data packets of one connection in one call, so that others get their turn: four kernel offload batches of 16."""

MAX_CONNECTIONS = 8192
"""Connections that peers can open at an endpoint."""
MAX_HALF_OPEN = 1000
"""Connections that a SYN opened and nothing else has confirmed: at 2 kB each, what spoofed SYNs can cost us."""
MAX_RESETS = 1000
"""RESETs remembered, and so sent in RESET_INTERVAL."""
RESET_INTERVAL = 10.0
"""Seconds in which the same packet is answered with one RESET only."""
MAX_DROPPED_EVENTS = 64
"""DatagramDropped events that wait at once."""
