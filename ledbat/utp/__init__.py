"""uTP (BEP 29), sans-IO: reliable streams over datagrams that yield to other traffic.

`UtpEndpoint` is one UDP socket's worth of connections, without the socket and without a clock.
"""

from ledbat.utp.endpoint import UtpEndpoint, default_controller
from ledbat.utp.events import (
    Closed,
    Connected,
    DatagramDropped,
    EofReceived,
    Event,
    Finished,
    Incoming,
    Readable,
    Reason,
    Writable,
)
from ledbat.utp.packet import Packet, PacketType, decode, encode
from ledbat.utp.ports import (
    Address,
    CongestionController,
    ControllerFactory,
    Datagram,
    ReceiveWindowController,
    ReceiveWindowFactory,
    TimeoutUndo,
)
from ledbat.utp.stats import ConnectionStats

__all__ = [
    "Address",
    "Closed",
    "CongestionController",
    "Connected",
    "ConnectionStats",
    "ControllerFactory",
    "Datagram",
    "DatagramDropped",
    "EofReceived",
    "Event",
    "Finished",
    "Incoming",
    "Packet",
    "PacketType",
    "Readable",
    "Reason",
    "ReceiveWindowController",
    "ReceiveWindowFactory",
    "TimeoutUndo",
    "UtpEndpoint",
    "Writable",
    "decode",
    "default_controller",
    "encode",
]
