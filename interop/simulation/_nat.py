"""Network address translators, in the terms of RFC 4787."""

import enum
from collections.abc import Hashable

import attrs

from interop.simulation._engine import Engine, microseconds
from interop.simulation._links import Link
from interop.simulation._packets import Drop, Hop, Packet, Recorder, SimulatedAddress

_FIRST_PORT = 1024
_LAST_PORT = 65_535


class NatBehaviour(enum.Enum):
    """On what a mapping (RFC 4787 section 4.1) or a filter (section 5) depends."""

    ENDPOINT_INDEPENDENT = enum.auto()
    """On the inner address and port only."""
    ADDRESS_DEPENDENT = enum.auto()
    """On the outer address as well."""
    ADDRESS_AND_PORT_DEPENDENT = enum.auto()
    """On the outer address and port as well."""

    def key(self, address: SimulatedAddress) -> Hashable:
        """What of an outer address matters."""
        if self is NatBehaviour.ENDPOINT_INDEPENDENT:
            return None
        return address[0] if self is NatBehaviour.ADDRESS_DEPENDENT else address[:2]


@attrs.define
class _Mapping:
    inner: SimulatedAddress
    port: int
    key: Hashable
    expires_us: int
    permitted: set[Hashable] = attrs.Factory(set)


class Nat:
    """A NAT with one public IPv4 address. Hosts are put behind it with `Network.host(..., nat=...)`."""

    def __init__(
        self,
        address: str,
        *,
        mapping: NatBehaviour = NatBehaviour.ENDPOINT_INDEPENDENT,
        filtering: NatBehaviour = NatBehaviour.ADDRESS_AND_PORT_DEPENDENT,
        lifetime: float = 300.0,
        hairpinning: bool = True,
        up: Link | None = None,
        down: Link | None = None,
    ) -> None:
        """Describe a NAT: `Network.nat` makes it part of a network.

        A mapping ends `lifetime` seconds after the last packet from inside (RFC 4787 section 4.3 recommends 300). With
        `hairpinning` hosts behind the NAT reach each other at their public addresses. `up` and `down` are the links
        that all hosts behind it share, beyond their own.
        """
        self.address = address
        self.up = up
        self.down = down
        self.hairpinning = hairpinning
        self.inside: dict[str, tuple[Hop, ...]] = {}
        """The hops from the NAT to each host behind it, by its inner address."""
        self._mapping = mapping
        self._filtering = filtering
        self._lifetime_us = microseconds(lifetime)
        self._by_flow: dict[tuple[SimulatedAddress, Hashable], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._next_port = _FIRST_PORT

    @property
    def name(self) -> str:
        """What taps call it: `nat` and its address."""
        return f"nat {self.address}"

    def join(self, engine: Engine, recorder: Recorder) -> None:
        """Become part of a network, which calls this."""
        self._engine = engine
        self._recorder = recorder

    def outbound(self, packet: Packet) -> None:
        """A hop: give a packet from inside its public source address."""
        mapping = self._map(packet.source, packet.destination)
        if mapping is None:
            self._recorder.was_dropped(packet, self.name, Drop.NAT_FULL)
            return
        mapping.expires_us = self._engine.now_us + self._lifetime_us
        mapping.permitted.add(self._filtering.key(packet.destination))
        packet.source = (self.address, mapping.port)
        packet.advance()

    def inbound(self, packet: Packet) -> None:
        """A hop: send a packet from outside to the host that it is for, if it may pass."""
        mapping = self._by_port.get(packet.destination[1])
        if (
            mapping is None
            or mapping.expires_us < self._engine.now_us
            or self._filtering.key(packet.source) not in mapping.permitted
        ):
            self._recorder.was_dropped(packet, self.name, Drop.NAT_FILTER)
            return
        packet.destination = mapping.inner
        packet.redirect(self.inside[mapping.inner[0]])

    def forget(self) -> None:
        """Lose all mappings, as a NAT does that is switched off and on."""
        self._by_flow.clear()
        self._by_port.clear()

    def _map(self, inner: SimulatedAddress, outer: SimulatedAddress) -> _Mapping | None:
        flow = inner, self._mapping.key(outer)
        mapping = self._by_flow.get(flow)
        if mapping is not None and mapping.expires_us >= self._engine.now_us:
            return mapping
        if mapping is not None:
            del self._by_port[mapping.port]
            del self._by_flow[flow]
        port = self._free_port(inner[1])
        if port is None:
            return None
        mapping = _Mapping(inner, port, flow[1], self._engine.now_us)
        self._by_flow[flow] = self._by_port[port] = mapping
        return mapping

    def _free_port(self, wanted: int) -> int | None:
        """The inner port if it is free (port preservation, RFC 4787 section 4.2.1), or else the next in turn."""
        if self._is_free(wanted):
            return wanted
        for _ in range(_FIRST_PORT, _LAST_PORT + 1):
            port = self._next_port
            self._next_port = port + 1 if port < _LAST_PORT else _FIRST_PORT
            if self._is_free(port):
                return port
        return None

    def _is_free(self, port: int) -> bool:
        mapping = self._by_port.get(port)
        if mapping is None:
            return True
        if mapping.expires_us >= self._engine.now_us:
            return False
        del self._by_port[port]
        del self._by_flow[mapping.inner, mapping.key]
        return True
