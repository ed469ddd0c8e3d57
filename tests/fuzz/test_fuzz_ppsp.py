"""Endpoints, a bad network and a liar, in any order of events that Hypothesis thinks of.

`make fuzz` runs this with the soak profile. Whatever happens nothing raises, limits hold, timers make progress, nothing
wrong is ever stored; and once the network is fair again, everybody completes.
"""

import importlib.util
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ppsp import _limits
from ppsp.codec import Codec
from ppsp.constants import ChunkAddressing
from ppsp.events import ChunkRefused, PeerDisconnected
from ppsp.messages import Ack, Cancel, Choke, Data, Handshake, Have, Integrity, PexReq, Request, Unchoke

# The tools live with the tests of the package; under importlib mode they have no name to import them by.
_SPEC = importlib.util.spec_from_file_location("ppsp_lab", Path(__file__).parents[1] / "ppsp" / "conftest.py")
lab = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(lab)

CONTENT = lab.Publication(lab.pattern(70 * 1024 + 5))
OTHER = lab.Publication(bytes(9 * 1024))
CODEC = Codec(ChunkAddressing.CHUNK32, 32)
TOP = 2**32 - 1

numbers = st.one_of(st.integers(0, 75), st.sampled_from([2**20, 2**26, TOP - 1, TOP]))
specs = st.tuples(numbers, numbers).map(sorted)
moments = st.sampled_from([0, 1, 2**63, 2**64 - 1])


def nodes():
    """Hashes: true ones, true ones in the wrong place, nonsense."""
    known = [node for chunk in (0, 5, 64, 70) for node in CONTENT.uncles(chunk)] + CONTENT.peaks()
    true = st.integers(0, len(known) - 1).map(lambda place: known[place])
    digests = st.one_of(true.map(lambda node: node[2]), st.sampled_from([CONTENT.root, bytes(32), OTHER.root]))
    return st.one_of(true, st.builds(lambda spec, digest: (*spec, digest), specs, digests))


def messages():
    """Well-formed messages that an honest peer may or may not have sent."""
    chunks = st.integers(0, 70)
    payloads = st.one_of(chunks.map(lambda chunk: CONTENT.chunks[chunk]), st.binary(min_size=1, max_size=1024))
    return st.one_of(
        specs.map(lambda spec: Have(*spec)),
        specs.map(lambda spec: Request(*spec)),
        specs.map(lambda spec: Cancel(*spec)),
        st.builds(lambda spec, delay: Ack(*spec, delay), specs, moments),
        nodes().map(lambda node: Integrity(*node)),
        st.builds(lambda chunk, moment: Data(chunk, chunk, moment, CONTENT.chunks[chunk]), chunks, moments),
        st.builds(lambda chunk, moment, payload: Data(chunk, chunk, moment, payload), numbers, moments, payloads),
        st.sampled_from([Choke(), Unchoke(), PexReq(), Handshake(0)]),
    )


