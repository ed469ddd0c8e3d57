"""Peer address exchange (sections 3.10, 8.13 and 12.2) and membership certificates."""

import ipaddress
import random
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP521R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsp import _limits
from ppsp.constants import LiveSignatureAlgorithm, MessageType
from ppsp.errors import MembershipError, StateError
from ppsp.events import DatagramDropped, PeerFound
from ppsp.livekeys import LiveSigner
from ppsp.membership import MembershipIssuer, MembershipVerifier
from ppsp.messages import Have, PexReq, PexResCert, PexResV4, PexResV6
from ppsp.pex import PeerExchange

ADDRESSES = PeerExchange(addresses=True)
ISSUER = MembershipIssuer.generate(random.Random(1).randbytes)
VERIFIER = MembershipVerifier(ISSUER.public_key)
EPOCH = 1_700_000_000.0
PEX = (PexReq, PexResV4, PexResV6, PexResCert)


def node(lab, publication, exchange=ADDRESSES, *, complete=True):
    """An endpoint in the swarm that exchanges addresses in this way."""
    bench = lab.Bench(epoch=EPOCH)
    more = {"tree": publication.tree(), "content_size": len(publication.content)} if complete else {}
    store = lab.Store(publication.content if complete else b"")
    bench.endpoint.add_swarm(publication.metadata(), store=store, exchange=exchange, **more)
    return bench


def at(lab, bench, publication, host, port=6778, *, channel=1):
    """A peer at an address, with its handshake complete."""
    peer = lab.HandPeer(bench, publication, channel=channel)
    peer.address = (host, port) if ":" not in host else (host, port, 0, 0)
    peer.open()
    return peer


def named(peer):
    """The addresses in what the peer was sent since the last call."""
    found = peer.take(PexResV4, PexResV6)
    return {(message.host, message.port) for message in found}


def certificate(host, port=6778, *, root, start=EPOCH + 1000.0, issuer=ISSUER, **more):
    return issuer.issue(root, host, port, start, **more)


@pytest.fixture
def asked(lab, seven):
    """A fetcher at 10.0.0.9 that has asked one peer, at 198.51.100.1, for others."""

    def make(host="198.51.100.1", exchange=ADDRESSES):
        bench = node(lab, seven, exchange, complete=False)
        peer = at(lab, bench, seven, host)
        assert peer.take(PexReq) == [PexReq()]
        bench.events()
        return bench, peer

    return make


# What is asked and answered


def test_without_a_decision_nothing_is_asked_answered_or_announced(lab, seven):
    bench = node(lab, seven, None, complete=False)
    peer, _ = at(lab, bench, seven, "10.0.0.1"), at(lab, bench, seven, "10.0.0.2")
    peer.send(PexReq(), PexResV4(bytes([10, 0, 0, 3]), 5))
    assert peer.take(*PEX) == []
    assert bench.events(PeerFound, DatagramDropped) == []


@pytest.mark.parametrize(
    ("exchange", "kinds"),
    [(ADDRESSES, {5, 6, 12}), (PeerExchange(verifier=VERIFIER), {6, 13}), (None, set())],
)
def test_the_handshake_tells_which_messages_are_taken(lab, seven, exchange, kinds):
    """Section 7.10."""
    bench = node(lab, seven, exchange)
    answer = lab.HandPeer(bench, seven).open()
    assert answer[0].options.supported_messages & {5, 6, 12, 13} == kinds


def test_a_peer_names_the_others_by_both_families(lab, seven):
    bench = node(lab, seven)
    asking = at(lab, bench, seven, "198.51.100.1")
    at(lab, bench, seven, "203.0.113.5", 1234)
    at(lab, bench, seven, "2001:db8::7", 4321)
    at(lab, bench, seven, "::ffff:203.0.113.6", 99)
    asking.send(PexReq())
    assert named(asking) == {("203.0.113.5", 1234), ("2001:db8::7", 4321), ("203.0.113.6", 99)}


