"""Figures of a connection."""

from typing import Self

import attrs

from ledbat.utp.connection import Connection
from ledbat.utp.ports import Address


@attrs.frozen
class ConnectionStats:
    """A connection at one moment. Octets are payload, times seconds; None stands for what is not known yet."""

    address: Address
    state: str
    srtt: float | None
    min_rtt: float | None
    timeout: float
    cwnd: int
    flight: int
    """Octets in flight: neither acknowledged nor taken for lost."""
    peer_window: int
    """Octets that the peer said it has room for."""
    send_queue: int
    """Octets that wait to be sent for the first time."""
    received: int
    """Octets that arrived."""
    readable: int
    datagram: int
    """Octets in a full packet, header included."""
    retransmissions: int
    """Packets sent again."""
    spurious_timeouts: int
    """Timeouts after which everything turned out to have arrived."""

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Those of one connection."""
        outbound, inbound = connection.outbound, connection.inbound
        recovery = outbound.recovery
        return cls(
            address=connection.address,
            state=connection.state.name,
            srtt=recovery.estimator.srtt,
            min_rtt=recovery.rack.min_rtt,
            timeout=recovery.timeout,
            cwnd=outbound.controller.cwnd,
            flight=recovery.pipe,
            peer_window=outbound.wnd_size,
            send_queue=outbound.queue.size,
            received=inbound.total,
            readable=inbound.queue.readable,
            datagram=outbound.mtu.datagram,
            retransmissions=recovery.retransmissions,
            spurious_timeouts=recovery.spurious,
        )
