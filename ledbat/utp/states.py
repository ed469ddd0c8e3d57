"""What a connection is known by, and the states it goes through."""

import enum
from typing import TypeAlias

import attrs

from ledbat.utp.packet import TIME_MASK
from ledbat.utp.ports import Address

Head: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""The fields of HEADER."""
Buffer: TypeAlias = bytes | bytearray | memoryview


class State(enum.Enum):
    """The BEP's states, and what follows them."""

    SYN_SENT = enum.auto()
    SYN_RECV = enum.auto()
    CONNECTED = enum.auto()
    LINGERING = enum.auto()
    """Both directions are finished; a FIN that comes again is acknowledged again."""
    CLOSED = enum.auto()


@attrs.frozen
class Identity:
    """What tells a connection from others."""

    number: int
    """What the application knows it by."""
    address: Address
    recv_id: int
    """The connection_id of packets from the peer."""
    send_id: int
    """The connection_id of packets to the peer, the SYN apart."""


def clock(now: float) -> int:
    """timestamp_microseconds; never 0, which some take for "no timestamp"."""
    return int(now * 1e6) & TIME_MASK or 1