@pytest.mark.parametrize(
    ("left_out", "told"), [(MessageType.PEX_RESV4, "2001:db8::7"), (MessageType.PEX_RESV6, "203.0.113.5")]
)
def test_nobody_is_named_in_a_message_that_the_peer_does_not_take(lab, seven, left_out, told):
    """Section 7.10: a peer that takes certificates alone, or one family, says so in its HANDSHAKE."""
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5", 1)
    at(lab, bench, seven, "2001:db8::7", 1)
    asking = lab.HandPeer(bench, seven, channel=7)
    asking.address = ("198.51.100.1", 6778)
    asking.open(supported_messages=frozenset(MessageType) - {left_out})
    asking.send(PexReq())
    assert named(asking) == {(told, 1)}


def test_only_peers_heard_of_in_the_last_minute_are_named(lab, seven):
    """Section 3.10.1."""
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5")
    bench.advance(61.0)
    at(lab, bench, seven, "203.0.113.6")
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == {("203.0.113.6", 6778)}


def test_a_peer_whose_handshake_is_not_complete_is_not_named(lab, seven):
    bench = node(lab, seven)
    half_open = lab.HandPeer(bench, seven, channel=2)
    half_open.hello()
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == set()


@pytest.mark.parametrize(
    ("asker", "told"),
    [
        ("198.51.100.1", {"203.0.113.5", "2001:db8::7"}),
        ("192.168.1.1", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1"}),
        ("fd12::1", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1"}),
        ("127.0.0.9", {"203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1", "127.0.0.1"}),
    ],
)
def test_internal_addresses_are_not_told_outside(lab, seven, asker, told):
    """Section 8.13: "the PEX_RES* messages sent in reply MUST NOT contain such addresses"."""
    bench = node(lab, seven)
    for host in ("203.0.113.5", "2001:db8::7", "10.1.2.3", "fd00::1", "fe80::1", "127.0.0.1"):
        at(lab, bench, seven, host)
    asking = at(lab, bench, seven, asker)
    asking.send(PexReq())
    assert {host for host, _ in named(asking)} == told


@pytest.mark.parametrize("asker", ["64:ff9b::c633:6401", "240.0.0.1", "::198.51.100.1"])
def test_who_asks_from_a_reserved_address_is_outside(lab, seven, asker):
    """Section 8.13. A host that has IPv6 alone sees the IPv4 Internet in 64:ff9b::/96 (RFC 6052)."""
    bench = node(lab, seven, complete=False)
    for host in ("203.0.113.5", "10.1.2.3", "fd00::1", "127.0.0.1"):
        at(lab, bench, seven, host)
    asking = at(lab, bench, seven, asker)
    bench.events()
    asking.send(PexReq(), PexResV4(bytes([10, 0, 0, 5]), 22), PexResV4(bytes([203, 0, 113, 9]), 22))
    assert {host for host, _ in named(asking)} == {"203.0.113.5"}
    assert [event.host for event in bench.events(PeerFound)] == ["203.0.113.9"]


def test_an_answer_is_bounded_and_others_are_named_the_next_time(lab, seven):
    bench = node(lab, seven)
    for number in range(40):
        at(lab, bench, seven, f"203.0.113.{number}", channel=number + 10)
    asking = at(lab, bench, seven, "198.51.100.1")
    seen = set()
    for _ in range(3):
        asking.send(PexReq())
        found = named(asking)
        assert len(found) == _limits.MAX_PEX_ANSWER
        assert not found & seen or len(seen) > 20
        seen |= found
        bench.advance(11.0)
    assert len(seen) == 40


@pytest.mark.parametrize("count", [16, 31, 32])
def test_each_of_two_that_ask_in_turn_is_told_of_everybody(lab, seven, count):
    """However many there are: 32 are two answers' worth, and each of the two would be told of one half for ever."""
    bench = node(lab, seven)
    for number in range(count):
        at(lab, bench, seven, f"203.0.113.{number}", channel=number + 10)
    asking = [at(lab, bench, seven, f"198.51.100.{number}", channel=number) for number in (1, 2)]
    seen = {peer: set() for peer in asking}
    for _ in range(3):
        for peer in asking:
            peer.send(PexReq())
            seen[peer] |= {host for host, _ in named(peer) if host.startswith("203.")}
        bench.advance(11.0)
    assert [len(found) for found in seen.values()] == [count, count]


def test_who_asks_again_and_again_is_answered_now_and_then(lab, seven):
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5")
    asking = at(lab, bench, seven, "198.51.100.1")
    for _ in range(100):
        asking.send(PexReq())
    assert len(asking.take(PexResV4)) == 1


def test_addresses_that_are_no_ip_addresses_are_left_out(lab, seven):
    bench = node(lab, seven)
    other = lab.HandPeer(bench, seven, channel=3)
    other.address = "a name"
    other.open()
    other.send(PexReq())
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert named(asking) == set()
    assert other.take(*PEX) == []


# What is believed


def test_a_named_peer_is_reported_with_who_named_it(asked):
    bench, peer = asked()
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 1234), PexResV6(ipaddress.ip_address("2001:db8::7").packed, 4321))
    found = bench.events(PeerFound)
    assert [(event.host, event.port) for event in found] == [("203.0.113.5", 1234), ("2001:db8::7", 4321)]
    assert {event.source for event in found} == {peer.address}


