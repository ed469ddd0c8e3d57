"""What a `UtpEndpoint` tells its user. `connection` is the number that `connect` returned or `Incoming` brought."""

import enum
from typing import TypeAlias

import attrs

from ledbat.utp.ports import Address


class Reason(enum.Enum):
    """Why a connection is closed."""

    FINISHED = "both directions were finished"
    RESET = "the peer reset it"
    ABORTED = "we reset it"
    REFUSED = "the peer refused it"
    TIMEOUT = "the peer does not answer"


@attrs.frozen
class Incoming:
    """A peer opened a connection; it can be used at once."""

    connection: int
    address: Address


@attrs.frozen
class Connected:
    """The peer accepted the connection that `connect` asked for."""

    connection: int
    address: Address


@attrs.frozen
class Readable:
    """There are octets to `receive`; told once until all of them are taken."""

    connection: int


@attrs.frozen
class Writable:
    """`send` took less than it was given, and there is room again; told once."""

    connection: int


@attrs.frozen
class EofReceived:
    """The peer finished its direction: nothing follows what is to be received now."""

    connection: int


@attrs.frozen
class Finished:
    """The peer acknowledged everything that was sent, and our FIN; it may go on in its own direction."""

    connection: int


@attrs.frozen
class Closed:
    """The last event of a connection. Its number is good for `receive` until all is taken, and forgotten then."""

    connection: int
    reason: Reason


@attrs.frozen
class DatagramDropped:
    """A datagram was ignored. Many may follow from one cause, so the queue holds only a limited number of these."""

    address: Address
    reason: str


Event: TypeAlias = Incoming | Connected | Readable | Writable | EofReceived | Finished | Closed | DatagramDropped
