"""The three-way handshake of section 3.1.1, step by step, on a whole endpoint; and the example of section 8.16."""

import random

import pytest
from ppsp_first_octets import first_octets

from ppsp import Endpoint, MerkleHashFunction
from ppsp.codec import channel_of, decode_handshake
from ppsp.events import DatagramDropped, PeerConnected, PeerDisconnected
from ppsp.messages import Choke, Data, Handshake, Have, Integrity, Request


@pytest.fixture
def bench(lab, seven):
    """A seeder of the RFC's seven chunks."""
    bench = lab.Bench()
    bench.seed(seven)
    return bench


@pytest.fixture
def peer(lab, bench, seven):
    """A peer that has not said anything yet."""
    return lab.HandPeer(bench, seven)


@pytest.fixture
def leecher(lab, seven):
    """An endpoint that will open the channel itself."""
    bench = lab.Bench()
    bench.leech(seven)
    return bench


# Step 1: the first datagram


def test_the_first_datagram_starts_with_channel_0_and_a_handshake(lab, leecher, seven):
    """Step 1 MUST, 8.4 MUST: an all-zeros destination channel ID, then the HANDSHAKE."""
    peer = lab.HandPeer(leecher, seven)
    leecher.endpoint.connect(seven.root, peer.address, leecher.now)
    leecher.flush()
    (octets,) = peer.raw()
    assert octets[:5] == bytes(5)


def test_the_first_datagram_has_nothing_heavy_in_it(lab, bench, seven):
    """Step 1 MUST NOT; a seeder that connects, and that has much to say."""
    peer = lab.HandPeer(bench, seven)
    bench.endpoint.connect(seven.root, peer.address, bench.now)
    bench.flush()
    (messages,) = peer.datagrams()
    assert [type(message) for message in messages] == [Handshake]


def test_the_first_handshake_has_the_metadata_and_the_swarm_id(lab, leecher, seven):
    """Step 1 MUST, sections 7.2 to 7.11: octets by hand, but for the channel ID."""
    peer = lab.HandPeer(leecher, seven)
    leecher.endpoint.connect(seven.root, peer.address, leecher.now)
    leecher.flush()
    (octets,) = peer.raw()
    assert octets[9:] == bytes.fromhex("0001 0101 020020" + seven.root.hex() + "0301 0402 0602 0802f8f0 0900000400 ff")


def test_channel_ids_are_random_and_not_zero(lab, seven):
    """Sections 3.11, 8.3 (RFC 4960 5.1.3), 12.1: from the random source, all 32 bits, never 0."""
    draws = iter([bytes(4), b"\x12\x34\x56\x78", b"\x12\x34\x56\x78", b"\xff\xff\xff\xff"])

    def random_bytes(size):
        return b"seed"[:size] if not bench_ready else next(draws)

    bench_ready = False
    bench = lab.Bench(random_bytes=random_bytes)
    bench.leech(seven)
    bench_ready = True
    one, two = lab.HandPeer(bench, seven, host=1), lab.HandPeer(bench, seven, host=2)
    assert one.invite().source_channel == 0x12345678  # the zero was thrown away
    assert two.invite().source_channel == 0xFFFFFFFF  # and so was the one in use: "a locally unused channel ID"


def test_channel_ids_come_from_a_cryptographic_source_unless_told_otherwise(lab, seven):
    """Section 12.1: two endpoints alike, no two IDs alike."""
    ids = set()
    for _ in range(3):
        endpoint = Endpoint(controller=lab.fixed_window())
        endpoint.add_swarm(seven.metadata(), store=lab.Store())
        for host in range(30):
            endpoint.connect(seven.root, ("192.0.2.1", host), 0.0)
        for datagram, _ in endpoint.datagrams_to_send(0.0):
            ids.add(decode_handshake(lab.joined(datagram))[0].source_channel)
    assert len(ids) == 90
    assert max(ids) > 2**31  # the chance of a false alarm is 2**-90


# Step 2: the check, and the answer


def test_a_good_handshake_is_answered_to_the_channel_of_the_initiator(bench, peer, seven):
    """Step 2 MUST: prefixed with chanP, starts with a HANDSHAKE, has a channel ID of its own, the metadata."""
    bench.receive(first_octets(peer, seven.root), peer.address)
    (octets,) = peer.raw()
    assert channel_of(octets) == peer.channel
    handshake, _ = decode_handshake(octets)
    assert handshake.source_channel not in (0, peer.channel)
    options = handshake.options
    assert (options.version, options.content_integrity, options.merkle_hash_function) == (1, 1, 2)
    assert (options.chunk_addressing, options.chunk_size) == (2, 1024)


