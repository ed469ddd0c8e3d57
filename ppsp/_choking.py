"""CHOKE and UNCHOKE (RFC 7574 section 3.9): when the upload policy is asked, and what its answers make us say."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from ppsp.constants import MessageType
from ppsp.messages import Choke, Unchoke
from ppsp.ports import PeerStanding, UploadPolicy

if TYPE_CHECKING:
    from ppsp._channel import Channel
    from ppsp._content import Content
    from ppsp._live_content import LiveContent

# Between two looks at who gives what: long enough to measure a rate, short against the minutes of a film.
_ROUND_SECONDS = 5.0
_MIN_RATE_SECONDS = 1.0
# Who has a slot that others wait for answers UNCHOKE with REQUEST in this time, and hears it again meanwhile. The dead
# and those who only block slots would have whole turns otherwise.
_UNHEARD_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
# Ranges of what is held that one look compares with what a peer has: a peer that lacks one chunk of a million is no
# reason to compare thousands of ranges whenever somebody comes or goes.
_LOOK_RANGES = 64


@attrs.define
class _Standing:
    """What is remembered of a peer between two looks."""

    since: float
    measured_at: float
    octets_received: int
    rate: float = 0.0
    # When it lost its turn since it said nothing.
    slept_at: float = -math.inf
    # Whether it lacks something, as far as the comparison is; the chunk where this goes on, and one that it lacks.
    lacking: bool = True
    compared_to: int = 0
    lacked: int | None = None

    def measure(self, octets_received: int, now: float) -> None:
        elapsed = now - self.measured_at
        if elapsed >= _MIN_RATE_SECONDS:
            rate = (octets_received - self.octets_received) / elapsed
            self.rate = (self.rate + rate) / 2
            self.measured_at, self.octets_received = now, octets_received


class Choking:
    """Who is served in one swarm. Without a policy everybody is. Times are float seconds."""

    def __init__(self, policy: UploadPolicy | None, content: "Content | LiveContent") -> None:
        self._policy = policy
        self._content = content
        self._standings: dict[Channel, _Standing] = {}
        self._due: float | None = None
        self._stale = False
        self.armed: float | None = None

    def touch(self) -> None:
        """A slot may have become free, or is wanted: look at the next opportunity."""
        self._stale = self._policy is not None

    @property
    def is_due(self) -> bool:
        """Whether `review` has something to look at."""
        return self._stale

    def deadline(self) -> float | None:
        """When to look again; None where there is a slot for everybody."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """It is time to look."""
        self.touch()

    def forget(self, channel: "Channel") -> None:
        """The channel is closed."""
        if self._standings.pop(channel, None) is not None:
            self.touch()

    def review(self, channels: Iterable["Channel"], now: float) -> list["Channel"]:
        """Ask the policy; returns the open `channels` that have something to say because of it."""
        self._stale = False
        policy = self._policy
        assert policy is not None
        candidates: list[Channel] = []
        told: list[Channel] = []
        count = 0
        for channel in channels:
            count += 1
            received = channel.download.octets_received
            standing = self._standings.setdefault(channel, _Standing(now, now, received))
            standing.measure(received, now)
            if self._lacks_something(channel, standing):
                candidates.append(channel)
            elif channel.choking:
                self._serve(channel, now)
                told.append(channel)
        chosen = self._chosen(policy, candidates, now)
        for at, channel in enumerate(candidates):
            if at not in chosen:
                if not channel.choking:
                    self._choke(channel, now)
                    told.append(channel)
            elif channel.choking or not channel.heard_unchoke:
                self._serve(channel, now)
                told.append(channel)
        unheard = any(not channel.heard_unchoke for channel in candidates)
        self._due = now + _ROUND_SECONDS if unheard or count > policy.slots else None
        if len(candidates) > policy.slots and any(self._is_unheard(channel, now) for channel in candidates):
            self._due = now + _AGAIN_SECONDS
        return told

    def _chosen(self, policy: UploadPolicy, candidates: list["Channel"], now: float) -> set[int]:
        """Which of the candidates have a slot: of those that sleep, only where nobody else wants it."""
        if len(candidates) <= policy.slots:
            return set(range(len(candidates)))
        asleep = {at for at, channel in enumerate(candidates) if self._sleeps(channel, now)}
        awake = [at for at in range(len(candidates)) if at not in asleep]
        if len(awake) > policy.slots:
            standings = [self._standing(candidates[at]) for at in awake]
            served = set(policy.serve(standings, complete=self._is_complete, now=now))
            return {at for place, at in enumerate(awake) if place in served}
        longest = sorted(asleep, key=lambda at: self._standings[candidates[at]].since)
        return {*awake, *longest[: policy.slots - len(awake)]}

    def _is_unheard(self, channel: "Channel", now: float) -> bool:
        """Whether the peer's turn has just begun, and it may not know."""
        young = now - self._standings[channel].since < _UNHEARD_SECONDS
        return young and not channel.choking and not channel.heard_unchoke

    def _sleeps(self, channel: "Channel", now: float) -> bool:
        """Whether the peer makes nothing of its slot, or did not and is silent since."""
        standing = self._standings[channel]
        if channel.heard_unchoke:
            silent = now - max(standing.since, channel.last_received) >= _ROUND_SECONDS
        else:
            silent = now - standing.since >= _UNHEARD_SECONDS
        if silent and not channel.choking:
            standing.slept_at = now
        return channel.last_received <= standing.slept_at

    def _lacks_something(self, channel: "Channel", standing: _Standing) -> bool:
        have, peer_have = self._content.have, channel.peer_have
        if peer_have.total < have.total:
            return True
        if peer_have.total == self._content.chunk_count:
            return False
        lacked = standing.lacked
        if lacked is not None and lacked in have and lacked not in peer_have:
            return True
        standing.lacked = None
        whole = have.range_count <= _LOOK_RANGES
        spans = have.after(0 if whole else standing.compared_to, _LOOK_RANGES)
        span = next((span for span in spans if not peer_have.covers(*span)), None)
        if span is not None:
            standing.lacked = next(peer_have.missing(*span))[0]
            standing.lacking = True
        elif whole or len(spans) < _LOOK_RANGES:  # what has come behind its back, the next round will see
            standing.lacking = False
            standing.compared_to = 0
        else:
            standing.compared_to = spans[-1][1]
        return standing.lacking

    @property
    def _is_complete(self) -> bool:
        return self._content.chunk_count is not None and self._content.have.total == self._content.chunk_count

    def _standing(self, channel: "Channel") -> PeerStanding:
        standing = self._standings[channel]
        return PeerStanding(channel.address, standing.rate, not channel.choking, standing.since)

    def _choke(self, channel: "Channel", now: float) -> None:
        self._standings[channel].since = now
        channel.choking = True
        channel.upload.forget()
        if channel.understands(MessageType.CHOKE):
            channel.send([Choke()])

    def _serve(self, channel: "Channel", now: float) -> None:
        if channel.choking:
            self._standings[channel].since = now
            channel.choking = False
            # "Peer A SHOULD discard old requests" (section 3.9): those that crossed our CHOKE, too.
            channel.upload.forget()
        # A lost UNCHOKE would keep the peer silent for good: it is said again until a REQUEST comes.
        channel.heard_unchoke = not channel.understands(MessageType.UNCHOKE)
        channel.send([Unchoke()])
