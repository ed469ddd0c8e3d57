"""`ppsp._upload`: serving requests under a congestion window, hashes included, and what becomes of losses."""

import hashlib
from itertools import pairwise

import pytest

from ppsp import _limits
from ppsp._content import Content
from ppsp._ranges import RangeSet
from ppsp._upload import Upload
from ppsp.codec import Codec
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.messages import Data, Integrity

CHANNEL = 0x01020304
MODULUS = 1 << 64


class Server:
    """An upload of a whole publication, and what it sent."""

    def __init__(self, lab, publication, *, cwnd=1 << 20, cto=1.0, have=None, **metadata):
        self.publication = publication
        self.store = lab.Store(publication.content)
        given = publication.metadata(**metadata)
        size = len(publication.content)
        self.content = Content(given, self.store, publication.tree(), have, size)
        self.codec = Codec(given.chunk_addressing, publication.hash_size, chunk_size=given.chunk_size)
        self.window = lab.FixedWindow(cwnd, cto)
        self.peer_have = RangeSet()
        self.upload = Upload(self.content, self.codec, self.window, self.peer_have)
        self.now = 10.0
        self.join = lab.joined

    def raw(self, most=1000):
        """The datagrams that leave now."""
        found = []
        while self.upload.ready and (
            sent := self.upload.datagrams(CHANNEL, int(self.now * 1e6) % MODULUS, most, self.now)
        ):
            found += [self.join(datagram) for datagram in sent]
        return found

    def send(self, most=1000):
        """The same as lists of messages."""
        found = []
        for octets in self.raw(most):
            messages, error = self.codec.decode(octets)
            assert error is None
            found.append(messages)
        return found

    def chunks(self, most=1000):
        """The chunks that leave now."""
        return [message.start for messages in self.send(most) for message in messages if isinstance(message, Data)]

    def ack(self, start, stop, delay_us=1000):
        """The peer acknowledges chunks, half-open."""
        for part in self.peer_have.add(start, stop):
            self.upload.peer_has(*part)
        self.upload.end_datagram([delay_us], self.now)

    def have(self, start, stop):
        """The peer says in a HAVE that it has chunks, half-open."""
        for part in self.peer_have.add(start, stop):
            self.upload.peer_has(*part)
        self.upload.end_datagram([], self.now)

    def tick(self):
        """Wait for the deadline and handle it."""
        due = self.upload.deadline()
        assert due is not None
        self.now = max(self.now, due)
        self.upload.handle_timer(self.now)


class Receiver:
    """Verifies what is sent with nothing but the root hash and what came: an independent section 5.2."""

    def __init__(self, publication, *, knows=()):
        self.publication = publication
        self.new = hashlib.sha1 if publication.hash_function is MerkleHashFunction.SHA1 else hashlib.sha256
        self.known = {(start, end): digest for start, end, digest in knows}
        self.verified = []

    def take(self, messages):
        """Take a datagram's messages in their order; False when a chunk cannot be verified."""
        for message in messages:
            if isinstance(message, Integrity):
                self.known.setdefault((message.start, message.end), bytes(message.hash))
            elif isinstance(message, Data):
                if not self.verify(message):
                    return False
                self.verified.append(message.start)
        return True

    def verify(self, message):
        """Climb from the chunk to the root with the hashes at hand."""
        count, height = self.publication.count, self.publication.height
        start, width = message.start, 1
        digest = self.new(message.payload).digest()
        path = {}
        for _ in range(height):
            path[start, start + width - 1] = digest
            sibling = start ^ width
            if sibling >= count:
                uncle = bytes(len(digest))
            else:
                uncle = self.known.get((sibling, sibling + width - 1))
                if uncle is None:
                    # The peaks are known by now: the rest of the way up is implied by them (section 5.6).
                    if self.known.get((start, start + width - 1)) == digest:
                        break
                    return False
            if self.known.get((start, start + width - 1)) == digest:
                break
            pair = digest + uncle if start < sibling else uncle + digest
            digest = self.new(pair).digest()
            start &= ~width
            width *= 2
        else:
            if digest != self.publication.root:
                return False
        self.known |= path
        return True


@pytest.fixture
def server(lab, seven):
    """A server of the RFC's 7 chunks."""
    return Server(lab, seven)


def test_nothing_is_sent_unasked(server):
    assert not server.upload.ready
    assert server.send() == []
    assert server.upload.deadline() is None


