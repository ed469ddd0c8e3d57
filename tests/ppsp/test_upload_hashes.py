"""`ppsp._upload`: the hashes that go with chunks (RFC 7574 sections 5.3 to 5.6)."""

import pytest
from ppsp_upload import Receiver, Server

from ppsp.constants import MerkleHashFunction
from ppsp.messages import Data, Integrity


@pytest.fixture
def server(lab, seven):
    """A server of the RFC's 7 chunks."""
    return Server(lab, seven)


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
