"""One endpoint driven by hand, and peers that the test plays, which speak through the codec and may misbehave."""

import random
from collections import deque

from ppsp_publication import Store

from ppsp import Endpoint
from ppsp.codec import Codec, channel_of
from ppsp.messages import Data, Handshake, Have, Integrity, Request
from ppsp.options import ProtocolOptions


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