def test_a_requested_chunk_is_sent(server, seven):
    """Section 3.7; the DATA is last in its datagram (8.6 MUST) and denotes the single chunk (5.4 MUST)."""
    server.upload.request(2, 3)
    ((*integrity, data),) = server.send()
    assert all(isinstance(message, Integrity) for message in integrity)
    assert (data.start, data.end) == (2, 2)
    assert bytes(data.payload) == seven.chunks[2]


def test_data_carries_the_senders_clock(server):
    """Section 8.6 MUST: the timestamp, in microseconds."""
    server.upload.request(2, 3)
    assert server.send()[0][-1].timestamp_us == 10_000_000


def test_the_first_chunk_goes_with_peaks_then_uncles_as_in_the_example(server, seven):
    """Section 5.6.2: first the peaks, nodes 3, 9 and 12, "second, the uncle hashes of C0, followed by the DATA"."""
    server.upload.request(0, 1)
    ((*integrity, data),) = server.send()
    expected = [(0, 3), (4, 5), (6, 6), (2, 3), (1, 1)]
    assert [(message.start, message.end) for message in integrity] == expected
    assert [bytes(message.hash) for message in integrity] == [seven.node(*node) for node in expected]
    assert data.start == 0


@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, MerkleHashFunction.SHA256])
def test_the_hashes_of_the_example_are_those_of_the_reference_implementation(lab, function):
    """The trace of libswift for the same 7162 octets , and its SHA-1 peaks (section 5 there)."""
    publication = lab.Publication(lab.pattern(7162), hash_function=function)
    server = Server(lab, publication)
    server.upload.request(0, 1)
    peaks = [bytes(message.hash).hex() for message in server.send()[0][:3]]
    if function is MerkleHashFunction.SHA1:
        assert peaks == [
            "616f0d42dccd13461bcb6c31921e412388c67e84",
            "bce8b406240356a871ed47d6e289b69ee157f19e",
            "94b6085940925df5713b4dfad52dfdf7708ddb06",
        ]
    else:
        assert peaks[0] == "d18de59f8a76162d3b459102f1af74b72f0ba9cd35cce23a86081457e1987ecd"
    assert publication.root.hex() in (
        "771baa14ad60d82025d037c350f26942bd5b7f5a",
        "1140e810b61f13f887a6626b32b07d4cd44731481b8ac911dd1ba12f75bd9d2d",
    )


def test_the_peak_of_a_power_of_two_is_sent_although_it_is_the_root(lab):
    """its chunk specification carries the size."""
    publication = lab.Publication(lab.pattern(4096))
    server = Server(lab, publication)
    server.upload.request(0, 1)
    integrity = server.send()[0][:-1]
    assert [(message.start, message.end) for message in integrity] == [(0, 3), (2, 3), (1, 1)]
    assert bytes(integrity[0].hash) == publication.root


def test_a_lone_chunk_goes_with_its_peak_when_the_size_is_to_be_found(lab):
    """section 5.6.2 MUST; section 8.16 shows the mode without size detection."""
    server = Server(lab, lab.Publication(b"Hello world!\n"))
    server.upload.request(0, 1)
    assert [(message.start, message.end) for message in server.send()[0]] == [(0, 0), (0, 0)]


def test_no_peaks_are_sent_when_the_size_is_in_the_metadata(lab):
    """Section 3.1 (f), and the example of section 8.16, where the DATA goes alone."""
    publication = lab.Publication(b"Hello world!\n", hash_function=MerkleHashFunction.SHA1)
    server = Server(lab, publication, content_size=13)
    server.upload.request(0, 1)
    (messages,) = server.send()
    assert [type(message) for message in messages] == [Data]


def test_peaks_are_sent_until_the_peer_has_acknowledged_something(server):
    """Section 5.6.2: "unless Peer B has already signaled that it knows the peak hashes"."""
    server.upload.request(0, 2)
    first = server.send()
    assert all((messages[0].start, messages[0].end) == (0, 3) for messages in first)
    server.ack(0, 2)
    server.upload.request(2, 3)
    assert [(message.start, message.end) for message in server.send()[0][:-1]] == [(3, 3)]


def test_a_have_shows_that_the_peer_knows_the_peaks_too(server):
    """a HAVE for something that it was sent is an acknowledgement."""
    server.have(4, 5)
    server.upload.request(0, 1)
    assert (0, 3) not in [(message.start, message.end) for message in server.send()[0][:-1]]


def test_hashes_that_the_peer_must_know_are_left_out(server):
    """Section 5.3's example: with C0 and C1 acknowledged, chunk 7 of 8 needs two hashes; here chunk 2 one."""
    server.ack(0, 2)
    server.upload.request(2, 3)
    assert [(message.start, message.end) for message in server.send()[0]] == [(3, 3), (2, 2)]