def test_the_answer_says_what_we_have(peer, bench):
    """Step 2 MAY: HAVE messages, as in section 8.16."""
    peer.hello()
    assert peer.take()[1:] == [Have(0, 6)]


def test_the_answer_has_nothing_heavy_in_it_even_when_asked(peer, bench):
    """Step 2 MUST NOT: a REQUEST behind the first HANDSHAKE is not served yet."""
    peer.hello(Request(0, 6))
    bench.advance(5.0)
    messages = peer.take()
    assert not [message for message in messages if isinstance(message, Data | Integrity)]


WRONG = {
    "another swarm": {"swarm_id": bytes(32)},
    "a short swarm ID": {"swarm_id": b"\x11"},
    "an empty swarm ID": {"swarm_id": b""},
    "no swarm ID": {"swarm_id": None},
    "no version": {"version": None},
    "version 0": {"version": 0},
    "no minimum version": {"minimum_version": None},
    "a minimum version above ours": {"version": 2, "minimum_version": 2},
    "no content integrity protection method": {"content_integrity": None},
    "another content integrity protection method": {"content_integrity": 0},
    "another hash function": {"merkle_hash_function": 0},
    "no addressing method": {"chunk_addressing": None},
    "another addressing method": {"chunk_addressing": 4},
    "an unassigned addressing method": {"chunk_addressing": 9},
    "another chunk size": {"chunk_size": 2048},
    "variable chunks": {"chunk_size": 0xFFFFFFFF},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_handshake_that_fails_a_check_gets_no_answer_and_no_channel(bench, peer, change):
    """Step 2: "MUST NOT send a HANDSHAKE (or any other) message back"; 12.1.2: no state."""
    peer.hello(**change)
    assert peer.raw() == []
    assert bench.channels == 0
    assert len(bench.events(DatagramDropped)) == 1
    bench.advance(100.0)
    assert peer.raw() == []


RAW = {
    "nothing": "",
    "one octet": "00",
    "three octets": "000000",
    "a keep-alive to channel 0": "00000000",
    "a type only": "00000000 00",
    "no options": "00000000 00 01020304",
    "no end option": "00000000 00 01020304 0001 0101",
    "not a HANDSHAKE": "00000000 03 00000000 00000001",
    "a REQUEST": "00000000 08 00000000 00000001",
    "a PEX_REQ": "00000000 06",
    "an unknown type": "00000000 63 01020304",
    "a close": "00000000 00 00000000 ff",
    "a close without end option": "00000000 00 00000000",
    "a close with a version": "00000000 00 00000000 0001 ff",
    "a channel that is not there": "0a0b0c0d",
    "a HANDSHAKE to a channel that is not there": "0a0b0c0d 00 01020304 0001 ff",
    "a DATA to a channel that is not there": "0a0b0c0d 01 0000000000000000 0000000000000000 41",
    "a source channel 0 with every option": "00000000 00 00000000 0001 0101 020020 SWARM 0301 0402 0602 0900000400 ff",
    "unsorted options": "00000000 00 01020304 0101 0001 020020 SWARM 0301 0402 0602 0900000400 ff",
    "the version twice": "00000000 00 01020304 0001 0001 0101 020020 SWARM 0301 0402 0602 0900000400 ff",
    "the swarm ID twice": "00000000 00 01020304 0001 0101 020020 SWARM 020020 SWARM 0301 0402 0602 0900000400 ff",
    "an unknown option": "00000000 00 01020304 0001 0101 020020 SWARM 0301 0402 0602 0900000400 0a01 ff",
    "a swarm ID beyond the end": "00000000 00 01020304 0001 0101 02ffff SWARM",
    "a bitmap of 33 octets": "00000000 00 01020304 0001 0101 020020 SWARM 0301 0402 0602 0821" + "ff" * 33 + "ff",
}


@pytest.mark.parametrize("octets", RAW.values(), ids=RAW.keys())
def test_octets_that_are_no_good_handshake_get_no_answer_and_no_channel(bench, peer, seven, octets):
    """Step 2; sections 7, 7.1 (sorted, concluded: MUST), 8.4."""
    bench.receive(bytes.fromhex(octets.replace("SWARM", seven.root.hex())), peer.address)
    assert peer.raw() == []
    assert bench.channels == 0
    assert len(bench.events(DatagramDropped)) == 1


def test_every_truncation_of_a_good_handshake_gets_no_answer(bench, peer, seven):
    whole = first_octets(peer, seven.root)
    for length in range(len(whole)):
        bench.receive(whole[:length], peer.address)
    assert peer.raw() == []
    assert bench.channels == 0
    bench.receive(whole, peer.address)
    assert len(peer.raw()) == 1


@pytest.mark.parametrize("missing", ["chunk_size", "merkle_hash_function"])
def test_a_lenient_endpoint_takes_what_an_older_peer_leaves_out_from_the_metadata(bench, peer, missing):
    """Options 9 and 4 ."""
    peer.hello(**{missing: None})
    assert isinstance(peer.take()[0], Handshake)


@pytest.mark.parametrize("missing", ["chunk_size", "merkle_hash_function"])
def test_a_strict_endpoint_refuses_what_the_rfc_makes_mandatory(lab, seven, missing):
    """Sections 7.6 and 7.11 MUST."""
    bench = lab.Bench(strict=True)
    bench.seed(seven)
    peer = lab.HandPeer(bench, seven)
    peer.hello(**{missing: None})
    assert peer.raw() == []
    assert bench.channels == 0


def test_an_older_peer_is_answered_without_the_options_that_it_does_not_know(bench, peer):
    """libswift drops a HANDSHAKE with option 9 ."""
    peer.hello(chunk_size=None)
    options = peer.take()[0].options
    assert options.chunk_size is None
    assert options.supported_messages is None


def test_a_newer_peer_that_speaks_version_1_is_answered_with_version_1(bench, peer):
    """Sections 7.2 and 7.3: RFC 6709 4.1, strategy 5."""
    peer.hello(version=7, minimum_version=1)
    assert peer.take()[0].options.version == 1


def test_a_swarm_id_in_another_form_of_the_same_endpoint_is_told_apart(lab, bench, seven, peer):
    """Section 3.11: many swarms on one address; each HANDSHAKE finds its own."""
    other = lab.Publication(lab.pattern(3000))
    bench.seed(other)
    stranger = lab.HandPeer(bench, other, host=50, channel=50)
    stranger.hello()
    assert stranger.take()[1:] == [Have(0, 2)]
    peer.hello()
    assert peer.take()[1:] == [Have(0, 6)]


# Repetition (section 8.2)


def test_a_repeated_handshake_opens_no_second_channel(bench, peer):
    """Section 8.2: "it can be recognized as duplicate by the receiver"."""
    answers = []
    for _ in range(5):
        peer.hello()
        answers += peer.take(Handshake)
        bench.advance(0.5)
    assert len({answer.source_channel for answer in answers}) == 1
    assert len(answers) == 5  # the answer may have been lost each time
    assert bench.channels == 1


def test_a_handshake_repeated_after_the_third_datagram_changes_nothing(bench, peer):
    peer.open(Request(0, 0))
    peer.take()
    peer.hello()
    answer = peer.take(Handshake)
    assert bench.channels == 1
    assert all(handshake.source_channel == peer.remote for handshake in answer)
    assert len(bench.events(PeerConnected)) == 1


def test_the_same_channel_id_from_another_address_is_another_peer(lab, bench, seven, peer):
    """An ID is local to the peer (section 3.11)."""
    other = lab.HandPeer(bench, seven, host=77)
    peer.open()
    other.open()
    assert other.remote != peer.remote
    assert bench.channels == 2


def test_a_peer_that_starts_anew_gets_a_new_channel_and_loses_the_old_one(lab, bench, seven, peer):
    """It crashed and came back from the same address."""
    peer.open()
    peer.raw()
    again = lab.HandPeer(bench, seven, channel=0x0A0A0A0A)
    again.open(Request(0, 0))
    assert bench.channels == 1
    assert [data.start for data in again.take(Data)] == [0]
    assert [type(event) for event in bench.events()] == [PeerConnected, PeerDisconnected, PeerConnected]


# Step 3: only what is prefixed with our channel ID


@pytest.mark.parametrize("wrong", [1, 0x01020305, 0xFFFFFFFF])
def test_a_reply_to_another_channel_is_discarded_and_the_right_one_still_counts(lab, leecher, seven, wrong):
    """Step 3: MUST discard, SHOULD continue to process datagrams that meet the requirement."""
    peer = lab.HandPeer(leecher, seven)
    mine = peer.invite().source_channel
    peer.remote = wrong
    peer.reply()
    assert leecher.events(PeerConnected) == []
    peer.remote = mine
    peer.reply()
    assert len(leecher.events(PeerConnected)) == 1


def test_a_reply_from_another_address_is_discarded(lab, leecher, seven):
    """Our own check on top of the RFC's: whoever saw the ID still has to be where we called."""
    peer = lab.HandPeer(leecher, seven)
    peer.invite()
    stranger = lab.HandPeer(leecher, seven, host=66)
    stranger.remote = peer.remote
    stranger.reply()
    assert leecher.events(PeerConnected) == []
    assert stranger.raw() == []
    peer.reply()
    assert len(leecher.events(PeerConnected)) == 1


@pytest.mark.parametrize("message", [Have(0, 6), Request(0, 0), Choke()])
def test_messages_before_the_reply_are_discarded(lab, leecher, seven, message):
    """The network reordered; steps 3 and 4: first the HANDSHAKE is checked."""
    peer = lab.HandPeer(leecher, seven)
    peer.invite()
    peer.send(message)
    assert leecher.events(PeerConnected) == []
    peer.reply(peer.have_all())
    assert peer.take(Request)


# Step 6: the initiator goes on


def test_the_third_datagram_goes_to_the_channel_of_the_responder(lab, leecher, seven):
    """Step 6 MUST: prefixed with chanQ; the REQUEST may be in it already."""
    peer = lab.HandPeer(leecher, seven, channel=0x0C0FFEE0)
    peer.accept(peer.have_all())
    octets = peer.raw()
    assert all(channel_of(each) == 0x0C0FFEE0 for each in octets)
    messages, _ = peer.codec.decode(octets[0])
    assert any(isinstance(message, Request) for message in messages)


def test_the_third_datagram_may_be_heavy(lab, bench, seven):
    """Step 6 MAY: the initiator knows that the responder really responds."""
    peer = lab.HandPeer(bench, seven)
    peer.accept(Request(0, 0))
    assert [data.start for data in peer.take(Data)] == [0]


# Step 7: the responder goes on


def test_nothing_heavy_leaves_before_a_datagram_with_our_channel_id_came(lab, bench, seven, peer):
    """Step 7: only then "MAY now also start sending messages with heavy payload"; 12.1.1."""
    peer.hello(Request(0, 6))
    remote = peer.take()[0].source_channel
    for wrong in (0x01010101, remote ^ 1):
        peer.send(Request(0, 6), to=wrong)
    bench.advance(3.0)
    assert not peer.take(Data)
    peer.send(to=remote)
    assert sorted(data.start for data in peer.take(Data)) == list(range(7))


def test_a_datagram_from_another_address_does_not_complete_the_handshake(lab, bench, seven, peer):
    peer.hello(Request(0, 6))
    remote = peer.take()[0].source_channel
    stranger = lab.HandPeer(bench, seven, host=66)
    stranger.send(Request(0, 6), to=remote)
    assert stranger.raw() == []
    assert peer.raw() == []
    assert bench.events(PeerConnected) == []


def test_a_keep_alive_completes_the_handshake(bench, peer):
    """Step 7: "any datagram"."""
    peer.open()
    assert bench.events(PeerConnected) == [PeerConnected(peer.publication.root, peer.address)]


def test_even_junk_with_our_channel_id_completes_the_handshake(bench, peer):
    """Step 7: the ID alone proves that our answer arrived."""
    peer.hello()
    peer.remote = peer.take()[0].source_channel
    peer.send_raw(b"\xfe\xfe")
    assert len(bench.events(PeerConnected)) == 1


def test_a_refusal_of_our_answer_is_no_connection(bench, peer):
    """Step 4: the initiator found something wrong and closes; there never was a channel."""
    peer.hello()
    peer.remote = peer.take()[0].source_channel
    peer.send(Handshake(0))
    assert bench.channels == 0
    assert bench.events(PeerConnected, PeerDisconnected) == []


# Step 8: closing


def test_leaving_a_swarm_closes_its_channels(bench, peer):
    """Step 8 SHOULD, 8.4 MUST: all-zeros channel ID, an empty list; the example of section 8.16 has the end option."""
    peer.open()
    peer.take()
    bench.endpoint.remove_swarm(peer.publication.root, bench.now)
    bench.flush()
    assert peer.raw() == [peer.channel.to_bytes(4, "big") + bytes.fromhex("00 00000000 ff")]
    assert bench.channels == 0


def test_a_closed_channel_is_not_answered_any_more(bench, peer):
    peer.open()
    peer.take()
    peer.send(Handshake(0))
    peer.send(Request(0, 6))
    assert peer.raw() == []


def test_a_close_is_not_answered_with_a_close(bench, peer):
    """Two peers that close at once must not go on for ever."""
    peer.open()
    peer.take()
    peer.send(Handshake(0))
    bench.advance(1.0)
    assert peer.raw() == []


def test_the_close_of_an_unknown_channel_is_ignored(bench, peer):
    """libswift sends closes to channel 0."""
    bench.receive(bytes.fromhex("00000000 00 00000000 ff"), peer.address)
    bench.receive(bytes.fromhex("deadbeef 00 00000000 ff"), peer.address)
    assert peer.raw() == []
    assert bench.channels == 0


def test_the_seeder_serves_the_octets_of_the_rfcs_example(lab):
    """Section 8.16 with a hand peer that sends the printed octets (the hash is SHA-1, option 4 says so here)."""
    publication = lab.Publication(b"Hello world!\n", hash_function=MerkleHashFunction.SHA1)
    bench = lab.Bench(random_bytes=random.Random(3).randbytes)
    bench.seed(publication, content_size=13)
    address = ("192.0.2.7", 6778)
    hello = "00000000 00 00000001 0001 0101 020014" + publication.root.hex() + "0301 0400 0602 0900000400 ff"
    bench.receive(bytes.fromhex(hello), address)
    answer = bench.mail[address].popleft()
    assert answer[:5] == bytes.fromhex("00000001 00")
    channel = answer[5:9]
    assert answer[9:] == bytes.fromhex("0001 0301 0400 0602 0802f8f0 0900000400 ff 03 0000000000000000")
    bench.receive(channel + bytes.fromhex("08 0000000000000000 06"), address)
    data = bench.mail[address].pop()
    timestamp = int(bench.now * 1e6).to_bytes(8, "big")
    assert data == bytes.fromhex("00000001 01 0000000000000000") + timestamp + b"Hello world!\n"
    bench.receive(channel + bytes.fromhex("02 0000000000000000 0000000000000064 03 0000000000000000"), address)
    bench.receive(channel + bytes.fromhex("00 00000000 ff"), address)
    assert bench.channels == 0
    (window,) = bench.windows.made
    assert window.acks[0][1:3] == (13, [100])  # the unit is microseconds


def test_a_leecher_speaks_the_rfcs_example(lab):
    """Section 8.16 from the other side: content length in the metadata, DATA without INTEGRITY."""
    publication = lab.Publication(b"Hello world!\n", hash_function=MerkleHashFunction.SHA1)
    bench = lab.Bench(epoch=1_381_000_000.0)
    store = bench.leech(publication, content_size=13)
    peer = lab.HandPeer(bench, publication, channel=8)
    first = peer.invite()
    mine = first.source_channel.to_bytes(4, "big")
    bench.mail.clear()
    reply = "00 00000008 0001 0301 0400 0602 0900000400 ff 03 0000000000000000"
    bench.receive(mine + bytes.fromhex(reply), peer.address)
    third = peer.raw()
    assert third == [bytes.fromhex("00000008 08 0000000000000000")]
    bench.receive(mine + bytes.fromhex("01 0000000000000000 0004e94180b7db44 48656c6c6f20776f726c64210a"), peer.address)
    assert bytes(store.octets) == b"Hello world!\n"
    answer = b"".join(peer.raw())
    sample = (int((bench.now + 1_381_000_000.0) * 1e6) - 0x0004E94180B7DB44) % 2**64
    assert answer[:21] == bytes.fromhex("00000008 02 0000000000000000") + sample.to_bytes(8, "big")
    bench.endpoint.close(bench.now)
    bench.flush()
    assert peer.raw()[-1] == bytes.fromhex("00000008 00 00000000 ff")
