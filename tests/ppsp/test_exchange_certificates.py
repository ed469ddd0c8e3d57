"""Peer exchange by membership certificates (sections 3.10, 8.13 and 12.2.2)."""

from functools import partial

import pytest
from ppsp_exchange import ADDRESSES, EPOCH, ISSUER, VERIFIER, at, certificate, having_asked, node

from ppsp import _limits
from ppsp.constants import MessageType
from ppsp.errors import MembershipError, StateError
from ppsp.events import PeerFound
from ppsp.membership import MembershipVerifier
from ppsp.messages import PexReq, PexResCert, PexResV4
from ppsp.pex import PeerExchange


@pytest.fixture
def asked(lab, seven):
    """A fetcher that has asked one peer, which is outside unless told otherwise, for others."""
    return partial(having_asked, lab, seven)


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