def test_hashes_that_are_on_their_way_are_not_sent_again(lab):
    """Section 5.3 MAY: those of still unacknowledged datagrams are skipped."""
    server = Server(lab, lab.Publication(lab.pattern(128 * 1024)))
    server.upload.request(0, 64)
    server.send()
    server.upload.request(64, 65)
    nodes = [(message.start, message.end) for message in server.send()[0][:-1]]
    assert nodes == [(0, 127), (96, 127), (80, 95), (72, 79), (68, 71), (66, 67), (65, 65)]


def test_the_example_of_section_5_3(lab):
    """Eight chunks, the first two acknowledged: leaf 12 (chunk 6) needs nodes 14 and 9, chunks 7 and 4-5."""
    server = Server(lab, lab.Publication(lab.pattern(8192)))
    server.ack(0, 2)
    server.upload.request(6, 7)
    assert [(message.start, message.end) for message in server.send()[0][:-1]] == [(4, 5), (7, 7)]


@pytest.mark.parametrize("size", [1, 1024, 1025, 4096, 7162, 8192, 65 * 1024, 200 * 1024 - 7])
@pytest.mark.parametrize("function", [MerkleHashFunction.SHA1, MerkleHashFunction.SHA256])
def test_every_chunk_can_be_verified_with_what_was_sent(lab, size, function):
    """Section 5.4: "an INTEGRITY message for each hash the receiver misses for integrity checking"."""
    publication = lab.Publication(lab.pattern(size), hash_function=function)
    server = Server(lab, publication)
    receiver = Receiver(publication)
    server.upload.request(0, publication.count)
    for messages in server.send():
        assert receiver.take(messages)
    assert sorted(receiver.verified) == list(range(publication.count))


def test_every_chunk_can_be_verified_when_asked_for_at_random(lab):
    publication = lab.Publication(lab.pattern(150 * 1024))
    server = Server(lab, publication)
    receiver = Receiver(publication)
    for step in range(150):
        chunk = step * 67 % 150
        server.upload.request(chunk, chunk + 1)
        for messages in server.send():
            assert receiver.take(messages)
        if step % 3 == 0:
            server.ack(chunk, chunk + 1)
    assert len(receiver.verified) == 150


def test_integrity_is_sorted_by_height_descending_in_each_list(lab):
    """Section 5.4 MUST; peaks are an extra list before it (5.6.2)."""
    publication = lab.Publication(lab.pattern(100 * 1024))
    server = Server(lab, publication)
    server.upload.request(0, 100)
    peaks = [(start, end) for start, end, _ in publication.peaks()]
    for messages in server.send():
        nodes = [(message.start, message.end) for message in messages if isinstance(message, Integrity)]
        assert nodes[:3] == peaks
        widths = [end - start for start, end in nodes[3:]]
        assert widths == sorted(widths, reverse=True)


def test_datagrams_fit_one_packet(lab):
    """Section 8.1 SHOULD: inside a single IP packet; 1452 octets are left of 1500 over IPv6."""
    publication = lab.Publication(lab.pattern(3000 * 1024))
    server = Server(lab, publication, cwnd=1 << 24)
    server.upload.request(0, 3000)
    assert max(len(octets) for octets in server.raw()) <= 1452


def test_hashes_that_do_not_fit_go_first_in_datagrams_of_their_own(lab):
    """Sections 5.3 and 5.4 MUST. 2^12 - 1 chunks have 12 peaks; nine SHA-256 hashes fit beside 1024 octets."""
    publication = lab.Publication(bytes(1024) * 4095)
    server = Server(lab, publication)
    server.upload.request(0, 1)
    datagrams = server.send()
    assert len(datagrams) == 2
    assert all(isinstance(message, Integrity) for message in datagrams[0])
    nodes = [(m.start, m.end) for messages in datagrams for m in messages if isinstance(m, Integrity)]
    peaks = [(start, end) for start, end, _ in publication.peaks()]
    assert nodes[:12] == peaks
    assert nodes[12:] == [(1 << k, (2 << k) - 1) for k in range(10, -1, -1)]
    assert isinstance(datagrams[1][-1], Data)


def test_large_chunks_have_their_hashes_beside_them(lab):
    """A chunk of 8192 octets exceeds one packet anyway; the hashes still go into its datagram (5.3 SHOULD)."""
    publication = lab.Publication(lab.pattern(20 * 8192), chunk_size=8192)
    server = Server(lab, publication)
    receiver = Receiver(publication)
    server.upload.request(0, 20)
    datagrams = server.send()
    assert len(datagrams) == 20
    assert all(receiver.take(messages) for messages in datagrams)