def test_what_was_not_asked_for_is_ignored(lab, seven):
    """A complete peer asks for nothing."""
    bench = node(lab, seven)
    peer = at(lab, bench, seven, "198.51.100.1")
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 1234))
    assert peer.take(PexReq) == []
    assert bench.events(PeerFound) == []


def test_more_than_an_answer_holds_is_ignored(asked):
    bench, peer = asked()
    for number in range(100):
        peer.send(PexResV4(bytes([203, 0, 113, number]), 1234))
    assert len(bench.events(PeerFound)) == _limits.MAX_PEX_ANSWER


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.168.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"]
)
def test_a_peer_outside_cannot_make_us_knock_at_doors_inside(asked, host):
    bench, peer = asked()
    peer.send(PexResV4(ipaddress.ip_address(host).packed, 80))
    assert bench.events(PeerFound) == []


@pytest.mark.parametrize(("host", "taken"), [("10.0.0.1", True), ("127.0.0.1", False), ("224.0.0.1", False)])
def test_a_peer_inside_may_name_others_inside(asked, host, taken):
    bench, peer = asked("10.9.9.9")
    peer.send(PexResV4(ipaddress.ip_address(host).packed, 80))
    assert bool(bench.events(PeerFound)) is taken


def test_port_0_is_nobodys(asked):
    bench, peer = asked()
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 0))
    assert bench.events(PeerFound) == []


