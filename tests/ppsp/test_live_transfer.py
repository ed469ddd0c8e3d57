"""Live streams over a simulated network: hops, losses, late and paused viewers, hostile peers, restarts."""

import random

import pytest

from ppsp._ranges import RangeSet
from ppsp.codec import channel_of
from ppsp.constants import ContentIntegrityProtection
from ppsp.events import ChunkRefused, MunroRefused
from ppsp.live import codec_of
from ppsp.livekeys import LiveSigner
from ppsp.messages import Data, Have, Integrity, SignedIntegrity
from ppsp.metadata import SwarmMetadata
from ppsp.policies import TitForTat

UMT = ContentIntegrityProtection.UNIFIED_MERKLE_TREE
KEY = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=UMT)
EPOCH = 1_700_000_000.0
# 2 Mbit/s, in pieces of 20 ms.
RATE, STEP = 250_000, 0.02


class Broadcast:
    """A source at 2 Mbit/s and its viewers, in virtual time."""

    def __init__(self, lab, *, seed=1, metadata=METADATA, first_chunk=0, policy=None, **network):
        self.network = lab.Network(seed=seed, **network)
        self.metadata = metadata
        self.chance = random.Random(seed)
        self.sent = {}
        self.born = {}
        self.viewers = []
        self.source = self.host(signer=KEY, first_chunk=first_chunk, policy=policy)
        self.begin(first_chunk)

    def host(self, **settings):
        """One more endpoint in the swarm."""
        host = self.network.host(epoch=EPOCH)
        host.swarm_id = self.metadata.swarm_id
        host.live = host.endpoint.add_live_swarm(self.metadata, **settings)
        host.got, host.delays, host.paused = {}, [], False
        return host

    def viewer(self, *others, **settings):
        """A viewer that connects to others."""
        host = self.host(**settings)
        self.viewers.append(host)
        host.connect(*others)
        return host

    def begin(self, chunk):
        """What is published next starts with this chunk."""
        self.at, self.rest = chunk, b""

    def run(self, seconds, *, publish=True):
        """Let the broadcast go on for so long."""
        for _ in range(round(seconds / STEP)):
            if publish and self.source.alive:
                data = self.chance.randbytes(int(RATE * STEP))
                self.source.live.publish(data, self.network.now)
                self.note(data)
                self.source.flush()
            self.network.run_for(STEP)
            for host in self.viewers:
                if host.alive and not host.paused:
                    self.read(host)
        return self

    def note(self, data):
        self.rest += data
        while len(self.rest) >= 1024:
            self.sent[self.at], self.rest = self.rest[:1024], self.rest[1024:]
            self.born[self.at] = self.network.now
            self.at += 1

    def read(self, host):
        found = host.live.read(self.network.now)
        first = (host.live.position or 0) - len(found)
        for chunk, octets in enumerate(found, first):
            assert octets == self.sent[chunk], "the viewer has got what the source never sent"
            host.got[chunk] = octets
            host.delays.append(self.network.now - self.born[chunk])
        host.flush()

    def missed(self, host):
        """Holes in what a viewer saw."""
        seen = RangeSet((chunk, chunk + 1) for chunk in host.got)
        return sum(stop - start for start, stop in seen.missing(min(host.got), max(host.got)))


def test_a_stream_goes_over_three_hops(lab):
    cast = Broadcast(lab)
    first = cast.viewer(cast.source)
    second = cast.viewer(first)
    third = cast.viewer(second)
    cast.run(6.0)
    for viewer in (first, second, third):
        assert cast.missed(viewer) == viewer.live.skipped == 0
        assert len(viewer.got) > 1200
    assert max(third.delays) < 0.7
    assert cast.source.stats.peers[0].chunks_sent <= len(cast.sent)  # nothing twice on a path that loses nothing


@pytest.mark.parametrize("seed", [1, 2])
def test_a_stream_goes_over_three_hops_that_lose_reorder_and_repeat(lab, seed):
    cast = Broadcast(lab, seed=seed, loss=0.03, reorder=0.05, duplicate=0.02)
    first = cast.viewer(cast.source)
    second = cast.viewer(first)
    third = cast.viewer(second)
    cast.run(8.0)
    for viewer in (first, second, third):
        assert cast.missed(viewer) == viewer.live.skipped == 0
        assert len(viewer.got) > 1300
        assert viewer.seen(ChunkRefused) == viewer.seen(MunroRefused) == []