def test_64_bit_chunk_ranges_serve_as_well(lab, seven):
    """Section 7.8 MUST."""
    server = Server(lab, seven, chunk_addressing=ChunkAddressing.CHUNK64)
    receiver = Receiver(seven)
    server.upload.request(0, 7)
    assert all(receiver.take(messages) for messages in server.send())
    assert sorted(receiver.verified) == list(range(7))


def test_requests_are_served_in_the_order_received(lab):
    """Section 3.7 SHOULD."""
    server = Server(lab, lab.Publication(lab.pattern(1000 * 1024)))
    for chunk in (900, 3, 500, 64):
        server.upload.request(chunk, chunk + 1)
    assert server.chunks() == [900, 3, 500, 64]


def test_chunks_that_are_not_held_are_passed_over(lab, seven):
    """Section 3.7: a REQUEST is a hint."""
    server = Server(lab, seven, have=RangeSet([(1, 3), (5, 6)]))
    server.upload.request(0, 2**32)
    assert sorted(server.chunks()) == [1, 2, 5]


@pytest.mark.parametrize(("start", "stop"), [(7, 8), (2**32 - 1, 2**32), (2**64 - 1, 2**64), (7, 2**64)])
def test_chunks_that_do_not_exist_are_passed_over(server, start, stop):
    server.upload.request(start, stop)
    assert not server.upload.ready


def test_a_chunk_asked_for_twice_is_sent_once(server):
    """Section 8.2: REQUEST is idempotent."""
    server.upload.request(2, 5)
    server.upload.request(2, 5)
    assert sorted(server.chunks()) == [2, 3, 4]
    server.upload.request(2, 5)  # on its way
    assert server.chunks() == []


def test_of_a_range_that_is_partly_on_its_way_the_rest_is_sent(server):
    server.upload.request(3, 4)
    assert server.chunks() == [3]
    server.upload.request(0, 7)
    assert sorted(server.chunks()) == [0, 1, 2, 4, 5, 6]
    assert server.upload.flight == 7162


def test_a_cancelled_chunk_is_not_sent(server):
    """Section 3.8."""
    server.upload.request(0, 7)
    server.upload.cancel(1, 6)
    assert sorted(server.chunks()) == [0, 6]


def test_a_cancelled_chunk_can_be_asked_for_again(server):
    server.upload.request(0, 7)
    server.upload.cancel(0, 7)
    assert server.chunks() == []
    server.upload.request(3, 4)
    assert server.chunks() == [3]


def test_a_have_is_an_implicit_cancel(server):
    """Section 3.8: "Peer Q MUST also cancel the previous REQUEST(s)"."""
    server.upload.request(0, 7)
    server.have(2, 5)
    assert sorted(server.chunks()) == [0, 1, 5, 6]


def test_a_cancel_for_what_was_never_asked_for_is_ignored(server):
    """Section 12.6.7, CANCEL.1."""
    server.upload.cancel(0, 2**64)
    server.upload.request(1, 2)
    assert server.chunks() == [1]


def test_the_congestion_window_limits_what_is_in_flight(lab):
    """Section 8.15."""
    server = Server(lab, lab.Publication(lab.pattern(100 * 1024)), cwnd=10 * 1024)
    server.upload.request(0, 100)
    assert len(server.chunks()) == 10
    assert server.upload.flight == 10 * 1024
    assert server.chunks() == []
    server.now += 0.05
    server.ack(0, 4)
    assert len(server.chunks()) == 4


def test_a_window_below_one_chunk_lets_one_out(lab, seven):
    """Or the transfer would stand for ever."""
    server = Server(lab, seven, cwnd=100)
    server.upload.request(0, 7)
    assert len(server.chunks()) == 1
    assert server.chunks() == []
    server.ack(0, 1)
    assert len(server.chunks()) == 1


def test_the_controller_hears_of_every_octet_of_chunks(server):
    server.upload.request(0, 7)
    server.send()
    assert sum(sent for _, sent in server.window.sent) == 7162
    assert server.upload.octets_sent == 7162
    server.now += 0.03
    server.ack(0, 7, 555)
    assert [(acked, delays) for _, acked, delays, _ in server.window.acks] == [(7162, [555])]
    assert server.window.acks[0][3] == pytest.approx(0.03)
    assert server.upload.flight == 0
    assert server.upload.deadline() is None