class Swarm(RuleBasedStateMachine):
    """A source, three fetchers, and a liar with an address of its own."""

    def __init__(self):
        super().__init__()
        self.net = lab.Network(delay=0.01, now=100.0)
        self.source = self.net.host(upload_rate=400_000, cwnd=20_000).seed(CONTENT)
        sizes = [{}, {}, {"content_size": len(CONTENT.content)}]
        self.fetchers = [self.net.host(cwnd=20_000).leech(CONTENT, **size) for size in sizes]
        self.hosts = [self.source, *self.fetchers]
        self.liar = ("203.0.113.66", 666)
        self.channels = {}
        self.lies = 0

    def hear(self):
        """The liar learns the channel IDs of those who answered it."""
        for _, source, address, octets in self.net.record or []:
            if address == self.liar and octets[4:5] == b"\0":
                found, _ = CODEC.decode(octets)
                if found and found[0].source_channel:
                    self.channels[source] = found[0].source_channel
        self.net.record = []

    @rule(first=st.integers(0, 3), second=st.integers(0, 3))
    def connect(self, first, second):
        """Somebody calls somebody, possibly itself, possibly both at once."""
        caller, called = self.hosts[first], self.hosts[second]
        caller.endpoint.connect(CONTENT.root, called.address, self.net.now)
        caller.flush()

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.3, 2.0, 20.0]))
    def wait(self, seconds):
        """Time passes."""
        self.net.run_for(seconds)

    @rule(seconds=st.sampled_from([60.0, 200.0]))
    def sleep(self, seconds):
        """Much time passes."""
        self.net.run_for(seconds)

    @rule(loss=st.sampled_from([0.0, 0.05, 0.5, 1.0]), reorder=st.sampled_from([0.0, 0.3]))
    def weather(self, loss, reorder):
        """The network gets better or worse."""
        self.net.loss, self.net.reorder, self.net.duplicate = loss, reorder, loss / 2

    @rule(which=st.integers(0, 3))
    def late_timer(self, which):
        """A timer that nobody asked for."""
        self.hosts[which].endpoint.handle_timer(self.net.now)
        self.hosts[which].flush()

    @rule(which=st.integers(0, 3), behind=st.lists(messages(), max_size=3))
    def lie_hello(self, which, behind):
        """The liar opens a channel."""
        self.net.record = self.net.record or []
        host = self.hosts[which]
        self.lies += 1
        handshake = Handshake(self.lies, lab.options_of(CONTENT.metadata()))
        octets = CODEC.encode(0, [handshake]) + b"".join(CODEC.encode(0, [part])[4:] for part in behind)
        host.endpoint.receive_datagram(octets, self.liar, self.net.now)
        host.flush()
        self.hear()

    @precondition(lambda self: self.channels)
    @rule(data=st.data(), parts=st.lists(messages(), max_size=4), tail=st.binary(max_size=8))
    def lie(self, data, parts, tail):
        """The liar says anything on a channel that it opened, or on none."""
        address = data.draw(st.sampled_from(sorted(self.channels)))
        host = self.net.hosts[address]
        body = b"".join(CODEC.encode(0, [part])[4:] for part in parts) + tail
        host.endpoint.receive_datagram(self.channels[address].to_bytes(4, "big") + body, self.liar, self.net.now)
        host.flush()

    @rule(which=st.integers(0, 3), octets=st.binary(max_size=60), zero=st.booleans())
    def rubbish(self, which, octets, zero):
        """Anybody says anything."""
        host = self.hosts[which]
        host.endpoint.receive_datagram(b"\0\0\0\0" * zero + octets, self.liar, self.net.now)
        host.flush()

    @rule(which=st.integers(0, 2))
    def leave_and_return(self, which):
        """A fetcher leaves and starts again with nothing."""
        host = self.fetchers[which]
        host.endpoint.close(self.net.now)
        host.flush()
        host.leech(CONTENT)

    @rule(which=st.integers(0, 2), rate=st.sampled_from([5_000.0, 100_000.0, None]))
    def throttle(self, which, rate):
        """An upload rate changes."""
        self.fetchers[which].endpoint.set_upload_rate(rate)
        self.fetchers[which].flush()

    @invariant()
    def nothing_wrong_is_stored(self):
        """Every chunk held is the right one."""
        for host in self.fetchers:
            for start, stop in host.endpoint._swarms[CONTENT.root].content.have:
                held = bytes(host.store.octets[start * 1024 : stop * 1024])
                assert held == CONTENT.content[start * 1024 : stop * 1024]

    @invariant()
    def limits_hold(self):
        """Section 12.6, whatever the liar does."""
        for host in self.hosts:
            assert len(host.endpoint._channels) <= _limits.MAX_CHANNELS
            for channel in host.endpoint._channels.values():
                assert len(channel.upload._queue) <= _limits.MAX_REQUEST_RANGES
                assert channel.peer_have.range_count <= _limits.MAX_HAVE_RANGES
                assert len(channel.download._loose) <= _limits.MAX_LOOSE_HASHES
                assert channel.upload.flight >= 0

    @invariant()
    def only_the_liar_is_refused(self):
        """Nobody honest is taken for a liar."""
        for host in self.hosts:
            assert all(event.address == self.liar for event in host.seen(ChunkRefused))

    def teardown(self):
        """The network becomes fair, the lies stop, and everybody who lost a peer calls again: all complete."""
        self.net.loss = self.net.reorder = self.net.duplicate = 0.0
        for host in self.hosts:
            host.endpoint.set_upload_rate(None)
        for _ in range(8):
            for host in self.fetchers:
                if not host.complete:
                    host.connect(self.source)
            self.net.run_for(30.0)
        for host in self.fetchers:
            assert host.complete, (host.stats, host.seen(PeerDisconnected)[-3:])
            assert bytes(host.store.octets) == CONTENT.content


Swarm.TestCase.settings = settings(stateful_step_count=25)
TestSwarm = Swarm.TestCase


@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.02, 0.1, 0.25]), number=st.integers(1, 4))
@settings(max_examples=25)
def test_any_small_swarm_completes(seed, loss, number):
    """Sizes, delays, rates and who calls whom by chance."""
    chance = random.Random(seed)
    publication = lab.Publication(lab.pattern(chance.choice([1, 1024, 5000, chance.randrange(1, 100_000)])))
    net = lab.Network(seed=seed, loss=loss, reorder=loss, duplicate=loss, delay=chance.choice([0.001, 0.02, 0.2]))
    source = net.host(upload_rate=chance.choice([None, 100_000])).seed(publication)
    known = {"content_size": len(publication.content)}
    fetchers = [net.host().leech(publication, **(known if chance.random() < 0.5 else {})) for _ in range(number)]
    hosts = [source, *fetchers]
    for place, host in enumerate(hosts):
        for other in hosts[:place]:
            caller, called = (host, other) if chance.random() < 0.7 else (other, host)
            caller.connect(called)
            if chance.random() < 0.3:
                called.connect(caller)
    net.run(lambda: all(fetcher.complete for fetcher in fetchers), seconds=200.0)
    assert all(bytes(fetcher.store.octets) == publication.content for fetcher in fetchers)


@given(data=st.data())
def test_any_octets_to_any_channel_raise_nothing(data):
    """Straight to the endpoint: nothing but octets, addresses and time."""
    bench = lab.Bench()
    bench.leech(CONTENT)
    peer = lab.HandPeer(bench, CONTENT)
    peer.open(peer.have_all())
    for _ in range(data.draw(st.integers(1, 6))):
        octets = data.draw(st.binary(max_size=120))
        channel = data.draw(st.sampled_from([0, peer.remote, 5]))
        bench.receive(channel.to_bytes(4, "big") + octets, peer.address)
        bench.advance(data.draw(st.sampled_from([0.0, 0.5, 5.0])))
    assert bench.channels <= 2
