"""One UDP socket for any number of swarms: their peers share its port, its rates and its way through a NAT.

async with SwarmSocket(upload_rate=1e6) as shared, SwarmPeer(one, store, socket=shared) as first: ...
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from interop.nat import NatSettings
from interop.udp import Address, UdpDriver
from ledbat import Ledbat
from ppsp.endpoint import Endpoint
from ppsp.events import DatagramDropped, Event
from ppsp.pmtu import LONGEST
from ppsp.ports import ControllerFactory

if TYPE_CHECKING:
    from interop._nat_traversal import Traversal

__all__ = ["ANY_ADDRESS", "Member", "PeerError", "SwarmSocket"]

ANY_ADDRESS = ("0.0.0.0", 0)


class PeerError(Exception):
    """The peer cannot take part in the swarm; the text says why, in one line."""


class Member(NamedTuple):
    """Who takes part in one swarm of a socket.

    `on_events` is given what happened in that swarm, and what belongs to no swarm (`DatagramDropped`); `on_moved` is
    called when servers see the socket elsewhere than before.
    """

    on_events: Callable[[list[Event]], None]
    on_moved: Callable[[], None]


class SwarmSocket:
    """A UDP socket and its `ppsp.Endpoint`, for as long as the `async with` lasts; give it to `SwarmPeer` as `socket`.

    `local` is the host and port to bind (port 0: any). `upload_rate` and `download_rate` are limits for all swarms
    together, in octets a second. `controller` makes the congestion controller of each channel, by default LEDBAT.
    `nat` says through which servers it is to be reached. Each path is searched for the longest datagram that it carries
    in one packet, up to `max_datagram` octets; None has the kernel make fragments of what is too long.

    Entering raises OSError when the address cannot be bound, and PeerError when a server of `nat` has no address.
    Closing it leaves every swarm.
    """

    def __init__(
        self,
        *,
        local: tuple[str, int] = ANY_ADDRESS,
        upload_rate: float | None = None,
        download_rate: float | None = None,
        controller: ControllerFactory = lambda chunk_size: Ledbat(mss=chunk_size),
        nat: NatSettings | None = None,
        max_datagram: int | None = LONGEST,
    ) -> None:
        self.endpoint = Endpoint(
            controller=controller,
            epoch=time.time() - time.monotonic(),
            upload_rate=upload_rate,
            download_rate=download_rate,
        )
        self.traversal: Traversal | None = None
        self._local = local
        self._max_datagram = max_datagram
        self._nat = nat
        self._driver: UdpDriver | None = None
        self._members: dict[bytes, Member] = {}
        self._kept: list[Event] = []

    async def __aenter__(self) -> Self:
        if self._nat is not None:
            from interop._nat_traversal import Traversal

            self.traversal = Traversal(self.endpoint, self._nat, self._moved)
        self._driver = await UdpDriver.open(
            self.traversal or self.endpoint, self._local, on_events=self._pass_on, max_datagram=self._max_datagram
        )
        try:
            if self.traversal is not None:
                await self.traversal.start(self._driver, self.resolve)
        except BaseException:
            self.close()
            await self.wait_closed()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    def close(self) -> None:
        """Tell the peers of every swarm that we leave, and close the socket."""
        self._members.clear()
        self.endpoint.close(time.monotonic())
        self.driver.close()

    async def wait_closed(self) -> None:
        """After `close`, wait until the relay is given back."""
        if self.traversal is not None:
            await self.traversal.close()

    @property
    def driver(self) -> UdpDriver:
        """What moves the datagrams. Raises RuntimeError before the socket is open."""
        if self._driver is None:
            raise RuntimeError("the socket is not open yet")
        return self._driver

    @property
    def local_address(self) -> Address:
        """The UDP address that is served from, as the socket gives it."""
        return self.driver.local_address

    # Swarms

    def join(self, swarm_id: bytes, member: Member, add: Callable[[], object]) -> None:
        """Have `add` add the swarm to the endpoint, and `member` hear of it.

        Raises RuntimeError when the socket is not open, and what `add` does.
        """
        if self.driver.closed:
            raise RuntimeError("the socket is closed")
        add()
        self._members[swarm_id] = member

    def has(self, swarm_id: bytes, member: Member) -> bool:
        """Whether it is `member` that takes part in the swarm."""
        return self._members.get(swarm_id) is member

    def leave(self, swarm_id: bytes, member: Member) -> None:
        """Leave the swarm, telling its peers, if it is `member` that has joined it; nobody hears of it any more."""
        if not self.has(swarm_id, member):
            return
        del self._members[swarm_id]
        self.endpoint.remove_swarm(swarm_id, time.monotonic())
        # Who joins it anew must not hear of what was before.
        self._kept = [
            event for event in self._taken() if isinstance(event, DatagramDropped) or event.swarm_id != swarm_id
        ]
        self.driver.wake()

    def _taken(self) -> list[Event]:
        events, self._kept = self._kept, []
        while (event := self.endpoint.next_event()) is not None:
            events.append(event)
        return events

    def _pass_on(self) -> None:
        """Give each member what is its own."""
        while events := self._taken():
            batches: dict[bytes, list[Event]] = {}
            for event in events:
                for swarm_id in self._members if isinstance(event, DatagramDropped) else (event.swarm_id,):
                    batches.setdefault(swarm_id, []).append(event)
            for swarm_id, batch in batches.items():
                if (member := self._members.get(swarm_id)) is not None:
                    member.on_events(batch)

    def _moved(self) -> None:
        for member in self._members.values():
            member.on_moved()

    # Addresses

    async def resolve(self, host: str, port: int) -> Address:
        """The address in the form in which the socket will give it for what this peer sends. Raises PeerError."""
        family = socket.AF_INET6 if len(self.local_address) == 4 else socket.AF_INET
        if family is socket.AF_INET6 and self.local_address[0] == "::":
            family = socket.AF_UNSPEC
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except OSError as exc:
            raise PeerError(f"{host}: {exc.strerror}") from exc
        return found[0][4]

    def direct(self, host: str, port: int) -> Address | None:
        """An IP address as the socket has it; None for one of a family that it has not."""
        is_ipv6 = ":" in host
        if len(self.local_address) == 2:
            return None if is_ipv6 else (host, port)
        if is_ipv6:
            return (host, port, 0, 0)
        return (host, port) if self.local_address[0] == "::" else None