@pytest.mark.parametrize(
    ("wire", "sample"),
    [
        (0, 0),
        (100, 100),
        (MODULUS - 1, -1),
        (MODULUS - 10**12, -(10**12)),
        ((1 << 63) - 1, (1 << 63) - 1),
        (1 << 63, -(1 << 63)),
    ],
)
def test_delays_are_read_modulo_2_to_the_64(server, wire, sample):
    """the clocks of two peers differ, so that the difference may be negative."""
    server.upload.request(0, 1)
    server.send()
    server.ack(0, 1, wire)
    assert server.window.acks[0][2] == [sample]


def test_several_samples_of_a_datagram_go_to_the_controller_in_order(server):
    server.upload.request(0, 7)
    server.send()
    server.upload.peer_has(0, 7)
    server.upload.end_datagram([30, 10, 20], server.now)
    assert server.window.acks[0][2] == [30, 10, 20]


def test_an_ack_for_what_was_never_sent_says_nothing_to_the_controller(server):
    """Section 12.6.4, ACK.1: "detect inconsistencies with the data it sent"."""
    server.ack(0, 2**32)
    assert server.window.acks == []
    assert server.upload.flight == 0


def test_an_ack_counts_once(server):
    server.upload.request(0, 2)
    server.send()
    server.ack(0, 2)
    server.ack(0, 2)
    server.upload.peer_has(0, 2)
    server.upload.end_datagram([5], server.now)
    assert sum(acked for _, acked, _, _ in server.window.acks) == 2048
    assert server.upload.flight == 0


def test_no_round_trip_is_measured_on_what_was_sent_twice(lab, seven):
    """Karn: the port asks for rtt=None where it is ambiguous."""
    server = Server(lab, seven)
    server.upload.request(0, 1)
    server.send()
    server.tick()  # the congestion timeout: no round trip is known, so no probe
    assert server.window.timeouts
    assert server.chunks() == [0]
    server.now += 0.02
    server.ack(0, 1)
    assert server.window.acks[-1][3] is None


def test_a_chunk_overtaken_by_much_later_ones_is_sent_again(lab):
    """Retransmission after loss: no sequence numbers, so by the chunk (requirements 1.10)."""
    server = Server(lab, lab.Publication(lab.pattern(200 * 1024)), cwnd=20 * 1024)
    server.upload.request(0, 200)
    assert server.chunks()[0] == 0
    for step in range(1, 60):
        server.now += 0.02
        server.ack(step * 4 - 3, step * 4 + 1)  # everything but chunk 0
        if 0 in (sent := server.chunks()):
            assert sent[0] == 0  # first of all
            break
    else:
        pytest.fail("chunk 0 was not sent again")
    assert step < 10
    assert server.window.losses
    assert server.upload.chunks_lost == 1


def test_what_left_before_the_window_was_halved_is_of_the_same_loss_event(lab):
    """As in NewReno (RFC 6582), which RFC 6817 section 3.2.2 follows: it shows late, and halves nothing more."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    events = []

    def on_loss(*, lost, will_retransmit, now):
        if now not in events:
            server.window.cwnd //= 2
        events.append(now)

    server.window.on_loss = on_loss
    server.upload.request(0, 64)
    for server.now in (10.0, 10.01, 10.02):
        server.upload.datagrams(CHANNEL, 0, 10, server.now)
    server.now = 10.04
    server.ack(10, 11)  # the first ten were overtaken
    server.now = 10.08
    server.ack(29, 30)  # and those behind chunk 10, a round trip later
    assert events == [10.04, 10.04]
    server.send()
    while not server.window.timeouts:
        server.tick()
    assert events == [10.04, 10.04, server.now]  # what was sent after that is of another event


def test_a_peer_that_had_no_time_makes_nothing_look_lost(lab):
    """The probe repeats what was sent last (RFC 8985 section 7.3); ACKs that were only late come before its own."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)), cwnd=8 * 1024)
    server.upload.request(0, 9)
    server.chunks()
    server.now += 0.004
    server.ack(0, 1)  # a round trip of 4 ms
    server.chunks()
    server.now = server.upload.deadline()
    server.tick()
    assert server.chunks() == [8]
    server.now += 0.01
    server.ack(1, 5)
    server.ack(5, 9)
    assert not server.window.losses


