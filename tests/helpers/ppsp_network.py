"""Several endpoints in virtual time, over links that lose, reorder and repeat."""

import heapq
import random

from ppsp_bench import fixed_window, joined
from ppsp_publication import Store

from ppsp import Endpoint


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