def test_integrity_messages_stay_near_one_a_chunk(lab):
    cast = Broadcast(lab)
    cast.network.record = []
    cast.viewer(cast.source)
    cast.run(4.0)
    codec = codec_of(METADATA)
    integrity = chunks = 0
    for _, sender, _, octets in cast.network.record:
        if sender == cast.source.address and channel_of(octets):
            messages, _ = codec.decode(octets)
            integrity += sum(isinstance(message, Integrity) for message in messages)
            chunks += sum(isinstance(message, Data) for message in messages)
    assert chunks > 900
    assert integrity / chunks <= 1.2


def test_viewers_share_what_a_source_sends_once(lab):
    """Two viewers that know one another: the source need not send everything to both."""
    cast = Broadcast(lab)
    first = cast.viewer(cast.source)
    second = cast.viewer(cast.source, first)
    cast.run(5.0)
    sent = sum(peer.chunks_sent for peer in cast.source.stats.peers)
    assert cast.missed(first) == cast.missed(second) == 0
    assert sent <= 2 * len(cast.sent)


def test_a_late_viewer_tunes_in_where_the_stream_is(lab):
    cast = Broadcast(lab)
    early = cast.viewer(cast.source)
    cast.run(4.0)
    late = cast.viewer(early)
    cast.run(2.0)
    assert min(late.got) > 900
    assert cast.missed(late) == 0
    assert max(late.delays) < 0.8


def test_a_late_viewer_may_see_the_beginning(lab):
    """Section 6.2: "viewers are allowed to start late"; the munros then are older than any limit on their age."""
    cast = Broadcast(lab)
    early = cast.viewer(cast.source)
    cast.run(3.0)
    cast.run(40.0, publish=False)
    cast.run(0.5)
    late = cast.viewer(early, behind=4096)
    cast.run(8.0)
    assert min(late.got) == 0
    assert cast.missed(late) == 0
    assert len(late.got) > 2000


def test_a_paused_viewer_goes_on_where_it_stopped(lab):
    """Section 6.2, and the age limit holds for munros that nobody asked for only."""
    cast = Broadcast(lab)
    viewer = cast.viewer(cast.source, window=256)
    cast.run(2.0)
    viewer.paused = True
    stopped = viewer.live.position
    cast.run(40.0)
    viewer.paused = False
    cast.run(6.0)
    assert stopped in viewer.got
    assert cast.missed(viewer) == viewer.live.skipped == 0
    assert viewer.stats.chunks_held <= 2 * 256


def test_a_viewer_seeks_back(lab):
    cast = Broadcast(lab)
    viewer = cast.viewer(cast.source)
    cast.run(3.0)
    late = cast.viewer(viewer)
    cast.run(0.5)
    late.live.seek(100)
    late.flush()
    cast.run(3.0)
    assert set(range(100, 600)) <= set(late.got)


def test_viewers_come_and_go(lab):
    cast = Broadcast(lab, loss=0.01)
    viewers = [cast.viewer(cast.source) for _ in range(2)]
    for number in range(6):
        viewers.append(cast.viewer(cast.source, viewers[-1], viewers[-2]))
        cast.run(1.0)
        if number % 2:
            viewers[number].kill()
    cast.run(3.0)
    for viewer in viewers:
        if viewer.alive:
            assert cast.missed(viewer) == viewer.live.skipped == 0
            assert cast.at - max(viewer.got) < 400


def test_the_stream_goes_on_when_the_only_relay_dies_and_another_is_there(lab):
    cast = Broadcast(lab)
    relays = [cast.viewer(cast.source), cast.viewer(cast.source)]
    viewer = cast.viewer(*relays)
    cast.run(3.0)
    relays[0].kill()
    cast.run(6.0)
    assert cast.missed(viewer) == 0
    assert cast.at - max(viewer.got) < 200