def test_reordering_within_a_burst_is_no_loss(lab):
    """The chunks of a burst carry one time; the last of them may come first."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    server.upload.request(0, 64)
    server.send()
    server.now += 0.02
    for chunk in range(63, -1, -1):
        server.ack(chunk, chunk + 1)
        server.now += 0.0001
    assert server.window.losses == []
    assert server.upload.chunks_lost == 0


def test_what_was_lost_goes_with_all_the_hashes_that_the_peer_surely_lacks(lab):
    """Section 5.3: hashes of unacknowledged datagrams may be skipped; not those of lost ones."""
    publication = lab.Publication(lab.pattern(64 * 1024))
    server = Server(lab, publication)
    server.ack(0, 1)
    server.upload.request(1, 64)
    server.send()  # all lost
    while not server.window.timeouts:
        server.tick()
    receiver = Receiver(
        publication, knows=[*publication.peaks(), *publication.uncles(0), (0, 0, publication.node(0, 0))]
    )
    datagrams = server.send()
    assert datagrams
    assert all(receiver.take(messages) for messages in datagrams)


def test_hashes_that_went_with_a_lost_chunk_go_with_the_next_one_below_them(lab):
    """Section 5.3: what was skipped because it was on its way is not skipped any more once that is lost."""
    publication = lab.Publication(lab.pattern(64 * 1024))
    server = Server(lab, publication)
    receiver = Receiver(publication, knows=publication.peaks())
    server.upload.request(63, 64)
    assert all(receiver.take(messages) for messages in server.send())
    server.now += 0.02
    server.ack(63, 64)
    server.upload.request(0, 1)
    server.send()  # is lost, and not wanted any more
    server.upload.cancel(0, 1)
    server.now += 0.02
    server.upload.request(40, 41)
    assert all(receiver.take(messages) for messages in server.send())
    server.now += 0.02
    server.ack(40, 41)
    assert server.upload.chunks_lost == 1
    server.upload.request(1, 3)
    datagrams = server.send()
    assert len(datagrams) == 2
    assert all(receiver.take(messages) for messages in datagrams)


def test_the_tail_is_probed_before_the_congestion_timeout(server):
    """The last chunk of a burst has nothing behind it that would show its loss."""
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    assert server.window.timeouts == []
    assert server.now < 10.5
    assert server.chunks() == [6]
    server.now += 0.02
    server.ack(6, 7)
    assert server.upload.flight == 0
    assert server.upload.deadline() is None


def test_the_tail_is_probed_more_and_more_rarely(lab, seven):
    server = Server(lab, seven, cto=100.0)
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    at = [server.now]
    while not server.window.timeouts:
        server.tick()
        at.append(server.now)
        server.chunks()
    gaps = [after - before for before, after in pairwise(at)]
    assert gaps[:5] == pytest.approx([0.04 * 2**n for n in range(5)])
    assert len(gaps) == 6  # then the congestion timeout is waited for


def test_a_probe_that_is_acknowledged_before_it_leaves_is_not_sent(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    server.ack(6, 7)
    assert server.chunks() == []
    assert server.upload.flight == 0


def test_the_tail_is_not_probed_with_what_is_not_wanted_any_more(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 5)
    last = list(server.upload._in_flight)[-1]
    server.upload.cancel(last, last + 1)
    server.tick()
    assert server.window.timeouts == []
    assert server.chunks() == [11 - last]  # of the chunks 5 and 6 the other one


def test_a_congestion_timeout_sends_everything_again(server):
    server.upload.request(0, 7)
    server.send()
    while not server.window.timeouts:
        server.tick()
    assert server.upload.flight == 0
    assert sorted(server.chunks()) == list(range(7))


def test_a_peer_that_is_silent_for_long_is_sent_nothing_more(server):
    """It will ask again if it lives."""
    server.upload.request(0, 7)
    for _ in range(200):
        server.send()
        if server.upload.deadline() is None:
            break
        server.tick()
    assert not server.upload.ready
    assert server.upload.deadline() is None
    assert server.upload.flight == 0
    server.upload.request(0, 1)
    assert server.chunks() == [0]


def test_a_cancelled_chunk_is_not_sent_again_when_it_is_lost(server):
    """Section 3.8: the peer no longer wants it."""
    server.upload.request(0, 1)
    server.send()
    server.upload.cancel(0, 1)
    while server.upload.deadline() is not None:
        server.tick()
        assert server.chunks() == []
    assert server.upload.flight == 0


def test_a_cancelled_chunk_that_is_asked_for_again_is_sent_again_when_it_is_lost(server):
    server.upload.request(0, 1)
    server.send()
    server.upload.cancel(0, 1)
    server.upload.request(0, 1)
    sent = server.chunks()
    while server.upload.deadline() is not None and not sent:
        server.tick()
        sent = server.chunks()
    assert sent == [0]


def test_one_of_many_cancelled_chunks_that_is_asked_for_again_is_sent_again_when_it_is_lost(server):
    server.upload.request(0, 7)
    server.send()
    server.upload.cancel(0, 7)
    server.upload.request(3, 4)
    assert server.chunks() == []
    while not server.window.timeouts:
        server.tick()
    assert server.chunks() == [3]


def test_cancels_without_end_cost_neither_memory_nor_a_look_at_all_that_is_on_its_way(lab):
    """Section 12.6.7: a datagram has room for hundreds of them, and thousands of chunks may be in flight."""
    server = Server(lab, lab.Publication(lab.pattern(4000 * 16), chunk_size=16))
    server.upload.request(0, 4000)
    server.send()
    looks = []

    class Watched(dict):
        def __iter__(self):
            looks.append(1)
            return super().__iter__()

    server.upload._in_flight = Watched(server.upload._in_flight)
    for start in range(0, 20_000, 2):
        server.upload.cancel(start, start + 1)
    for _ in range(1000):
        server.upload.cancel(0, 2**32)
    server.upload.request(2000, 4000)
    assert looks == []
    assert server.upload._cancelled.range_count <= _limits.MAX_REQUEST_RANGES
    server.upload._in_flight = dict(server.upload._in_flight)
    while not server.window.timeouts:
        server.tick()
    assert sorted(server.chunks(5000)) == list(range(2000, 4000))


def test_a_peer_that_answers_now_and_then_is_not_given_up(server):
    """Only timeouts in a row, without any acknowledgement between them, make its requests be forgotten."""
    server.upload.request(0, 7)
    for acked in range(5):
        for _ in range(4):
            server.send()
            timeouts = len(server.window.timeouts)
            while len(server.window.timeouts) == timeouts:
                server.tick()
        server.send()
        server.ack(acked, acked + 1)
    assert len(server.window.timeouts) == 20
    server.tick()
    assert 6 in server.upload._in_flight or server.upload.ready


def test_a_repetition_acknowledged_sooner_than_can_be_does_not_make_others_look_lost(lab):
    """RFC 8985 section 6.2: that ACK is of the first time that the chunk was sent."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)))
    server.upload.request(0, 1)
    server.send()
    server.now += 0.1
    server.ack(0, 1)  # a round trip of 100 ms
    server.upload.request(1, 9)
    server.send()
    server.tick()
    assert server.chunks() == [8]  # the probe, while everything is on its way
    server.now += 0.01
    server.ack(8, 9)
    assert not server.window.losses


