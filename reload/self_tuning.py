"""CHORD-SELF-TUNING: Chord that adapts to the overlay's size and churn (RFC 7363)."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from reload._presentation import decode, encode
from reload.chord import ChordReload
from reload.chord_candidates import Candidates
from reload.chord_overlay import ChordOverlay
from reload.chord_ring import fraction
from reload.chord_tables import Peer
from reload.chord_updates import Change
from reload.configuration_extensions import number_of_peers_to_probe
from reload.contents import ExtensionType, MessageCode, MessageExtension
from reload.destinations import NodeDestination
from reload.errors import DecodeError
from reload.estimates import Estimates, Estimator, finger_count, neighbor_count, stabilization_interval
from reload.exchange import Failure, Outcome, Request, Response
from reload.extensions import SelfTuningData
from reload.methods import ChordUpdateType, PingReq, ProbeInformationType, ProbeReq
from reload.topology import Overlay

INACTIVITY = 15.0
"""Tr of ICE, in seconds: a node sends something on each of its connections that often (section 6.3.1)."""
DEFAULT_PROBES = 4
"""Fingers that are asked for their estimates, where the configuration does not say how many (section 7)."""
MAX_LOST = 64
"""Pings at a time to peers whose links are gone: as many as there are neighbors, all of which may be lost at once."""
MIN_WATCH = 1.0
"""Seconds from one look at the connections to the next, at least: those that fall due together are seen together."""

_QUIET = 2 * INACTIVITY


class SelfTuning:
    """The `Maintenance` of a self-tuning peer: periodic, by an interval that it calculates anew each time."""

    __slots__ = (
        "_chord",
        "_interval",
        "_introduced",
        "_lost",
        "_pinged",
        "_pings",
        "_probes",
        "_tick",
        "_watch",
        "estimator",
    )

    is_reactive = False

    def __init__(self, chord: ChordOverlay) -> None:
        self._chord = chord
        self._interval = self._longest
        self._tick = self._watch = inf
        self._pinged: dict[bytes, float] = {}
        self._pings: dict[int, bytes] = {}
        self._probes: dict[int, bytes] = {}
        self._introduced: set[bytes] = set()
        self._lost: set[int] = set()
        self.estimator = Estimator(chord.born)

    @property
    def estimates(self) -> Estimates:
        """Those in use, from which interval and sizes follow."""
        return self.estimator.in_use

    @property
    def finger_interval(self) -> float:
        """The stabilization interval, in seconds: fingers are searched for as often as neighbors are updated."""
        return self._interval

    @property
    def max_peers(self) -> int:
        """Twice the neighbors on each side, and two peers in the range of each finger: connections are kept alive."""
        table = self._chord.table
        return 4 * table.neighbor_count + 2 * table.finger_count

    @property
    def _longest(self) -> float:
        """An hour, unless chord-ping-interval says otherwise.

        So estimates cannot stop a peer from stabilizing, be they right or lies.
        """
        return float(self._chord.overlay.configuration.chord_ping_interval)

    # What happens.
    def introduce(self, node_id: bytes, now: float) -> None:
        """ "An Update request of type 'peer_ready' is sent to the new peer": section 5.2."""
        if self._chord.send_update(node_id, ChordUpdateType.PEER_READY, now) is not None:
            self._introduced.add(node_id)

    def check_fingers(self, now: float) -> None:
        """Nothing: all connections are looked after."""

    def on_announced(self, now: float) -> None:
        """This node is a peer: its neighbors are told, and the first interval begins."""
        self.estimator = Estimator(now)
        self._recalculate(now)
        self._tick = now + self._interval * (0.5 + fraction(self._chord.overlay.random_bytes) / 2)
        self._watch = now + _QUIET
        self._update_nearest(now)
        for node_id in self._chord.table.neighbors():
            self._introduce_once(node_id, now)

    def on_stopped(self) -> None:
        """This node is no peer any more."""
        self._tick = self._watch = inf
        self._pinged.clear()
        self._pings.clear()
        self._probes.clear()
        self._introduced.clear()
        self._lost.clear()

    def on_changed(self, change: Change, now: float) -> None:
        """Introduce this node to its new neighbors (section 5.2); all else waits for the end of the interval."""
        for node_id in change.added:
            self._introduce_once(node_id, now)

    def on_peer_added(self, peer: Peer, now: float) -> None:
        """Ask a new finger for its uptime (section 5.3)."""
        if peer.node_id in self._introduced:
            self._introduced.remove(peer.node_id)
            peer.told = max(peer.told, 0)
        if not self._chord.table.is_neighbor(peer.node_id):
            self._probe(peer.node_id, now)

    def on_peer_lost(self, peer: Peer, now: float, *, has_failed: bool) -> None:
        """It has left or failed: that counts (section 6.3.1). If only its link is gone, a Ping shows whether it has."""
        if has_failed:
            self.estimator.on_failure(now)
        elif len(self._lost) < MAX_LOST:
            destination = (NodeDestination(peer.node_id),)
            self._lost.add(self._chord.overlay.request(destination, MessageCode.PING_REQ, PingReq(), now))

    def on_outcome(self, outcome: Outcome, now: float) -> bool:
        """What became of a Probe, or of a Ping to who is lost or no peer; False when it is none of them."""
        if outcome.transaction in self._lost:
            self._lost.remove(outcome.transaction)
            if isinstance(outcome, Failure):
                self.estimator.on_failure(now)
            return True
        pinged = self._pings.pop(outcome.transaction, None)
        if pinged is not None:
            if not isinstance(outcome, Response) and self._chord.is_connected(pinged):
                self._chord.overlay.disconnect(pinged, now)
            return True
        probed = self._probes.pop(outcome.transaction, None)
        if probed is None:
            return False
        if isinstance(outcome, Response) and outcome.identity.node_id == probed:
            self._on_probed(probed, outcome, now)
        return True

    def _on_probed(self, peer: bytes, answer: Response, now: float) -> None:
        entry = self._chord.table.get(peer)
        for info in answer.body.probe_info:
            if info.type == ProbeInformationType.UPTIME and entry is not None:
                entry.since = now - info.value
        self._learn(peer, answer.extensions)

    def probe_extensions(self, request: Request, now: float) -> tuple[MessageExtension, ...]:
        """A Probe request: learn what it shares, and share the same in the answer (section 6.5).

        Estimates count that come from the node itself which has them: not those that were sent through others, as
        whoever has many Node-IDs then needs as many connections.
        """
        if not _shared(request.extensions):
            return ()
        if request.is_direct:
            self._learn(request.previous_hop, request.extensions)
        return (self._estimates_to_share(now),)

    def _learn(self, peer: bytes, extensions: Iterable[MessageExtension]) -> None:
        for octets in _shared(extensions)[:1]:
            try:
                self.estimator.on_estimates(peer, decode(SelfTuningData, octets))
            except DecodeError:
                return

    def _estimates_to_share(self, now: float) -> MessageExtension:
        if not self._chord.is_announced:
            # Who joins has no interval yet, but tables to calculate by (section 6.1).
            self._estimate(now)
        contents = encode(self.estimator.own.to_data())
        return MessageExtension(ExtensionType.SELF_TUNING_DATA, False, contents)

    # What is due.
    def get_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return min(self._tick, self._watch)

    def handle_timer(self, now: float) -> None:
        """Stabilize, and look after quiet connections."""
        if now >= self._tick:
            self._recalculate(now)
            self._tick = now + self._interval
            self._introduced.clear()
            self._update_nearest(now)
            for node_id in self._some_fingers():
                self._probe(node_id, now)
        if now >= self._watch:
            self._look_after_the_quiet(now)

    def _recalculate(self, now: float) -> None:
        """ "At the end of each stabilization period before restarting the stabilization timer": section 6."""
        self._estimate(now)
        estimates, table = self.estimator.take_in(), self._chord.table
        self._interval = stabilization_interval(estimates, self._longest)
        wanted = neighbor_count(estimates.network_size), finger_count(estimates.network_size)
        if wanted != (table.neighbor_count, table.finger_count):
            table.resize(*wanted)

    def _estimate(self, now: float) -> None:
        table = self._chord.table
        ages = [now - peer.since for peer in table.peers()]
        self.estimator.estimate(table.node_id, table.predecessors, table.successors, ages, now)

    def _update_nearest(self, now: float) -> None:
        """Updates go to the first successor and the first predecessor, and MUST NOT go to others (section 5.2)."""
        table = self._chord.table
        for node_id in dict.fromkeys(table.successors[:1] + table.predecessors[:1]):
            self._chord.send_update(node_id, ChordUpdateType.NEIGHBORS, now)

    def _introduce_once(self, node_id: bytes, now: float) -> None:
        """Have a new neighbor take this node in, if it was never told of it."""
        peer = self._chord.table.get(node_id)
        if peer is not None and peer.told < 0:
            self._chord.send_update(node_id, ChordUpdateType.PEER_READY, now)

    def _some_fingers(self) -> list[bytes]:
        try:
            count = number_of_peers_to_probe(self._chord.overlay.configuration)
        except DecodeError:
            count = DEFAULT_PROBES
        fingers = list(self._chord.table.fingers())
        chosen = []
        for _ in range(min(count, len(fingers))):
            at = int(fraction(self._chord.overlay.random_bytes) * len(fingers))
            chosen.append(fingers.pop(at))
        return chosen

    def _probe(self, node_id: bytes, now: float) -> None:
        """Ask a peer for its uptime, and share estimates."""
        if self._chord.is_connected(node_id):
            self._probes[
                self._chord.overlay.request(
                    (NodeDestination(node_id),),
                    MessageCode.PROBE_REQ,
                    ProbeReq((ProbeInformationType.UPTIME,)),
                    now,
                    extensions=(self._estimates_to_share(now),),
                    first_hop=node_id,
                )
            ] = node_id

    def _look_after_the_quiet(self, now: float) -> None:
        """Ping whoever has sent nothing for 2 Tr; look again when the next one may have been as quiet as that."""
        overlay, table, pinged = self._chord.overlay, self._chord.table, self._pinged
        self._pinged = {}
        due = now + _QUIET
        for node_id in sorted(overlay.connected()):
            heard = overlay.is_quiet_since(node_id)
            if heard is None:
                continue
            last = max(heard, pinged.get(node_id, heard))
            if now - last >= _QUIET:
                ping = self._chord.ask(node_id, MessageCode.PING_REQ, PingReq(), now)
                (self._chord.checks if node_id in table else self._pings)[ping] = node_id
                last = now
            if last > heard:
                self._pinged[node_id] = last
            due = min(due, last + _QUIET)
        self._watch = max(due, now + MIN_WATCH)


def _shared(extensions: Iterable[MessageExtension]) -> list[bytes]:
    return [each.extension_contents for each in extensions if each.type == ExtensionType.SELF_TUNING_DATA]


class SelfTuningChord(ChordReload):
    """A `Topology`: CHORD-RELOAD that tunes itself. All peers of an overlay have to use it, if one does."""

    def __init__(self, overlay: Overlay, now: float) -> None:
        super().__init__(overlay, now, make_maintenance=self._make)

    def _make(self, chord: ChordOverlay, candidates: Candidates) -> SelfTuning:
        self._tuning = SelfTuning(chord)
        return self._tuning

    @property
    def estimates(self) -> Estimates:
        """The overlay's size, joins and failures, as this peer acts on them."""
        return self._tuning.estimates

    @property
    def stabilization_interval(self) -> float:
        """Seconds from one stabilization to the next."""
        return self._tuning.finger_interval

    def probe_extensions(self, request: Request, now: float) -> tuple[MessageExtension, ...]:
        """What to add to the answer to a Probe; estimates that came with it count."""
        return self._tuning.probe_extensions(request, now)
