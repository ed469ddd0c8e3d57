"""What a uTP connection asks of others, as structural types."""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

#: A transport address as the socket gives it: `(host, port)`, or the four-tuple of IPv6.
Address: TypeAlias = Hashable
#: One datagram: its octets, or the buffers that make it up in order (so that no payload is copied).
Datagram: TypeAlias = bytes | tuple[bytes | memoryview, ...]


class CongestionController(Protocol):
    """Decides how much may be in flight: `ledbat.Ledbat` fits. Sizes are octets of payload, times float seconds."""

    @property
    def cwnd(self) -> int:
        """Octets that may be in flight: the BEP's max_window."""

    @property
    def pacing_rate(self) -> float | None:
        """Octets a second at which to spread the sending; None for no advice."""

    def on_sent(self, *, sent: int, now: float) -> None:
        """`sent` octets that were not in flight before left for the network."""

    def on_ack(self, *, acked: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """A batch of acknowledgements: newly acknowledged octets, one-way delay samples in order, an RTT (Karn)."""

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        """`lost` octets are taken for lost."""

    def on_timeout(self, now: float) -> None:
        """Nothing was acknowledged for a whole timeout."""

    def get_timer(self) -> float | None:
        """When the controller's own timeout is due. The connection keeps the clock: it only reads this to tell the
        controller of a timeout no earlier than the controller would believe it."""


@runtime_checkable
class TimeoutUndo(Protocol):
    """A controller that can take a timeout back."""

    def undo_timeout(self, now: float) -> None:
        """The last timeout was spurious: nothing had been lost, the acknowledgements were late."""


class ReceiveWindowController(Protocol):
    """Decides at the receiver how much the sender may have in flight (rLEDBAT, RFC 9840)."""

    def on_data(self, *, received: int, delays_us: Sequence[int], rtt: float | None, now: float) -> None:
        """A batch of arrivals: octets, the one-way delays in order, and the round-trip time in seconds if known."""

    def on_retransmission(self, now: float) -> None:
        """A packet that was lost arrived: the sender had to send it again."""

    def window(self, fcwnd: int) -> int:
        """The window to advertise, given the octets that the receive buffer has room for; never more than those."""


#: Makes the controller of a new connection, given the octets of payload in its largest packet.
ControllerFactory: TypeAlias = Callable[[int], CongestionController]
#: The same for the receiving side.
ReceiveWindowFactory: TypeAlias = Callable[[int], ReceiveWindowController]