@pytest.mark.parametrize(("others", "seconds"), [(0, 15), (3, 60)], ids=["alone with it", "in company"])
def test_a_peer_is_asked_again_after_a_while_and_not_before(lab, seven, asked, others, seconds):
    """Who has nobody else asks more often: when that peer leaves nobody is left to be asked."""
    bench, peer = asked()
    for number in range(others):
        at(lab, bench, seven, "203.0.113.5", 1000 + number, channel=number + 10)
    for _ in range(seconds // 5 - 1):
        bench.advance(5.0)
        peer.send(Have(0, 0))
    assert peer.take(PexReq) == []
    bench.advance(6.0)
    peer.send(Have(0, 0))
    assert peer.take(PexReq) == [PexReq()]


def test_one_peer_fills_only_a_part_of_the_channels(lab, seven, asked):
    """Section 12.2.3: part of the connections is kept for peers that trackers name."""
    bench, peer = asked()
    root = seven.root

    def connect(number, source):
        return bench.endpoint.connect(root, (f"203.0.{number // 250}.{number % 250}", 1), bench.now, found_by=source)

    assert sum(connect(number, peer.address) for number in range(50)) == _limits.MAX_EXCHANGED_BY_ONE
    more = sum(connect(number, ("198.51.100.9", number)) for number in range(50, 300))
    assert more == _limits.MAX_EXCHANGED_CHANNELS - _limits.MAX_EXCHANGED_BY_ONE
    assert bench.endpoint.connect(root, ("203.0.200.1", 1), bench.now)


def test_who_names_peers_that_never_answer_is_not_believed_for_long_and_one_that_answers_counts(lab, seven, asked):
    bench, peer = asked()

    def name(first, count):
        """Name so many peers, have them called, and wait until they are given up."""
        peer.send(*[PexResV4(bytes([203, 0, 113, first + number]), 1) for number in range(count)])
        found = bench.events(PeerFound)
        for event in found:
            bench.endpoint.connect(event.swarm_id, (event.host, event.port), bench.now, found_by=event.source)
        bench.flush()
        return len(found)

    def given_up():
        for _ in range(7):
            bench.advance(5.0)
            peer.send(Have(0, 0))

    believed = [name(0, 16)]
    given_up()
    believed.append(name(16, 16))
    answers = lab.HandPeer(bench, seven, channel=99)
    answers.address = ("203.0.113.31", 1)
    answers.heard()
    answers.reply()
    for first in (
        32,
        48,
        64,
    ):  # before the first of these 15 were in vain since the one that answered, then 31, then 47
        given_up()
        believed.append(name(first, 16))
    assert believed == [16, 16, 16, 16, 0]


# Certificates


def test_a_certificate_tells_where_a_member_is(seven):
    for host in ("203.0.113.5", "2001:db8::7"):
        octets = certificate(host, 1234, root=seven.root)
        assert VERIFIER.check(octets, seven.root, EPOCH + 2000.0) == (host, 1234)
        assert len(octets) < 500


def test_the_name_in_a_certificate_is_a_critical_uri(seven):
    """Section 8.13, read by `cryptography`."""
    read = x509.load_der_x509_certificate(certificate("2001:db8::7", 1234, root=seven.root))
    name = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert name.critical
    (url,) = name.value
    assert isinstance(url, x509.UniformResourceIdentifier)
    assert url.value == f"file://[2001:db8::7]:1234/{seven.root.hex()}"
    assert read.not_valid_before_utc.timestamp() == EPOCH + 1000.0


@pytest.mark.parametrize("octet", [0, 255])
def test_a_certificate_is_what_rfc_5280_asks_of_an_authority(seven, octet):
    """Serial numbers that are positive, of 20 octets at the most and others each time; whose key has signed it."""
    issuer = MembershipIssuer.from_pem(ISSUER.pem, lambda size: bytes([octet] * size))
    read = x509.load_der_x509_certificate(certificate("203.0.113.5", root=seven.root, issuer=issuer))
    assert 0 < read.serial_number < 1 << 159
    key = read.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert not key.critical
    assert key.value == x509.AuthorityKeyIdentifier.from_issuer_public_key(read.public_key())
    both = [x509.load_der_x509_certificate(certificate("203.0.113.5", root=seven.root)) for _ in range(2)]
    assert both[0].serial_number != both[1].serial_number


def test_certificates_that_prove_nothing_are_refused(seven):
    good = certificate("203.0.113.5", root=seven.root)
    stranger = MembershipIssuer.generate(random.Random(2).randbytes)
    bad = [
        b"",
        good[:-1],
        good[:60] + bytes([good[60] ^ 1]) + good[61:],
        good + bytes(2000),
        certificate("203.0.113.5", root=bytes(32)),
        certificate("203.0.113.5", root=seven.root, issuer=stranger),
    ]
    for octets in bad:
        with pytest.raises(MembershipError):
            VERIFIER.check(octets, seven.root, EPOCH + 2000.0)
    for when in (EPOCH, EPOCH + 90_000.0):
        with pytest.raises(MembershipError, match="over"):
            VERIFIER.check(good, seven.root, when)


def signed(names, *extensions, critical=True):
    """A certificate of the issuer with any names and extensions."""
    private = load_pem_private_key(ISSUER.pem, None)
    start = datetime.fromtimestamp(EPOCH + 1000.0, UTC)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), private.public_key(), 7, start, start)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(private, SHA256()).public_bytes(Encoding.DER)


def url_of(root, text="file://203.0.113.5:77/{}"):
    return x509.UniformResourceIdentifier(text.format(root.hex()))


