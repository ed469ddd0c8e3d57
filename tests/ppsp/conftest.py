"""What the tests of the PPSPP endpoint share, as the fixture `lab`.

`lab.Publication` is content with a Merkle tree of its own making (recursive, from section 5.1 of the RFC, nothing of
`ppsp.merkle` in it). `lab.Bench` drives one endpoint by hand, with `lab.HandPeer`s that speak through the codec and may
misbehave. `lab.Network` runs several endpoints in virtual time over links that lose, reorder and repeat.
"""

import hashlib
import heapq
import random
from collections import deque
from types import SimpleNamespace

import pytest

from ppsp import Endpoint, MerkleHashFunction, MerkleTree, SwarmMetadata, hash_chunks
from ppsp.codec import Codec, channel_of
from ppsp.messages import Data, Handshake, Have, Integrity, Request
from ppsp.options import ProtocolOptions

_HASHES = {
    MerkleHashFunction.SHA1: hashlib.sha1,
    MerkleHashFunction.SHA224: hashlib.sha224,
    MerkleHashFunction.SHA256: hashlib.sha256,
    MerkleHashFunction.SHA384: hashlib.sha384,
    MerkleHashFunction.SHA512: hashlib.sha512,
}


def pattern(size):
    """Octets that differ from chunk to chunk: byte i is i % 251, as in the foreign vectors."""
    unit = bytes(range(251))
    return (unit * (size // 251 + 1))[:size]


class Publication:
    """Content, and the Merkle tree of section 5.1 over its chunks, computed the plain way."""

    def __init__(self, content, chunk_size=1024, hash_function=MerkleHashFunction.SHA256):
        self.content = content
        self.chunk_size = chunk_size
        self.hash_function = hash_function
        new = _HASHES[hash_function]
        self.hash_size = new().digest_size
        self.chunks = [content[at : at + chunk_size] for at in range(0, len(content), chunk_size)]
        self.count = len(self.chunks)
        self.height = (self.count - 1).bit_length()
        zero = bytes(self.hash_size)
        row = [new(chunk).digest() for chunk in self.chunks]
        self._rows = [row]
        for _ in range(self.height):
            row = row + [zero] * (len(row) % 2)
            row = [new(row[k] + row[k + 1]).digest() for k in range(0, len(row), 2)]
            self._rows.append(row)
        self.root = row[0]
        self._zero = zero

    def node(self, start, end):
        """The hash of the node over the chunks `start` to `end`."""
        layer = (end - start).bit_length()
        index = start >> layer
        row = self._rows[layer]
        return row[index] if index < len(row) else self._zero

    def peaks(self):
        """(first chunk, last chunk, hash), left to right: section 5.6.1."""
        found, start = [], 0
        for layer in range(self.count.bit_length() - 1, -1, -1):
            if self.count >> layer & 1:
                found.append((start, start + (1 << layer) - 1, self.node(start, start + (1 << layer) - 1)))
                start += 1 << layer
        return found

    def uncles(self, chunk):
        """All the hashes that verify `chunk` against the root, highest first; empty siblings are known zeros."""
        found = []
        for layer in range(self.height):
            first = (chunk >> layer ^ 1) << layer
            if first < self.count:
                found.append((first, first + (1 << layer) - 1, self.node(first, first + (1 << layer) - 1)))
        return found[::-1]

    def metadata(self, **changes):
        """The swarm's metadata."""
        given = {"chunk_size": self.chunk_size, "merkle_hash_function": self.hash_function, **changes}
        return SwarmMetadata(self.root, **given)

    def tree(self):
        """A complete tree for a seeding endpoint."""
        return MerkleTree.from_leaves(
            hash_chunks(self.content, self.chunk_size, self.hash_function), self.hash_function
        )


class Store:
    """A chunk store in memory that can be told to fail."""

    def __init__(self, content=b""):
        self.octets = bytearray(content)
        self.fail_reads = self.fail_writes = False
        self.reads = self.writes = 0

    def read(self, offset, length):
        """As `ChunkStore.read`."""
        self.reads += 1
        if self.fail_reads:
            raise OSError("the disk is gone")
        return bytes(self.octets[offset : offset + length])

    def write(self, offset, data):
        """As `ChunkStore.write`."""
        self.writes += 1
        if self.fail_writes:
            raise OSError("the disk is full")
        self.octets.extend(bytes(max(0, offset + len(data) - len(self.octets))))
        self.octets[offset : offset + len(data)] = data


class FixedWindow:
    """A congestion controller with a window that never changes; it writes down what it is told."""

    def __init__(self, cwnd, cto=1.0):
        self.cwnd = cwnd
        self.pacing_rate = None
        self.flight = 0
        self.sent, self.acks, self.losses, self.timeouts = [], [], [], []
        self._cto = cto
        self._since = 0.0

    def on_sent(self, *, sent, now):
        if not self.flight:
            self._since = now
        self.flight += sent
        self.sent.append((now, sent))

    def on_ack(self, *, acked, delays_us, rtt, now):
        self.flight -= acked
        self._since = now
        self.acks.append((now, acked, list(delays_us), rtt))

    def on_loss(self, *, lost, will_retransmit, now):
        if not will_retransmit:
            self.flight -= lost
        self.losses.append((now, lost))

    def on_timeout(self, now):
        self._since = now
        self.timeouts.append(now)

    def get_timer(self):
        return self._since + self._cto if self.flight > 0 else None


def fixed_window(cwnd=1 << 20, cto=1.0):
    """A controller factory; the controllers it made are in its attribute `made`."""

    def factory(chunk_size):
        controller = FixedWindow(cwnd, cto)
        factory.made.append(controller)
        return controller

    factory.made = []
    return factory


def options_of(metadata, **changes):
    """The options of a first HANDSHAKE for a swarm: all of Table 2 that static content needs."""
    given = {
        "version": 1,
        "minimum_version": 1,
        "swarm_id": metadata.swarm_id,
        "content_integrity": metadata.content_integrity,
        "merkle_hash_function": metadata.merkle_hash_function,
        "chunk_addressing": metadata.chunk_addressing,
        "chunk_size": metadata.chunk_size,
        **changes,
    }
    return ProtocolOptions(**given)


def joined(datagram):
    """A datagram's octets, whether it came as one buffer or as several."""
    return datagram if isinstance(datagram, bytes) else b"".join(datagram)


class Bench:
    """One endpoint, a clock that the test moves, and a mailbox for each address that the endpoint writes to."""

    def __init__(self, *, cwnd=1 << 20, cto=1.0, now=1000.0, seed=1, controller=None, **settings):
        self.now = now
        self.windows = controller if controller is not None else fixed_window(cwnd, cto)
        self.endpoint = Endpoint(
            controller=self.windows,
            random_bytes=settings.pop("random_bytes", random.Random(seed).randbytes),
            **settings,
        )
        self.mail = {}
        self.log = []
        self.timer_calls = 0

    def seed(self, publication, **changes):
        """Serve a publication; returns its store."""
        store = Store(publication.content)
        size = len(publication.content)
        self.endpoint.add_swarm(
            publication.metadata(**changes), store=store, tree=publication.tree(), content_size=size
        )
        return store

    def leech(self, publication, *, store=None, picker=None, **changes):
        """Join the swarm of a publication with nothing; returns the store."""
        store = Store() if store is None else store
        more = {} if picker is None else {"picker": picker}
        self.endpoint.add_swarm(publication.metadata(**changes), store=store, **more)
        return store

    def receive(self, data, address, *, flush=True):
        """Hand the endpoint a datagram."""
        self.endpoint.receive_datagram(data, address, self.now)
        if flush:
            self.flush()

    def flush(self):
        """Take what is to be sent until there is nothing more."""
        for _ in range(100_000):
            datagrams = self.endpoint.datagrams_to_send(self.now)
            if not datagrams:
                return
            for datagram, address in datagrams:
                octets = joined(datagram)
                self.log.append((self.now, address, octets))
                self.mail.setdefault(address, deque()).append(octets)
        raise AssertionError("datagrams_to_send never ends")

    def advance(self, seconds):
        """Let time pass, driven by get_timer alone."""
        until = self.now + seconds
        stuck = 0
        while (due := self.endpoint.get_timer()) is not None and due <= until:
            stuck = 0 if due > self.now else stuck + 1
            assert stuck < 20, f"get_timer stays at {due}, now is {self.now}: a busy loop"
            self.now = max(self.now, due)
            self.timer_calls += 1
            self.endpoint.handle_timer(self.now)
            self.flush()
        self.now = until

    def events(self, *kinds):
        """The events since the last call; only those of the kinds, if any are given."""
        found = []
        while (event := self.endpoint.next_event()) is not None:
            found.append(event)
        return [event for event in found if isinstance(event, kinds)] if kinds else found

    @property
    def channels(self):
        """How many channels the endpoint keeps."""
        return len(self.endpoint._channels)


class HandPeer:
    """A peer played by the test, which says what it is told to."""

    def __init__(self, bench, publication, *, host=9, channel=0x01020304, metadata=None):
        self.bench = bench
        self.publication = publication
        self.metadata = publication.metadata() if metadata is None else metadata
        self.address = (f"192.0.2.{host}", 6778)
        self.channel = channel
        self.remote = 0
        self.codec = Codec(self.metadata.chunk_addressing, publication.hash_size, chunk_size=self.metadata.chunk_size)

    def send(self, *messages, to=None, flush=True):
        """Messages in one datagram to the endpoint's channel."""
        channel = self.remote if to is None else to
        self.bench.receive(self.codec.encode(channel, messages), self.address, flush=flush)

    def send_raw(self, octets, *, to=None, flush=True):
        """Any octets behind the channel ID."""
        channel = self.remote if to is None else to
        self.bench.receive(channel.to_bytes(4, "big") + octets, self.address, flush=flush)

    def raw(self):
        """The datagrams since the last call."""
        box = self.bench.mail.pop(self.address, ())
        return list(box)

    def datagrams(self):
        """The datagrams since the last call, each as its list of messages."""
        found = []
        for octets in self.raw():
            assert channel_of(octets) in (0, self.channel), "a datagram for another channel"
            messages, error = self.codec.decode(octets)
            assert error is None, error
            found.append(messages)
        return found

    def take(self, *kinds):
        """The messages since the last call, of all datagrams; only those of the kinds, if any are given."""
        found = [message for messages in self.datagrams() for message in messages]
        return [message for message in found if isinstance(message, kinds)] if kinds else found

    def hello(self, *messages, flush=True, **changes):
        """The first HANDSHAKE of section 3.1.1, with `changes` in its options."""
        handshake = Handshake(self.channel, options_of(self.metadata, **changes))
        self.send(handshake, *messages, to=0, flush=flush)

    def open(self, *messages, **changes):
        """Initiate the handshake and complete it, with `messages` in the third datagram; returns the answer."""
        self.hello(**changes)
        answer = self.take()
        assert answer, "the endpoint did not answer the HANDSHAKE"
        assert isinstance(answer[0], Handshake)
        self.remote = answer[0].source_channel
        self.send(*messages)
        return answer

    def invite(self):
        """Let the endpoint open a channel to this peer; returns its first HANDSHAKE."""
        opened = self.bench.endpoint.connect(self.metadata.swarm_id, self.address, self.bench.now)
        assert opened, "the endpoint does not call this peer"
        self.bench.flush()
        return self.heard()

    def heard(self):
        """The endpoint's first HANDSHAKE, from the mailbox."""
        (handshake,) = self.take()
        assert isinstance(handshake, Handshake)
        self.remote = handshake.source_channel
        return handshake

    def reply(self, *messages, **changes):
        """Answer the endpoint's HANDSHAKE, with more messages behind it."""
        changes = {"minimum_version": None, "swarm_id": None, **changes}
        self.send(Handshake(self.channel, options_of(self.metadata, **changes)), *messages)

    def accept(self, *messages):
        """Let the endpoint connect, and answer it with `messages` behind the HANDSHAKE."""
        self.invite()
        self.reply(*messages)

    def have_all(self):
        """The HAVE of a seeder."""
        return Have(0, self.publication.count - 1)

    def data(self, chunk, *, timestamp=0, payload=None):
        """The DATA message of a chunk."""
        return Data(chunk, chunk, timestamp, self.publication.chunks[chunk] if payload is None else payload)

    def integrity(self, chunk, *, peaks=True):
        """The INTEGRITY messages for a chunk: the peaks, then the uncles below its peak."""
        found = self.publication.peaks() if peaks else []
        known = {(start, end) for start, end, _ in found}
        above = [start_end for start_end in known if start_end[0] <= chunk <= start_end[1]]
        for start, end, digest in self.publication.uncles(chunk):
            inside = not above or (above[0][0] <= start and end <= above[0][1])
            if inside and (start, end) not in known:
                found.append((start, end, digest))
        return [Integrity(*node) for node in found]

    def serve(self, chunk, *, timestamp=0, payload=None, peaks=True, flush=True):
        """Send a chunk with every hash that it needs."""
        data = self.data(chunk, timestamp=timestamp, payload=payload)
        self.send(*self.integrity(chunk, peaks=peaks), data, flush=flush)

    def serve_requests(self):
        """Serve everything asked for since the last call; returns the chunks."""
        served = []
        for request in self.take(Request):
            for chunk in range(request.start, request.end + 1):
                self.serve(chunk)
                served.append(chunk)
        return served


class Host:
    """An endpoint on the simulated network."""

    def __init__(self, network, endpoint, address):
        self.network = network
        self.endpoint = endpoint
        self.address = address
        self.alive = True
        self.events = []
        self.sent = 0
        self.received = 0
        self.octets_sent = 0
        self.timer_calls = 0
        self.store = None
        self.swarm_id = None
        self._stuck = 0
        self._last_due = -1.0

    def seed(self, publication, **changes):
        """Serve a publication."""
        self.store = Store(publication.content)
        self.swarm_id = publication.root
        size = len(publication.content)
        self.endpoint.add_swarm(
            publication.metadata(**changes), store=self.store, tree=publication.tree(), content_size=size
        )
        return self

    def leech(self, publication, *, picker=None, **changes):
        """Join a swarm with nothing."""
        self.store = Store()
        self.swarm_id = publication.root
        more = {} if picker is None else {"picker": picker}
        self.endpoint.add_swarm(publication.metadata(**changes), store=self.store, **more)
        return self

    def connect(self, *others):
        """Open channels to other hosts."""
        for other in others:
            self.endpoint.connect(self.swarm_id, other.address, self.network.now)
        self.flush()
        return self

    def flush(self):
        """Send what is to be sent, and take the events."""
        for _ in range(100_000):
            datagrams = self.endpoint.datagrams_to_send(self.network.now)
            if not datagrams:
                break
            for datagram, address in datagrams:
                octets = joined(datagram)
                self.sent += 1
                self.octets_sent += len(octets)
                self.network.carry(self, address, octets)
        else:
            raise AssertionError("datagrams_to_send never ends")
        while (event := self.endpoint.next_event()) is not None:
            self.events.append(event)

    def timer(self):
        """The deadline, checked for progress."""
        return self.endpoint.get_timer() if self.alive else None

    def tick(self, due):
        """Handle the timer."""
        self._stuck = self._stuck + 1 if due <= self._last_due else 0
        assert self._stuck < 20, f"get_timer of {self.address} stays at {due}: a busy loop"
        self._last_due = max(due, self._last_due)
        self.timer_calls += 1
        self.endpoint.handle_timer(self.network.now)
        self.flush()

    def kill(self):
        """As kill -9: nothing is said."""
        self.alive = False

    def seen(self, kind):
        """The events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def stats(self):
        """The swarm's figures."""
        return self.endpoint.stats(self.swarm_id)

    @property
    def complete(self):
        """Whether every chunk is held."""
        stats = self.stats
        return stats.chunk_count is not None and stats.chunks_held == stats.chunk_count


class Network:
    """Endpoints in virtual time. Chances of loss, reordering and duplication are per datagram."""

    def __init__(self, *, seed=1, delay=0.02, loss=0.0, reorder=0.0, duplicate=0.0, now=1000.0):
        self.now = now
        self.chance = random.Random(seed)
        self.delay, self.loss, self.reorder, self.duplicate = delay, loss, reorder, duplicate
        self.hosts = {}
        self.record = None
        self._queue = []
        self._serial = 0
        self._seed = seed

    def host(self, *, cwnd=64 * 1024, controller=None, **settings):
        """One more endpoint."""
        number = len(self.hosts) + 1
        address = (f"10.0.0.{number}", 6778)
        endpoint = Endpoint(
            controller=controller or fixed_window(cwnd),
            random_bytes=random.Random(self._seed * 1000 + number).randbytes,
            **settings,
        )
        self.hosts[address] = Host(self, endpoint, address)
        return self.hosts[address]

    def carry(self, source, address, octets):
        """Take a datagram from a host."""
        if self.record is not None:
            self.record.append((self.now, source.address, address, octets))
        for _ in range(2 if self.chance.random() < self.duplicate else 1):
            if self.chance.random() < self.loss:
                continue
            delay = self.delay
            if self.chance.random() < self.reorder:
                delay *= 1 + 2 * self.chance.random()
            self._serial += 1
            heapq.heappush(self._queue, (self.now + delay, self._serial, source.address, address, octets))

    def run(self, until, *, seconds=120.0):
        """Run until the condition holds; AssertionError when it does not within so many virtual seconds."""
        limit = self.now + seconds
        for host in self.hosts.values():
            host.flush()
        while not until():
            timers = [(due, host) for host in self.hosts.values() if (due := host.timer()) is not None]
            first = min(timers, key=lambda pair: pair[0], default=None)
            arrival = self._queue[0][0] if self._queue else None
            assert first is not None or arrival is not None, "nothing will ever happen again"
            if arrival is not None and (first is None or arrival <= first[0]):
                assert arrival <= limit, "not within the time"
                self.now = max(self.now, arrival)
                self._deliver(arrival)
            else:
                assert first[0] <= limit, "not within the time"
                self.now = max(self.now, first[0])
                first[1].tick(first[0])
        return self

    def run_for(self, seconds):
        """Run for so long."""
        end = self.now + seconds
        while True:
            timers = [(due, host) for host in self.hosts.values() if (due := host.timer()) is not None and due <= end]
            first = min(timers, key=lambda pair: pair[0], default=None)
            arrival = self._queue[0][0] if self._queue and self._queue[0][0] <= end else None
            if first is None and arrival is None:
                self.now = end
                return self
            if arrival is not None and (first is None or arrival <= first[0]):
                self.now = max(self.now, arrival)
                self._deliver(arrival)
            else:
                self.now = max(self.now, first[0])
                first[1].tick(first[0])

    def _deliver(self, arrival):
        # What arrives at one instant is one batch, as a driver drains a socket.
        touched = {}
        while self._queue and self._queue[0][0] <= arrival:
            _, _, source, address, octets = heapq.heappop(self._queue)
            host = self.hosts.get(address)
            if host is not None and host.alive:
                host.received += 1
                host.endpoint.receive_datagram(memoryview(octets), source, self.now)
                touched[address] = host
        for host in touched.values():
            host.flush()


@pytest.fixture(scope="session")
def lab():
    """The tools of these tests; they keep nothing between tests."""
    return SimpleNamespace(
        Bench=Bench,
        FixedWindow=FixedWindow,
        HandPeer=HandPeer,
        Network=Network,
        Publication=Publication,
        Store=Store,
        fixed_window=fixed_window,
        joined=joined,
        options_of=options_of,
        pattern=pattern,
    )


@pytest.fixture(scope="session")
def seven(lab):
    """The RFC's content of 7162 octets: 7 chunks, the last of 1018 octets (section 5.6)."""
    return lab.Publication(lab.pattern(7162))
