"""A peer's STUN and TURN, around its endpoint: what others are to know of where it is, and the way through a relay.

The endpoint's own socket asks the STUN server, so that the answer is about the mapping that peers will use. STUN and
PPSPP share the socket: what has the magic cookie and the 96 random bits of a question that waits is an answer, and
everything else is the endpoint's, since its channel IDs are random too (RFC 8489 section 5).
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Awaitable, Callable, Sequence

from aioice import stun, turn

from interop._nat_checks import Relayed, priority
from interop._udp_machine import PathMachine
from interop.nat import NatSettings
from interop.udp import Address, Datagram, UdpDriver
from ppsp.tracker import AbilityNat, AddressType, PeerAddr

GATHER_SECONDS = 4.0
"""How long a peer waits for servers before it goes on with what it has; a late answer is announced later."""
KEEPALIVE_SECONDS = 15.0
"""Between two questions, each of which keeps the mapping (RFC 8445 section 11: "SHOULD NOT be smaller than 15 s")."""
_RETRANSMISSIONS = 3
"""After 0.5, 1 and 2 seconds: the next question comes soon enough."""
_ALLOCATE_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_COOKIE = struct.pack("!I", stun.COOKIE)

logger = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[Address]]


class Traversal:
    """A datagram machine that is the endpoint and its STUN client in one. Addresses of type `Relayed` go by the relay.

    `on_change` is called when `candidates` has changed since `start` has returned.
    """

    def __init__(self, endpoint: PathMachine, settings: NatSettings, on_change: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._on_change = on_change
        self._waiting: dict[bytes, stun.Transaction] = {}
        self._questions: list[tuple[Datagram, Address]] = []
        self._mapped: PeerAddr | None = None
        self._relay: _Relay | None = None
        self._started = False
        self._server: Address = None
        self._task: asyncio.Task[None] | None = None

    @property
    def candidates(self) -> tuple[PeerAddr, ...]:
        """Where the servers say that we are: server reflexive, and at the relay."""
        relayed = None if self._relay is None else self._relay.address
        return tuple(one for one in (self._mapped, relayed) if one is not None)

    @property
    def relay_family(self) -> str | None:
        """`ipv4` or `ipv6` for a way through a relay to such addresses, None for no way."""
        relayed = None if self._relay is None else self._relay.address
        return None if relayed is None else relayed.address_type

    @property
    def ability(self) -> AbilityNat:
        """What a tracker is told of us (RFC 7846 section 3.2.2)."""
        return AbilityNat.STUN if self._settings.turn is None else AbilityNat.TURN

    async def start(self, driver: UdpDriver, resolve: Resolve) -> None:
        """Ask the servers, for GATHER_SECONDS at most, and go on asking. `resolve` raises for a host without address.

        A server that does not answer is no error: it may later.
        """
        self._driver = driver
        settings = self._settings
        if settings.turn is not None:
            self._server = await resolve(settings.turn.host, settings.turn.port)
            self._turn_server: tuple[str, int] = self._server[:2]
        if settings.stun is not None:
            self._server = await resolve(*settings.stun)
        gathered = asyncio.Event()
        self._task = asyncio.create_task(self._keep(gathered), name="NAT traversal")
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await gathered.wait()
        except TimeoutError:
            logger.warning("the STUN or TURN server does not answer, others may not reach this peer")
        self._started = True

    async def close(self) -> None:
        """Ask no more, and give the relay back."""
        self._started = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._relay is not None:
            await self._relay.give_back()

    async def _keep(self, gathered: asyncio.Event) -> None:
        while True:
            before = self.candidates
            await asyncio.gather(self._bind(), self._allocate())
            gathered.set()
            self._compare(before)
            await asyncio.sleep(KEEPALIVE_SECONDS)

    def _compare(self, before: tuple[PeerAddr, ...]) -> None:
        if self._started and self.candidates != before:
            self._on_change()

    # STUN, on the endpoint's socket

    async def _bind(self) -> None:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        request.add_fingerprint()
        transaction = stun.Transaction(request, self._server, self, retransmissions=_RETRANSMISSIONS)
        self._waiting[request.transaction_id] = transaction
        try:
            response, _ = await transaction.run()
        except stun.TransactionError as error:
            logger.info("the STUN server %s: %s", self._server, error)
            return
        finally:
            del self._waiting[request.transaction_id]
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        found = None if mapped is None else _candidate(mapped, AddressType.REFLEXIVE)
        if found is not None:
            self._mapped = found

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """A transaction has its request to send, for the first time or again."""
        self._questions.append((bytes(message), addr))
        self._driver.wake()

    # TURN, on a socket of its own

    async def _allocate(self) -> None:
        server = self._settings.turn
        if server is None or self._relay is not None:
            return
        relay = _Relay(self._from_relay, self._relay_lost)
        try:
            async with asyncio.timeout(_ALLOCATE_SECONDS):
                transport, _ = await turn.create_turn_endpoint(
                    lambda: relay,
                    self._turn_server,
                    server.username,
                    server.password,
                    transport=server.transport,
                )
        except (OSError, TimeoutError, stun.TransactionError) as error:
            logger.warning("the TURN server %s: %s", server.host, str(error) or type(error).__name__)
            return
        relay.address = _candidate(transport.get_extra_info("sockname"), AddressType.PROXY)
        self._relay = relay

    def _from_relay(self, data: bytes, address: tuple[str, int]) -> None:
        self._endpoint.receive_datagram(memoryview(data), Relayed(*address[:2]), time.monotonic())
        self._driver.wake()

    def _relay_lost(self, relay: _Relay) -> None:
        if relay is self._relay:
            before = self.candidates
            self._relay = None
            self._compare(before)

    # The machine that the driver sees

    def receive_datagram(self, data: memoryview, address: Address, now: float) -> None:
        """Take one datagram: an answer that is waited for from where it was asked, or the endpoint's."""
        if self._waiting and data[4:8] == _COOKIE:
            transaction = self._waiting.get(bytes(data[8:20]))
            if transaction is not None and address[:2] == self._server[:2]:
                _answer(transaction, bytes(data), address)
                return
        self._endpoint.receive_datagram(data, address, now)

    def datagrams_to_send(self, now: float) -> Sequence[tuple[Datagram, Address]]:
        """What goes out by the socket; what goes by the relay is given to it meanwhile."""
        out, self._questions = self._questions, []
        while not out and (batch := self._endpoint.datagrams_to_send(now)):
            for datagram, address in batch:
                if not isinstance(address, Relayed):
                    out.append((datagram, address))
                elif self._relay is not None:
                    self._relay.send(datagram, address)
        return out

    def search_path_mtu(self, limit: int, *, exempt: Callable[[Address], bool] = lambda address: False) -> None:
        """The endpoint's, but for the way through the relay: what it wraps may leave in fragments."""
        self._endpoint.search_path_mtu(limit, exempt=lambda address: isinstance(address, Relayed) or exempt(address))

    @property
    def fragmentable(self) -> bool:
        """The endpoint's."""
        return self._endpoint.fragmentable

    def datagram_too_long(self, address: Address, size: int, now: float) -> None:
        """The endpoint's; of our own questions it knows nothing."""
        self._endpoint.datagram_too_long(address, size, now)

    def get_timer(self) -> float | None:
        """The endpoint's: questions have a timer of their own."""
        return self._endpoint.get_timer()

    def handle_timer(self, now: float) -> None:
        """The endpoint's."""
        self._endpoint.handle_timer(now)