@pytest.mark.parametrize(
    "text",
    [
        "http://203.0.113.5:77/{}",
        "file://203.0.113.5/{}",
        "file://203.0.113.5:0/{}",
        "file://203.0.113.5:65536/{}",
        "file://203.0.113.5:x/{}",
        "file://a.name:77/{}",
        "file://[fe80::1%25eth0]:77/{}",
        "file://[203.0.113.5:77/{}",
        "file:///{}",
        "file://203.0.113.5:77/{}00",
        "file://203.0.113.5:77//{}",
        "file://203.0.113.5:77/{:.40}",
        "file://203.0.113.5:77",
        "",
    ],
)
def test_a_url_that_names_no_member_of_this_swarm_proves_nothing(seven, text):
    """Section 8.13. The issuer has signed it, all the same."""
    assert VERIFIER.check(signed([url_of(seven.root)]), seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
    with pytest.raises(MembershipError):
        VERIFIER.check(signed([url_of(seven.root, text)]), seven.root, EPOCH + 1000.0)


def test_a_certificate_that_fits_no_datagram_is_not_read(seven):
    """Nobody could be sent it, so nobody may be led to believe that he can pass it on."""
    for size, taken in ((100, True), (1400, False)):
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
        octets = signed([url_of(seven.root)], (filler, False))
        if taken:
            assert VERIFIER.check(octets, seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
        else:
            with pytest.raises(MembershipError, match="octets"):
                VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


def test_the_name_of_a_member_is_critical_and_one(seven):
    """Section 8.13: "marked as critical, of type uniformResourceIdentifier"."""
    url = url_of(seven.root)
    for octets in (
        signed([url], critical=False),
        signed([url, url_of(seven.root, "file://203.0.113.6:77/{}")]),
        signed([x509.DNSName("a.name")]),
    ):
        with pytest.raises(MembershipError, match="one critical name"):
            VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


@pytest.mark.parametrize(
    ("extension", "taken"),
    [
        (x509.KeyUsage(True, *[False] * 8), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.InhibitAnyPolicy(0), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False),
    ],
    ids=["key usage", "basic constraints", "policies", "unknown"],
)
@pytest.mark.parametrize("critical", [True, False], ids=["critical", "not critical"])
def test_what_is_critical_and_not_understood_makes_a_certificate_worthless(seven, extension, taken, critical):
    """RFC 5280 section 4.2: a system "MUST reject" what has "a critical extension it does not recognize"."""
    octets = signed([url_of(seven.root)], (extension, critical))
    if taken or not critical:
        assert VERIFIER.check(octets, seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
    else:
        with pytest.raises(MembershipError, match="critical"):
            VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


def test_a_certificate_that_nobody_could_be_sent_is_not_issued():
    """A key on P-521 and the longest swarm ID, which is a key of RSA with 4096 bits, do not fit a datagram."""
    pem = generate_private_key(SECP521R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    host, swarm_id = "2001:db8:1111:2222:3333:4444:5555:6666", bytes(517)
    octets = ISSUER.issue(swarm_id, host, 65535, EPOCH)
    assert VERIFIER.check(octets, swarm_id, EPOCH) == (host, 65535)
    with pytest.raises(MembershipError, match="datagram"):
        MembershipIssuer.from_pem(pem, random.randbytes).issue(swarm_id, host, 65535, EPOCH)


def test_a_damaged_certificate_raises_nothing_else_and_tells_nothing_else(seven):
    good = certificate("203.0.113.5", 77, root=seven.root)
    chance = random.Random(1)
    for at in range(len(good)):
        for value in {0, 1, 2, 255, good[at] ^ 1, chance.randrange(256)}:
            damaged = good[:at] + bytes([value]) + good[at + 1 :]
            try:
                member = VERIFIER.check(damaged, seven.root, EPOCH + 2000.0)
            except MembershipError:
                continue
            assert member == ("203.0.113.5", 77)


@given(data=st.data())
@settings(max_examples=150)
def test_any_answers_raise_nothing(lab, seven, data):
    """With both kinds of exchange: from before the handshake to long after it."""
    settings_of = PeerExchange(addresses=True, verifier=VERIFIER, certificate=b"ours")
    bench = node(lab, seven, settings_of, complete=data.draw(st.booleans()))
    peer = lab.HandPeer(bench, seven)
    peer.address = data.draw(
        st.sampled_from([("198.51.100.1", 5), ("fe80::1%eth0", 5, 0, 2), ("::1", 0, 0, 0), "x", 7])
    )
    peer.open()
    messages = st.one_of(
        st.builds(PexReq),
        st.builds(PexResV4, st.binary(min_size=4, max_size=4), st.integers(0, 65535)),
        st.builds(PexResV6, st.binary(min_size=16, max_size=16), st.integers(0, 65535)),
        st.builds(PexResCert, st.binary(max_size=60)),
    )
    for drawn in data.draw(st.lists(messages, max_size=12)):
        peer.send(drawn)
        bench.advance(data.draw(st.sampled_from([0.0, 11.0, 70.0])))
    assert len(bench.events(PeerFound)) <= 12


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused(pem):
    with pytest.raises(MembershipError):
        MembershipVerifier(pem)


def test_keys_are_read_as_they_are_kept(seven):
    """The private one in PEM, the public one in DER as metadata carry it, or in PEM as people have it."""
    again = MembershipIssuer.from_pem(ISSUER.pem, random.Random(3).randbytes)
    assert again.public_key == ISSUER.public_key
    pem = load_der_public_key(ISSUER.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    octets = certificate("203.0.113.5", root=seven.root, issuer=again)
    assert MembershipVerifier(pem).check(octets, seven.root, EPOCH + 2000.0) == ("203.0.113.5", 6778)


@pytest.mark.parametrize(
    "pem", [b"", b"no key", ISSUER.pem[:-80], LiveSigner.generate(LiveSignatureAlgorithm.ED25519).pem]
)
def test_what_cannot_issue_certificates_is_refused(pem):
    with pytest.raises(MembershipError):
        MembershipIssuer.from_pem(pem, random.randbytes)


def test_metadata_say_how_peers_tell_of_each_other(lab, seven):
    """Section 12.2.2: the issuer's key "should be part of the swarm's metadata"."""
    assert PeerExchange.of(seven.metadata()) == ADDRESSES
    metadata = seven.metadata(membership_key=ISSUER.public_key)
    exchange = PeerExchange.of(metadata, b"ours")
    assert (exchange.addresses, exchange.certificate) == (False, b"ours")
    with pytest.raises(MembershipError):
        PeerExchange.of(seven.metadata(membership_key=b"no key"))
    bench = lab.Bench(epoch=EPOCH)
    with pytest.raises(StateError, match="certificates"):
        bench.endpoint.add_swarm(metadata, store=lab.Store(), exchange=ADDRESSES)
    bench.endpoint.add_swarm(metadata, store=lab.Store(), exchange=exchange)


def test_another_certificate_replaces_one_that_expires(lab, seven):
    own = certificate("203.0.113.1", root=seven.root, lifetime=60)
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER, certificate=own))
    asking = at(lab, bench, seven, "198.51.100.1")
    asking.send(PexReq())
    assert asking.take(PexResCert) == [PexResCert(own)]
    bench.advance(500.0)
    fresh = certificate("203.0.113.1", root=seven.root, start=EPOCH + bench.now)
    bench.endpoint.certify(seven.root, fresh)
    asking = at(lab, bench, seven, "198.51.100.2", channel=2)
    asking.send(PexReq())
    assert asking.take(PexResCert) == [PexResCert(fresh)]


def test_a_certificate_is_nothing_where_none_are_exchanged(lab, seven):
    with pytest.raises(StateError):
        node(lab, seven).endpoint.certify(seven.root, b"ours")


@pytest.mark.parametrize(
    ("host", "port"), [("a.name", 1), ("fe80::1%eth0", 1), ("203.0.113.5", 0), ("203.0.113.5", 65536)]
)
def test_no_certificate_is_issued_for_what_is_no_address(seven, host, port):
    with pytest.raises(ValueError, match=r".+"):
        ISSUER.issue(seven.root, host, port, EPOCH)


def test_certificates_of_members_are_passed_on_with_our_own(lab, seven):
    """Section 12.2.2."""
    own = certificate("192.0.2.200", root=seven.root)
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER, certificate=own))
    member, asking = at(lab, bench, seven, "203.0.113.5"), at(lab, bench, seven, "198.51.100.1")
    theirs = certificate("203.0.113.5", root=seven.root)
    assert member.take(PexReq) == [PexReq()]
    member.send(PexResCert(theirs))
    asking.take()
    asking.send(PexReq())
    answer = [messages for messages in asking.datagrams() if messages]
    assert [[PexResCert(own)], [PexResCert(theirs)]] == [messages for messages in answer if messages]
    assert bench.events(PeerFound) == []


def test_a_certified_peer_is_reported(asked, seven):
    bench, peer = asked(exchange=PeerExchange(verifier=VERIFIER))
    peer.send(PexResCert(certificate("203.0.113.5", 77, root=seven.root)))
    assert [(event.host, event.port) for event in bench.events(PeerFound)] == [("203.0.113.5", 77)]


def test_plain_addresses_count_for_nothing_where_certificates_are_asked_for(asked):
    bench, peer = asked(exchange=PeerExchange(verifier=VERIFIER))
    peer.send(PexResV4(bytes([203, 0, 113, 5]), 1234))
    assert bench.events(PeerFound) == []


def test_one_defective_certificate_discards_the_rest(asked, seven):
    """Section 12.2.2: "check a few of the certificates sent and discard the rest if they are defective"."""
    checks = []

    class Counting(MembershipVerifier):
        def check(self, octets, swarm_id, unix_time):
            checks.append(octets)
            return super().check(octets, swarm_id, unix_time)

    bench, peer = asked(exchange=PeerExchange(verifier=Counting(ISSUER.public_key)))
    good = certificate("203.0.113.5", root=seven.root)
    peer.send(PexResCert(good))
    peer.send(PexResCert(good[:-1]))
    for _ in range(50):
        peer.send(PexResCert(good))
    assert len(checks) == 2
    assert len(bench.events(PeerFound)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:224.0.0.1",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "fec0::1",
        "240.0.0.1",
    ],
)
def test_an_address_inside_is_not_believed_in_whatever_clothes_it_comes(asked, text):
    """Section 8.13: a stranger would have us knock at doors inside our own network."""
    bench, peer = asked()
    ip = ipaddress.ip_address(text)
    peer.send(PexResV4(ip.packed, 22) if ip.version == 4 else PexResV6(ip.packed, 22))
    assert bench.events(PeerFound) == []


