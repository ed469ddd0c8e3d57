"""A peer that tunes itself, alone: an `Overlay` that notes what it is asked for, and tables filled by hand."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs
from reload_chord import RING, node

from reload.chord_overlay import ChordOverlay
from reload.chord_updates import Change
from reload.configuration import CHORD_SELF_TUNING, Configuration
from reload.contents import MessageCode, MessageExtension
from reload.destinations import Destination, NodeDestination
from reload.kinds import Extension
from reload.self_tuning import SelfTuning
from reload.topology import Overlay


@attrs.frozen
class Sent:
    number: int
    to: bytes
    code: int
    body: Any
    extensions: tuple[MessageExtension, ...]
    now: float


class HandMadeOverlay:
    """An `Overlay` that notes what it is asked for."""

    def __init__(self, extensions: tuple[Extension, ...] = ()) -> None:
        self.node_id = node(0)
        self.configuration = Configuration(
            "overlay.example", 1, 1e12, topology_plugin=CHORD_SELF_TUNING, chord_reactive=True, extensions=extensions
        )
        self.heard: dict[bytes, float] = {}
        self.sent: list[Sent] = []
        self.disconnected: list[bytes] = []
        self._chance = 0

    @property
    def random_bytes(self) -> Callable[[int], bytes]:
        def some(count: int) -> bytes:
            self._chance += 1
            return (self._chance * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")[:count].ljust(count, b"\0")

        return some

    def connected(self) -> Collection[bytes]:
        return self.heard.keys()

    def is_quiet_since(self, peer: bytes) -> float | None:
        return self.heard.get(peer)

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
        (destination,) = destination_list
        assert isinstance(destination, NodeDestination)
        assert first_hop == (destination.node_id if destination.node_id in self.heard else None)
        self.sent.append(Sent(len(self.sent) + 1, destination.node_id, message_code, body, extensions, now))
        return len(self.sent)

    def attach(self, destination_list: Sequence[Destination], now: float, *, send_update: bool = False) -> int:
        raise NotImplementedError

    def disconnect(self, peer: bytes, now: float) -> None:
        self.disconnected.append(peer)

    def hand_over(self, peer: bytes, belongs: Callable[[bytes], bool], now: float) -> int:
        raise NotImplementedError

    def placement_changed(self, now: float) -> None:
        raise NotImplementedError

    def take(self) -> list[Sent]:
        taken, self._taken = self.sent[self._taken :], len(self.sent)
        return taken

    _taken = 0


@attrs.define
class Peer:
    overlay: HandMadeOverlay
    chord: ChordOverlay
    tuning: SelfTuning

    def add(self, numbers: Sequence[int], now: float, uptime: float = 1e6) -> None:
        """Peers send their first Updates."""
        table = self.chord.table
        for number in numbers:
            self.overlay.heard[node(number)] = now
            before = table.neighbors()
            entry = table.add(node(number), now - uptime)
            self.tuning.on_peer_added(entry, now)
            added = tuple(each for each in table.neighbors() if each not in before)
            if added:
                self.tuning.on_changed(Change(added, (), False), now)

    def lose(self, number: int, now: float, *, has_failed: bool = True) -> None:
        entry = self.chord.table.remove(node(number))
        self.overlay.heard.pop(node(number), None)
        assert entry is not None
        self.tuning.on_peer_lost(entry, now, has_failed=has_failed)

    def keep_alive(self, now: float) -> None:
        for each in self.overlay.heard:
            self.overlay.heard[each] = now

    def run(self, until: float, *, quiet: bool = False) -> None:
        """The timer fires when it is due; everybody has just been heard, or with `quiet` nobody."""
        while (due := self.tuning.get_timer()) <= until:
            if not quiet:
                self.keep_alive(due)
            self.tuning.handle_timer(due)


def peer(size: int = 0, *, now: float = 0.0, extensions: tuple[Extension, ...] = (), joined: bool = True) -> Peer:
    """A peer with an even spread of neighbors, and of fingers; the overlay has as many as `size` says."""
    overlay = HandMadeOverlay(extensions)
    port: Overlay = overlay
    chord = ChordOverlay(port, now)
    chord.is_joined = chord.is_announced = joined
    made = Peer(overlay, chord, SelfTuning(chord))
    if size:
        step = RING // size
        near = [i * step for i in range(1, min(11, size))] + [-i * step for i in range(1, min(11, size))]
        far = [(1 << bit) + step // 3 for bit in range(110, 128) if 1 << bit > 10 * step]
        made.add(list(dict.fromkeys(each % RING for each in near + far)), now)
        made.tuning.on_announced(now)
        made.overlay.take()
        made.chord.checks.clear()
    return made


def of(sent: list[Sent], code: MessageCode) -> list[Sent]:
    return [each for each in sent if each.code == code]
