"""What a driver asks of a datagram machine: one shape for real sockets and for the simulated network."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

Datagram: TypeAlias = "bytes | tuple[bytes | bytearray | memoryview, ...]"
"""One UDP payload: its octets, or the buffers whose octets joined are the payload."""

Address: TypeAlias = Any
"""What the socket gives: `(host, port)`, or the four values of IPv6. Hashable, and opaque to the machine."""


class DatagramMachine(Protocol):
    """A sans-IO protocol over datagrams. `now` is float seconds on the driver's clock."""

    def receive_datagram(self, data: memoryview, address: Address, now: float) -> None:
        """Take one datagram. `data` is valid during the call only: its memory is used again for the next."""

    def datagrams_to_send(self, now: float) -> Sequence[tuple[Datagram, Address]]:
        """Return the next burst, empty when there is nothing to send; the driver asks again until it is empty."""

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` wants to be called, None for never."""

    def handle_timer(self, now: float) -> None:
        """Do what is due; early, late and repeated calls are harmless."""


@runtime_checkable
class PathMachine(DatagramMachine, Protocol):
    """A machine that looks for the longest datagram that each path carries in one packet, if it is asked to."""

    def search_path_mtu(self, limit: int, *, exempt: Callable[[Address], bool] = ...) -> None:
        """From now on what is not fragmentable leaves in one packet or not at all, but to addresses that are `exempt`.

        Search for datagrams of up to `limit` octets.
        """

    @property
    def fragmentable(self) -> bool:
        """Whether what `datagrams_to_send` returned last may leave in fragments."""

    def datagram_too_long(self, address: Address, size: int, now: float) -> None:
        """No packet to the address holds so many octets."""