def test_a_chunk_asked_for_again_after_its_acknowledgement_goes_with_all_its_hashes(lab):
    """Section 5.3: what the sender believes necessary. Who asks for what it had has lost it, and its hashes with it."""
    publication = lab.Publication(lab.pattern(64 * 1024))
    server = Server(lab, publication)
    server.upload.request(0, 64)
    server.send()
    server.ack(0, 64)
    receiver = Receiver(publication)
    server.upload.request(20, 23)
    datagrams = server.send()
    assert len(datagrams) == 3
    assert all(receiver.take(messages) for messages in datagrams)


def test_a_late_ack_of_what_was_taken_for_lost_stops_its_retransmission(server):
    server.upload.request(0, 7)
    server.send()
    while not server.window.timeouts:
        server.tick()
    server.ack(0, 7)
    assert server.chunks() == []
    assert server.upload.flight == 0


def test_only_so_many_datagrams_leave_at_once(lab):
    """A burst of 64 at the most, and no more than the caller lets go."""
    server = Server(lab, lab.Publication(lab.pattern(500 * 1024)))
    server.upload.request(0, 500)
    server.upload.datagrams(CHANNEL, 0, 1000, server.now)
    assert server.upload.chunks_sent == _limits.BURST_CHUNKS
    server.upload.datagrams(CHANNEL, 0, 5, server.now)
    assert server.upload.chunks_sent == _limits.BURST_CHUNKS + 5


def test_datagrams_of_equal_size_stand_together(lab):
    """The driver hands a run to the kernel in one call: few runs in a burst."""
    server = Server(lab, lab.Publication(lab.pattern(64 * 1024)), content_size=64 * 1024)
    server.upload.request(0, 64)
    sizes = [len(octets) for octets in server.raw()]
    runs = 1 + sum(1 for before, after in pairwise(sizes) if before != after)
    assert runs <= 8
    assert sizes == sorted(sizes, reverse=True)