def test_certificates_of_members_inside_go_to_nobody_outside(lab, seven):
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER))
    member = at(lab, bench, seven, "10.0.0.5", channel=3)
    member.send(PexResCert(certificate("10.0.0.5", root=seven.root)))
    outside, inside = at(lab, bench, seven, "198.51.100.1"), at(lab, bench, seven, "10.0.0.2", channel=2)
    for peer, count in ((outside, 0), (inside, 1)):
        peer.take()
        peer.send(PexReq())
        assert len(peer.take(PexResCert)) == count


def test_the_certificate_of_another_port_at_the_same_host_is_not_that_of_its_sender(lab, seven):
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER))
    neighbour, asking = at(lab, bench, seven, "203.0.113.5", 1), at(lab, bench, seven, "198.51.100.1", channel=2)
    neighbour.send(PexResCert(certificate("203.0.113.5", 2, root=seven.root)))
    assert [(event.host, event.port) for event in bench.events(PeerFound)] == [("203.0.113.5", 2)]
    asking.send(PexReq())
    assert asking.take(PexResCert) == []


def test_who_takes_no_certificates_is_sent_none(lab, seven):
    """Section 7.10."""
    own = certificate("192.0.2.200", root=seven.root)
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER, certificate=own))
    for channel, taken in ((1, True), (2, False)):
        asking = lab.HandPeer(bench, seven, channel=channel)
        asking.address = (f"198.51.100.{channel}", 6778)
        asking.open(supported_messages=frozenset(MessageType) - (set() if taken else {MessageType.PEX_RESCERT}))
        asking.send(PexReq())
        assert bool(asking.take(PexResCert)) is taken


