"""One request at a Redis: what it has read there, what it does, and the script that writes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from interop._redis import Call
from interop.tracker_store.records import read, write
from ppsp.tracker import (
    PEER_TABLE,
    Asked,
    ConnectRequest,
    FindRequest,
    Limits,
    Membership,
    PeerInput,
    PeerMode,
    PeerState,
    RegisteredPeer,
    RequestMessage,
    StatReportRequest,
    StreamStats,
    Timer,
)

ANSWER_LIFETIME_MS = 60_000
"""For which an answer is remembered: longer than our client waits before a repetition (30 s)."""
MAX_ANSWER = 16 * 2**10
"""Octets of an answer that is remembered: one for each peer. What makes a longer one is carried out again."""


def named(message: RequestMessage) -> tuple[list[str], list[str]]:
    """The swarms that a request may get a list of peers for, and the others that have to be known."""
    match message:
        case ConnectRequest():
            wanted = {action.swarm_id: message.wants_peers(action) for action in message.swarm_action}
            return [one for one, is_wanted in wanted.items() if is_wanted], [
                one for one, is_wanted in wanted.items() if not is_wanted
            ]
        case FindRequest():
            return [message.swarm_id], []
        case StatReportRequest():
            return [], []


class RedisTransaction:
    """A `ppsp.tracker.Transaction`. `swarms` are those of the message, and `answer` is that of begin.lua about them."""

    def __init__(
        self,
        asked: Asked,
        swarms: Sequence[str],
        answer: list[Any],
        read_member: Callable[[bytes], RegisteredPeer],
        epoch: float,
    ) -> None:
        version, listed, rest, answered, *counts, exist, samples = answer
        self._asked = asked
        self._read_member = read_member
        self._epoch = epoch
        self._version: bytes = version or b""
        self._record: tuple[bytes, bytes] = listed or b"", rest or b""
        self._answered: bytes = answered or b""
        self.peer_count, self.swarm_count, self.memberships, self.memberships_of_host = counts
        self._exists = dict(zip(swarms, exist, strict=True))
        self._samples: dict[str, list[bytes]] = dict(zip(swarms, samples, strict=True))
        self._peer = read(listed, rest) if version else None
        self._before = _modes(self._peer)
        self._is_touched = False
        stands_for = asked.key + _basis(self._peer)
        self.remembered = self._answered[len(stands_for) :] if self._answered.startswith(stands_for) else None
        """What answered the request before, if that still counts."""

    @property
    def peer(self) -> RegisteredPeer | None:
        """The registration of the sender."""
        return None if self._peer is None or self._peer.state is PeerState.TERMINATE else self._peer

    def has_swarm(self, swarm_id: str) -> bool:
        """Whether a swarm of the request has a peer."""
        return bool(self._exists[swarm_id])

    def members(self, swarm_id: str) -> Sequence[RegisteredPeer]:
        """Peers of a swarm that the request may have a list of, without their swarms: all, or a random sample."""
        return [self._read_member(record) for record in self._samples[swarm_id]]

    def connect(self, now: float) -> RegisteredPeer:
        """The registration of the peer whose CONNECT it is."""
        if self._peer is None:
            number = secrets.randbits(48) + 1
            self._peer = RegisteredPeer(self._asked.message.peer_id, number, self._epoch + now)
        self.step(PeerInput.CONNECT, now)
        return self._peer

    def step(self, what: PeerInput, now: float) -> None:
        """Follow the arrow of figure 5 that `what` stands for."""
        peer = self._sender()
        transition = PEER_TABLE[peer.state][what]
        peer.state = transition.state
        self._is_touched |= transition.timer is Timer.TRACK

    def join(self, swarm_id: str, peer_mode: PeerMode) -> None:
        """Enter the peer into the swarm, and it counts for the host that asks; or change its mode."""
        peer = self._sender()
        peer.changes += 1
        if swarm_id not in peer.swarms:
            peer.host = self._asked.host
        peer.swarms.setdefault(swarm_id, Membership(peer_mode)).peer_mode = peer_mode

    def record(self, stat: StreamStats) -> None:
        """Keep what the peer reports of a swarm it is in."""
        self._sender().swarms[stat.swarm_id].stat = evolve(stat)

    def leave(self, swarm_id: str) -> None:
        """Take the peer out of a swarm it is in."""
        peer = self._sender()
        peer.changes += 1
        del peer.swarms[swarm_id]

    def write(self, body: bytes | None, most: Limits, timer_ms: int) -> Call | None:
        """The script that writes what was done; None where nothing was."""
        peer = self.peer
        record = (b"", b"") if peer is None else write(peer)
        message = self._asked.message
        answer = b""
        if body is not None and len(body) <= MAX_ANSWER and not isinstance(message, FindRequest):
            answer = self._asked.key + _basis(peer) + body
        if record == self._record and not answer:
            is_alive = peer is not None and self._is_touched
            return ("touch", [message.peer_id, self._version, timer_ms]) if is_alive else None
        now_in = _modes(peer)
        joins = [(one, mode) for one, mode in now_in.items() if self._before.get(one) is not mode]
        host = "" if peer is None else peer.host or ""
        return "commit", [
            *(message.peer_id, self._version, timer_ms, secrets.token_bytes(8), *record),
            *(
                answer,
                ANSWER_LIFETIME_MS,
                host,
                len(now_in),
                most.peers,
                most.swarms,
                most.memberships,
                most.memberships_per_host,
            ),
            len(joins),
            *(item for one, mode in joins for item in (one, mode[0])),
            *(self._before.keys() - now_in.keys()),
        ]

    def _sender(self) -> RegisteredPeer:
        assert self._peer is not None, "a request that changes a peer has read it, or made it"
        return self._peer


def _modes(peer: RegisteredPeer | None) -> dict[str, PeerMode]:
    return {swarm_id: one.peer_mode for swarm_id, one in peer.swarms.items()} if peer else {}


def _basis(peer: RegisteredPeer | None) -> bytes:
    """What an answer rests on: the registration, and how often its swarms have changed."""
    return b"%d.%d:" % (peer.number, peer.changes) if peer else b"0.0:"