def test_wire_overhead_of_a_download_in_order_is_small(lab):
    """Requirements 6.3: at most 7.5 % with SHA-256; DATA and INTEGRITY here."""
    publication = lab.Publication(lab.pattern(2048 * 1024))
    server = Server(lab, publication, cwnd=64 * 1024)
    octets = at = 0
    while at < 2048:
        server.upload.request(at, at + 64)
        octets += sum(len(datagram) for datagram in server.raw())
        server.now += 0.01
        server.ack(at, at + 64)
        at += 64
    assert octets / len(publication.content) < 1.075


def test_requests_and_cancels_in_fragments_stay_within_the_limit(lab):
    """Section 12.6.6, REQUEST.1: what a peer can make us hold has a bound."""
    server = Server(lab, lab.Publication(lab.pattern(30_000 * 16), chunk_size=16), cwnd=16)
    for _ in range(2):
        server.upload.request(0, 30_000)
        for chunk in range(0, 30_000, 2):
            server.upload.cancel(chunk, chunk + 1)
    server.upload.request(0, 30_000)
    assert len(server.upload._queue) <= _limits.MAX_REQUEST_RANGES
    assert server.upload._wanted.range_count <= _limits.MAX_REQUEST_RANGES


def test_single_requests_without_end_stay_within_the_limit(lab):
    server = Server(lab, lab.Publication(lab.pattern(30_000 * 16), chunk_size=16), cwnd=16)
    for chunk in range(0, 30_000, 2):
        server.upload.request(chunk, chunk + 1)
    assert len(server.upload._queue) <= _limits.MAX_REQUEST_RANGES
    assert server.upload._wanted.range_count <= _limits.MAX_REQUEST_RANGES


def test_a_store_that_fails_is_the_callers_affair(server):
    server.upload.request(0, 7)
    server.store.fail_reads = True
    with pytest.raises(OSError, match="disk"):
        server.upload.datagrams(CHANNEL, 0, 100, server.now)
    server.upload.forget()
    assert not server.upload.ready


def test_a_store_that_fails_while_probing_leaves_the_flight_right(server):
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 6)
    server.tick()
    server.store.fail_reads = True
    with pytest.raises(OSError, match="disk"):
        server.upload.datagrams(CHANNEL, 0, 100, server.now)
    server.store.fail_reads = False
    server.upload.forget()
    for _ in range(50):
        if server.upload.deadline() is None:
            break
        server.tick()
        server.upload.forget()
    assert server.upload.flight == 0


def test_early_late_and_repeated_timers_do_no_harm(server):
    server.upload.handle_timer(server.now)
    server.upload.request(0, 7)
    server.send()
    for _ in range(5):
        server.upload.handle_timer(server.now)
    assert server.window.timeouts == []
    server.now += 500
    server.upload.handle_timer(server.now)
    server.upload.handle_timer(server.now)
    assert len(server.window.timeouts) == 1


def test_starting_over_forgets_what_was_asked_for_and_what_is_on_its_way(server):
    """Section 8.2: the peer was started anew, and knows nothing of it."""
    server.upload.request(0, 5)
    server.send()
    server.upload.request(5, 7)
    server.upload.start_over(server.now)
    assert server.chunks() == []
    assert server.upload.flight == server.window.flight == 0


def test_forgetting_drops_every_request(server):
    server.upload.request(0, 7)
    server.upload.forget()
    assert not server.upload.ready


def test_a_clock_that_goes_back_a_little_does_no_harm(server):
    server.upload.request(0, 7)
    server.send()
    server.now -= 0.5
    server.ack(0, 3)
    assert all(rtt is None or rtt >= 0 for _, _, _, rtt in server.window.acks)
    server.upload.handle_timer(server.now)
    server.ack(3, 7)
    assert server.upload.flight == 0


def test_a_clock_below_zero_makes_nothing_lost(server):
    """`now` is float seconds on any monotonic clock."""
    server.now = -100.0
    server.upload.request(0, 7)
    server.send()
    server.now += 0.02
    server.ack(0, 1)
    assert server.window.losses == []


def test_a_request_says_in_how_many_pieces_it_is_held_and_looks_at_no_more_than_it_may(server):
    server.content.have.remove(2, 3)
    server.content.have.remove(4, 5)
    assert server.upload.request(0, 7) == 3
    assert server.upload.request(0, 7) == 3  # also where nothing is new
    assert server.upload.request(0, 7, 2) == 2
    assert server.upload.request(0, 7, 0) == 0