def test_a_peer_without_a_port_is_not_named(lab, seven):
    bench = node(lab, seven)
    at(lab, bench, seven, "203.0.113.5", 0)
    asking = at(lab, bench, seven, "198.51.100.1", channel=2)
    asking.send(PexReq())
    assert named(asking) == set()


def test_an_ipv4_address_that_ipv6_wraps_is_found_as_what_it_is(asked):
    bench, peer = asked()
    peer.send(PexResV6(ipaddress.ip_address("::ffff:203.0.113.7").packed, 22))
    assert [event.host for event in bench.events(PeerFound)] == ["203.0.113.7"]


def test_our_own_certificate_of_an_address_inside_goes_to_nobody_outside(lab, seven):
    """Section 8.13: "the PEX_RES* messages sent in reply MUST NOT contain such addresses"."""
    exchange = PeerExchange(verifier=VERIFIER, certificate=certificate("10.0.0.1", root=seven.root))
    bench = node(lab, seven, exchange)
    outside, inside = at(lab, bench, seven, "198.51.100.1"), at(lab, bench, seven, "10.0.0.2", channel=2)
    for peer in (outside, inside):
        peer.send(PexReq())
    assert outside.take(PexResCert) == []
    assert inside.take(PexResCert) == [PexResCert(exchange.certificate)]