def test_a_source_with_few_slots_reaches_everybody_by_those_it_serves(lab):
    """An upload policy (section 3.9): whom the source chokes has the stream from the others."""
    cast = Broadcast(lab, policy=TitForTat(2))
    viewers = [cast.viewer(cast.source)]
    for _ in range(4):
        viewers.append(cast.viewer(cast.source, *viewers[-2:]))
    cast.run(20.0)
    for viewer in viewers:
        assert cast.missed(viewer) == viewer.live.skipped == 0
        assert cast.at - max(viewer.got) < 300
    assert sum(peer.chunks_sent for peer in cast.source.stats.peers) < 4 * len(cast.sent)  # of five viewers


def test_the_end_of_the_broadcast_reaches_everybody(lab):
    cast = Broadcast(lab, loss=0.05)
    first = cast.viewer(cast.source)
    second = cast.viewer(first)
    cast.run(2.0)
    cast.source.live.end(cast.network.now)
    cast.sent[cast.at], cast.born[cast.at] = cast.rest, cast.network.now
    cast.source.flush()
    cast.run(6.0, publish=False)
    for viewer in (first, second):
        assert viewer.live.ended
        assert b"".join(viewer.got.values()).endswith(cast.sent[cast.at])


def test_a_source_that_restarts_goes_on_above_what_it_has_used(lab):
    """With its key and a first chunk above all before: viewers jump over the hole, and keep what they had."""
    cast = Broadcast(lab)
    viewer = cast.viewer(cast.source)
    second = cast.viewer(viewer)
    cast.run(2.0)
    cast.source.kill()
    cast.run(5.0)
    last = max(viewer.got)
    cast.source = cast.host(signer=KEY, first_chunk=4096)
    cast.begin(4096)
    viewer.connect(cast.source)
    cast.run(5.0)
    for each in (viewer, second):
        assert max(each.got) > 4096 + 600
        assert {chunk for chunk in each.got if chunk > last} == set(range(4096, max(each.got) + 1))


def test_a_source_that_forgets_its_numbers_is_not_believed_twice(lab):
    """Munros over chunks that are known stay what they were: a source without its numbers takes another key."""
    cast = Broadcast(lab)
    viewer = cast.viewer(cast.source)
    cast.run(2.0)
    cast.source.kill()
    held = dict(viewer.got)
    other = cast.host(signer=KEY)
    viewer.connect(other)
    other.live.publish(bytes(1024 * 64), cast.network.now)
    other.flush()
    cast.run(3.0, publish=False)
    assert viewer.got == held


class Polluter:
    """Rewrites what one host sends: every DATA has another octet, or every signature."""

    def __init__(self, cast, host, kind):
        self.codec = codec_of(METADATA)
        carry = cast.network.carry

        def spoil(sender, address, octets):
            messages, error = self.codec.decode(octets)
            if sender is host and channel_of(octets) and error is None:
                changed = [self.spoiled(message, kind) for message in messages]
                octets = self.codec.encode(channel_of(octets), changed)
            carry(sender, address, octets)

        cast.network.carry = spoil

    def spoiled(self, message, kind):
        if kind == "chunks" and isinstance(message, Data):
            payload = bytearray(message.payload)
            payload[0] ^= 1
            return Data(message.start, message.end, message.timestamp_us, bytes(payload))
        if kind == "munros" and isinstance(message, SignedIntegrity):
            return SignedIntegrity(message.start, message.end, message.ntp_timestamp + 1, message.signature)
        if kind == "claims" and isinstance(message, Have):
            return Have(0, 2**32 - 2)
        return message


@pytest.mark.parametrize("kind", ["chunks", "munros", "claims"])
def test_a_bad_peer_does_not_stop_the_stream(lab, kind):
    """Section 12: content polluters, forged munros, lies about what there is."""
    cast = Broadcast(lab)
    bad = cast.viewer(cast.source)
    good = cast.viewer(cast.source)
    cast.run(1.0)
    Polluter(cast, bad, kind)
    viewer = cast.viewer(bad, good)
    cast.run(8.0)
    assert cast.missed(viewer) == 0
    assert cast.at - max(viewer.got) < 300
    if kind != "claims":
        assert bad.address not in [peer.address for peer in viewer.stats.peers]


def test_the_same_seed_twice_gives_the_same_octets(lab):
    def octets():
        cast = Broadcast(lab, loss=0.02, reorder=0.02)
        cast.network.record = []
        cast.viewer(cast.viewer(cast.source))
        cast.run(1.0)
        return cast.network.record

    first, second = octets(), octets()
    assert first == second