class _Relay(asyncio.DatagramProtocol):
    """Our allocation at a TURN server. Sending to an address lets what comes from its host in (RFC 8656 section 9)."""

    address: PeerAddr | None = None

    def __init__(
        self, on_datagram: Callable[[bytes, tuple[str, int]], None], on_lost: Callable[[_Relay], None]
    ) -> None:
        self._on_datagram = on_datagram
        self._on_lost = on_lost
        self._lost = asyncio.Event()

    def connection_made(self, transport: turn.TurnTransport) -> None:  # type: ignore[override] # as aioice has it
        self._transport = transport

    def send(self, datagram: Datagram, address: Relayed) -> None:
        data = datagram if isinstance(datagram, bytes) else b"".join(datagram)
        self._transport.sendto(data, (address.host, address.port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        logger.debug("the relay: %s", exc)
        if isinstance(exc, ConnectionError):
            # Each address that was sent to holds one of 4096 channels: who has us try many would use them up for good.
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._on_lost(self)

    async def give_back(self) -> None:
        self._transport.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._lost.wait()
        except TimeoutError:
            logger.info("the TURN server did not hear that we leave")


def _candidate(address: tuple[str, int], kind: AddressType) -> PeerAddr | None:
    """An address that a server told us; None for one at which nobody can be."""
    try:
        found = PeerAddr(*address[:2], priority(kind), kind, peer_protocol="PPSP-PP")
    except ValueError:
        return None
    return found if found.is_unicast else None


def _answer(transaction: stun.Transaction, data: bytes, address: Address) -> None:
    """Hand over what has the right ID, if it is a response to such a question."""
    try:
        message = stun.parse_message(data)
    except (ValueError, struct.error):
        return
    is_response = message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR)
    if is_response and message.message_method is stun.Method.BINDING:
        transaction.response_received(message, address)
