"""One CHORD-RELOAD peer alone: an `Overlay` that notes what it is asked for, and whatever others send."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from reload.chord import ChordReload
from reload.configuration import Configuration
from reload.contents import ErrorResponse, MessageCode, MessageExtension
from reload.destinations import Destination
from reload.exchange import Failure, Request, Response
from reload.header import ForwardingHeader
from reload.methods import ChordFull, ChordNeighbors, ChordUpdate, ChordUpdateType, JoinAns, PingAns
from reload.ports import Identity

RING = 1 << 128
HEADER = ForwardingHeader(1, 1, ())


def node(number: int) -> bytes:
    """The Node-ID at a position."""
    return (number % RING).to_bytes(16, "big")


def identity(node_id: bytes) -> Identity:
    """Of a Node-ID."""
    return Identity(node_id, (node_id,), None, b"")


@attrs.frozen
class Sent:
    """A request."""

    transaction: int
    destination_list: tuple[Destination, ...]
    code: int
    body: Any
    first_hop: bytes | None


@attrs.frozen
class Attached:
    """An Attach."""

    attach: int
    destination_list: tuple[Destination, ...]
    send_update: bool


class LoneOverlay:
    """An `Overlay` in which nothing happens by itself."""

    def __init__(self, node_id: bytes, seed: int = 1, **changes: Any) -> None:
        self.node_id = node_id
        self.configuration = Configuration("overlay.example.org", 1, 4e9, self_signed_permitted=True, **changes)
        self.random_bytes: Callable[[int], bytes] = random.Random(seed).randbytes
        self.links: dict[bytes, float] = {}
        self.sent: list[Sent] = []
        self.attaches: list[Attached] = []
        self.disconnected: list[bytes] = []
        self.hand_overs: list[tuple[int, bytes, Callable[[bytes], bool]]] = []
        self.placements = 0
        self._number = 0

    def _next(self) -> int:
        self._number += 1
        return self._number

    def connected(self) -> Any:
        return self.links.keys()

    def is_quiet_since(self, peer: bytes) -> float | None:
        return self.links.get(peer)

    def request(
        self,
        destination_list: Sequence[Destination],
        message_code: int,
        body: Any,
        now: float,
        *,
        extensions: tuple[MessageExtension, ...] = (),
        first_hop: bytes | None = None,
    ) -> int:
        assert first_hop is None or first_hop in self.links
        number = self._next()
        self.sent.append(Sent(number, tuple(destination_list), message_code, body, first_hop))
        return number

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        number = self._next()
        self.attaches.append(Attached(number, tuple(destination_list), send_update))
        return number

    def disconnect(self, peer: bytes, now: float) -> None:
        assert peer in self.links
        del self.links[peer]
        self.disconnected.append(peer)

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        number = self._next()
        self.hand_overs.append((number, peer, belongs))
        return number

    def placement_changed(self, now: float) -> None:
        self.placements += 1

    def take(self, code: int | None = None) -> list[Sent]:
        """The requests that were sent since, of one code or of all."""
        taken = [each for each in self.sent if code is None or each.code == code]
        self.sent = [each for each in self.sent if each not in taken]
        return taken

    def take_attaches(self) -> list[Attached]:
        """The Attaches since."""
        taken, self.attaches = self.attaches, []
        return taken


class Lone:
    """A peer and those around it."""

    def __init__(self, own: int = 0, seed: int = 1, **changes: Any) -> None:
        self.overlay = LoneOverlay(node(own), seed, **changes)
        self.now = 0.0
        self.chord = ChordReload(self.overlay, 0.0)
        self.own = own

    def start(self) -> Lone:
        self.chord.start(self.now)
        return self

    def wait(self, seconds: float) -> None:
        """Let time pass, with all that falls due in between."""
        end = self.now + seconds
        while (due := self.chord.get_timer()) is not None and due <= end:
            self.now = max(due, self.now)
            self.chord.handle_timer(self.now)
        self.now = end

    def link(self, *numbers: int) -> None:
        """There are links to these."""
        for number in numbers:
            self.overlay.links[node(number)] = self.now

    def request(self, sender: int, code: int, body: Any, *, hop: int | None = None) -> Any:
        """A request by `sender`, and the reply."""
        previous = node(sender if hop is None else hop)
        return self.chord.on_request(Request(code, body, identity(node(sender)), HEADER, 0, previous), self.now)

    def update(
        self,
        sender: int,
        predecessors: Sequence[int] = (),
        successors: Sequence[int] = (),
        fingers: Sequence[int] | None = None,
        *,
        uptime: int = 0,
        hop: int | None = None,
    ) -> Any:
        """An Update by `sender` with these tables."""
        lists = tuple(map(node, predecessors)), tuple(map(node, successors))
        if fingers is None:
            body = ChordUpdate(uptime, ChordUpdateType.NEIGHBORS, ChordNeighbors(*lists))
        else:
            body = ChordUpdate(uptime, ChordUpdateType.FULL, ChordFull(*lists, tuple(map(node, fingers))))
        return self.request(sender, MessageCode.UPDATE_REQ, body, hop=hop)

    def ready(self, *numbers: int) -> Lone:
        """These are connected, and are peers."""
        for number in numbers:
            self.link(number)
            body = ChordUpdate(0, ChordUpdateType.PEER_READY)
            self.request(number, MessageCode.UPDATE_REQ, body)
        return self

    def attached(self, attach: Attached, number: int | None) -> None:
        """An Attach has led to this node; None: to nobody."""
        if number is not None:
            self.link(number)
            self.chord.on_connected(node(number), self.now, send_update=False)
        self.chord.on_attached(attach.attach, None if number is None else node(number), self.now)

    def lost(self, *numbers: int) -> None:
        """Links are gone."""
        for number in numbers:
            self.overlay.links.pop(node(number), None)
            self.chord.on_disconnected(node(number), self.now)

    def answer(self, sent: Sent, by: int, body: Any = None) -> None:
        """An answer, or an error."""
        if isinstance(body, ErrorResponse):
            self.chord.on_outcome(Failure(sent.transaction, body, identity(node(by))), self.now)
            return
        if body is None:
            body = PingAns(0, 0) if sent.code == MessageCode.PING_REQ else JoinAns()
        self.chord.on_outcome(Response(sent.transaction, sent.code + 1, body, identity(node(by)), HEADER), self.now)

    def fail(self, sent: Sent) -> None:
        """No answer."""
        self.chord.on_outcome(Failure(sent.transaction), self.now)

    def events(self) -> list[str]:
        """The names of the events since."""
        found = []
        while (event := self.chord.next_event()) is not None:
            found.append(type(event).__name__)
        return found

    def numbers(self, node_ids: Sequence[bytes]) -> list[int]:
        """The positions of Node-IDs."""
        return [int.from_bytes(each, "big") for each in node_ids]

    @property
    def successors(self) -> list[int]:
        return self.numbers(self.chord.table.successors)

    @property
    def predecessors(self) -> list[int]:
        return self.numbers(self.chord.table.predecessors)