def test_everybody_with_a_certificate_is_named_in_turn(lab, seven):
    """An answer takes four of them, whereas it takes sixteen addresses."""
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER))
    members = [f"203.0.113.{number}" for number in range(16)]
    for number, host in enumerate(members):
        member = at(lab, bench, seven, host, channel=number + 10)
        member.send(PexResCert(certificate(host, root=seven.root)))
    asking = at(lab, bench, seven, "198.51.100.1")
    seen = set()
    for _ in range(4):
        asking.take()
        asking.send(PexReq())
        answer = asking.take(PexResCert)
        assert len(answer) == _limits.MAX_PEX_CERTIFICATES
        seen |= {VERIFIER.check(one.certificate, seven.root, EPOCH + bench.now)[0] for one in answer}
        bench.advance(11.0)
    assert seen == set(members)


def test_a_certificate_that_is_over_is_looked_at_once_more_and_then_forgotten(lab, seven):
    """Or it would take the place of one that holds, in every answer."""
    checks = []

    class Counting(MembershipVerifier):
        def check(self, octets, swarm_id, unix_time):
            checks.append(octets)
            return super().check(octets, swarm_id, unix_time)

    bench = node(lab, seven, PeerExchange(verifier=Counting(ISSUER.public_key)))
    asking, member = at(lab, bench, seven, "198.51.100.1"), at(lab, bench, seven, "203.0.113.5", channel=2)
    over = certificate("203.0.113.5", root=seven.root, lifetime=60)
    member.send(PexResCert(over))
    for _ in range(8):
        bench.advance(50.0)
        asking.send()
        member.send()
    checks.clear()
    for _ in range(3):
        asking.send(PexReq())
        bench.advance(11.0)
        member.send()
    assert asking.take(PexResCert) == []
    assert checks == [over]


def test_certificates_that_have_expired_are_not_passed_on(lab, seven):
    """Who is sent one discards the others of the answer, "if they are defective" (section 12.2.2)."""
    own = certificate("203.0.113.1", root=seven.root, lifetime=3600)
    bench = node(lab, seven, PeerExchange(verifier=VERIFIER, certificate=own))
    asking, member = at(lab, bench, seven, "198.51.100.1"), at(lab, bench, seven, "203.0.113.5", channel=2)
    theirs = certificate("203.0.113.5", root=seven.root, lifetime=7200)
    member.send(PexResCert(theirs))
    asking.send(PexReq())
    assert asking.take(PexResCert) == [PexResCert(own), PexResCert(theirs)]
    for _ in range(60):
        bench.advance(70.0)
        asking.send()
        member.send()
    asking.send(PexReq())
    assert asking.take(PexResCert) == [PexResCert(theirs)]


# Swarms


def test_a_swarm_grows_together_from_one_known_peer(lab):
    """Everybody knows the source alone, which is slow; by PEX they find each other."""
    publication = lab.Publication(lab.pattern(300 * 1024))

    def seconds(exchange):
        network = lab.Network(seed=4)
        hosts = []
        for number in range(6):
            host = network.host(upload_rate=60_000)
            host.swarm_id, host.store = publication.root, lab.Store(publication.content if not number else b"")
            more = {} if number else {"tree": publication.tree(), "content_size": len(publication.content)}
            host.endpoint.add_swarm(publication.metadata(), store=host.store, exchange=exchange, **more)
            hosts.append(host)
        for host in hosts[1:]:
            host.connect(hosts[0])
        taken = dict.fromkeys(hosts, 0)
        while not all(host.complete for host in hosts):
            network.run_for(0.25)
            for host in hosts:
                found = host.seen(PeerFound)
                for event in found[taken[host] :]:
                    address = (event.host, event.port)
                    host.endpoint.connect(event.swarm_id, address, network.now, found_by=event.source)
                taken[host] = len(found)
                host.flush()
        assert all(bytes(host.store.octets) == publication.content for host in hosts)
        return network.now - 1000.0

    assert seconds(ADDRESSES) < 0.7 * seconds(None)
